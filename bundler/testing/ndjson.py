"""Log events as NDJSON lines, schema v1, and read them back.

One event is one JSON object on one line, ASCII, at most 1 MiB (`bundler.events` has the schema):

    {"v":1,"ts_us":1204,"level":"INFO","category":"task","event":"TaskSpawn","test_id":"drain",
     "seed":7,"subsystem":"scheduler","thread_id":41,"message":"spawned","data":{"task_id":3}}
"""

from __future__ import annotations

import itertools
import json
import os
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from bundler.testing.context import TestContext
from bundler.testing.event_file import EventFile
from bundler.testing.event_line import MAX_LINE_BYTES, head_of, line_of
from bundler.testing.json_documents import is_u64
from bundler.testing.summary import EventStats

VERSION = 1
LEVELS = ("ERROR", "WARN", "INFO", "DEBUG", "TRACE")
STREAM_VARIABLES = ("BUNDLE_TEST_NDJSON", "ASUPERSYNC_TEST_NDJSON")
_RANKS = {level: rank for rank, level in enumerate(LEVELS)}
_NAMES = {**{level: level for level in LEVELS}, "WARNING": "WARN"}
_COUNTED = {"TaskSpawn": "task_spawns", "TaskComplete": "task_completions"}
_COUNTED |= {"ReactorPoll": "reactor_polls", "ERROR": "errors", "WARN": "warnings"}
_KNOWN_HEADS = 1024
# Tests patch the clock; what is needed is taken at import.
_now_ns, _thread_id = time.monotonic_ns, threading.get_native_id


def parse_level(text: str) -> str:
    """Return the level that a word names, in any case; `warning` is WARN. Raises ValueError.

    >>> parse_level("Warning")
    'WARN'
    """
    try:
        return _NAMES[text.upper()]
    except KeyError:
        raise ValueError(f"level {text!r} is none of {', '.join(LEVELS)}") from None


@dataclass(frozen=True, kw_only=True, slots=True)
class NdjsonEvent:
    """One event.

    ts_us      microseconds since the test started, monotonic
    level      ERROR, WARN, INFO, DEBUG or TRACE
    category   what it is about, such as `task`, `io` or `log`
    event      its type, PascalCase
    message    for people
    thread_id  the operating system's number of the thread
    data       whatever else there is to say, by name

    test_id, seed, subsystem and invariant are those of the test's context.

    >>> event = NdjsonEvent(ts_us=5, level="INFO", category="task", event="TaskSpawn")
    >>> NdjsonEvent.from_line(event.to_line()) == event
    True
    """

    ts_us: int
    level: str
    category: str
    event: str
    message: str = ""
    test_id: str | None = None
    seed: int | None = None
    subsystem: str | None = None
    invariant: str | None = None
    thread_id: int = 0
    data: Mapping[str, Any] = field(default_factory=dict)
    v: int = VERSION

    def to_line(self) -> bytes:
        """Return its line, the newline included. What JSON cannot say stands there as its repr."""
        head = head_of(self.level, self.category, self.event, self)
        return line_of(self.ts_us, head, self.thread_id, self.message, self.data)

    @classmethod
    def from_line(cls, line: bytes) -> Self:
        """Return the event of a line. Raises ValueError where it is none of this version."""
        try:
            document = json.loads(line)
        except RecursionError:
            raise ValueError("nested too deep") from None
        if not isinstance(document, dict):
            raise ValueError("not a JSON object")
        _check(document)
        return cls(
            ts_us=document["ts_us"],
            level=document["level"],
            category=document["category"],
            event=document["event"],
            message=document["message"],
            test_id=document.get("test_id"),
            seed=document.get("seed"),
            subsystem=document.get("subsystem"),
            invariant=document.get("invariant"),
            thread_id=document.get("thread_id") or 0,
            data=document.get("data") or {},
        )


class NdjsonLogger:
    """Log the events of one test: to a file, or kept in memory where no path is given.

    `context` is on every event. Events under `level` are dropped. With `BUNDLE_TEST_NDJSON` or
    `ASUPERSYNC_TEST_NDJSON` set to `1` or `true` (or `stream=True`) they go to stderr as well.
    Threads, asyncio tasks and forked children may share it. Times count from `started_ns`, of
    `time.monotonic_ns`. A file that cannot be written breaks no test: `problem` says why it ended.

        >>> logger = NdjsonLogger(TestContext(test_id="drain", seed=7), level="DEBUG")
        >>> logger.log("TaskSpawn", "worker started", category="task", task_id=3)
        >>> [event.data["task_id"] for event in logger.events()]
        [3]
    """

    def __init__(
        self,
        context: TestContext | None = None,
        *,
        path: Path | None = None,
        level: str = "TRACE",
        stream: bool | None = None,
        started_ns: int | None = None,
    ) -> None:
        self.context = context
        self.path = path
        self.started_ns = _now_ns() if started_ns is None else started_ns
        self.streams = streaming_is_on() if stream is None else stream
        self._rank = _RANKS[parse_level(level)]
        self._heads: dict[tuple[str, str, str], tuple[str, list[itertools.count[int]]]] = {}
        self._counts = {name: itertools.count() for name in EventStats.__slots__}
        self._file = None if path is None else EventFile(path)
        self._kept: list[bytes] = []

    @property
    def problem(self) -> str:
        """Why it stopped recording, or the empty text."""
        return self._file.problem if self._file else ""

    def log(
        self,
        event: str,
        message: str = "",
        *,
        level: str = "INFO",
        category: str = "custom",
        data: Mapping[str, Any] | None = None,
        **fields: Any,
    ) -> None:
        """Log one event; what it says is in `fields`, or in `data`.

        `data` is for names that this method has itself. Values that JSON cannot say are shown as
        their repr. Raises ValueError at an unknown level, and nothing else.
        """
        key = (level, category, event)
        head, ticks = self._heads.get(key) or self._new_head(key)
        if not head:
            return
        ts_us = (_now_ns() - self.started_ns) // 1000
        line = line_of(ts_us, head, _thread_id(), message, {**data, **fields} if data else fields)
        for tick in ticks:
            next(tick)
        if self._file is not None:
            self._file.append(line)
        else:
            self._kept.append(line)
        if self.streams:
            _to_stderr(line)

    def stats(self) -> EventStats:
        """Return how many events this process logged; errors and warnings go by the level."""
        # A counter shows its next number, and nothing else reads it without counting.
        counted = {name: int(repr(tick)[6:-1]) for name, tick in self._counts.items()}
        return EventStats(**counted)

    def events(self) -> Iterator[NdjsonEvent]:
        """Yield what was logged so far; whoever else writes to the same file is in it too."""
        if self.path is not None:
            return read_events(self.path)
        return map(NdjsonEvent.from_line, list(self._kept))

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _new_head(self, key: tuple[str, str, str]) -> tuple[str, list[itertools.count[int]]]:
        """What all events of a type share: the head of their lines, empty where they are dropped,
        and what counts them. `next` of a counter is one step that no thread can come between."""
        level, category, event = key
        level = parse_level(level)
        entry: tuple[str, list[itertools.count[int]]] = ("", [])
        if _RANKS[level] <= self._rank:
            counted = [_COUNTED[name] for name in (event, level) if name in _COUNTED]
            ticks = [self._counts[name] for name in ("total_events", *counted)]
            entry = (head_of(level, category, event, self.context), ticks)
        if len(self._heads) < _KNOWN_HEADS:
            self._heads[key] = entry
        return entry


def read_events(
    source: Path | IO[bytes],
    *,
    level: str | None = None,
    category: str | None = None,
    event: str | None = None,
    problems: list[str] | None = None,
) -> Iterator[NdjsonEvent]:
    """Yield the events of a log in order, however many, with the memory of one.

    Only those of this level or a graver one, of this category, of this type. A line that is no
    event is passed over and named in `problems`; blank lines mean nothing. Raises OSError, and
    ValueError at an unknown level.
    """
    rank = _RANKS[parse_level(level)] if level is not None else len(LEVELS)
    for number, line in enumerate(_lines(source), start=1):
        try:
            found = _event_of(line)
        except ValueError as error:
            if problems is not None:
                problems.append(f"line {number} is no event: {error}")
            continue
        if (
            found is not None
            and _RANKS.get(found.level, 0) <= rank
            and category in (None, found.category)
            and event in (None, found.event)
        ):
            yield found


def streaming_is_on() -> bool:
    """Whether the environment asks for events on stderr."""
    return any(os.environ.get(name) in ("1", "true") for name in STREAM_VARIABLES)


def _event_of(line: bytes) -> NdjsonEvent | None:
    if not line.endswith(b"\n") and len(line) > MAX_LINE_BYTES:
        raise ValueError(f"it is over {MAX_LINE_BYTES} bytes long")
    return NdjsonEvent.from_line(line) if line.strip() else None


def _lines(source: Path | IO[bytes]) -> Iterator[bytes]:
    """Every line; of one that is too long, its first part."""
    if isinstance(source, Path):
        with source.open("rb") as file:
            yield from _lines(file)
        return
    while line := source.readline(MAX_LINE_BYTES + 1):
        yield line
        rest = line
        while len(rest) > MAX_LINE_BYTES and not rest.endswith(b"\n"):
            rest = source.readline(MAX_LINE_BYTES + 1)


def _check(document: dict[str, Any]) -> None:
    """Raise ValueError at the first field that the schema does not have so."""
    if type(document.get("v")) is not int or document["v"] != VERSION:
        raise ValueError(f"event version {document.get('v')!r}, not {VERSION}")
    for name in ("level", "category", "event", "message"):
        if not isinstance(document.get(name), str):
            raise ValueError(f"{name} is not a string")
    for name in ("test_id", "subsystem", "invariant"):
        if not isinstance(document.get(name), str | None):
            raise ValueError(f"{name} is not a string")
    if not is_u64(document.get("ts_us")):
        raise ValueError("ts_us is not an unsigned 64-bit number")
    for name in ("seed", "thread_id"):
        if document.get(name) is not None and not is_u64(document[name]):
            raise ValueError(f"{name} is not an unsigned 64-bit number")
    if not isinstance(document.get("data"), dict | None):
        raise ValueError("data is not an object")


def _to_stderr(line: bytes) -> None:
    try:
        sys.stderr.write(line.decode("ascii"))
    except (OSError, ValueError, AttributeError):
        pass  # there is no stderr any more; the file has the event
