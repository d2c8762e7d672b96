"""A run bundle as one zip: the same tree, the same names, the same bytes each time."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path

from bundler.bundle import LOCK, LOG, MANIFEST, read, read_directory
from bundler.errors import DamagedRecording
from bundler.recording import Recording, opened
from bundler.sealing import seal_abandoned
from bundler.zip_writer import Target, write_zip


def pack(path: Path, target: Target) -> Recording:
    """Write a bundle as one zip: the same tree, the same names, the same bytes each time.

    Returns what was packed. A bundle whose recorder vanished is sealed first; one that is live is
    packed as it stands now. Raises what reading it raises, and OSError where it cannot be written.
    """
    if not path.is_dir():
        recording = read(path)
        _write(recording, recording.files, target)
        return recording
    return _pack_directory(path, target)


def _pack_directory(directory: Path, target: Target) -> Recording:
    recording = read_directory(directory)
    if not recording.live and (directory / LOG).exists():
        seal_abandoned(directory)
        recording = read_directory(directory)
    names = [name for name in recording.files if name != LOCK]
    if MANIFEST not in names:
        raise DamagedRecording(f"{directory} has no {MANIFEST}")
    _write(recording, names, target)
    return recording


def _write(recording: Recording, names: Iterable[str], target: Target) -> None:
    """Members come through the gate once more, which follows no link that is there meanwhile."""
    write_zip(((name, partial(opened, recording.files, name)) for name in names), target)
