"""The layout of a `.trace` file: its header, and the frames of its events. All little-endian.

    magic          11 bytes, `ASUPERTRACE`
    version        u16
    flags          u16, bit 0 compressed, bit 1 checksummed (always, from version 3)
    compression    u8, 0 none, 1 LZ4 blocks                         not in version 1
    length         u32, of the metadata, at most 1 MiB
    digest         SHA-256 of the metadata                          from version 3
    metadata       a MessagePack array, see `bundler.formats.trace_events`
    count          u64, how many events
    digest         SHA-256 of the frames, as they are uncompressed  from version 3
    frames         u32 length, then one event in MessagePack
    or chunks      u32 length of what follows, u32 raw length, an LZ4 block of whole frames

Limits: a chunk has at most 64 MiB on either side, as for the tool that writes it. An event has at
most 1 MiB here (16 there): the largest that is ever written has 60 bytes, and a few bytes of
MessagePack can ask for a lot of memory. All chunks together unpack to at most the ratio that any
recording may (`bundler.limits`).
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

import msgspec

from bundler.errors import HostileRecording, NotARecording, TooNewRecording
from bundler.formats.trace_events import SCHEMA, Metadata, decode_metadata, decode_value
from bundler.limits import in_force

MAGIC = b"ASUPERTRACE"
NEWEST = 3
COMPRESSED, CHECKSUMMED = 1, 2
LZ4 = 1
MAX_METADATA_BYTES = 1 << 20
MAX_EVENT_BYTES = 1 << 20
MAX_CHUNK_BYTES = 64 << 20


class Cut(Exception):
    """The file cannot be read on: from which byte, and why."""

    def __init__(self, offset: int, why: str) -> None:
        super().__init__(why)
        self.offset = offset
        self.why = why


@dataclass(frozen=True, slots=True)
class Header:
    """What stands before the events; `cut` where the file ends between the metadata and them."""

    version: int
    flags: int
    metadata: Metadata
    metadata_digest: str
    declared: int | None
    events_digest: bytes
    cut: Cut | None = None


class Input:
    """A stream that knows how far it has been read."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.offset = 0

    def up_to(self, size: int) -> bytes:
        """Return so many bytes, or as many as are left."""
        content = self._file.read(size)
        while len(content) < size and (more := self._file.read(size - len(content))):
            content += more
        self.offset += len(content)
        return content

    def take(self, size: int, what: str) -> bytes:
        """Return exactly so many bytes. Raises Cut where fewer are left."""
        begin = self.offset
        content = self.up_to(size)
        if len(content) < size:
            raise Cut(begin, f"the file ends inside {what}")
        return content

    def number(self, size: int, what: str) -> int:
        """Return an unsigned number of so many bytes. Raises Cut where fewer are left."""
        return int.from_bytes(self.take(size, what), "little")

    def skip_to_end(self) -> None:
        """Read what is left, to know how much it is."""
        while self.up_to(1 << 16):
            pass


class Frames:
    """The events of a trace, still encoded: call `header`, then iterate over (offset, content).

    The offset is where the frame ends in the file; in a compressed trace, where its chunk does.
    Iterating raises Cut at the first thing that cannot be read. `digest` is over what was read.
    """

    def __init__(self, source: Input) -> None:
        self.input = source
        self.digest = hashlib.sha256()
        self._compressed = False
        self._unpacked = 0

    def header(self) -> Header:
        """Read up to the first event. Raises Cut, NotARecording or TooNewRecording."""
        version = _version(self.input)
        flags = self.input.number(2, "the flags")
        compression = self.input.number(1, "the compression") if version > 1 else 0
        _check_flags(version, flags, compression)
        self._compressed = bool(flags & COMPRESSED)
        metadata, verdict = _metadata(self.input, version)
        declared, digest, cut = None, b"", None
        try:
            declared = self.input.number(8, "the count of events")
            digest = self.input.take(32, "the digest of the events") if version > 2 else b""
        except Cut as error:
            cut = error
        return Header(version, flags, metadata, verdict, declared, digest, cut)

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        if not self._compressed:
            for content in self._frames(self.input):
                yield self.input.offset, content
            return
        while prefix := self.input.up_to(4):
            begin = self.input.offset - len(prefix)
            try:
                inner = Input(io.BytesIO(self._bounded(_chunk(self.input, prefix))))
                for content in self._frames(inner):
                    yield self.input.offset, content
            except Cut as cut:
                raise Cut(begin, f"a chunk: {cut.why}") from None

    def _bounded(self, raw: bytes) -> bytes:
        self._unpacked += len(raw)
        try:
            what = f"the events unpack to {self._unpacked} bytes"
            in_force().check_ratio(self._unpacked, self.input.offset, what)
        except HostileRecording as error:
            raise Cut(0, error.message) from None
        return raw

    def _frames(self, source: Input) -> Iterator[bytes]:
        while prefix := source.up_to(4):
            begin = source.offset - len(prefix)
            length = int.from_bytes(prefix, "little")
            if len(prefix) < 4:
                raise Cut(begin, "the file ends inside the length of an event")
            if length > MAX_EVENT_BYTES:
                raise Cut(begin, f"an event of {length} bytes, over {MAX_EVENT_BYTES}")
            content = source.take(length, "an event")
            _check_event(content, begin)
            self.digest.update(prefix)
            self.digest.update(content)
            yield content


def _version(source: Input) -> int:
    magic = source.up_to(len(MAGIC))
    if not MAGIC.startswith(magic):
        raise NotARecording("is not a trace file")
    if len(magic) < len(MAGIC):
        raise Cut(0, "the file ends inside its magic" if magic else "the file is empty")
    version = source.number(2, "the version")
    if version > NEWEST:
        raise TooNewRecording(
            f"has trace version {version}, and this program reads 1 to {NEWEST}",
            hint="Migrate it to version 3 with the tool that wrote it.",
        )
    if version < 1:
        raise Cut(len(MAGIC), "version 0, which there never was")
    return version


def _check_flags(version: int, flags: int, compression: int) -> None:
    known = {1: 0, 2: COMPRESSED}.get(version, COMPRESSED | CHECKSUMMED)
    needed = CHECKSUMMED if version > 2 else 0
    at = len(MAGIC) + 2
    if flags & ~known or flags & needed != needed:
        raise Cut(at, f"flags {flags:#06x}, which version {version} does not have")
    if compression != (LZ4 if flags & COMPRESSED else 0):
        raise Cut(at + 2, f"compression {compression} with flags {flags:#06x}")


def _metadata(source: Input, version: int) -> tuple[Metadata, str]:
    begin = source.offset
    length = source.number(4, "the length of the metadata")
    if length > MAX_METADATA_BYTES:
        raise Cut(begin, f"metadata of {length} bytes, over {MAX_METADATA_BYTES}")
    digest = source.take(32, "the digest of the metadata") if version > 2 else b""
    begin = source.offset
    raw = source.take(length, "the metadata")
    verdict = "absent"
    if digest:
        verdict = "ok" if digest == hashlib.sha256(raw).digest() else "wrong"
    try:
        metadata = decode_metadata(raw)
    except ValueError as error:
        note = ", and its digest is wrong" if verdict == "wrong" else ""
        raise Cut(begin, f"the metadata cannot be read: {error}{note}") from None
    if metadata.version != SCHEMA and verdict != "wrong":
        raise TooNewRecording(
            f"has metadata of schema {metadata.version}, and this program reads {SCHEMA}",
            hint="Read it with the tool that wrote it.",
        )
    return metadata, verdict


def _chunk(source: Input, prefix: bytes) -> bytes:
    import lz4.block

    length = int.from_bytes(prefix, "little")
    if len(prefix) < 4:
        raise Cut(0, "the file ends inside its length")
    if not 4 < length <= MAX_CHUNK_BYTES:
        raise Cut(0, f"its length is {length}, not 5 to {MAX_CHUNK_BYTES}")
    raw_length = source.number(4, "its raw length")
    if raw_length > MAX_CHUNK_BYTES:
        raise Cut(0, f"its raw length is {raw_length}, over {MAX_CHUNK_BYTES}")
    block = source.take(length - 4, "its block")
    try:
        raw: bytes = lz4.block.decompress(block, uncompressed_size=raw_length)
    except (lz4.block.LZ4BlockError, ValueError, OverflowError) as error:
        raise Cut(0, f"its block cannot be decompressed: {error}") from None
    return raw


def _check_event(content: bytes, offset: int) -> None:
    try:
        decode_value(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Cut(offset, f"an event cannot be read: {error}") from None
