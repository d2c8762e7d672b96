"""Read `.trace` files: what a deterministic scheduler decided, one small event after another.

The format is asupersync's (`src/trace/file.rs`), versions 1 to 3; `bundler.formats.trace_frames`
has its layout, `bundler.formats.trace_events` its events.

A writer that is killed leaves a count of 0 and a digest of zeros, and a count may lie. So the count
is not trusted: where it is 0, or the digest does not agree with the counted events, reading goes on
to the end of the file. A damaged trace gives every event before the damage, and says where and why
it ends. Everything is read as a stream, twice: once to learn how it ends, once to give the events.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from bundler.errors import DamagedRecording, NotARecording, TooNewRecording
from bundler.formats.trace_events import TraceEvent, decode_event
from bundler.formats.trace_frames import COMPRESSED, MAGIC, Cut, Frames, Header, Input

__all__ = ["Digests", "End", "Trace", "TraceEvent", "read_trace", "recognises"]

_NEVER_WRITTEN = bytes(32)


@dataclass(frozen=True, slots=True)
class Digests:
    """What became of the two digests of a trace: `ok`, `wrong`, `absent` or `unchecked`.

    Absent: versions 1 and 2 have none, and a killed writer never wrote that of the events.
    Unchecked: it is over all events, and they are not all there.
    """

    metadata: str
    events: str


@dataclass(frozen=True, slots=True)
class End:
    """Where the last readable event ends, as a byte in the file, and why nothing follows it.

    `why` is empty where the trace ends as it should. `trailing_bytes` come after that offset. In a
    compressed trace the offset is that of the event's chunk.
    """

    offset: int
    why: str = ""
    trailing_bytes: int = 0


@dataclass(frozen=True)
class Trace:
    """A trace: what its header says, how many of its events are readable, and where it ends.

    `recorded_at` is in nanoseconds since 1970. `declared_events` is what the header says, None
    where the file was cut before it; `event_count` is how many events are readable.
    """

    version: int
    flags: int
    seed: int
    recorded_at: int
    config_hash: int
    description: str | None
    declared_events: int | None
    event_count: int
    digests: Digests
    end: End
    _open: Callable[[], IO[bytes]] = field(repr=False, compare=False)

    @property
    def compressed(self) -> bool:
        """Whether its events are in LZ4 blocks."""
        return bool(self.flags & COMPRESSED)

    @property
    def whole(self) -> bool:
        """Whether nothing is wrong with it: it ends as it should, and no digest disagrees."""
        return not self.end.why and "wrong" not in (self.digests.metadata, self.digests.events)

    def events(self) -> Iterator[TraceEvent]:
        """Yield the readable events in order; each call reads the file anew."""
        if not self.event_count:
            return
        with self._open() as file:
            frames = Frames(Input(file))
            frames.header()
            for number, (_, content) in enumerate(frames, start=1):
                yield decode_event(content)
                if number == self.event_count:
                    return


def recognises(head: bytes) -> bool:
    """Whether a file that begins with these bytes is a trace."""
    return head.startswith(MAGIC)


def read_trace(source: bytes | Path | Callable[[], IO[bytes]], *, where: str = "") -> Trace:
    """Read a trace: its bytes, its path, or something that opens it anew each time.

    `where` is what a person calls it. Raises NotARecording where it is no trace, TooNewRecording at
    a later version, DamagedRecording where nothing behind the magic can be told for sure: its flags
    contradict each other, or its metadata cannot be read. Whatever is wrong after the metadata
    stands in `Trace.end` and `Trace.digests`.
    """
    where = where or (str(source) if isinstance(source, Path) else "the trace")
    opener = _opener(source)
    try:
        with opener() as file:
            return _read(Frames(Input(file)), opener)
    except Cut as cut:
        raise DamagedRecording(f"{where}: {cut.why} (at byte {cut.offset})", hint="") from None
    except (NotARecording, TooNewRecording) as error:
        raise type(error)(f"{where} {error.message}", hint=error.hint) from None
    except OSError as error:
        raise NotARecording(f"{where} cannot be read: {error.strerror}") from None


def _opener(source: bytes | Path | Callable[[], IO[bytes]]) -> Callable[[], IO[bytes]]:
    if isinstance(source, bytes):
        return lambda: io.BytesIO(source)
    if isinstance(source, Path):
        return lambda: source.open("rb")
    return source


def _read(frames: Frames, opener: Callable[[], IO[bytes]]) -> Trace:
    header = frames.header()
    count, digest, end = _scan(frames, header)
    return Trace(
        version=header.version,
        flags=header.flags,
        seed=header.metadata.seed,
        recorded_at=header.metadata.recorded_at,
        config_hash=header.metadata.config_hash,
        description=header.metadata.description,
        declared_events=header.declared,
        event_count=count,
        digests=Digests(header.metadata_digest, digest),
        end=end,
        _open=opener,
    )


def _scan(frames: Frames, header: Header) -> tuple[int, str, End]:
    """Read through all events: how many there are, what became of their digest, where they end."""
    if header.cut is not None:
        return 0, "absent", _end(frames, header.cut.offset, header.cut.why)
    declared, expected = header.declared or 0, header.events_digest
    count, position, at_declared, damage = 0, frames.input.offset, -1, ""
    try:
        if not declared and expected == frames.digest.digest():
            return 0, "ok", _end(frames, position)
        for position, _ in frames:
            count += 1
            if count == declared:
                if not expected or expected == frames.digest.digest():
                    return count, "ok" if expected else "absent", _end(frames, position)
                at_declared = position
    except Cut as cut:
        damage = f"{cut.why} (at byte {cut.offset})"
    agrees = expected == frames.digest.digest()
    if count > declared > 0 and not agrees:
        # Neither the count nor the digest knows of what follows the counted events.
        return declared, "wrong", _end(frames, at_declared)
    why = _why(count, declared, damage, unfinished=_is_unfinished(count, header))
    return count, _verdict(count, header, agrees=agrees), _end(frames, position, why)


def _end(frames: Frames, offset: int, why: str = "") -> End:
    frames.input.skip_to_end()
    return End(offset, why, frames.input.offset - offset)


def _is_unfinished(count: int, header: Header) -> bool:
    """Whether its writer was killed: it writes the count and the digest last."""
    if header.declared:
        return False
    return header.events_digest == _NEVER_WRITTEN or (not header.events_digest and count > 0)


def _verdict(count: int, header: Header, *, agrees: bool) -> str:
    if agrees:
        return "ok"
    if header.events_digest in (b"", _NEVER_WRITTEN):
        return "absent"
    return "unchecked" if count < (header.declared or 0) else "wrong"


def _why(count: int, declared: int, damage: str, *, unfinished: bool) -> str:
    if unfinished:
        return "; ".join(filter(None, ("its writer never finished it", damage)))
    if count == declared:
        return ""
    return damage or f"its header counts {declared} events, and there are {count}"
