"""Files whole or not at all, and their directories; nothing has to be imported for it."""

from __future__ import annotations

import os
import stat

from .masking import Masking
from .system import System

TO_WRITE = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0)


def write_whole(path: str, content: bytes) -> None:
    """Write a document, masked, or leave the old one. Raises OSError.

    It is not synced: a test bundle that is worth keeping is made durable when its run is sealed.
    """
    content = Masking.masker.line(content)
    temporary = f"{path}.{System.process()}-{System.thread()}.tmp"
    try:
        descriptor = System.open(temporary, TO_WRITE, 0o666)
        try:
            write_all(descriptor, content)
        finally:
            System.close(descriptor)
        System.replace(temporary, path)
    except OSError:
        try:
            System.unlink(temporary)
        except OSError:
            pass  # it was never made; the first error is the one to tell
        raise


def write_all(descriptor: int, content: bytes) -> None:
    """Write all of it, in as many pieces as it takes. Raises OSError."""
    rest = memoryview(content)
    while rest:
        rest = rest[System.write(descriptor, rest) :]


def make_directory(path: str) -> None:
    """Make a directory and those above it, unless they are there. Raises OSError."""
    try:
        System.mkdir(path)
    except FileExistsError:
        if not stat.S_ISDIR(System.stat(path).st_mode):
            raise
    except FileNotFoundError:
        above = os.path.dirname(path)
        if above == path:
            raise
        make_directory(above)
        make_directory(path)
