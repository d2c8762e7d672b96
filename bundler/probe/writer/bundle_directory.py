"""The directory of one test's bundle, made when it is first needed.

Within a run (`BUNDLE_RUN_ID`), and within one process, a second attempt of a test adds to what the
first one left. Otherwise what an earlier run left under the same seed is taken away at once, so
that nothing of it is met by whoever writes first: a forked child, maybe.
"""

from __future__ import annotations

import os
import stat
import threading
from typing import IO

from .file_names import DOCUMENTS, FileNames
from .masking import Masking
from .system import System
from .whole_file import TO_WRITE, make_directory, write_all, write_whole

BASE_VARIABLES = ("BUNDLE_ARTIFACTS_DIR", "ASUPERSYNC_TEST_ARTIFACTS_DIR")
_CHUNK = 1 << 20
_HEAD = 8 * 1024
_begun: set[str] = set()
_lock = threading.RLock()


def base_in_environment() -> str | None:
    """Return where the environment has test bundles put, or None."""
    values = (os.environ.get(name, "") for name in BASE_VARIABLES)
    return next((value for value in values if value.strip()), None)


def locked() -> threading.RLock:  # type: ignore[valid-type, unused-ignore]
    """Return the lock under which a bundle is begun."""
    return _lock


def _after_fork() -> None:
    global _lock
    _lock = threading.RLock()  # another thread may have held it, and is not in the child


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


class BundleDirectory:
    """A test bundle on disk. `problem` is why it could not be written, or the empty text."""

    def __init__(self, path: str) -> None:
        self.path = os.path.abspath(path)  # a test may change the working directory
        self.problem = ""
        self.is_there = False
        self._names = FileNames()
        self._adds_to = "BUNDLE_RUN_ID" in os.environ or self.path in _begun
        _begun.add(self.path)
        if not self._adds_to:
            self._begin_anew()

    def make(self) -> None:
        """Make the directory, if nobody has."""
        with _lock:
            if self.is_there:
                return
            try:
                make_directory(self.path)
            except OSError as error:
                self.give_up(error)
            self.is_there = True

    def write(self, name: str, content: bytes) -> None:
        """Write a document whole; where that fails, it is a problem."""
        if not self.problem:
            try:
                write_whole(self.place(name), content)
            except OSError as error:
                self.give_up(error)

    def place(self, name: str) -> str:
        """Return the path of a file of exactly that name."""
        return System.join(self.path, name)

    def place_for(self, name: str) -> str:
        """Return a path for a file of that name, which no other file of the test has."""
        self.make()
        with _lock:
            return self.place(self._names.take(name, self._present() if self._adds_to else []))

    def copy(self, source: IO[bytes], target: str) -> int:
        """Copy a file, masked, and return its size in bytes; where writing fails, it is a problem.

        What is binary keeps its size.
        """
        size = 0
        chunk = source.read(_CHUNK)
        stream = Masking.masker.stream(b"\0" in chunk[:_HEAD])
        try:
            descriptor = System.open(target, TO_WRITE, 0o666)
            try:
                while chunk:
                    masked = stream.feed(chunk)
                    write_all(descriptor, masked)
                    size += len(masked)
                    chunk = source.read(_CHUNK)
                rest = stream.flush()
                write_all(descriptor, rest)
                size += len(rest)
            finally:
                System.close(descriptor)
        except OSError as error:
            self.give_up(error)
        return size

    def files(self) -> list[str]:
        """The names of all files, relative to the directory."""
        return sorted(self._below("")) if self.is_there else []

    def size(self, name: str) -> int:
        """Return how many bytes a file has, 0 where there is none."""
        try:
            return System.stat(self.place(name)).st_size
        except OSError:
            return 0

    def _below(self, folder: str) -> list[str]:
        found: list[str] = []
        try:
            names = System.listdir(System.join(self.path, folder))
            for name in names:
                kind = System.lstat(System.join(self.path, folder, name)).st_mode
                if stat.S_ISDIR(kind):
                    found += self._below(f"{folder}{name}/")
                elif stat.S_ISREG(kind) and not name.endswith(".tmp"):
                    found.append(f"{folder}{name}")
        except OSError as error:
            self.give_up(error)
        return found

    def _present(self) -> list[str]:
        try:
            return System.listdir(self.path)
        except OSError:
            return []  # it could not be made, which is said already

    def _begin_anew(self) -> None:
        for name in DOCUMENTS:
            try:
                System.unlink(self.place(name))
            except FileNotFoundError:
                pass  # as it should be
            except OSError as error:
                self.give_up(error)

    def give_up(self, error: OSError) -> None:
        self.problem = self.problem or error.strerror or str(error)
