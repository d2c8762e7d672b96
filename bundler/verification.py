"""Is a run bundle whole and valid: its digests, its documents, its log; and how it is repaired.

Everything but the log is derived from the log, so a repair rebuilds the rest from it. What the log
itself has lost stays lost, and is named.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec

from bundler import atomic, bundle, sealing, test_bundles
from bundler.documents import load_document
from bundler.errors import UnreadableRecording
from bundler.events import Event
from bundler.manifest import RunManifest
from bundler.recording import Recording, opened
from bundler.results import Folding, Status, collector_paused
from bundler.schema import event_fits, event_validator, fits, validator

DOCUMENTS = {
    bundle.MANIFEST: "manifest.v1",
    bundle.SUMMARY: "summary.v1",
    bundle.ENVIRONMENT: "environment.v1",
}
MOST_FINDINGS_OF_A_KIND = 20
_CHUNK = 256 * 1024


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it should be; `derived` where `--repair` can rebuild it."""

    member: str
    problem: str
    derived: bool = False


def verify(recording: Recording) -> list[Finding]:
    """Return everything that is wrong with a run bundle; nothing is wrong with an empty list.

    A live run, and one whose recorder vanished, is not wrong for being unsealed or unfinished.
    The log is read once. Raises HostileRecording where it is over a limit.
    """
    findings = [Finding("bundle", problem) for problem in recording.problems]
    findings += _members(recording)
    findings += _documents(recording)
    findings += _log(recording)
    findings += _derived(recording)
    return list(dict.fromkeys(findings))


def _members(recording: Recording) -> Iterator[Finding]:
    for member in recording.manifest.members:
        derived = _is_derived(member.name)
        if member.name not in recording.files:
            yield Finding(member.name, "is missing", derived)
            continue
        size, digest = _measured(recording.files, member.name)
        if size != member.size:
            yield Finding(member.name, f"has {size} bytes, not {member.size}", derived)
        elif digest != member.sha256:
            yield Finding(member.name, "has another SHA-256 than the manifest says", derived)
    listed = {member.name for member in recording.manifest.members}
    if bundle.SEALED_LOG in listed:
        for name in sorted(set(recording.files) - listed - bundle.NOT_MEMBERS):
            yield Finding(name, "is not in the manifest", derived=True)


def _measured(files: Mapping[str, bytes], name: str) -> tuple[int, str]:
    """The size and the SHA-256 of a file, which may be too large for memory."""
    digest, size = sha256(), 0
    with opened(files, name) as file:
        while chunk := file.read(_CHUNK):
            size += len(chunk)
            digest.update(chunk)
    return size, digest.hexdigest()


def _is_derived(name: str) -> bool:
    return name == bundle.SUMMARY or test_bundles.is_derived(name)


def _documents(recording: Recording) -> Iterator[Finding]:
    repros = dict.fromkeys(filter(test_bundles.is_manifest, recording.files), "repro-manifest.v1")
    for name, schema in (DOCUMENTS | repros).items():
        if name not in recording.files:
            continue
        try:
            document = load_document(recording.files[name], name)
        except UnreadableRecording as error:
            yield Finding(name, error.message, derived=_is_derived(name))
            continue
        for problem in _misfits(document, schema):
            yield Finding(name, problem, derived=_is_derived(name))
        if name in repros:
            yield from _contract(document, name)


def _misfits(document: dict[str, Any], schema: str) -> Iterator[str]:
    if fits(schema)(document):
        return
    misfits = validator(schema).iter_errors(document)
    for misfit in itertools.islice(misfits, MOST_FINDINGS_OF_A_KIND):
        yield f"does not fit {schema}: {misfit.json_path}: {misfit.message[:200]}"


def _contract(document: dict[str, Any], name: str) -> Iterator[Finding]:
    """The clause that a repro manifest breaks, where it can be read at all."""
    from bundler.testing import ReproManifest

    try:
        ReproManifest.from_document(document, name).validate()
    except UnreadableRecording as error:
        yield Finding(name, error.message.removeprefix(f"{name}: "), derived=True)


def _log(recording: Recording) -> Iterator[Finding]:
    misfits = _folded(recording)
    yield from misfits
    for damaged in recording.damaged_lines[:MOST_FINDINGS_OF_A_KIND]:
        yield Finding("events", f"byte {damaged.offset}: a line that is {damaged.why}")
    ended = recording.manifest.status.state not in (Status.RUNNING, Status.INTERRUPTED)
    if ended and not recording.results.complete:
        yield Finding("events", "the log does not end as a complete run does: events are lost")


def _folded(recording: Recording) -> list[Finding]:
    """Hold every event to its schema, and fold it into the results on the way."""
    folding = Folding(recording.holding())
    misfits: list[Finding] = []
    with collector_paused():
        for offset, event in recording.events():
            enough = len(misfits) == MOST_FINDINGS_OF_A_KIND  # why costs more than whether
            data, problem = (None, None) if enough else _held(event)
            folding.take(offset, event, data)
            if problem is not None:
                where = f"byte {offset}: {event.event}"
                misfits.append(Finding("events", f"{where} does not fit: {problem[:200]}"))
        recording.results = folding.end()
    return misfits


def _held(event: Event) -> tuple[dict[str, Any] | None, str | None]:
    """Return the data of an event, and why it does not fit the schema of its name, if so."""
    try:
        data = msgspec.json.decode(event.data)
    except ValueError as error:  # a number out of range, text that is no UTF-8
        return None, str(error)
    fields = msgspec.structs.asdict(event)
    document = {key: value for key, value in fields.items() if value is not None} | {"data": data}
    if event_fits(event.event)(document):
        return data, None
    problem = next(event_validator(event.event).iter_errors(document)).message
    return data if isinstance(data, dict) else None, problem


def _derived(recording: Recording) -> Iterator[Finding]:
    if recording.live:
        return
    if recording.manifest.counts != recording.results.counts:
        yield Finding(bundle.MANIFEST, "has other counts than the log", derived=True)
    logged = bundle.logged_status(recording.results)
    if logged is not None and logged != recording.manifest.status:
        yield Finding(bundle.MANIFEST, "says another end of the run than the log", derived=True)


def repair(directory: Path) -> RunManifest:
    """Rebuild everything that is derived, from the log of a bundle directory.

    The plain log is written first and sealed anew, so a repair that is killed can be repeated. What
    tests left where the recorder vanished is masked, with the secrets of this environment.
    Raises UnreadableRecording where manifest.json itself cannot be read, OSError.
    """
    recording = bundle.read_directory(directory)
    manifest = recording.manifest
    log = directory / bundle.LOG
    if log.exists():
        manifest = sealing.mask_left_files(directory, manifest)
        recording = bundle.read_directory(directory)
    else:
        with atomic.replacing(log) as file:
            for line in recording.log.lines():
                if not line.problem:
                    file.write(line.content + b"\n")
    state = bundle.logged_status(recording.results) or manifest.status
    if not recording.results.complete and state.state == Status.PASSED:
        reason = "events are lost"
        state = msgspec.structs.replace(state, state=Status.INTERRUPTED, reason=reason)
    manifest = msgspec.structs.replace(manifest, status=state)
    test_bundles.write(directory, recording)
    return sealing.seal(directory, manifest)
