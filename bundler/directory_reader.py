"""A directory that a stranger made, read without ever following or waiting for anything.

Only regular files are members. A link, a FIFO, a socket or a device anywhere below is refused by
its name; so are names that the gate would refuse in an archive. Ignored are files that somebody at
work leaves beside the members: `run.lock`, and names that end in `.tmp`.

The directory may grow while it is read: a run that is still recorded is read up to where it is.
What tests leave in one is made safe only when it ends (`bundler.dropped_files`); until then what
would be refused there is passed over, and said.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from bundler.errors import (
    DamagedRecording,
    HostileRecording,
    NotARecording,
    UnreadableRecording,
)
from bundler.limits import Budget, Limits, over
from bundler.names import path_problem, shown

CHUNK = 256 * 1024
IGNORED_NAME, IGNORED_ENDING = "run.lock", ".tmp"

_REPARSE_POINT = 0x400
_FLAGS = ("O_NOFOLLOW", "O_NONBLOCK", "O_NOCTTY", "O_BINARY")
_OPEN_FILE = os.O_RDONLY | sum(getattr(os, flag, 0) for flag in _FLAGS)  # no two share a bit
_OPEN_FOLDER = _OPEN_FILE | getattr(os, "O_DIRECTORY", 0)
_RELATIVE = os.open in os.supports_dir_fd


@dataclass(frozen=True, slots=True)
class Unsettled:
    """The folder of a directory where an entry that would be refused is passed over, if any.

    `passed_over` then says of each which it was, and why.
    """

    folder: str | None = None
    passed_over: list[str] = field(default_factory=list)

    def takes(self, name: str, error: UnreadableRecording, where: str) -> bool:
        """Note that an entry is refused, where it is in the folder or is the folder itself."""
        if self.folder is None or not f"{name}/".startswith(f"{self.folder}/"):
            return False
        why = error.message.removeprefix(f"{where}: ")
        self.passed_over.append(f"{why}; passed over while the run is recorded")
        return True


def list_directory(root: Path, where: str, budget: Budget, unsettled: Unsettled) -> dict[str, int]:
    """Return the size of every member below a directory, by its name relative to it.

    Raises NotARecording where it is no directory, HostileRecording where a rule or a limit refuses
    what is below, DamagedRecording where it cannot be listed.
    """
    sizes: dict[str, int] = {}
    folders = [""]
    while folders:
        folder = folders.pop()
        try:
            entries = list(_scan(root, folder, where, budget))
        except DamagedRecording as error:
            if not unsettled.takes(folder, error, where):
                raise
            continue
        for name, info in entries:
            try:
                _check(name, info, where, budget.limits)
            except HostileRecording as error:
                if not unsettled.takes(name, error, where):
                    raise
                continue
            if stat.S_ISDIR(info.st_mode):
                folders.append(f"{name}/")
            elif not _is_ignored(name):
                budget.claim_bytes(info.st_size, where)
                sizes[name] = info.st_size
    return dict(sorted(sizes.items()))


def read_member(root: Path, name: str, where: str, limits: Limits) -> Iterator[bytes]:
    """Yield the bytes of a member, as many as are there now.

    Raises HostileRecording where it is no regular file any more, or larger than a member may be;
    DamagedRecording where it is gone or cannot be read.
    """
    what = f"{where}: {shown(name)}"
    total = 0
    try:
        descriptor = _open_below(root, name, what)
        with os.fdopen(descriptor, "rb", buffering=0) as file:
            while chunk := file.read(CHUNK):
                total += len(chunk)
                if total > limits.member_bytes:
                    raise over("member_bytes", limits.member_bytes, what)
                yield chunk
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR):
            raise HostileRecording(f"{what} is behind a link") from None
        raise DamagedRecording(f"{what} cannot be read: {error.strerror}") from None


def open_regular(path: Path | str, what: str, folder: int | None = None) -> int:
    """Return a descriptor of a regular file; a link is not followed, a FIFO is not waited for.

    Raises HostileRecording where it is anything else, OSError where it cannot be opened.
    """
    info = os.stat(path, dir_fd=folder, follow_symlinks=False)
    if not _is_plain(info, stat.S_ISREG):
        raise HostileRecording(f"{what} is not a regular file")
    descriptor = os.open(path, _OPEN_FILE, dir_fd=folder)
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    raise HostileRecording(f"{what} is not a regular file")


def _scan(
    root: Path, folder: str, where: str, budget: Budget
) -> Iterator[tuple[str, os.stat_result]]:
    try:
        with os.scandir(root / folder) as entries:
            for entry in entries:
                budget.claim_entries(1, where)
                name = folder + entry.name
                try:
                    info = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue  # somebody at work removed it between the two calls
                yield name, info
    except OSError as error:
        if isinstance(error, FileNotFoundError | NotADirectoryError) and not folder:
            raise NotARecording(f"{where} is not a directory") from None
        what = f"{where}: {shown(folder)}" if folder else where
        raise DamagedRecording(f"{what} cannot be listed: {error.strerror}") from None


def _check(name: str, info: os.stat_result, where: str, limits: Limits) -> None:
    what = f"{where}: {shown(name)}"
    if problem := path_problem(name):
        raise HostileRecording(f"{what} {problem}")
    limits.check("name_bytes", len(name.encode("utf-8")), f"{what} has a long name")
    if not (_is_plain(info, stat.S_ISREG) or _is_plain(info, stat.S_ISDIR)):
        raise HostileRecording(f"{what} is a link, a device or another special file")
    if stat.S_ISREG(info.st_mode) and not _is_ignored(name):
        limits.check("member_bytes", info.st_size, f"{what} has {info.st_size} bytes")


def _is_plain(info: os.stat_result, kind: Callable[[int], bool]) -> bool:
    """Whether it is of that kind, and no junction or other reparse point of Windows."""
    return kind(info.st_mode) and not getattr(info, "st_file_attributes", 0) & _REPARSE_POINT


def _is_ignored(name: str) -> bool:
    last = name.rpartition("/")[2]
    return last == IGNORED_NAME or last.endswith(IGNORED_ENDING)


def _open_below(root: Path, name: str, what: str) -> int:
    """Open a member component by component, so that no folder on its way is followed elsewhere."""
    *folders, last = name.split("/")
    if not _RELATIVE:
        return _open_by_path(root, folders, last, what)
    here = os.open(root, _OPEN_FOLDER & ~os.O_NOFOLLOW)
    try:
        for folder in folders:
            below = os.open(folder, _OPEN_FOLDER, dir_fd=here)
            os.close(here)
            here = below
        return open_regular(last, what, here)
    finally:
        os.close(here)


def _open_by_path(root: Path, folders: list[str], last: str, what: str) -> int:
    """The same where a system cannot open relative to a directory (Windows): check, then open."""
    for folder in folders:
        root = root / folder
        if not _is_plain(root.lstat(), stat.S_ISDIR):
            raise HostileRecording(f"{what} is behind a link")
    return open_regular(root / last, what)
