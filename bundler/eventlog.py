"""A log of events as bytes: plain while it is live, independent zstd frames once sealed.

A sealed log is a row of zstd frames, each holding whole lines of about 64 KiB, so the events of one
test are reached without decoding the rest: the manifest lists each frame's compressed and raw size.
The frames in a row are an ordinary `.zst` file: `zstdcat events.ndjson.zst` prints the log.

An offset is a byte position in the raw (decompressed) log; it is the same before and after sealing.
"""

from __future__ import annotations

import bisect
import contextlib
import io
import itertools
import tempfile
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import IO, Protocol, cast

from bundler.errors import DamagedRecording, HostileRecording
from bundler.events import MAX_LINE_BYTES
from bundler.holding import packed_size
from bundler.limits import check_lines, in_force, over

NAME = "events.ndjson.zst"
FRAME_BYTES = 64 * 1024
LEVEL = 3
MAX_WINDOW_BYTES = 8 << 20
_IN_MEMORY = 8 << 20
_READ_BYTES = 256 * 1024
_LINES_AT_ONCE = 50_000


@dataclass(frozen=True, slots=True)
class Line:
    """One line: where it begins, its bytes without the newline, and what is wrong with it.

    `problem` is empty for a whole line; `torn` for a last one without its end; `too long` for one
    over the limit, whose bytes are not kept.
    """

    offset: int
    content: bytes
    problem: str = ""


class EventLog(Protocol):
    """What every log can do; `lines` may be called again and starts anew."""

    @property
    def packed(self) -> int:
        """How many bytes it has packed, about: what it may cost is measured by these."""
        ...

    def lines(self) -> Iterator[Line]:
        """Yield every line in order."""
        ...

    def line_at(self, offset: int) -> bytes:
        """Return the line that begins at an offset."""
        ...


class PlainLog:
    """A log that is not compressed: bytes, or something that opens it anew each time.

    A live log may grow between two readings. `packed` is how many bytes it had where it came from.
    """

    def __init__(
        self, source: bytes | Callable[[], IO[bytes]], *, packed: int | None = None
    ) -> None:
        self._open = source if callable(source) else lambda: io.BytesIO(source)
        self._file: IO[bytes] | None = None
        self._packed = packed

    @property
    def packed(self) -> int:
        """As many bytes as it came in, or a part of those it has now."""
        if self._packed is not None:
            return self._packed
        with self._open() as file:
            return packed_size(file.seek(0, io.SEEK_END))

    def lines(self) -> Iterator[Line]:
        """Yield every line that is there now."""
        with self._open() as file:
            yield from split_lines(iter(lambda: file.read(_READ_BYTES), b""))

    def line_at(self, offset: int) -> bytes:
        """Return the line that begins at an offset."""
        if self._file is None:
            self._file = self._open()
            weakref.finalize(self, self._file.close)
        self._file.seek(offset)
        return self._file.readline(MAX_LINE_BYTES + 1).rstrip(b"\n")


class FramedLog:
    """A sealed log, its compressed bytes in memory, its raw bytes decoded a frame at a time.

    `packed` is how many bytes it takes where it came from, if that is an archive.
    """

    def __init__(
        self,
        compressed: bytes,
        frames: Sequence[tuple[int, int]] = (),
        *,
        packed: int | None = None,
    ) -> None:
        self.packed = len(compressed) if packed is None else min(packed, len(compressed))
        self._compressed = compressed
        self._frames = list(frames) if self._agree(frames) else []
        self._starts = list(itertools.accumulate((raw for _, raw in self._frames), initial=0))
        self._positions = list(itertools.accumulate((size for size, _ in self._frames), initial=0))
        self._cached: tuple[int, bytes] = (-1, b"")
        self._unpacked: PlainLog | None = None

    def lines(self) -> Iterator[Line]:
        """Yield every line; a frame that cannot be decoded is one line with that problem.

        Raises HostileRecording where so few bytes may not hold so many or so much.
        """
        lines = self._lines_by_frame() if self._frames else self._lines_in_a_row()
        return bounded_lines(lines, len(self._compressed), NAME)

    def line_at(self, offset: int) -> bytes:
        """Return the line that begins at an offset, empty where its frame is damaged."""
        index = bisect.bisect_right(self._starts, offset) - 1
        if not self._frames:
            return self._unpacked_once().line_at(offset)
        if not 0 <= index < len(self._frames):
            return b""
        if self._cached[0] != index:
            self._cached = (index, self._frame(index))
        raw = self._cached[1]
        begin = offset - self._starts[index]
        end = raw.find(b"\n", begin)
        return raw[begin : end if end >= 0 else len(raw)]

    def _lines_by_frame(self) -> Iterator[Line]:
        for index, start in enumerate(self._starts[:-1]):
            content = self._frame(index)
            if not content:
                yield Line(start, b"", "in a damaged frame")
            yield from split_lines([content], offset=start)

    def _lines_in_a_row(self) -> Iterator[Line]:
        """Without a table that can be trusted: from the start, until something is wrong."""
        end = 0
        try:
            for line in split_lines(self._chunks()):
                end = line.offset + len(line.content) + 1
                yield line
        except DamagedRecording:
            yield Line(end, b"", "in a damaged frame")

    def _chunks(self) -> Iterator[bytes]:
        return unpacked_log(io.BytesIO(self._compressed), len(self._compressed), NAME)

    def _unpacked_once(self) -> PlainLog:
        """The raw bytes in a temporary file: to begin anew for each line would take its square."""
        if self._unpacked is None:
            file = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115 - kept open
            weakref.finalize(self, file.close)
            with contextlib.suppress(DamagedRecording):
                for chunk in self._chunks():
                    file.write(chunk)
            self._unpacked = PlainLog(lambda: cast(IO[bytes], file))
        return self._unpacked

    def _agree(self, frames: Sequence[tuple[int, int]]) -> bool:
        """Whether a manifest's table can be true: it is a stranger's data, and only a short cut."""
        sane = all(size > 0 and 0 < raw <= 2 * MAX_LINE_BYTES for size, raw in frames)
        if not sane or sum(size for size, _ in frames) != len(self._compressed):
            return False
        _check_bytes(sum(raw for _, raw in frames), len(self._compressed), NAME)
        return True

    def _frame(self, index: int) -> bytes:
        """The raw bytes of a frame, empty where they are not what the table says."""
        begin, raw = self._positions[index], self._starts[index + 1] - self._starts[index]
        part = self._compressed[begin : begin + self._frames[index][0]]
        try:
            content = b"".join(decompressed(io.BytesIO(part), limit=raw))
        except DamagedRecording:
            return b""
        return content if len(content) == raw else b""


class Excerpt:
    """Some lines of a log, by their offsets: what one test did."""

    def __init__(self, log: EventLog, offsets: Sequence[int]) -> None:
        self._log = log
        self._offsets = offsets

    @property
    def packed(self) -> int:
        """How many bytes the whole log has packed."""
        return self._log.packed

    def lines(self) -> Iterator[Line]:
        """Yield these lines."""
        for offset in self._offsets:
            yield Line(offset, self._log.line_at(offset))

    def line_at(self, offset: int) -> bytes:
        """Return the line that begins at an offset."""
        return self._log.line_at(offset)


def unpacked_log(source: IO[bytes], packed: int, what: str) -> Iterator[bytes]:
    """Yield the raw bytes of a log that has so many bytes packed.

    Raises DamagedRecording, and HostileRecording where so few bytes may not unpack to so many.
    """
    total = 0
    for chunk in decompressed(source, limit=1 << 62, what=what):
        total += len(chunk)
        _check_bytes(total, packed, what)
        yield chunk


def _check_bytes(total: int, packed: int, what: str) -> None:
    limits = in_force()
    if total > limits.log_bytes + limits.log_ratio * packed:
        unpacks = f"{what}: {packed} bytes unpack to {total} or more"
        raise over("log_ratio", limits.log_ratio, unpacks, needed=total // max(packed, 1) + 1)


def bounded_lines(lines: Iterator[Line], packed: int, what: str) -> Iterator[Line]:
    """Yield lines as they come. Raises HostileRecording at more than so few bytes may hold."""
    for number, line in enumerate(lines, 1):
        if not number % _LINES_AT_ONCE:
            check_lines(number, line.offset, packed, what)
        yield line


def decompressed(source: IO[bytes], *, limit: int, what: str = NAME) -> Iterator[bytes]:
    """Yield the raw bytes of zstd frames in a row, at most `limit` of them.

    Raises HostileRecording past the limit or at a window over 8 MiB, DamagedRecording at bytes that
    are no zstd. A cut frame just ends (the library does not tell): the log's own end proves it.
    """
    import zstandard

    total = 0
    decompressor = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW_BYTES)
    try:
        with decompressor.stream_reader(source, read_across_frames=True) as reader:
            while chunk := reader.read(_READ_BYTES):
                total += len(chunk)
                if total > limit:
                    raise HostileRecording(f"{what} unpacks to more than {limit} bytes")
                yield chunk
    except zstandard.ZstdError as error:
        if "memory" in str(error):
            message = f"{what} asks for a window over {MAX_WINDOW_BYTES} bytes"
            raise HostileRecording(message) from None
        raise DamagedRecording(f"{what} is damaged: {error}") from None


def split_lines(
    chunks: Iterable[bytes], *, limit: int = MAX_LINE_BYTES, offset: int = 0
) -> Iterator[Line]:
    """Split bytes on `\\n` alone, keeping at most `limit` bytes of a line in memory.

    `offset` is where the first chunk begins in the raw log. Raises HostileRecording where the lines
    are so many and so short that nobody can have meant them.
    """
    rest, dropped = b"", 0  # of the line that begins at `offset`: what is kept, what is not
    lines, begin = 0, offset
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        lines += len(whole)
        check_lines(lines, offset - begin + len(chunk), None, "the log")
        for content in whole:
            length = dropped + len(content)
            yield Line(offset, content) if length < limit else Line(offset, b"", "too long")
            offset, dropped = offset + length + 1, 0
        if dropped or len(rest) >= limit:
            dropped, rest = dropped + len(rest), b""
    if dropped:
        yield Line(offset, b"", "too long")
    elif rest:
        yield Line(offset, rest, "torn")


def seal_frames(lines: Iterable[bytes], target: IO[bytes]) -> list[tuple[int, int]]:
    """Write whole raw lines (each with its newline) as frames; return the sizes of each frame."""
    import zstandard

    compressor = zstandard.ZstdCompressor(level=LEVEL, write_content_size=True, write_checksum=True)
    frames: list[tuple[int, int]] = []
    pending: list[bytes] = []
    size = 0

    def flush() -> None:
        frame = compressor.compress(b"".join(pending))
        frames.append((target.write(frame), size))

    for line in lines:
        if pending and size + len(line) > FRAME_BYTES:
            flush()
            pending, size = [], 0
        pending.append(line)
        size += len(line)
    if pending:
        flush()
    return frames
