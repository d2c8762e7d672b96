"""The events of a recording that is being translated: a log that lives as long as it is needed."""

from __future__ import annotations

import contextlib
import io
import sys
import tempfile
import weakref
from typing import IO, cast

from bundler.errors import OutputError

_IN_MEMORY = 8 << 20
_CHUNK = 256 * 1024


class Spool:
    """A log that grows, in memory as long as it is small, else in a temporary file.

    The file is removed when nothing refers to it any more. `where` is what a person calls the
    recording that is translated.
    """

    def __init__(self, where: str) -> None:
        self.where = where
        self.size = 0
        self._file: IO[bytes] = io.BytesIO()
        self._to_disk_at = _IN_MEMORY

    def append(self, line: bytes) -> int:
        """Keep a whole line and return its offset. Raises OutputError where there is no room."""
        offset = self.size
        try:
            self._file.write(line)
            if offset > self._to_disk_at:
                self._move_to_disk()
        except OSError as error:
            raise self._full(error) from None
        self.size += len(line)
        return offset

    def end(self) -> None:
        """Nothing is appended any more. Raises OutputError where there is no room for the rest."""
        try:
            self._file.flush()
        except OSError as error:
            raise self._full(error) from None

    def _move_to_disk(self) -> None:
        content = cast(io.BytesIO, self._file).getbuffer()
        self._file = tempfile.TemporaryFile(buffering=_CHUNK)  # noqa: SIM115 - it stays
        weakref.finalize(self, _close, self._file)
        self._file.write(content)
        self._to_disk_at = sys.maxsize

    def _full(self, error: OSError) -> OutputError:
        message = f"{self.where} does not fit into the temporary directory: {error.strerror}"
        return OutputError(message, hint="Set TMPDIR to a directory with more room.")

    def view(self) -> IO[bytes]:
        """Open it for reading."""
        return io.BufferedReader(_View(self), _CHUNK)

    def read_at(self, offset: int, size: int) -> bytes:
        """Return the bytes from an offset; nothing is appended after the first reading."""
        self._file.seek(offset)
        return self._file.read(size)


def _close(file: IO[bytes]) -> None:
    # What was not written yet need not be: that there was no room has been said.
    with contextlib.suppress(OSError):
        file.close()


class _View(io.RawIOBase):
    """The temporary file, read from a position of its own: several readings never disturb."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if whence == io.SEEK_CUR:
            offset += self._at
        elif whence == io.SEEK_END:
            offset += self._spool.size
        self._at = offset
        return self._at

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        content = self._spool.read_at(self._at, len(buffer))
        buffer[: len(content)] = content
        self._at += len(content)
        return len(content)
