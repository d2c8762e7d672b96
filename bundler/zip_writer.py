"""A zip file written so that the same members always give the same bytes.

What usually differs is fixed: `manifest.json` first and the other names sorted, 1980-01-01 as the
time of every entry, regular files with mode 0644 made on Unix, one deflate level, no extra fields
but zip64 where a number needs it, and every size known before an entry is written (so no data
descriptors, and a pipe gets the same bytes as a file). What is packed already is stored. Only
another zlib may deflate to other bytes.
"""

from __future__ import annotations

import os
import struct
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

from bundler.directory_reader import open_regular
from bundler.errors import DamagedRecording, HostileRecording
from bundler.limits import Limits
from bundler.names import check_names, path_problem, shown

FIRST = "manifest.json"
PACKED_ENDINGS = (".zst", ".zip", ".gz", ".png", ".jpg", ".webp", ".xz", ".bz2", ".lz4", ".trace")
LEVEL = 6

_CHUNK = 256 * 1024
_IN_MEMORY = 8 << 20
_STORED, _DEFLATE = 0, 8
_FULL16, _FULL32 = 0xFFFF, 0xFFFFFFFF
_WIDE = _FULL32
_VERSION, _VERSION64, _UNIX = 20, 45, 3 << 8
_UTF8 = 1 << 11
_DATE = 1 << 5 | 1
_MODE = 0o100644 << 16
_HERE = "the archive to write"


class Target(Protocol):
    """Where an archive goes: a binary file, or what takes bytes as one does."""

    def write(self, content: bytes, /) -> int:
        """Take all of it and return how much that is. Raises OSError."""
        ...


Content = bytes | Path | Callable[[], IO[bytes]]
"""The bytes of a member, the file that holds them, or what opens a stream of them."""


@dataclass(frozen=True, slots=True)
class _Header:
    """What both headers of an entry say."""

    name: bytes
    method: int
    crc: int
    packed: int
    size: int
    offset: int


def write_zip(members: Iterable[tuple[str, Content]], target: Target) -> None:
    """Write members, each a name and where its bytes are, as one zip file.

    What is opened may be opened twice: sizes come first. `target` need not be seekable. Raises
    HostileRecording where the gate would refuse a name or two names together, or a path is no
    regular file; DamagedRecording where a file changes while it is packed; OSError as the target
    does.
    """
    offset = 0
    headers: list[_Header] = []
    for name, content in _ordered(members):
        with _packed(name, content, offset) as (header, chunks):
            offset += target.write(_local_header(header))
            for chunk in chunks:
                offset += target.write(chunk)
        headers.append(header)
    size = sum(target.write(_central_record(header)) for header in headers)
    target.write(_end(len(headers), size, offset))


def _ordered(members: Iterable[tuple[str, Content]]) -> list[tuple[str, Content]]:
    ordered = sorted(members, key=lambda member: (member[0] != FIRST, member[0]))
    for name, _ in ordered:
        if problem := path_problem(name):
            raise HostileRecording(f"{_HERE}: entry {shown(name)} {problem}")
        Limits().check("name_bytes", len(name.encode()), f"{_HERE}: entry {shown(name)}")
    check_names((name for name, _ in ordered), _HERE)
    return ordered


# One entry


@contextmanager
def _packed(name: str, content: Content, offset: int) -> Iterator[tuple[_Header, Iterable[bytes]]]:
    """Give the header of an entry and the chunks of its packed data."""
    method = _STORED if name.endswith(PACKED_ENDINGS) else _DEFLATE
    encoded = name.encode("utf-8")
    if isinstance(content, bytes):
        data = content if method == _STORED else b"".join(_deflated([content]))
        yield _Header(encoded, method, zlib.crc32(content), len(data), len(content), offset), [data]
    elif method == _STORED:
        with _opened(name, content) as file:
            crc, size = _checksum(_chunks(file))
        with _opened(name, content) as file:
            yield _Header(encoded, method, crc, size, size, offset), _same(name, file, crc, size)
    else:
        spool = tempfile.SpooledTemporaryFile
        with _opened(name, content) as file, spool(_IN_MEMORY) as packed:
            counter = _Counter()
            for chunk in _deflated(counter.counting(_chunks(file))):
                packed.write(chunk)
            length = packed.tell()
            packed.seek(0)
            header = _Header(encoded, method, counter.crc, length, counter.size, offset)
            yield header, _chunks(packed)


class _Counter:
    """Checksum and size of the chunks that went by."""

    def __init__(self) -> None:
        self.crc = 0
        self.size = 0

    def counting(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            self.crc = zlib.crc32(chunk, self.crc)
            self.size += len(chunk)
            yield chunk


@contextmanager
def _opened(name: str, content: Path | Callable[[], IO[bytes]]) -> Iterator[IO[bytes]]:
    if callable(content):
        with content() as file:
            yield file
        return
    with os.fdopen(open_regular(content, f"member {shown(name)}"), "rb", buffering=0) as file:
        yield file


def _same(name: str, file: IO[bytes], crc: int, size: int) -> Iterator[bytes]:
    """Yield as many bytes as were counted, and make sure that they are those."""
    counter = _Counter()
    while counter.size < size and (chunk := file.read(min(_CHUNK, size - counter.size))):
        yield from counter.counting([chunk])
    if (counter.crc, counter.size) != (crc, size):
        raise DamagedRecording(f"member {shown(name)} changed while it was packed")


def _checksum(chunks: Iterable[bytes]) -> tuple[int, int]:
    counter = _Counter()
    for _ in counter.counting(chunks):
        pass
    return counter.crc, counter.size


def _deflated(chunks: Iterable[bytes]) -> Iterator[bytes]:
    deflating = zlib.compressobj(LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
    for chunk in chunks:
        yield deflating.compress(chunk)
    yield deflating.flush()


def _chunks(file: IO[bytes]) -> Iterator[bytes]:
    return iter(lambda: file.read(_CHUNK), b"")


# The headers (PKWARE APPNOTE 6.3.10, 4.3.7, 4.3.12 to 4.3.16)


def _local_header(header: _Header) -> bytes:
    wide = header.packed >= _WIDE or header.size >= _WIDE
    sizes = (_FULL32, _FULL32) if wide else (header.packed, header.size)
    extra = struct.pack("<2H2Q", 1, 16, header.size, header.packed) if wide else b""
    fixed = struct.pack(
        "<4s5H3L2H",
        b"PK\3\4",
        _VERSION64 if wide else _VERSION,
        _flags(header),
        header.method,
        0,
        _DATE,
        header.crc,
        *sizes,
        len(header.name),
        len(extra),
    )
    return fixed + header.name + extra


def _central_record(header: _Header) -> bytes:
    numbers = (header.size, header.packed, header.offset)
    wide = [number for number in numbers if number >= _WIDE]
    extra = struct.pack(f"<2H{len(wide)}Q", 1, 8 * len(wide), *wide) if wide else b""
    size, packed, offset = (_FULL32 if number >= _WIDE else number for number in numbers)
    version = _VERSION64 if wide else _VERSION
    fixed = struct.pack(
        "<4s6H3L5H2L",
        b"PK\1\2",
        _UNIX | version,
        version,
        _flags(header),
        header.method,
        0,
        _DATE,
        header.crc,
        packed,
        size,
        len(header.name),
        len(extra),
        0,
        0,
        0,
        _MODE,
        offset,
    )
    return fixed + header.name + extra


def _end(records: int, size: int, offset: int) -> bytes:
    wide = b""
    if records >= _FULL16 or size >= _WIDE or offset >= _WIDE:
        made = _UNIX | _VERSION64
        numbers = (records, records, size, offset)
        wide = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, made, _VERSION64, 0, 0, *numbers)
        wide += struct.pack("<4sLQL", b"PK\6\7", 0, offset + size, 1)
    count = min(records, _FULL16)
    plain = (0, 0, count, count, min(size, _FULL32), min(offset, _FULL32), 0)
    return wide + struct.pack("<4s4H2LH", b"PK\5\6", *plain)


def _flags(header: _Header) -> int:
    return 0 if header.name.isascii() else _UTF8
