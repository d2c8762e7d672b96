"""What of a run is shown, and when: nextest's levels and output settings, over our verdicts."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from bundler.filters import Filter
from bundler.own_events import Wanted
from bundler.results import RED, TestResult, Verdict


class StatusLevel(StrEnum):
    """Which statuses are shown while the run goes on; each level includes those before it."""

    NONE = "none"
    FAIL = "fail"
    RETRY = "retry"
    SLOW = "slow"
    LEAK = "leak"
    PASS = "pass"
    SKIP = "skip"
    ALL = "all"


class FinalStatusLevel(StrEnum):
    """Which statuses are shown again at the end; each level includes those before it."""

    NONE = "none"
    FAIL = "fail"
    FLAKY = "flaky"
    SLOW = "slow"
    SKIP = "skip"
    LEAK = "leak"
    PASS = "pass"
    ALL = "all"


class OutputWhen(StrEnum):
    """When the output of a test is shown: with its status, at the end, both, or not at all."""

    IMMEDIATE = "immediate"
    FINAL = "final"
    IMMEDIATE_FINAL = "immediate-final"
    NEVER = "never"

    @property
    def immediate(self) -> bool:
        """Whether it is shown with the status."""
        return self in (OutputWhen.IMMEDIATE, OutputWhen.IMMEDIATE_FINAL)

    @property
    def final(self) -> bool:
        """Whether it is shown at the end."""
        return self in (OutputWhen.FINAL, OutputWhen.IMMEDIATE_FINAL)


@dataclass(frozen=True, slots=True)
class Options:
    """What of a run is shown. `only_failed` leaves out the tests that went well.

    `said` is which of the tests' own events stand between their output; None: none of them.
    """

    status_level: StatusLevel = StatusLevel.PASS
    final_status_level: FinalStatusLevel = FinalStatusLevel.FAIL
    failure_output: OutputWhen = OutputWhen.IMMEDIATE
    success_output: OutputWhen = OutputWhen.NEVER
    indent: bool = True
    filter: Filter | None = None
    only_failed: bool = False
    said: Wanted | None = None

    def chooses(self, test: TestResult, verdict: Verdict) -> bool:
        """Whether a test is shown at all."""
        if self.filter is not None and not self.filter(test.test_id):
            return False
        return not self.only_failed or verdict in RED

    def shown_at_once(self, verdict: Verdict | None) -> tuple[bool, bool]:
        """Whether status and output are shown as the run goes on.

        None is an attempt that was followed by another one. What a skipped test printed in its
        setup is never shown.
        """
        needed = StatusLevel.RETRY if verdict is None else LEVELS[verdict][0]
        status = _STATUS_RANK[self.status_level] >= _STATUS_RANK[needed]
        output = self._output(verdict).immediate and verdict not in _WITHOUT_OUTPUT
        return status or output, output

    def shown_at_end(self, verdict: Verdict) -> tuple[bool, bool]:
        """Whether status and output are shown once more at the end."""
        status = _FINAL_RANK[self.final_status_level] >= final_rank(verdict)
        output = self._output(verdict).final and verdict not in _WITHOUT_OUTPUT
        return status or output, output

    def _output(self, verdict: Verdict | None) -> OutputWhen:
        return self.failure_output if verdict is None or verdict in RED else self.success_output


_WITHOUT_OUTPUT = frozenset({Verdict.SKIPPED, Verdict.NOT_RUN})

LEVELS = {
    Verdict.PASSED: (StatusLevel.PASS, FinalStatusLevel.PASS),
    Verdict.FAILED: (StatusLevel.FAIL, FinalStatusLevel.FAIL),
    Verdict.ERRORED: (StatusLevel.FAIL, FinalStatusLevel.FAIL),
    Verdict.SKIPPED: (StatusLevel.SKIP, FinalStatusLevel.SKIP),
    Verdict.XFAILED: (StatusLevel.PASS, FinalStatusLevel.PASS),
    Verdict.XPASSED: (StatusLevel.PASS, FinalStatusLevel.PASS),
    Verdict.TIMED_OUT: (StatusLevel.FAIL, FinalStatusLevel.FAIL),
    Verdict.CRASHED: (StatusLevel.FAIL, FinalStatusLevel.FAIL),
    Verdict.FLAKY: (StatusLevel.RETRY, FinalStatusLevel.FLAKY),
    Verdict.UNFINISHED: (StatusLevel.FAIL, FinalStatusLevel.FAIL),
    Verdict.NOT_RUN: (StatusLevel.ALL, FinalStatusLevel.SKIP),
}
"""At which level the status of a verdict is shown at once, and at which at the end."""

_STATUS_RANK = {level: rank for rank, level in enumerate(StatusLevel)}
_FINAL_RANK = {level: rank for rank, level in enumerate(FinalStatusLevel)}


def final_rank(verdict: Verdict) -> int:
    """Return how far down the final levels a verdict stands: 1 is what matters most."""
    return _FINAL_RANK[LEVELS[verdict][1]]
