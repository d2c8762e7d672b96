"""Names of the files in a bundle: which a stranger's may have, and which ours are given.

Two rules. What we *read* is only ever looked up by exact name, so it may be odd, but not ambiguous:
`path_problem` says what is wrong with it. What we *name* must survive every file system, every CI
uploader and every shell: `check_name` and `slug` hold it to `[A-Za-z0-9_][A-Za-z0-9._-]*`, at most
120 characters, and nothing that Windows reserves
(https://learn.microsoft.com/windows/win32/fileio/naming-a-file).
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from bundler.errors import HostileRecording
from bundler.probe.writer.file_names import (
    MAX_NAME,
    READABLE,
    RESERVED,
    collision_key,
    slug,
)

__all__ = [
    "MAX_NAME",
    "READABLE",
    "check_name",
    "check_names",
    "collision_key",
    "name_problem",
    "path_problem",
    "safe_path",
    "shown",
    "slug",
]

_SHOWN = 100
_SAFE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_DRIVE = re.compile(r"[A-Za-z]:")
_ENDING = re.compile(r"\.[A-Za-z0-9]{1,8}\Z")
_PASSED_OVER = re.compile(r"(?:\Arun\.lock|\.tmp)\Z")  # what the reader of a directory leaves out


def check_name(component: str) -> str:
    """Return the name of one file or directory that is to be made in a bundle, if it is safe.

    Raises HostileRecording, naming the rule that it breaks.
    """
    problem = name_problem(component)
    if problem:
        raise HostileRecording(f"name {shown(component)} {problem}")
    return component


def name_problem(component: str) -> str:
    """Return the rule that the name of a file to be made in a bundle breaks, or the empty text."""
    if not _SAFE.fullmatch(component):
        return "is not made of A-Z a-z 0-9 . _ - alone, or starts with . or -"
    if len(component) > MAX_NAME:
        return f"is longer than {MAX_NAME} characters"
    if component.endswith("."):
        return "ends with a dot"
    if RESERVED.fullmatch(component):
        return "is reserved on Windows"
    return ""


def safe_path(path: str) -> str:
    """Return a stranger's path as one under which a file can be written anywhere.

    A component that is safe stays as it is; another one becomes a readable part and a digest.
    """
    return "/".join(_safe_component(component) for component in path.split("/"))


def path_problem(path: str) -> str:
    """Return what makes the name of a stranger's member unacceptable, or "" where nothing does.

    `path` is relative, its components parted by `/`, without a slash at its end.
    """
    if not path:
        return "has an empty name"
    if _CONTROL.search(path):
        return "has a control character in its name"
    if "\\" in path:
        return "has a backslash in its name"
    if path.startswith("/") or _DRIVE.match(path):
        return "has an absolute name"
    for component in path.split("/"):
        if component in ("", ".", ".."):
            return f"has the component {component!r} in its name"
    return "" if _is_unicode(path) else "has a name that is not UTF-8"


def check_names(names: Iterable[str], where: str) -> None:
    """Refuse names that are one name on a system that ignores case or Unicode normal form.

    A directory's name ends with a slash. Raises HostileRecording for the first that collides with
    one before it, or that is a file where another needs a directory.
    """
    # By hash: normalised names can take four times the memory of the names themselves.
    seen: dict[int, str] = {}
    folders: set[int] = set()
    for name in names:
        key = collision_key(name.rstrip("/"))
        number = hash(key)
        if number in seen:
            earlier = seen[number]
            how = "is there twice" if earlier == name else f"is the same name as {shown(earlier)}"
            raise HostileRecording(f"{where}: entry {shown(name)} {how}")
        seen[number] = name
        folder = key.rpartition("/")[0]
        while folder and hash(folder) not in folders:
            folders.add(hash(folder))
            folder = folder.rpartition("/")[0]
    for name in map(seen.__getitem__, folders & seen.keys()):
        if not name.endswith("/"):
            raise HostileRecording(f"{where}: entry {shown(name)} is both a file and a directory")


def shown(name: str) -> str:
    """Return a stranger's name as a message may show it: quoted, escaped, not too long."""
    return repr(name if len(name) <= _SHOWN else f"{name[:_SHOWN]}…")


def _safe_component(component: str) -> str:
    if not name_problem(component) and not _PASSED_OVER.search(component):
        return component
    ending = _ENDING.search(component)
    return slug(component) + (ending[0] if ending and not _PASSED_OVER.search(component) else "")


def _is_unicode(text: str) -> bool:
    return text.isascii() or not _SURROGATE.search(text)
