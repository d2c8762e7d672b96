"""The reporter: a recorded run as the lines that show it again, as if it were happening.

It is nextest's reporter, in its vocabulary and its order, with our verdicts: head, tests in the
order in which they finished, what was running at the end, what happened outside of tests, summary,
final statuses, how it ended. Nothing here prints: `replay` yields lines.

Where the output of a test is shown its status line is shown too, whatever the level.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from bundler.about import count, foot_lines, head_lines, summary_line
from bundler.blocks import (
    WORDS,
    Layout,
    attempt_blocks,
    attempt_remark,
    attempt_word,
    failure_blocks,
    printed_lines,
    test_name,
    verdict_word,
    why_not_captured,
)
from bundler.escapes import one_line
from bundler.event_view import timeline_blocks
from bundler.levels import Options, final_rank
from bundler.look import Look, Style
from bundler.own_events import Attempts, is_own
from bundler.recording import Recording
from bundler.results import RED, Attempt, CollectionProblem, Status, TestResult, Verdict

_ENDED_OUTSIDE = frozenset({Status.INTERNAL_ERROR, Status.INTERRUPTED})
"""How a run ends for reasons that no test tells, even if tests failed."""

_WITHOUT_NUMBER = frozenset({Verdict.SKIPPED, Verdict.UNFINISHED})
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
    tests = recording.results.tests
    chosen = {test.test_id for test in tests if options.chooses(test, test.verdict)}
    chosen |= {problem.node_id for problem in _collection_problems(recording, options)}
    for offset, event in recording.events():
        if event.test_id in chosen:
            yield recording.log.line_at(offset)


@dataclass(slots=True)
class _Row:
    """One chosen test; `number` is its place among those that finished."""

    test: TestResult
    verdict: Verdict
    number: int | None = None


class _Report:
    def __init__(self, recording: Recording, options: Options, look: Look, name: str) -> None:
        self.recording, self.options, self.look, self.name = recording, options, look, name
        self.problems: list[str] = []
        self.attempts: Attempts | None = None  # of the one test that is told
        results = recording.results
        self.counts = results.counts
        rows = (_Row(test, test.verdict) for test in results.tests)
        self.rows = [row for row in rows if options.chooses(row.test, row.verdict)]
        workers = {attempt.worker for row in self.rows for attempt in row.test.attempts}
        self.layout = Layout(
            look,
            total=sum(row.verdict is not Verdict.SKIPPED for row in self.rows),
            worker_width=max(len(one_line(worker or "")) for worker in {*workers, None}),
            indent=options.indent,
        )
        self.uncaptured = {one.id: why_not_captured(one) for one in results.sessions}

    def lines(self) -> Iterator[str]:
        recording, layout = self.recording, self.layout
        yield from head_lines(recording, layout)
        yield from self._between_rules()
        if not self.recording.results.is_plain_command:
            yield summary_line(recording, layout, self.counts)
        yield from self._final()
        yield from foot_lines(recording, layout, self.counts, name=self.name)
        for problem in dict.fromkeys(self.problems):
            yield layout.labelled("Damaged", one_line(problem), Style.WARNING)

    def _between_rules(self) -> Iterator[str]:
        yield self.layout.rule()
        parts = (self._starting(), self._collection(), self._attempts(), self._outside())
        body = itertools.chain.from_iterable(parts)
        for first in body:
            yield first
            yield from body
            yield self.layout.rule()

    def _starting(self) -> Iterator[str]:
        results = self.recording.results
        if not (results.tests or results.deselected):
            return
        workers = len({a.worker for t in results.tests for a in t.attempts} - {None})
        text = count(len(results.tests), "test")
        text += f" across {count(workers, 'worker')}" if workers else ""
        text += f" ({len(results.deselected):,} deselected)" if results.deselected else ""
        yield self.layout.labelled("Starting", text)
        if len(self.rows) != len(results.tests):
            shown = f"{len(self.rows):,} of them"
            yield self.layout.labelled("Showing", shown, Style.WARNING)

    def _collection(self) -> Iterator[str]:
        for problem in _collection_problems(self.recording, self.options):
            status, output = self.options.shown_at_once(problem.outcome)
            if status:
                yield from self._collection_problem(problem, output)

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
        shown = {verdict: self.options.shown_at_once(verdict) for verdict in Verdict}
        earlier = self.options.shown_at_once(None)
        live, number = self.recording.live, 0
        for row, attempt in _in_order(self.rows):
            last = attempt is row.test.attempts[-1]
            if last and row.verdict not in _WITHOUT_NUMBER:
                row.number = number = number + 1
            status, output = shown[row.verdict] if last else earlier
            if status:
                word = attempt_word(row.test, attempt, live=live)
                yield self._status(word, row, attempt, row.number if last else None)
                if output:
                    yield from self._blocks(row.test, attempt, word[1])
        if shown[Verdict.NOT_RUN][0]:
            for row in self.rows:
                if row.verdict is Verdict.NOT_RUN:
                    yield from self._final_test(row, output=False)

    def _status(
        self, word: tuple[str, Style], row: _Row, attempt: Attempt, number: int | None
    ) -> str:
        finished = attempt.outcome is not None
        so_far = self.recording.results.last_ts_us - attempt.started_us
        return self.layout.status(
            word,
            test_name(self.look, row.test),
            duration_us=attempt.duration_us if finished else so_far,
            at_least=not finished,
            number=number,
            worker=attempt.worker,
            remark=attempt_remark(attempt),
        )

    def _blocks(self, test: TestResult, attempt: Attempt, style: Style) -> Iterator[str]:
        if self.recording.results.is_plain_command:
            return  # it is shown as the output of the run
        blocks = attempt_blocks(
            self.recording,
            attempt,
            self.layout,
            style,
            uncaptured=self.uncaptured.get(test.session),
            printed=self._timeline(test, attempt, style),
        )
        first = next(blocks, None)
        if first is not None:
            yield first
            yield from blocks
            yield ""

    def _timeline(self, test: TestResult, attempt: Attempt, style: Style) -> Iterator[str] | None:
        """What the test logged and what it printed, where that is asked for."""
        wanted = self.options.said
        if wanted is None:
            return None
        if self.attempts is None:
            self.attempts = Attempts(self.recording, test.test_id, self.problems)
        said = self.attempts.of((test.session, test.occurrence, attempt.number))
        return timeline_blocks(
            self.recording.outputs(attempt.output_offsets),
            (own for own in said if is_own(own.event) and wanted(own.event)),
            self.layout,
            style,
            zero_us=attempt.started_us,
        )

    def _outside(self) -> Iterator[str]:
        """What the command printed, where no test tells what happened."""
        results, status = self.recording.results, self.recording.manifest.status
        offsets = results.run_output_offsets
        if results.is_plain_command:
            lines = printed_lines(self.recording.outputs(offsets), self.layout)
            yield from self._printed("output", lines)
            return
        told = results.collection or any(verdict in RED for verdict in self.counts)
        ended_well = status.state in (Status.PASSED, Status.RUNNING)
        if status.state in _ENDED_OUTSIDE or not (told or ended_well):
            outputs = self.recording.outputs(offsets[-_TAIL_EVENTS:])
            last = deque(printed_lines(outputs, self.layout), maxlen=_TAIL_LINES)
            yield from self._printed("end of the output", iter(last))

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
            status, output = self.options.shown_at_end(problem.outcome)
            if status:
                yield from self._collection_problem(problem, output)
        shown = {verdict: self.options.shown_at_end(verdict) for verdict in Verdict}
        rows = [row for row in self.rows if shown[row.verdict][0]]
        for row in sorted(rows, key=_importance):
            yield from self._final_test(row, shown[row.verdict][1])

    def _final_test(self, row: _Row, output: bool) -> Iterator[str]:
        word = verdict_word(row.test, live=self.recording.live)
        if not row.test.attempts:
            yield self.layout.status(word, test_name(self.look, row.test))
            return
        attempt = row.test.attempts[-1]
        yield self._status(word, row, attempt, row.number)
        if output:
            yield from self._blocks(row.test, attempt, word[1])


def _collection_problems(recording: Recording, options: Options) -> list[CollectionProblem]:
    wanted = options.filter
    problems = recording.results.collection
    return [problem for problem in problems if wanted is None or wanted(problem.node_id)]


def _in_order(rows: Iterable[_Row]) -> Iterator[tuple[_Row, Attempt]]:
    """Every attempt by where in the log it ended.

    One that never ended stands before the next attempt of its test, or at the very end.
    """
    never = float("inf")
    places: list[tuple[float, int, _Row, Attempt]] = []
    for row in rows:
        place = never
        for attempt in reversed(row.test.attempts):
            place = place if attempt.finished_offset is None else attempt.finished_offset
            places.append((place, attempt.number, row, attempt))
    places.sort(key=lambda one: one[:2])
    return ((row, attempt) for _, _, row, attempt in places)


def _importance(row: _Row) -> tuple[int, float]:
    never = float("inf")
    return -final_rank(row.verdict), never if row.number is None else row.number
