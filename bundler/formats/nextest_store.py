r"""nextest's recordings as bytes: where the log, the outputs and the documents of a run are.

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

The members of store.zip are stored or of method 93 (zstd). Equal outputs are one member. Of an
output over nextest's `max-output-size` (10 MB) head and tail are kept, and between them stands
`\n\n... [truncated N bytes] ...\n\n`; the log has the size that it had.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator
from typing import IO, Any, Final

import msgspec

from bundler.archive import Members
from bundler.documents import load_document
from bundler.errors import DamagedRecording, TooNewRecording, UnreadableRecording
from bundler.eventlog import Line, bounded_lines, decompressed, split_lines, unpacked_log
from bundler.limits import Limits, over

LOG: Final = "run.log.zst"
STORE: Final = "store.zip"
MANIFEST: Final = "manifest.json"
ARCHIVE_MAJOR = 1
STORE_MAJOR = 2
MAX_LINE_BYTES = 32 << 20
INDEX_BYTES = 64 << 20
WINDOW_BYTES = Limits().window_bytes
TOTAL_BYTES = Limits().total_bytes
_CHUNK = 128 * 1024
_CUT = re.compile(rb"\n\n\.\.\. \[truncated [0-9]{1,19} bytes\] \.\.\.\n\n")


class Store:
    """The outputs and documents of one run; closed with the members that it lies in."""

    def __init__(self, members: Members) -> None:
        self._members = members
        self._left = TOTAL_BYTES
        self._dictionaries: dict[str, Any] = {}

    def document(self, name: str) -> dict[str, Any]:
        """Return a document of `meta/`, an empty one where there is none.

        Raises DamagedRecording or HostileRecording.
        """
        name = f"meta/{name}"
        return load_document(self._members[name], name) if name in self._members else {}

    def output(self, file_name: str) -> Iterator[bytes]:
        """Yield the bytes of one output.

        Raises DamagedRecording where it is missing or broken, HostileRecording where all outputs
        together are over the limit `total_bytes`: a log may name one output a million times.
        """
        import zstandard

        name = f"out/{file_name}"
        if name not in self._members:
            raise DamagedRecording(f"{self._members.where}: {name!r:.200} is missing")
        decompressor = zstandard.ZstdDecompressor(
            dict_data=self._dictionary(file_name), max_window_size=WINDOW_BYTES
        )
        frame = io.BytesIO(self._members[name])
        try:
            with decompressor.stream_reader(frame) as reader:
                while chunk := reader.read(_CHUNK):
                    self._claim(len(chunk))
                    yield chunk
        except zstandard.ZstdError as error:
            raise DamagedRecording(f"{self._members.where}: {name} is damaged: {error}") from None

    def _dictionary(self, file_name: str) -> Any:
        """The dictionary of an output: that of stdout where both streams are combined."""
        import zstandard

        name = "stderr.dict" if file_name.endswith("-stderr") else "stdout.dict"
        if name not in self._dictionaries:
            content = self._members.get(f"meta/{name}", b"")
            known = zstandard.ZstdCompressionDict(content) if content else None
            self._dictionaries[name] = known
        return self._dictionaries[name]

    def _claim(self, count: int) -> None:
        self._left -= count
        if self._left < 0:
            what = f"{self._members.where}: the outputs of all tests"
            raise over("total_bytes", TOTAL_BYTES, what)


def around_the_cut(chunks: Iterable[bytes], whole_size: int) -> Iterator[tuple[bytes, int]]:
    """Yield head and tail of an output that nextest cut, each with what is missing before it."""
    content = b"".join(chunks)
    middle = len(content) // 2
    # A test may have printed such a line too; nextest's own stands in the middle.
    cuts = sorted(_CUT.finditer(content), key=lambda one: abs(one.start() - middle))
    if not cuts:
        yield content, 0
        return
    head, tail = content[: cuts[0].start()], content[cuts[0].end() :]
    yield head, 0
    yield tail, max(0, whole_size - len(head) - len(tail))


def is_recording(members: Members) -> bool:
    """Whether these are the members of a run that nextest recorded."""
    return LOG in members and STORE in members


def open_store(members: Members, problems: list[str]) -> Store | None:
    """Open store.zip; where it cannot be read (nextest was killed), say so and return None."""
    try:
        return Store(members.nested(STORE))
    except UnreadableRecording as error:
        problems.append(f"what the tests printed is not known: {error.message}")
        return None


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
    check_store_version(run, members.where)
    return run


def manifest_of(run: dict[str, Any]) -> bytes:
    """Return the manifest that nextest would export of a run in its index."""
    version = {"major": ARCHIVE_MAJOR, "minor": 0}
    return msgspec.json.encode({"format-version": version, "run": run})


def run_of_index(packed: IO[bytes], run_id: str) -> dict[str, Any]:
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


def check_store_version(run: dict[str, Any], where: str) -> None:
    """Refuse a store of another major format. Raises TooNewRecording."""
    major = run.get("store-format-version", STORE_MAJOR)
    if major != STORE_MAJOR:
        raise _too_new(f"{where} is a nextest store of format {major!r:.20}")


class _Index(msgspec.Struct):
    runs: list[dict[str, Any]] = []


def _too_new(message: str) -> TooNewRecording:
    hint = "Update seedbundle: `pip install --upgrade seedbundle`."
    return TooNewRecording(f"{message}, which is not known here", hint=hint)
