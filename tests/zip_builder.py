"""Zip files made byte by byte, so that a test can write down any lie it wants to see refused."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, field
from typing import Any

import zstandard

STORED, DEFLATE, ZSTD = 0, 8, 93
STREAMED, UTF8 = 1 << 3, 1 << 11
FULL = 0xFFFFFFFF


@dataclass
class Made:
    """One entry. What is None is filled in honestly; anything else is written as it stands.

    `local` replaces fields of the local header alone, `central` those of the directory's record:
    `name flags method crc packed size offset extra disk attributes comment`.
    """

    name: bytes | str
    content: bytes = b"content"
    method: int = STORED
    flags: int = 0
    packed: bytes | None = None
    attributes: int = 0o100644 << 16
    descriptor: bytes = b""
    before: bytes = b""
    local: dict[str, Any] = field(default_factory=dict)
    central: dict[str, Any] = field(default_factory=dict)

    def fields(self, offset: int) -> dict[str, Any]:
        """Return what both headers say by default."""
        return {
            "name": self.name.encode() if isinstance(self.name, str) else self.name,
            "flags": self.flags,
            "method": self.method,
            "crc": zlib.crc32(self.content),
            "packed": len(self.data),
            "size": len(self.content),
            "offset": offset,
            "extra": b"",
            "disk": 0,
            "attributes": self.attributes,
            "comment": b"",
        }

    @property
    def data(self) -> bytes:
        """The packed bytes."""
        return pack(self.content, self.method) if self.packed is None else self.packed


def pack(content: bytes, method: int) -> bytes:
    """Pack bytes by a method of the format."""
    if method == DEFLATE:
        return deflate(content)
    return zstandard.ZstdCompressor().compress(content) if method == ZSTD else content


def deflate(content: bytes) -> bytes:
    """Deflate bytes without a header."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(content) + packer.flush()


def build(
    *entries: Made,
    head: bytes = b"",
    before_directory: bytes = b"",
    tail: bytes = b"",
    comment: bytes = b"",
    zip64: bytes | None = None,
    **end: int,
) -> bytes:
    """Return a zip file; `end` replaces numbers of the end record: `disk records size offset`.

    `zip64` as bytes, even none, adds the zip64 end record, with those bytes as its extensible data.
    """
    body, directory = bytearray(head), bytearray()
    for entry in entries:
        body += entry.before
        fields = entry.fields(len(body))
        body += local_header(fields | entry.local) + entry.data + entry.descriptor
        directory += central_record(fields | entry.central)
    body += before_directory
    numbers = {"disk": 0, "records": len(entries), "size": len(directory), "offset": len(body)}
    body += directory
    if zip64 is not None:
        body += end64(zip64, len(body), **numbers)
        numbers |= {"records": 0xFFFF, "size": FULL, "offset": FULL}
    numbers |= end
    return bytes(body) + end_record(comment=comment, **numbers) + tail


def local_header(fields: dict[str, Any]) -> bytes:
    """Return a local header."""
    name, extra = fields["name"], fields["extra"]
    assert isinstance(name, bytes) and isinstance(extra, bytes)
    numbers = [fields[key] for key in ("crc", "packed", "size")]
    head = struct.pack("<4s5H", b"PK\3\4", 20, fields["flags"], fields["method"], 0, 33)
    return head + struct.pack("<3L2H", *numbers, len(name), len(extra)) + name + extra


def central_record(fields: dict[str, Any]) -> bytes:
    """Return a record of the central directory."""
    name, extra, comment = fields["name"], fields["extra"], fields["comment"]
    assert isinstance(name, bytes) and isinstance(extra, bytes) and isinstance(comment, bytes)
    head = struct.pack(
        "<4s6H", b"PK\1\2", 3 << 8 | 20, 20, fields["flags"], fields["method"], 0, 33
    )
    head += struct.pack("<3L", *[fields[key] for key in ("crc", "packed", "size")])
    head += struct.pack("<5H", len(name), len(extra), len(comment), fields["disk"], 0)
    return (
        head + struct.pack("<2L", fields["attributes"], fields["offset"]) + name + extra + comment
    )


def end_record(*, disk: int, records: int, size: int, offset: int, comment: bytes = b"") -> bytes:
    """Return the end record."""
    numbers = (disk, 0, records, records, size, offset, len(comment))
    return struct.pack("<4s4H2LH", b"PK\5\6", *numbers) + comment


def end64(data: bytes, at: int, *, disk: int, records: int, size: int, offset: int) -> bytes:
    """Return the zip64 end record and its locator."""
    numbers = (44 + len(data), 45, 45, disk, 0, records, records, size, offset)
    record = struct.pack("<4sQ2H2L4Q", b"PK\6\6", *numbers) + data
    return record + struct.pack("<4sLQL", b"PK\6\7", 0, at, 1)


def zip64_extra(*numbers: int) -> bytes:
    """Return the extra field that holds 64-bit numbers."""
    return struct.pack(f"<2H{len(numbers)}Q", 1, 8 * len(numbers), *numbers)


def descriptor(content: bytes, packed: int, *, signed: bool = True, wide: bool = False) -> bytes:
    """Return a data descriptor."""
    numbers = struct.pack("<L2Q" if wide else "<3L", zlib.crc32(content), packed, len(content))
    return (b"PK\7\x08" if signed else b"") + numbers


def streamed(name: str, content: bytes, *, signed: bool = True, wide: bool = False) -> Made:
    """Return a deflated entry as a streaming writer makes it: nothing is known in advance."""
    data = deflate(content)
    return Made(
        name,
        content,
        DEFLATE,
        STREAMED,
        packed=data,
        descriptor=descriptor(content, len(data), signed=signed, wide=wide),
        local={"crc": 0, "packed": 0, "size": 0},
    )


def folder(name: str) -> Made:
    """Return a directory entry."""
    return Made(name, b"", attributes=0o40755 << 16 | 0x10)
