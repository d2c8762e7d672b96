"""A file that events are appended to: one whole line, one write, so that a kill loses one at most.

Threads, forked children and other processes may append to the same file: the system puts each write
at the end. Recording never breaks the test: the first error ends it, and `problem` says why.
"""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Iterator

from .masking import Masking
from .system import System

_APPEND = os.O_WRONLY | os.O_CREAT | os.O_APPEND
_APPEND |= getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)

_READ = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)


class EventFile:
    """A file open for appending. `problem` is empty while it records.

    Raises nothing: a file that cannot be opened is a problem too.
    """

    __slots__ = ("_descriptor", "_identity", "_path", "problem")

    def __init__(self, path: str) -> None:
        self._path = path
        self._descriptor = -1
        self._identity = (0, 0)
        self.problem = ""
        try:
            self._reopen()
        except OSError as error:
            self._give_up(error)

    def append(self, line: bytes) -> None:
        """Append one line, its newline included."""
        if self.problem:
            return
        line = Masking.masker.line(line)
        try:
            if not self._is_ours():
                self._reopen()
            written = System.write(self._descriptor, line)
        except OSError as error:
            self._give_up(error)
            return
        if written != len(line):
            self.problem = f"only {written} of {len(line)} bytes of an event were written"

    def close(self) -> None:
        """Let go of the file; appending again opens it again."""
        if self._descriptor >= 0 and self._is_ours():
            System.close(self._descriptor)
        self._descriptor = -1

    def lines(self, begin: int) -> Iterator[bytes]:
        """Yield what anybody has written from an offset on, as far as it can be read."""
        try:
            with io.FileIO(System.open(self._path, _READ)) as file:
                file.seek(begin)
                yield from io.BufferedReader(file)
        except OSError as error:
            self._give_up(error)

    def _is_ours(self) -> bool:
        """Whether the descriptor is still of this file: a test may close it, and open another."""
        try:
            info = System.fstat(self._descriptor)
        except OSError as error:
            if error.errno != errno.EBADF:
                raise
            return False
        return (info.st_dev, info.st_ino) == self._identity

    def _reopen(self) -> None:
        self._descriptor = System.open(self._path, _APPEND, 0o666)
        info = System.fstat(self._descriptor)
        self._identity = (info.st_dev, info.st_ino)

    def _give_up(self, error: OSError) -> None:
        self.problem = error.strerror or str(error)
