"""The log of one test: events as NDJSON lines in its file, or kept in memory.

One event is one JSON object on one line, ASCII, at most 1 MiB (`bundler.events` has the schema):

    {"v":1,"ts_us":1204,"level":"INFO","category":"task","event":"TaskSpawn","test_id":"drain",
     "seed":7,"seed_hex":"0000000000000007","subsystem":"scheduler","thread_id":41,
     "message":"spawned","data":{"task_id":3}}
"""

from __future__ import annotations

import itertools
import json
import os
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from .event_file import EventFile
from .event_line import Named, head_of, line_of
from .system import System

LEVELS = ("ERROR", "WARN", "INFO", "DEBUG", "TRACE")
STREAM_VARIABLES = ("BUNDLE_TEST_NDJSON", "ASUPERSYNC_TEST_NDJSON")
RANKS = {level: rank for rank, level in enumerate(LEVELS)}
COUNTS = (
    "total_events", "task_spawns", "task_completions", "reactor_polls", "errors", "warnings",
)  # fmt: skip
_NAMES = {**{level: level for level in LEVELS}, "WARNING": "WARN"}
_COUNTED = {
    "TaskSpawn": "task_spawns",
    "TaskComplete": "task_completions",
    "ReactorPoll": "reactor_polls",
    "ERROR": "errors",
    "WARN": "warnings",
}
_KNOWN_HEADS = 1024
_forks = itertools.count()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_parent=lambda: next(_forks))


def forks() -> int:
    """How often this process has forked."""
    return number_of(_forks)


def parse_level(text: str) -> str:
    """Return the level that a word names, in any case; `warning` is WARN. Raises ValueError.

    >>> parse_level("Warning")
    'WARN'
    """
    try:
        return _NAMES[text.upper()]
    except KeyError:
        raise ValueError(f"level {text!r} is none of {', '.join(LEVELS)}") from None


def streaming_is_on() -> bool:
    """Whether the environment asks for events on stderr."""
    return any(os.environ.get(name) in ("1", "true") for name in STREAM_VARIABLES)


class EventLog:
    """Log the events of one test: to a file, or kept in memory where no path is given.

    `context` is on every event. Events under `level` are dropped. With `BUNDLE_TEST_NDJSON` or
    `ASUPERSYNC_TEST_NDJSON` set to `1` or `true` (or `stream=True`) they go to stderr as well.
    Threads, asyncio tasks and forked children may share it. Times count from `started_ns`, of
    `time.monotonic_ns`. A file that cannot be written breaks no test: `problem` says why it ended.
    `is_over` is set when the test is: what logs by itself has to stop then.
    """

    def __init__(
        self,
        context: Named | None = None,
        *,
        path: os.PathLike[str] | str | None = None,
        level: str = "TRACE",
        stream: bool | None = None,
        started_ns: int | None = None,
    ) -> None:
        self.context = context
        self.started_ns = System.now_ns() if started_ns is None else started_ns
        self.streams = streaming_is_on() if stream is None else stream
        self._rank = RANKS[parse_level(level)]
        self._heads: dict[tuple[str, str, str], tuple[str, list[itertools.count[int]]]] = {}
        self._counts = {name: itertools.count() for name in COUNTS}
        self._file = None if path is None else EventFile(str(path))
        self._kept: list[bytes] = []
        self.is_over = False

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
        ts_us = (System.now_ns() - self.started_ns) // 1000
        line = line_of(
            ts_us, head, System.thread(), message, {**data, **fields} if data else fields
        )
        for tick in ticks:
            next(tick)
        if self._file is not None:
            self._file.append(line)
        else:
            self._kept.append(line)
        if self.streams:
            _to_stderr(line)

    def counts(self) -> dict[str, int]:
        """Return how many events this process logged; errors and warnings go by the level."""
        return {name: number_of(tick) for name, tick in self._counts.items()}

    def counts_of_all(self, begin: int) -> dict[str, int]:
        """Return how many events anybody has logged to the file, from an offset on."""
        return _counted(self._file.lines(begin)) if self._file is not None else self.counts()

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()

    def _new_head(self, key: tuple[str, str, str]) -> tuple[str, list[itertools.count[int]]]:
        """What all events of a type share: the head of their lines, empty where they are dropped,
        and what counts them. `next` of a counter is one step that no thread can come between."""
        level, category, event = key
        level = parse_level(level)
        entry: tuple[str, list[itertools.count[int]]] = ("", [])
        if RANKS[level] <= self._rank:
            ticks = [self._counts[name] for name in _counted_as(event, level)]
            entry = (head_of(level, category, event, self.context), ticks)
        if len(self._heads) < _KNOWN_HEADS:
            self._heads[key] = entry
        return entry


def _counted_as(event: str, level: str) -> list[str]:
    return ["total_events", *(_COUNTED[name] for name in (event, level) if name in _COUNTED)]


def _counted(lines: Iterator[bytes]) -> dict[str, int]:
    counts = dict.fromkeys(COUNTS, 0)
    for line in lines:
        try:
            event = _decode(line.decode("ascii"))
            names = _counted_as(event["event"], event["level"])
        except (ValueError, KeyError, TypeError):
            continue  # a child was killed in the middle of a line
        for name in names:
            counts[name] += 1
    return counts


def number_of(counter: itertools.count[int]) -> int:
    """The next number of a counter: it shows it, and nothing else reads it without counting."""
    return int(repr(counter)[6:-1])


def _to_stderr(line: bytes) -> None:
    try:
        sys.stderr.write(line.decode("ascii"))
    except (OSError, ValueError, AttributeError):
        pass  # there is no stderr any more; the file has the event


_decode = json.JSONDecoder().decode
