"""JUnit XML of every tool that is met most, and of nobody in particular."""

from __future__ import annotations

import io
import time
from pathlib import Path

import pytest

from bundler.errors import DamagedRecording, HostileRecording
from bundler.formats import junit_reader
from bundler.formats.junit_elements import MAX_TAG_BYTES
from bundler.opening import read_path
from bundler.recording import Recording
from bundler.results import TestResult

FIXTURES = Path(__file__).parent / "fixtures" / "junit"


def fixture(name: str) -> Recording:
    return read_path(FIXTURES / f"{name}.xml")


def read(text: str | bytes) -> Recording:
    content = text if isinstance(text, bytes) else text.encode()
    assert junit_reader.recognises(content[:65536])
    return junit_reader.read(io.BytesIO(content), where="memory")


def a_case(inner: str = "", attributes: str = 'classname="c" name="n" time="0.5"') -> Recording:
    return read(f'<testsuite name="s"><testcase {attributes}>{inner}</testcase></testsuite>')


def the(recording: Recording, name: str) -> TestResult:
    [test] = [one for one in recording.results.tests if one.test_id.endswith(name)]
    return test


def outputs(recording: Recording, test: TestResult, attempt: int = -1) -> list[tuple[str, bytes]]:
    found = recording.outputs(test.attempts[attempt].output_offsets)
    return [(one.stream, one.content) for one in found]


@pytest.mark.parametrize(
    ("name", "runner", "counts"),
    [
        (
            "pytest-xunit2",
            "pytest",
            {"passed": 11, "failed": 7, "errored": 2, "skipped": 2, "xfailed": 1},
        ),
        (
            "pytest-xunit1",
            "pytest",
            {"passed": 11, "failed": 7, "errored": 2, "skipped": 2, "xfailed": 1},
        ),
        ("pytest-xdist", "pytest", {"passed": 2, "crashed": 1}),
        ("jest", "junit", {"passed": 3, "failed": 1, "skipped": 1}),
        ("vitest", "junit", {"passed": 2, "failed": 2, "skipped": 2}),
        ("nextest", "nextest", {"passed": 1, "failed": 1, "flaky": 1}),
        ("gotestsum", "junit", {"passed": 7, "failed": 6, "skipped": 1}),
    ],
)
def test_the_counts_are_those_of_the_tool(name: str, runner: str, counts: dict[str, int]) -> None:
    recording = fixture(name)
    more = {"timed_out": 1, "crashed": 1} if name == "nextest" else {}
    assert recording.results.counts == counts | more
    assert recording.manifest.command.runner == runner
    assert recording.manifest.status.state == "failed"
    assert recording.manifest.created_at.startswith("2026-11-22T05:0")
    assert recording.problems == []


def told(name: str) -> dict[str, tuple[str, list[str | None]]]:
    """Of each test what became of it, and of its attempts."""
    return {
        test.test_id: (test.verdict.value, [attempt.outcome for attempt in test.attempts])
        for test in fixture(name).results.tests
    }


def test_surefire_tells_of_every_rerun() -> None:
    failed, errored, timed_out = (["failed"], ["errored"], ["timed_out"])
    assert told("surefire") == {
        "shop.CartTest::adds": ("passed", ["passed"]),
        "shop.CartTest::breaks": ("errored", errored * 3),
        "shop.CartTest::fails": ("failed", failed * 3),
        "shop.CartTest::isAssumedAway": ("skipped", ["skipped"]),
        "shop.CartTest::isFlaky": ("flaky", [*failed, "passed"]),
        "shop.CartTest::isFlakyByAnError": ("flaky", [*errored * 2, "passed"]),
        "shop.CartTest::isSkipped": ("skipped", ["skipped"]),
        "shop.CartTest::timesOut": ("timed_out", timed_out * 3),
    }
    recording = fixture("surefire")
    assert the(recording, "isAssumedAway").attempts[0].reason == "only on a Sunday"
    assert outputs(recording, the(recording, "isFlaky"), 0) == [("stdout", b"run 1\n")]
    assert outputs(recording, the(recording, "fails"), 2) == [("stderr", b"about to fail\n")]


def test_playwright_tells_of_retries_in_its_text_alone() -> None:
    assert {
        name.partition("::[first] ")[2]: one for name, (one, _) in told("playwright").items()
    } == {
        "adds": "passed",
        'inner \u203a scope \u203a fails: a < b & "c"': "failed",
        "inner \u203a scope \u203a adds": "passed",
        "is flaky": "passed",
        "is skipped": "skipped",
        "is to be mended": "skipped",
        "is expected to fail": "passed",
        "times out": "timed_out",
    }
    recording = fixture("playwright")
    assert ("issue", "SHOP-1") in the(recording, "] adds").attempts[0].properties
    [failure] = the(recording, '"c"').attempts[0].failures
    assert failure.traceback is not None and failure.traceback.count("Retry #") == 2


def test_node_s_tests_are_named_by_the_suites_that_they_are_in() -> None:
    assert told("node") == {
        "adds": ("passed", ["passed"]),
        "cart::fails: a < b & &quot;c&quot;": ("failed", ["failed"]),  # Node escapes it twice
        "cart::is skipped": ("skipped", ["skipped"]),
        "cart::is to be written": ("skipped", ["skipped"]),
        "cart > inner::adds": ("passed", ["passed"]),
        "times out": ("timed_out", ["timed_out"]),
        "throws": ("failed", ["failed"]),
    }
    assert the(fixture("node"), "is skipped").attempts[0].reason == "closed"


def test_the_seed_of_rspec_is_that_of_the_run() -> None:
    recording = fixture("rspec")
    assert recording.manifest.seed == 32506
    assert recording.results.counts == {"passed": 2, "failed": 3, "skipped": 3}
    assert the(recording, "is mended").file == "./cart_spec.rb"


def test_jest_and_vitest_tell_of_the_last_attempt_alone() -> None:
    assert {name.partition(":: ")[2]: one for name, (one, _) in told("jest-retries").items()} == {
        "is flaky": "passed",
        "always fails": "failed",
        "is expected to fail": "passed",
        "case 1 of a.b": "passed",
        "case 2 of c/d": "failed",
        "times out": "timed_out",
    }
    assert {name.partition("::")[2]: one for name, (one, _) in told("vitest-retries").items()} == {
        "is flaky": "passed",
        "always fails": "failed",
        "is expected to fail": "passed",
        "times out": "timed_out",
        "skips itself": "skipped",
    }
    assert len(the(fixture("vitest-retries"), "always fails").attempts[0].failures) == 2


def test_mocha_tells_of_a_hook_that_failed_as_of_a_test() -> None:
    recording = fixture("mocha")
    assert recording.results.counts == {"passed": 2, "failed": 2}
    [failure] = the(recording, 'hook for "is never reached"').attempts[0].failures
    assert (failure.type, failure.message) == ("Error", "no inner")


def test_a_node_id_is_whole_where_the_report_names_the_file() -> None:
    old, new = fixture("pytest-xunit1"), fixture("pytest-xunit2")
    assert the(old, "::test_sub").test_id == "test_many.py::TestUnit::test_sub"
    assert the(new, "::test_sub").test_id == "test_many.TestUnit::test_sub"
    assert the(old, "::test_sub").file == "test_many.py"


def test_the_headings_of_pytest_tell_the_streams_apart() -> None:
    recording = fixture("pytest-xunit1")
    assert outputs(recording, the(recording, "::test_passes")) == [
        ("stdout", b"said to stdout\n"),
        ("stderr", b"said to stderr\n"),
    ]


def test_a_test_whose_teardown_failed_too_is_one_test() -> None:
    [attempt] = the(fixture("pytest-xunit2"), "::test_both_break").attempts
    assert [(one.phase, one.message) for one in attempt.failures] == [
        ("call", "assert False"),
        ("teardown", "RuntimeError: no teardown"),
    ]


def test_what_was_not_collected_is_no_test() -> None:
    failed, skipped = fixture("pytest-xunit2").results.collection
    assert (failed.node_id, failed.outcome.value) == ("test_broken", "errored")
    assert failed.failures[0].message.startswith("ModuleNotFoundError")
    assert (skipped.node_id, skipped.outcome.value) == ("test_module_skip", "skipped")


def test_every_attempt_of_nextest_comes_with_its_output() -> None:
    recording = fixture("nextest")
    test = the(recording, "shop tests::flaky")
    assert [attempt.outcome for attempt in test.attempts] == ["failed", "passed"]
    assert b"panicked" in outputs(recording, test, 0)[1][1]
    assert test.attempts[0].duration_us == 51_000
    slow = the(recording, "shop tests::slow")
    assert [attempt.outcome for attempt in slow.attempts] == ["timed_out", "timed_out"]


def test_surefire_s_elements_are_attempts() -> None:
    rerun = (
        '<failure message="one" type="E">trace 1</failure>'
        '<rerunFailure message="two" type="E"><stackTrace>trace 2</stackTrace>'
        "<system-out>printed</system-out></rerunFailure>"
    )
    recording = a_case(rerun)
    [test] = recording.results.tests
    assert [attempt.failures[0].message for attempt in test.attempts] == ["one", "two"]
    assert test.attempts[1].failures[0].traceback == "trace 2"
    assert outputs(recording, test) == [("stdout", b"printed")]
    assert test.attempts[0].will_retry
    flaky = '<flakyError message="one" type="E"><stackTrace>t</stackTrace></flakyError>'
    [test] = a_case(flaky).results.tests
    assert [attempt.outcome for attempt in test.attempts] == ["errored", "passed"]
    assert test.verdict == "flaky"


@pytest.mark.parametrize(
    ("inner", "verdict"),
    [
        ("", "passed"),
        ("<failure/>", "failed"),
        ("<error/>", "errored"),
        ("<skipped/>", "skipped"),
        ('<skipped type="pytest.xfail"/>', "xfailed"),
        ('<error type="crashed"/>', "crashed"),
        ('<error type="timed_out"/>', "timed_out"),
        ('<error type="unfinished"/>', "unfinished"),
        ('<skipped type="not_run"/>', "not_run"),
        ("<failure/><error/>", "failed"),
        ("<skipped/><failure/>", "failed"),
        ("<unknown><failure/></unknown>", "passed"),
    ],
)
def test_a_verdict_follows_from_the_elements(inner: str, verdict: str) -> None:
    assert [test.verdict.value for test in a_case(inner).results.tests] == [verdict]


@pytest.mark.parametrize("attributes", ["", 'name=""', 'name="n" time="soon"', 'time="-1"'])
def test_attributes_may_be_missing_or_odd(attributes: str) -> None:
    [test] = a_case(attributes=attributes).results.tests
    assert test.verdict == "passed"
    assert test.duration_us == 0


@pytest.mark.parametrize("status", ["notrun", "disabled", "Skipped"])
def test_a_status_may_say_that_a_test_did_not_run(status: str) -> None:
    [test] = a_case(attributes=f'name="n" status="{status}"').results.tests
    assert test.verdict == "skipped"


def test_nested_suites_keep_their_names() -> None:
    recording = read(
        '<testsuites><testsuite name="outer"><testcase name="a"/><testsuite name="inner">'
        '<testcase name="b"/></testsuite><testcase name="c"/></testsuite></testsuites>'
    )
    assert [test.test_id for test in recording.results.tests] == ["a", "b", "c"]
    suites = {one.id: one.info["suite"] for one in recording.results.sessions}
    assert [suites[test.session] for test in recording.results.tests] == [
        "outer",
        "outer > inner",
        "outer",
    ]


def test_a_case_that_is_there_twice_is_two_occurrences() -> None:
    recording = read('<testsuite><testcase name="a"/><testcase name="a"/></testsuite>')
    assert [test.occurrence for test in recording.results.tests] == [1, 2]


def test_what_a_suite_printed_is_kept() -> None:
    recording = read('<testsuite><testcase name="a"/><system-out>x</system-out></testsuite>')
    printed = recording.outputs(recording.results.run_output_offsets)
    assert [one.content for one in printed] == [b"x"]


@pytest.mark.parametrize("encoding", ["U-TF-8", "big5", "utf-7", "idna", "rot13", "hex"])
def test_an_encoding_that_cannot_be_read_is_said(encoding: str) -> None:
    text = f'<?xml version="1.0" encoding="{encoding}"?><testsuite><testcase name="a"/></testsuite>'
    with pytest.raises(DamagedRecording, match=r"encoding|decod"):
        read(text.encode())


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
def test_any_encoding_is_read(encoding: str) -> None:
    name = "utf-8" if encoding == "utf-8-sig" else encoding
    text = f'<?xml version="1.0" encoding="{name}"?><testsuite><testcase name="é"/></testsuite>'
    assert [test.test_id for test in read(text.encode(encoding)).results.tests] == ["é"]


def test_a_report_that_breaks_off_is_an_interrupted_run() -> None:
    recording = read('<testsuite><testcase name="a"/><testcase name="b"><failure mess')
    assert [test.verdict.value for test in recording.results.tests] == ["passed", "unfinished"]
    assert recording.manifest.status.state == "interrupted"
    assert "breaks off" in (recording.manifest.status.reason or "")
    assert len(recording.problems) == 1
    assert not recording.results.complete


def test_a_control_character_does_not_make_a_report_unreadable() -> None:
    recording = read(
        b'<testsuite><testcase name="a"><system-out>\x1b[1m\0</system-out></testcase>'
        b'<testcase name="b"/></testsuite>'
    )
    assert outputs(recording, the(recording, "a")) == [("stdout", b"?[1m?")]
    assert len(recording.results.tests) == 2


BOMB = "<!DOCTYPE x [<!ENTITY a 'lol'>" + "".join(
    f"<!ENTITY {b} '&{a};&{a};&{a};&{a};&{a};&{a};&{a};&{a};&{a};&{a};'>"
    for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    "document",
    [
        "<!DOCTYPE testsuite><testsuite/>",
        f"{BOMB}]><testsuite name='&i;'/>",
        "<!DOCTYPE x SYSTEM 'http://127.0.0.1:9/x'><testsuite/>",
        "<!DOCTYPE x [<!ENTITY f SYSTEM 'file:///etc/passwd'>]><testsuite name='&f;'/>",
        "<testsuite>" * 100,
        f"<testsuite><testcase name='n'>{'<a>' * 100}",
    ],
)
def test_a_hostile_document_is_refused(document: str) -> None:
    with pytest.raises(HostileRecording):
        read(document)


def test_an_endless_tag_is_refused() -> None:
    with pytest.raises(HostileRecording, match="a tag of more than"):
        read(f"<testsuite name='{'x' * (MAX_TAG_BYTES + 1_000_000)}'/>")


def test_an_entity_that_nobody_declared_breaks_the_report_off() -> None:
    recording = read("<testsuite><testcase name='a'/><testcase name='&x;'/></testsuite>")
    assert [test.test_id for test in recording.results.tests] == ["a"]
    assert recording.problems


def test_a_text_without_end_is_cut_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bundler.formats.junit_elements.MAX_CASE_CHARACTERS", 100_000)
    recording = a_case(f"<system-out>{'x' * 300_000}</system-out>")
    content = b"".join(one for _, one in outputs(recording, recording.results.tests[0]))
    assert len(content) < 100_100
    assert content.endswith(b"characters were not read]\n")


@pytest.mark.parametrize(
    "head",
    [b"", b"<", b"<html/>", b"<testsuitess>", b'{"a":1}', b"text <testsuite>", b"<a><testsuite>"],
)
def test_other_files_are_not_taken_for_one(head: bytes) -> None:
    assert not junit_reader.recognises(head)


def test_a_document_without_a_suite_is_damaged() -> None:
    with pytest.raises(DamagedRecording):
        junit_reader.read(io.BytesIO(b"<testsuites"), where="memory")


def test_what_stands_before_the_root_is_passed_over() -> None:
    before = b"\n<?xml version='1.0'?>\n<!-- a > b -->\n<?style x?><!---->"
    assert junit_reader.recognises(before + b"<testsuite/>")
    assert not junit_reader.recognises(before + b"<html/><testsuite/>")


@pytest.mark.parametrize("piece", [b"<!---->", b"<?x?>", b"<!DOCTYPE x>", b"<!--", b"<? ", b" "])
def test_a_head_is_recognised_in_no_time(piece: bytes) -> None:
    head = piece * (65536 // len(piece))
    started = time.process_time()
    assert not junit_reader.recognises(head)
    assert time.process_time() - started < 2
