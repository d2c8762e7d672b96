"""What a test writes is what asupersync reads: names, types, order and omissions of its documents.

The other side is what asupersync's own code wrote (`fixtures/asupersync`).
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import asupersync_samples as samples
import pytest

from bundler.errors import DamagedRecording
from bundler.manifest import FORMAT_MAJOR, FORMAT_MINOR
from bundler.probe.writer.fixture import Identity, TestBundle
from bundler.probe.writer.json_text import pretty
from bundler.schema import validator
from bundler.seeds import component_seed, entropy_seed, scenario_seed, show_seed
from bundler.testing import (
    AssertionRecord,
    ChecksFailed,
    ContractError,
    EnvironmentMetadata,
    NdjsonEvent,
    ReproManifest,
    TestContext,
    TestHarness,
    TestSummary,
    artifact_bundle_dir,
    default_trace_fingerprint,
    ndjson_file_name,
    normalize_string_ids,
    parse_level,
    replay_target_slug,
    trace_file_name,
)

OURS = ("seed_hex", "run_id", "format")
"""What our manifests have beside."""

VECTORS = samples.vectors()


# --- what asupersync wrote is read, and written again as it was --------------------------------


@pytest.mark.parametrize("name", ["manifest.json", "repro_manifest.json"])
def test_its_manifests_are_written_again_byte_for_byte(name: str) -> None:
    found = samples.documents(f"/{name}")
    assert found
    for path, content in found.items():
        assert ReproManifest.load(content).to_json() == content, path


def test_its_summaries_are_written_again_byte_for_byte() -> None:
    found = {**samples.documents("/summary.json"), **samples.documents("_summary.json")}
    assert found
    for path, content in found.items():
        assert TestSummary.from_document(json.loads(content)).to_json() == content, path


def test_its_environments_are_written_again_byte_for_byte() -> None:
    found = samples.documents("/environment.json")
    assert found
    for path, content in found.items():
        assert EnvironmentMetadata.from_document(json.loads(content)).to_json() == content, path


def test_its_failed_assertions_are_written_again_byte_for_byte() -> None:
    found = samples.documents("/failed_assertions.json")
    assert found
    for path, content in found.items():
        rows = [AssertionRecord.from_document(row).to_document() for row in json.loads(content)]
        assert pretty(rows) == content, path


def test_its_events_are_written_again_field_for_field() -> None:
    lines = [
        line for log in samples.documents("/events.ndjson").values() for line in log.splitlines()
    ]
    assert len(lines) > 1000
    for line in lines:
        again, theirs = json.loads(NdjsonEvent.from_line(line).to_line()), json.loads(line)
        seed = theirs.get("seed")
        assert again.pop("seed_hex", None) == (None if seed is None else show_seed(seed))
        assert again == theirs
        assert list(again) == list(theirs)
        assert list(again["data"]) == list(theirs["data"])


# --- what we write has the same shape ----------------------------------------------------------


@pytest.fixture(params=["harness", "fixture"])
def written(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """Every document that a failed test leaves, by either of the two that write them."""
    if request.param == "harness":
        context = TestContext(test_id="x", seed=2**64 - 1, subsystem="s", invariant="i")
        bundle: Any = TestHarness(context, base=tmp_path)
        with pytest.raises(ChecksFailed), bundle:
            _say(bundle)
    else:
        who = Identity("x", 2**64 - 1, subsystem="s", invariant="i")
        bundle = TestBundle(who, str(tmp_path / "x"), replay_command="pytest x")
        _say(bundle)
        bundle.conclude(True, None, None)
    yield next(tmp_path.rglob("manifest.json")).parent


def _say(bundle: Any) -> None:
    with bundle.phase("setup"), bundle.phase("inner"):
        bundle.log("TaskSpawn", "spawned", category="task", task_id=3)
        bundle.check("drained", 4, 3)
    bundle.attach(b"x", "note.txt")
    trace = bundle.trace("cancel")
    (trace.write_bytes if isinstance(trace, Path) else trace.write)(b"x")


def document(directory: Path, name: str) -> Any:
    return json.loads((directory / name).read_bytes())


def shape(value: Any) -> Any:
    """The names in their order, and the types; of a list that of its first."""
    if isinstance(value, dict):
        return [(name, shape(one)) for name, one in value.items()]
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return "number" if type(value) in (int, float) else type(value)


def their(name: str) -> Any:
    """A document of a failed test, with everything in it."""
    found = samples.documents(name)
    [content] = [c for path, c in found.items() if "mixed/cancel_drain_001/000000000000" in path][
        :1
    ]
    return json.loads(content)


def test_a_manifest_has_their_fields_in_their_order(written: Path) -> None:
    ours = document(written, "manifest.json")
    validator("repro-manifest.v1").validate(ours)
    assert ours["format"] == {"major": FORMAT_MAJOR, "minor": FORMAT_MINOR}
    declared = [field.name for field in fields(ReproManifest)]
    assert list(ours) == [name for name in declared if name in ours]
    assert [name for name in ours if name in OURS] == ["seed_hex", "format"]
    theirs = [
        json.loads(content)
        for name in ("/manifest.json", "/repro_manifest.json")
        for content in samples.documents(name).values()
    ]
    known = {name: type(value) for one in theirs for name, value in one.items()}
    for name in ours.keys() - set(OURS):
        assert type(ours[name]) is known[name], name
    assert None not in ours.values()
    ReproManifest.from_document(ours).validate()
    assert ours["artifact_paths"] == sorted(set(ours["artifact_paths"]))
    assert set(ours["artifact_paths"]) == {path.name for path in written.iterdir()} - {
        "manifest.json"
    }
    assert all(isinstance(pair, list) and len(pair) == 2 for pair in ours.get("env_snapshot", []))


def test_a_summary_has_their_fields_in_their_order(written: Path) -> None:
    ours, theirs = document(written, "summary.json"), their("/summary.json")
    assert list(ours) == list(theirs)
    assert list(ours["context"]) == [name for name in theirs["context"] if name in ours["context"]]
    phase, their_phase = ours["phases"][0], theirs["phases"][0]
    assert shape({**phase, "children": [], "assertions": []}) == shape(
        {**their_phase, "children": [], "assertions": []}
    )
    assert shape(phase["children"][0]["assertions"]) == shape(their_phase["assertions"])
    assert shape(ours["event_stats"]) == shape(theirs["event_stats"])
    assert TestSummary.from_document(ours).to_json() == (written / "summary.json").read_bytes()


def test_what_a_summary_leaves_out_of_its_context_is_null(tmp_path: Path) -> None:
    with TestHarness(TestContext(test_id="x", seed=1), base=tmp_path) as bundle:
        bundle.log("X")
    ours = document(bundle.directory, "summary.json")["context"]
    assert ours == {"test_id": "x", "seed": 1, "subsystem": None, "invariant": None}
    manifest = document(bundle.directory, "manifest.json")
    assert not {"subsystem", "invariant", "adapter", "failure_reason"} & manifest.keys()


def test_the_other_documents_have_their_fields_in_their_order(written: Path) -> None:
    ours, theirs = (
        shape({**one, "ports": [], "services": []})
        for one in (document(written, "environment.json"), their("/environment.json"))
    )
    assert ours == theirs
    failed, theirs = document(written, "failed_assertions.json"), their("/failed_assertions.json")
    assert shape(failed) == shape(theirs)


def test_an_event_has_their_fields_in_their_order(written: Path) -> None:
    content = samples.tree("layout1")["cancel_drain_001/00000000deadbeef/events.ndjson"]
    theirs = json.loads(content.splitlines()[0])
    names = [*theirs, "invariant"]
    order = [name for name in names if name != "invariant"]
    order.insert(order.index("thread_id"), "invariant")
    for line in (written / "events.ndjson").read_bytes().splitlines():
        ours = json.loads(line)
        validator("event.v1").validate(ours)
        assert ours.pop("seed_hex") == show_seed(ours["seed"])
        assert list(ours) == [name for name in dict.fromkeys(order) if name in ours]
        assert {name: type(ours[name]) for name in theirs} == {
            name: type(value) for name, value in theirs.items()
        }


# --- its pure functions ------------------------------------------------------------------------


@pytest.mark.parametrize("row", VECTORS["contract_v1"], ids=lambda row: row["case"])
def test_the_contract_is_theirs_word_for_word(row: dict[str, Any]) -> None:
    manifest = ReproManifest.from_document(row["manifest"])
    try:
        manifest.validate()
        error = None
    except ContractError as broken:
        error = broken.message
    assert error == row["error"]


@pytest.mark.parametrize("row", VECTORS["manifest_reading"], ids=lambda row: row["case"])
def test_a_manifest_is_read_where_they_read_it(row: dict[str, Any]) -> None:
    try:
        found = ReproManifest.load(row["input"].encode())
    except DamagedRecording:
        assert not row["accepted"]
        return
    assert row["accepted"]
    read_back = {k: v for k, v in found.to_document().items() if k not in found.unknown}
    assert json.loads(json.dumps(read_back)) == row["read_back"]


def test_names_and_seeds_are_theirs() -> None:
    for row in VECTORS["bundle_dirs"]:
        found = artifact_bundle_dir(row["base"], row["test_id"], samples.seed_of(row))
        assert found == Path(row["dir"])
    for row in VECTORS["file_names"]:
        given = row["subsystem"], row["scenario"], samples.seed_of(row)
        assert (trace_file_name(*given), ndjson_file_name(*given)) == (row["trace"], row["ndjson"])
    for row in VECTORS["replay_target_slug"]:
        assert replay_target_slug(row["scenario_id"]) == row["slug"]
    for row in VECTORS["default_trace_fingerprint"]:
        found_fingerprint = default_trace_fingerprint(row["scenario_id"], samples.seed_of(row))
        assert found_fingerprint == row["default_trace_fingerprint"]
    for row in VECTORS["derived_seeds"]:
        root = int(row["root"]["decimal"])
        assert component_seed(root, row["tag"]) == int(row["component"], 16)
        assert scenario_seed(root, row["tag"]) == int(row["scenario"], 16)
    for row in VECTORS["entropy_seeds"]:
        root, index = (int(row[name]["decimal"]) for name in ("root", "index"))
        assert entropy_seed(root, index) == int(row["entropy"], 16)


def test_small_things_are_theirs() -> None:
    for row in VECTORS["json_floats"]:
        [number] = struct.unpack(">d", bytes.fromhex(row["bits"]))
        assert pretty(number).decode() == row["json"]
    for row in VECTORS["normalize_string_ids"]:
        assert list(normalize_string_ids(row["input"])) == row["normalized"]
    for row in VECTORS["log_level_parse"]:
        try:
            assert parse_level(row["text"]) == row["level"]
        except ValueError:
            assert row["level"] is None
    for row in VECTORS["context_display"]:
        context = TestContext.from_document(row["context"])
        assert str(context) == row["display"]
        assert context.execution_instance_id == row["execution_instance_id"]
