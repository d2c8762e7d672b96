"""The repro manifest of one test: what is needed to see one test under one seed again.

It is asupersync's contract v1, and three fields of ours. `schemas/repro-manifest.v1.json` describes
every field; a test holds this type against it, and against `bundler.manifest.ReproManifest`, which
is the same thing where msgspec may be imported.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Self

from bundler.errors import DamagedRecording
from bundler.probe.writer.documents import ASSERTION_FAILURE, PASSED, pending_fingerprint
from bundler.probe.writer.format_version import FORMAT
from bundler.probe.writer.json_text import pretty
from bundler.probe.writer.whole_file import write_whole
from bundler.seeds import scenario_seed, show_seed
from bundler.testing.context import TestContext
from bundler.testing.json_documents import Fields, is_u64, parse

SCHEMA_VERSION = 1
_ROOT = re.compile(r"[0-9a-f]{16}")

# White_Space of Unicode, as Rust's `trim` has it; Python's `strip` also takes U+001C to U+001F.
_WHITE_SPACE = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(
    chr(code) for code in range(0x2000, 0x200B)
)


class ContractError(DamagedRecording):
    """A repro manifest breaks its contract; `clause` is the name of the clause."""

    default_hint = ""

    def __init__(self, clause: str, message: str) -> None:
        super().__init__(message)
        self.clause = clause


@dataclass(frozen=True, kw_only=True, slots=True)
class ReproManifest:
    """The repro manifest of one test under one seed.

    The fields stand in the order in which they are written. `invariant_ids` and `artifact_paths`
    are sorted and each once; our paths are relative to the test bundle. `replay_command` is for
    people to read: nothing ever executes it. Fields that are None or empty are not written, but for
    those two. `unknown` keeps what a newer writer added.

        >>> context = TestContext(test_id="cancel_drain", seed=7, invariant="losers_drained")
        >>> manifest = ReproManifest.from_context(context, passed=False)
        >>> manifest.failure_class, manifest.trace_fingerprint
        ('assertion_failure', 'pending:cancel_drain:0000000000000007')
        >>> manifest.context() == context
        True
    """

    schema_version: int = SCHEMA_VERSION
    seed: int
    scenario_id: str
    invariant_ids: tuple[str, ...] = ()
    entropy_seed: int | None = None
    config_hash: str | None = None
    trace_fingerprint: str
    replay_command: str
    failure_class: str
    artifact_paths: tuple[str, ...] = ()
    input_digest: str | None = None
    oracle_violations: tuple[str, ...] = ()
    passed: bool
    subsystem: str | None = None
    invariant: str | None = None
    trace_file: str | None = None
    input_file: str | None = None
    env_snapshot: tuple[tuple[str, str], ...] = ()
    phases_executed: tuple[str, ...] = ()
    failure_reason: str | None = None
    adapter: str | None = None
    replay_metadata: Mapping[str, Any] | None = None
    seed_lineage: Mapping[str, Any] | None = None
    seed_hex: str | None = None
    run_id: str | None = None
    format: Mapping[str, Any] | None = None
    unknown: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_context(
        cls,
        context: TestContext,
        *,
        passed: bool,
        failure_class: str | None = None,
        replay_command: str | None = None,
        trace_fingerprint: str | None = None,
        invariant_ids: Iterable[str] = (),
        artifact_paths: Iterable[str] = (),
        **others: Any,
    ) -> Self:
        """Return the manifest of a test: what the context says, and `others`, fields by name.

        The invariant of the context is one of `invariant_ids`, which are normalised, as the paths
        are. Without a `failure_class` it is `passed` or `assertion_failure`.
        """
        invariants = [*invariant_ids, *([context.invariant] if context.invariant else [])]
        return cls(
            seed=context.seed,
            scenario_id=context.test_id,
            invariant_ids=normalize_string_ids(invariants),
            trace_fingerprint=trace_fingerprint
            or default_trace_fingerprint(context.test_id, context.seed),
            replay_command=replay_command or default_replay_command(context),
            failure_class=failure_class or (PASSED if passed else ASSERTION_FAILURE),
            artifact_paths=normalize_string_ids(artifact_paths),
            passed=passed,
            subsystem=context.subsystem,
            invariant=context.invariant,
            adapter=context.adapter,
            replay_metadata=context.replay_metadata,
            seed_lineage=context.seed_lineage,
            seed_hex=show_seed(context.seed),
            format=FORMAT,
            **others,
        )

    def context(self) -> TestContext:
        """Return who the test is."""
        return TestContext(
            test_id=self.scenario_id,
            seed=self.seed,
            subsystem=self.subsystem,
            invariant=self.invariant,
            adapter=self.adapter,
            replay_metadata=self.replay_metadata,
            seed_lineage=self.seed_lineage,
        )

    def validate(self) -> None:
        """Hold the manifest against contract v1. Raises ContractError at the first broken clause.

        The clauses, in this order: `schema_version` is 1; `scenario_id`, `replay_command`,
        `failure_class` and `trace_fingerprint` are not blank; no value of `invariant_ids` and
        `artifact_paths` is blank; `adapter` is not blank; `replay_metadata` is of this scenario and
        seed; `seed_lineage` is of its seed plan; the ids, then the paths, are sorted and unique.
        """
        if not is_u64(self.seed):
            raise ContractError("seed", "seed must be an unsigned 64-bit number")
        if self.schema_version != SCHEMA_VERSION:
            message = f"schema_version must be {SCHEMA_VERSION}, got {self.schema_version}"
            raise ContractError("schema_version", message)
        self._validate_texts()
        self._validate_provenance()
        for name in ("invariant_ids", "artifact_paths"):
            values = getattr(self, name)
            if tuple(values) != normalize_string_ids(values):
                raise ContractError(name, f"{name} must be sorted and deduplicated")

    def _validate_texts(self) -> None:
        for name in ("scenario_id", "replay_command", "failure_class", "trace_fingerprint"):
            if _is_blank(getattr(self, name)):
                raise ContractError(name, f"{name} must be non-empty")
        for name in ("invariant_ids", "artifact_paths"):
            if any(_is_blank(value) for value in getattr(self, name)):
                raise ContractError(name, f"{name} cannot contain empty values")
        if self.adapter is not None and _is_blank(self.adapter):
            raise ContractError("adapter", "adapter cannot be empty when present")

    def _validate_provenance(self) -> None:
        metadata = self.replay_metadata
        if metadata is None or (self.format is not None and "family" not in metadata):
            return  # format 1.0 said here which attempt it was
        if _within(metadata, "family", "id") != self.scenario_id:
            _mismatch("replay_metadata.family.id", "scenario_id")
        if _within(metadata, "effective_seed") != self.seed:
            _mismatch("replay_metadata.effective_seed", "seed")
        planned = _within(metadata, "seed_plan", "seed_lineage_id")
        if self.seed_lineage is not None and self.seed_lineage.get("seed_lineage_id") != planned:
            other = "replay_metadata.seed_plan.seed_lineage_id"
            _mismatch("seed_lineage.seed_lineage_id", other)

    def to_document(self) -> dict[str, Any]:
        """Return the manifest as it is written: what is None or empty left out."""
        document: dict[str, Any] = {}
        for one in fields(self):
            value = getattr(self, one.name)
            always = one.name in ("invariant_ids", "artifact_paths")
            if one.name != "unknown" and (always or (value is not None and value != ())):
                document[one.name] = value
        return {**document, **self.unknown}

    def to_json(self) -> bytes:
        """Return manifest.json in bytes."""
        return pretty(self.to_document())

    def write(self, directory: Path) -> Path:
        """Write manifest.json into a directory, whole or not at all, and return its path.

        Raises ContractError where the manifest breaks its contract, OSError.
        """
        self.validate()
        path = directory / "manifest.json"
        write_whole(str(path), self.to_json())
        return path

    @classmethod
    def load(cls, source: Path | bytes) -> Self:
        """Return the manifest in a file or in bytes; it is not validated.

        Raises DamagedRecording where it is none, OSError where it cannot be read.
        """
        if isinstance(source, bytes):
            return cls.from_document(parse(source, "manifest.json"))
        return cls.from_document(parse(source.read_bytes(), source.name), source.name)

    @classmethod
    def from_document(cls, document: Mapping[str, Any], what: str = "manifest.json") -> Self:
        """Return the manifest of a document. Raises DamagedRecording, naming the field."""
        given = Fields(document, what)
        return cls(
            schema_version=given.u64("schema_version"),
            seed=given.u64("seed"),
            scenario_id=given.text("scenario_id"),
            invariant_ids=given.texts("invariant_ids"),
            entropy_seed=given.optional_u64("entropy_seed"),
            config_hash=given.optional_text("config_hash"),
            trace_fingerprint=given.text("trace_fingerprint"),
            replay_command=given.text("replay_command"),
            failure_class=given.text("failure_class"),
            artifact_paths=given.texts("artifact_paths"),
            input_digest=given.optional_text("input_digest"),
            oracle_violations=given.texts("oracle_violations"),
            passed=given.flag("passed"),
            subsystem=given.optional_text("subsystem"),
            invariant=given.optional_text("invariant"),
            trace_file=given.optional_text("trace_file"),
            input_file=given.optional_text("input_file"),
            env_snapshot=given.pairs("env_snapshot"),
            phases_executed=given.texts("phases_executed"),
            failure_reason=given.optional_text("failure_reason"),
            adapter=given.optional_text("adapter"),
            replay_metadata=given.optional_object("replay_metadata"),
            seed_lineage=given.optional_object("seed_lineage"),
            seed_hex=given.optional_text("seed_hex"),
            run_id=given.optional_text("run_id"),
            format=given.optional_object("format"),
            unknown=given.unknown(),
        )


def normalize_string_ids(values: Iterable[str]) -> tuple[str, ...]:
    """Return texts without white space around them, without empty ones, sorted, each once."""
    stripped = (value.strip(_WHITE_SPACE) for value in values)
    return tuple(sorted({value for value in stripped if value}))


def default_trace_fingerprint(scenario_id: str, seed: int) -> str:
    """Return the fingerprint of a test of which no trace was taken."""
    return pending_fingerprint(scenario_id, seed)


def default_replay_command(context: TestContext) -> str:
    """Return a command that runs the test again under its seed, for people to read.

    It names the root seed of the run, where the test's seed comes from that.
    """
    pytest = f"python -m pytest {shlex.quote(context.test_id)}"
    root = os.environ.get("BUNDLE_RUN_SEED", "")
    if _ROOT.fullmatch(root) and scenario_seed(int(root, 16), context.test_id) == context.seed:
        return f"bundle run --seed {root} -- {pytest}"
    return f"ASUPERSYNC_SEED=0x{context.seed:X} {pytest}"


def _is_blank(text: str) -> bool:
    return not text.strip(_WHITE_SPACE)


def _within(value: Any, *names: str) -> Any:
    for name in names:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _mismatch(clause: str, other: str) -> None:
    raise ContractError(clause, f"{clause} must match {other}")
