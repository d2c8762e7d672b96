"""Log events as NDJSON lines, schema v1, and read them back.

One event is one JSON object on one line, ASCII, at most 1 MiB (`bundler.events` has the schema):

    {"v":1,"ts_us":1204,"level":"INFO","category":"task","event":"TaskSpawn","test_id":"drain",
     "seed":7,"seed_hex":"0000000000000007","subsystem":"scheduler","thread_id":41,
     "message":"spawned","data":{"task_id":3}}
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from bundler.probe.writer.event_line import MAX_LINE_BYTES, head_of, line_of
from bundler.probe.writer.event_log import LEVELS, RANKS, EventLog, parse_level
from bundler.seeds import exact_seed
from bundler.testing.context import TestContext
from bundler.testing.json_documents import is_u64
from bundler.testing.summary import EventStats

VERSION = 1


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
        document["seed"] = exact_seed(document.get("seed"), document.get("seed_hex"))
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


class NdjsonLogger(EventLog):
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
        super().__init__(context, path=path, level=level, stream=stream, started_ns=started_ns)
        self.path = path

    def stats(self) -> EventStats:
        """Return how many events were logged; errors and warnings go by the level."""
        return EventStats(**self.counts())

    def events(self) -> Iterator[NdjsonEvent]:
        """Yield what was logged so far; whoever else writes to the same file is in it too."""
        if self.path is not None:
            return read_events(self.path)
        return map(NdjsonEvent.from_line, list(self._kept))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


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
    rank = RANKS[parse_level(level)] if level is not None else len(LEVELS)
    for number, line in enumerate(_lines(source), start=1):
        try:
            found = _event_of(line)
        except ValueError as error:
            if problems is not None:
                problems.append(f"line {number} is no event: {error}")
            continue
        if (
            found is not None
            and RANKS.get(found.level, 0) <= rank
            and category in (None, found.category)
            and event in (None, found.event)
        ):
            yield found


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
