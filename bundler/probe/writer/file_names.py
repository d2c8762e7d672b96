"""What the files of a test are called: the names that the format has, and names safe to write.

A test id may be `../x`, `CON`, or 300 characters long, and ids that differ in case only may meet on
a file system that ignores it. A name that is safe as it stands stays as it is; any other becomes a
readable part and a digest of the whole (`slug`), so no two share a place, and each is found again
by its real name, which stands inside.
"""

from __future__ import annotations

import hashlib
import os
import re
import unicodedata

MANIFEST = "manifest.json"
EVENTS = "events.ndjson"
SUMMARY = "summary.json"
ENVIRONMENT = "environment.json"
FAILED_ASSERTIONS = "failed_assertions.json"
DOCUMENTS = (MANIFEST, EVENTS, SUMMARY, ENVIRONMENT, FAILED_ASSERTIONS)

MAX_NAME = 120
READABLE = 64
RESERVED = re.compile(r"(?:con|prn|aux|nul|com[0-9]|lpt[0-9])(?:\..*)?", re.IGNORECASE)
"""What Windows reserves (https://learn.microsoft.com/windows/win32/fileio/naming-a-file)."""

_DIGEST_HEX = 16
_UNSAFE_RUN = re.compile(r"[^A-Za-z0-9._-]+")
_PLAIN = re.compile(r"[a-z0-9_][a-z0-9._-]*")
_SLUGGED = re.compile(r"(?:.*-)?[0-9a-f]{16}(?:\..*)?")
_EXTENSION = re.compile(r"\.[A-Za-z0-9]{1,8}")
_sha256 = hashlib.sha256


def slug(test_id: str) -> str:
    """Return the name of a test's directory: a readable part of its id, then a digest of all of it.

    The digest (64 bits of SHA-256, hex) tells apart what the readable part does not: ids that
    differ only in case, in what was replaced, or in what was cut out of the middle.
    """
    digest = _sha256(test_id.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGEST_HEX]
    readable = _UNSAFE_RUN.sub("-", test_id).strip("-.")
    if len(readable) > READABLE:
        half = READABLE // 2 - 1
        readable = f"{readable[:half]}--{readable[-half:]}"
    name = f"{readable}-{digest}" if readable else digest
    return f"_{name}" if RESERVED.fullmatch(name) else name


def collision_key(path: str) -> str:
    """Return what two names share when a file system that ignores case or Unicode normal form
    takes them for one (canonical caseless matching, Unicode 3.13, D145)."""
    if path.isascii():
        return path.lower()
    decomposed = unicodedata.normalize("NFD", path)
    return unicodedata.normalize("NFD", decomposed.casefold())


def trace_file_name(subsystem: str, scenario: str, seed: int) -> str:
    """Return `{subsystem}_{scenario}_{seed:016x}.trace`. It names: see `safe_file_name`.

    >>> trace_file_name("scheduler", "cancel_drain", 0xDEADBEEF)
    'scheduler_cancel_drain_00000000deadbeef.trace'
    """
    return f"{subsystem}_{scenario}_{seed:016x}.trace"


def safe_folder_name(test_id: str) -> str:
    """Return the name of a test's directory: its id where that is safe, else its `slug`."""
    return test_id if _is_plain(test_id) else slug(test_id)


def safe_file_name(name: str) -> str:
    """Return a name under which a file can be written anywhere: as it is, or with a digest.

    >>> safe_file_name("frame_1.png")
    'frame_1.png'
    >>> safe_file_name("../Frame.png")
    'Frame-0df651a596efa7be.png'
    """
    if _is_plain(name):
        return name
    extension = os.path.splitext(name)[1]
    if not _EXTENSION.fullmatch(extension) or extension.lower() == ".tmp":
        return slug(name)
    readable, _, digest = slug(name).rpartition("-")
    stem = readable[: -len(extension)] if readable.endswith(extension) else readable
    return f"{stem.rstrip('-.') or '_'}-{digest}{extension}"


class FileNames:
    """The names of the files in one test bundle: each real name gets one that nothing else has."""

    def __init__(self) -> None:
        self._taken = {collision_key(name) for name in DOCUMENTS}

    def take(self, name: str, present: list[str]) -> str:
        """Return a safe name that is free, also of the names that are `present` already."""
        taken = self._taken.union(map(collision_key, present))
        wanted = safe_file_name(name)
        chosen, number = wanted, 1
        while collision_key(chosen) in taken:
            number += 1
            chosen = _numbered(wanted, number)
        self._taken.add(collision_key(chosen))
        return chosen


def _numbered(name: str, number: int) -> str:
    stem, dot, ending = name.rpartition(".")
    return f"{stem}-{number}.{ending}" if dot else f"{name}-{number}"


def _is_plain(name: str) -> bool:
    """Whether a name is safe, and can be told from every name that has a digest."""
    return (
        _PLAIN.fullmatch(name) is not None
        and len(name) <= MAX_NAME
        and not name.endswith((".", ".tmp"))
        and name != "run.lock"
        and not RESERVED.fullmatch(name)
        and not _SLUGGED.fullmatch(name)
    )
