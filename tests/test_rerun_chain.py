"""Chains of reruns: random projects that change between runs, and the document that travels."""

import json
from typing import Any

import pytest
from builders import a_log, a_test, line, results_of
from hypothesis import event, given, settings
from hypothesis import strategies as st

from bundler.chain import Chain, child_chain, from_document, to_document
from bundler.errors import DamagedRecording, TooNewRecording
from bundler.manifest import FORMAT_MAJOR, FORMAT_MINOR
from bundler.rerun import State, state_after
from bundler.results import Results

FILES = ("a.py", "b.py", "sub/c.py")
NAMES = ("t", "u", "TestX::v", "w[1]")
TESTS = [f"{file}::{name}" for file in FILES for name in NAMES]

GOOD = {"passed", "xfailed", "xpassed", "flaky", "passing"}
BAD = {"failed", "errored", "timed_out", "crashed", "unfinished", "not_run"}
MILD = {"skipped", "deselected"}

Run = dict[str, Any]
"""For each file that is there: `failed`, `skipped`, or what became of each test in it."""

fates = st.sampled_from(sorted(GOOD | BAD | MILD))
files = st.one_of(
    st.dictionaries(st.sampled_from(NAMES), fates, min_size=1),
    st.just("failed"),
    st.just("skipped"),
)
runs: st.SearchStrategy[Run] = st.dictionaries(st.sampled_from(FILES), files)


def recorded(run: Run) -> Results:
    """The results of the log that such a run writes."""
    lines: list[bytes | list[bytes]] = []
    for file, fate in run.items():
        if fate == "failed":
            lines.append(line("CollectionFailed", file, failures=[]))
        elif fate == "skipped":
            lines.append(line("CollectionSkipped", file, reason="not here"))
        else:
            lines += [one for name, fate in fate.items() for one in told(f"{file}::{name}", fate)]
    return results_of(a_log(*lines))


def told(test_id: str, fate: str) -> list[bytes | list[bytes]]:
    if fate in ("passing", "deselected"):
        return [line("TestsCollected", deselected=[test_id], reason=fate)]
    collected = line("TestsCollected", selected=[test_id])
    if fate == "not_run":
        return [collected]
    if fate == "unfinished":
        return [collected, line("TestStarted", test_id, order=0)]
    if fate == "flaky":
        return [collected, a_test(test_id, "failed"), a_test(test_id, attempt=2)]
    return [collected, a_test(test_id, fate)]


def expected_after(passing: set[str], outstanding: set[str], run: Run) -> tuple[set[str], set[str]]:
    """The sets after a run, by the algebra of sets on the run itself instead of by the table."""
    fate = {
        f"{file}::{name}": fate
        for file, tests in run.items()
        if isinstance(tests, dict)
        for name, fate in tests.items()
    }
    good = {test for test, fate in fate.items() if fate in GOOD}
    bad = {test for test, fate in fate.items() if fate in BAD}
    broken = {file for file, tests in run.items() if tests == "failed"}
    whole = {file for file, tests in run.items() if isinstance(tests, dict)}
    known = passing | outstanding
    bad |= broken | {test for test in known if test.partition("::")[0] in broken}
    gone = {test for test in known - fate.keys() if test.partition("::")[0] in whole}
    mended = {file for file in whole if set(run[file].values()) != {"deselected"}}
    return (passing - gone - bad) | good, (outstanding - good - mended) | bad


@settings(deadline=None)  # it writes and folds logs
@given(st.lists(runs, min_size=1, max_size=5))
def test_a_chain_of_reruns_agrees_with_the_algebra_of_sets(chain: list[Run]) -> None:
    state, passing, outstanding = State(), set[str](), set[str]()
    for run in chain:
        state = state_after(state, recorded(run))
        passing, outstanding = expected_after(passing, outstanding, run)
        nodes = outstanding & set(FILES)
        assert state == State(frozenset(passing), frozenset(outstanding), frozenset(nodes))
    event(f"{bool(passing)} {bool(outstanding)}")


@settings(deadline=None)  # it writes and folds logs
@given(runs, st.data())
def test_the_sets_are_disjoint_and_only_passing_leads_out_of_outstanding(
    run: Run, data: st.DataObject
) -> None:
    outstanding = data.draw(st.frozensets(st.sampled_from(TESTS)))
    passing = data.draw(st.frozensets(st.sampled_from(TESTS))) - outstanding
    results = recorded(run)
    after = state_after(State(passing, outstanding), results)
    assert after.passing.isdisjoint(after.outstanding)
    assert outstanding - after.outstanding <= after.passing
    failed = {test.test_id for test in results.tests if test.verdict in BAD}
    assert failed <= after.outstanding
    came_to_pass = after.passing - passing
    seen_good = {test.test_id for test in results.tests if test.verdict in GOOD}
    assert came_to_pass <= seen_good | {one.test_id for one in results.deselected}


@settings(deadline=None)  # it writes and folds logs
@given(st.lists(runs, min_size=1, max_size=4))
def test_a_chain_that_travels_as_a_document_comes_to_the_same_state(chain: list[Run]) -> None:
    here, travelled, state = None, None, State()
    for number, run in enumerate(chain):
        results = recorded(run)
        state = state_after(state, results)
        here = child_chain(f"run-{number}", here, results)
        if travelled is not None:
            travelled = from_document(json.loads(json.dumps(to_document(travelled))))
        travelled = child_chain(f"run-{number}", travelled, results)
    assert here == travelled
    assert here is not None
    assert here.state == state
    assert (here.root_run_id, here.parent_run_id) == ("run-0", f"run-{len(chain) - 1}")


@given(st.frozensets(st.text()), st.frozensets(st.text()), st.data())
def test_any_ids_at_all_survive_the_document(
    some: frozenset[str], others: frozenset[str], data: st.DataObject
) -> None:
    outstanding = others - some
    nodes = data.draw(st.frozensets(st.sampled_from(sorted(outstanding)))) if outstanding else ()
    chain = Chain("parent", "root", State(some, outstanding, frozenset(nodes)))
    assert from_document(json.loads(json.dumps(to_document(chain)))) == chain


def test_the_ids_of_one_file_are_written_under_it_once() -> None:
    state = State(
        passing=frozenset({"a.py::t", "a.py::TestX::t", "b.py::t[x::y]"}),
        outstanding=frozenset({"c.py", "a.py::u"}),
        uncollected=frozenset({"c.py"}),
    )
    assert to_document(Chain("p", "r", state)) == {
        "format": {"major": FORMAT_MAJOR, "minor": FORMAT_MINOR},
        "parent_run_id": "p",
        "root_run_id": "r",
        "passing": {"a.py::": ["TestX::t", "t"], "b.py::": ["t[x::y]"]},
        "outstanding": {"a.py::": ["u"], "": ["c.py"]},
        "uncollected": ["c.py"],
    }


def document(**changes: object) -> dict[str, Any]:
    state = State(frozenset({"a.py::t"}), frozenset({"a.py::u"}))
    return {**to_document(Chain("p", "r", state)), **changes}


def test_fields_of_a_newer_minor_are_passed_over() -> None:
    newer = document(format={"major": 1, "minor": 7, "x": 1}, quarantined={"a.py::": ["v"]})
    assert from_document(newer) == from_document(document())
    without_nodes = {name: value for name, value in document().items() if name != "uncollected"}
    assert from_document(without_nodes) == from_document(document())


def test_another_major_is_refused() -> None:
    with pytest.raises(TooNewRecording, match=r"rerun\.json has format 2"):
        from_document(document(format={"major": 2, "minor": 0}))


@pytest.mark.parametrize(
    "changes",
    [
        {"passing": ["a.py::t"]},
        {"passing": {"a.py::": "t"}},
        {"outstanding": {"a.py::": [1]}},
        {"outstanding": None},
        {"parent_run_id": 5},
        {"format": {}},
        {"outstanding": {"": ["a.py::t"]}},
        {"uncollected": ["a.py::t"]},
        {"uncollected": ["elsewhere"]},
    ],
)
def test_a_document_that_does_not_fit_or_contradicts_itself_is_damaged(
    changes: dict[str, object],
) -> None:
    with pytest.raises(DamagedRecording, match=r"rerun\.json"):
        from_document(document(**changes))
