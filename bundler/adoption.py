"""Any recording made a run bundle: its log, its files under safe names, and whence it came."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from bundler import atomic
from bundler.bundle import DERIVED, LOG, MANIFEST, SOURCE
from bundler.manifest import RunManifest, encode_document, to_document
from bundler.names import safe_path
from bundler.recording import Recording, opened
from bundler.sealing import seal

MOST_PROBLEMS = 100


def adopt(directory: Path, recording: Recording, source: dict[str, Any]) -> RunManifest:
    """Write any recording into an empty directory as a sealed bundle; `source` says whence it came.

    What a run bundle holds beside its log keeps its name; the files of a foreign recording go below
    `source/`, under a safe name where theirs is none: `source` of the manifest then has it under
    `renamed`. What was wrong with the recording stays with it, as `problems` there. Raises OSError,
    and what reading the members raises.
    """
    own = recording.manifest.source is None or MANIFEST in recording.files
    kept = {**(recording.manifest.source or {}), **source}
    renamed: dict[str, str] = {}
    for name in recording.files:
        if own and name in DERIVED:
            continue
        stored = name if own else f"{SOURCE}/{safe_path(name)}"
        if stored != name and stored != f"{SOURCE}/{name}":
            renamed[name] = stored
        keep(recording.files, name, directory / stored)
    kept |= {"renamed": renamed} if renamed else {}
    kept |= {"problems": recording.problems[:MOST_PROBLEMS]} if recording.problems else {}
    manifest = msgspec.structs.replace(recording.manifest, source=kept, members=[])
    with (directory / LOG).open("xb") as file:
        for line in recording.log.lines():
            if not line.problem:
                file.write(line.content + b"\n")
    document = to_document(manifest, recording.document)
    atomic.write(directory / MANIFEST, encode_document(document))
    return seal(directory, manifest)


def keep(files: Mapping[str, bytes], name: str, path: Path) -> None:
    """Write a file of a recording, durably; one that may be too large for memory is streamed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("xb") as target, opened(files, name) as source:
        shutil.copyfileobj(source, target)
        target.flush()
        os.fsync(target.fileno())
