"""One test in detail: what `bundle show RUN TEST` prints, and the same as a document."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from bundler.about import count, status_word
from bundler.blocks import (
    Layout,
    attempt_blocks,
    attempt_remark,
    attempt_word,
    test_name,
    verdict_word,
    why_not_captured,
)
from bundler.errors import UnreadableRecording
from bundler.escapes import one_line
from bundler.events import text_fields
from bundler.look import Look, Style
from bundler.own_events import AttemptKey, Attempts
from bundler.recording import Recording, file_size
from bundler.results import Attempt, Results, TestResult
from bundler.seeds import show_seed
from bundler.traces import trace_in

if TYPE_CHECKING:  # what a test said of itself is loaded when one test is asked for
    from bundler.story import Story, TestFile, Told

_MOST_PASSED = 100


def lines_of_tests(recording: Recording, tests: Sequence[TestResult], look: Look) -> Iterator[str]:
    """Yield everything about the occurrences of one test: every attempt, with its output."""
    neighbours = Neighbours(recording.results)
    attempts = Attempts(recording, tests[0].test_id)
    for test in tests:
        yield from _lines(recording, test, neighbours, attempts, look)


def documents_of_tests(
    recording: Recording, tests: Sequence[TestResult]
) -> Iterator[dict[str, Any]]:
    """Yield the same, each occurrence as an object of JSON; times are microseconds."""
    neighbours = Neighbours(recording.results)
    attempts = Attempts(recording, tests[0].test_id)
    for test in tests:
        yield _document(recording, test, neighbours, attempts)


class Neighbours:
    """What each worker ran, in order: made once for however many occurrences a test has."""

    def __init__(self, results: Results) -> None:
        lanes: dict[tuple[str, str | None], list[tuple[int, int, TestResult]]] = {}
        for test in results.tests:
            for attempt in test.attempts:
                place = (attempt.started_us, attempt.order or 0, test)
                lanes.setdefault((test.session, attempt.worker), []).append(place)
        self._rows = {key: _in_order(lane) for key, lane in lanes.items()}
        self._places = {
            key: {id(test): place for place, test in enumerate(row)}
            for key, row in self._rows.items()
        }

    def of(self, test: TestResult) -> tuple[TestResult | None, TestResult | None]:
        """Return what its worker ran just before and just after the last attempt of a test."""
        if not test.attempts:
            return None, None
        key = test.session, test.worker
        row, place = self._rows[key], self._places[key][id(test)]
        return row[place - 1] if place else None, row[place + 1] if place + 1 < len(row) else None


def _in_order(lane: list[tuple[int, int, TestResult]]) -> list[TestResult]:
    """A test that was tried again at once stands there once."""
    lane.sort(key=lambda one: one[:2])
    return [test for test, _ in itertools.groupby(test for _, _, test in lane)]


def _lines(
    recording: Recording, test: TestResult, neighbours: Neighbours, attempts: Attempts, look: Look
) -> Iterator[str]:
    from bundler.story import told_by

    widest = max((len(attempt.worker or "") for attempt in test.attempts), default=0)
    layout = Layout(look, worker_width=widest)
    for label, text in _test_facts(recording, test, neighbours, look):
        if text:
            yield layout.labelled(label, text)
    told = told_by(recording, test, attempts)
    for label, text in _told_facts(recording, told):
        yield layout.labelled(label, text)
    yield layout.rule()
    uncaptured = _why_not_captured(recording.results, test)
    for attempt in test.attempts:
        story = told.of(_key(test, attempt))
        yield from _attempt_lines(recording, test, attempt, story, layout, uncaptured)
    if not test.attempts:
        yield layout.status(verdict_word(test), test_name(look, test))


def _test_facts(
    recording: Recording, test: TestResult, neighbours: Neighbours, look: Look
) -> Iterator[tuple[str, str]]:
    line = f":{test.line}" if test.line is not None else ""
    yield "Test", test_name(look, test)
    run = status_word(recording.manifest)
    yield "Of run", f"{look.run_id(recording.manifest.run_id)}, {run}"
    verdict = test.verdict.value.replace("_", " ")
    yield "Verdict", look.paint(verdict_word(test, live=recording.live)[1], verdict)
    yield "Seed", show_seed(test.seed) if test.seed is not None else ""
    yield "Defined in", one_line(f"{test.file}{line}") if test.file else ""
    yield "Worker", one_line(test.worker or "")
    yield "Order", f"{test.order + 1:,} in its sequence" if test.order is not None else ""
    before, after = neighbours.of(test)
    yield "After", test_name(look, before) if before else ""
    yield "Before", test_name(look, after) if after else ""


def _told_facts(recording: Recording, told: Told) -> Iterator[tuple[str, str]]:
    """How much it logged; the documents of its bundle, what it attached, its traces."""
    if told.events:
        yield "Logged", f"{count(told.events, 'event')} of its own"
    for file in told.files:
        size = file_size(recording.files, file.member)
        if file.is_document:
            yield "File", one_line(file.member)
        elif file.is_trace:
            yield "Trace", one_line(f"{file.member}, {_trace_words(recording, file)}")
        else:
            facts = ", ".join(filter(None, [file.media_type, count(size, "byte")]))
            yield "Artifact", one_line(f"{file.name}, {facts}: {file.member}")
    for problem in told.problems:
        yield "Damaged", one_line(problem)


def _trace_words(recording: Recording, file: TestFile) -> str:
    from bundler.trace_view import trace_words

    try:
        return trace_words(trace_in(recording.files, file.member))
    except UnreadableRecording as error:
        return f"unreadable: {error.message.removeprefix(file.member).lstrip(': ')}"


def _why_not_captured(results: Results, test: TestResult) -> str | None:
    of_test = [session for session in results.sessions if session.id == test.session]
    return next(filter(None, map(why_not_captured, of_test)), None)


def _attempt_lines(
    recording: Recording,
    test: TestResult,
    attempt: Attempt,
    story: Story,
    layout: Layout,
    uncaptured: str | None,
) -> Iterator[str]:
    word = attempt_word(test, attempt, live=recording.live)
    yield layout.status(
        word,
        test_name(layout.look, test),
        duration_us=attempt.duration_us,
        worker=attempt.worker,
        remark=attempt_remark(attempt),
    )
    if phases := _phase_words(attempt):
        yield layout.note(phases)
    yield from _story_blocks(story, layout)
    yield from attempt_blocks(
        recording, attempt, layout, word[1], uncaptured=uncaptured, every_subtest=True
    )
    for name, value in attempt.properties:
        yield layout.note(f"property {name}: {value}")


def _story_blocks(story: Story, layout: Layout) -> Iterator[str]:
    """The phases as a tree, then every assertion, as many as a person can read."""
    if story.phases:
        yield layout.heading("phases", Style.HEADING)
        yield from layout.body(map(one_line, story.tree()))
    if story.assertions:
        failed = sum(not one.passed for one in story.assertions)
        title = f"assertions, {failed} of {len(story.assertions)} failed"
        yield layout.heading(title, Style.FAILED if failed else Style.HEADING)
        yield from layout.body(_assertion_lines(story, layout.look))
    if story.left_out:
        yield layout.note(f"{story.left_out:,} more phases and assertions are not shown")


def _assertion_lines(story: Story, look: Look) -> Iterator[str]:
    from bundler.testing.harness import sentence_of

    shown = [one for one in story.assertions if not one.passed]
    passed = [one for one in story.assertions if one.passed]
    for one in [*shown, *passed[:_MOST_PASSED]]:
        word = look.paint(Style.PASSED, "ok  ") if one.passed else look.paint(Style.FAILED, "FAIL")
        where = f"{one.phase_path}: " if one.phase_path else ""
        said = one.description if one.passed else sentence_of(one)
        yield f"{word} {one_line(where + said)}"
    if (more := len(passed) - _MOST_PASSED) > 0:
        yield f"ok   and {more:,} more"


def _key(test: TestResult, attempt: Attempt) -> AttemptKey:
    return test.session, test.occurrence, attempt.number


def _document(
    recording: Recording, test: TestResult, neighbours: Neighbours, attempts: Attempts
) -> dict[str, Any]:
    from bundler.story import told_by

    before, after = neighbours.of(test)
    told = told_by(recording, test, attempts)
    return {
        "run_id": recording.manifest.run_id,
        "test_id": test.test_id,
        "session": test.session,
        "occurrence": test.occurrence,
        "verdict": test.verdict.value,
        "seed": test.seed,
        "seed_hex": None if test.seed is None else show_seed(test.seed),
        "file": test.file,
        "line": test.line,
        "duration_us": test.duration_us,
        "worker": test.worker,
        "order": test.order,
        "after": before.test_id if before else None,
        "before": after.test_id if after else None,
        "own_events": told.events,
        "files": [file.member for file in told.files],
        "artifacts": [
            {
                "name": file.name,
                "path": file.member,
                "media_type": file.media_type,
                "size": file_size(recording.files, file.member),
            }
            for file in told.files
            if not file.is_document
        ],
        "traces": [_trace_document(recording, file) for file in told.files if file.is_trace],
        "problems": told.problems,
        "attempts": [
            _attempt_document(recording, attempt, told.of(_key(test, attempt)))
            for attempt in test.attempts
        ],
    }


def _trace_document(recording: Recording, file: TestFile) -> dict[str, Any]:
    from bundler.trace_view import trace_document

    try:
        return {"path": file.member, **trace_document(trace_in(recording.files, file.member))}
    except UnreadableRecording as error:
        return {"path": file.member, "whole": False, "problem": error.message}


def _attempt_document(recording: Recording, attempt: Attempt, story: Story) -> dict[str, Any]:
    return {
        "attempt": attempt.number,
        "outcome": attempt.outcome,
        "reason": attempt.reason,
        "worker": attempt.worker,
        "order": attempt.order,
        "started_us": attempt.started_us,
        "duration_us": attempt.duration_us,
        "setup_us": attempt.setup_us,
        "call_us": attempt.call_us,
        "teardown_us": attempt.teardown_us,
        "will_retry": attempt.will_retry,
        "failures": [asdict(failure) for failure in attempt.failures],
        "subtests": [asdict(subtest) for subtest in attempt.subtests],
        "properties": attempt.properties,
        "phases": [phase.to_document() for phase in story.phases],
        "assertions": [one.to_document() for one in story.assertions],
        "output": [
            {
                "stream": output.stream,
                "phase": output.phase,
                "omitted_bytes": output.omitted_bytes,
                **text_fields(output.content),
            }
            for output in recording.outputs(attempt.output_offsets)
        ],
    }


def _phase_words(attempt: Attempt) -> str:
    phases = (
        ("setup", attempt.setup_us),
        ("call", attempt.call_us),
        ("teardown", attempt.teardown_us),
    )
    return ", ".join(f"{name} {us / 1e6:.3f}s" for name, us in phases if us is not None)
