"""Whatever a person names, opened: a run bundle, or a recording of another tool, however packed.

    directory        a run bundle, or what a reader of directories recognises
    zip              a run bundle, or what a reader of archives recognises, or the only file in it
    gzip bzip2 xz zstd   one of the plain files below, compressed once
    plain file       what a reader of `bundler.formats.READERS` recognises by its first bytes
    a pipe           any of these; kept in a temporary file once

What is compressed unpacks through a counter: the limits are those of `bundler.limits`.
"""

from __future__ import annotations

import bz2
import importlib
import io
import lzma
import tempfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, cast

from bundler import archive, bundle
from bundler.archive import Members
from bundler.errors import DamagedRecording, HostileRecording, NotARecording, OutputError
from bundler.eventlog import decompressed
from bundler.formats import HEAD_BYTES, READERS, Reader
from bundler.limits import Limits, in_force
from bundler.names import shown
from bundler.recording import Recording
from bundler.results import collector_paused
from bundler.zip_records import looks_like_zip

_CHUNK = 256 * 1024
_IN_MEMORY = 8 << 20
_XZ_MEMORY = 256 << 20


def read_path(path: Path) -> Recording:
    """Open a file, a directory or a named pipe. Raises OSError, UnreadableRecording."""
    if path.is_dir():
        with collector_paused():
            return _read_directory(path)
    with path.open("rb") as file:
        return read_stream(file, where=str(path), path=path)


def read_stream(stream: IO[bytes], *, where: str, path: Path | None = None) -> Recording:
    """Open what a stream holds; `path` is where it can be opened again.

    Raises UnreadableRecording; NotARecording before a pipe of unknown content is read to its end.
    """
    with collector_paused():
        return _read_stream(stream, where, path)


def _read_stream(stream: IO[bytes], where: str, path: Path | None) -> Recording:
    limits = in_force()
    head = _head(stream)
    if looks_like_zip(head):
        again = path if path is not None and stream.seekable() else rejoined(head, stream)
        return _read_archive(archive.open_zip(again, where=where), where)
    kind = compression_of(head)
    if kind is None and _reader_of(head) is None:
        raise _unknown(where, head)
    if kind is None and path is not None and stream.seekable():
        stream.seek(0)
        return _read_plain(stream, where)
    with rejoined(head, stream) as whole:
        if kind is None:
            with archive.spool(whole, limits, where=where) as file:
                return _read_plain(file, where)
        problems: list[str] = []
        with unpacked(kind, whole, limits, where, problems) as file:
            recording = _read_plain(file, where)
    recording.problems += problems
    return recording


def _read_directory(path: Path) -> Recording:
    if (path / bundle.MANIFEST).is_file() and _is_ours((path / bundle.MANIFEST).open("rb")):
        return bundle.read_directory(path)
    members = archive.open_directory(path)
    reader = _reader_of_members(members)
    return reader.read(members, where=str(path)) if reader else bundle.read_directory(path)


def _read_archive(members: Members, where: str) -> Recording:
    """What is in an archive; the only file of one is read in its place."""
    if bundle.MANIFEST in members and _is_ours(members.open(bundle.MANIFEST)):
        return bundle.from_members(members, where=where)
    if reader := _reader_of_members(members):
        return reader.read(members, where=where)
    names = list(members)
    if len(names) != 1:
        return bundle.from_members(members, where=where)
    inner = f"{where}: {shown(names[0])}"
    with members, members.open(names[0]) as stream:
        return read_stream(stream, where=inner)


def _is_ours(document: IO[bytes]) -> bool:
    """Whether a manifest.json is of a run bundle, as far as its first bytes tell."""
    with document:
        head = document.read(4096)
    others = (b'"format-version"', b'"scenario_id"')
    return not any(sign in head for sign in others)


def _read_plain(file: IO[bytes], where: str) -> Recording:
    head = file.read(HEAD_BYTES)
    file.seek(0)
    reader = _reader_of(head)
    if reader is None:
        raise _unknown(where, head)
    return reader.read(file, where=where)


def _readers() -> Iterator[Reader]:
    for module in READERS:
        yield cast(Reader, importlib.import_module(module))


def _reader_of(head: bytes) -> Reader | None:
    return next((one for one in _readers() if one.recognises(head)), None)


def _reader_of_members(members: Members) -> Reader | None:
    for reader in _readers():
        recognises: Callable[[Members], bool] | None
        recognises = getattr(reader, "recognises_members", None)
        if recognises is not None and recognises(members):
            return reader
    return None


def _unknown(where: str, head: bytes) -> NotARecording:
    from bundler.formats.trace import recognises

    if recognises(head):
        hint = "Show it with `bundle show FILE`; it is read from a file, not through a pipe."
        return NotARecording(f"{where} is a trace, no recording of a run", hint=hint)
    names = ", ".join(reader.NAME for reader in _readers())
    known = f"Give a run bundle (a directory or a .zip) or a recording of another tool: {names}."
    return NotARecording(f"{where} is of no format that is known here", hint=known)


# Streams


def _head(stream: IO[bytes]) -> bytes:
    head = b""
    while len(head) < HEAD_BYTES and (more := stream.read(HEAD_BYTES - len(head))):
        head += more
    return head


def rejoined(head: bytes, stream: IO[bytes]) -> IO[bytes]:
    """The stream from its start, also where it cannot seek."""
    return io.BufferedReader(_Rejoined(head, stream), _CHUNK)


class _Rejoined(io.RawIOBase):
    def __init__(self, head: bytes, stream: IO[bytes]) -> None:
        self._head = head
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        content = self._head[: len(buffer)] or self._stream.read(len(buffer))
        self._head = self._head[len(content) :]
        buffer[: len(content)] = content
        return len(content)


# Compression


def _gzip() -> Any:
    return zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)


def _xz() -> Any:
    return lzma.LZMADecompressor(memlimit=_XZ_MEMORY)


_ZSTD = "zstd"
_SIGNS = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\0": "xz",
    b"\x28\xb5\x2f\xfd": _ZSTD,
}
_DECOMPRESSORS: dict[str, Callable[[], Any]] = {
    "gzip": _gzip,
    "bzip2": bz2.BZ2Decompressor,
    "xz": _xz,
}


def compression_of(head: bytes) -> str | None:
    """Return how what begins like this is compressed, None where it is not."""
    return next((kind for sign, kind in _SIGNS.items() if head.startswith(sign)), None)


def unpacked(
    kind: str, packed: IO[bytes], limits: Limits, where: str, problems: list[str]
) -> IO[bytes]:
    """The content of a compressed file, in a temporary one. Raises UnreadableRecording."""
    counted = _Counted(packed)
    if kind == _ZSTD:
        source = cast(IO[bytes], counted)
        chunks = decompressed(source, limit=limits.member_bytes, what=where)
    else:
        chunks = _chunks(_DECOMPRESSORS[kind], counted, where, problems)
    file = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115 - it is returned
    try:
        for chunk in chunks:
            file.write(chunk)
            unpacks = f"{where} unpacks to {file.tell()} bytes"
            limits.check("member_bytes", file.tell(), unpacks)
            limits.check_ratio(file.tell(), counted.taken, unpacks)
    except OSError as error:
        file.close()
        message = f"{where} does not fit into the temporary directory: {error.strerror}"
        raise OutputError(message, hint="Set TMPDIR to a directory with more room.") from None
    except BaseException:
        file.close()
        raise
    file.seek(0)
    return file


class _Counted:
    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self.taken = 0

    def read(self, size: int = _CHUNK) -> bytes:
        content = self._stream.read(size)
        self.taken += len(content)
        return content


def _chunks(
    decompressor: Callable[[], Any], packed: _Counted, where: str, problems: list[str]
) -> Iterator[bytes]:
    """Yield the content of compressed streams in a row; one that is cut ends where it is cut."""
    current = decompressor()
    try:
        while data := packed.read():
            while data.strip(b"\0") if current.eof else data:
                current = decompressor() if current.eof else current
                chunk, data = _step(current, data)
                yield chunk
                while not current.eof and not getattr(current, "needs_input", True):
                    yield current.decompress(b"", _CHUNK)
                if current.eof:
                    data = current.unused_data
        if not current.eof:
            problems.append(f"{where} is cut: it ends in the middle of what was compressed")
    except (zlib.error, OSError, lzma.LZMAError, EOFError, ValueError) as error:
        if "emory" in str(error):
            message = f"{where} asks for more memory than {_XZ_MEMORY} bytes"
            raise HostileRecording(message) from None
        raise DamagedRecording(f"{where} is damaged: {error}") from None


def _step(current: Any, data: bytes) -> tuple[bytes, bytes]:
    """Unpack some; return it, and what is left of the data where the decompressor keeps none."""
    chunk = current.decompress(data, _CHUNK)
    return chunk, getattr(current, "unconsumed_tail", b"")
