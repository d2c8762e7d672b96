"""JUnit XML: what a case says of each verdict, and what surrounds the cases."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from builders import a_log, a_recording, a_test, line

from bundler.formats import junit
from bundler.formats.junit_cases import address, shortened
from bundler.manifest import Command, RunStatus, encode_document
from bundler.recording import Recording

GOLDEN = Path(__file__).parent / "golden" / "junit"
UPDATING = bool(os.environ.get("BUNDLE_UPDATE_GOLDEN"))
FAILED = RunStatus("failed", exit_code=1)
CALL = {"phase": "call", "message": "assert 1 == 2", "type": "AssertionError", "traceback": "E 1"}
SETUP = {"phase": "setup", "message": "RuntimeError: s", "traceback": "E s"}
TEARDOWN = {"phase": "teardown", "message": "RuntimeError: t", "traceback": "E t"}


def session(**info: Any) -> bytes:
    return line("SessionStarted", runner="pytest", **info)


def red(*lines: bytes | list[bytes], **changes: Any) -> Recording:
    """A run of pytest that failed."""
    log = a_log(session(), *lines, status="failed")
    return a_recording(log, **{"status": FAILED, **changes})


def green(*lines: bytes | list[bytes]) -> Recording:
    """A run of pytest that passed."""
    return a_recording(a_log(session(), *lines))


def exported(recording: Recording, dialect: str = "pytest") -> bytes:
    target = io.BytesIO()
    junit.write(recording, target, dialect=dialect)
    return target.getvalue()


def suite_of(recording: Recording, dialect: str = "pytest") -> ET.Element:
    """The one suite of the document."""
    (suite,) = ET.fromstring(exported(recording, dialect))
    return suite


def cases_of(recording: Recording) -> list[ET.Element]:
    return suite_of(recording).findall("testcase")


def case_of(*lines: bytes | list[bytes]) -> ET.Element:
    (case,) = cases_of(green(*lines))
    return case


def told(case: ET.Element) -> list[tuple[str, str | None, str | None]]:
    """What a case says of itself: the elements' tags, messages and types."""
    skip = ("properties", "system-out", "system-err")
    return [(e.tag, e.get("message"), e.get("type")) for e in case if e.tag not in skip]


def properties_of(element: ET.Element) -> list[tuple[str | None, str | None]]:
    return [(one.get("name"), one.get("value")) for one in element.iterfind("properties/property")]


@pytest.mark.parametrize(
    ("test_id", "expected"),
    [
        ("test_a.py::test_x", ("test_a", "test_x")),
        ("tests/a.py::TestC::TestInner::test_x", ("tests.a.TestC.TestInner", "test_x")),
        ("test_a.py::test_x[a/b]", ("test_a", "test_x[a/b]")),
        ("test_a.py::TestC::test_x[q::r[s]]", ("test_a.TestC", "test_x[q::r[s]]")),
        ("test_a.py::test_x[]", ("test_a", "test_x[]")),
        ("test_a.py::test_x[.py]", ("test_a", "test_x[.py]")),
        ("a/test[1].py::test_x", ("a.test[1]", "test_x")),
        ("tests/test_a.py", ("", "tests.test_a")),
        ("doc.txt::doc.txt", ("doc.txt", "doc.txt")),
        ("pkg/mod.py::pkg.mod.f", ("pkg.mod", "pkg.mod.f")),
        ("", ("", "")),
    ],
)  # fmt: skip
def test_the_name_is_what_pytest_makes_of_the_node_id(
    test_id: str, expected: tuple[str, str]
) -> None:
    assert address(test_id) == expected


def test_the_ids_of_another_runner_have_no_path_in_them() -> None:
    log = a_log(line("SessionStarted", runner="go"), *a_test("example.com/a.py/b::TestX/sub[1]"))
    (case,) = cases_of(a_recording(log))
    assert case.get("classname") == "example.com/a.py/b"
    assert case.get("name") == "TestX/sub[1]"


@pytest.mark.parametrize("outcome", ["passed", "xpassed"])
def test_a_test_that_passed_says_nothing(outcome: str) -> None:
    assert told(case_of(a_test("a.py::t", outcome))) == []


def test_the_time_of_a_case_is_that_of_its_three_phases() -> None:
    case = case_of(a_test("a.py::t", setup_us=1_000_000, call_us=234_000, teardown_us=500))
    assert case.get("time") == "1.234"


def test_a_failure_carries_message_type_and_traceback() -> None:
    case = case_of(a_test("a.py::t", "failed", failures=[CALL]))
    assert told(case) == [("failure", "assert 1 == 2", "AssertionError")]
    assert case.findtext("failure") == "E 1"


@pytest.mark.parametrize("failure", [SETUP, TEARDOWN])
def test_a_fixture_that_failed_is_an_error(failure: dict[str, str]) -> None:
    case = case_of(a_test("a.py::t", "errored", failures=[failure]))
    message = f'failed on {failure["phase"]} with "{failure["message"]}"'
    assert told(case) == [("error", message, "error")]


def test_a_call_and_a_teardown_that_failed_are_two_cases() -> None:
    output = line("TestOutput", "a.py::t", stream="stdout", phase="call", text="printed")
    times = {"setup_us": 1000, "call_us": 2000, "teardown_us": 5000}
    start, end = a_test("a.py::t", "failed", failures=[CALL, TEARDOWN], **times)
    recording = red(start, output, end)
    first, second = cases_of(recording)
    assert [told(first)[0][0], told(second)[0][0]] == ["failure", "error"]
    assert [first.get("time"), second.get("time")] == ["0.003", "0.005"]
    assert first.get("name") == second.get("name") == "t"
    assert first.find("system-out") is None
    assert "printed" in str(second.findtext("system-out"))
    suite = suite_of(recording)
    assert [suite.get(key) for key in ("tests", "failures", "errors")] == ["2", "1", "1"]


def test_a_failure_without_a_word_is_still_a_failure() -> None:
    nothing = {"phase": "call", "message": ""}
    assert told(case_of(a_test("a.py::t", "failed", failures=[nothing])))[0][0] == "failure"
    assert told(case_of(a_test("a.py::t", "failed")))[0][0] == "failure"
    assert told(case_of(a_test("a.py::t", "errored")))[0][0] == "error"


def test_a_skip_and_an_expected_failure_are_skipped() -> None:
    skipped = case_of(a_test("a.py::t", "skipped", reason="because"))
    assert told(skipped) == [("skipped", "because", "pytest.skip")]
    expected = case_of(a_test("a.py::t", "xfailed", reason="known"))
    assert told(expected) == [("skipped", "known", "pytest.xfail")]


def test_every_failed_subtest_is_a_failure_of_its_test() -> None:
    start, end = a_test("a.py::t", "failed", failures=[{**CALL, "message": "1 failed subtest"}])
    subtest: dict[str, Any] = {"name": "[i=1]", "duration_us": 1, "outcome": "failed"}
    case = case_of(start, line("SubtestFinished", "a.py::t", failures=[CALL], **subtest), end)
    assert [message for _, message, _ in told(case)] == ["assert 1 == 2", "1 failed subtest"]


def test_a_skipped_test_whose_teardown_failed_says_both() -> None:
    case = case_of(a_test("a.py::t", "errored", reason="because", failures=[TEARDOWN]))
    assert told(case) == [
        ("error", 'failed on teardown with "RuntimeError: t"', "error"),
        ("skipped", "because", "pytest.skip"),
    ]


def test_a_skipped_subtest_is_a_skip_of_its_test_as_pytest_has_it() -> None:
    start, end = a_test("a.py::t")
    subtest: dict[str, Any] = {"name": "[i=1]", "duration_us": 1, "outcome": "skipped"}
    case = case_of(start, line("SubtestFinished", "a.py::t", failures=[], **subtest), end)
    assert told(case) == [("skipped", "[i=1]", "pytest.skip")]


@pytest.mark.parametrize("outcome", ["crashed", "timed_out"])
def test_a_test_that_was_stopped_is_an_error_that_says_so(outcome: str) -> None:
    case = case_of(a_test("a.py::t", outcome, reason="worker 'gw0' crashed"))
    assert told(case) == [("error", "worker 'gw0' crashed", outcome)]
    silent = case_of(a_test("a.py::t", outcome))
    assert told(silent) == [("error", f"the test {outcome.replace('_', ' ')}", outcome)]


def test_a_test_that_never_finished_is_an_error() -> None:
    case = case_of(line("TestStarted", "a.py::t", order=0))
    assert told(case) == [
        ("error", "unfinished: the run ended while this test was running", "unfinished")
    ]


def test_a_test_that_never_started_is_skipped() -> None:
    collected = line("TestsCollected", selected=["a.py::t", "a.py::u"])
    failed, never = cases_of(red(collected, a_test("a.py::t", "failed", failures=[CALL])))
    assert told(failed)[0][0] == "failure"
    assert told(never) == [("skipped", "not run: the run ended first", "not_run")]


def test_a_flaky_test_passes_and_tells_of_its_failures() -> None:
    case = case_of(
        a_test("a.py::t", "failed", failures=[CALL]),
        a_test("a.py::t", "errored", attempt=2, failures=[SETUP]),
        a_test("a.py::t", attempt=3),
    )
    assert told(case) == [
        ("flakyFailure", "assert 1 == 2", "AssertionError"),
        ("flakyError", 'failed on setup with "RuntimeError: s"', "error"),
    ]
    assert case.findtext("flakyFailure/stackTrace") == "E 1"
    assert ("bundle.attempts", "3") in properties_of(case)


def test_earlier_attempts_of_a_failed_test_are_reruns() -> None:
    output = line("TestOutput", "a.py::t", stream="stderr", phase="call", text="first")
    start, end = a_test("a.py::t", "failed", failures=[CALL])
    case = case_of(start, output, end, a_test("a.py::t", "failed", attempt=2, failures=[CALL]))
    assert [tag for tag, _, _ in told(case)] == ["failure", "rerunFailure"]
    assert "first" in str(case.findtext("rerunFailure/system-err"))
    assert case.find("system-err") is None


def test_an_attempt_that_was_skipped_before_it_failed_is_still_a_rerun() -> None:
    errored = a_test("a.py::t", "errored", reason="because", failures=[TEARDOWN])
    case = case_of(errored, a_test("a.py::t", attempt=2))
    assert [tag for tag, _, _ in told(case)] == ["flakyError"]


def test_a_file_that_was_not_collected_is_a_case() -> None:
    failure = {"phase": "collect", "message": "ImportError", "traceback": "E import"}
    failed, skipped = cases_of(
        red(
            line("CollectionFailed", "tests/test_a.py", failures=[failure]),
            line("CollectionFailed", "tests/test_a.py", failures=[failure]),
            line("CollectionSkipped", "b.py", reason="r", file="b.py", line=2),
        )
    )
    assert [failed.get("classname"), failed.get("name")] == ["", "tests.test_a"]
    assert told(failed) == [("error", "collection failure", "error")] * 2
    assert told(skipped) == [("skipped", "collection skipped", "skipped")]
    assert skipped.findtext("skipped") == "('b.py', 2, 'Skipped: r')"


def test_a_case_has_the_seed_the_worker_and_what_the_test_recorded() -> None:
    case = case_of(a_test("a.py::t", worker="gw1", properties=[["key", "1"], ["key", "2"]]))
    assert properties_of(case) == [
        ("bundle.attempts", "1"),
        ("bundle.seed", "00000000deadbeef"),
        ("bundle.worker", "gw1"),
        ("key", "1"),
        ("key", "2"),
    ]


def test_output_stands_under_the_headings_of_pytest() -> None:
    start, end = a_test("a.py::t")
    pieces = [
        line("TestOutput", "a.py::t", stream="stdout", phase="setup", text="one\n"),
        line("TestOutput", "a.py::t", stream="stdout", phase="call", text="two\n"),
        line("TestOutput", "a.py::t", stream="stderr", phase="call", text="err\n"),
        line("TestOutput", "a.py::t", stream="log", phase="call", text="WARNING"),
        line("TestOutput", "a.py::t", stream="My section", phase="call", text="mine"),
    ]
    case = case_of(start, *pieces, end)
    rule = "-" * 33
    assert case.findtext("system-out") == (
        f"{rule} Captured Log {rule}\nWARNING\n{rule} Captured Out {rule}\none\ntwo\n\n"
        f"{'-' * 34} My section {'-' * 34}\nmine\n"
    )
    assert case.findtext("system-err") == f"{rule} Captured Err {rule}\nerr\n\n"


def test_output_that_was_cut_says_how_much_is_gone() -> None:
    start, end = a_test("a.py::t")
    head = line("TestOutput", "a.py::t", stream="stdout", phase="call", text="head")
    tail = line(
        "TestOutput", "a.py::t", stream="stdout", phase="call", text="tail", omitted_bytes=1234
    )
    out = str(case_of(start, head, tail, end).findtext("system-out"))
    assert "head\n[1234 bytes were not recorded]\ntail" in out


def test_what_xml_cannot_hold_is_shown() -> None:
    start, end = a_test("a.py::t[\x1b]", "failed", failures=[{**CALL, "message": "\x00\ufffe\x7f"}])
    text = "\x1b[31mred\x1b[0m ]]> <b>&amp;</b> \U0001f600"
    output = line("TestOutput", "a.py::t[\x1b]", stream="stdout", phase="call", text=text)
    case = case_of(start, output, end)
    assert case.get("name") == "t[#x1B]"
    assert told(case)[0][1] == "#x00#xFFFE#x7F"
    assert "#x1B[31mred#x1B[0m ]]> <b>&amp;</b> \U0001f600" in str(case.findtext("system-out"))


def test_output_that_is_no_utf_8_is_shown() -> None:
    start, end = a_test("a.py::t")
    output = line("TestOutput", "a.py::t", stream="stdout", phase="call", base64="/wBvaw==")
    assert r"\xff#x00ok" in str(case_of(start, output, end).findtext("system-out"))


def test_a_suite_says_of_which_run_it_is() -> None:
    files = {"environment.json": encode_document({"hostname": "builder"})}
    recording = red(a_test("a.py::t", "failed", failures=[CALL]), a_test("a.py::u", "skipped"))
    recording.files = files
    suite = suite_of(recording)
    assert suite.attrib == {
        "name": "pytest",
        "errors": "0",
        "failures": "1",
        "skipped": "1",
        "tests": "2",
        "time": "0.000",
        "timestamp": "2026-01-02T03:04:05.000006Z",
        "hostname": "builder",
    }
    assert properties_of(suite) == [
        ("bundle.run_id", recording.manifest.run_id),
        ("bundle.seed", "00000000deadbeef"),
        ("bundle.status", "failed"),
    ]


@pytest.mark.parametrize("environment", [b"{", b"[]", b'{"hostname":5}', b"{}"])
def test_a_broken_environment_document_costs_the_hostname_only(environment: bytes) -> None:
    recording = red(a_test("a.py::t", "failed"))
    recording.files = {"environment.json": environment}
    assert "hostname" not in suite_of(recording).attrib


def test_a_suite_takes_as_long_as_its_session() -> None:
    start = line("SessionStarted", ts_us=500_000)
    finished = a_log(start, line("SessionFinished", ts_us=2_500_000, exit_status=0))
    assert suite_of(a_recording(finished)).get("time") == "2.000"
    assert suite_of(a_recording(a_log(start), duration_us=3_500_000)).get("time") == "3.000"


def test_each_session_is_a_suite() -> None:
    log = a_log(
        line("SessionStarted", session="00000001"),
        line("TestFinished", "a.py::t", outcome="passed", session="00000001"),
        line("SessionStarted", session="00000002"),
        line("TestFinished", "b.py::t", outcome="passed", session="00000002"),
        line("TestFinished", "b.py::u", outcome="passed", session="00000002"),
    )
    document = ET.fromstring(exported(a_recording(log)))
    assert [suite.get("tests") for suite in document] == ["1", "2"]


def test_a_command_without_tests_is_one_case() -> None:
    log = a_log(
        line("RunOutput", stream="stdout", text="built\n"),
        line("RunOutput", stream="stderr", text="warning\n"),
        line("RunOutput", stream="stdout", text="done\n"),
    )
    command = Command(argv=["make", "all targets"], cwd="/p")
    (case,) = cases_of(a_recording(log, command=command, duration_us=2_500_000))
    assert case.attrib == {"classname": "command", "name": "make 'all targets'", "time": "2.500"}
    assert told(case) == []
    assert case.findtext("system-out") == "built\ndone\n"
    assert case.findtext("system-err") == "warning\n"


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (RunStatus("failed", exit_code=2), ("failure", "failed: exit code 2", "failed")),
        (
            RunStatus("interrupted", signal="SIGKILL"),
            ("error", "interrupted: killed by SIGKILL", "interrupted"),
        ),
        (
            RunStatus("not_started", exit_code=127, reason="no such command"),
            ("error", "not started: no such command", "not_started"),
        ),
    ],
)
def test_a_command_that_went_wrong_says_how(
    status: RunStatus, expected: tuple[str, str, str]
) -> None:
    command = Command(argv=["make"], cwd="/p")
    (case,) = cases_of(a_recording(a_log(), command=command, status=status))
    assert told(case) == [expected]


def test_a_run_that_ended_badly_is_never_all_green() -> None:
    status = RunStatus("interrupted", signal="SIGKILL")
    passed, never, run = cases_of(
        red(
            line("TestsCollected", selected=["a.py::t", "a.py::u"]),
            a_test("a.py::t"),
            status=status,
        )
    )
    assert told(passed) == []
    assert told(never)[0][0] == "skipped"
    assert run.get("name") == "pytest"
    assert told(run) == [("error", "interrupted: killed by SIGKILL", "interrupted")]


def test_a_run_that_failed_by_its_tests_has_no_case_of_its_own() -> None:
    assert len(cases_of(red(a_test("a.py::t", "failed", failures=[CALL])))) == 1


@pytest.mark.parametrize("state", ["no_tests", "running"])
def test_a_run_that_found_no_tests_or_still_runs_has_an_empty_suite(state: str) -> None:
    recording = red(status=RunStatus(state))
    assert cases_of(recording) == []
    assert suite_of(recording).get("tests") == "0"


@pytest.mark.parametrize(
    "message",
    ["", "a", "x" * 500, "\n" * 5, "x" * 497 + "\ny", "a\r\nb"],
)
def test_a_message_that_fits_is_kept(message: str) -> None:
    assert shortened(message) == message


def test_a_long_message_keeps_whole_lines_and_says_what_is_missing() -> None:
    assert shortened("x" * 501) == "x" * 500 + "...\n[truncated; full report in element text]"
    assert shortened("a\n" + "b" * 499) == "a\n[+1 more line; full report in element text]"
    assert shortened("x" * 501 + "\ny\nz").endswith(
        "...\n[+2 more lines; full report in element text]"
    )


def test_jenkins_finds_the_properties_in_the_output() -> None:
    start, end = a_test("a.py::t", properties=[["key", "two\nlines"]])
    output = line("TestOutput", "a.py::t", stream="stdout", phase="call", text="printed")
    suite = suite_of(red(start, output, end), "jenkins")
    case = suite.find("testcase")
    assert case is not None
    assert case.find("properties") is None
    out = str(case.findtext("system-out"))
    assert out.startswith(
        "[[PROPERTY|bundle.attempts=1]]\n"
        "[[PROPERTY|bundle.seed=00000000deadbeef]]\n"
        "[[PROPERTY|key=two lines]]\n---"
    )
    assert "printed" in out


def every_verdict() -> Recording:
    def output(test_id: str, stream: str, text: str, attempt: int = 1) -> bytes:
        return line("TestOutput", test_id, stream=stream, phase="call", text=text, attempt=attempt)

    flaky, again = "tests/test_a.py::test_flaky", "tests/test_a.py::TestC::test_again[a/b::c]"
    ids = ["passed", "failed", "both", "errored", "skipped", "xfailed", "xpassed", "crashed"]
    names = [f"tests/test_a.py::test_{one}" for one in ids]
    return red(
        line("CollectionFailed", "tests/test_b.py", failures=[{**SETUP, "phase": "collect"}]),
        line("TestsCollected", selected=[*names, flaky, again, "tests/test_a.py::test_never"]),
        a_test(names[0], properties=[["ticket", "<7>"]], worker="gw0"),
        output(names[0], "stdout", "hello\n"),
        a_test(names[1], "failed", failures=[CALL]),
        output(names[1], "stderr", "\x1b[1mwent wrong\x1b[0m ]]>\n"),
        a_test(names[2], "failed", failures=[CALL, TEARDOWN], teardown_us=2000),
        a_test(names[3], "errored", failures=[SETUP]),
        a_test(names[4], "skipped", reason="because"),
        a_test(names[5], "xfailed", reason="known"),
        a_test(names[6], "xpassed"),
        a_test(names[7], "crashed", reason="worker 'gw0' crashed"),
        a_test(flaky, "failed", failures=[CALL]),
        output(flaky, "stdout", "first\n"),
        a_test(flaky, attempt=2),
        output(flaky, "stdout", "second\n", attempt=2),
        a_test(again, "timed_out", reason="Timeout >1.0s"),
        a_test(again, "failed", attempt=2, failures=[CALL]),
        line("TestStarted", "tests/test_a.py::test_running", order=9),
    )


@pytest.mark.parametrize("dialect", junit.DIALECTS)
def test_every_verdict_looks_as_it_did(dialect: str) -> None:
    """`BUNDLE_UPDATE_GOLDEN=1 pytest tests/test_junit.py` writes the files anew."""
    golden = GOLDEN / f"{dialect}.xml"
    found = exported(every_verdict(), dialect)
    if UPDATING:
        golden.write_bytes(found)
    assert found.decode() == golden.read_text(encoding="utf-8")
