"""The fixture `bundle`: what a test says of itself is in the run, however it was run or died."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from command_line import Place, place

from bundler.names import slug
from bundler.recording import Recording
from bundler.schema import validator
from bundler.testing import NdjsonEvent, ReproManifest, TestSummary, read_events
from bundler.verification import verify

PYTEST = (sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:bundle")

SUITE = """
import asyncio, logging, os, sys, threading, time
import pytest

def test_bundler_is_not_there(bundle):
    bundle.log("Alone")
    assert not [name for name in sys.modules if name.partition(".")[0] == "bundler"]

@pytest.mark.bundle(subsystem="scheduler", invariant="losers_drained")
def test_says_all(bundle, bundle_seed):
    assert bundle.seed == bundle_seed
    logging.getLogger().addHandler(bundle.logging_handler())
    with bundle.phase("setup"):
        bundle.log("TaskSpawn", "worker started", task_id=3)
        with bundle.phase("inner"):
            logging.warning("%s of %d", "some", 3)
    assert bundle.check("drained", 4, 4)
    bundle.attach(b"png", "screen.png")
    bundle.attach(__file__)
    bundle.trace("cancel_drain").write(b"trace")

def test_the_handler_is_gone(bundle):
    logging.warning("not for a bundle")

def test_says_nothing(bundle):
    pass

@pytest.mark.bundle(subsystem="drain", invariant=["not", "a", "text"], other=1)
def test_checks(bundle):
    with bundle.phase("look"):
        bundle.log("X")
    assert not bundle.check("drained", 4, 3)
    assert bundle.check("fine", 1, 1)
    bundle.check("named", "a", "b")

def test_raises(bundle):
    bundle.check("drained", 4, 3)
    raise ZeroDivisionError("by nothing")

@pytest.mark.xfail
def test_xfails(bundle):
    bundle.check("drained", 4, 3)

def test_skips(bundle):
    bundle.log("X")
    pytest.skip("later")

@pytest.fixture
def broken(bundle):
    bundle.log("X")
    raise LookupError("no setup")

def test_errors(broken):
    pass

@pytest.fixture
def slow():
    time.sleep(0.02)

def test_is_late(slow, bundle):
    bundle.log("X")

def test_threads(bundle):
    def work(number):
        with bundle.phase(f"thread {number}"):
            bundle.log("InThread", number=number)
    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for one in threads: one.start()
    for one in threads: one.join()

def test_tasks(bundle):
    async def work(name):
        with bundle.phase(name):
            await asyncio.sleep(0)
            bundle.check(name, 1, 1)
    async def main():
        with bundle.phase("all"):
            await asyncio.gather(work("a"), work("b"))
    asyncio.run(main())

def test_forks(bundle):
    bundle.log("InParent")
    child = os.fork()
    if not child:
        bundle.log("InChild")
        os._exit(0)
    os.waitpid(child, 0)

def test_patches(bundle, monkeypatch):
    monkeypatch.setattr("json.dumps", None)
    monkeypatch.setattr("time.monotonic_ns", None)
    monkeypatch.setattr("os.write", None)
    bundle.log("X")

@pytest.mark.parametrize("name", ["../x", "a/b", "CON", "con", "y" * 300, "\\U0001f980", "\\udc80"])
def test_odd(bundle, name):
    bundle.log("X", name=name)
    bundle.attach(b"x", name)
    bundle.trace(name).write(b"x")
"""
ID = "test_it.py::test_{}"


@dataclass(frozen=True)
class Run:
    """A recorded run, and its test bundles by the real id of the test."""

    recording: Recording
    code: int
    stdout: str
    stderr: str

    def bundle(self, name: str) -> str:
        """The folder of a test's bundle: a member's name up to its last slash."""
        [seed] = {t.seed for t in self.recording.results.with_id(ID.format(name))}
        return f"tests/{slug(ID.format(name))}/{seed:016x}/"

    def names(self, name: str) -> list[str]:
        prefix = self.bundle(name)
        return [one[len(prefix) :] for one in self.recording.files if one.startswith(prefix)]

    def events(self, name: str, file: str = "events.ndjson") -> list[NdjsonEvent]:
        with self.recording.files.open(self.bundle(name) + file) as opened:  # type: ignore[attr-defined]
            return list(read_events(opened))

    def kinds(self, name: str) -> list[str]:
        return [event.event for event in self.events(name)]

    def document(self, name: str, file: str) -> Any:
        return json.loads(self.recording.files[self.bundle(name) + file])

    def manifest(self, name: str) -> ReproManifest:
        document = self.document(name, "manifest.json")
        validator("repro-manifest.v1").validate(document)
        manifest = ReproManifest.from_document(document)
        assert manifest.scenario_id == ID.format(name)
        return manifest

    def summary(self, name: str) -> TestSummary:
        return TestSummary.from_document(self.document(name, "summary.json"))


def record(here: Place, *words: str, **environment: str) -> Run:
    ended = here.bundle("run", "--", *PYTEST, *words, **environment)
    return Run(here.latest(), ended.code, ended.stdout, ended.stderr)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    here = place(tmp_path_factory.mktemp("run"))
    here.file("test_it.py", SUITE)
    yield record(here)


# --- a recorded run ----------------------------------------------------------------------------


def test_the_run_is_whole_and_valid(run: Run) -> None:
    assert run.code == 1
    assert verify(run.recording) == []
    verdicts = {
        one.test_id.removeprefix("test_it.py::test_"): one.verdict.value
        for one in run.recording.results.tests
    }
    others = {name: verdict for name, verdict in verdicts.items() if verdict != "passed"}
    assert others == {
        "checks": "failed",
        "raises": "failed",
        "xfails": "xfailed",
        "skips": "skipped",
        "errors": "errored",
    }


def test_a_test_that_passes_leaves_what_it_said(run: Run) -> None:
    trace = f"scheduler_cancel_drain_{run.manifest('says_all').seed:016x}.trace"
    assert set(run.names("says_all")) == {
        *("environment.json", "events.ndjson", "manifest.json", "summary.json"),
        *("screen.png", "test_it.py", trace),
    }
    assert run.recording.files[run.bundle("says_all") + trace] == b"trace"
    manifest, summary = run.manifest("says_all"), run.summary("says_all")
    assert (manifest.passed, manifest.trace_file) == (True, trace)
    assert (manifest.subsystem, manifest.invariant) == ("scheduler", "losers_drained")
    assert manifest.run_id == run.recording.manifest.run_id
    assert manifest.phases_executed == ("setup", "inner")
    assert (summary.passed, summary.total_assertions) == (True, 1)
    assert run.kinds("says_all") == [
        *("PhaseStarted", "TaskSpawn", "PhaseStarted", "LogRecord", "PhaseFinished"),
        *("PhaseFinished", "AssertionRecorded", "Attachment", "Attachment", "Attachment"),
    ]
    assert run.events("says_all")[3].message == "some of 3"


def test_a_test_that_says_nothing_leaves_nothing(run: Run) -> None:
    assert run.names("says_nothing") == run.names("the_handler_is_gone") == []


def test_a_failed_check_fails_the_test_at_its_end_and_all_are_shown(run: Run) -> None:
    line = SUITE.splitlines().index('    assert not bundle.check("drained", 4, 3)') + 1
    shown = f"2 of 3 checks failed\ntest_it.py:{line}: drained: expected=4, actual=3\n"
    assert f"{shown}test_it.py:{line + 2}: named: expected='a', actual='b'\n" in run.stdout
    [failure] = run.recording.results.with_id(ID.format("checks"))[0].attempts[0].failures
    assert (failure.phase, failure.file, failure.line) == ("call", "test_it.py", line)
    manifest = run.manifest("checks")
    assert manifest.failure_class == "assertion_failure"
    assert (manifest.subsystem, manifest.invariant) == ("drain", None)
    assert manifest.phases_executed == ("look",)
    first, second = run.document("checks", "failed_assertions.json")
    assert (first["description"], first["expected"], first["actual"]) == ("drained", "4", "3")
    assert second["description"] == "named"


def test_what_the_run_saw_lies_beside_what_the_test_said(run: Run) -> None:
    assert run.kinds("checks")[-3:] == ["AssertionRecorded"] * 3
    seen = [event.event for event in run.events("checks", "run_events.ndjson")]
    assert (seen[0], seen[-1]) == ("TestStarted", "TestFinished")


def test_failed_checks_are_shown_beside_an_exception(run: Run) -> None:
    assert "ZeroDivisionError: by nothing" in run.stdout
    assert "1 of 1 check failed\ntest_it.py:" in run.stdout
    assert run.manifest("raises").failure_class == "exception"
    own, seen = run.document("raises", "failed_assertions.json")
    assert (own["expected"], seen["type"]) == ("4", "ZeroDivisionError")
    assert not run.summary("raises").passed


def test_what_became_of_the_test_is_in_its_bundle(run: Run) -> None:
    assert run.manifest("skips").passed
    assert run.summary("errors").passed is False
    assert run.manifest("errors").failure_class == "setup_error"


def test_threads_tasks_and_forked_children_say_it_too(run: Run) -> None:
    assert run.kinds("threads").count("InThread") == 4
    assert sorted(phase.name for phase in run.summary("threads").phases) == [
        f"thread {number}" for number in range(4)
    ]
    assert [one.phase_path for one in run.summary("tasks").assertions()] == ["all > a", "all > b"]
    assert run.kinds("forks") == ["InParent", "InChild"]
    assert run.summary("forks").event_stats.total_events == 2


def test_a_test_cannot_patch_it_away(run: Run) -> None:
    assert run.kinds("patches") == ["X"]


def test_times_count_from_the_start_of_the_test(run: Run) -> None:
    log = {
        (event.event, event.test_id): event.ts_us
        for _, event in run.recording.events()
        if event.event in ("TestStarted", "TestFinished")
    }
    [late] = run.events("is_late")
    assert late.ts_us >= 20_000
    for name in ("says_all", "forks", "is_late"):
        began, ended = (log[kind, ID.format(name)] for kind in ("TestStarted", "TestFinished"))
        for event in run.events(name):
            assert 0 < event.ts_us < ended - began


def test_odd_ids_have_a_directory_each_and_are_found_by_them(run: Run) -> None:
    odd = [one for one in run.recording.results.tests if "test_odd[" in one.test_id]
    folders = {slug(one.test_id).lower() for one in odd}
    assert len(odd) == len(folders) == 7
    for one in odd:
        name = one.test_id.removeprefix("test_it.py::test_")
        assert run.kinds(name) == ["X", "Attachment", "Attachment"]
        files = run.names(name)
        for event in run.events(name)[1:]:
            assert event.data["path"] in files
        assert run.manifest(name).seed == one.seed
    assert run.stderr.count("bundle:") == 1  # nothing had to be renamed afterwards


# --- other ways to run -------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["os._exit(3)", "os.kill(os.getpid(), 9)"])
def test_a_killed_test_leaves_what_it_had_said(tmp_path: Path, way: str) -> None:
    here = place(tmp_path)
    here.file(
        "test_it.py",
        f"""
import os

def test_dies(bundle):
    bundle.attach(b"x", "note.txt")
    with bundle.phase("setup"):
        bundle.log("Before", number=1)
        bundle.check("drained", 4, 3)
        bundle.trace("cut").write(b"half")
        {way}
""",
    )
    run = record(here)
    [test] = run.recording.results.tests
    assert test.verdict.value == "unfinished"
    assert run.kinds("dies") == [
        *("Attachment", "PhaseStarted", "Before", "AssertionRecorded"),
    ]
    trace = f"test_cut_{test.seed:016x}.trace"
    assert run.recording.files[run.bundle("dies") + trace] == b"half"
    assert run.manifest("dies").failure_class == "unfinished"
    assert trace in run.manifest("dies").artifact_paths
    assert verify(run.recording) == []


def test_xdist_s_workers_say_it_too(tmp_path: Path) -> None:
    here = place(tmp_path)
    here.file(
        "test_it.py",
        """
import os, pytest

@pytest.mark.parametrize("number", range(6))
def test_x(bundle, number):
    bundle.log("X", worker=os.environ["PYTEST_XDIST_WORKER"])
    bundle.check("even", 0, number % 2)
""",
    )
    run = record(here, "-n2")
    for number in range(6):
        logged = run.events(f"x[{number}]")
        [test] = run.recording.results.with_id(ID.format(f"x[{number}]"))
        assert [one.data["worker"] for one in logged if one.event == "X"] == [test.worker]
        assert run.manifest(f"x[{number}]").passed is (number % 2 == 0)
    assert verify(run.recording) == []


def test_a_second_attempt_adds_to_the_first(tmp_path: Path) -> None:
    here = place(tmp_path)
    here.file(
        "test_it.py",
        """
attempts = []

def test_x(bundle):
    attempts.append(1)
    bundle.log("Attempt", number=len(attempts))
    bundle.check("second", 2, len(attempts))
""",
    )
    run = record(here, "--reruns=1", "-p", "rerunfailures")
    assert run.code == 0
    logged = ["Attempt", "AssertionRecorded"]
    assert run.kinds("x") == [*logged, "AttemptStarted", *logged]
    assert run.manifest("x").passed


def test_a_child_that_falls_through_does_not_write_its_parent_s_bundles(tmp_path: Path) -> None:
    here = place(tmp_path)
    here.file(
        "test_it.py",
        """
import os

def test_falls_through(bundle):
    global child
    child = os.fork()
    bundle.log("InParent" if child else "InChild")
    if child:
        os.waitpid(child, 0)

def test_after(bundle):
    bundle.log("After", in_child=not child)
    bundle.check("in the parent", True, bool(child))
""",
    )
    run = record(here)
    assert sorted(run.kinds("falls_through")) == ["InChild", "InParent"]
    assert [one.data.get("in_child") for one in run.events("after")] == [False, None]
    assert run.manifest("after").passed
    assert run.summary("falls_through").event_stats.total_events == 2


def test_pytest_bundle_records_it_too(tmp_path: Path) -> None:
    here = place(tmp_path)
    here.file(
        "test_it.py",
        "from bundler.testing import TestContext, TestHarness\n"
        "def test_x(bundle):\n"
        "    bundle.log('X')\n"
        "    with TestHarness(TestContext(test_id='inner', seed=1)) as inner: inner.log('Y')\n",
    )
    ended = here.run([*PYTEST, *PLUGIN, "--bundle"])
    run = Run(here.latest(), ended.code, ended.stdout, ended.stderr)
    assert run.kinds("x") == ["X"]
    assert "tests/inner/0000000000000001/events.ndjson" in run.recording.files
    assert verify(run.recording) == []


PLUGIN = ("-p", "bundler.pytest_plugin")
FAILING = "def test_x(bundle):\n    bundle.log('X')\n    bundle.check('drained', 4, 3)\n"


def test_without_a_recording_it_is_in_a_temporary_directory(tmp_path: Path) -> None:
    here = place(tmp_path)
    here.file("test_it.py", FAILING)
    ended = here.run([*PYTEST, *PLUGIN, f"--basetemp={tmp_path / 'temp'}"])
    assert ended.code == 1
    assert "1 of 1 check failed" in ended.stdout
    [written] = (tmp_path / "temp").rglob("events.ndjson")
    assert f"\n{written.parent}\n" in ended.stdout
    assert sorted(path.name for path in here.project.iterdir() if path.suffix) == [
        *("pyproject.toml", "test_it.py"),
    ]


@pytest.mark.parametrize("name", ["BUNDLE_ARTIFACTS_DIR", "ASUPERSYNC_TEST_ARTIFACTS_DIR"])
def test_without_a_recording_it_is_where_the_variable_says(tmp_path: Path, name: str) -> None:
    here = place(tmp_path)
    here.file("test_it.py", FAILING)
    ended = here.run([*PYTEST, *PLUGIN], **{name: str(tmp_path / "here")})
    assert ended.code == 1
    [written] = (tmp_path / "here").rglob("manifest.json")
    assert written.parent.parent.name == slug(ID.format("x"))


OWN = "import pytest\n@pytest.fixture\ndef bundle(): return 'mine'\n"
USES_OWN = "def test_x(bundle): assert bundle == 'mine'\n"


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"test_it.py": OWN + USES_OWN}, ()),
        ({"conftest.py": OWN, "test_it.py": USES_OWN}, ()),
        ({"other.py": OWN, "test_it.py": USES_OWN}, ("-p", "other")),
    ],
    ids=["module", "conftest", "plugin"],
)
def test_a_fixture_of_the_suite_s_own_wins(
    tmp_path: Path, files: dict[str, str], words: tuple[str, ...]
) -> None:
    here = place(tmp_path)
    for name, text in files.items():
        here.file(name, text)
    run = record(here, *words, PYTHONPATH=f"{here.environment()['PYTHONPATH']}:{here.project}")
    assert run.code == 0, run.stdout
    assert run.names("x") == []
