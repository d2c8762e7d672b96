"""The documents of a bundle: manifest.json, summary.json, environment.json, the repro manifest.

Each document opens with `format {major, minor}`. Another major is refused, naming the version that
reads it; a newer minor is read, and what is not known here is kept when the document is rewritten.
`schemas/*.json` describe every field; a test holds them against the types below.

History: 1.0, first version. 1.1, `redaction` in the manifest; in a repro manifest `execution`, for
which 1.0 took `replay_metadata` and `seed_lineage`: these have a shape of their own in contract v1.
1.2, `seed_hex` beside `seed` in the events of the log.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec

from bundler.documents import load_document
from bundler.errors import DamagedRecording, TooNewRecording
from bundler.probe.writer.format_version import FORMAT_MAJOR as FORMAT_MAJOR
from bundler.probe.writer.format_version import FORMAT_MINOR as FORMAT_MINOR
from bundler.results import Results
from bundler.seeds import exact_seed, show_seed

NAME = "manifest.json"


class Format(msgspec.Struct, frozen=True):
    """The version of the bundle format."""

    major: int = FORMAT_MAJOR
    minor: int = FORMAT_MINOR


class Command(msgspec.Struct, frozen=True, omit_defaults=True):
    """What was run, where: the words as given, the directory, the runner that was recognised.

    The last `added` words narrowed a rerun; a rerun of that rerun leaves them out again. `results`
    are the patterns of the JUnit XML that the command leaves.
    """

    argv: list[str]
    cwd: str
    runner: str = "command"
    project: str | None = None
    added: int = 0
    results: list[str] = []


class Parent(msgspec.Struct, frozen=True):
    """The run that this one reruns."""

    run_id: str


class RunStatus(msgspec.Struct, frozen=True, omit_defaults=True):
    """How the run ended: a `bundler.results.Status`, and the exit code or the signal."""

    state: str
    exit_code: int | None = None
    signal: str | None = None
    reason: str | None = None


class Log(msgspec.Struct, frozen=True, omit_defaults=True):
    """The event log: how many events, whether it ends as it should, and the sizes of its frames.

    `frames` holds, for each zstd frame of a sealed log, its compressed and its raw size in bytes.
    """

    events: int = 0
    complete: bool = False
    damaged_lines: int = 0
    frames: list[tuple[int, int]] = []


class Member(msgspec.Struct, frozen=True):
    """One file of the bundle: its name in the tree, its size in bytes, its SHA-256 in hex."""

    name: str
    size: int
    sha256: str


class Redaction(msgspec.Struct, frozen=True, omit_defaults=True):
    """Which secrets were masked: how often each rule struck, in the log and documents, in files.

    `on` is False where the run was recorded with `--no-redact`. `left` are files that hold secrets
    all the same: they are packed, and cannot be masked without being made anew.
    """

    on: bool = True
    masked: dict[str, int] = {}
    masked_in_files: dict[str, int] = {}
    left: list[str] = []


class RunManifest(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """manifest.json of a run bundle. Times are RFC 3339 in UTC; durations are microseconds."""

    format: Format
    run_id: str
    seed: int
    seed_hex: str
    created_at: str
    command: Command
    status: RunStatus
    kind: str = "run"
    seed_imposed: bool = False
    finished_at: str | None = None
    duration_us: int | None = None
    parent: Parent | None = None
    recorder: dict[str, str] = {}
    source: dict[str, Any] | None = None
    ci: dict[str, str] | None = None
    counts: dict[str, int] = {}
    log: Log = Log()
    redaction: Redaction | None = None
    members: list[Member] = []


class SummaryRow(msgspec.Struct, frozen=True, omit_defaults=True):
    """One test in summary.json: the fold of all its attempts."""

    test_id: str
    verdict: str
    attempts: int
    duration_us: int
    session: str = ""
    occurrence: int = 1
    seed: int | None = None
    worker: str | None = None
    order: int | None = None


class ReproManifest(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """The repro manifest of one test under one seed, contract v1.

    `invariant_ids` and `artifact_paths` are sorted and unique, and always written; paths are
    relative to the test bundle. `replay_command` is for people to read; nothing ever executes it.
    """

    schema_version: int
    seed: int
    scenario_id: str
    invariant_ids: list[str]
    trace_fingerprint: str
    replay_command: str
    failure_class: str
    artifact_paths: list[str]
    passed: bool
    entropy_seed: int | None = None
    config_hash: str | None = None
    input_digest: str | None = None
    oracle_violations: list[str] | None = None
    subsystem: str | None = None
    invariant: str | None = None
    trace_file: str | None = None
    input_file: str | None = None
    env_snapshot: list[tuple[str, str]] | None = None
    phases_executed: list[str] | None = None
    failure_reason: str | None = None
    adapter: str | None = None
    replay_metadata: dict[str, Any] | None = None
    seed_lineage: dict[str, Any] | None = None
    seed_hex: str | None = None
    run_id: str | None = None
    format: Format | None = None
    execution: dict[str, Any] | None = None


def parse_manifest(raw: bytes) -> tuple[RunManifest, dict[str, Any]]:
    """Return the manifest of manifest.json's bytes, and the whole document, unknown fields too.

    Raises DamagedRecording where it is not a run manifest, TooNewRecording at another major.
    """
    document = parse_document(raw, "manifest.json")
    check_format(document, "manifest.json")
    document["seed"] = exact_seed(document.get("seed"), document.get("seed_hex"))
    try:
        manifest = msgspec.convert(document, RunManifest)
    except msgspec.ValidationError as error:
        raise DamagedRecording(f"manifest.json does not fit its schema: {error}") from None
    if not 0 <= manifest.seed < 1 << 64:
        raise DamagedRecording("manifest.json: seed is outside u64")
    return manifest, document


_OWN = msgspec.json.Decoder(RunManifest)


def parse_own(raw: bytes) -> RunManifest:
    """Return a manifest as `parse_manifest` does, at a fifth of its cost where nothing is odd.

    For what lies in our own store: what a stranger made was read strictly before it came there, and
    written anew. So a key that is there twice is not looked for.
    """
    try:
        manifest = _OWN.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return parse_manifest(raw)[0]
    if manifest.format.major != FORMAT_MAJOR or manifest.seed_hex != f"{manifest.seed:016x}":
        return parse_manifest(raw)[0]
    return manifest


def parse_document(raw: bytes, name: str) -> dict[str, Any]:
    """Return the object in a JSON document, read by the strict rules of `bundler.documents`.

    Raises DamagedRecording where there is none, HostileRecording where a rule refuses it.
    """
    return load_document(raw, name)


def check_format(document: dict[str, Any], name: str) -> None:
    """Refuse a document of another major format version."""
    version = document.get("format")
    major = version.get("major") if isinstance(version, dict) else None
    if not isinstance(major, int) or isinstance(major, bool):
        raise DamagedRecording(f"{name} names no format version")
    if major != FORMAT_MAJOR:
        raise TooNewRecording(
            f"{name} has format {major}, and this program reads format {FORMAT_MAJOR}",
            hint=f"Install seedbundle {major}.x, which reads it.",
        )


def to_document(manifest: msgspec.Struct, known: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return the document of a struct, keeping from `known` what is not a field of it."""
    document: dict[str, Any] = msgspec.to_builtins(manifest)
    return _keep_unknown(known or {}, document, manifest)


def _keep_unknown(
    known: dict[str, Any], document: dict[str, Any], struct: object
) -> dict[str, Any]:
    fields = set(getattr(struct, "__struct_fields__", ()))
    for name, value in known.items():
        if name not in fields:
            document[name] = value
        elif isinstance(value, dict) and isinstance(getattr(struct, name), msgspec.Struct):
            document[name] = _keep_unknown(value, document.get(name, {}), getattr(struct, name))
    return document


def encode_document(document: dict[str, Any]) -> bytes:
    """Return the bytes of a document: ASCII JSON, a line a field, a line a row of a list."""
    fields = [f"  {json.dumps(name)}: {_rows(value)}" for name, value in document.items()]
    return ("{\n" + ",\n".join(fields) + "\n}\n").encode("ascii")


def _rows(value: object) -> str:
    if isinstance(value, list) and value and isinstance(value[0], dict | list):
        rows = ",\n    ".join(json.dumps(row, allow_nan=False) for row in value)
        return f"[\n    {rows}\n  ]"
    return json.dumps(value, allow_nan=False)


def summary_document(manifest: RunManifest, results: Results) -> dict[str, Any]:
    """Return summary.json: the fold's counts, and one row a test in the order of the results."""
    rows = [
        SummaryRow(
            test_id=test.test_id,
            verdict=test.verdict.value,
            attempts=len(test.attempts),
            duration_us=test.duration_us,
            session=test.session,
            occurrence=test.occurrence,
            seed=test.seed,
            worker=test.worker,
            order=test.order,
        )
        for test in results.tests
    ]
    return {
        "format": msgspec.to_builtins(manifest.format),
        "run_id": manifest.run_id,
        "seed": manifest.seed,
        "seed_hex": show_seed(manifest.seed),
        "status": msgspec.to_builtins(manifest.status),
        "counts": results.counts,
        "tests": msgspec.to_builtins(rows),
    }
