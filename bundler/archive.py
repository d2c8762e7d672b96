"""The gate: the only way anything that a stranger made is read, be it a zip file or a directory.

Nothing is ever extracted. A `Members` gives the bytes of a member by its exact name, lazily and
bounded: by what the member declares, by the limits (`bundler.limits`), and by one budget for
everything in the recording. What is refused, and why, stands in `bundler.zip_reader` for archives,
in `bundler.directory_reader` for directories, in `bundler.documents` for the JSON inside.

What CI wraps around a recording is taken off, and nothing else:

    x.zip ─ y.zip ─ manifest.json …          the only file of an archive is itself a `.zip`: it is
                                             opened in its place (its folder does not matter)
    x.zip ─ top/ ─ manifest.json …           everything is in one folder, which holds at least one
                                             file itself: the folder's name is taken off
    x.zip ─ y.zip ─ top/ ─ manifest.json …   both

An archive inside the inner archive as its only file is refused. A `.zip` beside other members stays
a member; the reader of a format that has one asks for it by name (`Members.nested`), one level
deep. A directory is taken as it is.
"""

from __future__ import annotations

import io
import tempfile
import weakref
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from bundler.directory_reader import Unsettled, list_directory, read_member
from bundler.errors import DamagedRecording, HostileRecording, NotARecording, OutputError
from bundler.limits import Budget, Limits, in_force, over
from bundler.names import shown
from bundler.zip_reader import Entry, read_directory, read_entry
from bundler.zip_records import looks_like_zip
from bundler.zip_writer import write_zip

__all__ = ["Limits", "Members", "Unsettled", "open_directory", "open_zip", "spool", "write_zip"]

_CHUNK = 256 * 1024
_IN_MEMORY = 8 << 20
_Chunks = Callable[[str], Iterator[bytes]]


class Members(Mapping[str, bytes]):
    """The members of a recording by exact name: a mapping to their bytes, read when asked for.

    Reading raises KeyError where no member has that name, HostileRecording or DamagedRecording
    where the gate refuses its content, which for an archive only its end can tell. Close it, or use
    it as a context manager; one that is forgotten closes itself.
    """

    def __init__(
        self,
        sizes: Mapping[str, int],
        chunks: _Chunks,
        *,
        where: str,
        budget: Budget,
        file: IO[bytes] | None = None,
        inner: bool = False,
        packed: Mapping[str, int] | None = None,
    ) -> None:
        self.where = where
        self._sizes = sizes
        self._packed = packed or {}
        self._chunks = chunks
        self._budget = budget
        self._inner = inner
        self._claimed: dict[str, int] = {}
        self._finalizer = weakref.finalize(self, file.close) if file else None

    def __getitem__(self, name: str) -> bytes:
        """Return a member whole. A larger one than the limit `whole_bytes` must be streamed."""
        limit = self._budget.limits.whole_bytes
        what = f"{self.where}: {shown(name)}, read into memory as a whole"
        self._budget.limits.check("whole_bytes", self._sizes[name], what)
        whole = io.BytesIO()
        for chunk in self._read(name):
            if whole.tell() + len(chunk) > limit:
                raise over("whole_bytes", limit, what)
            whole.write(chunk)
        return whole.getvalue()

    def __iter__(self) -> Iterator[str]:
        return iter(self._sizes)

    def __len__(self) -> int:
        return len(self._sizes)

    def __contains__(self, name: object) -> bool:
        return name in self._sizes

    def size(self, name: str) -> int:
        """Return how many bytes a member has: as declared, or of a directory as it was listed."""
        return self._sizes[name]

    def packed(self, name: str) -> int:
        """Return how many bytes a member takes where it lies, in however many archives."""
        return self._packed.get(name, self._sizes[name])

    def spooled(self, name: str) -> IO[bytes]:
        """Return a member whole, as a file that can seek. Raises what `spool` raises, too."""
        with self.open(name) as stream:
            return spool(stream, self._budget.limits, where=f"{self.where}: {shown(name)}")

    def open(self, name: str) -> IO[bytes]:
        """Return a stream of a member's bytes, read as far as it is asked for; it cannot seek."""
        if name not in self._sizes:
            raise KeyError(name)
        return io.BufferedReader(_Stream(self._read(name)), _CHUNK)

    def nested(self, name: str) -> Members:
        """Return the members of an archive that is a member, on the same budget.

        Raises as `open_zip` does, and HostileRecording where this is such an archive already.
        """
        if self._inner:
            raise HostileRecording(f"{self.where}: {shown(name)} is an archive nested too deep")
        where = f"{self.where}: {shown(name)}"
        file = self.spooled(name)
        # Whoever asks for it by name knows what is in it: a folder belongs to the names.
        shrunk = self.packed(name) / max(self._sizes[name], 1)
        return _members(file, where, self._budget, file, inner=True, unwrap=False, shrunk=shrunk)

    def close(self) -> None:
        """Close the file behind the members; reading one afterwards fails."""
        if self._finalizer is not None:
            self._finalizer()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _read(self, name: str) -> Iterator[bytes]:
        """Yield chunks; what a member has grown by since it was listed is claimed as well, once."""
        total = 0
        try:
            for chunk in self._chunks(name):
                total += len(chunk)
                claimed = self._claimed.get(name, self._sizes[name])
                if total > claimed:
                    self._budget.claim_bytes(total - claimed, self.where)
                    self._claimed[name] = total
                yield chunk
        except OSError as error:
            message = f"{self.where}: {shown(name)} cannot be read: {error.strerror}"
            raise DamagedRecording(message) from None


def open_zip(
    source: Path | IO[bytes] | bytes, *, where: str, limits: Limits | None = None
) -> Members:
    """Return the members of a zip file, without the wrappers that this module describes.

    `source` is a path, the bytes, or a stream; a pipe is spooled first. `where` is what a person
    calls it, and opens every message. A stream of the caller stays the caller's to close.

    Raises NotARecording where it is no zip file, DamagedRecording where it is broken,
    HostileRecording where a rule or a limit refuses it.
    """
    limits = limits or in_force()
    try:
        file = _seekable(source, where, limits)
    except OSError as error:
        raise NotARecording(f"{where} cannot be opened: {error.strerror}") from None
    return _unwrapped(file, None if file is source else file, where, Budget(limits))


def open_directory(
    path: Path,
    *,
    where: str = "",
    limits: Limits | None = None,
    unsettled: Unsettled | None = None,
) -> Members:
    """Return the members of a directory, each relative to it.

    `unsettled` is where tests are still at work: what would be refused there is noted in it.

    Raises NotARecording where it is no directory, HostileRecording where a rule or a limit refuses
    anything below, DamagedRecording where it cannot be listed.
    """
    limits = limits or in_force()
    where = where or str(path)
    budget = Budget(limits)
    sizes = list_directory(path, where, budget, unsettled or Unsettled())
    return Members(
        sizes, lambda name: read_member(path, name, where, limits), where=where, budget=budget
    )


def spool(stream: IO[bytes], limits: Limits, *, where: str = "the stream") -> IO[bytes]:
    """Return all that a stream has in a temporary file that can seek; closing the file removes it.

    Raises HostileRecording past the limit `archive_bytes`, OutputError where there is no room.
    """
    file = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115 - it is returned
    total = 0
    try:
        while chunk := stream.read(_CHUNK):
            total += len(chunk)
            if total > limits.archive_bytes:
                raise over("archive_bytes", limits.archive_bytes, where)
            _keep(file, chunk, where)
    except BaseException:
        file.close()
        raise
    file.seek(0)
    return file


def _keep(file: IO[bytes], chunk: bytes, where: str) -> None:
    try:
        file.write(chunk)
    except OSError as error:
        message = f"{where} does not fit into the temporary directory: {error.strerror}"
        raise OutputError(message, hint="Set TMPDIR to a directory with more room.") from None


def _seekable(source: Path | IO[bytes] | bytes, where: str, limits: Limits) -> IO[bytes]:
    if isinstance(source, bytes):
        return io.BytesIO(source)
    if not isinstance(source, Path):
        return source if source.seekable() else _spooled_zip(source, where, limits)
    file = source.open("rb")
    if file.seekable():
        return file
    with file:
        return _spooled_zip(file, where, limits)


def _spooled_zip(pipe: IO[bytes], where: str, limits: Limits) -> IO[bytes]:
    """Spool a pipe if a zip file comes out of it: an endless one of something else is let go."""
    head = b""
    while more := pipe.read(4 - len(head)):  # asked for no more bytes, it gives none
        head += more
    if not looks_like_zip(head):
        raise NotARecording(f"{where} is not a zip file")
    return spool(io.BufferedReader(_Stream(_after(head, pipe))), limits, where=where)


def _after(head: bytes, pipe: IO[bytes]) -> Iterator[bytes]:
    yield head
    while chunk := pipe.read(_CHUNK):
        yield chunk


def _unwrapped(file: IO[bytes], own: IO[bytes] | None, where: str, budget: Budget) -> Members:
    outer = _members(file, where, budget, own)
    name = _sole_zip(outer)
    if not name:
        return outer
    where = f"{where}: {shown(name)}"
    with outer:
        spooled = outer.spooled(name)
    shrunk = outer.packed(name) / max(outer.size(name), 1)
    inner = _members(spooled, where, budget, spooled, shrunk=shrunk)
    if deeper := _sole_zip(inner):
        inner.close()
        raise HostileRecording(f"{inner.where}: {shown(deeper)} is an archive nested too deep")
    return inner


def _members(
    file: IO[bytes],
    where: str,
    budget: Budget,
    own: IO[bytes] | None,
    *,
    inner: bool = False,
    unwrap: bool = True,
    shrunk: float = 1.0,
) -> Members:
    """The members of an archive, which takes `shrunk` times its own bytes where it lies."""
    try:
        entries = read_directory(file, where, budget)
        entries = _without_top_folder(entries) if unwrap else entries
    except BaseException as error:
        if own is not None:
            own.close()
        if isinstance(error, OSError):
            raise DamagedRecording(f"{where} cannot be read: {error.strerror}") from None
        raise
    return Members(
        {name: entry.size for name, entry in entries.items()},
        lambda name: read_entry(file, entries[name], where, budget.limits),
        where=where,
        budget=budget,
        file=own,
        inner=inner,
        packed={name: int(entry.compressed * shrunk) for name, entry in entries.items()},
    )


def _sole_zip(members: Members) -> str:
    names = list(members)
    return names[0] if len(names) == 1 and names[0].lower().endswith(".zip") else ""


def _without_top_folder(entries: dict[str, Entry]) -> dict[str, Entry]:
    prefix = f"{next(iter(entries), '').partition('/')[0]}/"
    directly = any(name.count("/") == 1 for name in entries)
    if not directly or not all(name.startswith(prefix) for name in entries):
        return entries
    return {name.removeprefix(prefix): entry for name, entry in entries.items()}


class _Stream(io.RawIOBase):
    """Chunks as a raw stream."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        while not self._rest:
            try:
                self._rest = next(self._chunks)
            except StopIteration:
                return 0
        size = min(len(buffer), len(self._rest))
        buffer[:size], self._rest = self._rest[:size], self._rest[size:]
        return size
