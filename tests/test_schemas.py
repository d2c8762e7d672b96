"""The schemas are the contract: they are valid, they describe everything, and the code agrees."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import msgspec.inspect as inspect
import pytest
from command_line import place
from jsonschema import Draft202012Validator

import bundler.events
from bundler.environment import Environment, collect
from bundler.events import Event, decode_line, encode_line
from bundler.manifest import (
    ReproManifest,
    RunManifest,
    SummaryRow,
    encode_document,
    summary_document,
    to_document,
)
from bundler.results import Status, Verdict, fold
from bundler.schema import NAMES, path, schema, validator

ROOT = Path(__file__).parent.parent

# The structs that each schema describes, and where in it; nested structs are found from there.
DESCRIBED: list[tuple[str, str, type[msgspec.Struct]]] = [
    ("event.v1", "#", Event),
    ("manifest.v1", "#", RunManifest),
    ("summary.v1", "#/$defs/SummaryRow", SummaryRow),
    ("environment.v1", "#", Environment),
    ("repro-manifest.v1", "#", ReproManifest),
]

# In the table of bundler.events, one of each of these pairs is there.
ALTERNATIVES = {
    "TestsCollected": {"selected", "deselected"},
    "TestOutput": {"text", "base64"},
    "RunOutput": {"text", "base64"},
}
# "Without `attempt` it closes the open attempt": then that is not known.
SOMETIMES = {"TestFinished": {"attempt"}, "Attachment": {"session", "attempt"}}


def rows_of(docstring: str) -> list[tuple[str, str, str]]:
    """The rows of the table of events: the name, the category, what `data` holds."""
    return re.findall(r"^\| `([A-Z]\w+)` \| (\w+) \| (.*) \|$", docstring, re.MULTILINE)


def keys_in(cell: str) -> dict[str, bool]:
    """The keys that a cell of that table names, and whether each is always there."""
    cell, _, _about_the_envelope = cell.partition(";")
    cell = cell.replace("KEY", "`session, occurrence?, attempt`")
    cell = re.sub(r"\([^()]*\)", "", cell)
    keys: dict[str, bool] = {}
    for words in re.findall(r"`([^`]*)`", cell):
        while (less := re.sub(r"\[[^\[\]]*\]|\{[^{}]*\}", "", words)) != words:
            words = less
        keys |= {key: not optional for key, optional in re.findall(r"(\w+)(\??)", words)}
    return keys


TABLE = rows_of(bundler.events.__doc__ or "")


# --- each schema by itself ---------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_a_schema_is_valid_and_names_itself(name: str) -> None:
    Draft202012Validator.check_schema(schema(name))
    assert schema(name)["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema(name)["$id"] == f"urn:seedbundle:schema:{name}"


def test_every_file_in_the_folder_is_loaded_by_name() -> None:
    assert {file.name for file in (ROOT / "schemas").iterdir()} == {f"{n}.json" for n in NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_a_schema_has_examples_and_they_fit(name: str) -> None:
    assert schema(name)["examples"]
    for example in schema(name)["examples"]:
        validator(name).validate(example)


@pytest.mark.parametrize("name", NAMES)
def test_every_field_is_described_in_a_sentence(name: str) -> None:
    for where, field in fields_of(schema(name), "#"):
        described = resolve(schema(name), field)
        text = field.get("description", described.get("description", ""))
        assert re.fullmatch(r"[A-Z].*[.]", text), f"{name}{where} has no sentence: {text!r}"


@pytest.mark.parametrize("name", NAMES)
def test_unknown_fields_are_allowed_everywhere(name: str) -> None:
    for example in schema(name)["examples"]:
        validator(name).validate(with_unknown_fields(example))


# --- numbers -----------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, 1, 2**53 + 1, 2**64 - 1])
@pytest.mark.parametrize("name", ["event.v1", "manifest.v1", "summary.v1", "repro-manifest.v1"])
def test_a_seed_is_any_u64(name: str, seed: int) -> None:
    assert validator(name).is_valid(schema(name)["examples"][0] | {"seed": seed})


@pytest.mark.parametrize("seed", [-1, 2**64, True, False, 1.0, 1.5, "1", "00000000deadbeef"])
@pytest.mark.parametrize("name", ["event.v1", "manifest.v1", "summary.v1", "repro-manifest.v1"])
def test_a_seed_is_nothing_else(name: str, seed: object) -> None:
    assert not validator(name).is_valid(schema(name)["examples"][0] | {"seed": seed})


# --- against the code --------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "where", "struct"), DESCRIBED, ids=str)
def test_a_schema_and_its_structs_have_the_same_fields_of_the_same_types(
    name: str, where: str, struct: type[msgspec.Struct]
) -> None:
    part = schema(name) if where == "#" else resolve(schema(name), {"$ref": where})
    kind = inspect.type_info(struct)
    assert isinstance(kind, inspect.StructType)
    assert list(differences(schema(name), part, kind, struct.__name__)) == []


def test_the_differences_between_a_schema_and_a_struct_are_seen() -> None:
    class Command(msgspec.Struct, omit_defaults=True):
        argv: list[int]
        cwd: str = ""
        shell: bool = False

    texts = {"type": "array", "items": {"type": "string"}}
    properties = {"argv": texts, "cwd": {"type": "string"}, "runner": {"type": "string"}}
    part = {"type": "object", "required": ["argv", "cwd"], "properties": properties}
    assert list(differences({}, part, inspect.type_info(Command), "Command")) == [
        "Command.runner is in the schema alone",
        "Command.shell is in the code alone",
        "Command: required are ['argv', 'cwd'], in the code ['argv']",
        "Command.argv[]: the schema says ['string'], the code ['integer']",
    ]


@pytest.mark.parametrize("name", ["event.v1", "manifest.v1", "summary.v1"])
def test_the_words_for_verdicts_and_statuses_are_those_of_the_fold(name: str) -> None:
    words = schema(name)["$defs"]
    assert words["verdict"]["enum"] == [verdict.value for verdict in Verdict]
    assert words["status"]["enum"] == [status.value for status in Status]


def test_an_attempt_ends_in_any_verdict_but_the_last_three() -> None:
    outcomes = schema("event.v1")["$defs"]["outcome"]["enum"]
    assert outcomes == [verdict.value for verdict in Verdict][:-3]


def test_the_levels_are_those_of_the_code() -> None:
    assert schema("event.v1")["properties"]["level"]["enum"] == list(bundler.events.LEVELS)


def test_the_table_of_events_and_the_schema_say_the_same() -> None:
    rows = {event: (category, cell) for event, category, cell in TABLE}
    described = {
        case["if"]["properties"]["event"]["const"]: resolve(schema("event.v1"), case["then"])
        for case in schema("event.v1")["allOf"]
    }
    assert rows.keys() == described.keys()
    assert {event: category for event, (category, _) in rows.items()} == {
        event: case["properties"]["category"]["const"] for event, case in described.items()
    }


@pytest.mark.parametrize("event", [event for event, _, _ in TABLE])
def test_the_data_of_an_event_has_the_keys_of_the_table(event: str) -> None:
    keys = keys_in(next(cell for name, _, cell in TABLE if name == event))
    data = schema("event.v1")["$defs"][event]
    assert data["properties"].keys() == keys.keys()

    sometimes = ALTERNATIVES.get(event, set()) | SOMETIMES.get(event, set())
    assert set(data["required"]) == {key for key in keys if keys[key]} - sometimes
    one_of = {key for case in data.get("oneOf", ()) for key in case["required"]}
    assert one_of == ALTERNATIVES.get(event, set())


# --- against what the code writes --------------------------------------------------------------


def test_a_line_that_the_code_writes_fits() -> None:
    data = {"session": "5f0c11aa", "attempt": 1, "order": 0}
    line = encode_line(
        "TestStarted", ts_us=5, category="test", message="started", test_id="a", seed=7, data=data
    )
    validator("event.v1").validate(json.loads(line))


def test_a_test_s_own_event_fits_whatever_its_data() -> None:
    line = encode_line("ReactorPoll", ts_us=1, category="reactor", message="", data={"x": [None]})
    validator("event.v1").validate(json.loads(line))


@pytest.mark.parametrize(
    "change",
    [
        {"v": 2},
        {"ts_us": -1},
        {"level": "INFORMATION"},
        {"category": "tests"},
        {"message": None},
        {"data": []},
        {"data": {"session": "5f0c11aa", "outcome": "flaky", "failures": []}},
        {"data": {"session": "main", "outcome": "passed", "failures": []}},
    ],
    ids=repr,
)
def test_an_event_of_ours_that_is_off_does_not_fit(change: dict[str, Any]) -> None:
    finished = schema("event.v1")["examples"][1]
    assert not validator("event.v1").is_valid(finished | change)


def test_a_worker_s_death_is_told_without_an_attempt() -> None:
    finished = schema("event.v1")["examples"][1]
    data = {"session": "5f0c11aa", "outcome": "crashed", "failures": []}
    validator("event.v1").validate(finished | {"data": data})


def test_a_manifest_and_a_summary_that_the_code_writes_fit() -> None:
    example = schema("manifest.v1")["examples"][1]
    manifest = msgspec.convert(example, RunManifest)
    validator("manifest.v1").validate(as_written(manifest))

    lines = [json.dumps(example).encode() for example in schema("event.v1")["examples"]]
    results = fold((number, decode_line(line)) for number, line in enumerate(lines))
    summary = summary_document(manifest, results)
    assert [row["verdict"] for row in summary["tests"]] == ["failed"]
    validator("summary.v1").validate(json.loads(json.dumps(summary)))


def test_the_environment_that_the_code_collects_fits(tmp_path: Path) -> None:
    document = collect({"PATH": "/usr/bin:/bin", "CI": "true", "LANG": "C"}, tmp_path)
    validator("environment.v1").validate(json.loads(json.dumps(document)))


# --- against what asupersync writes ------------------------------------------------------------

# What asupersync (commit c344862df) writes for a test that failed, abbreviated.
AUTHENTIC: dict[str, Any] = {
    "schema_version": 1,
    "seed": 18446744073709551615,
    "scenario_id": "cancel_drain_001",
    "invariant_ids": ["losers_drained"],
    "trace_fingerprint": "pending:cancel_drain_001:ffffffffffffffff",
    "replay_command": "env ASUPERSYNC_SEED=0xFFFFFFFFFFFFFFFF cargo test cancel_drain_001",
    "failure_class": "assertion_failure",
    "artifact_paths": ["events.ndjson", "summary.json"],
    "passed": False,
    "entropy_seed": 12041190276437290630,
    "config_hash": "sha256:00ff",
    "oracle_violations": ["obligation_leak: id=7", "quiescence: 2 live"],
    "env_snapshot": [["ASUPERSYNC_SEED", "0xFFFFFFFFFFFFFFFF"], ["RUST_LOG", "info"]],
    "replay_metadata": {"instance": {"runtime_kind": "live", "run_index": 0}},
}


def test_a_repro_manifest_of_asupersync_fits_and_is_read() -> None:
    validator("repro-manifest.v1").validate(AUTHENTIC)
    manifest = msgspec.convert(AUTHENTIC, ReproManifest)
    assert as_written(manifest) == AUTHENTIC


# What its own reader and its check of the contract make of the same manifest, changed.
READ_BY_ASUPERSYNC = [
    ({"extra": {"a": 1}}, True),
    ({"subsystem": None}, True),
    ({"seed": 2**64 - 1}, True),
    ({"invariant_ids": None}, False),
    ({"seed": -1}, False),
    ({"seed": 1.0}, False),
    ({"seed": "0x1"}, False),
    ({"seed": 2**64}, False),
    ({"env_snapshot": {"A": "1"}}, False),
    ({"schema_version": 2}, False),
    ({"scenario_id": " \t\u00a0"}, False),
    ({"failure_class": ""}, False),
    ({"trace_fingerprint": ""}, False),
    ({"invariant_ids": ["a", ""]}, False),
    ({"artifact_paths": [" "]}, False),
    ({"adapter": ""}, False),
]


@pytest.mark.parametrize(("change", "accepted"), READ_BY_ASUPERSYNC, ids=repr)
def test_a_repro_manifest_fits_where_asupersync_reads_it(
    change: dict[str, Any], accepted: bool
) -> None:
    assert validator("repro-manifest.v1").is_valid(AUTHENTIC | change) is accepted


# --- where they lie ----------------------------------------------------------------------------


def test_a_wheel_has_the_schemas_inside_the_package(tmp_path: Path) -> None:
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"][
        "targets"
    ]
    assert wheel["wheel"]["force-include"] == {"schemas": "bundler/schemas"}

    shutil.copytree(ROOT / "bundler", tmp_path / "bundler")
    shutil.copytree(ROOT / "schemas", tmp_path / "bundler" / "schemas")
    code = "from bundler.schema import NAMES, path; print(*map(path, NAMES), sep='\\n')"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    folders = {Path(line).parent for line in done.stdout.splitlines()}
    assert folders == {tmp_path / "bundler" / "schemas"}


def test_a_schema_that_is_not_there_is_named() -> None:
    with pytest.raises(FileNotFoundError, match=r"schema 'event\.v9' is not part"):
        path("event.v9")


# --- how the comparison is done ----------------------------------------------------------------


def resolve(root: dict[str, Any], part: dict[str, Any]) -> dict[str, Any]:
    """Follow `$ref` inside one schema; what stands beside it is added."""
    if "$ref" not in part:
        return part
    target = root
    for name in part["$ref"].removeprefix("#/").split("/"):
        target = target[name]
    beside = {key: value for key, value in part.items() if key != "$ref"}
    found = resolve(root, target)
    properties = found.get("properties", {}) | beside.get("properties", {})
    return found | beside | ({"properties": properties} if properties else {})


def fields_of(part: dict[str, Any], where: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every property and every definition in a schema, however deep, with where it stands."""
    for key in ("properties", "$defs"):
        for name, field in part.get(key, {}).items():
            yield f"{where}/{key}/{name}", field
            yield from fields_of(field, f"{where}/{key}/{name}")
    for key in {"items", "additionalProperties"} & part.keys():
        yield from fields_of(part[key], f"{where}/{key}")


def differences(
    root: dict[str, Any], part: dict[str, Any], kind: inspect.Type, where: str
) -> Iterator[str]:
    """In what a schema and a type of the code disagree; null may be left out of a schema."""
    part = resolve(root, part)
    parts = [resolve(root, one) for one in part.get("anyOf", [part])]
    kinds = kind.types if isinstance(kind, inspect.UnionType) else (kind,)
    said = set().union(*(types_said(one) for one in parts))
    meant = set().union(*(types_meant(one) for one in kinds))
    if (meant and said | {"null"} != meant | {"null"}) or said - meant:
        yield f"{where}: the schema says {sorted(said)}, the code {sorted(meant)}"
        return
    for one in kinds:
        inner = next((p for p in parts if types_said(p) & types_meant(one)), {})
        yield from inside(root, inner, one, where)


def inside(
    root: dict[str, Any], part: dict[str, Any], kind: inspect.Type, where: str
) -> Iterator[str]:
    match kind:
        case inspect.StructType():
            yield from fields_differ(root, part, kind, where)
        case inspect.ListType(item_type=item):
            yield from differences(root, part["items"], item, f"{where}[]")
        case inspect.DictType(value_type=value) if "additionalProperties" in part:
            yield from differences(root, part["additionalProperties"], value, f"{where}{{}}")
        case inspect.TupleType(item_types=items):
            assert part["minItems"] == part["maxItems"] == len(items) == len(part["prefixItems"])
            for number, (said, item) in enumerate(zip(part["prefixItems"], items, strict=True)):
                yield from differences(root, said, item, f"{where}[{number}]")


def fields_differ(
    root: dict[str, Any], part: dict[str, Any], kind: inspect.StructType, where: str
) -> Iterator[str]:
    said, fields = part["properties"], {field.encode_name: field for field in kind.fields}
    for name in sorted(said.keys() ^ fields.keys()):
        yield f"{where}.{name} is in the {'schema' if name in said else 'code'} alone"
    always_written = not kind.cls.__struct_config__.omit_defaults
    required = sorted(n for n, field in fields.items() if field.required or always_written)
    if sorted(part.get("required", ())) != required:
        yield f"{where}: required are {sorted(part.get('required', ()))}, in the code {required}"
    for name in sorted(said.keys() & fields.keys()):
        yield from differences(root, said[name], fields[name].type, f"{where}.{name}")


def types_said(part: dict[str, Any]) -> set[str]:
    said = part.get("type", [])
    return {said} if isinstance(said, str) else set(said)


def types_meant(kind: inspect.Type) -> set[str]:
    meant = {
        inspect.IntType: "integer",
        inspect.StrType: "string",
        inspect.BoolType: "boolean",
        inspect.FloatType: "number",
        inspect.NoneType: "null",
        inspect.ListType: "array",
        inspect.TupleType: "array",
        inspect.DictType: "object",
        inspect.StructType: "object",
        inspect.RawType: "object",  # an event's data, which `payload` holds to be an object
    }
    return {meant[type(kind)]}


def as_written(manifest: msgspec.Struct) -> Any:
    return json.loads(encode_document(to_document(manifest)))


def with_unknown_fields(value: Any) -> Any:
    if isinstance(value, list):
        return [with_unknown_fields(item) for item in value]
    if not isinstance(value, dict) or all(isinstance(one, int | str) for one in value.values()):
        return value  # a leaf, or a map of names, where another name would mean something
    return {key: with_unknown_fields(one) for key, one in value.items()} | {"of_tomorrow": [1]}


# --- against a run -----------------------------------------------------------------------------

MANY_KINDS = """
import random, time, unittest, uuid, warnings
import pytest

def test_fails(): print("said"); random.random(); assert 0
def test_skips(): pytest.skip("x")
@pytest.mark.xfail
def test_xfails(): assert 0
def test_warns(): warnings.warn("w")
def test_draws(): uuid.uuid4(); time.time()
def test_has_properties(record_property): record_property("a", "b")
class TestUnit(unittest.TestCase):
    def test_sub(self):
        with self.subTest(n=1): assert 0
"""


def test_nothing_is_written_of_an_event_that_the_schema_does_not_describe(tmp_path: Path) -> None:
    here = place(tmp_path)
    here.file("test_many.py", MANY_KINDS)
    here.file("test_broken.py", "import module_that_is_nowhere\n")
    here.file("test_skipped.py", "import pytest\npytest.skip('x', allow_module_level=True)\n")
    limits = ("--timeout=30", "--reruns=1", "-n1", "-W", "default", "-p", "no:cacheprovider")
    words = ("--continue-on-collection-errors", "-k", "not test_skips", *limits)
    here.bundle("run", "--watch-entropy", "--", sys.executable, "-m", "pytest", *words)
    described = schema("event.v1")["$defs"]
    seen = set()
    for line in here.latest().log.lines():
        event = json.loads(line.content)
        validator("event.v1").validate(event)
        seen.add(event["event"])
        unknown = event["data"].keys() - described[event["event"]]["properties"].keys()
        assert not unknown, (event["event"], unknown)
    # What a test attaches comes from `bundler.testing`, and has its own tests.
    assert seen == {name for name, _, _ in TABLE} - {"Attachment"}
