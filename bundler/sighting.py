"""What one execution showed of a failure: the same, another, none, or why nothing was seen.

Two failures are the same if they are of one phase and have one fingerprint (`bundler.fingerprint`).
A test that took its process with it has no failure of its own; that it died is what it is known by.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from bundler.fingerprint import fingerprint, normalised
from bundler.manifest import RunStatus
from bundler.repro import Seen, Target
from bundler.rerun import histories, pytest_file
from bundler.results import (
    BAD,
    RED,
    Attempt,
    Failure,
    Results,
    Status,
    TestResult,
    Verdict,
)

DIED = "died"
_GROUPED = re.compile(r"(.+)@[\w.-]+", re.DOTALL)
_ENDED_EARLY = {
    Status.USAGE_ERROR: "the runner refused its command line",
    Status.NOT_STARTED: "the command could not be started",
    Status.INTERNAL_ERROR: "the runner broke",
    Status.COLLECTION_FAILED: "the tests could not be collected",
    Status.CANCELLED: "it was stopped",
}


@dataclass(frozen=True, slots=True)
class Original:
    """A recorded failure that is to be seen again: where it stood, and by what it is known.

    `untold` are the fields of a failure that the recording leaves out, as a JUnit report does.
    `past` is None for a file or node that could not be collected.
    """

    test_id: str
    past: Past | None
    fingerprints: frozenset[str]
    words: str
    text: str
    message: str = ""
    untold: frozenset[str] = frozenset()
    file: str | None = None
    attempt: int | None = None
    worker: str | None = None

    @property
    def target(self) -> Target:
        """What is to be executed, made when it is asked for: of many failures it is large."""
        if self.past is None:
            return Target(self.test_id, collection=True)
        return self.past.target(self.test_id)


@dataclass(frozen=True, slots=True)
class Past:
    """What each process of a run had run, in order, and all that was to run: for every failure."""

    histories: list[list[str]]
    full: tuple[str, ...]

    def target(self, test_id: str) -> Target:
        """Return a test with what its process had run before it."""
        before, file = self._before(test_id), pytest_file(test_id)
        same_file = tuple(one for one in before if pytest_file(one) == file)
        return Target(test_id, file_before=same_file, worker_before=before, full=self.full)

    def _before(self, test_id: str) -> tuple[str, ...]:
        for ids in self.histories:
            if test_id in ids:
                last = len(ids) - ids[::-1].index(test_id)
                ran = tuple(dict.fromkeys(ids[:last]))
                if ran[-1] == test_id:
                    return ran[:-1]
        return ()


def past_of(results: Results) -> Past:
    """Return what each process of a run had run."""
    collected = dict.fromkeys(key[1] for key in results.collected)
    full = collected or dict.fromkeys(test.test_id for test in results.tests)
    return Past(histories(results), tuple(full))


def originals(results: Results, test_ids: Iterable[str] | None = None) -> list[Original]:
    """Return the failures of a run: all that make it red, or those of these tests.

    A named test may be flaky; one of its failures counts then.
    """
    wanted = None if test_ids is None else set(test_ids)
    found = {
        test.test_id: test
        for test in results.tests
        if (test.verdict in RED if wanted is None else test.test_id in wanted)
        and _failing_attempt(test) is not None
    }
    past = past_of(results)
    tests = [_original(past, test) for test in found.values()]
    return [*_uncollected(results, wanted), *tests]


def look(results: Results, status: RunStatus, original: Original) -> tuple[Seen, str]:
    """Return what an execution showed of a failure, and the failure or the reason in a line."""
    if original.past is None:
        return _look_at_node(results, status, original)
    found = [test for name in aliases(original.test_id) for test in results.with_id(name)]
    attempts = [attempt for test in found for attempt in test.attempts]
    if not attempts:
        return _why_not_executed(results, status, original.test_id)
    bad = [attempt for attempt in attempts if _is_bad(attempt)]
    for attempt in bad:
        if original.fingerprints & fingerprints(attempt, original.untold):
            return Seen.SAME, words_of(attempt)
    if bad:
        return Seen.DIFFERENT, _different_words(original, words_of(bad[-1]), failures_of(bad[-1]))
    if all(attempt.outcome is Verdict.SKIPPED for attempt in attempts):
        return Seen.NOTHING, f"it was skipped: {attempts[-1].reason or 'no reason given'}"
    return Seen.PASSED, f"it {(attempts[-1].outcome or Verdict.PASSED).value}"


def aliases(test_id: str) -> tuple[str, ...]:
    """Return a test's id, and the one it has outside of xdist's groups.

    `--dist loadgroup` puts `@GROUP` behind an id, in the workers alone.
    """
    grouped = _GROUPED.fullmatch(test_id)
    return (test_id, grouped[1]) if grouped else (test_id,)


def fingerprints(attempt: Attempt, untold: Collection[str] = ()) -> frozenset[str]:
    """Return what an attempt that went wrong is known by; one for each of its failures."""
    if attempt.outcome in (None, Verdict.CRASHED):
        return frozenset({DIED})
    found = {_known_by(failure, untold) for failure in failures_of(attempt)}
    return frozenset(found or {str(attempt.outcome)})


def _known_by(failure: Failure, untold: Collection[str] = ()) -> str:
    """Return what a failure is known by: its phase and its fingerprint, without what is untold."""
    kind = None if "type" in untold else failure.type
    file = None if "file" in untold else failure.file
    return f"{failure.phase} {fingerprint(kind, file, failure.message)}"


def failures_of(attempt: Attempt) -> list[Failure]:
    """Return the failures of an attempt, those of its subtests where it has none of its own."""
    inner = [failure for sub in attempt.subtests for failure in sub.failures]
    return list(attempt.failures) or inner


def words_of(attempt: Attempt) -> str:
    """Return why an attempt went wrong, in a line."""
    if attempt.outcome in (None, Verdict.CRASHED):
        return attempt.reason or "its process died"
    failures = failures_of(attempt)
    if not failures:
        return attempt.reason or str(attempt.outcome)
    return _failure_words(failures[0])


def _failure_words(failure: Failure) -> str:
    """Return a failure in a line: where, and what."""
    place = f"{failure.file}:{failure.line}: " if failure.file and failure.line else ""
    phase = "" if failure.phase in ("call", "collect") else f"in {failure.phase}: "
    first = failure.message.strip().split("\n")[0]
    return f"{phase}{place}{first}"


def _different_words(original: Original, words: str, failures: Sequence[Failure]) -> str:
    """Return another failure in a line; one that begins as the recorded one, with what parts them.

    Both lines alone would say that it is the same.
    """
    if words != original.words or not failures:
        return words
    lines = (message.strip().split("\n") for message in (original.message, failures[0].message))
    for recorded, here in zip_longest(*lines, fillvalue="nothing"):
        if normalised(recorded) != normalised(here):
            return f"{words}: {here.strip()}, in place of {recorded.strip()}"
    return words


def _is_bad(attempt: Attempt) -> bool:
    return attempt.outcome in BAD or attempt.outcome is None


def _failing_attempt(test: TestResult) -> Attempt | None:
    return next((attempt for attempt in reversed(test.attempts) if _is_bad(attempt)), None)


def _original(past: Past, test: TestResult) -> Original:
    attempt = _failing_attempt(test)
    assert attempt is not None, f"{test.test_id} has not failed"
    failures = failures_of(attempt)
    return Original(
        test_id=test.test_id,
        past=past,
        fingerprints=fingerprints(attempt),
        words=words_of(attempt),
        text="\n".join(_texts(failures, attempt)),
        message=failures[0].message if failures else "",
        untold=_untold(failures),
        file=test.file or pytest_file(test.test_id),
        attempt=attempt.number,
        worker=attempt.worker,
    )


def _untold(failures: Sequence[Failure]) -> frozenset[str]:
    fields = ("type", "file") if failures else ()
    return frozenset(name for name in fields if not any(getattr(f, name) for f in failures))


def _texts(failures: Iterable[Failure], attempt: Attempt) -> Iterator[str]:
    yield attempt.reason or ""
    yield "timeout" if attempt.outcome is Verdict.TIMED_OUT else ""
    for failure in failures:
        yield f"{failure.type}: {failure.message}\n{failure.traceback or ''}"


def _uncollected(results: Results, wanted: set[str] | None) -> list[Original]:
    return [
        Original(
            test_id=problem.node_id,
            past=None,
            fingerprints=frozenset(map(_known_by, problem.failures)),
            words=_failure_words(problem.failures[0]) if problem.failures else "not collected",
            text="\n".join(f"{f.type}: {f.message}\n{f.traceback or ''}" for f in problem.failures),
            message=problem.failures[0].message if problem.failures else "",
            file=problem.file or problem.node_id,
        )
        for problem in results.collection
        if problem.outcome is Verdict.ERRORED and (wanted is None or problem.node_id in wanted)
    ]


def _look_at_node(results: Results, status: RunStatus, original: Original) -> tuple[Seen, str]:
    node = original.test_id
    broken = [p for p in results.collection if p.outcome is Verdict.ERRORED]
    found = [
        failure for problem in broken if problem.node_id == node for failure in problem.failures
    ]
    for failure in found:
        if _known_by(failure) in original.fingerprints:
            return Seen.SAME, _failure_words(failure)
    if found:
        return Seen.DIFFERENT, _different_words(original, _failure_words(found[0]), found)
    if not results.sessions or status.state in (Status.USAGE_ERROR, Status.INTERNAL_ERROR):
        return Seen.NOTHING, _early(status)
    collected = [key[1] for key in results.collected] + [d.test_id for d in results.deselected]
    if any(one.startswith(node) for one in collected):
        return Seen.PASSED, "it was collected"
    return Seen.GONE, "nothing of it was collected"


def _why_not_executed(results: Results, status: RunStatus, test_id: str) -> tuple[Seen, str]:
    file = pytest_file(test_id)
    for problem in results.collection:
        if problem.outcome is Verdict.ERRORED and file.startswith(problem.node_id or file):
            why = _failure_words(problem.failures[0]) if problem.failures else "no reason given"
            return Seen.NOTHING, f"{problem.node_id or 'its file'} could not be collected: {why}"
    if not results.sessions or Status(status.state) in _ENDED_EARLY:
        return Seen.NOTHING, _early(status)
    names = aliases(test_id)
    if any(one.test_id in names for one in results.deselected):
        return Seen.NOTHING, "the command's own options leave it out"
    if any(results.with_id(name) for name in names):
        return Seen.NOTHING, f"the run ended before it: {status.reason or status.state}"
    return Seen.GONE, "the test is not there"


def _early(status: RunStatus) -> str:
    what = _ENDED_EARLY.get(Status(status.state), "no test runner answered")
    detail = status.reason or (f"exit code {status.exit_code}" if status.exit_code else "")
    return f"{what}: {detail}" if detail else what
