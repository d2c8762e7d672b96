"""Artifacts directories of asupersync are read as they went in, in whichever layout they are."""

from __future__ import annotations

import json
import re
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from asupersync_samples import bundles, members, read, seed_of, tree, truth, vectors, written
from zip_builder import Made, build

from bundler import adoption, archive, bundle, packing, spool
from bundler.errors import HostileRecording, NotARecording
from bundler.events import RUN_EVENTS, Event, encode_line
from bundler.formats import asupersync
from bundler.recording import Recording
from bundler.results import TestResult, Verdict
from bundler.schema import event_validator
from bundler.verification import verify

OURS = RUN_EVENTS | {"PhaseStarted", "PhaseFinished", "AssertionRecorded", "LogEntry"}
LAYOUTS = ("layout1", "layout2", "layout34", "mixed")
ALONE = "layout1/cancel_drain_001/0000000000000000"
CLAUSE_BROKEN = [row for row in vectors()["contract_v1"] if row["error"]]


@cache
def recording(folder: str) -> Recording:
    return read(tree(folder))


def the_test(where: Recording, test_id: str, seed: int | None, *, layout: int) -> TestResult:
    """The only test of that id and seed that was found in a bundle of that layout."""
    marks = {1: "/events.ndjson", 2: "/manifest.json", 3: "_summary.json"}
    [found] = [
        test
        for test in where.results.with_id(test_id)
        if test.seed == seed and any(one.endswith(marks[layout]) for one in paths_of(where, test))
        if layout != 2 or re.search("/0x[0-9A-F]+/", paths_of(where, test)[0])
    ]
    return found


def events_of(where: Recording, test: TestResult) -> Iterator[Event]:
    """What stands in the log between the start of a test and the start of the next one."""
    inside = False
    for _, event in where.events():
        if event.event == "TestStarted":
            number = event.payload().get("occurrence", 1)
            inside = (event.test_id, number) == (test.test_id, test.occurrence)
        if inside:
            yield event


def paths_of(where: Recording, test: TestResult) -> list[str]:
    attached = (one for one in events_of(where, test) if one.event == "Attachment")
    return [one.payload()["path"] for one in attached]


def own(where: Recording, test: TestResult) -> list[Event]:
    return [one for one in events_of(where, test) if one.event not in OURS]


def phases_of(where: Recording, test: TestResult) -> list[tuple[list[str], int]]:
    found = [one.payload() for one in events_of(where, test) if one.event == "PhaseStarted"]
    return [(one["path"].split(" > "), one["depth"]) for one in found]


def assertions_of(where: Recording, test: TestResult) -> list[dict[str, Any]]:
    found = [one.payload() for one in events_of(where, test) if one.event == "AssertionRecorded"]
    return [{k: v for k, v in one.items() if k != "elapsed_ms"} for one in found]


def by_text(rows: list[dict[str, Any]]) -> list[str]:
    return sorted(json.dumps(row, sort_keys=True) for row in rows)


def layout_1_of(folder: str) -> list[Any]:
    return [
        pytest.param(folder, row, id=f"{folder} {row['test_id']} {row['seed']['hex16']}")
        for row in truth()[folder]
        if row["layout"] == 1
    ]


@pytest.mark.parametrize(("folder", "row"), layout_1_of("layout1") + layout_1_of("mixed"))
def test_a_bundle_of_layout_1_is_read_as_it_went_in(folder: str, row: dict[str, Any]) -> None:
    where = recording(folder)
    if not row["has_events_file"]:
        [test] = where.results.with_id(row["test_id"])
    else:
        test = the_test(where, row["test_id"], seed_of(row), layout=1)
    assert (test.verdict is Verdict.PASSED) == row["passed"]
    assert len(own(where, test)) == (row["events"] or 0)
    if row.get("event_sequence"):
        assert [one.event for one in own(where, test)] == row["event_sequence"]
    if row.get("events_by_type"):
        assert Counter(one.event for one in own(where, test)) == row["events_by_type"]
    assert {one.seed for one in own(where, test)} <= {seed_of(row)}
    summary = row.get("summary")
    if summary:
        phases = [(one["path"], one["depth"]) for one in summary["phases"]]
        assert phases_of(where, test) == phases
        # Those outside of all phases are only counted in a summary.
        in_phases = [one for one in summary["assertions"] if one["phase_path"]]
        assert by_text(assertions_of(where, test)) == by_text(in_phases)
        [attempt] = test.attempts
        assert attempt.call_us == int(summary["duration_ms"] * 1000)


@pytest.mark.parametrize("row", truth()["layout2"], ids=lambda row: Path(row["file"]).parent.name)
def test_a_bundle_of_layout_2_is_read_as_it_went_in(row: dict[str, Any]) -> None:
    where = recording("layout2")
    test = the_test(where, row["scenario_id"], seed_of(row), layout=2)
    assert (test.verdict is Verdict.PASSED) == row["passed"]
    properties = dict(test.attempts[0].properties)
    assert properties["failure_class"] == row["failure_class"]


@pytest.mark.parametrize(
    "row",
    [row for row in truth()["layout34"] if row["layout"] == 3],
    ids=lambda row: row["safe_name"],
)
def test_a_bundle_of_layouts_3_and_4_is_read_as_it_went_in(row: dict[str, Any]) -> None:
    where = recording("layout34")
    [test] = where.results.with_id(row["test_name"])
    # Without a context the harness has no seed, and its repro manifest has 0.
    without = 0 if row["dir"] else None
    assert test.seed == (without if row["seed"] is None else seed_of(row))
    assert (test.verdict is Verdict.PASSED) == row["passed"]
    assert phases_of(where, test) == [(one["path"], one["depth"]) for one in row["phases"]]
    made = assertions_of(where, test)
    assert by_text(made) == by_text(row["assertions"])
    assert len([one for one in made if not one["passed"]]) == row["failed_assertions"]
    if row["dir"]:
        logged = [one for one in events_of(where, test) if one.event == "LogEntry"]
        assert len(logged) == row["harness_events"]


def test_every_bundle_counts_and_none_is_damaged() -> None:
    counted = {folder: len(recording(folder).results.tests) for folder in LAYOUTS}
    assert counted == {"layout1": 16, "layout2": 16, "layout34": 8, "mixed": 13}
    assert [recording(folder).problems for folder in LAYOUTS] == [[], [], [], []]


@pytest.mark.parametrize("folder", LAYOUTS)
def test_what_is_read_fits_the_schema_of_events(folder: str) -> None:
    for line in recording(folder).log.lines():
        event = json.loads(line.content)
        assert event_validator(event["event"]).is_valid(event), event


@pytest.mark.parametrize("folder", ["layout1", "mixed"])
def test_its_events_pass_through_byte_by_byte(folder: str) -> None:
    kept = {line.content for line in recording(folder).log.lines()}
    for name, content in tree(folder).items():
        if name.endswith("events.ndjson") and "no_context_logger" not in name:
            assert set(content.splitlines()) <= kept


def test_events_without_a_context_get_that_of_their_bundle() -> None:
    where = recording("layout1")
    test = the_test(where, "no_context_logger", 7, layout=1)
    original = tree("layout1")["no_context_logger/0000000000000007/events.ndjson"].splitlines()
    for event, line in zip(own(where, test), original, strict=True):
        document = json.loads(line)
        assert document.get("test_id") is None
        assert event.payload() == document["data"]
        assert (event.test_id, event.seed) == ("no_context_logger", 7)


def test_phases_and_events_stand_in_the_order_of_their_time() -> None:
    where = recording("layout1")
    test = the_test(where, "cancel_drain_001", 0xDEADBEEF, layout=1)
    times = [one.ts_us for one in events_of(where, test)]
    assert times == sorted(times)


def test_a_phase_ends_after_those_inside_it() -> None:
    where = recording("layout34")
    [test] = where.results.with_id("harness_pass")
    nesting = [
        ("+" if one.event == "PhaseStarted" else "-") + one.payload()["name"]
        for one in events_of(where, test)
        if one.category == "phase"
    ]
    assert nesting[:4] == ["+setup", "+create_listener", "-create_listener", "-setup"]


def test_a_bundle_alone_is_a_recording_too() -> None:
    where = read(tree(ALONE))
    [test] = where.results.tests
    assert (test.test_id, test.seed, test.verdict) == ("cancel_drain_001", 0, Verdict.FAILED)
    assert test.own_events > 48


# --- damaged -----------------------------------------------------------------------------------

NAMED = {
    "events_cut_in_line": "line 6",
    "events_cut_in_utf8": "line 13",
    "events_bom": "line 1",
    "events_nul_tail": "line 25",
    "events_foreign_text": "line 4",
    "events_not_object": "4 lines that are no event",
    "events_version_2": "event version 2",
    "events_without_v": "field `v`",
    "events_other_test": "events of another test: 1",
    "events_latin1": "line 3",
    "events_missing": "events.ndjson is missing",
    "manifest_missing": "manifest.json is missing",
    "manifest_cut": "manifest.json is not valid JSON",
    "manifest_empty": "manifest.json is not valid JSON",
    "manifest_array": "manifest.json is not a JSON object",
    "manifest_no_seed": "field seed is missing",
    "manifest_schema_2": "contract version 2",
    "manifest_seed_string": "field seed is '0xdeadbeef'",
    "manifest_other_seed": "is not that of its directory",
    "summary_cut": "summary.json is not valid JSON",
    "summary_contradicts": "the manifest says failed, the summary passed",
}
UNSETTLED = {"cut", "empty", "array", "no_seed", "schema_2", "seed_string"}


def test_every_damaged_bundle_is_listed_and_named_alone() -> None:
    where = recording("damaged_bundles")
    assert len(where.results.tests) == len(truth()["damaged_bundles"]) == 27
    for name, problem in NAMED.items():
        [found] = [one for one in where.problems if one.startswith(f"{name}/")]
        assert problem in found
    assert len(where.problems) == len(NAMED)


@pytest.mark.parametrize(
    "row", truth()["damaged_bundles"], ids=lambda row: row["dir"].split("/")[1]
)
def test_of_a_damaged_bundle_all_that_is_left_is_read(row: dict[str, Any]) -> None:
    name = row["dir"].split("/")[1]
    where = recording("damaged_bundles")
    [test] = [
        one
        for one in where.results.tests
        if any(path.startswith(f"{name}/") for path in paths_of(where, one))
    ]
    lost = {"events_version_2": 1, "events_without_v": 1, "events_not_object": 4}.get(name, 0)
    others = 1 if name == "events_other_test" else 0
    readable = row.get("lines_that_are_json")
    if readable is not None:
        assert len(own(where, test)) == readable - lost, name
        assert [one.test_id for one in own(where, test)].count(test.test_id) + others == (
            readable - lost
        )
    if name.startswith("manifest_") and name.removeprefix("manifest_") in UNSETTLED:
        assert test.verdict is Verdict.UNFINISHED
    elif name == "summary_contradicts":
        assert test.verdict is Verdict.FAILED
    else:
        assert test.verdict is Verdict.PASSED


def test_an_unknown_type_of_event_passes_through() -> None:
    name = "damaged_bundles/events_unknown_event"
    [line] = [
        one
        for one in bundles()[f"{name}/00000000deadbeef/events.ndjson"].splitlines()
        if json.loads(one)["event"] not in vectors_of_events()
    ]
    where = recording("damaged_bundles")
    assert line in {one.content for one in where.log.lines()}


def vectors_of_events() -> set[str]:
    return {event for row in truth()["layout1"] for event in row.get("event_sequence") or ()}


@pytest.mark.parametrize("row", CLAUSE_BROKEN, ids=lambda row: row["case"])
def test_a_manifest_that_breaks_the_contract_is_refused_by_its_clause(row: dict[str, Any]) -> None:
    raw = json.dumps(row["manifest"]).encode()
    where = read({"a/00000000deadbeef/manifest.json": raw, "b/x.txt": b""})
    assert len(where.results.tests) == 1
    clause = row["error"].split(" ")[0]
    name = "a/00000000deadbeef/manifest.json"
    found = [
        one
        for one in where.problems
        if one.startswith(name)
        and (clause in one or (clause == "schema_version" and "contract version" in one))
    ]
    assert found, where.problems
    assert any(finding.problem == found[0] for finding in verify(where))


# --- hostile -----------------------------------------------------------------------------------

EVIL_IDS = [
    "../../etc/passwd",
    "/absolute/id",
    "a/b",
    "CON",
    "x" * 300,
    "-pevil",
    "\x1b[2J\x1b]0;title\x07",
    "line\nbreak",
    "größe \u202e\u200b",
    "",
]


@pytest.mark.parametrize("test_id", EVIL_IDS, ids=ascii)
def test_a_hostile_id_is_only_a_text(test_id: str) -> None:
    manifest = {**vectors()["contract_v1"][0]["manifest"], "scenario_id": test_id}
    del manifest["replay_metadata"], manifest["seed_lineage"]
    where = read({"a/00000000deadbeef/manifest.json": json.dumps(manifest).encode(), "b": b""})
    [test] = where.results.tests
    assert test.test_id == (test_id or "a")  # where nothing says it, the directory does


def test_an_id_without_end_is_named_and_left_out() -> None:
    manifest = {**vectors()["contract_v1"][0]["manifest"], "scenario_id": "x" * 20_000}
    where = read({"a/00000000deadbeef/manifest.json": json.dumps(manifest).encode(), "b": b""})
    assert [test.test_id for test in where.results.tests] == ["a"]
    assert any("a test id of 20000 characters" in one for one in where.problems)


@pytest.mark.parametrize("document", ["manifest.json", "summary.json", "environment.json"])
@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"\xff\xfe",
        b'{"seed":NaN}',
        b'{"seed":1e999}',
        b'{"scenario_id":' + b"[" * 5000,
        b'{"seed":' + b"9" * 5000 + b"}",
        b'{"a":1,"a":2}',
        b"\xef\xbb\xbf{}",
    ],
    ids=repr,
)
def test_a_hostile_document_is_named_and_nothing_falls(document: str, content: bytes) -> None:
    files = tree("layout1/cancel_drain_001")
    name = f"00000000deadbeef/{document}"
    where = read({**{f"x/{k}": v for k, v in files.items()}, f"x/{name}": content, "b": b""})
    assert len(where.results.tests) == 4
    assert any(one.startswith(f"x/{name}") for one in where.problems)


def test_an_event_called_like_one_of_a_run_cannot_forge_the_run() -> None:
    line = encode_line(
        "TestFinished",
        ts_us=9,
        category="test",
        message="",
        data={"session": "00000001", "attempt": 1, "outcome": "passed"},
    )
    files = {f"x/{k}": v for k, v in tree("layout1/error_level").items()}
    files["x/0000000000000063/events.ndjson"] += line
    where = read({**files, "b": b""})
    [test] = where.results.tests
    assert test.verdict is Verdict.FAILED
    assert [one.event for one in own(where, test)].count("OwnTestFinished") == 1


def test_a_link_in_the_directory_is_refused_by_name(tmp_path: Path) -> None:
    written(tree("layout2"), tmp_path)
    (tmp_path / "big_log" / "evil").symlink_to("/etc/passwd")
    with pytest.raises(HostileRecording, match="evil"):
        asupersync.read(archive.open_directory(tmp_path), where="x")


def test_a_directory_without_a_bundle_is_none() -> None:
    with pytest.raises(NotARecording):
        read({"a/notes.txt": b"", "b/manifest.json": b"{}"})


def test_many_large_bundles_take_the_memory_of_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool, "_IN_MEMORY", 1024)
    name = f"{0:016x}/summary.json"
    large = tree("layout1/cancel_drain_001")
    summary = json.loads(large[name])
    summary["phases"][0]["assertions"] *= 2000
    large[name] = json.dumps(summary).encode()
    peaks = []
    for number in (1, 5):
        where = tmp_path / str(number)
        for copy in range(number):
            written({f"t{copy}/{k}": v for k, v in large.items() if k[:16] == name[:16]}, where)
        opened = archive.open_directory(where)
        tracemalloc.start()
        found = asupersync.read(opened, where="x")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert len(found.results.tests) == number
    assert peaks[1] < 1.5 * peaks[0]


# --- where nothing but a folder says who the test is ---------------------------------------------

NAMELESS = b'{"v":1,"ts_us":1,"level":"INFO","category":"x","event":"Own","message":""}\n'
FIRST, SECOND = f"{1:016x}/events.ndjson", f"{2:016x}/events.ndjson"


def ids_in_zip(*names: str) -> set[str]:
    """The ids of tests whose bundles are under these names in an archive."""
    content = archive.open_zip(build(*(Made(name, NAMELESS) for name in names)), where="x.zip")
    return {test.test_id for test in asupersync.read(content, where="x.zip").results.tests}


def test_a_folder_around_everything_in_an_archive_is_not_in_the_ids() -> None:
    assert ids_in_zip(f"artifacts/drain/{FIRST}", f"artifacts/a/b/{SECOND}") == {"drain", "a/b"}
    assert ids_in_zip(f"artifacts/drain/{FIRST}") == {"drain"}


def test_one_folder_alone_is_taken_off() -> None:
    assert ids_in_zip(f"target/artifacts/drain/{FIRST}") == {"artifacts/drain"}


def test_a_test_is_no_folder_around_its_seeds() -> None:
    assert ids_in_zip(f"drain/{FIRST}", f"drain/{SECOND}") == {"drain"}
    assert ids_in_zip(f"drain/{FIRST}", f"drain/more/{SECOND}") == {"drain", "drain/more"}


def test_what_is_beside_a_folder_leaves_it_in_the_ids() -> None:
    assert ids_in_zip(f"a/drain/{FIRST}", f"b/drain/{SECOND}") == {"a/drain", "b/drain"}


def test_a_directory_is_taken_as_it_is(tmp_path: Path) -> None:
    written({f"artifacts/drain/{FIRST}": NAMELESS}, tmp_path)
    content = archive.open_directory(tmp_path)
    [test] = asupersync.read(content, where=str(tmp_path)).results.tests
    assert test.test_id == "artifacts/drain"


# --- into the store and out ----------------------------------------------------------------------


@pytest.mark.parametrize("folder", [*LAYOUTS, "damaged_bundles"])
def test_what_is_taken_in_keeps_every_byte_and_every_event(folder: str, tmp_path: Path) -> None:
    where = recording(folder)
    directory = tmp_path / "run"
    directory.mkdir()
    adoption.adopt(directory, where, {})
    with (tmp_path / "x.zip").open("wb") as file:
        packing.pack(directory, file)
    again = bundle.read(tmp_path / "x.zip")
    for name, content in tree(folder).items():
        stored = bundle.member_of(again, name)
        assert stored is not None
        assert again.files[stored] == content
    log = [line.content for line in where.log.lines()]
    assert [line.content for line in again.log.lines()] == log
    assert again.problems == where.problems
    assert [finding.problem for finding in verify(again)] == where.problems


def test_what_is_taken_in_has_names_that_every_system_takes(tmp_path: Path) -> None:
    for folder in LAYOUTS:
        directory = tmp_path / folder
        directory.mkdir()
        adoption.adopt(directory, recording(folder), {})
        for path in directory.rglob("*"):
            assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,119}", path.name)


def test_a_file_that_is_called_like_one_of_ours_is_kept(tmp_path: Path) -> None:
    odd = {"a.tmp": b"1", "run.lock": b"2", "con": b"3", "summary.json": b"4", "run.lock ": b"5"}
    files = {f"x/00000000deadbeef/{name}": content for name, content in odd.items()}
    files["x/00000000deadbeef/manifest.json"] = json.dumps(
        vectors()["contract_v1"][0]["manifest"]
    ).encode()
    files["events.ndjson.zst"] = b"6"
    where = asupersync.read(members(files), where="x")
    adoption.adopt(tmp_path, where, {})
    again = bundle.read(tmp_path)
    for name, content in files.items():
        stored = bundle.member_of(again, name)
        assert stored is not None
        assert again.files[stored] == content
