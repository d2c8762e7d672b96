"""Sealing a run bundle: the log compressed, everything else derived from it, the plain log gone.

The compressed log and the derived documents are written first, and last of all the manifest that
lists them; only then does the plain log go. Killed anywhere in between, what is there reads as
before: where a plain log stands, it is read.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from bundler import atomic
from bundler.bundle import (
    DERIVED,
    ENVIRONMENT,
    LOCK,
    LOG,
    MANIFEST,
    NOT_MEMBERS,
    SEALED_LOG,
    SUMMARY,
    TESTS,
    is_live,
    log_facts,
    plain_log,
    read_directory,
)
from bundler.errors import UnreadableRecording
from bundler.eventlog import seal_frames
from bundler.manifest import (
    Member,
    Redaction,
    RunManifest,
    encode_document,
    parse_manifest,
    summary_document,
    to_document,
)
from bundler.masked_files import mask_files, mask_names
from bundler.recording import Recording
from bundler.redaction import OPTION, counted, holds_masked_option, masker_of
from bundler.results import Results

if TYPE_CHECKING:
    from bundler.dropped_files import Change


def seal(directory: Path, manifest: RunManifest, results: Results | None = None) -> RunManifest:
    """Derive everything from the plain log and put the compressed log in its place.

    `results` is the fold of the log where the caller has it already; it is folded anew where it
    turns out to be of another length. Safe to call again after a kill anywhere. Raises OSError;
    then the plain log still stands.
    """
    recording = Recording(manifest, {}, plain_log(directory / LOG), {}, str(directory))
    kept = 0
    masked: Counter[str] = Counter()

    def whole_lines() -> Iterator[bytes]:
        nonlocal kept
        for line in recording.log.lines():
            if not line.problem:
                kept += 1
                if b"*" in line.content:
                    masked.update(counted(line.content))
                yield line.content + b"\n"

    with atomic.replacing(directory / SEALED_LOG) as file:
        frames = seal_frames(whole_lines(), file)
    if results is None or results.events != kept:
        results = recording.results
    masked.update(_counted_in_documents(directory, manifest))
    manifest = msgspec.structs.replace(
        manifest,
        counts=results.counts,
        log=log_facts(recording, results, frames),
        redaction=_redaction(manifest, masked),
    )
    summary = encode_document(summary_document(manifest, results))
    atomic.write(directory / SUMMARY, summary)
    manifest = msgspec.structs.replace(manifest, members=list(_members(directory)))
    known = parse_manifest((directory / MANIFEST).read_bytes())[1]
    atomic.write(directory / MANIFEST, encode_document(to_document(manifest, known)))
    (directory / LOG).unlink()
    return manifest


def _counted_in_documents(directory: Path, manifest: RunManifest) -> dict[str, int]:
    counts: Counter[str] = Counter()
    if (directory / ENVIRONMENT).is_file():
        counts.update(counted((directory / ENVIRONMENT).read_bytes()))
    counts[OPTION] += sum(map(holds_masked_option, manifest.command.argv))
    return +counts


def _redaction(manifest: RunManifest, masked: Mapping[str, int]) -> Redaction | None:
    """The manifest's own, with what the log says by now; of a foreign recording only if any."""
    if manifest.redaction is None and not masked:
        return None
    before = manifest.redaction or Redaction()
    return msgspec.structs.replace(before, masked=dict(sorted(masked.items())))


def _members(directory: Path) -> Iterator[Member]:
    for path in sorted(directory.rglob("*")):
        name = path.relative_to(directory).as_posix()
        if name in NOT_MEMBERS or name.endswith(".tmp") or not path.is_file() or path.is_symlink():
            continue
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        yield Member(name, path.stat().st_size, digest)


def settle(directory: Path) -> list[Change]:
    """Make safe what tests left in a bundle whose recorder vanished before it could do so.

    Until then the gate may refuse the bundle. A secret in a name is masked before, since nobody
    finds it in a name that was changed. Raises OSError.
    """
    from bundler.dropped_files import make_safe

    if not (directory / LOG).exists() or is_live(directory):
        return []
    with suppress(OSError, UnreadableRecording):  # what is too deep has to be made safe first
        if _is_masked(parse_manifest((directory / MANIFEST).read_bytes())[0]):
            mask_names(directory, masker_of(os.environ), DERIVED | {ENVIRONMENT})
    return make_safe(directory / TESTS)


def seal_abandoned(directory: Path) -> RunManifest:
    """Seal a bundle whose recorder vanished: what is there, with the status that follows."""
    recording = read_directory(directory)
    if (directory / LOG).exists():
        manifest = seal(directory, mask_left_files(directory, recording.manifest))
        (directory / LOCK).unlink(missing_ok=True)
        return manifest
    return recording.manifest


def mask_left_files(directory: Path, manifest: RunManifest) -> RunManifest:
    """Mask the files that tests left in a bundle whose recorder vanished, which would have done it.

    The secrets are those of this environment: nobody knows any more what those of the run were.
    Raises OSError.
    """
    redaction = manifest.redaction
    was_masked = (directory / SEALED_LOG).exists()  # half sealed: that is done before
    if redaction is None or not redaction.on or was_masked:
        return manifest
    masker, ours = masker_of(os.environ), DERIVED | {ENVIRONMENT}
    counts = Counter(name=mask_names(directory, masker, ours))
    counts += mask_files(directory, masker, ours)
    redaction = msgspec.structs.replace(redaction, masked_in_files=dict(sorted(counts.items())))
    return msgspec.structs.replace(manifest, redaction=redaction)


def _is_masked(manifest: RunManifest) -> bool:
    return manifest.redaction is not None and manifest.redaction.on
