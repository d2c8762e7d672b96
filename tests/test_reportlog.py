"""pytest-reportlog: what pytest wrote is what is read."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from bundler.errors import DamagedRecording
from bundler.formats import reportlog
from bundler.opening import read_path
from bundler.recording import Recording
from bundler.results import TestResult, Verdict

FIXTURES = Path(__file__).parent / "fixtures" / "reportlog"
MANY = FIXTURES / "many.jsonl"


def the(recording: Recording, name: str) -> TestResult:
    [test] = [one for one in recording.results.tests if one.test_id.endswith(f"::{name}")]
    return test


def read(*lines: dict[str, Any] | bytes) -> Recording:
    pieces = [one if isinstance(one, bytes) else json.dumps(one).encode() for one in lines]
    return reportlog.read(io.BytesIO(b"\n".join(pieces) + b"\n"), where="memory")


def report(when: str, outcome: str = "passed", nodeid: str = "a.py::t", **more: Any) -> Any:
    fields: dict[str, Any] = {
        "nodeid": nodeid,
        "when": when,
        "outcome": outcome,
        "longrepr": None,
        "sections": [],
    }
    return {**fields, "duration": 0.5, "$report_type": "TestReport", **more}


def cycle(call: str = "passed", **more: Any) -> list[dict[str, Any]]:
    return [report("setup", **more), report("call", call, **more), report("teardown", **more)]


START = {"pytest_version": "8.0", "$report_type": "SessionStart"}
FINISH = {"exitstatus": 0, "$report_type": "SessionFinish"}


def verdicts(recording: Recording) -> list[str]:
    return [test.verdict.value for test in recording.results.tests]


def outputs(recording: Recording, test: TestResult) -> list[tuple[str, str, bytes]]:
    found: Iterable[Any] = recording.outputs(test.attempts[-1].output_offsets)
    return [(one.stream, one.phase, one.content) for one in found]


def test_the_counts_are_those_that_pytest_said() -> None:
    recording = read_path(MANY)
    assert recording.results.counts == {
        "passed": 7,
        "failed": 7,
        "errored": 2,
        "skipped": 2,
        "xfailed": 1,
        "xpassed": 1,
        "flaky": 1,
    }
    assert [problem.node_id for problem in recording.results.collection] == [
        "test_broken.py",
        "test_module_skip.py",
    ]
    assert len(recording.results.warnings) == 1
    assert recording.manifest.status.state == "failed"
    assert recording.problems == []


@pytest.mark.parametrize(
    ("name", "verdict", "attempts"),
    [
        ("test_passes", "passed", 1),
        ("test_setup_breaks", "errored", 1),
        ("test_teardown_breaks", "errored", 1),
        ("test_both_break", "failed", 1),
        ("test_xfails", "xfailed", 1),
        ("test_xpasses", "xpassed", 1),
        ("test_strict_xpass", "failed", 1),
        ("test_subtests", "failed", 1),
        ("test_sub", "failed", 1),
        ("test_flaky", "flaky", 2),
        ("test_never", "failed", 2),
    ],
)
def test_a_verdict_is_that_of_pytest(name: str, verdict: str, attempts: int) -> None:
    test = the(read_path(MANY), name)
    assert (test.verdict.value, len(test.attempts)) == (verdict, attempts)


def test_a_failure_has_its_place_and_its_traceback() -> None:
    [failure] = the(read_path(MANY), "test_fails").attempts[0].failures
    assert failure.type == "AssertionError"
    assert failure.message.startswith("AssertionError: assert {'a': 1, 'b': 3} == {'a': 1")
    assert failure.file == "/src/test_many.py"
    assert failure.traceback is not None
    assert ">       assert value ==" in failure.traceback
    assert "test_many.py:15: AssertionError" in failure.traceback


def test_a_chain_of_exceptions_is_whole() -> None:
    [failure] = the(read_path(MANY), "test_raises_from_another").attempts[0].failures
    assert failure.type == "ValueError"
    assert failure.traceback is not None
    first, _, second = failure.traceback.partition("The above exception was the direct cause")
    assert "KeyError" in first
    assert "ValueError: a cause" in second


def test_what_a_test_printed_is_there_once() -> None:
    recording = read_path(MANY)
    assert outputs(recording, the(recording, "test_passes")) == [
        ("stdout", "call", b"said to stdout\n"),
        ("stderr", "call", b"said to stderr\n"),
    ]


def test_subtests_stand_under_their_test() -> None:
    [attempt] = the(read_path(MANY), "test_subtests").attempts
    assert [(one.name, one.outcome.value) for one in attempt.subtests] == [
        ("[part] (number=0)", "passed"),
        ("[part] (number=1)", "failed"),
        ("[part] (number=2)", "passed"),
    ]


def test_properties_reasons_and_places() -> None:
    recording = read_path(MANY)
    assert the(recording, "test_properties").attempts[0].properties == (("key", "value"),)
    assert the(recording, "test_skipped").attempts[0].reason == "not today"
    assert the(recording, "test_xfails").attempts[0].reason == "known"
    assert (the(recording, "test_passes").file, the(recording, "test_passes").line) == (
        "test_many.py",
        9,
    )


def test_a_worker_that_crashed_crashed_its_test() -> None:
    recording = read_path(FIXTURES / "crash.jsonl")
    assert recording.results.counts == {"passed": 2, "crashed": 1}
    attempt = the(recording, "test_kills_its_worker").attempts[0]
    assert attempt.reason is not None
    assert attempt.reason.startswith("worker 'gw")
    assert attempt.worker is not None


def test_a_compressed_log_is_the_same_run() -> None:
    plain, packed = read_path(MANY), read_path(FIXTURES / "many.jsonl.gz")
    assert packed.manifest.run_id == plain.manifest.run_id
    assert packed.results == plain.results


def test_the_older_spelling_is_read() -> None:
    older = MANY.read_bytes().replace(b'"$report_type"', b'"_report_type"')
    assert reportlog.recognises(older)
    recording = reportlog.read(io.BytesIO(older), where="memory")
    assert recording.results.counts == read_path(MANY).results.counts


def test_a_log_without_its_end_is_an_interrupted_run() -> None:
    recording = read(START, *cycle(), report("setup", nodeid="a.py::u"))
    assert verdicts(recording) == ["passed", "unfinished"]
    assert recording.manifest.status.state == "interrupted"
    assert not recording.results.complete


def test_a_torn_last_line_ends_the_run() -> None:
    recording = read(START, *cycle(), b'{"nodeid": "a.py::u", "when": "se')
    assert verdicts(recording) == ["passed"]
    assert recording.manifest.status.state == "interrupted"


def test_a_test_that_is_there_twice_is_two_occurrences() -> None:
    recording = read(START, *cycle(), *cycle("failed"), FINISH)
    assert [(one.occurrence, one.verdict.value) for one in recording.results.tests] == [
        (1, "passed"),
        (2, "failed"),
    ]


def test_a_rerun_without_a_teardown_is_an_attempt() -> None:
    first = [report("setup"), report("call", "rerun")]
    recording = read(START, *first, *cycle(), FINISH)
    assert verdicts(recording) == [Verdict.FLAKY]
    assert recording.results.tests[0].attempts[0].will_retry


def test_a_broken_line_disturbs_no_other() -> None:
    recording = read(START, report("setup", sections=7), b"noise", *cycle(), FINISH)
    assert verdicts(recording)[-1] == "passed"
    assert len(recording.problems) == 1


def test_what_is_unknown_passes_through() -> None:
    recording = read(START, {"x": 1, "$report_type": "FromAPlugin"}, *cycle(), FINISH)
    found = [event for _, event in recording.events() if event.event == "FromAPlugin"]
    assert [event.payload()["x"] for event in found] == [1]


def test_a_file_without_a_report_is_damaged() -> None:
    with pytest.raises(DamagedRecording):
        reportlog.read(io.BytesIO(b"{}\n"), where="memory")


@pytest.mark.parametrize("head", [b"", b"{", b'{"a":1}', b"<testsuite/>", b'{"Action":"run"}'])
def test_other_files_are_not_taken_for_one(head: bytes) -> None:
    assert not reportlog.recognises(head)


def test_of_more_than_can_be_under_way_the_oldest_is_unfinished(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reportlog, "_MOST_OPEN", 3)
    ids = [f"a.py::t{number}" for number in range(5)]
    recording = read(START, *(report("setup", nodeid=one) for one in ids))
    assert verdicts(recording) == ["unfinished"] * 5
    ended = [report(when, nodeid=one) for when in ("setup", "teardown") for one in ids]
    found = read(START, *ended).results.tests
    assert [one.verdict.value for one in found if one.test_id in ids[2:]] == ["passed"] * 3
    assert [one.verdict.value for one in found if one.test_id in ids[:2]] == ["unfinished"] * 2
