"""JUnit XML as somebody else reads it: junitparser agrees on every case."""

from __future__ import annotations

from typing import Any

import pytest
from builders import a_test, line
from test_junit import every_verdict, exported, red

from bundler.formats.junit import DIALECTS

_WHY = "junitparser is not installed"
junitparser: Any = pytest.importorskip("junitparser", reason=_WHY)
xunit2: Any = pytest.importorskip("junitparser.xunit2", reason=_WHY)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_junitparser_sees_every_verdict(dialect: str) -> None:
    (suite,) = junitparser.JUnitXml.fromstring(exported(every_verdict(), dialect))
    assert (suite.tests, suite.failures, suite.errors, suite.skipped) == (14, 3, 5, 3)
    told = {case.name: [type(one).__name__ for one in case.result] for case in suite}
    assert told == {
        "tests.test_b": ["Error"],
        "test_passed": [],
        "test_failed": ["Failure"],
        "test_both": ["Error"],  # of the two cases of that name, the second
        "test_errored": ["Error"],
        "test_skipped": ["Skipped"],
        "test_xfailed": ["Skipped"],
        "test_xpassed": [],
        "test_crashed": ["Error"],
        "test_flaky": [],
        "test_again[a/b::c]": ["Failure"],
        "test_running": ["Error"],
        "test_never": ["Skipped"],
    }


def test_junitparser_recounts_to_the_same_counts() -> None:
    document = junitparser.JUnitXml.fromstring(exported(every_verdict()))
    (suite,) = document
    before = (suite.tests, suite.failures, suite.errors, suite.skipped)
    suite.update_statistics()
    assert (suite.tests, suite.failures, suite.errors, suite.skipped) == before


def test_junitparser_sees_properties_and_output() -> None:
    start, end = a_test("a.py::t", "failed", properties=[["key", "]]>\x00"]])
    output = line("TestOutput", "a.py::t", stream="stdout", phase="call", text="\x1b[1m<b>")
    (suite,) = junitparser.JUnitXml.fromstring(exported(red(start, output, end)))
    (case,) = suite
    found = {one.name: one.value for one in case.child(junitparser.Properties)}
    assert found["key"] == "]]>#x00"
    assert found["bundle.seed"] == "00000000deadbeef"
    assert "#x1B[1m<b>" in case.system_out


def test_junitparser_sees_surefires_reruns() -> None:
    (suite,) = xunit2.JUnitXml.fromstring(exported(every_verdict()))
    cases = {case.name: case for case in suite}
    assert [one.message for one in cases["test_flaky"].flaky_failures()] == ["assert 1 == 2"]
    (rerun,) = cases["test_again[a/b::c]"].rerun_errors()
    assert (rerun.message, rerun.type) == ("Timeout >1.0s", "timed_out")
