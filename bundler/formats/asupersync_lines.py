"""The lines that a test of asupersync logged: its events.ndjson, or an event_log.txt.

A test's own events pass through as they are, byte for byte, also those of types that are not known
here; so does everything in the test bundle of a run of ours, which begins with `TestStarted`. Three
exceptions: one that does not say of which test it is gets the bundle's id and seed; one called like
an event of a run (`RunFinished`) gets `Own` before its name; `Attachment`, by which a test of ours
says what its files are called, is remembered instead.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import IO, Any

from bundler.archive import Members
from bundler.errors import UnreadableRecording
from bundler.eventlog import Line, split_lines
from bundler.events import RUN_EVENTS, Event, decode_line
from bundler.formats.asupersync_bundles import TestBundle
from bundler.probe.writer.file_names import EVENTS
from bundler.seeds import show_seed

HARNESS_EVENTS = frozenset({"PhaseStarted", "PhaseFinished", "AssertionRecorded"})
_HARNESS_MARK = re.compile(rb'"(?:PhaseStarted|PhaseFinished|AssertionRecorded)"')

_READ_BYTES = 256 * 1024
_MAX_ENTRY = 64 * 1024
_ENTRY = re.compile(rb"\[ *(\d{1,12}\.\d{3})ms\] \[ *([A-Z]+)\] +(\S+) \| (.*)", re.DOTALL)
_STATISTICS = b"=== Statistics ==="


class OwnEvents:
    """The events that one test logged; call `lines` once, then look at what it found.

    `damaged` counts the lines that are no events, `last_us` is the latest time, `attachments` says
    what its files are called.
    """

    def __init__(self, bundle: TestBundle, members: Members) -> None:
        self.damaged = 0
        self.last_us = 0
        self.attachments: dict[str, dict[str, Any]] = {}
        self._bundle = bundle
        self._members = members
        self._name = bundle.document(EVENTS)
        self._of_others = 0
        self._is_recorded = False

    def recorded_session(self) -> str | None:
        """Return the session of the run of ours that these events are from, or None."""
        first = next((_decoded(line) for line in self._split(notes=False)), None)
        if not isinstance(first, Event) or first.event != "TestStarted":
            return None
        try:
            session = first.payload().get("session")
        except ValueError:
            return None
        self._is_recorded = isinstance(session, str)
        return session if isinstance(session, str) else None

    def first_of_a_test(self) -> Event | None:
        """Return the first event that says of which test it is."""
        events = (_decoded(line) for line in self._split(notes=False))
        return next((one for one in events if isinstance(one, Event) and one.test_id), None)

    def logs_phases(self) -> bool:
        """Whether the test logged its phases and assertions itself, as our harness does."""
        marked = (one for one in self._split(notes=False) if _HARNESS_MARK.search(one.content))
        events = (_decoded(line) for line in marked)
        return any(isinstance(one, Event) and one.event in HARNESS_EVENTS for one in events)

    def lines(self) -> Iterator[tuple[int, bytes]]:
        """Yield the time of each event, and the event as a whole line."""
        first_problem = ""
        for number, line in enumerate(self._split(), start=1):
            if not line.content.strip() and not line.problem:
                continue
            event = _decoded(line)
            if isinstance(event, Event):
                yield from self._passed_on(event, line.content.rstrip(b"\r"))
                continue
            self.damaged += 1
            first_problem = first_problem or f"line {number}: {event}"
        where = f"{self._name} has"
        if self.damaged:
            noun = "a line that is" if self.damaged == 1 else f"{self.damaged} lines that are"
            self._bundle.problems.append(f"{where} {noun} no event ({first_problem})")
        if self._of_others:
            self._bundle.problems.append(f"{where} events of another test: {self._of_others}")

    def _passed_on(self, event: Event, content: bytes) -> Iterator[tuple[int, bytes]]:
        self.last_us = max(self.last_us, event.ts_us)
        self._of_others += event.test_id not in (None, self._bundle.test_id)
        if event.event == "Attachment" and not self._is_recorded and self._remembered(event):
            return
        if event.event in RUN_EVENTS and not self._is_recorded:
            content = _changed(content, {"event": f"Own{event.event}"})
        if event.test_id is None:
            content = _changed(content, self._own_fields())
        yield event.ts_us, content + b"\n"

    def _own_fields(self) -> dict[str, Any]:
        """What every event of this test says of it."""
        seed = self._bundle.seed
        seeds = {} if seed is None else {"seed": seed, "seed_hex": show_seed(seed)}
        return {"test_id": self._bundle.test_id, **seeds}

    def _remembered(self, event: Event) -> bool:
        try:
            data = event.payload()
        except ValueError:
            return False
        if not all(isinstance(data.get(key), str) for key in ("name", "path", "media_type")):
            return False
        self.attachments[data["path"]] = data
        return True

    def _split(self, *, notes: bool = True) -> Iterator[Line]:
        if self._name is None:
            return
        try:
            with self._members.open(self._name) as file:
                yield from split_lines(iter(lambda: file.read(_READ_BYTES), b""))
        except UnreadableRecording as error:
            if notes:
                self._bundle.problems.append(error.message)


def entries(file: IO[bytes]) -> Iterator[dict[str, Any]]:
    """Yield the entries of an event_log.txt as fields of events.

    It does not escape newlines, so a line that does not begin like an entry belongs to the message
    before it.
    """
    entry: list[bytes] = []
    for line in split_lines(iter(lambda: file.read(_READ_BYTES), b"")):
        begins = _ENTRY.match(line.content)
        if entry and (begins or line.content == _STATISTICS):
            yield _entry(entry)
            entry = []
        if line.content == _STATISTICS:
            return
        if begins or entry:
            entry.append(line.content)
    if entry:
        yield _entry(entry)


def _entry(lines: list[bytes]) -> dict[str, Any]:
    match = _ENTRY.match(b"\n".join(lines).rstrip(b"\n")[:_MAX_ENTRY])
    if match is None:
        raise AssertionError("an entry begins as one")
    milliseconds, level, category, message = (
        part.decode("utf-8", "replace") for part in match.groups()
    )
    return {
        "ts_us": int(float(milliseconds) * 1000),
        "category": category,
        "level": level,
        "message": message,
    }


def _decoded(line: Line) -> Event | str:
    """The event of a line, or why it is none; a last line may lack its newline, if it is whole."""
    if line.problem and line.problem != "torn":
        return f"it is {line.problem}"
    try:
        line.content.decode("utf-8")
        return decode_line(line.content)
    except ValueError as error:
        return str(error)


def _changed(content: bytes, changes: dict[str, Any]) -> bytes:
    document = {**json.loads(content), **changes}
    return json.dumps(document, separators=(",", ":")).encode("ascii")
