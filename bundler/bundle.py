"""A run bundle on disk: begin, append, finish, seal, pack, read.

    manifest.json          who, when, what, seed, parent, command, CI, status, every member's digest
    environment.json       where it ran
    summary.json           the fold: counts, and one row a test
    events.ndjson          the log, plain while the run is live
    events.ndjson.zst      the same once sealed
    run.lock               held while the run is live
    tests/<slug>/<seed>/   the test bundles

The log is the only truth; everything else is derived from it. So sealing writes the compressed log,
the derived documents and, last of all, the manifest that lists them; only then does the plain log
go. Killed anywhere in between, what is there reads as before: where a plain log stands, it is read.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import msgspec

from bundler import archive, atomic
from bundler import manifest as manifest_document
from bundler.directory_reader import Below, open_regular
from bundler.errors import DamagedRecording, HostileRecording, NotARecording
from bundler.eventlog import EventLog, FramedLog, PlainLog, seal_frames
from bundler.events import encode_line
from bundler.holding import packed_size
from bundler.limits import in_force
from bundler.manifest import (
    Log,
    Member,
    Redaction,
    RunManifest,
    RunStatus,
    encode_document,
    parse_manifest,
    summary_document,
    to_document,
)
from bundler.masked_files import mask_files, mask_names
from bundler.names import safe_path
from bundler.recording import Recording, opened
from bundler.redaction import OFF, OPTION, Masker, counted, holds_masked_option, masker_of
from bundler.results import Results, Status
from bundler.spool import Spool
from bundler.status import judge
from bundler.zip_writer import Target, write_zip

if TYPE_CHECKING:
    from filelock import BaseFileLock

    from bundler.dropped_files import Change

MANIFEST = manifest_document.NAME
ENVIRONMENT = "environment.json"
SUMMARY = "summary.json"
LOG = "events.ndjson"
SEALED_LOG = "events.ndjson.zst"
LOCK = "run.lock"
SOURCE = "source"
"""Where the files of a foreign recording lie."""

_CHUNK = 256 * 1024
MOST_PROBLEMS = 100
NOT_MEMBERS = frozenset({MANIFEST, LOG, LOCK})
DERIVED = frozenset({MANIFEST, LOG, SEALED_LOG, SUMMARY, LOCK})
"""What is written anew when a recording becomes a bundle."""


@dataclass
class LiveBundle:
    """A bundle that is being recorded: its directory, its lock, and its log open for appending.

    `begin` makes one. What is appended is masked. Times in the log are microseconds since
    `started_ns` (monotonic clock).
    """

    directory: Path
    manifest: RunManifest
    started_ns: int
    _descriptor: int
    _lock: BaseFileLock
    masker: Masker = OFF
    _closed: bool = field(default=False)

    @property
    def log(self) -> Path:
        """The plain log."""
        return self.directory / LOG

    def append(
        self,
        event: str,
        *,
        category: str,
        message: str,
        data: Mapping[str, Any],
        level: str = "INFO",
        test_id: str | None = None,
        seed: int | None = None,
        ts_us: int | None = None,
        masked: bool = False,
    ) -> None:
        """Append one event: one write of one whole line; it happens now. Raises OSError.

        `masked` where its secrets are masked by now, as in a stream that came in pieces.
        """
        now_us = (time.monotonic_ns() - self.started_ns) // 1000
        line = encode_line(
            event,
            ts_us=now_us if ts_us is None else ts_us,
            category=category,
            message=message,
            level=level,
            test_id=test_id,
            seed=seed,
            data=dict(data),
        )
        line = line if masked else self.masker.line(line)
        written = os.write(self._descriptor, line)
        if written != len(line):
            raise OSError(f"only {written} of {len(line)} bytes of an event were written")

    def finish(self, status: RunStatus, finished_at: str, results: Results) -> RunManifest:
        """Write RunFinished, make the log durable, seal the bundle and let go of it."""
        self._end_torn_line()
        duration_us = (time.monotonic_ns() - self.started_ns) // 1000
        ending = {
            key: value for key, value in msgspec.to_builtins(status).items() if key != "state"
        }
        self.append(
            "RunFinished",
            category="run",
            message=f"{status.state} after {duration_us / 1e6:.2f} s",
            seed=self.manifest.seed,
            data={
                "status": status.state,
                **ending,
                "duration_us": duration_us,
                "counts": results.counts,
                "events": results.events,
            },
        )
        os.fsync(self._descriptor)
        manifest = msgspec.structs.replace(
            self.manifest, status=status, finished_at=finished_at, duration_us=duration_us
        )
        results.events, results.complete = results.events + 1, True
        manifest = seal(self.directory, manifest, results)
        self.close()
        return manifest

    def _end_torn_line(self) -> None:
        """A writer that was killed, or ran out of disk, leaves a line without its end."""
        with self.log.open("rb") as log:
            size = log.seek(0, os.SEEK_END)
            log.seek(max(0, size - 1))
            if log.read(1) not in (b"\n", b""):
                os.write(self._descriptor, b"\n")

    def close(self) -> None:
        """Let go of the log and the lock; what is on disk stays as it is."""
        if not self._closed:
            self._closed = True
            os.close(self._descriptor)
            self._lock.release()
            (self.directory / LOCK).unlink(missing_ok=True)


def begin(
    directory: Path, manifest: RunManifest, *, started_ns: int, masker: Masker = OFF
) -> LiveBundle:
    """Begin a bundle in an empty directory: lock, manifest, log, first event. Raises OSError."""
    lock = _lock(directory)
    lock.acquire(blocking=False)
    try:
        atomic.write(directory / MANIFEST, encode_document(to_document(manifest)))
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | getattr(os, "O_BINARY", 0)
        descriptor = os.open(directory / LOG, flags, 0o666)
    except OSError:
        lock.release()
        raise
    bundle = LiveBundle(directory, manifest, started_ns, descriptor, lock, masker)
    bundle.append(
        "RunStarted",
        category="run",
        message="run started",
        seed=manifest.seed,
        data={
            "run_id": manifest.run_id,
            "argv": manifest.command.argv,
            "cwd": manifest.command.cwd,
            "started_at": manifest.created_at,
        },
    )
    return bundle


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

    lock = _lock(directory)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        return True
    except OSError:
        return False  # a read-only store: nobody can be writing to it
    lock.release()
    return False


def _lock(directory: Path) -> BaseFileLock:
    from filelock import FileLock

    return FileLock(directory / LOCK, timeout=0)


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
        log=_log(recording, results, frames),
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


def _log(recording: Recording, results: Results, frames: list[tuple[int, int]]) -> Log:
    damaged = len(recording.damaged_lines)
    return Log(results.events, results.complete, damaged, frames)


def settle(directory: Path) -> list[Change]:
    """Make safe what tests left in a bundle whose recorder vanished before it could do so.

    Until then the gate may refuse the bundle. Raises OSError.
    """
    from bundler.dropped_files import make_safe

    abandoned = (directory / LOG).exists() and not is_live(directory)
    return make_safe(directory / "tests") if abandoned else []


def seal_abandoned(directory: Path) -> RunManifest:
    """Seal a bundle whose recorder vanished: what is there, with the status that follows."""
    recording = read_directory(directory)
    if (directory / LOG).exists():
        manifest = seal(directory, _masked_files(directory, recording.manifest))
        (directory / LOCK).unlink(missing_ok=True)
        return manifest
    return recording.manifest


def _masked_files(directory: Path, manifest: RunManifest) -> RunManifest:
    """The files of tests are masked when their run ends; this one had nobody to do it."""
    redaction = manifest.redaction
    if redaction is None or not redaction.on:
        return manifest
    masker, ours = masker_of(os.environ), DERIVED | {ENVIRONMENT}
    counts = Counter(name=mask_names(directory, masker, ours))
    counts += mask_files(directory, masker, ours)
    redaction = msgspec.structs.replace(redaction, masked_in_files=dict(sorted(counts.items())))
    return msgspec.structs.replace(manifest, redaction=redaction)


def plain_log(path: Path) -> PlainLog:
    """The plain log in a file of our own."""
    return PlainLog(lambda: path.open("rb"))


def _members(directory: Path) -> Iterator[Member]:
    for path in sorted(directory.rglob("*")):
        name = path.relative_to(directory).as_posix()
        if name in NOT_MEMBERS or name.endswith(".tmp") or not path.is_file() or path.is_symlink():
            continue
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        yield Member(name, path.stat().st_size, digest)


def read(path: Path) -> Recording:
    """Read a run bundle: a directory, or a zip of one.

    Raises NotARecording, DamagedRecording, HostileRecording or TooNewRecording.
    """
    if path.is_dir():
        return read_directory(path)
    return from_members(archive.open_zip(path, where=str(path)), where=str(path))


def read_directory(path: Path) -> Recording:
    """Read a bundle directory, live or sealed."""
    live = is_live(path)
    members = archive.open_directory(path)
    log = _regular_log(path / LOG) if LOG in members else None
    return from_members(members, where=str(path), live=live, plain=log)


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


def _ended(recording: Recording) -> RunManifest:
    """The manifest of a run whose recorder vanished before it could say how the run ended."""
    results = recording.results
    return msgspec.structs.replace(
        recording.manifest,
        status=logged_status(results) or judge(None, results),
        counts=results.counts,
        duration_us=(results.finished or {}).get("duration_us", results.last_ts_us),
        log=_log(recording, results, []),
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


def member_of(recording: Recording, name: str) -> str | None:
    """Return what a file of a foreign recording is called now: `adopt` renames it."""
    if MANIFEST in recording.files:
        renamed = (recording.manifest.source or {}).get("renamed")
        stored = renamed.get(name) if isinstance(renamed, dict) else None
        name = stored if isinstance(stored, str) else f"{SOURCE}/{name}"
    return name if name in recording.files else None


def keep(files: Mapping[str, bytes], name: str, path: Path) -> None:
    """Write a file of a recording, durably; one that may be too large for memory is streamed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("xb") as target, opened(files, name) as source:
        shutil.copyfileobj(source, target)
        target.flush()
        os.fsync(target.fileno())


def pack(path: Path, target: Target) -> RunManifest:
    """Write a bundle as one zip: the same tree, the same names, the same bytes each time.

    A bundle whose recorder vanished is sealed first; one that is live is packed as it stands now.
    Raises what reading it raises, and OSError where it cannot be written.
    """
    if not path.is_dir():
        recording = read(path)
        write_zip(((name, recording.files[name]) for name in recording.files), target)
        return recording.manifest
    return _pack_directory(path, target)


def _pack_directory(directory: Path, target: Target) -> RunManifest:
    recording = read_directory(directory)
    if not recording.live and (directory / LOG).exists():
        seal_abandoned(directory)
        recording = read_directory(directory)
    names = [name for name in recording.files if name != LOCK]
    if MANIFEST not in names:
        raise DamagedRecording(f"{directory} has no {MANIFEST}")
    write_zip(((name, Below(directory, name)) for name in names), target)
    return recording.manifest
