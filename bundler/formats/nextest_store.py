"""nextest's recordings as bytes: where the log, the documents and the outputs of a run are.

Read off cargo-nextest 0.9.143 to 0.9.148 (https://nexte.st/docs/design/architecture/recording-runs/),
store format 2. A run is a directory of nextest's own store, or a portable recording:

    <state>/projects/<workspace>/records/runs/
        runs.json.zst              {runs [{run-id, started-at, status …}]}: of every run
        <run id>/run.log.zst  store.zip

    x.zip (`cargo nextest store export`)
        manifest.json              {format-version {major 1, minor}, run {as in runs.json.zst}}
        run.log.zst                what happened: one JSON object a line
        store.zip

    store.zip
        meta/test-list.json  meta/cargo-metadata.json  meta/record-opts.json  meta/rerun-info.json?
        meta/stdout.dict  meta/stderr.dict
        out/<digest>-stdout  -stderr  -combined     a zstd frame with the dictionary of its end

The members of store.zip are stored or of method 93 (zstd); `bundler.formats.nextest_outputs` has
what is in `out`.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any, Final, TypeVar

import msgspec

from bundler.archive import Members
from bundler.directory_reader import open_regular
from bundler.documents import load_document
from bundler.errors import DamagedRecording, TooNewRecording, UnreadableRecording
from bundler.eventlog import Line, bounded_lines, decompressed, split_lines, unpacked_log

LOG: Final = "run.log.zst"
STORE: Final = "store.zip"
MANIFEST: Final = "manifest.json"
INDEX: Final = "runs.json.zst"
FILES = "nextest"
"""The folder in which a recording keeps the files that nextest wrote, for nextest to rerun."""

ARCHIVE_MAJOR = 1
STORE_MAJOR = 2
MAX_LINE_BYTES = 32 << 20
INDEX_BYTES = 64 << 20


class Documents:
    """The documents that a recording holds beside its log and its outputs: `meta/` in store.zip."""

    def __init__(self, store: Members | None, problems: list[str]) -> None:
        self._store, self._problems = store, problems

    def selected(self) -> Iterator[tuple[str, str]]:
        """Yield the binary id and the name of every test that was to run, as nextest lists them."""
        found = self._decoded("test-list.json", _TestList) or _TestList()
        for binary_id, suite in found.suites.items():
            for name, case in suite.testcases.items():
                if case.match.status == "matches":
                    yield binary_id, name

    def workspace_root(self) -> str:
        """Return where the crates were, empty where nothing says it."""
        found = self._decoded("cargo-metadata.json", _Metadata)
        return found.workspace_root if found else ""

    def run_mode(self) -> str | None:
        """Return what was run: `test` or `bench`."""
        found = self._decoded("record-opts.json", _Options)
        return found.run_mode if found else None

    def _decoded(self, name: str, kind: type[_Document]) -> _Document | None:
        """What a document has of what is asked for; the metadata of a workspace is megabytes."""
        if self._store is None or f"meta/{name}" not in self._store:
            return None
        try:
            return msgspec.json.decode(self._store[f"meta/{name}"], type=kind)
        except UnreadableRecording as error:
            self._problems.append(error.message)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            self._problems.append(f"meta/{name} is not understood: {error}")
        return None


class Kept(Mapping[str, bytes]):
    """The files that nextest wrote, under a folder of their own, as they are in an archive of it.

    In nextest's own store there is no manifest; what it would say stands in the index.
    """

    def __init__(self, members: Members, run: dict[str, Any]) -> None:
        self._members = members
        self._made: dict[str, bytes] = {}
        if run and MANIFEST not in members:
            self._made[MANIFEST] = manifest_of(run)
        names = [MANIFEST, LOG, STORE]
        known = [name for name in names if name in members or name in self._made]
        self._names = {f"{FILES}/{name}": name for name in known}

    def __getitem__(self, name: str) -> bytes:
        inner = self._names[name]
        return self._made[inner] if inner in self._made else self._members[inner]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def open(self, name: str) -> IO[bytes]:
        """Return a stream of a file: it may be too large to be read as a whole."""
        if self._names[name] in self._made:
            return io.BytesIO(self[name])
        return self._members.open(self._names[name])


def is_recording(members: Members) -> bool:
    """Whether these are the members of a run that nextest recorded."""
    return LOG in members and STORE in members


def open_store(members: Members, problems: list[str]) -> Members | None:
    """Open store.zip; where it cannot be read (nextest was killed), say so and return None."""
    try:
        return members.nested(STORE)
    except UnreadableRecording as error:
        problems.append(f"what the tests printed is not known: {error.message}")
        return None


def rerun_info(store: Members) -> dict[str, Any]:
    """Return what a rerun says of the chain that it is in, an empty document where it is none.

    Raises DamagedRecording or HostileRecording.
    """
    name = "meta/rerun-info.json"
    return load_document(store[name], name) if name in store else {}


def log_lines(members: Members) -> Iterator[Line]:
    """Yield the lines of the log. One that breaks off ends with a line that has a problem.

    Raises HostileRecording at a limit.
    """
    position = 0
    try:
        with members.open(LOG) as packed:
            size = members.size(LOG)
            lines = split_lines(unpacked_log(packed, size, LOG), limit=MAX_LINE_BYTES)
            for line in bounded_lines(lines, size, LOG):
                position = line.offset
                yield line
    except DamagedRecording as error:
        yield Line(position, b"", error.message)


def run_of(members: Members, where: str, problems: list[str]) -> dict[str, Any]:
    """Return what is said of the run beside its log: in its manifest, or in the store's index.

    Raises DamagedRecording, or TooNewRecording where nextest has changed the format.
    """
    if MANIFEST in members:
        return run_of_manifest(members)
    path = Path(where)
    try:
        index = open_regular(path.parent / INDEX, INDEX)
    except (OSError, UnreadableRecording):
        return {}
    with os.fdopen(index, "rb") as packed:
        try:
            run = _run_of_index(packed, path.name)
        except UnreadableRecording as error:
            problems.append(error.message)
            return {}
    _check_store_version(run, where)
    return run


def run_of_manifest(members: Members) -> dict[str, Any]:
    """Return what a portable recording's manifest says of its run.

    Raises DamagedRecording, or TooNewRecording where nextest has changed the format.
    """
    document = load_document(members[MANIFEST], MANIFEST)
    version = document.get("format-version")
    major = version.get("major") if isinstance(version, dict) else None
    run = document.get("run")
    if not isinstance(major, int) or not isinstance(run, dict):
        raise DamagedRecording(f"{members.where}: {MANIFEST} is not that of a nextest recording")
    if major != ARCHIVE_MAJOR:
        raise _too_new(f"{members.where} is a nextest archive of format {major}")
    _check_store_version(run, members.where)
    return run


def manifest_of(run: dict[str, Any]) -> bytes:
    """Return the manifest that nextest would export of a run in its index."""
    version = {"major": ARCHIVE_MAJOR, "minor": 0}
    return msgspec.json.encode({"format-version": version, "run": run})


def _run_of_index(packed: IO[bytes], run_id: str) -> dict[str, Any]:
    """Return what runs.json.zst says of one run, an empty document where it says nothing.

    Raises DamagedRecording or HostileRecording.
    """
    content = b"".join(decompressed(packed, limit=INDEX_BYTES, what="runs.json.zst"))
    try:
        document = msgspec.json.decode(content, type=_Index)
    except (msgspec.DecodeError, RecursionError) as error:
        raise DamagedRecording(f"runs.json.zst is damaged: {error}") from None
    runs = (run for run in document.runs if run.get("run-id") == run_id)
    return next(runs, {})


def _check_store_version(run: dict[str, Any], where: str) -> None:
    """Refuse a store of another major format. Raises TooNewRecording."""
    major = run.get("store-format-version", STORE_MAJOR)
    if major != STORE_MAJOR:
        raise _too_new(f"{where} is a nextest store of format {major!r:.20}")


class _Index(msgspec.Struct):
    runs: list[dict[str, Any]] = []


class _Match(msgspec.Struct, gc=False):
    status: str


class _Case(msgspec.Struct, gc=False):
    match: _Match = msgspec.field(name="filter-match")


class _Suite(msgspec.Struct, gc=False):
    testcases: dict[str, _Case] = {}


class _TestList(msgspec.Struct):
    suites: dict[str, _Suite] = msgspec.field(name="rust-suites", default_factory=dict)


class _Metadata(msgspec.Struct):
    workspace_root: str = ""


class _Options(msgspec.Struct, rename="kebab"):
    run_mode: str | None = None


_Document = TypeVar("_Document", bound=msgspec.Struct)


def _too_new(message: str) -> TooNewRecording:
    hint = "Update seedbundle: `pip install --upgrade seedbundle`."
    return TooNewRecording(f"{message}, which is not known here", hint=hint)
