"""What a test did, as far as it said so: its phases as a tree, its assertions, the files it left.

A test bundle in a run bundle has them in its summary.json. Where there is none (the test was
killed; it is of another tool's recording, whose reader made events of it) they are folded from the
events, with at most `MOST` phases and assertions of an attempt.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from bundler.bundle import member_of
from bundler.documents import load_document
from bundler.errors import UnreadableRecording
from bundler.own_events import (
    AttemptKey,
    Attempts,
    OwnEvent,
    folders_of,
    is_ours,
    is_own,
    own_events,
)
from bundler.probe.writer.media_types import media_type_of
from bundler.probe.writer.phases import PATH_SEPARATOR
from bundler.recording import Recording
from bundler.results import TestResult
from bundler.testing.phase_view import phase_tree
from bundler.testing.summary import AssertionRecord, PhaseNode, TestSummary

MOST = 10_000
_MOST_LEVELS = 64
_DOCUMENTS = frozenset(
    {
        "manifest.json",
        "repro_manifest.json",
        "events.ndjson",
        "summary.json",
        "environment.json",
        "failed_assertions.json",
        "run_events.ndjson",
        "generator_state.json",
        "event_log.txt",
    }
)


@dataclass(frozen=True, slots=True)
class TestFile:
    """A file that a test left: what the test calls it, and what it is called in the recording."""

    __test__ = False

    name: str
    member: str
    media_type: str

    @property
    def is_document(self) -> bool:
        """Whether it is one of the documents of a test bundle."""
        return self.name in _DOCUMENTS or self.name.endswith("_summary.json")

    @property
    def is_trace(self) -> bool:
        """Whether it is a trace."""
        return self.name.endswith(".trace")


@dataclass(frozen=True, slots=True)
class Story:
    """What one attempt did. `assertions` are all of it; `left_out` is what was too much."""

    phases: tuple[PhaseNode, ...] = ()
    assertions: tuple[AssertionRecord, ...] = ()
    left_out: int = 0

    def tree(self) -> Iterator[str]:
        """Yield the phases in lines of plain text, with what failed in each."""
        return phase_tree(TestSummary(test_name="", passed=True, phases=self.phases))


@dataclass(frozen=True, slots=True)
class Told:
    """What a test said: of every attempt, its files, how many events it logged, what is damaged."""

    events: int
    attempts: dict[AttemptKey, Story]
    files: list[TestFile]
    problems: list[str]

    def of(self, attempt: AttemptKey) -> Story:
        """What it said in one attempt."""
        return self.attempts.get(attempt, Story())


def told_by(recording: Recording, test: TestResult, attempts: Attempts | None = None) -> Told:
    """Return what a test of a recording said of itself.

    `attempts` is shared by the tests of one id, so that they are read in one pass.
    """
    problems: list[str] = []
    folds: dict[AttemptKey, _Fold] = {}
    attached: list[dict[str, Any]] = []
    events = 0
    for own in _events_of(recording, test, attempts, problems):
        key = own.attempt
        if key is None or key[:2] != (test.session, test.occurrence):
            continue
        events += is_own(own.event)
        if own.event.event == "Attachment":
            attached.append(_data(own))
        else:
            folds.setdefault(key, _Fold()).take(own)
    starts = {attempt.number: attempt.started_us for attempt in test.attempts}
    stories = {key: fold.story(starts.get(key[2], 0)) for key, fold in folds.items()}
    files = _files(recording, test, attached)
    if (summary := _summary(recording, files, problems)) is not None and test.attempts:
        key = (test.session, test.occurrence, test.attempts[-1].number)
        stories[key] = _of_summary(summary, stories.get(key))
    return Told(events, stories, files, problems)


def _events_of(
    recording: Recording, test: TestResult, attempts: Attempts | None, problems: list[str]
) -> Iterator[OwnEvent]:
    if attempts is None or is_ours(recording):
        return own_events(recording, tests={test.test_id}, with_run=True, problems=problems)
    keys = [(test.session, test.occurrence, attempt.number) for attempt in test.attempts]
    return itertools.chain.from_iterable(map(attempts.of, keys))


def _of_summary(summary: TestSummary, folded: Story | None) -> Story:
    """A summary has no assertions outside of all phases; the events may have them."""
    outside = [one for one in folded.assertions if not one.phase_path] if folded else []
    return Story(summary.phases, (*summary.assertions(), *outside))


def _summary(
    recording: Recording, files: list[TestFile], problems: list[str]
) -> TestSummary | None:
    """The summary of the test's bundle in a run of ours; that of others was read already."""
    members = [file.member for file in files if file.name == "summary.json"]
    if len(members) != 1 or not is_ours(recording):
        return None
    try:
        document = load_document(recording.files[members[0]], members[0])
        return TestSummary.from_document(document, members[0])
    except UnreadableRecording as error:
        problems.append(error.message)
        return None


def _files(
    recording: Recording, test: TestResult, attached: list[dict[str, Any]]
) -> list[TestFile]:
    names = {one["path"]: one for one in attached if isinstance(one.get("path"), str)}
    if not is_ours(recording):
        paths = {path: member_of(recording, path) for path in names}
        found = [_file(names[path], path, member) for path, member in paths.items() if member]
        return sorted(found, key=_place)
    found = []
    for folder in folders_of(test.test_id):
        prefix = f"tests/{folder}/"
        for member in recording.files:
            if member.startswith(prefix):
                relative = member.removeprefix(prefix).partition("/")[2] or member
                found.append(_file(names.get(relative, {}), relative, member))
    return sorted(found, key=_place)


def _place(file: TestFile) -> tuple[bool, bool, str]:
    return not file.is_document, file.is_trace, file.member


def _file(attached: dict[str, Any], path: str, member: str) -> TestFile:
    name, media_type = attached.get("name"), attached.get("media_type")
    name = name if isinstance(name, str) else path
    return TestFile(
        name=name,
        member=member,
        media_type=media_type if isinstance(media_type, str) else media_type_of(name),
    )


def _data(own: OwnEvent) -> dict[str, Any]:
    try:
        return own.event.payload()
    except ValueError:
        return {}


@dataclass(slots=True)
class _Phase:
    name: str
    depth: int
    start_us: int
    end_us: int | None = None
    assertions: list[AssertionRecord] = field(default_factory=list)
    children: list[_Phase] = field(default_factory=list)

    def node(self, zero_us: int) -> PhaseNode:
        end_ms = None if self.end_us is None else (self.end_us - zero_us) / 1000
        return PhaseNode(
            name=self.name,
            depth=self.depth,
            start_ms=(self.start_us - zero_us) / 1000,
            end_ms=end_ms,
            assertions=tuple(self.assertions),
            children=tuple(child.node(zero_us) for child in self.children),
        )


@dataclass(slots=True)
class _Fold:
    """From the events of one attempt to its phases and assertions."""

    roots: list[_Phase] = field(default_factory=list)
    latest: dict[str, _Phase] = field(default_factory=dict)
    assertions: list[AssertionRecord] = field(default_factory=list)
    taken: int = 0

    def take(self, own: OwnEvent) -> None:
        handler = _HANDLERS.get(own.event.event)
        if handler is not None:
            self.taken += 1
            if self.taken <= 3 * MOST:
                handler(self, own, _data(own))

    def story(self, zero_us: int) -> Story:
        return Story(
            phases=tuple(phase.node(zero_us) for phase in self.roots),
            assertions=tuple(self.assertions),
            left_out=max(0, self.taken - 3 * MOST),
        )

    def started(self, own: OwnEvent, data: dict[str, Any]) -> None:
        name, path = str(data.get("name", "")), str(data.get("path", ""))
        around = path.removesuffix(name).removesuffix(PATH_SEPARATOR)
        parent = self.latest.get(around) if around else None
        depth = parent.depth + 1 if parent else 0
        phase = _Phase(name, depth, own.ts_us)
        siblings = parent.children if parent and depth < _MOST_LEVELS else self.roots
        siblings.append(phase)
        self.latest[path] = phase

    def finished(self, own: OwnEvent, data: dict[str, Any]) -> None:
        phase = self.latest.get(str(data.get("path", "")))
        if phase is not None:
            phase.end_us = own.ts_us

    def asserted(self, own: OwnEvent, data: dict[str, Any]) -> None:
        try:
            record = AssertionRecord.from_document(data)
        except UnreadableRecording:
            return
        self.assertions.append(record)
        if (phase := self.latest.get(record.phase_path)) is not None:
            phase.assertions.append(record)


_HANDLERS = {
    "PhaseStarted": _Fold.started,
    "PhaseFinished": _Fold.finished,
    "AssertionRecorded": _Fold.asserted,
}
