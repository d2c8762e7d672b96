"""What tests log themselves is replayed: by time, chosen by level and category, as it was."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import IO, Any

import pytest
from asupersync_samples import bundles, read, seed_of, tree, truth
from asupersync_samples import written as unpacked
from builders import SEED, a_log, a_recording, a_test, line
from command_line import HERE
from own_event_runs import DRAIN, Run, a_run

from bundler import bundle, packing
from bundler.cli import run
from bundler.event_view import event_line
from bundler.events import Event, encode_line
from bundler.look import Look
from bundler.names import slug
from bundler.own_events import OwnEvent, Wanted, own_events
from bundler.recording import Recording

Capture = pytest.CaptureFixture[str]
LOG = f"tests/{slug('a')}/{SEED:016x}/events.ndjson"


def logged(
    event: str,
    ts_us: int,
    test_id: str | None = "a",
    *,
    level: str = "INFO",
    category: str = "x",
    thread: int = 0,
) -> bytes:
    """A line as a test logs it into its own bundle."""
    return encode_line(
        event,
        ts_us=ts_us,
        test_id=test_id,
        level=level,
        category=category,
        message="",
        thread_id=thread,
    )


def started(test_id: str, ts_us: int, attempt: int = 1) -> bytes:
    return line("TestStarted", test_id, ts_us, attempt=attempt, order=0)


def finished(test_id: str, ts_us: int, attempt: int = 1, outcome: str = "passed") -> bytes:
    return line("TestFinished", test_id, ts_us, attempt=attempt, outcome=outcome, failures=[])


def recording(*log: bytes | list[bytes], **files: bytes) -> Recording:
    made = a_recording(a_log(*log))
    made.files = {LOG if name == "own" else name: content for name, content in files.items()}
    return made


def said(made: Recording, wanted: Wanted | None = None, **options: object) -> list[str]:
    found = own_events(made, wanted or Wanted(), **options)  # type: ignore[arg-type]
    return [f"{own.ts_us} {own.event.event}" for own in found]


def test_a_test_bundle_counts_from_the_start_of_its_test() -> None:
    own = logged("First", 10) + logged("Second", 20)
    made = recording(started("a", 1000), finished("a", 2000), own=own)
    assert said(made) == ["1010 First", "1020 Second"]


def test_events_of_the_log_and_of_bundles_are_one_story() -> None:
    own = logged("Bundle1", 10) + logged("Bundle2", 500)
    made = recording(
        started("a", 1000), line("Log1", "a", 1200), finished("a", 2000), line("Log2", None, 3000),
        own=own,
    )  # fmt: skip
    assert said(made) == ["1010 Bundle1", "1200 Log1", "1500 Bundle2", "3000 Log2"]


def test_an_attempt_begins_where_time_falls_back() -> None:
    own = logged("A1", 10) + logged("A2", 9000) + logged("B1", 5) + logged("B2", 7000)
    made = recording(
        started("a", 1000), finished("a", 11_000, outcome="failed"),
        started("a", 20_000, 2), finished("a", 30_000, 2),
        own=own,
    )  # fmt: skip
    found = [(own.ts_us, own.attempt and own.attempt[2]) for own in own_events(made)]
    assert found == [(1010, 1), (10_000, 1), (20_005, 2), (27_000, 2)]


def test_an_attempt_that_says_so_begins_there() -> None:
    marks = [encode_line("AttemptStarted", ts_us=9, category="x", message="", test_id="a")]
    marks.append(marks[0].replace(b'"data":{}', b'"data":{"attempt":3}'))
    for mark, number in zip(marks, (2, 3), strict=True):
        own = logged("A", 5) + mark + logged("B", 10) + logged("C", 1)
        made = recording(*(started("a", 1000 * n, n) for n in (1, 2, 3)), own=own)
        found = [one.attempt and one.attempt[2] for one in own_events(made)]
        assert found == [1, number, number, number]


def test_the_first_attempt_may_have_logged_nothing() -> None:
    mark = encode_line(
        "AttemptStarted", ts_us=9, category="x", message="", test_id="a", data={"attempt": 2}
    )
    made = recording(started("a", 1000), started("a", 5000, 2), own=mark + logged("A", 10))
    assert said(made) == ["5009 AttemptStarted", "5010 A"]


def test_threads_that_log_out_of_order_are_no_new_attempt() -> None:
    own = logged("A", 900, thread=1) + logged("B", 400, thread=2) + logged("C", 901, thread=1)
    made = recording(started("a", 0), started("a", 50_000, 2), own=own)
    assert {one.attempt and one.attempt[2] for one in own_events(made)} == {1}


def test_what_came_after_the_end_of_an_attempt_is_of_the_next() -> None:
    own = logged("A", 10) + logged("B", 2000)
    made = recording(
        started("a", 0), finished("a", 1000), started("a", 5000, 2), finished("a", 9000, 2), own=own
    )
    assert said(made) == ["10 A", "7000 B"]


def test_level_and_category_choose() -> None:
    kinds = [("ERROR", "io"), ("DEBUG", "io"), ("TRACE", "io"), ("INFO", "task"), ("ODD", "io")]
    own = b"".join(
        logged(f"E{n}", n, level=level, category=category)
        for n, (level, category) in enumerate(kinds)
    )
    made = recording(a_test("a"), own=own)
    assert said(made, Wanted("DEBUG", frozenset({"io"}))) == ["0 E0", "1 E1", "4 E4"]
    assert said(made, Wanted("ERROR")) == ["0 E0", "4 E4"]  # an unknown level is never lost
    assert said(made, Wanted("TRACE", frozenset({"task"}))) == ["3 E3"]


def test_tests_are_chosen_by_their_id() -> None:
    other = f"tests/{slug('b')}/{SEED:016x}/events.ndjson"
    files = {LOG: logged("Mine", 1), other: logged("Theirs", 1, "b")}
    made = recording(a_test("a"), a_test("b"), line("Nobody", None, 5), **files)
    assert said(made, tests={"b"}) == ["1 Theirs"]
    assert said(made) == ["1 Mine", "1 Theirs", "5 Nobody"]


def test_a_bundle_of_a_test_that_the_run_does_not_know_is_not_lost() -> None:
    made = recording(
        a_test("a"), **{"tests/net/tcp/0000000000000001/events.ndjson": logged("E", 7)}
    )
    assert said(made) == ["7 E"]


def test_an_event_that_names_no_test_is_of_the_test_of_its_bundle() -> None:
    made = recording(started("a", 50), own=logged("E", 7, None))
    assert said(made, tests={"a"}) == ["57 E"]


def test_what_the_log_says_of_a_run_is_no_event_of_a_test() -> None:
    own = started("a", 0) + logged("Mine", 5) + finished("a", 9)
    made = recording(a_test("a"), own=own)
    assert said(made) == ["5 Mine"]


def test_a_bundle_that_was_derived_from_the_log_says_nothing_twice() -> None:
    own = started("a", 0) + logged("Mine", 5)
    made = recording(started("a", 0), line("Mine", "a", 5), own=own)
    assert said(made) == ["5 Mine"]


def test_lines_that_are_no_events_are_passed_over_and_named() -> None:
    own = logged("One", 1) + b"not json\n" + b"\xff\n" + logged("Two", 2) + b'{"v":1,"ts'
    made = recording(a_test("a"), own=own)
    problems: list[str] = []
    assert said(made, problems=problems) == ["1 One", "2 Two"]
    [problem] = problems
    assert problem.startswith(f"{LOG} has 3 lines that are no event (line 2: JSON is malformed")


def test_a_line_changes_in_nothing_but_its_time() -> None:
    odd = b'{"v": 1, "event": "Reactor\xc3\xa9", "ts_us": 5, "level": "INFO", "category": "x"'
    odd += b', "message": "\\"ts_us\\":9", "test_id": "a", "data": {"n": 18446744073709551615}}'
    plain = logged("One", 7)
    made = recording(started("a", 1000), own=plain + odd + b"\n")
    second, first = sorted((own.line for own in own_events(made)), key=len, reverse=True)
    assert first == plain.rstrip(b"\n").replace(b'"ts_us":7', b'"ts_us":1007')
    assert json.loads(second) == {**json.loads(odd), "ts_us": 1005}


def test_at_the_start_of_the_run_a_line_is_as_it_was_byte_by_byte() -> None:
    lines = tree("layout1/big_log/000000000000beef")["events.ndjson"].splitlines()
    own = [one.line for one in own_events(read(tree("layout1/big_log/000000000000beef")))]
    assert [one for one in own if one in set(lines)] == lines


def test_a_line_for_people() -> None:
    event = Event(1, 1500, "DEBUG", "io", "IoRead", "read \x1b[2J\nevil", "a\x07")
    own = OwnEvent(2500, event, b"")
    assert event_line(own, Look()) == r"[   0.002500s] DEBUG io        IoRead read \x1b[2J\nevil"
    with_test = event_line(own, Look(), zero_us=2000, with_test=True)
    assert with_test == r"[   0.000500s] DEBUG io        a\x07: IoRead read \x1b[2J\nevil"


def test_a_line_for_people_has_an_end() -> None:
    event = Event(1, 0, "INFO", "x" * 99_999, "E" * 99_999, "m" * 99_999, "t" * 99_999)
    assert len(event_line(OwnEvent(0, event, b""), Look(), with_test=True)) < 10_000


class Counting(dict[str, bytes]):
    """Files that know how many of them are open."""

    now = most = 0

    def open(self, name: str) -> IO[bytes]:
        counting = self

        class File(io.BytesIO):
            def close(self) -> None:
                counting.now -= not self.closed
                super().close()

        self.now += 1
        self.most = max(self.most, self.now)
        return File(self[name])


def test_few_bundles_are_open_at_once() -> None:
    ids = [f"t{number}" for number in range(50)]
    log = [[started(one, 1000 * at), finished(one, 1000 * at + 900)] for at, one in enumerate(ids)]
    made = recording(*log)
    files = Counting()
    for one in ids:
        files[f"tests/{slug(one)}/{SEED:016x}/events.ndjson"] = logged("E", 5, one)
    made.files = files
    assert said(made) == [f"{1000 * at + 5} E" for at in range(50)]
    assert (files.now, files.most) == (0, 1)


def test_of_bundles_without_number_few_are_open_at_once() -> None:
    made = recording()
    files = Counting()
    for number in range(500):
        lines = logged("A", 0, f"t{number}") + logged("B", 1, f"t{number}")
        files[f"tests/t{number}/{SEED:016x}/events.ndjson"] = lines
    made.files = files
    assert len(said(made)) == 1000
    assert (files.now, files.most) == (0, 100)


# --- bundle replay -------------------------------------------------------------------------------


def test_a_test_is_replayed_with_its_events_between_its_output(
    tmp_path: Path, capfd: Capture
) -> None:
    assert run(["replay", str(a_run(tmp_path / "run")), "test_x"]) == 0
    out = re.sub(r"\[ +\d+\.\d+s\]", "[]", capfd.readouterr().out)
    out = re.sub(r"[\d.]+ ms", "N ms", out)
    story = out[out.index("FAIL") : out.index("  stdout ───\n")]
    assert story == (
        "FAIL [] (1/1) tests/test_a.py::test_x[1]\n"
        "  failure ───\n"
        "    no leak\n"
        "  stdout in setup ───\n"
        "    out of setup\n"
        "  events ───\n"
        "    [] INFO  phase     PhaseStarted setup\n"
        '    [] INFO  task      TaskSpawn worker started {"task_id":3}\n'
        "    [] INFO  phase     PhaseFinished setup N ms\n"
        "    [] INFO  phase     PhaseStarted exercise\n"
        "    [] INFO  phase     PhaseStarted exercise > cancel\n"
        "    [] ERROR assertion AssertionRecorded no leak: expected=True, actual=False\n"
        '    [] DEBUG io        IoRead read {"n":5}\n'
        "    [] INFO  phase     PhaseFinished exercise > cancel N ms\n"
        "    [] DEBUG assertion AssertionRecorded drained\n"
        "    [] INFO  phase     PhaseFinished exercise N ms\n"
        "    [] DEBUG assertion AssertionRecorded outside\n"
        "    [] INFO  artifact  Attachment Frame 1.png\n"
        "    [] INFO  artifact  Attachment sched_whole_00000000deadbeef.trace\n"
        "    [] INFO  artifact  Attachment sched_cut_00000000deadbeef.trace\n"
    )
    assert "    hello\n    world\n" in out


def test_a_test_that_passed_is_told_as_well(tmp_path: Path, capfd: Capture) -> None:
    assert run(["replay", str(a_run(tmp_path / "run")), DRAIN, "--category", "io"]) == 0
    out = capfd.readouterr().out
    assert out.count(" io ") == 1
    assert "PhaseStarted" not in out
    assert "    hello\n" in out


def test_times_count_from_the_start_of_the_test_that_is_named(
    tmp_path: Path, capfd: Capture
) -> None:
    path = str(a_run(tmp_path / "run"))
    assert run(["replay", path, DRAIN, "--events"]) == 0
    of_test = capfd.readouterr().out
    assert run(["replay", path, "--events", "--filter", DRAIN]) == 0
    of_run = capfd.readouterr().out
    assert float(of_test[1:12]) < 1 <= float(of_run[1:12])
    assert " drain: PhaseStarted" in of_run
    assert " drain: " not in of_test


def test_events_as_json_count_from_the_start_of_the_run(tmp_path: Path, capfd: Capture) -> None:
    path = a_run(tmp_path / "run")
    assert run(["replay", str(path), DRAIN, "--events", "--json"]) == 0
    shown = [json.loads(one) for one in capfd.readouterr().out.splitlines()]
    [file] = path.glob("tests/drain/*/events.ndjson")
    original = [json.loads(one) for one in file.read_bytes().splitlines()]
    [test] = bundle.read(path).results.with_id(DRAIN)
    for one in original:
        one["ts_us"] += test.attempts[0].started_us
    assert shown == original


def test_a_test_as_json_is_its_log_and_its_events(tmp_path: Path, capfd: Capture) -> None:
    assert run(["replay", str(a_run(tmp_path / "run")), DRAIN, "--json"]) == 0
    shown = [json.loads(one) for one in capfd.readouterr().out.splitlines()]
    kinds = [one["event"] for one in shown]
    assert (kinds[0], kinds[-1]) == ("TestStarted", "TestFinished")
    assert {"TaskSpawn", "TestOutput", "PhaseStarted"} <= set(kinds)
    times = [one["ts_us"] for one in shown]
    assert times == sorted(times)


def test_a_zip_and_a_directory_say_the_same(tmp_path: Path, capfd: Capture) -> None:
    path = a_run(tmp_path / "run")
    with (tmp_path / "run.zip").open("wb") as file:
        packing.pack(path, file)
    texts = []
    for name in (path, tmp_path / "run.zip"):
        assert run(["replay", str(name), "--events"]) == 0
        texts.append(capfd.readouterr().out)
    assert texts[0] == texts[1] != ""


def test_an_artifacts_directory_is_replayed_like_a_run(tmp_path: Path, capfd: Capture) -> None:
    where = str(unpacked(tree("layout1"), tmp_path))
    assert run(["replay", where, "--events", "--category", "io"]) == 0
    assert "cancel_drain_001: IoRead " in capfd.readouterr().out
    assert run(["replay", where, "größenprüfung"]) == 0
    out = capfd.readouterr().out
    assert "PhaseStarted" in out
    assert "RegionClose" in out


def test_every_occurrence_of_a_test_has_its_own_events(tmp_path: Path, capfd: Capture) -> None:
    where = str(unpacked(tree("layout1"), tmp_path))
    assert run(["replay", where, "scheduler_fairness", "--color", "never"]) == 0
    parts = re.split(r"\n +PASS ", capfd.readouterr().out)
    counts = [len(re.findall(r"\n    \[ +\d+\.\d{6}s\]", part)) for part in parts[1:4]]
    assert counts == [15, 4, 12]


def test_damage_of_a_test_bundle_is_said(tmp_path: Path, capfd: Capture) -> None:
    path = a_run(tmp_path / "run")
    [file] = path.glob("tests/drain/*/events.ndjson")
    file.write_bytes(b"garbage\n" + file.read_bytes())
    assert run(["replay", str(path), "--events"]) == 0
    assert "events.ndjson has a line that is no event (line 1" in capfd.readouterr().err
    assert run(["replay", str(path), DRAIN]) == 0
    assert "has a line that is no event (line 1" in capfd.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--raw", "--events"], "--raw and --events do not go together"),
        (["a", "--failed"], "a TEST and --failed do not go together"),
        (["--follow"], "--follow is for --events"),
        (["--follow", "--events", "--failed"], "--follow and --failed do not go together"),
        (["--level", "INFO"], "--level without events to choose"),
        (["--events", "--level", "LOUD"], "level 'LOUD' is unknown"),
    ],
)
def test_words_that_make_no_sense_are_refused(
    words: list[str], said: str, tmp_path: Path, capfd: Capture
) -> None:
    assert run(["replay", str(tmp_path / "."), *words]) == 2
    assert said in capfd.readouterr().err


def test_a_level_may_be_written_in_any_case(tmp_path: Path, capfd: Capture) -> None:
    path = str(a_run(tmp_path / "run"))
    assert run(["replay", path, "--events", "--level", "warning"]) == 0
    assert capfd.readouterr().out.count("\n") == 1


def test_events_of_a_run_without_any_are_nothing(tmp_path: Path, capfd: Capture) -> None:
    quiet = Run(tmp_path / "run")
    quiet.say("TestStarted", "a", order=0)
    quiet.say("TestFinished", "a", outcome="passed", failures=[])
    assert run(["replay", str(quiet.end()), "--events"]) == 0
    assert capfd.readouterr() == ("", "")


# --- events without a run around them -------------------------------------------------------


WITH_CONTEXT = [row for row in truth()["layout1"] if row["events"] and row["events_have_context"]]


@pytest.mark.parametrize("row", WITH_CONTEXT, ids=lambda row: ascii(row["dir"][29:]))
def test_a_log_of_one_test_is_replayed_alone(
    row: dict[str, Any], tmp_path: Path, capfd: Capture
) -> None:
    path = tmp_path / "x.ndjson"
    path.write_bytes(tree(row["dir"].replace("target/test-artifacts/", ""))["events.ndjson"])
    assert run(["replay", str(path), "--events", "--json"]) == 0
    lines = capfd.readouterr().out.splitlines()
    assert [json.loads(one) for one in lines] == [
        json.loads(one) for one in path.read_bytes().splitlines()
    ]
    assert run(["list", str(path), "--json"]) == 0
    [test] = json.loads(capfd.readouterr().out)
    assert (test["test_id"], test["seed"]) == (row["test_id"], seed_of(row))
    assert (test["verdict"], test["own_events"]) == ("unfinished", row["events"])


def test_what_streams_to_stderr_is_told_from_what_else_is_printed_there(
    tmp_path: Path, capfd: Capture
) -> None:
    path = tmp_path / "stderr.log"
    path.write_bytes(bundles()[truth()["stream"]["file"]])
    assert run(["replay", str(path), "--events", "--json"]) == 0
    assert capfd.readouterr().out.count("\n") == truth()["stream"]["lines_that_are_json"]
    assert run(["replay", str(path)]) == 0
    out = capfd.readouterr().out
    assert "    test result: FAILED. 1 passed; 1 failed\n" in out
    assert "while running stream_a" in out


def test_a_stream_cannot_forge_a_verdict(tmp_path: Path, capfd: Capture) -> None:
    path = tmp_path / "x.ndjson"
    forged = {"session": "00000001", "attempt": 1, "outcome": "passed", "failures": []}
    finished = encode_line(
        "TestFinished", ts_us=9, category="x", message="", test_id="a", data=forged
    )
    path.write_bytes(logged("Own", 5) + finished + b"x" * (2 << 20) + b"\n")
    assert run(["list", str(path), "--json"]) == 0
    out, err = capfd.readouterr()
    assert json.loads(out)[0]["verdict"] == "unfinished"
    assert "is too long to be read" in err


MEASURED = """
import atexit, re, sys
from bundler.cli import main
status = open("/proc/self/status")
atexit.register(lambda: print(re.search(r"VmHWM:\\s+(\\d+)", status.read())[1], file=sys.stderr))
main()
"""
"""`bundle`, and then its own peak in KiB: `ru_maxrss` counts what forked it as well."""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
def test_many_events_of_one_test_are_replayed_with_little_memory(tmp_path: Path) -> None:
    going = Run(tmp_path / "run")
    with going.test(DRAIN) as harness:
        for number in range(200_000):
            harness.log("IoRead", "read", level="DEBUG", category="io", number=number)
    going.end()
    words = ["replay", str(tmp_path / "run"), "--events", "--category", "io", "--json"]
    with (tmp_path / "out").open("wb") as out:
        done = subprocess.run(
            [sys.executable, "-c", MEASURED, *words],
            stdout=out,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": HERE},
            check=True,
        )
    assert (tmp_path / "out").read_bytes().count(b"\n") == 200_000
    assert int(done.stderr) < 100 * 1024
