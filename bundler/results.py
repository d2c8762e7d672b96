"""The fold: from the events of a run to its tests, attempts, verdicts and counts.

The log is the only truth; everything here is derived from it in one pass, with memory that grows
with the number of tests but not with their output: an attempt remembers where in the log its output
stands, not the output itself. What a stranger's log may take is counted (`bundler.holding`).
"""

from __future__ import annotations

import bisect
import contextlib
import gc
import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from bundler.events import RUN_EVENTS, Event
from bundler.holding import ATTEMPT, ID, ROW, TEST, Holding
from bundler.verdicts import BAD as BAD
from bundler.verdicts import NOT_PASSING as NOT_PASSING
from bundler.verdicts import RED as RED
from bundler.verdicts import Status as Status
from bundler.verdicts import Verdict as Verdict

COMMAND_RUNNER = "command"
"""The runner of a session whose one test is the command itself: what the run printed is its own."""

_MOST = 1 << 64
_MOST_LOOKED_AT = 100
"""Among so many attempts of a test one is looked for that was left open."""


@dataclass(frozen=True, slots=True)
class Failure:
    """One failure of an attempt; `phase` is setup, call, teardown or collect."""

    phase: str
    message: str
    type: str | None = None
    traceback: str | None = None
    file: str | None = None
    line: int | None = None


@dataclass(frozen=True, slots=True)
class Subtest:
    """One subtest of an attempt, grouped under its test."""

    name: str
    outcome: Verdict
    duration_us: int
    failures: tuple[Failure, ...] = ()


@dataclass(slots=True)
class Attempt:
    """One execution of a test. `outcome` is None while it has not finished."""

    number: int
    started_us: int
    worker: str | None = None
    order: int | None = None
    finished_us: int | None = None
    finished_offset: int | None = None
    outcome: Verdict | None = None
    setup_us: int | None = None
    call_us: int | None = None
    teardown_us: int | None = None
    reason: str | None = None
    will_retry: bool = False
    failures: tuple[Failure, ...] = ()
    subtests: list[Subtest] = field(default_factory=list)
    properties: tuple[tuple[str, str], ...] = ()
    output_offsets: list[int] = field(default_factory=list)

    @property
    def duration_us(self) -> int:
        """The sum of its phases, or the time between its two events where no phase is known."""
        phases = [p for p in (self.setup_us, self.call_us, self.teardown_us) if p is not None]
        if phases:
            return sum(phases)
        return max(0, (self.finished_us or self.started_us) - self.started_us)


TestKey = tuple[str, str, int]
"""Session, test id, occurrence."""


@dataclass(slots=True)
class TestResult:
    """One test in a run, with every attempt. `order` of appearance is that of the list it is in."""

    __test__ = False

    session: str
    test_id: str
    occurrence: int
    seed: int | None = None
    file: str | None = None
    line: int | None = None
    attempts: list[Attempt] = field(default_factory=list)
    own_events: int = 0

    @property
    def verdict(self) -> Verdict:
        """The outcome of the last attempt; flaky where it went well and an earlier one did not."""
        if not self.attempts:
            return Verdict.NOT_RUN
        last = self.attempts[-1].outcome
        if last is None:
            return Verdict.UNFINISHED
        if len(self.attempts) == 1:
            return last
        went_well = last in (Verdict.PASSED, Verdict.XPASSED)
        if went_well and any(a.outcome in BAD or a.outcome is None for a in self.attempts[:-1]):
            return Verdict.FLAKY
        return last

    @property
    def duration_us(self) -> int:
        """Microseconds of all attempts together."""
        return sum(attempt.duration_us for attempt in self.attempts)

    @property
    def worker(self) -> str | None:
        """The worker of the last attempt."""
        return self.attempts[-1].worker if self.attempts else None

    @property
    def order(self) -> int | None:
        """The place of the last attempt in its worker's sequence, from 0."""
        return self.attempts[-1].order if self.attempts else None


@dataclass(frozen=True, slots=True)
class CollectionProblem:
    """A file or node that could not be collected (errored) or skipped itself whole (skipped)."""

    session: str
    node_id: str
    outcome: Verdict
    failures: tuple[Failure, ...] = ()
    reason: str | None = None
    file: str | None = None
    line: int | None = None


@dataclass(slots=True)
class Session:
    """One start of a test runner inside a run; `info` is the data of its SessionStarted."""

    id: str
    info: dict[str, Any] = field(default_factory=dict)
    started_us: int = 0
    finished: bool = False
    exit_status: int | None = None
    reason: str | None = None
    finished_us: int | None = None


@dataclass(frozen=True, slots=True)
class Deselected:
    """A test that was collected and left out; the reason is `passing` (a rerun) or `deselected`."""

    session: str
    test_id: str
    reason: str


@dataclass(slots=True)
class Results:
    """All that a run's log says, in the order in which it says it.

    `tests` holds those that started in the order of their start, then those that never did in the
    order of their collection.
    """

    tests: list[TestResult] = field(default_factory=list)
    collected: list[TestKey] = field(default_factory=list)
    deselected: list[Deselected] = field(default_factory=list)
    collection: list[CollectionProblem] = field(default_factory=list)
    sessions: list[Session] = field(default_factory=list)
    warnings: list[dict[str, Any]] = field(default_factory=list)
    run_output_offsets: list[int] = field(default_factory=list)
    started: dict[str, Any] = field(default_factory=dict)
    finished: dict[str, Any] | None = None
    events: int = 0
    last_ts_us: int = 0
    complete: bool = False

    @property
    def is_plain_command(self) -> bool:
        """Whether nothing is known of the run but what its command printed, and how it ended."""
        if any(one.info.get("runner") != COMMAND_RUNNER for one in self.sessions):
            return False
        return bool(self.sessions) or not (self.tests or self.collection)

    @property
    def counts(self) -> dict[str, int]:
        """How many tests have each verdict; those with none are left out."""
        counts: dict[str, int] = {}
        for test in self.tests:
            counts[test.verdict] = counts.get(test.verdict, 0) + 1
        return {verdict.value: counts[verdict] for verdict in Verdict if verdict in counts}

    def with_id(self, test_id: str) -> list[TestResult]:
        """Every occurrence of a test id, in every session."""
        return [test for test in self.tests if test.test_id == test_id]


def fold(events: Iterable[tuple[int, Event]], holding: Holding | None = None) -> Results:
    """Fold the events of a log, each with its offset in it, into the results of the run.

    An event whose data is not of the expected shape is passed over: its test then shows as
    unfinished, unless another event settles it. The log is complete if it ends with a RunFinished
    whose count of events agrees. Raises HostileRecording where `holding` is not enough.
    """
    folding = Folding(holding)
    with collector_paused():
        for offset, event in events:
            folding.take(offset, event)
        return folding.end()


@contextlib.contextmanager
def collector_paused() -> Iterator[None]:
    """Look for no garbage meanwhile: whoever folds or reads a run makes objects that stay.

    It is a third of the fold, and a sixth of reading another tool's recording.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


class Folding:
    """The fold under way: for whoever makes the events one after the other."""

    def __init__(self, holding: Holding | None = None) -> None:
        self.holding = holding or Holding()
        self.results = Results()
        self.by_key: dict[TestKey, TestResult] = {}
        self.latest: dict[str, TestResult] = {}
        self.sessions: dict[str, Session] = {}
        self.occurrences: dict[tuple[str, str], int] = {}
        self.texts: dict[str, str] = {}

    def take(self, offset: int, event: Event, data: dict[str, Any] | None = None) -> None:
        """Take the next event; `data` is what its payload is, where that is known."""
        results = self.results
        results.events += 1
        results.last_ts_us = max(results.last_ts_us, event.ts_us)
        results.complete = False
        handler = _HANDLERS.get(event.event)
        if handler is None:
            # Of those that are no test's own, what the probe observed is no result.
            if event.test_id is not None and event.event not in RUN_EVENTS:
                self._count_own(event.test_id)
            return
        try:
            handler(self, offset, event, event.payload() if data is None else data)
        except (ValueError, KeyError, TypeError, AttributeError):
            return  # of the right type, of the wrong shape: as if the line were damaged

    def end(self) -> Results:
        """Return the results, those that never started last; only a RunFinished may follow."""
        for key in self.results.collected:
            if key not in self.by_key:
                self.holding.keep(TEST)
                self.results.tests.append(TestResult(*key))
        for test in self.results.tests:
            session = self.sessions.get(test.session)
            runner = session.info.get("runner") if session else None
            if runner == COMMAND_RUNNER and test.attempts:
                test.attempts[-1].output_offsets = self.results.run_output_offsets
        return self.results

    def _count_own(self, test_id: str) -> None:
        test = self.latest.get(test_id)
        if test is not None:
            test.own_events += 1

    def run_started(self, _offset: int, _event: Event, data: dict[str, Any]) -> None:
        self.holding.keep_data(data)
        self.results.started = data

    def run_finished(self, _offset: int, _event: Event, data: dict[str, Any]) -> None:
        self.holding.keep_data(data)
        _ = [_words(data, name) for name in ("status", "signal", "reason")]
        _ = [_number(data, name) for name in ("exit_code", "duration_us")]
        self.results.finished = data
        self.results.complete = data.get("events") == self.results.events - 1

    def session_started(self, _offset: int, event: Event, data: dict[str, Any]) -> None:
        self.holding.keep(2 * TEST)  # whoever reads another format keeps as much of it
        self.holding.keep_data(data)
        session = Session(str(data["session"]), info=data, started_us=event.ts_us)
        self.sessions[session.id] = session
        self.results.sessions.append(session)

    def session_finished(self, _offset: int, event: Event, data: dict[str, Any]) -> None:
        session = self.sessions[str(data["session"])]
        session.finished = True
        session.finished_us = event.ts_us
        session.exit_status = _number(data, "exit_status")
        session.reason = _words(data, "reason")
        self.holding.keep(ROW, (session.reason,))

    def tests_collected(self, _offset: int, _event: Event, data: dict[str, Any]) -> None:
        session = self._one(str(data["session"]))
        reason = str(data.get("reason", "deselected"))
        left_out, selected = _ids(data, "deselected"), _ids(data, "selected")
        self.holding.keep(ROW * len(left_out), left_out)
        self.holding.keep(ID * len(selected), (session, reason, *selected))
        self.results.deselected += [Deselected(session, one, reason) for one in left_out]
        for test_id in map(self._one, selected):
            occurrence = self.occurrences.get((session, test_id), 0) + 1
            self.occurrences[session, test_id] = occurrence
            self.results.collected.append((session, test_id, occurrence))

    def collection_problem(self, _offset: int, event: Event, data: dict[str, Any]) -> None:
        failed = event.event == "CollectionFailed"
        problem = CollectionProblem(
            session=str(data["session"]),
            node_id=event.test_id or "",
            outcome=Verdict.ERRORED if failed else Verdict.SKIPPED,
            failures=self._failures(data),
            reason=_words(data, "reason"),
            file=_words(data, "file"),
            line=_number(data, "line"),
        )
        self.holding.keep(ROW, (problem.session, problem.node_id, problem.reason, problem.file))
        self.results.collection.append(problem)

    def test_started(self, _offset: int, event: Event, data: dict[str, Any]) -> None:
        file, line = _words(data, "file"), _number(data, "line")
        worker, order = _words(data, "worker"), _number(data, "order")
        given = _number(data, "attempt") or 1
        test = self._test(event, data)
        test.seed = event.seed
        test.file, test.line = self._one(file) if file else test.file, line or test.line
        last = test.attempts[-1].number if test.attempts else 0
        self.holding.keep(ATTEMPT, (file, worker))
        number = max(given, last + 1)
        test.attempts.append(Attempt(number, event.ts_us, worker=worker, order=order))

    def test_output(self, offset: int, event: Event, data: dict[str, Any]) -> None:
        self._attempt(event, data).output_offsets.append(offset)

    def subtest_finished(self, _offset: int, event: Event, data: dict[str, Any]) -> None:
        subtest = Subtest(
            name=str(data.get("name", "")),
            outcome=Verdict(data["outcome"]),
            duration_us=_number(data, "duration_us") or 0,
            failures=self._failures(data),
        )
        self.holding.keep(ROW, (subtest.name,))
        self._attempt(event, data).subtests.append(subtest)

    def test_finished(self, offset: int, event: Event, data: dict[str, Any]) -> None:
        outcome = Verdict(data["outcome"])
        failures = self._failures(data)
        times = [_number(data, name) for name in ("setup_us", "call_us", "teardown_us")]
        reason, worker = _words(data, "reason"), _words(data, "worker")
        properties = tuple((str(n), str(v)) for n, v in data.get("properties", ()))
        self.holding.keep(0, (reason, worker, *itertools.chain(*properties)))
        self.holding.keep(ROW * len(properties))
        attempt = self._attempt(event, data)
        attempt.finished_us, attempt.finished_offset = event.ts_us, offset
        attempt.outcome, attempt.failures = outcome, failures
        attempt.setup_us, attempt.call_us, attempt.teardown_us = times
        attempt.reason = reason
        attempt.will_retry = bool(data.get("will_retry", False))
        attempt.worker = worker or attempt.worker
        attempt.properties = properties

    def run_output(self, offset: int, _event: Event, _data: dict[str, Any]) -> None:
        self.results.run_output_offsets.append(offset)

    def warning(self, _offset: int, _event: Event, data: dict[str, Any]) -> None:
        self.holding.keep_data(data)
        self.results.warnings.append(data)

    def _test(self, event: Event, data: dict[str, Any]) -> TestResult:
        if event.test_id is None:
            raise ValueError("a test event without a test id")
        key = (str(data["session"]), event.test_id, _number(data, "occurrence") or 1)
        test = self.by_key.get(key)
        if test is None:
            self.holding.keep(TEST, key)
            test = TestResult(self._one(key[0]), self._one(key[1]), key[2], seed=event.seed)
            self.by_key[test.session, test.test_id, test.occurrence] = test
            self.results.tests.append(test)
            self.latest[test.test_id] = test
        return test

    def _one(self, text: str) -> str:
        """The same text, one object for all that say it: sessions, files and ids come again."""
        return self.texts.setdefault(text, text)

    def _failures(self, data: dict[str, Any]) -> tuple[Failure, ...]:
        failures = tuple(map(_failure, data.get("failures", ())))
        for one in failures:
            self.holding.keep(ROW, (one.phase, one.message, one.type, one.traceback, one.file))
        return failures

    def _attempt(self, event: Event, data: dict[str, Any]) -> Attempt:
        """The attempt an event speaks of, made where its start was lost."""
        number = _number(data, "attempt")
        test = self._test(event, data)
        attempt = _last_open(test.attempts) if number is None else _numbered(test.attempts, number)
        if attempt is not None:
            return attempt
        number = test.attempts[-1].number + 1 if test.attempts else 1
        worker, order = _words(data, "worker"), _number(data, "order")
        self.holding.keep(ATTEMPT, (worker,))
        attempt = Attempt(number, event.ts_us, worker, order)
        test.attempts.append(attempt)
        return attempt


_HANDLERS = {
    "RunStarted": Folding.run_started,
    "RunFinished": Folding.run_finished,
    "SessionStarted": Folding.session_started,
    "SessionFinished": Folding.session_finished,
    "TestsCollected": Folding.tests_collected,
    "CollectionFailed": Folding.collection_problem,
    "CollectionSkipped": Folding.collection_problem,
    "TestStarted": Folding.test_started,
    "TestOutput": Folding.test_output,
    "SubtestFinished": Folding.subtest_finished,
    "TestFinished": Folding.test_finished,
    "RunOutput": Folding.run_output,
    "Warning": Folding.warning,
}


def _failure(data: dict[str, Any]) -> Failure:
    return Failure(
        phase=str(data.get("phase", "call")),
        message=str(data.get("message", "")),
        type=_words(data, "type"),
        traceback=_words(data, "traceback"),
        file=_words(data, "file"),
        line=_number(data, "line"),
    )


def _numbered(attempts: Sequence[Attempt], number: int) -> Attempt | None:
    """The attempt of that number; they ascend."""
    if attempts and attempts[-1].number == number:
        return attempts[-1]
    place = bisect.bisect_left(attempts, number, key=lambda attempt: attempt.number)
    found = place < len(attempts) and attempts[place].number == number
    return attempts[place] if found else None


def _last_open(attempts: Sequence[Attempt]) -> Attempt | None:
    """The last attempt that has not finished, if it is among the last ones."""
    last = itertools.islice(reversed(attempts), _MOST_LOOKED_AT)
    return next((attempt for attempt in last if attempt.outcome is None), None)


def _ids(data: dict[str, Any], name: str) -> list[str]:
    value = data.get(name, [])
    if not isinstance(value, list):
        raise ValueError(f"{name} is not a list")
    return [str(one) for one in value]


def _words(data: dict[str, Any], name: str) -> str | None:
    value = data.get(name)
    if value is not None and not isinstance(value, str):
        raise ValueError(f"{name} is not a string")
    return value


def _number(data: dict[str, Any], name: str) -> int | None:
    value = data.get(name)
    if value is not None and (type(value) is not int or abs(value) >= _MOST):
        raise ValueError(f"{name} is not an integer of 64 bits")
    return value
