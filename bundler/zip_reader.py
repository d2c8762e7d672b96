"""A zip file that a stranger made, read strictly: its entries are located, then read one by one.

What most readers check least is checked here first: **every byte belongs to exactly one** entry or
to the directory (the picture is in `bundler.zip_records`). So nothing overlaps, nothing stands
before, between or behind, and two archives in a row are seen. Each local header says what the
central directory says, and no two names are one on a system that ignores case or normal form.

Sizes that are declared only make a refusal earlier: reading stops at the declared size whatever
follows, and ends with the checksum.

Accepted besides: zip64, data descriptors of any width, with and without a signature (bit 3: how a
CI service streams an artifact), directory entries (ignored), comments, unknown extra fields.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from typing import IO, NamedTuple, cast

from bundler.errors import DamagedRecording, HostileRecording
from bundler.limits import Budget, Limits, over
from bundler.names import check_names, shown
from bundler.zip_records import (
    DEFLATE,
    LOCAL_SIGN,
    REFUSED_FLAGS,
    STORED,
    STREAMED,
    UTF8,
    ZSTD,
    Record,
    read_at,
    read_records,
    wide_values,
)

CHUNK = 256 * 1024

_LOCAL = struct.Struct("<4s5H3L2H")
_DESCRIPTOR_SIGN = b"PK\7\x08"
_DESCRIPTORS = {12: "<3L", 16: "<4s3L", 20: "<L2Q", 24: "<4sL2Q"}
_AGREEING_FLAGS = REFUSED_FLAGS | STREAMED | UTF8
_FULL32 = 0xFFFFFFFF


class Entry(NamedTuple):
    """One regular file of an archive: where its data begins, its sizes, CRC-32 and method."""

    name: str
    offset: int
    compressed: int
    size: int
    crc: int
    method: int


def read_directory(file: IO[bytes], where: str, budget: Budget) -> dict[str, Entry]:
    """Return the files of an archive by name, every entry checked against its local header.

    Raises NotARecording where there is no zip file, DamagedRecording where it is cut,
    HostileRecording where a rule or a limit refuses it.
    """
    records, end = read_records(file, where, budget)
    check_names((record.name for record in records), where)
    _check_sizes(records, where, budget)
    return dict(_located(file, records, end, where))


def read_entry(file: IO[bytes], entry: Entry, where: str, limits: Limits) -> Iterator[bytes]:
    """Yield the unpacked bytes of an entry, at most as many as it declares.

    Raises HostileRecording where there are more, or bytes hidden behind them; DamagedRecording
    where there are fewer or their checksum is another, which only the end can tell.
    """
    what = f"{where}: entry {shown(entry.name)}"
    total, crc = 0, 0
    for chunk in _DECODERS[entry.method](_Section(file, entry), what, limits):
        total += len(chunk)
        if total > entry.size:
            raise HostileRecording(f"{what} unpacks to more than the {entry.size} bytes declared")
        crc = zlib.crc32(chunk, crc)
        yield chunk
    if total != entry.size:
        raise DamagedRecording(f"{what} unpacks to {total} bytes of {entry.size}")
    if crc != entry.crc:
        raise DamagedRecording(f"{what} has another checksum (CRC-32) than was written")


# All records together


def _check_sizes(records: list[Record], where: str, budget: Budget) -> None:
    limits = budget.limits
    unpacked, packed = 0, 0
    for record in records:
        if record.size > min(limits.ratio_free_bytes, limits.member_bytes):
            what = f"{where}: entry {shown(record.name)} declares {record.size} bytes"
            limits.check("member_bytes", record.size, what)
            limits.check_ratio(record.size, record.compressed, what)
        unpacked += record.size
        packed += record.compressed
    budget.claim_bytes(unpacked, where)
    limits.check_ratio(unpacked, packed, f"{where} declares {unpacked} bytes")


def _located(
    file: IO[bytes], records: list[Record], directory: int, where: str
) -> Iterator[tuple[str, Entry]]:
    """Yield the files among the records, each with the place of its data, in the archive's order.

    Every entry must begin where the one before ends, and the directory where the last one ends.
    """
    records.sort(key=lambda record: record.offset)
    ends = [*(record.offset for record in records), directory][1:]
    at = 0
    for record, end in zip(records, ends, strict=True):
        what = f"{where}: entry {shown(record.name)}"
        if record.offset > at:
            raise HostileRecording(f"{what} stands behind bytes that belong to no entry")
        data = _check_local(file, record, what)
        at = data + record.compressed
        if record.flags & STREAMED and at <= end:
            at += _check_descriptor(file, record, at, end - at, what)
        if at > end:
            raise HostileRecording(f"{what} overlaps what stands behind it")
        if not record.name.endswith("/"):
            sizes = (record.compressed, record.size, record.crc, record.method)
            yield record.name, Entry(record.name, data, *sizes)
    if at != directory:
        raise HostileRecording(f"{where}: bytes that belong to no entry stand before its directory")


def _check_local(file: IO[bytes], record: Record, what: str) -> int:
    """Return where the data of an entry begins, after comparing its local header."""
    name = record.name.encode("utf-8")
    raw = read_at(file, record.offset, _LOCAL.size + len(name))
    if len(raw) < _LOCAL.size or not raw.startswith(LOCAL_SIGN):
        raise DamagedRecording(f"{what} has no local header")
    # fmt: off
    (_, _, flags, method, _, _, crc, compressed, size,
     name_size, extra_size) = _LOCAL.unpack_from(raw)
    # fmt: on
    if name_size != len(name) or raw[_LOCAL.size :] != name:
        raise HostileRecording(f"{what} has another name in its local header")
    data: int = record.offset + _LOCAL.size + name_size + extra_size
    if _FULL32 in (size, compressed):
        extra = read_at(file, data - extra_size, extra_size)
        size, compressed = wide_values(extra, (size, compressed), what)
    local, central = (crc, compressed, size), (record.crc, record.compressed, record.size)
    # Whoever streams knows them only afterwards: then zero, and the descriptor holds them.
    later = (0, 0, 0) if record.flags & STREAMED else central
    agree = local == central or all(
        a in (b, c) for a, b, c in zip(local, central, later, strict=True)
    )
    if method != record.method or (flags ^ record.flags) & _AGREEING_FLAGS or not agree:
        raise HostileRecording(f"{what} contradicts its local header")
    return data


def _check_descriptor(file: IO[bytes], record: Record, at: int, size: int, what: str) -> int:
    """Return the size of the data descriptor that fills the gap up to the next entry."""
    if size not in _DESCRIPTORS:
        raise HostileRecording(f"{what} is followed by bytes that are no data descriptor")
    *sign, crc, compressed, unpacked = struct.unpack(_DESCRIPTORS[size], read_at(file, at, size))
    if sign not in ([], [_DESCRIPTOR_SIGN]):
        raise HostileRecording(f"{what} is followed by bytes that are no data descriptor")
    if (crc, compressed, unpacked) != (record.crc, record.compressed, record.size):
        raise HostileRecording(f"{what} contradicts its data descriptor")
    return size


# The data of one entry


class _Section:
    """The packed bytes of one entry, as a file that ends with them."""

    def __init__(self, file: IO[bytes], entry: Entry) -> None:
        self._file = file
        self._at = entry.offset
        self.left = entry.compressed

    def read(self, size: int = CHUNK) -> bytes:
        size = min(size, self.left)
        chunk = read_at(self._file, self._at, size) if size > 0 else b""
        self._at += len(chunk)
        self.left -= len(chunk)
        return chunk


def _stored(section: _Section, _what: str, _limits: Limits) -> Iterator[bytes]:
    return iter(section.read, b"")


def _inflated(section: _Section, what: str, _limits: Limits) -> Iterator[bytes]:
    inflating = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        while not inflating.eof and (packed := section.read()):
            while packed and not inflating.eof:
                yield inflating.decompress(packed, CHUNK)
                packed = inflating.unconsumed_tail
        yield inflating.flush()
    except zlib.error as error:
        raise DamagedRecording(f"{what} is damaged: {error}") from None
    if not inflating.eof:
        raise DamagedRecording(f"{what} is cut")
    if inflating.unused_data or section.left:
        raise HostileRecording(f"{what} hides bytes behind its data")


def _unzstd(section: _Section, what: str, limits: Limits) -> Iterator[bytes]:
    import zstandard

    decompressor = zstandard.ZstdDecompressor(max_window_size=limits.window_bytes)
    source = cast("IO[bytes]", section)
    try:
        with decompressor.stream_reader(source, read_across_frames=True) as reader:
            yield from iter(lambda: reader.read(CHUNK), b"")
    except zstandard.ZstdError as error:
        if "memory" in str(error):
            what = f"{what} asks for a zstd window"
            raise over("window_bytes", limits.window_bytes, what) from None
        if "ictionary" in str(error):
            raise HostileRecording(f"{what} asks for a zstd dictionary") from None
        raise DamagedRecording(f"{what} is damaged: {error}") from None


_DECODERS: dict[int, Callable[[_Section, str, Limits], Iterator[bytes]]] = {
    STORED: _stored,
    DEFLATE: _inflated,
    ZSTD: _unzstd,
}
