"""One run, or one test of it, in detail: what `bundle show` prints, and the same as a document."""

from __future__ import annotations

import itertools
import shlex
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from bundler.about import (
    ci_words,
    count,
    count_words,
    damage,
    environment_of,
    place_words,
    seconds,
    status_sentence,
    status_style,
    status_word,
    time_words,
)
from bundler.blocks import (
    Layout,
    attempt_blocks,
    attempt_remark,
    attempt_word,
    test_name,
    verdict_word,
)
from bundler.errors import UnreadableRecording
from bundler.escapes import one_line
from bundler.events import text_fields
from bundler.look import Look, Style
from bundler.manifest import RunManifest
from bundler.own_events import AttemptKey, Attempts
from bundler.recording import Recording, file_size
from bundler.results import Attempt, Results, Session, TestResult
from bundler.seeds import show_seed
from bundler.traces import trace_in

if TYPE_CHECKING:  # what a test said of itself is loaded when one test is asked for
    from bundler.story import Story, TestFile, Told

_MOST_PASSED = 100


def matching_tests(results: Results, text: str) -> list[TestResult]:
    """Return the tests whose id is the text, or else whose name is, or else whose id holds it."""
    holding = [test for test in results.tests if text in test.test_id]
    return (
        results.with_id(text)
        or [test for test in holding if _is_called(test.test_id, text)]
        or holding
    )


def _is_called(test_id: str, text: str) -> bool:
    """Whether a text is the last word of an id, with or without its parameters."""
    words = f"{test_id}["
    return any(f"{before}{text}[" in words for before in ("::", " "))


def run_lines(recording: Recording, look: Look) -> Iterator[str]:
    """Yield everything about a run as a whole, a label before each line."""
    layout = Layout(look)
    for label, text in _run_facts(recording, look):
        if text:
            style = _style_of(label, recording.manifest)
            yield layout.labelled(label, text, style)
    variables = environment_of(recording).get("variables")
    if isinstance(variables, dict) and variables:
        yield layout.heading("variables", Style.HEADING)
        yield from layout.body(one_line(f"{name}={value}") for name, value in variables.items())


def _style_of(label: str, manifest: RunManifest) -> Style:
    if label == "Redacted" and manifest.redaction and not manifest.redaction.on:
        return Style.FAILED
    return status_style(manifest) if label == "Status" else Style.HEADING


def _run_facts(recording: Recording, look: Look) -> Iterator[tuple[str, str]]:
    manifest, results = recording.manifest, recording.results
    took = manifest.duration_us
    yield "Run", look.run_id(manifest.run_id, digits=len(manifest.run_id))
    yield "Status", status_sentence(manifest, results)
    if not results.is_plain_command:
        yield "Result", count_words(recording, results.counts, look)
    yield "Deselected", f"{len(results.deselected):,}" if results.deselected else ""
    yield "Warnings", f"{len(results.warnings):,}" if results.warnings else ""
    after = f", took {seconds(took)}" if took is not None else ""
    yield "Started", time_words(manifest.created_at) + after
    yield "Seed", show_seed(manifest.seed) + (", imposed" if manifest.seed_imposed else "")
    yield "Rerun of", look.run_id(manifest.parent.run_id) if manifest.parent else ""
    yield "Command", one_line(shlex.join(manifest.command.argv))
    yield "Directory", one_line(manifest.command.cwd)
    yield "On", ", ".join(place_words(recording))
    for session in results.sessions:
        yield "Session", _session_words(session)
    yield "Git", _git_words(environment_of(recording).get("git"))
    yield "In", ci_words(manifest.ci or {})
    yield "At", one_line((manifest.ci or {}).get("url", ""))
    yield "Recorded by", _recorder_words(recording)
    yield "Log", _log_words(recording)
    yield "Redacted", redaction_words(manifest)
    yield "Files", _files_words(recording)
    yield "Read from", one_line(recording.where)
    yield "Replayable", "; ".join(_obstacles(recording)) or "yes"


def redaction_words(manifest: RunManifest) -> str:
    """Return which secrets were masked in a run, by rule, or that none were."""
    redaction = manifest.redaction
    if redaction is None:
        return ""
    if not redaction.on:
        return "NO: recorded with --no-redact, secrets are in it as they are"
    masked = Counter(redaction.masked) + Counter(redaction.masked_in_files)
    words = ", ".join(f"{rule} {times:,}" for rule, times in sorted(masked.items()))
    left = f"; left in packed files: {', '.join(redaction.left)}" if redaction.left else ""
    return one_line((words or "nothing had to be masked") + left)


def lines_of_test(
    recording: Recording, test: TestResult, look: Look, attempts: Attempts | None = None
) -> Iterator[str]:
    """Yield everything about one test: where it stood, and every attempt with its output.

    `attempts` is shared by the tests of one id, as in `bundler.story`.
    """
    from bundler.story import told_by

    widest = max((len(attempt.worker or "") for attempt in test.attempts), default=0)
    layout = Layout(look, worker_width=widest)
    for label, text in _test_facts(recording, test, look):
        if text:
            yield layout.labelled(label, text)
    captured = all(
        session.info.get("capture") != "no"
        for session in recording.results.sessions
        if session.id == test.session
    )
    told = told_by(recording, test, attempts)
    for label, text in _told_facts(recording, told):
        yield layout.labelled(label, text)
    yield layout.rule()
    for attempt in test.attempts:
        word = attempt_word(test, attempt, live=recording.live)
        yield layout.status(
            word,
            test_name(look, test),
            duration_us=attempt.duration_us,
            worker=attempt.worker,
            remark=attempt_remark(attempt),
        )
        if phases := _phase_words(attempt):
            yield layout.note(phases)
        yield from _story_blocks(told.of(_key(test, attempt)), layout)
        yield from attempt_blocks(
            recording, attempt, layout, word[1], captured=captured, every_subtest=True
        )
        for name, value in attempt.properties:
            yield layout.note(f"property {name}: {value}")
    if not test.attempts:
        yield layout.status(verdict_word(test), test_name(look, test))


def _test_facts(recording: Recording, test: TestResult, look: Look) -> Iterator[tuple[str, str]]:
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
    before, after = neighbours(recording.results, test)
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


def neighbours(results: Results, test: TestResult) -> tuple[TestResult | None, TestResult | None]:
    """Return what its worker ran just before and just after the last attempt of a test."""
    if not test.attempts:
        return None, None
    ran = [
        (attempt.started_us, attempt.order or 0, other)
        for other in results.tests
        if other.session == test.session
        for attempt in other.attempts
        if attempt.worker == test.worker
    ]
    ran.sort(key=lambda one: one[:2])
    row = [other for other, _ in itertools.groupby(other for _, _, other in ran)]
    place = len(row) - 1 - row[::-1].index(test)
    return (row[place - 1] if place else None, row[place + 1] if place + 1 < len(row) else None)


def document_of_test(
    recording: Recording, test: TestResult, attempts: Attempts | None = None
) -> dict[str, Any]:
    """Return everything about one test as an object of JSON; times are microseconds."""
    from bundler.story import told_by

    before, after = neighbours(recording.results, test)
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


def _session_words(session: Session) -> str:
    info = session.info
    words = [f"{info.get('runner', 'tests')} {info.get('runner_version', '')}".strip()]
    if isinstance(args := info.get("args"), list) and args:
        words.append(shlex.join(map(str, args)))
    if type(workers := info.get("workers")) is int and workers:
        words.append(count(workers, "worker"))
    words.append(f"capture {info.get('capture', 'unknown')}")
    if isinstance(plugins := info.get("plugins"), dict) and plugins:
        words.append(", ".join(f"{name} {version}" for name, version in plugins.items()))
    return one_line("; ".join(words))


def _git_words(git: object) -> str:
    if not isinstance(git, dict):
        return ""
    changed = "changed" if git.get("dirty") else ""
    known = (str(git.get("commit", ""))[:12], git.get("branch"), changed, git.get("remote"))
    return one_line(", ".join(str(word) for word in known if word))


def _recorder_words(recording: Recording) -> str:
    manifest = recording.manifest
    recorder = " ".join(manifest.recorder.get(key, "") for key in ("name", "version")).strip()
    version = f"format {manifest.format.major}.{manifest.format.minor}"
    return one_line(", ".join(filter(None, [recorder, version])))


def _log_words(recording: Recording) -> str:
    frames = recording.manifest.log.frames
    events = count(recording.results.events, "event")
    if not frames:
        return events
    packed, raw = (sum(sizes) for sizes in zip(*frames, strict=True))
    return f"{events}, {raw:,} bytes in {packed:,}"


def _files_words(recording: Recording) -> str:
    members = recording.manifest.members
    if not members:
        return ""
    return f"{count(len(members), 'file')}, {sum(member.size for member in members):,} bytes"


def _obstacles(recording: Recording) -> Iterable[str]:
    """What stands in the way of seeing the whole run again."""
    if recording.live:
        yield "as far as it is: still being recorded"
    elif not recording.results.events:
        yield "no: there is no event log"
    elif not recording.results.complete:
        yield "in part: the log does not end as a finished one does"
    yield from map(one_line, damage(recording))
