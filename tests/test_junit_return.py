"""Our own JUnit report, read again: what we put in comes back."""

from __future__ import annotations

import io

import pytest
from builders import SEED, a_log, a_recording, a_test, line

from bundler.formats import junit, junit_reader
from bundler.manifest import RunStatus
from bundler.recording import Recording

FAILURE = {"phase": "call", "type": "ValueError", "message": "no", "traceback": "line\nE  no"}
TORN = {"phase": "teardown", "message": "torn", "traceback": "t"}

LOG = a_log(
    line("SessionStarted", runner="pytest"),
    line("TestsCollected", selected=["a.py::passes", "a.py::never"]),
    line(
        "CollectionFailed",
        "b.py",
        failures=[{"phase": "collect", "message": "E", "traceback": "E   Oh: no"}],
    ),
    line("CollectionSkipped", "c.py", reason="not here", file="c.py", line=3),
    line("TestStarted", "a.py::passes", worker="gw1", order=0),
    line("TestOutput", "a.py::passes", stream="stdout", phase="call", text="out\n"),
    line("TestOutput", "a.py::passes", stream="log", phase="call", text="logged"),
    line("TestOutput", "a.py::passes", stream="stderr", phase="call", text="err"),
    line(
        "TestFinished",
        "a.py::passes",
        worker="gw1",
        order=0,
        outcome="passed",
        failures=[],
        call_us=1000,
        properties=[["k", "v"]],
    ),
    a_test("a.py::flaky", "failed", failures=[FAILURE], will_retry=True),
    a_test("a.py::flaky", "passed", attempt=2),
    a_test("a.py::fails", "failed", failures=[FAILURE], will_retry=True),
    a_test("a.py::fails", "failed", attempt=2, failures=[{**FAILURE, "message": "again"}]),
    a_test("a.py::torn", "failed", failures=[FAILURE, TORN], teardown_us=2000),
    a_test("a.py::errs", "errored", failures=[{**TORN, "phase": "setup"}]),
    a_test("a.py::skips", "skipped", reason="why"),
    a_test("a.py::xfails", "xfailed", reason="known"),
    a_test("a.py::dies", "crashed", reason="worker 'gw1' crashed"),
    a_test("a.py::hangs", "timed_out", failures=[{**FAILURE, "message": "Timeout", "type": None}]),
    line("TestStarted", "a.py::open", order=9),
    ended=False,
)


def the_run(status: str = "interrupted") -> Recording:
    return a_recording(LOG, status=RunStatus(status, reason="killed by SIGKILL"))


def again(recording: Recording, dialect: str) -> Recording:
    target = io.BytesIO()
    junit.write(recording, target, dialect=dialect)
    return junit_reader.read(io.BytesIO(target.getvalue()), where="memory")


@pytest.fixture(params=junit.DIALECTS)
def dialect(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_every_verdict_comes_back(dialect: str) -> None:
    first, second = the_run(), again(the_run(), dialect)
    assert [one.verdict for one in second.results.tests] == [
        one.verdict for one in first.results.tests
    ]
    assert second.manifest.status.state == "interrupted"


def test_seed_worker_attempts_and_properties_come_back(dialect: str) -> None:
    recording = again(the_run(), dialect)
    assert recording.manifest.seed == SEED
    tests = {test.test_id: test for test in recording.results.tests}
    passes = tests["a::passes"]
    assert (passes.seed, passes.worker) == (SEED, "gw1")
    assert passes.attempts[0].properties == (("k", "v"),)
    fails = tests["a::fails"].attempts
    assert [one.failures[0].message for one in fails] == ["no", "again"]
    torn = tests["a::torn"].attempts[0]
    assert [(one.phase, one.message) for one in torn.failures] == [
        ("call", "no"),
        ("teardown", "torn"),
    ]
    assert (torn.call_us, torn.teardown_us) == (1000, 2000)


def test_streams_come_apart_again(dialect: str) -> None:
    recording = again(the_run(), dialect)
    [test] = recording.results.with_id("a::passes")
    found = recording.outputs(test.attempts[0].output_offsets)
    assert [(one.stream, one.content) for one in found] == [
        ("log", b"logged"),
        ("stdout", b"out\n"),
        ("stderr", b"err"),
    ]


def test_what_was_not_collected_comes_back(dialect: str) -> None:
    failed, skipped = again(the_run(), dialect).results.collection
    assert (failed.node_id, failed.failures[0].message) == ("b", "Oh: no")
    assert (skipped.reason, skipped.file, skipped.line) == ("not here", "c.py", 3)


def test_a_run_that_ended_badly_with_no_test_to_blame_is_not_green(dialect: str) -> None:
    log = a_log(line("SessionStarted", runner="pytest"), a_test("a.py::t"), ended=False)
    first = a_recording(log, status=RunStatus("interrupted", signal="SIGKILL", reason="killed"))
    second = again(first, dialect)
    assert [one.verdict.value for one in second.results.tests] == ["passed"]
    assert second.manifest.status == RunStatus("interrupted", reason="killed")


def test_a_report_that_says_passed_and_holds_a_failure_has_failed(dialect: str) -> None:
    assert again(the_run("passed"), dialect).manifest.status.state == "failed"
