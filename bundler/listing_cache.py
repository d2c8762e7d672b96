"""What `bundle list` shows of every sealed run, remembered beside the runs.

The directories stay the index: a row is taken from here only where its run's directory is there,
and where the manifest it was read from is the same file, of the same size and times. The file can
be deleted at any time; what is missing, stale or damaged in it is read anew.

    one line     the CRC-32 of what follows, in hex
    one object   {directory: [[inode, size, mtime_ns, ctime_ns], [fields of the row…]]}
"""

from __future__ import annotations

import contextlib
import json
import os
import zlib
from collections.abc import Callable

from bundler.places import MANIFEST, run_directories
from bundler.tree import Row

TYPE_CHECKING = False  # as in typing, whose import a short command can do without
if TYPE_CHECKING:
    from typing import Any

    Known = dict[str, list[list[Any]]]

NAME = "listing-1.cache"
"""The number is that of this format: another version neither reads nor disturbs it."""


def rows(folder: str, read: Callable[[str, int, str], tuple[Row, bool]]) -> list[Row]:
    """Return a row for every run in a project's folder, oldest first.

    `read` makes the row of one run by its directory's path, sequence number and run id, and says
    whether it may be remembered. Raises OutputError where the folder cannot be read.
    """
    known = _load(folder)
    kept: Known = {}
    found = []
    for name, sequence, run_id in run_directories(folder):
        stamp = _stamp(f"{folder}/{name}/{MANIFEST}")
        entry = known.get(name)
        if entry is None or entry[0] != stamp:
            row, lasting = read(f"{folder}/{name}", sequence, run_id)
            entry = [stamp, _fields(row)] if lasting and stamp else None
        else:
            row = Row(run_id, sequence, *entry[1])
        if entry is not None:
            kept[name] = entry
        found.append(row)
    if kept != known:
        _save(folder, kept)
    return found


def _fields(row: Row) -> list[Any]:
    return [getattr(row, name) for name in Row.__slots__[2:]]


def _stamp(manifest: str) -> list[int] | None:
    try:
        known = os.stat(manifest)  # noqa: PTH116
    except OSError:
        return None
    return [known.st_ino, known.st_size, known.st_mtime_ns, known.st_ctime_ns]


def _load(folder: str) -> Known:
    try:
        with open(f"{folder}/{NAME}", "rb") as file:  # noqa: PTH123
            checksum, _, content = file.read().partition(b"\n")
    except OSError:
        return {}
    known: Known = json.loads(content) if checksum == _checksum(content) else {}
    return known


def _save(folder: str, known: Known) -> None:
    """Write the file anew; where that cannot be, the next listing reads the manifests again."""
    from pathlib import Path

    from bundler import atomic

    content = json.dumps(known, separators=(",", ":")).encode("ascii")
    with contextlib.suppress(OSError), atomic.replacing(Path(folder, NAME)) as file:
        file.write(_checksum(content) + b"\n" + content)


def _checksum(content: bytes) -> bytes:
    return b"%08x" % zlib.crc32(content)
