"""The reporter: a recorded run as the lines that show it again, as if it were happening.

It is nextest's reporter, in its vocabulary and its order, with our verdicts: head, tests in the
order in which they finished, what was running at the end, what happened outside of tests, summary,
final statuses, how it ended. Nothing here prints: `replay` yields lines.

Where the output of a test is shown its status line is shown too, whatever the level.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from bundler.about import count, foot_lines, head_lines, summary_line
from bundler.blocks import (
    WORDS,
    Layout,
    attempt_blocks,
    attempt_word,
    failure_blocks,
    printed_lines,
    test_name,
    verdict_word,
)
from bundler.levels import Options, StatusLevel, final_rank
from bundler.look import Look, Style
from bundler.recording import Recording
from bundler.results import RED, Attempt, CollectionProblem, Status, TestResult, Verdict

_ENDED_OUTSIDE = frozenset({Status.INTERNAL_ERROR, Status.INTERRUPTED})
"""How a run ends for reasons that no test tells, even if tests failed."""

_TAIL_LINES = 40
_TAIL_EVENTS = 64


def replay(recording: Recording, options: Options, look: Look, *, name: str) -> Iterator[str]:
    """Yield the lines of a run; `name` is what a person calls it on the command line."""
    yield from _Report(recording, options, look, name).lines()


def event_lines(recording: Recording, options: Options) -> Iterator[bytes]:
    """Yield the readable events as they stand in the log, without newlines.

    Where tests are chosen, only the events of these, and of files that could not be collected.
    """
    if options.filter is None and not options.only_failed:
        for offset, _ in recording.events():
            yield recording.log.line_at(offset)
        return
    chosen = {test.test_id for test in recording.results.tests if options.chooses(test)}
    chosen |= {problem.node_id for problem in _collection_problems(recording, options)}
    for offset, event in recording.events():
        if event.test_id in chosen:
            yield recording.log.line_at(offset)


@dataclass
class _Report:
    recording: Recording
    options: Options
    look: Look
    name: str
    tests: list[TestResult] = field(init=False)
    layout: Layout = field(init=False)
    numbers: dict[int, int] = field(default_factory=dict)
    uncaptured: set[str] = field(init=False)

    def __post_init__(self) -> None:
        results = self.recording.results
        self.tests = [test for test in results.tests if self.options.chooses(test)]
        attempts = [attempt for test in self.tests for attempt in test.attempts]
        self.layout = Layout(
            self.look,
            total=sum(test.verdict is not Verdict.SKIPPED for test in self.tests),
            worker_width=max((len(attempt.worker or "") for attempt in attempts), default=0),
            indent=self.options.indent,
        )
        self.uncaptured = {s.id for s in results.sessions if s.info.get("capture") == "no"}

    def lines(self) -> Iterator[str]:
        recording, layout = self.recording, self.layout
        yield from head_lines(recording, layout)
        yield layout.rule()
        yield from self._starting()
        yield from self._collection()
        yield from self._attempts()
        yield from self._outside()
        yield layout.rule()
        if not self._is_plain():
            yield summary_line(recording, layout)
        yield from self._final()
        yield from foot_lines(recording, layout, name=self.name)

    def _starting(self) -> Iterator[str]:
        results = self.recording.results
        if not results.tests:
            return
        workers = len({a.worker for t in results.tests for a in t.attempts if a.worker})
        text = count(len(results.tests), "test")
        text += f" across {count(workers, 'worker')}" if workers else ""
        text += f" ({len(results.deselected):,} deselected)" if results.deselected else ""
        yield self.layout.labelled("Starting", text)
        if len(self.tests) != len(results.tests):
            shown = f"{len(self.tests):,} of them"
            yield self.layout.labelled("Showing", shown, Style.WARNING)

    def _collection(self) -> Iterator[str]:
        for problem in _collection_problems(self.recording, self.options):
            when = self.options.output(problem.outcome)
            if self.options.at_once(problem.outcome) or when.immediate:
                yield from self._collection_problem(problem, when.immediate)

    def _collection_problem(self, problem: CollectionProblem, with_output: bool) -> Iterator[str]:
        word = WORDS[problem.outcome]
        yield self.layout.status(word, self.look.test_id(problem.node_id))
        if not with_output:
            return
        yield from failure_blocks(problem.failures, self.layout, word[1])
        if problem.reason:
            yield self.layout.note(problem.reason)
        yield ""

    def _attempts(self) -> Iterator[str]:
        """Every attempt: in the order in which they finished, then those that never did."""
        number = 0
        for test, attempt in _in_order(self.tests):
            last = attempt is test.attempts[-1]
            if last and attempt.outcome not in (None, Verdict.SKIPPED):
                number += 1
                self.numbers[id(test)] = number
            yield from self._attempt(test, attempt, last)

    def _attempt(self, test: TestResult, attempt: Attempt, last: bool) -> Iterator[str]:
        when = self.options.output(attempt.outcome)
        # Skipped tests hardly ever print, and nobody asked for their setup.
        with_output = when.immediate and attempt.outcome is not Verdict.SKIPPED
        shown = (
            self.options.at_once(test.verdict) if last else self.options.reaches(StatusLevel.RETRY)
        )
        if not shown and not with_output:
            return
        word = attempt_word(test, attempt, live=self.recording.live)
        yield self._status(word, test, attempt, last)
        if with_output:
            yield from self._blocks(test, attempt, word[1])

    def _status(
        self, word: tuple[str, Style], test: TestResult, attempt: Attempt | None, last: bool = True
    ) -> str:
        name = test_name(self.look, test)
        if attempt is None:
            return self.layout.status(word, name)
        reason = attempt.reason if attempt.outcome in (Verdict.SKIPPED, Verdict.XFAILED) else None
        return self.layout.status(
            word,
            name,
            duration_us=self._duration(attempt),
            at_least=attempt.outcome is None,
            number=self.numbers.get(id(test)) if last else None,
            worker=attempt.worker,
            remark=reason or "",
        )

    def _duration(self, attempt: Attempt) -> int:
        if attempt.outcome is not None:
            return attempt.duration_us
        return self.recording.results.last_ts_us - attempt.started_us

    def _blocks(self, test: TestResult, attempt: Attempt, style: Style) -> Iterator[str]:
        captured = test.session not in self.uncaptured
        blocks = attempt_blocks(self.recording, attempt, self.layout, style, captured=captured)
        first = next(blocks, None)
        if first is not None:
            yield first
            yield from blocks
            yield ""

    def _outside(self) -> Iterator[str]:
        """What the command printed, where no test tells what happened."""
        results, status = self.recording.results, self.recording.manifest.status
        offsets = results.run_output_offsets
        if self._is_plain():
            lines = printed_lines(self.recording.outputs(offsets), self.layout)
            yield from self._printed("output", lines)
            return
        told = results.collection or any(test.verdict in RED for test in results.tests)
        ended_well = status.state in (Status.PASSED, Status.RUNNING)
        if status.state in _ENDED_OUTSIDE or not (told or ended_well):
            outputs = self.recording.outputs(offsets[-_TAIL_EVENTS:])
            last = deque(printed_lines(outputs, self.layout), maxlen=_TAIL_LINES)
            yield from self._printed("end of the output", iter(last))

    def _is_plain(self) -> bool:
        """Whether this is a command of which nothing is known but what it printed."""
        results = self.recording.results
        return not (results.tests or results.sessions or results.collection)

    def _printed(self, title: str, lines: Iterator[str]) -> Iterator[str]:
        first = next(lines, None)
        if first is not None:
            yield self.layout.heading(title, Style.HEADING)
            yield first
            yield from lines
            yield ""

    def _final(self) -> Iterator[str]:
        """The statuses once more, those that matter most last."""
        for problem in _collection_problems(self.recording, self.options):
            when = self.options.output(problem.outcome)
            if self.options.at_end(problem.outcome) or when.final:
                yield from self._collection_problem(problem, when.final)
        for test in sorted(self._for_the_end(), key=_importance):
            yield from self._final_test(test)

    def _for_the_end(self) -> Iterable[TestResult]:
        for test in self.tests:
            verdict = test.verdict
            final = verdict is not Verdict.NOT_RUN and self.options.output(verdict).final
            if final or self.options.at_end(verdict):
                yield test

    def _final_test(self, test: TestResult) -> Iterator[str]:
        attempt = test.attempts[-1] if test.attempts else None
        word = verdict_word(test, live=self.recording.live)
        yield self._status(word, test, attempt)
        if attempt is not None and self.options.output(attempt.outcome).final:
            yield from self._blocks(test, attempt, word[1])


def _collection_problems(recording: Recording, options: Options) -> list[CollectionProblem]:
    wanted = options.filter
    problems = recording.results.collection
    return [problem for problem in problems if wanted is None or wanted(problem.node_id)]


def _in_order(tests: Iterable[TestResult]) -> Iterator[tuple[TestResult, Attempt]]:
    """Every attempt by where in the log it ended.

    One that never ended stands before the next attempt of its test, or at the very end.
    """
    never = float("inf")
    places: list[tuple[float, int, TestResult, Attempt]] = []
    for test in tests:
        place = never
        for attempt in reversed(test.attempts):
            place = place if attempt.finished_offset is None else attempt.finished_offset
            places.append((place, attempt.number, test, attempt))
    places.sort(key=lambda one: one[:2])
    return ((test, attempt) for _, _, test, attempt in places)


def _importance(test: TestResult) -> int:
    return -final_rank(test.verdict)
