"""A run bundle on disk: what it holds, whether it is live, and how it is read.

    manifest.json          who, when, what, seed, parent, command, CI, status, every member's digest
    environment.json       where it ran
    summary.json           the fold: counts, and one row a test
    events.ndjson          the log, plain while the run is live
    events.ndjson.zst      the same once sealed
    run.lock               held while the run is live
    tests/<slug>/<seed>/   the test bundles

The log is the only truth; everything else is derived from it when the bundle is sealed
(`bundler.sealing`). Where a plain log stands, it is the one that is read.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import IO, TYPE_CHECKING

import msgspec

from bundler import archive
from bundler import manifest as manifest_document
from bundler.directory_reader import open_regular
from bundler.errors import HostileRecording, NotARecording
from bundler.eventlog import EventLog, FramedLog, PlainLog
from bundler.holding import packed_size
from bundler.limits import in_force
from bundler.manifest import (
    Log,
    RunManifest,
    RunStatus,
    parse_manifest,
)
from bundler.recording import Recording
from bundler.results import Results, Status
from bundler.spool import Spool
from bundler.status import judge

if TYPE_CHECKING:
    from filelock import BaseFileLock


MANIFEST = manifest_document.NAME
ENVIRONMENT = "environment.json"
SUMMARY = "summary.json"
LOG = "events.ndjson"
SEALED_LOG = "events.ndjson.zst"
LOCK = "run.lock"
TESTS = "tests"
SOURCE = "source"
"""Where the files of a foreign recording lie."""

_CHUNK = 256 * 1024
NOT_MEMBERS = frozenset({MANIFEST, LOG, LOCK})
DERIVED = frozenset({MANIFEST, LOG, SEALED_LOG, SUMMARY, LOCK})
"""What is written anew when a recording becomes a bundle."""


def is_live(directory: Path) -> bool:
    """Whether somebody records into this directory right now.

    A stranger may have made it, so its lock is only looked at: neither written nor followed.
    """
    try:
        descriptor = open_regular(directory / LOCK, LOCK)
    except (OSError, HostileRecording):
        return False  # nobody holds what is not there; the gate refuses what is no file
    with os.fdopen(descriptor, "rb") as lock:
        return _is_held(directory, lock)


def _is_held(directory: Path, lock: IO[bytes]) -> bool:
    try:
        import fcntl
    except ImportError:  # Windows, where a lock needs a file that is open for writing
        return _is_held_by_filelock(directory)
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # a file system without locks: there the file itself is the lock
        return _is_held_by_filelock(directory)
    return False


def _is_held_by_filelock(directory: Path) -> bool:
    from filelock import Timeout

    lock = lock_of(directory)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        return True
    except OSError:
        return False  # a read-only store: nobody can be writing to it
    lock.release()
    return False


def lock_of(directory: Path) -> BaseFileLock:
    """The lock that is held while a run is recorded into this directory."""
    from filelock import FileLock

    return FileLock(directory / LOCK, timeout=0)


def plain_log(path: Path) -> PlainLog:
    """The plain log in a file of our own."""
    return PlainLog(lambda: path.open("rb"))


def read(path: Path) -> Recording:
    """Read a run bundle: a directory, or a zip of one.

    Raises NotARecording, DamagedRecording, HostileRecording or TooNewRecording.
    """
    if path.is_dir():
        return read_directory(path)
    return from_members(archive.open_zip(path, where=str(path)), where=str(path))


def read_directory(path: Path) -> Recording:
    """Read a bundle directory, live or sealed.

    What tests leave is made safe when their run ends; of a live one, what would be refused there
    is passed over, and stands among the problems.
    """
    live = is_live(path)
    unsettled = archive.Unsettled(TESTS if live else None)
    members = archive.open_directory(path, unsettled=unsettled)
    log = _regular_log(path / LOG) if LOG in members else None
    recording = from_members(members, where=str(path), live=live, plain=log)
    recording.problems += sorted(unsettled.passed_over)
    return recording


def from_members(
    members: archive.Members, *, where: str, live: bool = False, plain: PlainLog | None = None
) -> Recording:
    """Make the recording of a bundle's members, wherever they come from.

    `plain` is the plain log where it can be read in place.
    """
    if MANIFEST not in members:
        raise NotARecording(f"{where} is not a run bundle: it has no {MANIFEST}")
    manifest, document = parse_manifest(members[MANIFEST])
    if manifest.kind != "run":
        raise NotARecording(f"{where} is a {manifest.kind} bundle, not a run bundle")
    problems = _problems_at_home(manifest)
    log = plain or _open_log(members, manifest, problems)
    recording = Recording(manifest, document, log, members, where, live=live, problems=problems)
    if not live:
        problems += _missing(members, manifest)
        if manifest.status.state == Status.RUNNING:
            recording.manifest = _ended(recording)
    return recording


def _problems_at_home(manifest: RunManifest) -> list[str]:
    """What was wrong with a foreign recording already when it was taken in."""
    known = (manifest.source or {}).get("problems")
    return [one for one in known if isinstance(one, str)] if isinstance(known, list) else []


def _open_log(members: archive.Members, manifest: RunManifest, problems: list[str]) -> EventLog:
    if LOG in members:
        return _spooled_log(members)
    if SEALED_LOG not in members:
        problems.append("the event log is missing: what the run did is not known")
        return PlainLog(b"")
    compressed = members[SEALED_LOG]
    expected = next((one.sha256 for one in manifest.members if one.name == SEALED_LOG), None)
    if expected and hashlib.sha256(compressed).hexdigest() != expected:
        problems.append(f"{SEALED_LOG} is not what was sealed: its digest differs")
    return FramedLog(compressed, manifest.log.frames, packed=members.packed(SEALED_LOG))


def _spooled_log(members: archive.Members) -> PlainLog:
    """The plain log of an archive, in a temporary file."""
    what = f"{members.where}: {LOG}"
    in_force().check("whole_bytes", members.size(LOG), what)
    spool = Spool(members.where)
    with members.open(LOG) as source:
        while chunk := source.read(_CHUNK):
            spool.append(chunk)
    spool.end()
    return PlainLog(spool.view, packed=min(members.packed(LOG), packed_size(spool.size)))


def _regular_log(path: Path) -> PlainLog:
    return PlainLog(lambda: os.fdopen(open_regular(path, path.name), "rb"))


def _missing(members: archive.Members, manifest: RunManifest) -> Iterable[str]:
    for member in manifest.members:
        if member.name not in members and member.name not in (SEALED_LOG, LOG):
            yield f"{member.name} is missing"


def log_facts(recording: Recording, results: Results, frames: list[tuple[int, int]]) -> Log:
    """Return what a manifest says of its log."""
    damaged = len(recording.damaged_lines)
    return Log(results.events, results.complete, damaged, frames)


def _ended(recording: Recording) -> RunManifest:
    """The manifest of a run whose recorder vanished before it could say how the run ended."""
    results = recording.results
    return msgspec.structs.replace(
        recording.manifest,
        status=logged_status(results) or judge(None, results),
        counts=results.counts,
        duration_us=(results.finished or {}).get("duration_us", results.last_ts_us),
        log=log_facts(recording, results, []),
    )


def logged_status(results: Results) -> RunStatus | None:
    """Return how the run ended by its own log, None where the log does not come to its end."""
    if not results.complete or results.finished is None:
        return None
    return RunStatus(
        state=str(results.finished.get("status", Status.INTERRUPTED)),
        exit_code=results.finished.get("exit_code"),
        signal=results.finished.get("signal"),
        reason=results.finished.get("reason"),
    )


def member_of(recording: Recording, name: str) -> str | None:
    """Return what a file of a foreign recording is called now: `bundler.adoption` renames it."""
    if MANIFEST in recording.files:
        renamed = (recording.manifest.source or {}).get("renamed")
        stored = renamed.get(name) if isinstance(renamed, dict) else None
        name = stored if isinstance(stored, str) else f"{SOURCE}/{name}"
    return name if name in recording.files else None
