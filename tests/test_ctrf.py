"""CTRF: as other tools wrote it, and as we write it, held against its own schema."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from command_line import place
from round_trip import again, everything, printed, verdicts, written

from bundler.errors import DamagedRecording
from bundler.formats import ctrf, ctrf_reader
from bundler.recording import Recording
from bundler.results import Verdict
from bundler.store import open_path

FIXTURES = Path(__file__).parent / "fixtures"
TEXT: set[type] = {str}
NUMBER: set[type] = {int}
OBJECT: set[type] = {dict}
LINES: set[type] = {list}
ATTEMPT: dict[str, set[type]] = {
    "attempt": NUMBER,
    "status": TEXT,
    "duration": NUMBER,
    "message": TEXT,
    "trace": TEXT,
    "line": NUMBER,
    "stdout": LINES,
    "stderr": LINES,
    "start": NUMBER,
    "stop": NUMBER,
    "extra": OBJECT,
}
TEST: dict[str, set[type]] = {
    **{key: value for key, value in ATTEMPT.items() if key != "attempt"},
    "testId": TEXT,
    "name": TEXT,
    "suite": LINES,
    "rawStatus": TEXT,
    "filePath": TEXT,
    "retries": NUMBER,
    "retryAttempts": LINES,
    "flaky": {bool},
    "threadId": TEXT,
}
STATUSES = {"passed", "failed", "skipped", "pending", "other"}


def document(recording: Recording) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(written(ctrf, recording))
    return found


def read(tests: list[Any], **results: Any) -> Recording:
    whole = {"tool": {"name": "jest"}, "summary": {}, "tests": tests, **results}
    raw = json.dumps({"reportFormat": "CTRF", "specVersion": "0.0.0", "results": whole}).encode()
    return ctrf_reader.read(io.BytesIO(raw), where="x.json")


def recordings() -> list[Recording]:
    names = ("weather", "stress", "rerun", "no-sea", "fail-fast", "no-tests", "gale")
    return [everything(), *(open_path(FIXTURES / "nextest" / f"{name}.zip") for name in names)]


def test_only_properties_that_the_schema_knows_are_written() -> None:
    for recording in recordings():
        found = document(recording)
        top = {"reportFormat", "specVersion", "reportId", "timestamp", "generatedBy", "results"}
        assert found.keys() == top
        results = found["results"]
        assert results.keys() == {"tool", "summary", "environment", "extra", "tests"}
        for test in results["tests"]:
            fits(test, TEST, {"name", "status", "duration"})
            for attempt in test.get("retryAttempts", ()):
                fits(attempt, ATTEMPT, {"attempt", "status"})


def fits(found: dict[str, Any], known: dict[str, set[type]], required: set[str]) -> None:
    assert required <= found.keys() <= known.keys()
    assert all(type(value) in known[key] for key, value in found.items())
    assert found["status"] in STATUSES
    assert all(isinstance(one, str) for key in ("stdout", "suite") for one in found.get(key, ()))


def test_the_summary_counts_what_the_tests_are() -> None:
    for recording in recordings():
        results = document(recording)["results"]
        statuses = [test["status"] for test in results["tests"]]
        counted = {status: statuses.count(status) for status in STATUSES}
        assert results["summary"] == results["summary"] | counted | {"tests": len(statuses)}
        assert results["environment"]["healthy"] == (recording.manifest.status.state == "passed")


def test_a_file_that_was_not_collected_is_a_test_that_failed() -> None:
    recording = open_path(FIXTURES / "nextest" / "no-sea.zip")
    first = document(recording)["results"]["tests"][0]
    assert (first["name"], first["rawStatus"]) == ("@setup-script:no-such-program", "not_collected")
    assert len(again(ctrf, ctrf_reader, recording).results.collection) == 1


def test_every_verdict_comes_back() -> None:
    for recording in recordings():
        assert verdicts(again(ctrf, ctrf_reader, recording)) == verdicts(recording)


def test_attempts_durations_outputs_and_reasons_come_back() -> None:
    before = everything()
    after = again(ctrf, ctrf_reader, before)
    for test in after.results.tests:
        [original] = before.results.with_id(test.test_id)
        assert len(test.attempts) == len(original.attempts)
        assert test.seed == original.seed or not test.attempts
        for number, (one, other) in enumerate(zip(test.attempts, original.attempts, strict=True)):
            assert printed(after, test, number) == printed(before, original, number)
            assert one.reason == other.reason
            assert one.outcome == other.outcome
            if other.outcome is not None:
                assert one.duration_us == other.duration_us
            assert [f.message for f in one.failures] == [f.message for f in other.failures]
            assert [f.traceback for f in one.failures] == [f.traceback for f in other.failures]


def test_the_run_comes_back_too() -> None:
    before = everything()
    after = again(ctrf, ctrf_reader, before).manifest
    assert after.status.state == before.manifest.status.state
    assert (after.seed, after.command.argv) == (before.manifest.seed, ["pytest"])
    assert after.created_at == "2026-01-02T03:04:05Z"


def test_a_flaky_test_passed_and_says_what_came_before() -> None:
    tests = document(everything())["results"]["tests"]
    [flaky] = [test for test in tests if test["name"] == "t.py::flaky"]
    assert (flaky["status"], flaky["flaky"], flaky["retries"]) == ("passed", True, 1)
    assert flaky["duration"] == 123
    [first] = flaky["retryAttempts"]
    assert (first["attempt"], first["status"], first["stdout"]) == (1, "failed", ["first"])


def test_another_tool_s_document_is_a_run() -> None:
    recording = open_path(FIXTURES / "ctrf" / "pytest-json-ctrf.json")
    assert {name.split("::")[1]: verdict for name, verdict in verdicts(recording).items()} == {
        "test_pays": "passed",
        "test_fails": "failed",
        "test_closed": "skipped",
        "test_expected": "xfailed",
        "test_flaky": "flaky",
        "test_errored": "failed",
    }
    assert recording.results.sessions[0].info["runner"] == "pytest"
    assert recording.manifest.status.state == "failed"
    [failure] = recording.results.with_id("test_shop.py::test_fails")[0].attempts[0].failures
    assert failure.message == "assert 1 == 2"


def test_a_test_without_a_path_in_its_name_is_named_below_its_suite() -> None:
    recording = read(
        [
            {"name": "adds", "status": "passed", "duration": 1, "suite": ["math", "sums"]},
            {"name": "adds", "status": "other", "duration": 1, "suite": "math > products"},
            {"name": "adds", "status": "pending", "duration": 0},
        ]
    )
    assert verdicts(recording) == {
        "math > sums > adds": "passed",
        "math > products > adds": "skipped",
        "adds": "not_run",
    }


def test_a_flaky_test_of_which_no_attempt_is_told_had_failed() -> None:
    recording = read(
        [{"name": "a", "status": "passed", "duration": 1, "flaky": True, "retries": 2}]
    )
    [test] = recording.results.tests
    assert [one.outcome for one in test.attempts] == ["failed", "failed", "passed"]
    assert test.verdict is Verdict.FLAKY


def test_a_number_of_retries_is_no_reason_to_make_so_many() -> None:
    test = {"name": "a", "status": "passed", "duration": 1, "flaky": True, "retries": 2**40}
    [one] = read([test]).results.tests
    assert len(one.attempts) == 11


def test_the_same_name_twice_is_two_occurrences() -> None:
    one = {"name": "a", "status": "passed", "duration": 1}
    assert [test.occurrence for test in read([one, one]).results.tests] == [1, 2]


@pytest.mark.parametrize(
    "strange",
    [
        7,
        [],
        {},
        {"name": 7, "status": "passed"},
        {"name": "a", "status": []},
        {"name": "a", "status": "passed", "duration": "long"},
    ],
)
def test_a_test_of_another_shape_is_counted_and_passed_over(strange: Any) -> None:
    fine = {"name": "fine", "status": "passed", "duration": 1}
    recording = read([strange, fine])
    assert recording.results.with_id("fine")
    assert recording.problems == ["1 test could not be read"]


@pytest.mark.parametrize(
    "strange",
    [
        {"retries": -1, "retryAttempts": "x", "flaky": 7},
        {"retryAttempts": [7, {"status": "failed", "attempt": "x"}]},
        {"start": -5, "stop": 1e300, "line": 2**70, "threadId": {}},
        {"extra": {"seedbundle": {"seed_hex": "zz", "duration_us": -1, "properties": [[1]]}}},
        {"stdout": "not lines", "message": 7, "trace": []},
    ],
)
def test_what_is_odd_in_a_test_does_not_lose_it(strange: dict[str, Any]) -> None:
    recording = read([{"name": "a", "status": "failed", "duration": 1, **strange}])
    assert verdicts(recording) == {"a": "failed"}


def test_a_document_of_something_else_is_refused() -> None:
    for content in (b'{"reportFormat":"CTRF"}', b"{", b'{"results":{"tests":7}}', b"\xff"):
        with pytest.raises(DamagedRecording, match=r"x\.json is no CTRF document"):
            ctrf_reader.read(io.BytesIO(content), where="x.json")
    assert not ctrf_reader.recognises(b'{"results":[]}')
    assert not ctrf_reader.recognises(b"<testsuites/>")


def test_bundle_export_writes_it(tmp_path: Path) -> None:
    here = place(tmp_path)
    done = here.bundle(
        "export", str(FIXTURES / "nextest" / "weather.zip"), "--to", "ctrf", "-o", "ctrf.json"
    )
    assert done.code == 0, done.stderr
    assert here.bundle("replay", "ctrf.json").code == 0
    assert here.bundle("add", "ctrf.json").code == 0
    assert here.bundle("verify", "latest").code == 0
