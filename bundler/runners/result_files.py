"""JUnit XML that a command leaves behind: only what this run wrote is read.

A file that was there before is of this run if it was written since: another size, time or place on
the disk. What was not is passed over, and said: a report that nobody deleted must not stand for a
run that never came to write one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bundler.errors import DamagedRecording, UnreadableRecording
from bundler.recording import Recording

MOST_FILES = 5000
"""More than that is no pattern for the reports of one run."""

State = tuple[int, int, int]
"""Size, time of the last change in nanoseconds, and place on the disk, of a file."""


@dataclass(frozen=True)
class Before:
    """What the patterns matched before the command was started."""

    root: Path
    patterns: tuple[str, ...]
    states: Mapping[Path, State]


def look(root: Path, patterns: Sequence[str]) -> Before:
    """Remember what the patterns match. Raises OSError."""
    return Before(root, tuple(patterns), dict(_matches(root, patterns)))


def recordings(before: Before) -> tuple[list[Recording], list[str]]:
    """Return what the run wrote, a recording a file, and sentences about what is not in them.

    Raises DamagedRecording where there are too many files, OSError.
    """
    told, said, stale = [], [], 0
    for count, (path, state) in enumerate(_matches(before.root, before.patterns)):
        if count == MOST_FILES:
            shown = " ".join(before.patterns)
            raise DamagedRecording(f"{shown} matches more than {MOST_FILES} files")
        if before.states.get(path) == state:
            stale += 1
            continue
        try:
            told.append(_read(path))
            said += told[-1].problems
        except UnreadableRecording as error:
            said.append(error.message)
    if stale:
        files = "1 file is" if stale == 1 else f"{stale} files are"
        said.append(f"{files} of an earlier run and left out")
    if not told and not stale:
        said.append(f"{' '.join(before.patterns)} matches no file that the run wrote")
    return told, said


def _read(path: Path) -> Recording:
    from bundler.formats import junit_reader

    with path.open("rb") as file:
        head = file.read(4096)
        file.seek(0)
        if not junit_reader.recognises(head):
            raise DamagedRecording(f"{path} is not JUnit XML")
        return junit_reader.read(file, where=str(path))


def _matches(root: Path, patterns: Sequence[str]) -> Iterator[tuple[Path, State]]:
    """Every file that a pattern matches, once, in the order of their names."""
    import glob

    found: set[str] = set()
    for pattern in patterns:
        # Path.glob takes no absolute pattern.
        place = Path(glob.escape(str(root))) / pattern
        found.update(glob.iglob(str(place), recursive=True))  # noqa: PTH207
    for name in sorted(found):
        path = Path(name)
        if path.is_file():
            status = path.stat()
            yield path, (status.st_size, status.st_mtime_ns, status.st_ino)
