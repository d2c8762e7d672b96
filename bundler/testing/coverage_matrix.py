"""Many tests together: how many passed, and the coverage matrix, which phases each went through."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar

from bundler.probe.writer.json_text import pretty
from bundler.testing.summary import TestSummary


@dataclass(frozen=True, kw_only=True, slots=True)
class CoverageMatrixRow:
    """One test in the coverage matrix; `phases_exercised` in the order of their start."""

    test_name: str
    passed: bool
    phases_exercised: tuple[str, ...]
    assertion_count: int
    duration_ms: float


@dataclass(frozen=True, kw_only=True, slots=True)
class TestSummaryBrief:
    """One test in a few numbers; `failures` are assertions that failed."""

    __test__: ClassVar[bool] = False

    test_name: str
    passed: bool
    assertions: int
    failures: int
    duration_ms: float


@dataclass(frozen=True, kw_only=True, slots=True)
class AggregatedReport:
    """What many tests did together."""

    total_tests: int
    passed_tests: int
    failed_tests: int
    total_assertions: int
    passed_assertions: int
    coverage_matrix: tuple[CoverageMatrixRow, ...]
    tests: tuple[TestSummaryBrief, ...]

    def to_document(self) -> dict[str, Any]:
        """Return it as it is written."""
        document: dict[str, Any] = {name: getattr(self, name) for name in self.__slots__}
        for name in ("coverage_matrix", "tests"):
            rows = document[name]
            document[name] = [{key: getattr(row, key) for key in row.__slots__} for row in rows]
        return document

    def to_json(self) -> bytes:
        """Return it as JSON in bytes."""
        return pretty(self.to_document())

    def lines(self) -> Iterator[str]:
        """Yield the coverage matrix as text: a row a test, a column a phase, `x` where it ran."""
        phases = list(
            dict.fromkeys(p for row in self.coverage_matrix for p in row.phases_exercised)
        )
        width = max((len(row.test_name) for row in self.coverage_matrix), default=0)
        yield "  ".join(["test".ljust(width), "ok", *phases])
        for row in self.coverage_matrix:
            ran = set(row.phases_exercised)
            cells = [("x" if phase in ran else "").ljust(len(phase)) for phase in phases]
            passed = "ok" if row.passed else "no"
            yield "  ".join([row.test_name.ljust(width), passed, *cells]).rstrip()


@dataclass(slots=True)
class TestReportAggregator:
    """Collect summaries of tests, and report on all of them.

    >>> aggregator = TestReportAggregator()
    >>> aggregator.add(TestSummary(test_name="a", passed=True, total_assertions=2))
    >>> aggregator.report().passed_tests
    1
    """

    __test__: ClassVar[bool] = False

    summaries: list[TestSummary] = field(default_factory=list)

    def add(self, summary: TestSummary) -> None:
        """Take one more test."""
        self.summaries.append(summary)

    def report(self) -> AggregatedReport:
        """Return what all of them did together, in the order in which they were added."""
        passed = sum(one.passed for one in self.summaries)
        return AggregatedReport(
            total_tests=len(self.summaries),
            passed_tests=passed,
            failed_tests=len(self.summaries) - passed,
            total_assertions=sum(one.total_assertions for one in self.summaries),
            passed_assertions=sum(one.passed_assertions for one in self.summaries),
            coverage_matrix=tuple(map(_row, self.summaries)),
            tests=tuple(map(_brief, self.summaries)),
        )


def _row(summary: TestSummary) -> CoverageMatrixRow:
    return CoverageMatrixRow(
        test_name=summary.test_name,
        passed=summary.passed,
        phases_exercised=tuple(phase.name for phase in summary.walk()),
        assertion_count=summary.total_assertions,
        duration_ms=summary.duration_ms,
    )


def _brief(summary: TestSummary) -> TestSummaryBrief:
    return TestSummaryBrief(
        test_name=summary.test_name,
        passed=summary.passed,
        assertions=summary.total_assertions,
        failures=summary.failed_assertions,
        duration_ms=summary.duration_ms,
    )
