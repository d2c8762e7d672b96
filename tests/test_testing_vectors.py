"""Every pure function of `bundler.testing` gives what asupersync's own gives for its input."""

from __future__ import annotations

import json
import struct
from typing import Any

import pytest
from asupersync_samples import documents, seed_of, vectors

from bundler import seeds
from bundler.errors import DamagedRecording
from bundler.probe.writer.json_text import pretty
from bundler.testing import (
    ContractError,
    ReproManifest,
    TestContext,
    TestSummary,
    artifact_bundle_dir,
    default_trace_fingerprint,
    ndjson_file_name,
    normalize_string_ids,
    parse_level,
    replay_target_slug,
    trace_file_name,
)
from bundler.testing.environment import EnvironmentMetadata
from bundler.testing.json_documents import parse

CLAUSES = {
    "schema_version",
    "scenario_id",
    "replay_command",
    "failure_class",
    "trace_fingerprint",
    "invariant_ids",
    "artifact_paths",
    "adapter",
    "replay_metadata.family.id",
    "replay_metadata.effective_seed",
    "seed_lineage.seed_lineage_id",
}


def rows(name: str) -> pytest.MarkDecorator:
    """The vectors of one function, each with itself as its name."""
    return pytest.mark.parametrize("row", vectors()[name], ids=lambda row: json.dumps(row)[:60])


def case_of(row: dict[str, Any]) -> str:
    return str(row["case"])


def root_of(row: dict[str, Any]) -> int:
    return int(row["root"]["decimal"])


@rows("derived_seeds")
def test_seeds_of_components_and_scenarios(row: dict[str, Any]) -> None:
    context = TestContext(test_id="x", seed=root_of(row))
    assert context.component_seed(row["tag"]) == int(row["component"], 16)
    assert context.scenario_seed(row["tag"]) == int(row["scenario"], 16)


@rows("entropy_seeds")
def test_seeds_of_entropy(row: dict[str, Any]) -> None:
    index = int(row["index"]["decimal"])
    assert seeds.entropy_seed(root_of(row), index) == int(row["entropy"], 16)


@rows("file_names")
def test_names_of_traces_and_logs(row: dict[str, Any]) -> None:
    words = row["subsystem"], row["scenario"], seed_of(row)
    assert trace_file_name(*words) == row["trace"]
    assert ndjson_file_name(*words) == row["ndjson"]


@rows("bundle_dirs")
def test_directories_of_bundles(row: dict[str, Any]) -> None:
    found = artifact_bundle_dir(row["base"], row["test_id"], seed_of(row))
    assert found.as_posix() == row["dir"]


@rows("replay_target_slug")
def test_slugs_of_scenarios(row: dict[str, Any]) -> None:
    assert replay_target_slug(row["scenario_id"]) == row["slug"]


@rows("default_trace_fingerprint")
def test_fingerprints_without_a_trace(row: dict[str, Any]) -> None:
    found = default_trace_fingerprint(row["scenario_id"], seed_of(row))
    assert found == row["default_trace_fingerprint"]


@rows("normalize_string_ids")
def test_ids_are_normalised(row: dict[str, Any]) -> None:
    assert list(normalize_string_ids(row["input"])) == row["normalized"]


@rows("log_level_parse")
def test_levels_are_parsed(row: dict[str, Any]) -> None:
    if row["level"] is None:
        with pytest.raises(ValueError, match="level"):
            parse_level(row["text"])
    else:
        assert parse_level(row["text"]) == row["level"]


@rows("json_floats")
def test_floats_are_written_alike(row: dict[str, Any]) -> None:
    [value] = struct.unpack(">d", bytes.fromhex(row["bits"]))
    assert pretty(value) == row["json"].encode()


@rows("context_display")
def test_a_context_is_shown_alike(row: dict[str, Any]) -> None:
    context = TestContext.from_document(row["context"])
    assert str(context) == row["display"]
    assert context.execution_instance_id == row["execution_instance_id"]


@pytest.mark.parametrize("row", vectors()["contract_v1"], ids=case_of)
def test_the_contract_is_broken_by_the_same_clause(row: dict[str, Any]) -> None:
    manifest = ReproManifest.from_document(row["manifest"])
    if row["error"] is None:
        manifest.validate()
        return
    with pytest.raises(ContractError) as refused:
        manifest.validate()
    assert refused.value.message == row["error"]
    assert row["error"].startswith(refused.value.clause)


def test_the_vectors_break_every_clause() -> None:
    broken = {row["error"].split(" ")[0] for row in vectors()["contract_v1"] if row["error"]}
    assert broken == CLAUSES


@pytest.mark.parametrize("row", vectors()["manifest_reading"], ids=case_of)
def test_a_manifest_is_read_or_refused_alike(row: dict[str, Any]) -> None:
    raw = row["input"].encode()
    if not row["accepted"]:
        with pytest.raises(DamagedRecording):
            ReproManifest.load(raw)
        return
    manifest = ReproManifest.load(raw)
    read_back = {k: v for k, v in manifest.to_document().items() if k not in manifest.unknown}
    assert json.loads(pretty(read_back)) == row["read_back"]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("/manifest.json", ReproManifest),
        ("/repro_manifest.json", ReproManifest),
        ("summary.json", TestSummary),
        ("/environment.json", EnvironmentMetadata),
    ],
)
def test_its_documents_come_back_byte_by_byte(name: str, kind: Any) -> None:
    found = documents(name)
    assert len(found) >= 3
    for path, content in found.items():
        again = kind.from_document(parse(content, path), path)
        assert pretty(again.to_document()) == content, path


def test_constants() -> None:
    constants = vectors()["constants"]
    written = ReproManifest.from_context(TestContext(test_id="x", seed=1), passed=True)
    assert written.schema_version == constants["ARTIFACT_SCHEMA_VERSION"]
    assert set(constants["REPRO_MANIFEST_REQUIRED_FIELDS"]) <= written.to_document().keys()
