"""Where this machine keeps run bundles: one folder a project, one directory a run, no index.

    <store>/README.txt                                 who owns this folder
    <store>/<project name>-<digest of its path>/
        README.txt                                     which project it is of
        000041-<run id>/                               a run bundle
        000042-<run id>/

The directory is the index: runs are found by listing, and ordered by their sequence number, which
a clock that jumps does not disturb. Two recorders that start at once may take the same number; the
run id tells them apart.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from bundler import places
from bundler.errors import (
    AmbiguousRun,
    BundleError,
    DamagedRecording,
    NotARecording,
    RunNotFound,
)
from bundler.manifest import NAME, RunManifest, RunStatus, parse_own
from bundler.names import shown
from bundler.results import Status

if TYPE_CHECKING:
    from bundler.recording import Recording

RECORDING_ENDINGS = (
    ".zip",
    ".xml",
    ".json",
    ".jsonl",
    ".ndjson",
    ".log",
    ".zst",
    ".gz",
    ".bz2",
    ".xz",
    ".trace",
)

README = """\
This folder belongs to bundle (seedbundle), the recorder for test runs.
Each directory in it is a recorded run. `bundle list` shows them, `bundle prune` removes old ones.
It is safe to delete a whole run directory, or this whole folder, while nothing is recording.
"""


@dataclass(frozen=True)
class StoredRun:
    """One run directory: its place in the sequence, and its manifest or why there is none."""

    path: Path
    sequence: int
    run_id: str
    manifest: RunManifest | None
    problem: str | None = None
    live: bool = False

    @property
    def sealed(self) -> bool:
        """Whether it has ended as it should: nothing of it is going to change."""
        return bool(self.manifest and self.manifest.members) and not self.live

    @property
    def size_bytes(self) -> int:
        """What the run takes on disk: as its manifest says, counted where it is not sealed."""
        if self.manifest is not None and self.manifest.members:
            return sum(member.size for member in self.manifest.members)
        return sum(path.stat().st_size for path in self.path.rglob("*") if path.is_file())

    @property
    def status(self) -> RunStatus:
        """How the run ended; `interrupted` where its recorder vanished, as the log will say."""
        if self.manifest is None:
            return RunStatus("damaged", reason=self.problem)
        if self.manifest.status.state == Status.RUNNING and not self.live:
            return RunStatus(Status.INTERRUPTED, reason="the recorder vanished")
        return self.manifest.status


@dataclass(frozen=True)
class Store:
    """The runs of one project in one store."""

    root: Path
    project: Path

    @property
    def directory(self) -> Path:
        """The folder of this project's runs."""
        return Path(places.project_folder(str(self.root), str(self.project)))

    def new_run(self, run_id: str) -> Path:
        """Make the directory of a new run, the last of the sequence. Raises OSError."""
        self._begin()
        path = self._next(run_id)
        path.mkdir()
        return path

    def _begin(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        _explain(self.root / "README.txt", README)
        _explain(self.directory / "README.txt", f"{README}\nThe project is {self.project}\n")

    def _next(self, run_id: str) -> Path:
        last = max((sequence for _, sequence, _ in self._directories()), default=0)
        return self.directory / f"{last + 1:06}-{run_id}"

    def add(self, recording: Recording, source: dict[str, Any]) -> StoredRun:
        """Take a recording in as the last of the sequence; the one that is here already stays.

        It appears whole or not at all. Raises OSError.
        """
        import tempfile

        from bundler import adoption, atomic

        run_id = recording.manifest.run_id
        if not places.RUN_ID.fullmatch(run_id):
            raise DamagedRecording(f"{recording.where} has no run id that can be stored")
        here = [one for one in self._directories() if one[2] == run_id]
        if here:
            return stored_run(*here[-1])
        self._begin()
        with tempfile.TemporaryDirectory(dir=self.directory, prefix="adding-") as temporary:
            incoming = Path(temporary) / "run"
            incoming.mkdir()
            adoption.adopt(incoming, recording, source)
            path = self._next(run_id)
            incoming.rename(path)
        atomic.sync_directory(self.directory)
        return stored_run(path, *_numbered(path.name))

    def ids(self) -> list[str]:
        """The run id of every run, oldest first, by listing alone."""
        return [run_id for _, _, run_id in self._directories()]

    def runs(self) -> list[StoredRun]:
        """Every run, oldest first. A damaged one is listed as such and disturbs no other."""
        return [stored_run(path, number, run_id) for path, number, run_id in self._directories()]

    def find(self, name: str) -> StoredRun:
        """Return the run that `latest` or a unique prefix of a run id names.

        Raises RunNotFound or AmbiguousRun.
        """
        known = self._directories()
        wanted = name.lower()
        if wanted == "latest":
            if not known:
                raise RunNotFound(
                    f"no run of {self.project} is stored",
                    hint="Record one with `bundle run -- COMMAND`, or name a file.",
                )
            return stored_run(*known[-1])
        found = [one for one in known if one[2].startswith(wanted)] if wanted else []
        if len(found) > 1:
            ids = ", ".join(run_id[:12] for _, _, run_id in found[:5])
            raise AmbiguousRun(f"run {shown(name)} is more than one: {ids}")
        if not found:
            raise RunNotFound(f"run {shown(name)} is not in the store of {self.project}")
        return stored_run(*found[0])

    def _directories(self) -> list[tuple[Path, int, str]]:
        folder = self.directory
        found = places.run_directories(str(folder))
        return [(folder / name, sequence, run_id) for name, sequence, run_id in found]


def open_store(env: Mapping[str, str] = os.environ, start: Path | None = None) -> Store:
    """Return the store that is configured, for the project that `start` lies in."""
    project = project_of(start or current_directory())
    return Store(root=store_root(env, project), project=project)


def store_root(env: Mapping[str, str], project: Path) -> Path:
    """Return `BUNDLE_STORE`, else the configured `store`, else the platform's state directory."""
    return Path(places.store_root(env, str(project)))


def project_of(start: Path) -> Path:
    """Return the nearest directory at or above `start` that a project begins in, else `start`."""
    return Path(places.project_of(str(start)))


def current_directory() -> Path:
    """Return the working directory. Raises OutputError where it was deleted."""
    return Path(places.current_directory())


def is_path(name: str) -> bool:
    """Whether the name of a run is a path: it has a separator or the ending of a recording."""
    separators = [os.sep, "/"] + ([os.altsep] if os.altsep else [])
    return (
        any(one in name for one in separators)
        or name in (".", "..")
        or name.lower().endswith(RECORDING_ENDINGS)
    )


def open_recording(name: str = "latest", *, store: Store | None = None) -> Recording:
    """Open the run of that name: `latest`, a prefix of a run id, a path, or `-` (standard input).

    Raises RunNotFound where none is there, UnreadableRecording where it cannot be read.
    """
    from bundler import bundle

    if name == "-":
        return _open_stream(sys.stdin.buffer, where="standard input")
    if is_path(name):
        return open_path(Path(name))
    try:
        return bundle.read((store or open_store()).find(name).path)
    except RunNotFound:
        if not _lies_here(name):
            raise
    return open_path(Path(name))


def directory_of(name: str, *, store: Store | None = None) -> Path:
    """Return where the run of that name lies: a directory or a file. Raises RunNotFound."""
    if not is_path(name):
        try:
            return (store or open_store()).find(name).path
        except RunNotFound:
            if not _lies_here(name):
                raise
    path = Path(name)
    _must_exist(path)
    return path


def open_path(path: Path) -> Recording:
    """Open a recording by its path, of whatever format; a pipe is spooled first."""
    from bundler import opening

    _must_exist(path)
    try:
        return opening.read_path(path)
    except OSError as error:
        raise NotARecording(f"{path} cannot be read: {error.strerror}") from None


def _lies_here(name: str) -> bool:
    """Whether a word that names no run is the name of a file or directory here."""
    return name != "latest" and os.path.lexists(name)


def _must_exist(path: Path) -> None:
    try:
        path.stat()
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        gone = isinstance(error, FileNotFoundError | NotADirectoryError)
        why = "does not exist" if gone else f"cannot be reached: {_why(error)}"
        raise RunNotFound(
            f"{_cut(str(path))} {why}", hint="Check the path, or run `bundle list`."
        ) from None


def _cut(name: str) -> str:
    return name if len(name) <= 300 else f"{name[:300]}…"


def _why(error: OSError | ValueError) -> str:
    return getattr(error, "strerror", None) or str(error)


def _open_stream(stream: IO[bytes], *, where: str) -> Recording:
    """Open what comes through a pipe, of whatever format."""
    from bundler import opening

    return opening.read_stream(stream, where=where)


def _numbered(name: str) -> tuple[int, str]:
    match = places.RUN_DIRECTORY.fullmatch(name)
    assert match, f"{name} is not the name of a run directory"
    return int(match[1]), match[2]


def stored_run(path: Path, sequence: int, run_id: str) -> StoredRun:
    """Read the manifest of one run directory, whose name holds the other two."""
    try:
        manifest = parse_own((path / NAME).read_bytes())
    except BundleError as error:
        return StoredRun(path, sequence, run_id, None, problem=error.message)
    except OSError as error:
        return StoredRun(path, sequence, run_id, None, problem=f"no manifest: {error.strerror}")
    live = manifest.status.state == Status.RUNNING and _is_live(path)
    return StoredRun(path, sequence, run_id, manifest, live=live)


def _is_live(path: Path) -> bool:
    from bundler import bundle

    return bundle.is_live(path)


def _explain(path: Path, text: str) -> None:
    if not path.exists():
        path.write_text(text, encoding="utf-8", errors="backslashreplace")
