"""The directory at the end of a zip file that a stranger made: its records, each sound by itself.

Format: PKWARE APPNOTE 6.3.10 (https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT).

    ┌ local header, data, [data descriptor] ┐  one an entry, in a row from byte 0
    ├ central directory                     ┤  one record an entry; begins where the last entry ends
    ├ [zip64 end record, its locator]       ┤
    └ end record, [comment]                 ┘  ends where the file ends

Names are ASCII or UTF-8 whatever the flags say, and hold to `bundler.names.path_problem`. An entry
is a regular file or a directory, not encrypted, and stored (method 0), deflated (8) or zstd (93).
How the records stand to each other and to what they point at is up to `bundler.zip_reader`.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from stat import S_IFDIR, S_IFMT, S_IFREG
from typing import IO, NamedTuple

from bundler.errors import DamagedRecording, HostileRecording, NotARecording
from bundler.limits import Budget, Limits
from bundler.names import path_problem, shown

STORED, DEFLATE, ZSTD = 0, 8, 93
LOCAL_SIGN = b"PK\3\4"
STREAMED = 1 << 3
UTF8 = 1 << 11
REFUSED_FLAGS = 1 | 1 << 5 | 1 << 6 | 1 << 13  # encrypted, patched, strongly encrypted, masked

_CENTRAL = struct.Struct("<4s6H3L5H2L")
_END = struct.Struct("<4s4H2LH")
_END64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR = struct.Struct("<4sLQL")
_CENTRAL_SIGN, _END_SIGN = b"PK\1\2", b"PK\5\6"
_END64_SIGN, _LOCATOR_SIGN = b"PK\6\6", b"PK\6\7"
_MAX_COMMENT = 0xFFFF
_ZIP64 = 1
_FULL16, _FULL32 = 0xFFFF, 0xFFFFFFFF
_DOS_DEVICE, _WINDOWS_LINK = 0x40, 0x400
_SPLIT = "is one part of an archive that is split over several files"


class Record(NamedTuple):
    """One record of the central directory; `offset` is where its local header stands."""

    name: str
    flags: int
    method: int
    crc: int
    compressed: int
    size: int
    offset: int
    attributes: int


@dataclass(frozen=True, slots=True)
class _Directory:
    """The central directory: how many records, its extent, and where the next thing begins."""

    records: int
    size: int
    offset: int
    end: int


def looks_like_zip(head: bytes) -> bool:
    """Whether a file that begins with these four bytes may be a zip file."""
    return head[:4] in (LOCAL_SIGN, _END_SIGN)


def read_records(file: IO[bytes], where: str, budget: Budget) -> tuple[list[Record], int]:
    """Return the records of the central directory, and the offset at which it begins.

    Raises NotARecording where there is no zip file, DamagedRecording where it is cut,
    HostileRecording where a rule or a limit refuses it, before anything large is built.
    """
    limits = budget.limits
    directory = _find_directory(file, where)
    budget.claim_entries(directory.records, where)
    what = f"{where} has a directory of {directory.size} bytes"
    limits.check("directory_bytes", directory.size, what)
    if directory.offset + directory.size > directory.end:
        raise DamagedRecording(f"{where} is cut: its directory is not where its end says")
    if directory.offset + directory.size < directory.end:
        raise HostileRecording(f"{where}: bytes that belong to no entry stand before the archive")
    return list(_records(file, directory, where, limits)), directory.offset


def wide_values(extra: bytes, values: tuple[int, ...], what: str) -> list[int]:
    """Return values, those that are all ones in 32 bits read from the zip64 field of `extra`."""
    field = _zip64_field(extra, what)
    wide: list[int] = []
    for value in values:
        if value == _FULL32:
            if len(field) < 8:
                raise DamagedRecording(f"{what} lacks its zip64 sizes")
            value, field = int.from_bytes(field[:8], "little"), field[8:]
        wide.append(value)
    return wide


def read_at(file: IO[bytes], offset: int, size: int) -> bytes:
    """Return the bytes of a file from an offset, fewer where it ends."""
    file.seek(offset)
    return file.read(size)


# The end of the file, read backwards


def _find_directory(file: IO[bytes], where: str) -> _Directory:
    file.seek(0, os.SEEK_END)
    size = file.tell()
    start = max(0, size - _END.size - _MAX_COMMENT)
    tail = read_at(file, start, size - start)
    at = tail.rfind(_END_SIGN)
    if at < 0 or len(tail) - at < _END.size:
        raise _no_end(file, where)
    _, *fields, comment = _END.unpack_from(tail, at)
    behind = len(tail) - at - _END.size - comment
    if behind < 0:
        raise DamagedRecording(f"{where} is cut inside its last record")
    if behind > 0:
        raise HostileRecording(f"{where}: {behind} bytes stand behind the archive")
    position = start + at
    locator = read_at(file, max(0, position - _LOCATOR.size), _LOCATOR.size)
    if locator.startswith(_LOCATOR_SIGN):
        return _find_directory64(file, locator, position - _LOCATOR.size, fields, where)
    disk, first_disk, here, records, length, offset = fields
    if disk or first_disk or here != records:
        raise HostileRecording(f"{where} {_SPLIT}")
    return _Directory(records, length, offset, position)


def _find_directory64(
    file: IO[bytes], locator: bytes, position: int, plain: list[int], where: str
) -> _Directory:
    """Read the zip64 end record, of which the plain one (`plain`) may say less, not otherwise."""
    _, record_disk, at, disks = _LOCATOR.unpack(locator)
    raw = read_at(file, at, _END64.size) if at < position else b""
    if len(raw) < _END64.size or not raw.startswith(_END64_SIGN):
        raise DamagedRecording(f"{where}: the zip64 end record is not where its locator says")
    _, length, _, _, *fields = _END64.unpack(raw)
    if at + 12 + length != position:
        raise HostileRecording(f"{where}: bytes that belong to no entry stand in its end records")
    disk, first_disk, here, records, size, offset = fields
    if record_disk or disks > 1 or disk or first_disk or here != records:
        raise HostileRecording(f"{where} {_SPLIT}")
    full = (_FULL16, _FULL16, _FULL16, _FULL16, _FULL32, _FULL32)
    if any(p not in (f, wide) for p, f, wide in zip(plain, full, fields, strict=True)):
        raise HostileRecording(f"{where}: its two end records contradict each other")
    return _Directory(records, size, offset, at)


def _no_end(file: IO[bytes], where: str) -> NotARecording | DamagedRecording:
    if looks_like_zip(read_at(file, 0, 4)):
        return DamagedRecording(f"{where} is a zip file that is cut: its directory is missing")
    return NotARecording(f"{where} is not a zip file")


# The central directory


def _records(
    file: IO[bytes], directory: _Directory, where: str, limits: Limits
) -> Iterator[Record]:
    raw = read_at(file, directory.offset, directory.size)
    at = 0
    for _ in range(directory.records):
        record, at = _record_at(raw, at, where, limits)
        if problem := _problem(record):
            raise HostileRecording(f"{where}: entry {shown(record.name)} {problem}")
        yield record
    if at != len(raw):
        raise HostileRecording(f"{where}: its directory holds more than the records it counts")


def _record_at(raw: bytes, at: int, where: str, limits: Limits) -> tuple[Record, int]:
    begin = at + _CENTRAL.size
    if begin > len(raw):
        raise DamagedRecording(f"{where}: its directory has fewer records than it counts")
    # fmt: off
    (sign, _, _, flags, method, _, _, crc, compressed, size, name_size,
     extra_size, comment_size, disk, _, attributes, offset) = _CENTRAL.unpack_from(raw, at)
    # fmt: on
    end = begin + name_size + extra_size + comment_size
    if sign != _CENTRAL_SIGN or end > len(raw):
        raise DamagedRecording(f"{where}: its directory is broken at byte {at}")
    name = _name(raw[begin : begin + name_size], where, limits)
    if _FULL32 in (compressed, size, offset) or disk:
        what = f"{where}: entry {shown(name)}"
        if disk not in (0, _FULL16):
            raise HostileRecording(f"{what} stands in another file of a split archive")
        extra = raw[begin + name_size : begin + name_size + extra_size]
        size, compressed, offset = wide_values(extra, (size, compressed, offset), what)
    return Record(name, flags, method, crc, compressed, size, offset, attributes), end


def _name(raw: bytes, where: str, limits: Limits) -> str:
    if len(raw) > limits.name_bytes:
        what = f"{where}: an entry has a name of {len(raw)} bytes"
        limits.check("name_bytes", len(raw), what)
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        message = f"{where}: entry {raw[:100]!r} has a name that is not UTF-8"
        raise HostileRecording(message) from None


def _problem(record: Record) -> str:
    """Return the rule that an entry breaks by itself, or ""."""
    is_directory = record.name.endswith("/")
    kind = S_IFMT(record.attributes >> 16)
    if problem := path_problem(record.name[:-1] if is_directory else record.name):
        return problem
    if record.flags & REFUSED_FLAGS:
        return "is encrypted or patched"
    if record.method not in (STORED, DEFLATE, ZSTD):
        return f"is packed by method {record.method}, not stored, deflated or zstd"
    if kind not in (0, S_IFDIR if is_directory else S_IFREG):
        return "is a link, a device or another special file"
    if record.attributes & (_DOS_DEVICE | _WINDOWS_LINK):
        return "is a link or a device of Windows"
    if record.method == STORED and record.size != record.compressed:
        return "is stored, and declares two different sizes"
    if is_directory and record.size:
        return "is a directory that holds bytes"
    return ""


def _zip64_field(extra: bytes, what: str) -> bytes:
    found: list[bytes] = []
    at = 0
    while at + 4 <= len(extra):
        kind, size = struct.unpack_from("<2H", extra, at)
        at += 4 + size
        if kind == _ZIP64:
            found.append(extra[at - size : at])
    if len(found) > 1 or (found and at > len(extra)):
        raise HostileRecording(f"{what} has a zip64 field that can be read in two ways")
    return found[0] if found else b""
