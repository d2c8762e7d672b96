"""Is the recording true? One run of a suite, recorded by bundle and by pytest's own reporters.

    python tests/fidelity.py --python VENV/bin/python PROJECT [-- PYTEST ARGUMENTS]

records the suite of PROJECT with `bundle run`, while pytest itself writes `--junitxml` and (with
pytest-reportlog in that environment) `--report-log` of the same run, and compares: the exit code,
the set of test ids, every outcome, every captured output up to the bound, what the replay shows,
and the JUnit export case by case. Prints the differences; exits 1 if there are any.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from probe_driver import BUNDLE

from bundler.bundle import read
from bundler.recording import Recording
from bundler.results import TestResult, Verdict

OUTPUT_LIMIT = 10 * 1024 * 1024
SECTION = re.compile(r"Captured (stdout|stderr|log) (setup|call|teardown)")


@dataclass
class Told:
    """What pytest's own report log says of one test id: the reports of its cycles."""

    cycles: list[dict[str, dict[str, Any]]] = field(default_factory=list)
    subtest_failed: bool = False

    @property
    def verdict(self) -> str:
        """The verdict by pytest's own counting, of the last cycle."""
        last = self.cycles[-1]
        if any(r.get("outcome") == "rerun" for r in last.values()) or "teardown" not in last:
            return "unfinished"
        verdict = _of_cycle(last)
        if verdict == "passed" and self.subtest_failed:
            return "failed"
        if verdict == "passed" and len(self.cycles) > 1:
            return "flaky"
        return verdict

    @property
    def output(self) -> Counter[tuple[str, str, str]]:
        """Every captured section of every cycle: stream, phase and text."""
        found: Counter[tuple[str, str, str]] = Counter()
        for cycle in self.cycles:
            longest = max((r.get("sections", []) for r in cycle.values()), key=len)
            for title, text in longest:
                match = SECTION.fullmatch(title)
                found[(match[1], match[2], text) if match else (title, "", text)] += 1
        return found


def _of_cycle(reports: dict[str, dict[str, Any]]) -> str:
    outcomes = {when: report["outcome"] for when, report in reports.items()}
    call = reports.get("call", {})
    if outcomes.get("setup") == "failed":
        return "errored"
    if outcomes.get("call") == "failed":
        return "failed"
    if outcomes.get("teardown") == "failed":
        return "errored"
    for report in reports.values():
        if report["outcome"] == "skipped":
            return "xfailed" if "wasxfail" in report else "skipped"
    return "xpassed" if "wasxfail" in call else "passed"


def told_by_pytest(report_log: Path) -> dict[str, Told]:
    """Read a report log into what it says of each test id."""
    told: dict[str, Told] = {}
    for line in report_log.read_text(encoding="utf-8").splitlines():
        report = json.loads(line)
        kind = report.get("$report_type")
        if kind not in ("TestReport", "SubTestReport", "SubtestReport"):
            continue
        one = told.setdefault(report["nodeid"], Told())
        if kind != "TestReport" or "_subtest.context" in report or "context" in report:
            one.subtest_failed = one.subtest_failed or report["outcome"] == "failed"
            continue
        if report["when"] == "setup":
            one.cycles.append({})
        if one.cycles:
            one.cycles[-1][report["when"]] = report
    return {test_id: one for test_id, one in told.items() if one.cycles}


def recorded_output(recording: Recording, test: TestResult) -> Counter[tuple[str, str, str]]:
    """Every recorded section of a test, its chunks joined."""
    found: Counter[tuple[str, str, str]] = Counter()
    for attempt in test.attempts:
        sections: dict[tuple[str, str], bytes] = {}
        for piece in recording.outputs(attempt.output_offsets):
            phase = piece.phase if piece.stream in ("stdout", "stderr", "log") else ""
            key = (piece.stream, phase)
            sections[key] = sections.get(key, b"") + piece.content
        for (stream, phase), content in sections.items():
            found[stream, phase, content.decode("utf-8", "surrogatepass")] += 1
    return found


def compare_reports(recording: Recording, told: dict[str, Told]) -> Iterator[str]:
    """Differences between a recording and a report log of the same run."""
    ran = [test for test in recording.results.tests if test.verdict is not Verdict.NOT_RUN]
    ours = {test.test_id: test for test in ran}
    yield from (f"only pytest knows {one}" for one in sorted(told.keys() - ours.keys()))
    yield from (f"only the recording knows {one}" for one in sorted(ours.keys() - told.keys()))
    for test_id in sorted(told.keys() & ours.keys()):
        test, expected = ours[test_id], told[test_id]
        if test.verdict.value != expected.verdict:
            yield f"{test_id}: recorded {test.verdict}, pytest says {expected.verdict}"
        output = recorded_output(recording, test)
        if output != expected.output:
            extra, lost = output - expected.output, expected.output - output
            yield f"{test_id}: output differs: extra {extra}, lost {lost}"


Case = tuple[str, str, tuple[str, ...]]


def cases(document: Path) -> Counter[Case]:
    """The cases of a JUnit document: class name, name, and the kinds of what is in them."""
    found: Counter[Case] = Counter()
    for case in ElementTree.parse(document).iter("testcase"):
        kinds = sorted(e.tag for e in case if e.tag in ("failure", "error", "skipped"))
        found[case.get("classname", ""), case.get("name", ""), tuple(kinds)] += 1
    return found


def compare_junit(theirs: Path, ours: Path) -> Iterator[str]:
    """Differences between pytest's JUnit document and the export of the recording."""
    expected, found = cases(theirs), cases(ours)
    yield from (f"junit: only pytest's has {case}" for case in (expected - found))
    yield from (f"junit: only the export has {case}" for case in (found - expected))


@dataclass(frozen=True)
class Compared:
    """The outcome: how many tests were compared, and the differences."""

    tests: int
    exit_code: int
    differences: list[str]


def check(project: Path, python: str, arguments: list[str], scratch: Path) -> Compared:
    """Record a project's suite and compare; `scratch` is an empty directory for the results."""
    xml, log = scratch / "pytest.xml", scratch / "pytest.jsonl"
    env = {**os.environ, "BUNDLE_STORE": str(scratch / "store")}
    reporters = [f"--junitxml={xml}", f"--report-log={log}", "-o", "junit_logging=all"]
    pytest = [python, "-m", "pytest", *reporters, *arguments]
    ended = _bundle(["run", "--", *pytest], project, env)
    packed = scratch / "run.zip"
    _bundle(["pack", "-o", str(packed)], project, env, check=True)
    recording = read(packed)
    differences = list(compare_reports(recording, told_by_pytest(log)))
    if recording.manifest.status.exit_code != ended.returncode:
        differences.append(f"exit code {ended.returncode} is not what was recorded")
    for dialect in ("pytest", "jenkins"):
        ours = scratch / f"{dialect}.xml"
        words = ["export", str(packed), "--to", "junit", "--dialect", dialect, "-o", str(ours)]
        _bundle(words, project, env, check=True)
        if dialect == "pytest":
            differences += compare_junit(xml, ours)
    shown = _bundle(["replay", str(packed), "--status-level", "all"], project, env, check=True)
    differences += _unshown(recording, shown.stdout.decode())
    return Compared(len(recording.results.tests), ended.returncode, differences)


def _unshown(recording: Recording, shown: str) -> Iterator[str]:
    visible = " ".join(shown.split())
    for test in recording.results.tests:
        if (
            test.attempts
            and " ".join(test.test_id.split()) not in visible
            and test.test_id.isprintable()
        ):
            yield f"the replay does not show {test.test_id}"


def _bundle(
    words: list[str], project: Path, env: dict[str, str], *, check: bool = False
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([*BUNDLE, *words], cwd=project, env=env, check=check, capture_output=True)


def main() -> int:
    """Compare one project's suite from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--python", default=sys.executable, help="the environment of the suite")
    parser.add_argument("project", type=Path)
    parser.add_argument("arguments", nargs="*", help="pytest's arguments")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        compared = check(options.project, options.python, options.arguments, Path(scratch))
    for difference in compared.differences[:50]:
        print(difference)
    print(
        f"tests: {compared.tests}, exit code {compared.exit_code}, "
        f"differences: {len(compared.differences)}"
    )
    return 1 if compared.differences else 0


if __name__ == "__main__":
    sys.exit(main())
