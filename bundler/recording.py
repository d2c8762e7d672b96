"""The hub: one recording of a run, whoever recorded it, as everything else sees it.

A reader makes one; replay, show, list, rerun, export and the store take it. The reader of a foreign
format translates into the same events, so there is one way to look at a run.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import IO, Any

from bundler.eventlog import EventLog
from bundler.events import Event, decode_line, text_bytes
from bundler.holding import Holding
from bundler.limits import in_force, over
from bundler.manifest import RunManifest
from bundler.results import Results, fold


@dataclass(frozen=True, slots=True)
class Output:
    """A piece of output: which stream, in which phase (of a test), its bytes, and what was cut.

    `omitted_bytes` is how much was cut between the piece before and this one.
    """

    stream: str
    phase: str
    content: bytes
    omitted_bytes: int
    ts_us: int


@dataclass(frozen=True, slots=True)
class DamagedLine:
    """A line of the log that could not be read: where it begins, and why."""

    offset: int
    why: str


@dataclass
class Recording:
    """One run: its manifest, its events as often as asked for, its files by name, its results.

    `document` is manifest.json as it stood, with fields that this version does not know.
    `where` is what a person would call the place it was read from. `live` is True while the run is
    still being recorded. `problems` are sentences about what is wrong with it.
    """

    manifest: RunManifest
    document: dict[str, Any]
    log: EventLog
    files: Mapping[str, bytes]
    where: str
    live: bool = False
    problems: list[str] = field(default_factory=list)
    damaged_lines: list[DamagedLine] = field(default_factory=list)

    def events(self) -> Iterator[tuple[int, Event]]:
        """Yield every readable event with its offset; note the lines that are not.

        Raises HostileRecording where these are too many.
        """
        damaged: list[DamagedLine] = []
        most = in_force().damaged_lines
        for line in self.log.lines():
            why = line.problem
            try:
                event = None if why else decode_line(line.content)
            except ValueError as error:
                event, why = None, str(error)
            if event is not None:
                yield line.offset, event
                continue
            damaged.append(DamagedLine(line.offset, why))
            if len(damaged) > most:
                raise over("damaged_lines", most, f"{self.where}: the event log")
        self.damaged_lines = damaged

    @cached_property
    def results(self) -> Results:
        """The fold of the events, computed once.

        Raises HostileRecording where they would take much more than so few bytes may.
        """
        return fold(self.events(), self.holding())

    def holding(self) -> Holding:
        """Return the account of what its results may take."""
        return Holding(self.log.packed, f"{self.where}: the results")

    def event_at(self, offset: int) -> Event:
        """Return the event that begins at an offset. Raises ValueError where none does."""
        return decode_line(self.log.line_at(offset))

    def outputs(self, offsets: list[int]) -> Iterator[Output]:
        """Yield the output that the events at these offsets hold; a damaged one is passed over."""
        for offset in offsets:
            try:
                event = self.event_at(offset)
                data = event.payload()
                content = text_bytes(data)
            except ValueError:
                continue
            yield Output(
                stream=str(data.get("stream", "stdout")),
                phase=str(data.get("phase", "")),
                content=content,
                omitted_bytes=_count(data.get("omitted_bytes")),
                ts_us=event.ts_us,
            )


def _count(value: object) -> int:
    return value if type(value) is int and 0 < value < 1 << 64 else 0


def opened(files: Mapping[str, bytes], name: str) -> IO[bytes]:
    """Return a stream of a file of a recording; one may be too large for memory."""
    opening: Callable[[str], IO[bytes]] | None = getattr(files, "open", None)
    return opening(name) if opening else io.BytesIO(files[name])


def file_size(files: Mapping[str, bytes], name: str) -> int:
    """Return how many bytes a file of a recording has."""
    size: Callable[[str], int] | None = getattr(files, "size", None)
    return size(name) if size else len(files[name])
