"""Follow a run while it is recorded: what its tests log, as they log it, until it ends.

Nothing tells that a file has grown, so a few times a second each is looked at. A file is open only
while it is looked at (on Windows one that is held open could not be replaced), and read in pieces,
so memory does not grow with what is there already. Events come in the order in which they are
found; those of one look are in the order of their time.

When a run ends its bundle is written anew: the log is compressed, and the bundle of a test that did
not pass is completed. What was shown of a log is then passed over by the number of its events.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from bundler import bundle
from bundler.directory_reader import open_regular
from bundler.errors import UnreadableRecording
from bundler.eventlog import split_lines
from bundler.events import Event
from bundler.own_events import (
    EVENTS,
    FOLDER,
    OwnEvent,
    Placement,
    Span,
    decoded,
    is_own,
    key_of,
)

PAUSE_SECONDS = 0.2
_MOST_LEVELS = 8
_PIECE_BYTES = 1 << 20


def follow(
    directory: Path,
    chooses: Callable[[Event], bool],
    *,
    stopped: Callable[[], bool] = lambda: False,
    is_live: Callable[[Path], bool] = bundle.is_live,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[list[OwnEvent]]:
    """Yield what tests have logged since the look before, until the run in a directory has ended.

    `chooses` says which events are wanted, `stopped` whether nobody wants any more. Raises
    UnreadableRecording where the run's end cannot be read.
    """
    run = _Run(directory)
    while not stopped():
        ended = not is_live(directory)
        while not stopped():
            began = time.monotonic()
            events, more = run.look()
            yield [own for own in events if chooses(own.event)]
            if not more:
                break
        if ended:
            return
        for _ in range(1 + int(10 * (time.monotonic() - began) / PAUSE_SECONDS)):
            sleep(0 if stopped() else PAUSE_SECONDS)


@contextlib.contextmanager
def interruptible() -> Iterator[Callable[[], bool]]:
    """Let Ctrl-C only ask to stop, so that a line that is being written is written whole.

    What it yields tells whether it was asked. A second Ctrl-C is a KeyboardInterrupt as ever.
    """
    asked = False

    def ask(_number: int, _frame: object) -> None:
        nonlocal asked
        asked = True
        signal.signal(signal.SIGINT, before)

    before = signal.signal(signal.SIGINT, ask)
    try:
        yield lambda: asked
    finally:
        signal.signal(signal.SIGINT, before)


@dataclass(slots=True)
class _Tail:
    """A log that grows: how far it was read, and how many of its events were taken."""

    path: Path
    offset: int = 0
    taken: int = 0
    again: int = 0
    identity: tuple[int, int] = (0, 0)

    def read(self) -> tuple[list[tuple[Event, bytes]], bool]:
        """Return the events of the next piece, and whether there is more; none where it is gone."""
        try:
            with os.fdopen(open_regular(self.path, self.path.name), "rb") as file:
                self._look_at(os.fstat(file.fileno()))
                file.seek(self.offset)
                piece = file.read(_PIECE_BYTES)
                while piece and b"\n" not in piece and (further := file.read(_PIECE_BYTES)):
                    piece += further
        except (OSError, UnreadableRecording):
            return [], False
        return self._events(piece), len(piece) >= _PIECE_BYTES

    def _look_at(self, info: os.stat_result) -> None:
        """Begin anew where it is another file than before, passing over what was taken."""
        identity = (info.st_dev, info.st_ino)
        if self.offset and (identity != self.identity or info.st_size < self.offset):
            self.offset, self.again = 0, self.taken
        self.identity = identity

    def _events(self, piece: bytes) -> list[tuple[Event, bytes]]:
        whole = piece[: piece.rfind(b"\n") + 1]
        self.offset += len(whole)
        found: list[tuple[Event, bytes]] = []
        for line in split_lines([whole]):
            event = decoded(line)
            if isinstance(event, Event):
                found.append((event, line.content.rstrip(b"\r")))
        return found


@dataclass(slots=True)
class _TestLog:
    """The log of one test bundle."""

    tail: _Tail
    placement: Placement | None = None
    derived: bool = False


@dataclass
class _Run:
    directory: Path
    log: _Tail = field(init=False)
    tests: dict[Path, _TestLog] = field(default_factory=dict)
    spans: dict[str, list[Span]] = field(default_factory=dict)
    logging: set[str] = field(default_factory=set)
    sealed: bool = False

    def __post_init__(self) -> None:
        self.log = _Tail(self.directory / bundle.LOG)

    def look(self) -> tuple[list[OwnEvent], bool]:
        """Return what is new, and whether there is more already."""
        # The bundles first: what the log then says of the starts of tests is never behind.
        of_tests = [(log, *log.tail.read()) for log in self._logs()]
        of_run, more = self.log.read()
        found = self._of_run(of_run or self._rest())
        for log, events, further in of_tests:
            more = more or further
            found += self._of_test(log, events)
        return sorted(found, key=lambda own: own.ts_us), more

    def _rest(self) -> Iterator[tuple[Event, bytes]]:
        """What the log says that was not read before it was compressed."""
        if self.sealed or self.log.path.exists():
            return
        self.sealed = True
        lines = bundle.read_directory(self.directory).log.lines()
        whole = ((decoded(line), line.content) for line in lines)
        pairs = ((event, content) for event, content in whole if isinstance(event, Event))
        yield from itertools.islice(pairs, self.log.taken, None)

    def _of_run(self, events: Iterable[tuple[Event, bytes]]) -> list[OwnEvent]:
        found: list[OwnEvent] = []
        for event, content in events:
            self.log.taken += 1
            if event.event == "TestStarted" and event.test_id is not None:
                span = Span(key_of(event), event.ts_us)
                self.spans.setdefault(event.test_id, []).append(span)
            elif is_own(event):
                self.logging.add(event.test_id or "")
                found.append(OwnEvent(event.ts_us, event, content))
        return found

    def _of_test(self, log: _TestLog, events: list[tuple[Event, bytes]]) -> list[OwnEvent]:
        found: list[OwnEvent] = []
        for event, content in events:
            if event.event == "TestStarted" and event.test_id in self.logging:
                log.derived = True  # from the log, which was shown
            if log.derived or not is_own(event):
                continue
            if log.tail.again:
                log.tail.again -= 1
                continue
            log.tail.taken += 1
            if log.placement is None:
                log.placement = Placement(self.spans.setdefault(event.test_id or "", []))
            ts_us, attempt = log.placement.of(event)
            found.append(OwnEvent(ts_us, event, content, attempt))
        return found

    def _logs(self) -> list[_TestLog]:
        for path in _event_files(self.directory / FOLDER):
            self.tests.setdefault(path, _TestLog(_Tail(path)))
        return list(self.tests.values())


def _event_files(folder: Path, levels: int = _MOST_LEVELS) -> Iterator[Path]:
    """Every log of a test bundle below a folder, no link followed."""
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    yield from _event_files(Path(entry.path), levels - 1) if levels else ()
                elif entry.name == EVENTS:
                    yield Path(entry.path)
    except OSError:
        return
