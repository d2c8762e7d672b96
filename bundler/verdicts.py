"""What can become of a test, and of a run: the words, without anything that decides.

Whoever only shows them needs nothing else (`bundle list`); the fold is in `bundler.results`.
"""

from __future__ import annotations

from enum import StrEnum


class Verdict(StrEnum):
    """What became of a test in a run. All but the last three are also outcomes of an attempt."""

    PASSED = "passed"
    FAILED = "failed"
    ERRORED = "errored"
    SKIPPED = "skipped"
    XFAILED = "xfailed"
    XPASSED = "xpassed"
    TIMED_OUT = "timed_out"
    CRASHED = "crashed"
    FLAKY = "flaky"  # failed, then passed
    UNFINISHED = "unfinished"  # started, never finished
    NOT_RUN = "not_run"  # collected, never started


BAD = frozenset({Verdict.FAILED, Verdict.ERRORED, Verdict.TIMED_OUT, Verdict.CRASHED})
"""The outcomes of an attempt that did not go well."""

RED = BAD | {Verdict.UNFINISHED}
"""The verdicts that make a run red; `not_run` is unknown rather than red."""

NOT_PASSING = RED | {Verdict.NOT_RUN}


class Status(StrEnum):
    """How a run ended."""

    RUNNING = "running"
    PASSED = "passed"
    FAILED = "failed"
    NO_TESTS = "no_tests"
    COLLECTION_FAILED = "collection_failed"
    USAGE_ERROR = "usage_error"
    INTERNAL_ERROR = "internal_error"
    NOT_STARTED = "not_started"  # the command could not be started
    CANCELLED = "cancelled"  # somebody stopped it: Ctrl-C, SIGTERM, pytest.exit
    INTERRUPTED = "interrupted"  # it vanished in the middle
