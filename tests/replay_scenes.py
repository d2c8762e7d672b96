"""Recorded runs of every kind, in memory, for the tests of replay and show."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

from builders import a_log, a_manifest, line

from bundler.eventlog import PlainLog
from bundler.manifest import Command, Parent, RunStatus, encode_document, to_document
from bundler.recording import Recording
from bundler.store import open_store

TRACEBACK = """\
    def test_total():
        basket = Basket([3, 4])
>       assert basket.total == 8
E       assert 7 == 8
E        +  where 7 = <Basket>.total

tests/test_basket.py:12: AssertionError"""

FAILURE = {
    "phase": "call",
    "type": "AssertionError",
    "message": "assert 7 == 8",
    "traceback": TRACEBACK,
    "file": "tests/test_basket.py",
    "line": 12,
}

ENVIRONMENT = b"""{"format": {"major": 1, "minor": 0},
    "platform": {"os": "Linux", "release": "6.1.0", "machine": "x86_64"}}"""

CI = {
    "provider": "github",
    "repository": "acme/shop",
    "run": "123",
    "attempt": "2",
    "job": "test",
    "matrix": "os=ubuntu, python=3.12",
    "url": "https://github.com/acme/shop/actions/runs/123/attempts/2",
}


def recording(log: bytes, /, *, live: bool = False, **manifest: Any) -> Recording:
    """A recording with an environment, and a manifest that says when and how long."""
    made = a_manifest(**{"duration_us": 4_218_000, **manifest})
    files = {"environment.json": ENVIRONMENT}
    return Recording(made, to_document(made), PlainLog(log), files, "memory", live=live)


def session(**data: Any) -> list[bytes]:
    """The start of pytest."""
    told = {"runner": "pytest", "runner_version": "9.0.2", "python": "3.12.1", "capture": "fd"}
    return [line("SessionStarted", **{**told, **data})]


def collected(*test_ids: str, deselected: tuple[str, ...] = ()) -> list[bytes]:
    """What pytest found."""
    lines = [line("TestsCollected", selected=list(test_ids))]
    return lines + ([line("TestsCollected", deselected=list(deselected))] if deselected else [])


def printed(test_id: str, text: str | bytes, **data: Any) -> bytes:
    """A piece of a test's output."""
    told = {"stream": "stdout", "phase": "call", **data}
    if isinstance(text, bytes):
        return line("TestOutput", test_id, base64=base64.b64encode(text).decode(), **told)
    return line("TestOutput", test_id, text=text, **told)


def attempt(
    test_id: str,
    outcome: str,
    *output: bytes,
    started_us: int = 0,
    took_us: int = 1000,
    **data: Any,
) -> list[bytes]:
    """One attempt: its start, its output, its end."""
    place = {key: data[key] for key in ("worker", "order", "attempt", "occurrence") if key in data}
    finished = {"failures": [], "call_us": took_us, **data}
    return [
        line("TestStarted", test_id, started_us, **place),
        *output,
        line("TestFinished", test_id, started_us + took_us, outcome=outcome, **finished),
    ]


BASKET, CART = "tests/test_basket.py", "tests/test_cart.py"


def of_every_verdict() -> Recording:
    """A run under xdist in which something of everything happened."""
    names = ("add", "total", "setup", "slow", "dies", "odd", "old")
    ids = {f"test_{name}": f"{BASKET}::test_{name}" for name in names}
    flaky, skipped = f"{CART}::TestCart::test_flaky[1-é]", f"{CART}::TestCart::test_windows"
    stuck, never = f"{CART}::test_stuck", f"{CART}::test_never"
    setup_failure = {**FAILURE, "phase": "setup", "type": "ConnectionError", "message": "refused"}
    not_yet = {**FAILURE, "message": "not yet", "traceback": "E   AssertionError: not yet"}
    log = a_log(
        session(workers=2),
        collected(*ids.values(), flaky, skipped, stuck, never, deselected=(f"{CART}::test_x",)),
        attempt(ids["test_add"], "passed", printed(ids["test_add"], "adding\n"), worker="gw0"),
        attempt(
            ids["test_total"],
            "failed",
            printed(ids["test_total"], "filling\n", phase="setup"),
            printed(ids["test_total"], "3 + 4\nmakes 8?\n"),
            printed(ids["test_total"], "\x1b[31mno\x1b[0m\n", stream="stderr"),
            printed(ids["test_total"], "WARNING basket:9 odd\n", stream="log"),
            worker="gw1",
            took_us=12_345,
            failures=[FAILURE],
        ),
        attempt(
            ids["test_setup"],
            "errored",
            worker="gw0",
            failures=[{**setup_failure, "traceback": None}],
        ),
        attempt(flaky, "failed", worker="gw1", will_retry=True, failures=[not_yet]),
        attempt(
            ids["test_slow"], "timed_out", worker="gw0", took_us=61_000_000, reason="Timeout >60s"
        ),
        attempt(flaky, "passed", worker="gw1", attempt=2),
        attempt(
            ids["test_dies"],
            "crashed",
            worker="gw0",
            failures=[{"phase": "call", "message": "worker 'gw0' crashed while running it"}],
        ),
        attempt(skipped, "skipped", worker="gw1", reason="needs Windows"),
        attempt(ids["test_odd"], "xfailed", worker="gw1", reason="issue 7", failures=[FAILURE]),
        attempt(ids["test_old"], "xpassed", worker="gw1"),
        line("TestStarted", stuck, 4_000_000, worker="gw1"),
        printed(stuck, "waiting for the lock\n"),
        line("SessionFinished", ts_us=5_000_000, exit_status=1),
    )
    return recording(log, status=RunStatus("failed", exit_code=1), ci=CI, seed_imposed=True)


def all_passed() -> Recording:
    """A small run without workers."""
    ids = [f"{BASKET}::test_{name}" for name in ("add", "remove", "total")]
    log = a_log(session(), collected(*ids), *(attempt(one, "passed") for one in ids))
    return recording(log)


def with_subtests() -> Recording:
    """pytest 9 subtests: grouped under their test."""
    test_id = f"{BASKET}::test_prices"
    log = a_log(
        session(),
        collected(test_id),
        line("TestStarted", test_id),
        line("SubtestFinished", test_id, name="[apple]", outcome="passed", duration_us=900),
        line(
            "SubtestFinished",
            test_id,
            name="[pear] (i=1)",
            outcome="failed",
            duration_us=1100,
            failures=[FAILURE],
        ),
        line("SubtestFinished", test_id, name="[fig]", outcome="skipped", duration_us=0),
        line(
            "TestFinished",
            test_id,
            outcome="failed",
            call_us=2500,
            failures=[{"phase": "call", "message": "contains 1 failed subtest"}],
        ),
    )
    return recording(log, status=RunStatus("failed", exit_code=1))


def not_captured() -> Recording:
    """A suite that ran with -s."""
    test_id = f"{BASKET}::test_total"
    log = a_log(
        session(capture="no"), collected(test_id), attempt(test_id, "failed", failures=[FAILURE])
    )
    return recording(log, status=RunStatus("failed", exit_code=1))


def collection_failed() -> Recording:
    """A file that cannot be imported, another that skips itself."""
    broken = {"phase": "collect", "message": "ImportError", "traceback": "E   ImportError: no x"}
    log = a_log(
        session(),
        line("CollectionFailed", "tests/test_broken.py", failures=[broken]),
        line("CollectionSkipped", "tests/test_windows.py", reason="needs Windows"),
        collected(f"{BASKET}::test_add"),
        line("SessionFinished", exit_status=2),
    )
    status = RunStatus("collection_failed", exit_code=2, reason="Interrupted: 1 error")
    return recording(log, status=status)


def usage_error() -> Recording:
    """pytest did not understand its options: no test, no session."""
    text = "ERROR: usage: pytest [options]\npytest: error: unrecognized arguments: --nope\n\n"
    log = a_log(line("RunOutput", stream="stderr", text=text))
    command = Command(argv=["pytest", "--nope"], cwd="/p", runner="pytest")
    return recording(log, status=RunStatus("usage_error", exit_code=4), command=command)


def interrupted() -> Recording:
    """The test process was killed in the middle; what it printed last is kept."""
    first, second, third = (f"{BASKET}::test_{name}" for name in ("add", "hang", "total"))
    log = a_log(
        session(),
        collected(first, second, third),
        attempt(first, "passed"),
        line("TestStarted", second, 1_500_000),
        printed(second, "half of it"),
        line("RunOutput", stream="stderr", text="Fatal Python error: Segmentation fault\n"),
    )
    status = RunStatus("interrupted", exit_code=None, signal="SIGSEGV", reason="killed by SIGSEGV")
    return recording(log, status=status)


def still_running() -> Recording:
    """A run that is being recorded: no end, and the last line is half written."""
    first, second = f"{BASKET}::test_add", f"{BASKET}::test_total"
    log = a_log(
        session(),
        collected(first, second),
        attempt(first, "passed"),
        line("TestStarted", second, 1_500_000),
        ended=False,
    )
    torn = log + b'{"v":1,"ts_us":9'
    return recording(torn, live=True, status=RunStatus("running"), duration_us=None)


def plain_command() -> Recording:
    """make, recorded without the probe: all there is is what it printed."""
    log = a_log(
        line("RunOutput", stream="stdout", text="cc -c a.c\n\x1b[32mbuilt"),
        line("RunOutput", stream="stdout", text=" a.o\x1b[0m\n"),
        line("RunOutput", stream="stderr", text="warning: \x1b]0;title\x07 odd\n"),
        line("RunOutput", stream="stdout", text="done\n", omitted_bytes=123456),
    )
    command = Command(argv=["make", "all tests"], cwd="/p")
    return recording(log, command=command, parent=Parent("77aa0000-1111-4222-8333-444455556666"))


def no_tests() -> Recording:
    """pytest found nothing."""
    log = a_log(
        session(),
        collected(deselected=(f"{BASKET}::test_add", f"{BASKET}::test_total")),
        line("RunOutput", stream="stdout", text="2 deselected in 0.01s\n"),
        line("SessionFinished", exit_status=5),
    )
    return recording(log, status=RunStatus("no_tests", exit_code=5))


def not_started() -> Recording:
    """There is no such command."""
    status = RunStatus("not_started", exit_code=127, reason="nope: command not found")
    return recording(a_log(), status=status, command=Command(argv=["nope"], cwd="/p"))


def damaged() -> Recording:
    """One line in the middle of the log is broken, the last one torn, and a member is missing."""
    first, second = f"{BASKET}::test_add", f"{BASKET}::test_total"
    started, finished = attempt(second, "passed")
    log = a_log(session(), collected(first, second), attempt(first, "passed"), started, ended=False)
    status = RunStatus("interrupted", reason="the recorder vanished before the run ended")
    made = recording(log + b"\xff{broken\n" + finished[:40], status=status)
    made.problems.append("summary.json is missing")
    return made


def hostile() -> Recording:
    """Everything a stranger can write tries to give orders."""
    bad = "\x1b]0;pwned\x07\x1b[2J::error::x\r\n##[group]\u202e"
    test_id = f"::set-env name=A::{bad}"
    failure = {"phase": bad, "type": bad, "message": bad, "traceback": f"::add-mask::x\n{bad}"}
    log = a_log(
        session(runner=bad, python=bad),
        collected(test_id),
        line("CollectionFailed", bad, failures=[failure], reason=bad),
        attempt(
            test_id,
            "failed",
            printed(test_id, b"\xff\xfe" + bad.encode()),
            printed(test_id, bad, stream=bad, phase=bad),
            worker=bad,
            reason=bad,
            failures=[failure],
        ),
        line("RunOutput", stream=bad, text=bad),
        status="interrupted",
    )
    command = Command(argv=["pytest", bad], cwd=bad)
    status = RunStatus(bad, exit_code=1, signal=bad, reason=bad)
    return recording(
        log, status=status, command=command, ci={"provider": bad, "url": bad}, created_at=bad
    )


def on_disk(made: Recording, directory: Path) -> Path:
    """The same run as a bundle directory, its log not sealed."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "manifest.json").write_bytes(encode_document(to_document(made.manifest)))
    (directory / "environment.json").write_bytes(made.files["environment.json"])
    lines = (one.content + (b"" if one.problem else b"\n") for one in made.log.lines())
    (directory / "events.ndjson").write_bytes(b"".join(lines))
    return directory


def stored(made: Recording) -> Path:
    """The same run as the latest of the store."""
    return on_disk(made, open_store().new_run(made.manifest.run_id))


SCENES = {
    scene.__name__: scene
    for scene in (
        of_every_verdict,
        all_passed,
        with_subtests,
        not_captured,
        collection_failed,
        usage_error,
        interrupted,
        still_running,
        plain_command,
        no_tests,
        not_started,
        damaged,
        hostile,
    )
}
