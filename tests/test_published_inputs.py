"""The inputs that gotestsum, junitparser and pytest-reportlog are tested with, read by us too.

`BUNDLE_TEST_PUBLISHED` names a directory with the sources of those projects, each in a directory of
its name: nothing of theirs is kept here. What is expected is what their own expectations say.
"""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import textwrap
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from bundler.opening import read_path
from bundler.recording import Recording
from bundler.results import BAD, RED

NAMED = os.environ.get("BUNDLE_TEST_PUBLISHED", "")
ROOT = Path(NAMED)
GOTESTSUM = ROOT / "gotestsum"
JUNITPARSER = ROOT / "junitparser" / "tests" / "data"
REPORTLOG = ROOT / "pytest-reportlog" / "tests"

pytestmark = pytest.mark.skipif(
    not NAMED, reason="BUNDLE_TEST_PUBLISHED names no directory of the projects' sources"
)


def found_below(folder: Path, pattern: str, sign: str = "") -> list[Path]:
    """The files below a directory that hold some text; none where nothing is named."""
    if not NAMED:
        return []
    files = (path for path in sorted(folder.rglob(pattern)) if path.is_file())
    return [path for path in files if sign in path.read_text(errors="replace")]


def name_of(path: Path) -> str:
    return path.name


# gotestsum

LOGS = [path for path in found_below(GOTESTSUM, "*", '"Action":') if "testdata" in path.parts]

SUMMARIES = {  # which of its expectations is of which input, as its tests have it
    "go-test-json-with-attributes.out": "testjson/testdata/summary/with-attributes",
    "go-test-json-missing-skip-msg.out": "testjson/testdata/summary/bug-missing-skip-message",
    "go-test-json-misattributed.out": "testjson/testdata/summary/misattributed-output",
    "go-test-json-missing-test-fail.out": "testjson/testdata/summary/missing-test-fail-event",
    "go-test-json-with-parallel-fails.out": "testjson/testdata/summary/parallel-failures",
    "go-test-json.out": "testjson/testdata/summary/root-test-has-subtest-failures",
    "go-test-json-panic-race-1.out": "cmd/testdata/expected/panic-race-1-summary",
    "go-test-json-panic-race-2.out": "cmd/testdata/expected/panic-race-2-summary",
    "go-test-build-failed.out": "cmd/testdata/expected/build-fail-expected",
    "go-test-setup-failed.out": "cmd/testdata/expected/setup-fail-expected",
}
TWICE = {"go-test-json-panic-race-2.out"}
"""It counts a test that timed out, and its package once more."""


@pytest.mark.parametrize("path", LOGS, ids=name_of)
def test_every_log_of_gotestsum_is_read(path: Path) -> None:
    recording = read_path(path)
    assert recording.problems == []
    assert recording.results.tests or recording.results.collection


@pytest.mark.parametrize("name", SUMMARIES)
def test_gotestsum_counts_what_we_count(name: str) -> None:
    [path] = [path for path in LOGS if path.name == name]
    results = read_path(path).results
    text = (GOTESTSUM / SUMMARIES[name]).read_text()
    said = re.search(r"^DONE (?:\d+ runs, )?(?P<all>\d+) tests(?P<more>.*)$", text, re.MULTILINE)
    assert said
    more = {word: int(number) for number, word in re.findall(r"(\d+) (\w+?)s?\b", said["more"])}
    assert int(said["all"]) == len(results.tests)
    assert more.get("skipped", 0) == results.counts.get("skipped", 0)
    red = sum(test.verdict in RED for test in results.tests) + len(results.collection)
    assert more.get("failure", 0) == red + (name in TWICE)


@pytest.mark.parametrize(
    ("name", "report"),
    [
        ("go-test-json-flaky-rerun.out", "TestWriteRerunFailsReport-expected"),
        (
            "go-test-missing-run-events.out",
            "TestWriteRerunFailsReport_HandlesMissingActionRunEvents-expected",
        ),
    ],
)
def test_gotestsum_counts_the_attempts_that_we_count(name: str, report: str) -> None:
    [path] = [path for path in LOGS if path.name == name]
    runs: Counter[str] = Counter()
    failures: Counter[str] = Counter()
    for test in read_path(path).results.tests:
        test_id = test.test_id.replace("::", ".")
        runs[test_id] += len(test.attempts)
        failures[test_id] += sum(one.outcome in BAD for one in test.attempts)
    for line in (GOTESTSUM / "cmd" / "testdata" / report).read_text().splitlines():
        test_id, _, told = line.rpartition(": ")
        if told:
            assert told == f"{runs[test_id]} runs, {failures[test_id]} failures", test_id


# junitparser


@pytest.mark.parametrize("path", found_below(JUNITPARSER, "*.xml"), ids=name_of)
def test_junitparser_s_reports_have_the_cases_that_stand_in_them(path: Path) -> None:
    cases = list(ET.parse(path).getroot().iter("testcase"))
    told = [[child.tag for child in case] for case in cases]
    verdicts = [test.verdict.value for test in read_path(path).results.tests]
    words = {"failure": "failed", "error": "errored", "skipped": "skipped"}
    assert verdicts == [words[tags[0]] if tags else "passed" for tags in told]
    assert len(cases) in (1, 3)


# pytest-reportlog


def suites() -> Iterator[tuple[str, str]]:
    """The suites that its tests write, each with the name of the test that writes it."""
    for path in found_below(REPORTLOG, "test_*.py"):
        for function in ast.parse(path.read_text()).body:
            if isinstance(function, ast.FunctionDef):
                calls = (node for node in ast.walk(function) if isinstance(node, ast.Call))
                for call in calls:
                    if getattr(call.func, "attr", "") == "makepyfile" and call.args:
                        yield function.name, textwrap.dedent(text_of(call.args[0]))


def text_of(node: ast.expr) -> str:
    """The text that an expression is; what an f-string would put in is a 1."""
    if isinstance(node, ast.JoinedStr):
        return "".join(text_of(one) for one in node.values)
    return str(node.value) if isinstance(node, ast.Constant) else "1"


@pytest.mark.parametrize("ending", ["jsonl", "jsonl.gz", "jsonl.bz2", "jsonl.xz"])
@pytest.mark.parametrize(
    "source", [pytest.param(source, id=name) for name, source in (suites() if NAMED else ())]
)
def test_pytest_reportlog_s_suites_are_read_as_pytest_counts_them(
    source: str, ending: str, tmp_path: Path
) -> None:
    (tmp_path / "test_it.py").write_text(source)
    log = f"log.{ending}"
    words = ["-p", "no:cacheprovider", "-W", "default", f"--report-log={log}"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *words],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    told = {
        word: int(number)
        for number, word in re.findall(r"(\d+) (passed|failed|skipped)", done.stdout[-200:])
    }
    recording = read_path(tmp_path / log)
    assert counted(recording) == told
    assert recording.problems == []


def counted(recording: Recording) -> dict[str, int]:
    """The counts as pytest prints them."""
    return {word: count for word, count in recording.results.counts.items() if count}
