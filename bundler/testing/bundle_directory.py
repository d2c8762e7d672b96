"""The directory of one test's bundle, made when it is first needed.

Within a run (`BUNDLE_RUN_ID`), and within one process, a second attempt of a test adds to what the
first one left. Otherwise the bundle of an earlier run under the same seed is begun anew.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import IO

from bundler.testing.artifacts import DOCUMENTS, FileNames
from bundler.testing.context import TestContext
from bundler.testing.paths import artifact_base_dir, safe_bundle_dir
from bundler.testing.whole_file import write_whole

_CHUNK = 1 << 20
_begun: set[Path] = set()
_lock = threading.RLock()


def locked() -> threading.RLock:
    """Return the lock under which a bundle is begun."""
    return _lock


def _after_fork() -> None:
    global _lock
    _lock = threading.RLock()  # another thread may have held it, and is not in the child


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


class BundleDirectory:
    """A test bundle on disk. `problem` is why it could not be written, or the empty text."""

    def __init__(self, context: TestContext, base: Path | None) -> None:
        relative = safe_bundle_dir(base or artifact_base_dir(), context.test_id, context.seed)
        self.path = relative.absolute()  # a test may change the working directory
        self.problem = ""
        self.is_there = False
        self._names = FileNames()
        self._adds_to = False

    def make(self) -> None:
        """Make the directory, if nobody has."""
        with _lock:
            if self.is_there:
                return
            self._adds_to = "BUNDLE_RUN_ID" in os.environ or self.path in _begun
            try:
                self.path.mkdir(parents=True, exist_ok=True)
                for name in () if self._adds_to else DOCUMENTS:
                    (self.path / name).unlink(missing_ok=True)
            except OSError as error:
                self._give_up(error)
            _begun.add(self.path)
            self.is_there = True

    def write(self, name: str, content: bytes) -> None:
        """Write a document whole; where that fails, it is a problem."""
        if not self.problem:
            try:
                write_whole(self.path / name, content)
            except OSError as error:
                self._give_up(error)

    def place_for(self, name: str) -> Path:
        """Return a path for a file of that name, which no other file of the test has."""
        self.make()
        with _lock:
            return self.path / self._names.take(name, self.path if self._adds_to else None)

    def copy(self, source: IO[bytes], target: Path) -> int:
        """Copy a file, and return its size in bytes; where writing fails, it is a problem."""
        size = 0
        try:
            with target.open("wb") as file:
                while chunk := source.read(_CHUNK):
                    file.write(chunk)
                    size += len(chunk)
        except OSError as error:
            self._give_up(error)
        return size

    def files(self) -> list[str]:
        """The names of all files, relative to the directory."""
        if not self.is_there:
            return []
        found = (path for path in self.path.rglob("*") if path.is_file())
        names = (path.relative_to(self.path).as_posix() for path in found)
        return sorted(name for name in names if not name.endswith(".tmp"))

    def _give_up(self, error: OSError) -> None:
        self.problem = self.problem or error.strerror or str(error)
