"""Whole or not at all: a file appears under its final name complete and durable, or not.

A temporary file in the same directory, fsync, `os.replace`, fsync of the directory. Whatever goes
wrong in between, the half-written file is removed and the old one stands.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from bundler.errors import OutputError


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Open a binary file that becomes `path` when the block ends well, and vanishes otherwise."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f"{path.name}.", suffix=".tmp")
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        _give_ordinary_mode(temporary)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


@contextlib.contextmanager
def output(name: str) -> Iterator[IO[bytes]]:
    """Open what a person named to write to: a file, whole or not at all, or a device or a pipe.

    A symbolic link is written through. Raises OutputError where it refuses.
    """
    if not name:
        raise OutputError("the name of the file to write is empty", hint="Name one; - is stdout.")
    path = Path(name)
    try:
        if path.exists() and not path.is_file():
            with path.open("wb") as file:
                yield file
        else:
            with replacing(path.resolve()) as file:
                yield file
    except OSError as error:
        raise OutputError(f"{name} cannot be written: {error.strerror}") from None


def write(path: Path, content: bytes) -> None:
    """Write a whole file, or leave the old one."""
    with replacing(path) as file:
        file.write(content)


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable, where the platform can."""
    if os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        # Some network file systems refuse to sync a directory; they order names themselves.
        with contextlib.suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _give_ordinary_mode(path: Path) -> None:
    """mkstemp makes files for the owner alone; a bundle is as readable as any file made here."""
    if os.name != "nt":
        umask = os.umask(0)
        os.umask(umask)
        path.chmod(0o666 & ~umask)
