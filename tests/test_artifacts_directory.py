"""An artifacts directory under every command: listed, replayed, shown, exported, taken, packed."""

from __future__ import annotations

import json
import os
import xml.etree.ElementTree as ElementTree
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from asupersync_samples import seed_of, traces, tree, truth, vectors
from asupersync_samples import written as unpacked
from own_event_runs import CUT, WHOLE, Run

from bundler import bundle
from bundler.cli import run
from bundler.events import encode_line
from bundler.formats import WRITERS
from bundler.opening import read_path
from bundler.recording import Recording
from bundler.testing import NdjsonLogger, ReproManifest, TestContext

Capture = pytest.CaptureFixture[str]
LAYOUTS = {"layout1": 16, "layout2": 16, "layout34": 8, "mixed": 13, "damaged_bundles": 27}
EVIL_IDS = [
    "../../etc/passwd",
    "/absolute/id",
    "a/b/c",
    "CON",
    "A.txt",
    "a.TXT",
    "x" * 300,
    "-pevil",
    "@file",
    "\x1b[2J\x1b]0;title\x07",
    "line\nbreak\ttab",
    "größe 日本 \u202e",
    "::set-output name=x::y",
]


def rows(capfd: Capture, *words: str) -> list[dict[str, Any]]:
    assert run(["list", *words, "--json"]) == 0
    found: list[dict[str, Any]] = json.loads(capfd.readouterr().out)
    return found


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_bundle_is_listed_with_its_seed(layout: str, tmp_path: Path, capfd: Capture) -> None:
    where = str(unpacked(tree(layout), tmp_path))
    assert len(rows(capfd, where)) == LAYOUTS[layout]
    assert run(["list", where]) == 0
    assert capfd.readouterr().out.count("\n") == LAYOUTS[layout]


def test_columns_in_which_nobody_has_anything_are_left_out(tmp_path: Path, capfd: Capture) -> None:
    report = tmp_path / "report.xml"
    report.write_text('<testsuite name="s"><testcase classname="a" name="b"/></testsuite>')
    assert run(["list", str(report)]) == 0
    word, seed, *name = capfd.readouterr().out.split()
    assert (word, len(seed), name) == ("PASS", 16, ["a::b"])


def test_a_list_says_what_each_test_said(tmp_path: Path, capfd: Capture) -> None:
    found = rows(capfd, str(unpacked(tree("layout1"), tmp_path)))
    of_test = {(row["test_id"], row["seed"]): row for row in found}
    for row in truth()["layout1"]:
        listed = of_test[row["test_id"], seed_of(row)]
        assert (listed["verdict"] == "passed") == row["passed"]
        summary = row.get("summary") or {"phases": [], "assertions": []}
        in_phases = [one for one in summary["assertions"] if one["phase_path"]]
        assert listed["phases"] == len(summary["phases"])
        assert listed["assertions"] == len(in_phases)
        assert listed["failed_assertions"] == len([one for one in in_phases if not one["passed"]])


def test_a_run_is_listed_by_its_tests_as_well(tmp_path: Path, capfd: Capture) -> None:
    going = Run(tmp_path / "run")
    with going.test("drain") as harness, harness.phase("setup"):
        harness.check("x", 1, 1)
    assert run(["list", str(going.end())]) == 0
    out, err = capfd.readouterr()
    assert out == "        PASS 00000000deadbeef  3 events  1 phase  1 assertion  drain\n"
    assert err == "1 test run: 1 passed\n"


@pytest.mark.parametrize("to", WRITERS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_it_is_exported_like_any_run(layout: str, to: str, tmp_path: Path, capfd: Capture) -> None:
    where = str(unpacked(tree(layout), tmp_path / "in"))
    target = tmp_path / f"out.{to}"
    assert run(["export", where, "--to", to, "-o", str(target)]) == 0
    capfd.readouterr()
    content = target.read_bytes()
    if to == "junit":
        assert len(list(ElementTree.fromstring(content).iter("testcase"))) == LAYOUTS[layout]
    elif to == "ctrf":
        assert len(json.loads(content)["results"]["tests"]) == LAYOUTS[layout]
    else:
        read = [json.loads(one) for one in content.splitlines()]
        kinds = [one.get("event") for one in read]
        named = kinds.count("TestStarted") if to == "ndjson" else kinds.count("started") - 1
        assert named == LAYOUTS[layout]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_it_is_taken_in_and_packed_without_losing_a_byte(
    layout: str, tmp_path: Path, capfd: Capture
) -> None:
    files = tree(layout)
    where = unpacked(files, tmp_path / "in")
    assert run(["add", str(where)]) == 0
    run_id = capfd.readouterr().out.strip()
    assert run(["pack", run_id, "-o", str(tmp_path / "x.zip")]) == 0
    with zipfile.ZipFile(tmp_path / "x.zip") as packed:
        packed.extractall(tmp_path / "out")
    original, again = read_path(where), bundle.read(tmp_path / "out")
    for name, content in files.items():
        stored = bundle.member_of(again, name)
        assert stored is not None
        assert again.files[stored] == content
    assert list(again.log.lines()) == list(original.log.lines())
    assert said_of(again) == said_of(original)
    capfd.readouterr()
    assert rows(capfd, str(tmp_path / "x.zip")) == rows(capfd, str(where))
    assert run(["add", str(where)]) == 0
    assert "was here already" in capfd.readouterr().err


def said_of(recording: Recording) -> list[tuple[object, ...]]:
    return [
        (test.test_id, test.seed, test.verdict, test.occurrence, test.attempts)
        for test in recording.results.tests
    ]


def test_damage_is_named_by_every_command(tmp_path: Path, capfd: Capture) -> None:
    where = str(unpacked(tree("damaged_bundles"), tmp_path))
    assert run(["verify", where]) == 1
    found = capfd.readouterr().out.splitlines()
    assert len(found) == 21
    for words in (["list"], ["replay"], ["show"]):
        assert run([*words, where]) == 0
        err = capfd.readouterr().err
        assert all(f"warning: {line.removeprefix('bundle: ')}" in err for line in found)


@pytest.mark.parametrize("row", vectors()["contract_v1"], ids=lambda row: row["case"])
def test_verify_refuses_a_manifest_by_its_clause(
    row: dict[str, Any], tmp_path: Path, capfd: Capture
) -> None:
    directory = tmp_path / "x" / "00000000deadbeef"
    directory.mkdir(parents=True)
    content = json.dumps(row["manifest"])
    (directory / "manifest.json").write_text(content)
    for name in ("events.ndjson", "summary.json"):
        (directory / name).write_bytes(tree("layout1/empty_log/0000000000000001")[name])
    code = run(["verify", str(tmp_path)])
    out = capfd.readouterr().out
    if row["error"] is None:
        assert "must" not in out
        assert "cannot" not in out
        return
    assert code == 1
    clause = row["error"].split(" ")[0]
    assert clause in out or (clause == "schema_version" and "contract version" in out)


def hostile(tmp_path: Path) -> Path:
    """Bundles as a suite in Rust may leave them: the ids are hostile, and the names are plain."""
    for number, test_id in enumerate(EVIL_IDS):
        context = TestContext(test_id=test_id, seed=number)
        directory = tmp_path / f"t{number}" / f"{number:016x}"
        directory.mkdir(parents=True)
        with NdjsonLogger(context, path=directory / "events.ndjson") as logger:
            logger.log("Event", f"of {test_id}", number=number)
        passed = number % 2 == 0
        (directory / "manifest.json").write_bytes(
            ReproManifest.from_context(context, passed=passed).to_json()
        )
    return tmp_path


@pytest.mark.parametrize("test_id", EVIL_IDS, ids=ascii)
def test_a_hostile_id_is_found_by_itself(test_id: str, tmp_path: Path, capfd: Capture) -> None:
    where = str(hostile(tmp_path))
    number = EVIL_IDS.index(test_id)
    assert run(["show", where, "--json", "--", test_id]) == 0
    made = json.loads(capfd.readouterr().out)
    assert (made["test_id"], made["seed"]) == (test_id, number)
    assert run(["replay", where, "--events", "--json", "--", test_id]) == 0
    [event] = map(json.loads, capfd.readouterr().out.splitlines())
    assert event["data"] == {"number": number}


def test_hostile_ids_order_neither_a_terminal_nor_a_ci_about(
    tmp_path: Path, capfd: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = str(hostile(tmp_path))
    monkeypatch.setenv("CI", "true")
    for words in (["list"], ["replay"], ["replay", "--events"], ["show"], ["verify"]):
        assert run([words[0], where, *words[1:]]) in (0, 1)
        out, err = capfd.readouterr()
        for text in (out, err):
            assert "\x1b]" not in text
            assert "\x1b[2J" not in text
            assert "\u202e" not in text
            assert not any(line.lstrip().startswith("::") for line in text.splitlines())


def test_what_a_harness_writes_for_a_hostile_id_is_found_by_the_id(
    tmp_path: Path, capfd: Capture
) -> None:
    going = Run(tmp_path / "run")
    for test_id in EVIL_IDS:
        with going.test(test_id) as harness:
            harness.log("Event", own=test_id)
    path = str(going.end())
    for test_id in EVIL_IDS:
        assert run(["replay", path, "--events", "--json", "--", test_id]) == 0
        [event] = map(json.loads, capfd.readouterr().out.splitlines())
        assert event["data"] == {"own": test_id}


def a_link(path: Path) -> None:
    path.symlink_to("/etc/passwd")


def a_pipe(path: Path) -> None:
    if not hasattr(os, "mkfifo"):
        pytest.skip("there are no named pipes here")
    os.mkfifo(path)


@pytest.mark.parametrize("make", [a_link, a_pipe])
def test_a_link_or_a_pipe_in_it_is_refused_by_name(
    make: Callable[[Path], None], tmp_path: Path, capfd: Capture
) -> None:
    where = unpacked(tree("layout2/big_log"), tmp_path)
    make(where / "events.ndjson")
    assert run(["replay", str(where)]) == 3
    assert "'events.ndjson'" in capfd.readouterr().err


def test_hostile_lines_cost_no_more_than_themselves(tmp_path: Path, capfd: Capture) -> None:
    where = unpacked(tree("layout1/empty_log"), tmp_path / "empty_log")
    deep = b'{"v":1,"ts_us":1,"level":"INFO","category":"x","event":"E","message":"","data":'
    good = encode_line("Good", ts_us=5, category="x", message="")
    lines = [
        b"x" * (3 << 20),
        b"[" * 100_000,
        deep + b'{"a":' * 50_000,
        deep + b"NaN}",
        b'{"v":1,"v":1}',
        b'{"v":1,"ts_us":' + b"9" * 5000 + b"}",
        b"\xff\xfe\x00",
        b"\xef\xbb\xbf" + good.rstrip(b"\n"),
    ]
    path = where / "0000000000000001" / "events.ndjson"
    path.write_bytes(b"\n".join(lines) + b"\n" + good)
    assert run(["replay", str(tmp_path), "--events", "--category", "x", "--json"]) == 0
    out, err = capfd.readouterr()
    assert [json.loads(one)["event"] for one in out.splitlines()] == ["Good"]
    assert "events.ndjson has 8 lines that are no event (line 1: it is too long)" in err


def test_verify_of_a_trace_is_its_digests_and_its_end(tmp_path: Path, capfd: Capture) -> None:
    path = tmp_path / "x.trace"
    path.write_bytes(traces()[WHOLE])
    assert run(["verify", str(path)]) == 0
    assert capfd.readouterr() == ("", "trace: whole and valid, 40 events\n")
    path.write_bytes(traces()[CUT])
    assert run(["verify", str(path), "--json"]) == 1
    [finding] = json.loads(capfd.readouterr().out)
    assert finding["problem"].startswith("ends at byte 351, the file ends inside an event")


@pytest.mark.parametrize(
    ("name", "test_id", "seed"),
    [
        ("layout1/cancel_drain_001/00000000deadbeef", "cancel_drain_001", 0xDEADBEEF),
        ("layout2/cancel_drain_001/0x0", "cancel_drain_001", 0),
        ("layout34/harness_fail", "harness_fail", 0),
    ],
)
def test_a_bundle_is_named_by_its_own_directory(
    name: str, test_id: str, seed: int, tmp_path: Path, capfd: Capture
) -> None:
    where = unpacked(tree(name), tmp_path / name)
    [row] = rows(capfd, str(where))
    assert (row["test_id"], row["seed"]) == (test_id, seed)
    assert run(["verify", str(where)]) == 0


def test_what_is_wrong_with_a_bundle_alone_is_named_by_its_directory(
    tmp_path: Path, capfd: Capture
) -> None:
    where = unpacked(tree("layout1/empty_log"), tmp_path / "empty_log") / "0000000000000001"
    (where / "summary.json").write_bytes(b"{")
    assert run(["verify", str(where)]) == 1
    assert "empty_log/0000000000000001/summary.json is not valid JSON" in capfd.readouterr().out
