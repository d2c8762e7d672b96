"""A chain of reruns that cargo-nextest recorded: its sets, counts and exit codes are ours."""

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from builders import a_log, a_test, line, results_of

from bundler.rerun import State, plan, rerun_exit_code, state_after
from bundler.results import Results

FIXTURE = Path(__file__).parent / "fixtures" / "rerun" / "nextest-chain.json"
RUNS: list[dict[str, Any]] = json.loads(FIXTURE.read_text(encoding="utf-8"))["runs"]
STEPS = list(itertools.pairwise(RUNS))


def binary(test_id: str) -> str:
    return test_id.partition(" ")[0]


def state_before(run: dict[str, Any]) -> State:
    """The sets that nextest wrote into the recording of a rerun."""
    sets = run["before"] or {"passing": (), "outstanding": ()}
    return State(frozenset(sets["passing"]), frozenset(sets["outstanding"]))


def results(run: dict[str, Any]) -> Results:
    lines: list[bytes | list[bytes]] = [line("TestsCollected", selected=list(run["selected"]))]
    for test_id, why in run["left_out"].items():
        reason = "passing" if why == "rerun-already-passed" else "deselected"
        lines.append(line("TestsCollected", deselected=[test_id], reason=reason))
    for test_id, outcome in run["selected"].items():
        if outcome != "not seen":
            lines.append(a_test(test_id, outcome))
    return results_of(a_log(*lines))


@pytest.mark.parametrize(("run", "rerun"), STEPS)
def test_the_state_after_a_run_is_the_one_that_nextest_starts_the_next_from(
    run: dict[str, Any], rerun: dict[str, Any]
) -> None:
    assert state_after(state_before(run), results(run), binary) == state_before(rerun)


@pytest.mark.parametrize(("run", "rerun"), STEPS)
def test_what_a_rerun_leaves_out_and_misses_is_what_nextest_leaves_out_and_misses(
    run: dict[str, Any], rerun: dict[str, Any]
) -> None:
    planned = plan(state_before(rerun), results(run))
    here = [*rerun["selected"], *rerun["left_out"]]
    left_out = [one for one, why in rerun["left_out"].items() if why == "rerun-already-passed"]
    assert set(left_out) <= {one for one in here if one in planned.deselect}
    assert not set(rerun["selected"]) & set(planned.deselect)
    seen = {one for one, outcome in rerun["selected"].items() if outcome != "not seen"}
    assert len(set(planned.expected) - seen) == rerun["not_seen"]


@pytest.mark.parametrize("run", RUNS[1:])
def test_a_rerun_exits_as_nextest_does(run: dict[str, Any]) -> None:
    outcomes = [one for one in run["selected"].values() if one != "not seen"]
    after = state_after(state_before(run), results(run), binary)
    child = 100 if "failed" in outcomes else 0 if outcomes else 5
    assert rerun_exit_code(child, after.outstanding, bool(outcomes)) == run["exit_code"]
