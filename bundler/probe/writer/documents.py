"""What the documents of a test's bundle say: manifest.json, and environment.json."""

from __future__ import annotations

import os
import struct
import sys
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, Protocol

from .format_version import FORMAT

SNAPSHOT = ("ASUPERSYNC_SEED", "BUNDLE_RUN_SEED", "BUNDLE_SEED", "PYTHONHASHSEED", "TZ")
"""The variables that a manifest keeps: seeds, and what else is no secret and no path."""

PASSED, ASSERTION_FAILURE = "passed", "assertion_failure"
_SYSTEMS = {"darwin": "macos", "win32": "windows", "cygwin": "windows"}
_MACHINES = {"amd64": "x86_64", "arm64": "aarch64", "i386": "x86", "i686": "x86"}


class Test(Protocol):
    """Who a test is; `to_document` gives it as `context` of a summary."""

    @property
    def test_id(self) -> str: ...
    @property
    def seed(self) -> int: ...
    @property
    def subsystem(self) -> str | None: ...
    @property
    def invariant(self) -> str | None: ...
    @property
    def adapter(self) -> str | None: ...
    @property
    def replay_metadata(self) -> Mapping[str, Any] | None: ...
    @property
    def seed_lineage(self) -> Mapping[str, Any] | None: ...
    def to_document(self) -> dict[str, Any]: ...


class End(NamedTuple):
    """What a manifest says of a test's end that its summary does not: `files` are in the bundle."""

    replay_command: str
    files: list[str]
    traces: list[str]
    failure_class: str
    failure_reason: str | None


def manifest_of(test: Test, summary: Mapping[str, Any], end: End) -> dict[str, Any]:
    """Return the repro manifest, its fields in the order of the contract."""
    passed = summary["passed"]
    invariant = (test.invariant or "").strip()
    document = {
        "schema_version": 1,
        "seed": test.seed,
        "scenario_id": test.test_id,
        "invariant_ids": [invariant] if invariant else [],
        "trace_fingerprint": pending_fingerprint(test.test_id, test.seed),
        "replay_command": end.replay_command,
        "failure_class": PASSED if passed else end.failure_class,
        "artifact_paths": end.files,
        "passed": passed,
        "subsystem": test.subsystem,
        "invariant": test.invariant,
        "trace_file": next((name for name in end.traces if name in end.files), None),
        "env_snapshot": _snapshot_of_environment() or None,
        "phases_executed": [one["name"] for one in _walk(summary["phases"])] or None,
        "failure_reason": None if passed else end.failure_reason,
        "adapter": test.adapter,
        "replay_metadata": test.replay_metadata,
        "seed_lineage": test.seed_lineage,
        "seed_hex": f"{test.seed:016x}",
        "run_id": os.environ.get("BUNDLE_RUN_ID") or None,
        "format": FORMAT,
    }
    return {name: value for name, value in document.items() if value is not None}


def pending_fingerprint(scenario_id: str, seed: int) -> str:
    """Return the fingerprint of a test of which no trace was taken."""
    return f"pending:{scenario_id}:{seed:016x}"


def _snapshot_of_environment() -> list[tuple[str, str]]:
    """Return the variables that matter to the test, by exact name, with their values."""
    return [(name, os.environ[name]) for name in SNAPSHOT if name in os.environ]


def environment_of(test: Test) -> dict[str, Any]:
    """Return where this process runs: system, processor, bits of a pointer."""
    machine = os.uname().machine if hasattr(os, "uname") else _windows_machine()
    return {
        "os": _SYSTEMS.get(sys.platform, sys.platform),
        "arch": _MACHINES.get(machine.lower(), machine),
        "pointer_width": 8 * struct.calcsize("P"),
        "test_id": test.test_id,
        "seed": test.seed,
        "ports": [],
        "services": [],
    }


def _windows_machine() -> str:
    return os.environ.get("PROCESSOR_ARCHITECTURE", "unknown")


def sentence_of(record: Mapping[str, Any]) -> str:
    """Return what an assertion said, in one line of text."""
    return f"{record['description']}: expected={record['expected']}, actual={record['actual']}"


def _walk(tree: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for phase in tree:
        yield phase
        yield from _walk(phase["children"])
