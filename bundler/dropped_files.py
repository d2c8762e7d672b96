"""What tests left in their run bundle, made safe: whatever it is, the bundle can still be read.

A suite may leave anything in its artifacts directory. Only regular files and directories stay, with
names that survive every file system and every CI uploader, and not without end. What cannot stay is
renamed (its readable part, then a digest of its name) or removed, and every such change is
returned, so that it can be said. Nothing is followed, and nothing outside is touched.
"""

from __future__ import annotations

import itertools
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bundler.names import collision_key, name_problem, shown
from bundler.probe.writer.file_names import FileNames, safe_file_name

_HALF_WRITTEN = re.compile(r".+\.\d+-\d+\.tmp")
_SUMMARY = "_summary.json"  # beside a directory of asupersync's, and named like it
_KINDS = (
    (stat.S_ISLNK, "is a link"),
    (stat.S_ISFIFO, "is a pipe"),
    (stat.S_ISSOCK, "is a socket"),
)


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much may stay; sizes are bytes, `path` is that of the longest path below the folder."""

    entries: int = 50_000
    file: int = 1 << 30
    total: int = 4 << 30
    levels: int = 24
    path: int = 700


@dataclass(frozen=True, slots=True)
class Change:
    """A file or directory that could not stay as it was: why, and what it is called now, if it is.

    Names are relative to the folder, and may be anything.
    """

    name: str
    why: str
    became: str | None = None

    def __str__(self) -> str:
        end = f", now {shown(self.became)}" if self.became else ""
        return f"{shown(self.name)} {self.why}{end}"


def make_safe(folder: Path, bounds: Bounds | None = None) -> list[Change]:
    """Make everything below a folder safe, and return what was changed. Raises OSError."""
    if not os.path.lexists(folder):
        return []
    if folder.is_symlink() or not folder.is_dir():
        folder.unlink()
        return [Change(folder.name, "is no directory")]
    return list(_Sweep(folder, bounds or Bounds()).changes())


class _Sweep:
    def __init__(self, root: Path, bounds: Bounds) -> None:
        self.root = root
        self.bounds = bounds
        self.entries = 0
        self.bytes = 0

    def changes(self) -> Iterator[Change]:
        """Go through the folder, a directory before what is in it."""
        waiting = [""]
        while waiting:
            below = waiting.pop()
            names = FileNames()
            present = sorted((path.name for path in (self.root / below).iterdir()), key=os.fsencode)
            taken: set[str] = set()
            for name in present:
                change = self._settled(below, name, taken, names, present)
                if change is not None:
                    yield change
                became = f"{below}{name}" if change is None else change.became
                if became is not None:
                    taken.add(collision_key(became.rpartition("/")[2]))
                    if (self.root / became).is_dir():
                        waiting.append(f"{became}/")

    def _settled(
        self, below: str, name: str, taken: set[str], names: FileNames, present: list[str]
    ) -> Change | None:
        """Remove an entry or rename it, where either is needed."""
        full = f"{below}{name}"
        try:
            info = os.lstat(self.root / full)
            why = self._why_removed(full, info)
            if why:
                _remove(self.root / full)
                return Change(full, why)
            _let_read(self.root / full, info)
            why = _why_renamed(name, taken)
            if not why:
                return None
            became = f"{below}{_safe(name, names, present)}"
            (self.root / full).rename(self.root / became)
            return Change(full, why, became)
        except FileNotFoundError:
            return Change(full, "vanished meanwhile")  # somebody who outlived the run is at work

    def _why_removed(self, full: str, info: os.stat_result) -> str:
        """Say why an entry cannot stay under any name; count it if it can."""
        bounds, mode = self.bounds, info.st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            return next((words for is_one, words in _KINDS if is_one(mode)), "is a device")
        if _HALF_WRITTEN.fullmatch(full):
            return "is half written"
        if full.count("/") >= bounds.levels:
            return f"lies over {bounds.levels} directories deep"
        if len(os.fsencode(full)) > bounds.path:
            return f"has a path of over {bounds.path} bytes"
        size = info.st_size if stat.S_ISREG(mode) else 0
        if size > bounds.file:
            return f"has {size} bytes, over {bounds.file}"
        if self.bytes + size > bounds.total:
            return f"is beyond {bounds.total} bytes of all together"
        if self.entries >= bounds.entries:
            return f"is beyond {bounds.entries} files and directories"
        self.entries += 1
        self.bytes += size
        return ""


def _why_renamed(name: str, taken: set[str]) -> str:
    if name.startswith("."):
        return "is hidden: a CI service would drop it"
    if name_problem(name):
        return f"has a name that {name_problem(name)}"
    if name.endswith(".tmp") or name == "run.lock":
        return "has a name that is passed over"
    return "has the name of another, but for case" if collision_key(name) in taken else ""


def _safe(name: str, names: FileNames, present: list[str]) -> str:
    """A name instead of one that cannot stay; a summary keeps the name of what it sums up."""
    stem = name.removesuffix(_SUMMARY) if name.endswith(_SUMMARY) else ""
    if stem and name_problem(stem) and f"{safe_file_name(stem)}{_SUMMARY}" not in present:
        return f"{safe_file_name(stem)}{_SUMMARY}"
    return names.take(name, present)


def _let_read(path: Path, info: os.stat_result) -> None:
    """Give the owner, who is the one that reads it now, the right to."""
    wanted = 0o700 if stat.S_ISDIR(info.st_mode) else 0o600
    if info.st_mode & wanted != wanted:
        path.chmod(stat.S_IMODE(info.st_mode) | wanted)


def _remove(path: Path) -> None:
    """Remove a file, or a directory with all that is in it, however deep."""
    if path.is_symlink() or not path.is_dir():
        path.unlink()
        return
    # What lies deeper is moved up first, because a path may be longer than the system takes.
    numbers = itertools.count()
    waiting = [path]
    while waiting:
        here = waiting.pop()
        here.chmod(0o700)
        for inner in list(here.iterdir()):
            if inner.is_dir() and not inner.is_symlink():
                moved = path.parent / f"removed-{os.getpid()}-{next(numbers)}.tmp"
                inner.chmod(0o700)
                waiting.append(inner.rename(moved))
            else:
                inner.unlink()
        here.rmdir()
