"""What changed between two runs, test by test: the decision, and the order in which it is told.

| from A to B | change |
|---|---|
| went well, fails now | `regression` |
| failed, went well now | `fixed` |
| was not there, fails now | `new_failure` |
| was not there, is now | `new` |
| was there, is not now | `gone` |
| flaky in B, and not in A | `flaky` |
| went well or failed both times, otherwise than before | `changed` |
| went well both times, and takes longer by a factor and by a tenth of a second | `slower` |

What never ran (`not_run`) is unknown: it is told only where it ran before. A test that
stands in several places of one run counts as its worst one. `regression` and `new_failure` are what
makes the answer no; a flaky test is told and does not.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from bundler.results import RED, Results, TestResult, Verdict

SLOWER_FACTOR = 2.0
SLOWER_AT_LEAST_US = 100_000

_WELL = frozenset({Verdict.PASSED, Verdict.XFAILED, Verdict.XPASSED, Verdict.FLAKY})


class ChangeKind(StrEnum):
    """What became of a test, in the order in which it is told."""

    REGRESSION = "regression"
    NEW_FAILURE = "new_failure"
    FLAKY = "flaky"
    FIXED = "fixed"
    CHANGED = "changed"
    SLOWER = "slower"
    NEW = "new"
    GONE = "gone"


BAD_NEWS = frozenset({ChangeKind.REGRESSION, ChangeKind.NEW_FAILURE})


@dataclass(frozen=True, slots=True)
class Change:
    """What became of one test; a side where it was not there has no verdict. Times are of all
    attempts together."""

    kind: ChangeKind
    test_id: str
    before: Verdict | None
    after: Verdict | None
    before_us: int = 0
    after_us: int = 0

    def to_document(self) -> dict[str, Any]:
        """Return it as an object of JSON."""
        return {
            "change": self.kind.value,
            "test_id": self.test_id,
            "before": self.before.value if self.before else None,
            "after": self.after.value if self.after else None,
            "before_us": self.before_us,
            "after_us": self.after_us,
        }


def changes(before: Results, after: Results, factor: float = SLOWER_FACTOR) -> list[Change]:
    """Return every test that changed, the worst news first, else in the order of B, then of A.

    What of A a filter of B left out (deselected) is not gone.
    """
    old, new = _worst(before), _worst(after)
    left_out = {one.test_id for one in after.deselected}
    found = list(_changes(old, new, left_out, factor))
    kinds = list(ChangeKind)
    return sorted(found, key=lambda change: kinds.index(change.kind))


def _changes(
    old: dict[str, TestResult], new: dict[str, TestResult], left_out: set[str], factor: float
) -> Iterator[Change]:
    for test_id, test in new.items():
        was = old.get(test_id)
        kind = _kind(was, test, factor)
        if kind is not None:
            yield _change(kind, test_id, was, test)
    for test_id, was in old.items():
        if test_id not in new and test_id not in left_out:
            yield _change(ChangeKind.GONE, test_id, was, None)


def _change(
    kind: ChangeKind, test_id: str, was: TestResult | None, now: TestResult | None
) -> Change:
    return Change(
        kind,
        test_id,
        was.verdict if was else None,
        now.verdict if now else None,
        was.duration_us if was else 0,
        now.duration_us if now else 0,
    )


def _kind(was: TestResult | None, test: TestResult, factor: float) -> ChangeKind | None:
    now = test.verdict
    if was is None or was.verdict is Verdict.NOT_RUN:
        if now in RED:
            return ChangeKind.NEW_FAILURE
        return ChangeKind.NEW if was is None else None
    before = was.verdict
    if now in RED:
        if before in RED:
            return ChangeKind.CHANGED if before is not now else None
        return ChangeKind.REGRESSION
    if before in RED:
        return ChangeKind.FIXED if now in _WELL and now is not Verdict.FLAKY else _softer(now)
    if now is Verdict.FLAKY and before is not Verdict.FLAKY:
        return ChangeKind.FLAKY
    if before is not now:
        return ChangeKind.CHANGED
    slower = test.duration_us > was.duration_us * factor
    apart = test.duration_us - was.duration_us >= SLOWER_AT_LEAST_US
    return ChangeKind.SLOWER if slower and apart and now in _WELL else None


def _softer(now: Verdict) -> ChangeKind:
    """A failure that is flaky now, or skipped, or was not reached, is not fixed."""
    return ChangeKind.FLAKY if now is Verdict.FLAKY else ChangeKind.CHANGED


def _worst(results: Results) -> dict[str, TestResult]:
    found: dict[str, TestResult] = {}
    for test in results.tests:
        known = found.get(test.test_id)
        if known is None or (test.verdict in RED and known.verdict not in RED):
            found[test.test_id] = test
    return found
