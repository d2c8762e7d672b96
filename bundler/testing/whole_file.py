"""Write a file whole or not at all, with nothing that a test process would have to import."""

from __future__ import annotations

import os
import threading
from pathlib import Path

_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0)
_open, _write, _close, _replace, _unlink = os.open, os.write, os.close, os.replace, os.unlink


def write_whole(path: Path, content: bytes) -> None:
    """Write a file, or leave the old one. Raises OSError.

    It is not synced: a test bundle that is worth keeping is made durable when its run is sealed.
    """
    temporary = f"{path}.{os.getpid()}-{threading.get_ident()}.tmp"
    try:
        descriptor = _open(temporary, _FLAGS, 0o666)
        try:
            write_all(descriptor, content)
        finally:
            _close(descriptor)
        _replace(temporary, path)
    except OSError:
        try:
            _unlink(temporary)
        except OSError:
            pass  # it was never made; the first error is the one to tell
        raise


def write_all(descriptor: int, content: bytes) -> None:
    """Write all of it, in as many pieces as it takes. Raises OSError."""
    rest = memoryview(content)
    while rest:
        rest = rest[_write(descriptor, rest) :]
