"""`bundle show` of a test: its phases as a tree, its assertions, the files and traces it left."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from asupersync_samples import tree, truth
from asupersync_samples import written as unpacked
from builders import SEED
from own_event_runs import DRAIN, Run, X, a_run

from bundler import adoption, own_events, story
from bundler.cli import run
from bundler.opening import read_path
from bundler.story import told_by
from bundler.testing import TestContext, TestHarness

Capture = pytest.CaptureFixture[str]


def shown(capfd: Capture, *words: str) -> str:
    assert run(["show", *words]) == 0
    return re.sub(r"\d+\.\d+ ms", "N ms", capfd.readouterr().out)


def document(capfd: Capture, *words: str) -> dict[str, Any]:
    assert run(["show", *words, "--json"]) == 0
    found: dict[str, Any] = json.loads(capfd.readouterr().out)
    return found


def test_a_test_is_shown_with_all_that_it_said(tmp_path: Path, capfd: Capture) -> None:
    text = shown(capfd, str(a_run(tmp_path / "run")), "test_x")
    where = f"tests/tests-test_a.py-test_x-1-32eef1b31bee54cd/{SEED:016x}"
    assert (
        "      Logged 14 events of its own\n"
        f"        File {where}/environment.json\n"
        f"        File {where}/events.ndjson\n"
        f"        File {where}/failed_assertions.json\n"
        f"        File {where}/manifest.json\n"
        f"        File {where}/summary.json\n"
        f"    Artifact Frame 1.png, image/png, 3 bytes: {where}/Frame-1-a05cb75a07b406dd.png\n"
        f"       Trace {where}/sched_cut_{SEED:016x}.trace, version 3, 7 readable events of 40"
        " declared, ends at byte 351, the file ends inside an event (at byte 355), 9 more bytes"
        " follow\n"
        f"       Trace {where}/sched_whole_{SEED:016x}.trace, version 3, 40 events, whole\n"
    ) in text
    tree_of_phases = re.sub(r" +N ms", " N ms", text)
    assert (
        "  phases ───\n"
        "    setup N ms\n"
        "    exercise N ms  1 assertion\n"
        "    └── cancel N ms  1 of 1 assertion failed\n"
        "          ✗ no leak: expected True, actual False\n"
        "  assertions, 1 of 3 failed ───\n"
        "    FAIL exercise > cancel: no leak: expected=True, actual=False\n"
        "    ok   exercise: drained\n"
        "    ok   outside\n"
        "  failure ───\n"
    ) in tree_of_phases


def test_the_same_as_json(tmp_path: Path, capfd: Capture) -> None:
    made = document(capfd, str(a_run(tmp_path / "run")), DRAIN)
    [attempt] = made["attempts"]
    assert [one["name"] for one in attempt["phases"]] == ["setup", "exercise"]
    assert [one["name"] for one in attempt["phases"][1]["children"]] == ["cancel"]
    assert [one["passed"] for one in attempt["assertions"]] == [True, True, True]
    assert made["own_events"] == 14
    [frame, *_] = made["artifacts"]
    assert (frame["name"], frame["media_type"], frame["size"]) == ("Frame 1.png", "image/png", 3)
    traces = {one["path"]: one["whole"] for one in made["traces"]}
    assert sorted(traces.values()) == [False, True]


def test_a_test_that_was_killed_has_the_phases_it_logged(tmp_path: Path, capfd: Capture) -> None:
    going = Run(tmp_path / "run")
    going.say("TestStarted", DRAIN, order=0)
    harness = TestHarness(TestContext(test_id=DRAIN, seed=SEED), base=going.directory / "tests")
    with harness.phase("setup"):
        harness.check("ready", 1, 1)
    phase = harness.phase("exercise")
    phase.__enter__()
    harness.check("drained", 4, 3)
    going.live.close()
    text = shown(capfd, str(going.directory), DRAIN)
    assert re.search("    setup +N ms +1 assertion\n", text)
    assert "    exercise  did not end  1 of 1 assertion failed\n" in text
    assert "      ✗ drained: expected 4, actual 3\n" in text
    phase.__exit__(None, None, None)


def test_every_attempt_has_its_own_phases(tmp_path: Path, capfd: Capture) -> None:
    going = Run(tmp_path / "run")
    for attempt, outcome in ((1, "failed"), (2, "passed")):
        test = going.test(DRAIN, outcome=outcome, attempt=attempt)
        with test as harness, harness.phase(f"phase_{attempt}"):
            harness.check(f"check {attempt}", 1, 1)
    made = document(capfd, str(going.end()), DRAIN)
    names = [[one["name"] for one in attempt["phases"]] for attempt in made["attempts"]]
    assert names == [["phase_1"], ["phase_2"]]


def test_a_damaged_summary_is_said_and_done_without(tmp_path: Path, capfd: Capture) -> None:
    path = a_run(tmp_path / "run")
    [summary] = path.glob("tests/drain/*/summary.json")
    summary.write_bytes(summary.read_bytes()[:100])
    text = shown(capfd, str(path), DRAIN)
    assert "Damaged tests/drain/00000000deadbeef/summary.json is not valid JSON" in text
    assert "    └── cancel" in text


def test_a_trace_that_is_none_is_said(tmp_path: Path, capfd: Capture) -> None:
    path = a_run(tmp_path / "run")
    [trace] = path.glob("tests/drain/*/sched_whole_*.trace")
    trace.write_bytes(b"no trace")
    text = shown(capfd, str(path), DRAIN)
    assert "sched_whole_00000000deadbeef.trace, unreadable: is not a trace file\n" in text


@pytest.mark.parametrize(
    "row",
    [row for row in truth()["layout34"] if row["layout"] == 3],
    ids=lambda row: row["safe_name"],
)
def test_what_asupersync_s_harness_did_is_shown(
    row: dict[str, Any], tmp_path: Path, capfd: Capture
) -> None:
    where = str(unpacked(tree("layout34"), tmp_path))
    made = document(capfd, where, str(row["test_name"]))
    [attempt] = made["attempts"]
    flat = list(walk(attempt["phases"], []))
    assert flat == [(one["path"], one["depth"], one["assertions"]) for one in row["phases"]]
    assert len(attempt["assertions"]) == row["total_assertions"]
    failed = [one for one in attempt["assertions"] if not one["passed"]]
    assert len(failed) == row["failed_assertions"]


def walk(phases: list[dict[str, Any]], around: list[str]) -> Iterator[tuple[list[str], int, int]]:
    for one in phases:
        path = [*around, str(one["name"])]
        yield path, one["depth"], len(one["assertions"])
        yield from walk(one["children"], path)


def test_of_a_stored_artifacts_directory_everything_is_shown_too(tmp_path: Path) -> None:
    where = unpacked(tree("mixed"), tmp_path / "artifacts")
    directory = tmp_path / "stored"
    directory.mkdir()
    adoption.adopt(directory, read_path(where), {})
    for place, prefix in ((where, ""), (directory, "source/")):
        made = read_path(place)
        told = [told_by(made, test) for test in made.results.tests]
        assert [one.problems for one in told] == [[]] * 13
        files = [file for one in told for file in one.files]
        assert len(files) == len(tree("mixed"))
        assert all(file.member.startswith(prefix) for file in files)
        assert len([file for file in files if file.is_trace]) == 3


@pytest.mark.parametrize("words", [["show"], ["show", "--json"], ["replay"]])
def test_a_test_under_many_seeds_is_read_in_one_pass(
    words: list[str], tmp_path: Path, capfd: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes = []
    real = own_events.own_events

    def counted(*arguments: Any, **options: Any) -> Any:
        passes.append(1)
        return real(*arguments, **options)

    monkeypatch.setattr(own_events, "own_events", counted)
    where = str(unpacked(tree("damaged_bundles"), tmp_path))
    assert run([words[0], where, "cancel_drain_001", *words[1:]]) == 0
    assert len(read_path(Path(where)).results.tests) == 27
    assert len(passes) <= 2
    assert capfd.readouterr().out.count("cancel_drain_001") >= 27


EVIL = "\x1b[2J\x1b]0;evil\x07"


def test_no_text_of_a_test_orders_the_terminal_about(tmp_path: Path, capfd: Capture) -> None:
    going = Run(tmp_path / "run")
    with going.test(X, outcome="failed") as harness:
        with harness.phase(f"phase {EVIL}"):
            harness.check(f"check {EVIL}", EVIL, f"::set-output {EVIL}")
            harness.log(f"Event{EVIL}", EVIL, category=EVIL, data={EVIL: EVIL})
        harness.attach(b"x", f"{EVIL}.png", media_type=EVIL)
    path = str(going.end("failed"))
    for words in (["show", path, X], ["replay", path, X], ["replay", path, "--events"]):
        assert run([*words, "--color", "always"]) == 0
        out = capfd.readouterr().out
        assert "\x1b]" not in out
        assert "\x1b[2J" not in out
        assert "\x07" not in out


def test_phases_without_number_are_bounded(
    tmp_path: Path, capfd: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(story, "MOST", 10)
    going = Run(tmp_path / "run")
    going.say("TestStarted", DRAIN, order=0)
    for number in range(100):
        going.say("PhaseStarted", DRAIN, name=str(number), path=str(number), depth=0)
    going.say("TestFinished", DRAIN, outcome="passed", failures=[])
    text = shown(capfd, str(going.end()), DRAIN)
    assert "(70 more phases and assertions are not shown)" in text
    assert text.count("did not end") == 30


def test_phases_of_any_depth_and_shape_are_shown(tmp_path: Path, capfd: Capture) -> None:
    going = Run(tmp_path / "run")
    going.say("TestStarted", DRAIN, order=0)
    path = ""
    for number in range(300):
        path = f"{path} > {number}" if path else str(number)
        going.say("PhaseStarted", DRAIN, name=str(number), path=path, depth=number)
    for data in ({}, {"name": 1, "path": []}, {"name": None}):
        going.say("PhaseStarted", DRAIN, **data)
        going.say("PhaseFinished", DRAIN, **data)
        going.say("AssertionRecorded", DRAIN, **data)
    going.say("TestFinished", DRAIN, outcome="passed", failures=[])
    text = shown(capfd, str(going.end()), DRAIN)
    assert text.count("did not end") >= 300
