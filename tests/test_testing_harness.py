"""The harness: what a test says of itself is on disk, whatever becomes of the test."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import unittest
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bundler.archive import open_directory
from bundler.formats import asupersync
from bundler.names import check_name, collision_key
from bundler.probe.writer.phases import enter
from bundler.recording import Recording
from bundler.results import Verdict
from bundler.schema import validator
from bundler.testing import (
    ChecksFailed,
    EnvironmentMetadata,
    Port,
    ReproManifest,
    TestContext,
    TestHarness,
    TestSummary,
    phase_tree,
    read_events,
)

CONTEXT = TestContext(test_id="cancel_drain", seed=0xDEADBEEF, subsystem="scheduler")
ROOT = str(Path(__file__).parent.parent)
POSIX = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("BUNDLE_ARTIFACTS_DIR", str(tmp_path / "artifacts"))
    yield tmp_path / "artifacts"


def place(base: Path) -> Path:
    return base / "cancel_drain" / "00000000deadbeef"


def names(base: Path) -> list[str]:
    where = place(base)
    return sorted(path.relative_to(where).as_posix() for path in where.rglob("*"))


def manifest(base: Path) -> ReproManifest:
    return ReproManifest.load(place(base) / "manifest.json")


def summary(base: Path) -> TestSummary:
    return TestSummary.from_document(json.loads((place(base) / "summary.json").read_bytes()))


def events(base: Path) -> list[str]:
    return [event.event for event in read_events(place(base) / "events.ndjson")]


def recording(base: Path) -> Recording:
    return asupersync.read(open_directory(base), where=str(base))


def run(code: str, base: Path) -> int:
    """Run a program with the harness in it, and return how it ended."""
    env = {**os.environ, "BUNDLE_ARTIFACTS_DIR": str(base), "PYTHONPATH": ROOT}
    prelude = "import os, signal\nfrom bundler.testing import *\n"
    prelude += "CONTEXT = TestContext(test_id='cancel_drain', seed=0xDEADBEEF)\n"
    command = [sys.executable, "-c", prelude + textwrap.dedent(code)]
    return subprocess.run(command, env=env, timeout=60).returncode


# --- a test that is over -----------------------------------------------------------------------


def test_a_test_that_passes_leaves_what_it_said(base: Path) -> None:
    with TestHarness(CONTEXT) as bundle:
        with bundle.phase("setup"):
            bundle.log("TaskSpawn", "worker started", category="task", task_id=3)
        with bundle.phase("exercise"):
            assert bundle.check("drained", 4, 4)
    assert names(base) == ["environment.json", "events.ndjson", "manifest.json", "summary.json"]
    assert manifest(base).passed
    assert manifest(base).failure_class == "passed"
    assert manifest(base).failure_reason is None
    assert manifest(base).context() == CONTEXT
    assert manifest(base).phases_executed == ("setup", "exercise")
    assert manifest(base).artifact_paths == ("environment.json", "events.ndjson", "summary.json")
    found = summary(base)
    assert (found.passed, found.total_assertions, found.failed_assertions) == (True, 1, 0)
    assert found.event_stats.total_events == len(events(base)) == 6
    assert found.event_stats.task_spawns == 1
    assert found.context == CONTEXT


def test_a_test_that_passes_and_says_nothing_leaves_nothing(base: Path) -> None:
    with TestHarness(CONTEXT):
        pass
    assert not base.exists()


def test_every_document_fits_its_schema(base: Path) -> None:
    with pytest.raises(ChecksFailed), TestHarness(CONTEXT) as bundle, bundle.phase("setup"):
        bundle.check("drained", 4, 3)
        bundle.attach(b"x", "note.txt")
    document = json.loads((place(base) / "manifest.json").read_bytes())
    assert list(validator("repro-manifest.v1").iter_errors(document)) == []
    for line in (place(base) / "events.ndjson").read_bytes().splitlines():
        assert list(validator("event.v1").iter_errors(json.loads(line))) == []


def test_a_failed_check_fails_the_test_at_its_end(base: Path) -> None:
    with pytest.raises(ChecksFailed) as caught, TestHarness(CONTEXT) as bundle:
        assert not bundle.check("drained", 4, 3)
        assert bundle.check("made all the same", "a", "a")
    assert str(caught.value) == "1 check failed\ndrained: expected=4, actual=3"
    assert [one.description for one in caught.value.failed] == ["drained"]
    assert manifest(base).failure_class == "assertion_failure"
    assert manifest(base).failure_reason == "drained: expected=4, actual=3"
    assert not summary(base).passed
    [failed] = json.loads((place(base) / "failed_assertions.json").read_bytes())
    assert failed["description"] == "drained"
    assert summary(base).failure_artifacts == ("events.ndjson", "failed_assertions.json")


def test_an_exception_is_the_reason(base: Path) -> None:
    with pytest.raises(ZeroDivisionError), TestHarness(CONTEXT):
        raise ZeroDivisionError("by nothing")
    assert not manifest(base).passed
    assert manifest(base).failure_class == "error"
    assert manifest(base).failure_reason == "ZeroDivisionError: by nothing"


def test_an_assertion_is_a_failure_of_its_own_class(base: Path) -> None:
    with pytest.raises(AssertionError, match="no"), TestHarness(CONTEXT):
        raise AssertionError("no")
    assert manifest(base).failure_class == "assertion_failure"


@pytest.mark.parametrize("skip", [pytest.skip.Exception("later"), unittest.SkipTest("later")])
def test_a_test_that_skips_itself_has_not_failed(base: Path, skip: BaseException) -> None:
    with pytest.raises(type(skip)), TestHarness(CONTEXT) as bundle:
        bundle.log("X")
        raise skip
    assert manifest(base).passed


def test_a_fixture_says_how_the_test_ended(base: Path) -> None:
    bundle = TestHarness(CONTEXT)
    found = bundle.finish(passed=False, failure_class="timeout", failure_reason="after 5 s")
    assert bundle.finish() is found
    assert not found.passed
    assert manifest(base).failure_class == "timeout"
    assert manifest(base).failure_reason == "after 5 s"


def test_a_run_is_named_in_the_manifest(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BUNDLE_RUN_ID", "0f4c1a52-8d0e-4f7b-9a86-1f2d3c4b5a69")
    monkeypatch.setenv("BUNDLE_SEED", "7")
    monkeypatch.setenv("API_TOKEN", "not to be seen")
    with TestHarness(CONTEXT) as bundle:
        bundle.log("X")
    assert manifest(base).run_id == "0f4c1a52-8d0e-4f7b-9a86-1f2d3c4b5a69"
    assert ("BUNDLE_SEED", "7") in manifest(base).env_snapshot
    assert b"not to be seen" not in (place(base) / "manifest.json").read_bytes()


def test_what_the_test_was_given_is_in_its_environment(base: Path) -> None:
    with TestHarness(CONTEXT) as bundle:
        bundle.log("X")
        bundle.environment = EnvironmentMetadata.of_this_process(
            CONTEXT, ports=[Port(label="http", port=8080)]
        )
    document = json.loads((place(base) / "environment.json").read_bytes())
    assert document["ports"] == [{"label": "http", "port": 8080}]


def test_a_given_base_is_taken(base: Path, tmp_path: Path) -> None:
    bundle = TestHarness(CONTEXT, base=tmp_path / "other")
    assert bundle.directory == tmp_path / "other" / "cancel_drain" / "00000000deadbeef"
    assert not base.exists()


def test_a_test_may_change_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with TestHarness(CONTEXT) as bundle:
        (tmp_path / "elsewhere").mkdir()
        os.chdir("elsewhere")
        bundle.log("X")
    assert manifest(tmp_path / "target" / "test-artifacts").passed


# --- phases and checks -------------------------------------------------------------------------


def test_phases_are_a_tree_with_their_assertions(base: Path) -> None:
    with TestHarness(CONTEXT) as bundle:
        bundle.check("outside", 1, 1)
        with bundle.phase("exercise"):
            with bundle.phase("cancel"):
                bundle.check("inside", 1, 1)
            with bundle.phase("cancel"):
                pass
        with bundle.phase("teardown"):
            pass
    found = summary(base)
    assert [(one.name, one.depth) for one in found.walk()] == [
        *(("exercise", 0), ("cancel", 1), ("cancel", 1), ("teardown", 0)),
    ]
    assert [one.phase_path for one in found.assertions()] == ["exercise > cancel"]
    assert found.total_assertions == 2
    for phase in found.walk():
        assert phase.end_ms is not None
        assert 0 <= phase.start_ms <= phase.end_ms <= found.duration_ms
    assert [line.split()[0] for line in phase_tree(found)] == ["exercise", "├──", "└──", "teardown"]


def test_a_phase_ends_with_its_exception(base: Path) -> None:
    with pytest.raises(KeyError), TestHarness(CONTEXT) as bundle:
        try:
            with bundle.phase("a"):
                raise ValueError
        except ValueError:
            pass
        with bundle.phase("b"):
            raise KeyError
    assert [(one.name, one.depth) for one in summary(base).walk()] == [("a", 0), ("b", 0)]
    assert events(base) == ["PhaseStarted", "PhaseFinished"] * 2


def test_tasks_have_phases_of_their_own(base: Path) -> None:
    async def work(bundle: TestHarness, name: str) -> None:
        with bundle.phase(name):
            await asyncio.sleep(0)
            with bundle.phase(f"{name} inside"):
                await asyncio.sleep(0)
                bundle.check(name, 1, 1)

    async def main(bundle: TestHarness) -> None:
        with bundle.phase("all"):
            await asyncio.gather(work(bundle, "a"), work(bundle, "b"))

    with TestHarness(CONTEXT) as bundle:
        asyncio.run(main(bundle))
    assert [one.phase_path for one in summary(base).assertions()] == [
        *("all > a > a inside", "all > b > b inside"),
    ]


def test_threads_have_phases_of_their_own(base: Path) -> None:
    ready = threading.Barrier(4)

    def work(bundle: TestHarness, number: int) -> None:
        with bundle.phase(f"thread {number}"):
            ready.wait(10)
            for _ in range(50):
                bundle.check("x", 1, 1)

    with TestHarness(CONTEXT) as bundle, bundle.phase("main"):
        threads = [threading.Thread(target=work, args=(bundle, n)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    found = summary(base)
    assert found.total_assertions == 200
    assert sorted(len(one.assertions) for one in found.phases) == [0, 50, 50, 50, 50]
    assert found.event_stats.total_events == len(events(base)) == 210


def test_the_first_event_may_come_from_any_thread(base: Path) -> None:
    for _ in range(20):
        context = TestContext(test_id="racing", seed=len(list(base.glob("racing/*"))))
        bundle = TestHarness(context)
        ready = threading.Barrier(8)

        def work(bundle: TestHarness = bundle, ready: threading.Barrier = ready) -> None:
            ready.wait(10)
            bundle.log("X")

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert bundle.finish().event_stats.total_events == 8
        assert len(list(bundle.logger.events())) == 8


def test_two_harnesses_keep_their_phases_apart(base: Path) -> None:
    other = TestHarness(TestContext(test_id="other", seed=1))
    with TestHarness(CONTEXT) as bundle, bundle.phase("mine"):
        with other.phase("theirs"):
            bundle.check("mine", 1, 1)
            other.check("theirs", 1, 1)
        bundle.check("mine", 1, 1)
    assert [len(one.assertions) for one in other.finish().walk()] == [1]
    # In the other's phase, a test of ours is outside of its own.
    assert [len(one.assertions) for one in summary(base).walk()] == [1]


def test_phases_may_lie_deeper_than_a_document(base: Path) -> None:
    def descend(bundle: TestHarness, levels: int) -> None:
        with bundle.phase(f"level {levels}"):
            if levels:
                descend(bundle, levels - 1)

    with TestHarness(CONTEXT) as bundle:
        descend(bundle, 60)
    assert len(list(summary(base).walk())) == 61
    assert recording(base).problems == []


def test_a_check_keeps_what_it_compared_whatever_it_is(base: Path) -> None:
    class Broken:
        def __repr__(self) -> str:
            raise RuntimeError

    with pytest.raises(ChecksFailed), TestHarness(CONTEXT) as bundle:
        bundle.check("broken", Broken(), "x" * 100_000)
        bundle.check("surrogate", "a\udc80", 1)
        bundle.check("decided by the test", 1, 2, passed=True)
    first, second = json.loads((place(base) / "failed_assertions.json").read_bytes())
    assert first["expected"] == "<Broken, whose repr raises RuntimeError>"
    assert first["actual"].endswith("… (100002 characters)")
    assert second["expected"] == "'a\\udc80'"
    assert summary(base).passed_assertions == 1


@pytest.mark.parametrize("how", ["never left", "left after the end", "begun after the end"])
def test_a_phase_that_does_not_end_ends_with_the_test(base: Path, how: str) -> None:
    bundle = TestHarness(CONTEXT)
    outer, inner = bundle.phase("outer"), bundle.phase("inner")
    outer.__enter__()
    inner.__enter__()
    found = bundle.finish()
    if how == "left after the end":
        inner.__exit__(None, None, None)
        outer.__exit__(None, None, None)
    if how == "begun after the end":
        with bundle.phase("late"):
            pass
    assert [one.name for one in found.walk()] == ["outer", "inner"]
    for phase in found.walk():
        assert phase.end_ms is not None
        assert phase.start_ms <= phase.end_ms <= found.duration_ms
    ended = [one.data for one in read_events(place(base) / "events.ndjson", event="PhaseFinished")]
    assert [one["name"] for one in ended][:2] == ["inner", "outer"]
    assert [one["name"] for one in ended][2:] == (["late"] if how == "begun after the end" else [])
    assert found.event_stats.total_events == 4
    enter(None)


def test_without_end_a_test_says_it_all_and_its_documents_stay_small(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bundler.probe.writer.harness.MOST_KEPT", 20)
    with pytest.raises(ChecksFailed) as caught, TestHarness(CONTEXT) as bundle:
        for number in range(50):
            with bundle.phase("again"):
                bundle.check("even", 0, number % 2)
    found = summary(base)
    assert (found.total_assertions, found.failed_assertions) == (50, 25)
    assert len(list(found.walk())) == len(list(found.assertions())) == 20
    assert len(json.loads((place(base) / "failed_assertions.json").read_bytes())) == 20
    assert len(caught.value.failed) == 20
    assert len(events(base)) == found.event_stats.total_events == 150


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
def test_a_million_events_of_one_test_take_little_memory(base: Path) -> None:
    code = """
        import re
        with TestHarness(CONTEXT) as bundle:
            for number in range(900_000):
                bundle.log("TaskPoll", "polled", category="task", task_id=number)
            for number in range(50_000):
                bundle.check("again", number, number)
            for number in range(25_000):
                with bundle.phase("again"):
                    pass
        peak = int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1])
        assert bundle.finish().event_stats.total_events == 1_000_000
        assert peak < 256 * 1024, peak
    """
    assert run(code, base) == 0


# --- files -------------------------------------------------------------------------------------


def test_bytes_and_files_are_attached(base: Path, tmp_path: Path) -> None:
    (tmp_path / "shot.png").write_bytes(b"png")
    with TestHarness(CONTEXT) as bundle:
        paths = [
            bundle.attach(b"one", "note.txt"),
            bundle.attach(b"two", "note.txt"),
            bundle.attach(tmp_path / "shot.png"),
            bundle.attach(str(tmp_path / "shot.png"), "Shot.PNG"),
            bundle.attach(b"three", media_type="x/y"),
        ]
    assert [path.read_bytes() for path in paths] == [b"one", b"two", b"png", b"png", b"three"]
    assert [path.name for path in paths[:3]] == ["note.txt", "note-2.txt", "shot.png"]
    assert paths[3].name.startswith("Shot-")
    assert set(manifest(base).artifact_paths) >= {path.name for path in paths}
    logged = [one.data for one in read_events(place(base) / "events.ndjson", event="Attachment")]
    assert [one["name"] for one in logged] == [
        *("note.txt", "note.txt", "shot.png", "Shot.PNG", "attachment"),
    ]
    assert [one["path"] for one in logged] == [path.name for path in paths]
    assert [one["size"] for one in logged] == [3, 3, 3, 3, 5]
    assert [one["media_type"] for one in logged] == [
        *("text/plain", "text/plain", "image/png", "image/png", "x/y"),
    ]


def test_a_file_that_is_not_there_is_the_test_s_own_error(base: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        TestHarness(CONTEXT).attach(tmp_path / "absent")


def test_an_attachment_never_takes_the_place_of_a_document(base: Path) -> None:
    with TestHarness(CONTEXT) as bundle:
        bundle.log("X")
        for name in ("manifest.json", "events.ndjson", "Summary.json"):
            bundle.attach(b"evil", name)
    assert manifest(base).passed
    assert "X" in events(base)


@pytest.mark.parametrize(
    "name", ["../../x", "/etc/passwd", "CON", "a" * 300, "🦀/", "x.tmp", "a\0b"]
)
def test_a_hostile_name_lies_in_the_bundle_and_is_found_by_its_real_name(
    base: Path, name: str
) -> None:
    with TestHarness(CONTEXT) as bundle:
        path = bundle.attach(b"content", name)
        trace = bundle.trace(name)
        trace.write_bytes(b"trace")
    assert path.parent == trace.parent == place(base)
    found = {
        event.payload()["name"]: event.payload()["path"]
        for _, event in recording(base).events()
        if event.event == "Attachment"
    }
    files = recording(base).files
    assert files[found[name]] == b"content"
    assert files[found[f"scheduler_{name}_00000000deadbeef.trace"]] == b"trace"


HOSTILE_IDS = [
    *("../x", "..", "a/b", "a\\b", "/etc/x", "CON", "con", "Con", "y" * 300, "y" * 301, "🦀", "🦞"),
    *("é", "e\u0301", "a\0b", "\x1b[2J", "x.", "x ", "", "a" * 120, "A" * 120, "run.lock", "-rf"),
    *("con-10b33ed18f7b7b5d", "plain"),
]


def test_hostile_ids_have_a_directory_each_and_are_found_by_them(base: Path) -> None:
    for test_id in HOSTILE_IDS:
        with TestHarness(TestContext(test_id=test_id, seed=7)) as bundle:
            bundle.log("X", said=test_id)
            bundle.trace(test_id).write_bytes(b"trace")
    folders = [path.name for path in base.iterdir()]
    assert len({collision_key(name) for name in folders}) == len(folders) == len(HOSTILE_IDS)
    for name in folders:
        check_name(name)
    found = recording(base)
    for test_id in filter(None, HOSTILE_IDS):  # one without an id has no name but its directory's
        [test] = found.results.with_id(test_id)
        assert (test.verdict, test.seed) == (Verdict.PASSED, 7)


def test_a_trace_has_the_name_of_its_subsystem_and_scenario(base: Path) -> None:
    with TestHarness(CONTEXT) as bundle:
        path = bundle.trace("cancel_drain")
        path.write_bytes(b"trace")
        assert bundle.trace("cancel_drain") == path
        assert bundle.trace("never_written") != path
    assert path == place(base) / "scheduler_cancel_drain_00000000deadbeef.trace"
    assert manifest(base).trace_file == path.name
    assert path.name in manifest(base).artifact_paths
    assert "never_written" not in str(manifest(base).artifact_paths)


def test_traces_that_would_share_a_name_do_not(base: Path) -> None:
    context = TestContext(test_id="cancel_drain", seed=0xDEADBEEF, subsystem="x")
    bundle = TestHarness(context)
    first = bundle.trace("y_z")
    bundle._traces.clear()  # as if another subsystem had given the same name
    assert bundle.trace("y_z") != first
    assert bundle.trace("Y_z").name.lower() != first.name.lower()


# --- what becomes of the test ------------------------------------------------------------------


@POSIX
def test_a_killed_test_leaves_what_it_had_logged(base: Path) -> None:
    code = """
        with TestHarness(CONTEXT) as bundle, bundle.phase("setup"):
            bundle.log("Before", number=1)
            bundle.check("drained", 4, 3)
            os.kill(os.getpid(), signal.SIGKILL)
    """
    assert run(code, base) == -signal.SIGKILL
    assert names(base) == ["environment.json", "events.ndjson"]
    assert events(base) == ["PhaseStarted", "Before", "AssertionRecorded"]
    found = recording(base)
    [test] = found.results.tests
    assert (test.test_id, test.seed) == ("cancel_drain", 0xDEADBEEF)
    assert test.verdict is Verdict.UNFINISHED
    assert test.own_events == 3


@POSIX
def test_a_forked_child_that_falls_through_leaves_the_documents_alone(base: Path) -> None:
    code = """
        with TestHarness(CONTEXT) as bundle:
            with bundle.phase("setup"):
                child = os.fork()
                if child:
                    os.waitpid(child, 0)
                    bundle.log("InParent")
                else:
                    bundle.log("InChild")
                    bundle.check("child", 1, 2)
        if not child:
            os._exit(0)
    """
    assert run(code, base) == 0
    assert manifest(base).passed
    assert summary(base).total_assertions == 0
    assert events(base) == [
        *("PhaseStarted", "InChild", "AssertionRecorded", "InParent", "PhaseFinished"),
    ]
    assert summary(base).event_stats.total_events == 5
    assert summary(base).event_stats.errors == 1


@POSIX
def test_what_a_forked_child_logs_first_arrives(base: Path) -> None:
    assert run("with TestHarness(CONTEXT) as bundle: bundle.log('Earlier')", base) == 0
    code = """
        with TestHarness(CONTEXT) as bundle:
            child = os.fork()
            if not child:
                bundle.log("InChild")
                os._exit(0)
            os.waitpid(child, 0)
            bundle.log("InParent")
    """
    assert run(code, base) == 0
    assert events(base) == ["InChild", "InParent"]


def test_what_a_test_patches_is_not_what_records_it(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> Any:
        raise AssertionError("patched")

    bundle = TestHarness(CONTEXT)
    with monkeypatch.context() as patched:
        for name in ("dumps", "JSONEncoder.encode", "JSONEncoder.iterencode"):
            patched.setattr(f"json.{name}", broken)
        for name in ("time", "time_ns", "monotonic", "monotonic_ns", "perf_counter"):
            patched.setattr(f"time.{name}", broken)
        for name in ("open", "write", "close", "fstat", "replace", "listdir", "makedirs"):
            patched.setattr(f"os.{name}", broken)
        patched.setattr("builtins.open", broken)
        with bundle.phase("setup"):
            bundle.log("X", number=1, odd=object(), surrogate="\udc80")
        bundle.attach(b"x", "note.txt")
        bundle.finish()
    assert bundle.problem == ""
    assert events(base) == ["PhaseStarted", "X", "PhaseFinished", "Attachment"]
    assert manifest(base).passed
    assert "note.txt" in manifest(base).artifact_paths


def test_frozen_time_does_not_stop_the_clock(base: Path) -> None:
    freezegun = pytest.importorskip("freezegun")
    with freezegun.freeze_time("2001-01-01"), TestHarness(CONTEXT) as bundle:
        bundle.log("First")
        threading.Event().wait(0.005)
        bundle.log("Second")
    first, second = read_events(place(base) / "events.ndjson")
    assert second.ts_us - first.ts_us >= 4000
    assert summary(base).duration_ms >= 4


def test_a_fake_file_system_does_not_swallow_what_is_recorded(base: Path) -> None:
    fake = pytest.importorskip("pyfakefs.fake_filesystem_unittest")
    with TestHarness(CONTEXT) as bundle, fake.Patcher():
        bundle.log("X")
        with bundle.phase("setup"):
            bundle.attach(b"x", "note.txt")
        bundle.finish()
    assert events(base) == ["X", "PhaseStarted", "Attachment", "PhaseFinished"]
    assert manifest(base).passed
    assert (place(base) / "note.txt").read_bytes() == b"x"


def test_a_second_attempt_in_a_process_adds_to_the_first(base: Path) -> None:
    with pytest.raises(ChecksFailed), TestHarness(CONTEXT) as bundle:
        bundle.log("First")
        bundle.attach(b"one", "note.txt")
        bundle.check("flaky", 1, 2)
    with TestHarness(CONTEXT) as bundle:
        bundle.log("Second")
        bundle.attach(b"two", "note.txt")
    assert manifest(base).passed
    assert {"First", "Second"} <= set(events(base))
    assert (place(base) / "note.txt").read_bytes() == b"one"
    assert (place(base) / "note-2.txt").read_bytes() == b"two"


def test_a_bundle_of_an_earlier_process_is_begun_anew(base: Path) -> None:
    failing = "with TestHarness(CONTEXT) as bundle: bundle.check('x', 1, 2)"
    assert run(failing, base) == 1
    assert "failed_assertions.json" in names(base)
    assert run("with TestHarness(CONTEXT) as bundle: bundle.log('Later')", base) == 0
    assert events(base) == ["Later"]
    assert "failed_assertions.json" not in names(base)


def test_within_a_run_an_earlier_process_is_added_to(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BUNDLE_RUN_ID", "0f4c1a52-8d0e-4f7b-9a86-1f2d3c4b5a69")
    for word in ("First", "Second"):
        assert run(f"with TestHarness(CONTEXT) as bundle: bundle.log('{word}')", base) == 0
    assert events(base) == ["First", "AttemptStarted", "Second"]


def test_a_place_that_cannot_be_written_breaks_no_test(
    base: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base.write_text("a file where a directory should be")
    with TestHarness(CONTEXT) as bundle, bundle.phase("setup"):
        bundle.log("X")
        bundle.check("fine", 1, 1)
        bundle.attach(b"x", "note.txt")
    assert bundle.problem == "Not a directory"
    assert capsys.readouterr().err == ("bundle: the recording of 'cancel_drain': Not a directory\n")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_breaks_no_test(base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place(base).mkdir(parents=True)
    (place(base) / "events.ndjson").symlink_to("/dev/full")
    os.environ["BUNDLE_RUN_ID"] = "x"  # so that what is there is added to
    try:
        with TestHarness(CONTEXT) as bundle:
            bundle.log("X")
    finally:
        del os.environ["BUNDLE_RUN_ID"]
    assert bundle.problem == "No space left on device"
    assert "No space left on device" in capsys.readouterr().err
    assert manifest(base).passed


# --- read again --------------------------------------------------------------------------------


def test_a_bundle_is_read_back_as_a_test(base: Path) -> None:
    with pytest.raises(ChecksFailed), TestHarness(CONTEXT) as bundle:
        with bundle.phase("setup"):
            bundle.log("TaskSpawn", task_id=3)
        bundle.check("drained", 4, 3)
        bundle.attach(b"x", "Note.txt")
    with TestHarness(TestContext(test_id="tests/test_a.py::test_b[x/y]", seed=5)) as other:
        other.log("X")
    found = recording(base)
    assert found.problems == []
    assert found.results.counts == {"passed": 1, "failed": 1}
    failed = found.results.with_id("cancel_drain")[0]
    assert [one.message for one in failed.attempts[0].failures] == ["drained: expected=4, actual=3"]
    [passed] = found.results.with_id("tests/test_a.py::test_b[x/y]")
    assert (passed.verdict, passed.seed, passed.own_events) == (Verdict.PASSED, 5, 1)
    logged = [event.event for _, event in found.events()]
    assert logged.count("PhaseStarted") == logged.count("AssertionRecorded") == 1
    attachments: list[dict[str, Any]] = [
        event.payload()
        for _, event in found.events()
        if event.event == "Attachment" and event.level != "TRACE"  # the bundle's own documents
    ]
    [attachment] = attachments
    assert attachment["name"] == "Note.txt"
    assert found.files[attachment["path"]] == b"x"
