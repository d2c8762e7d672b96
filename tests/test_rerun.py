"""Reruns: the table, what a run saw of a test, the plan of a child run, the exit code."""

import itertools
from collections.abc import Callable
from typing import Any

import pytest
from builders import a_log, a_test, line, results_of

from bundler import rerun
from bundler.rerun import (
    TABLE,
    Order,
    Place,
    Standing,
    State,
    plan,
    rerun_exit_code,
    selection_document,
    state_after,
    worker_sequences,
)
from bundler.results import Results, Verdict

OUTCOMES = ["passed", "failed", "errored", "skipped", "xfailed", "xpassed", "timed_out", "crashed"]


def saw(*lines: bytes | list[bytes]) -> Results:
    return results_of(a_log(*lines))


def collected(*ids: str) -> bytes:
    return line("TestsCollected", selected=list(ids))


def left_out(*ids: str, reason: str = "deselected") -> bytes:
    return line("TestsCollected", deselected=list(ids), reason=reason)


def passing(*ids: str) -> State:
    return State(passing=frozenset(ids))


def outstanding(*ids: str) -> State:
    return State(outstanding=frozenset(ids))


def test_the_table_of_the_docstring_is_the_table() -> None:
    assert rerun.__doc__ is not None
    rows = [row.strip("| ").split(" | ") for row in rerun.__doc__.splitlines() if row[:2] == "| "]
    shown = [tuple(Standing[cell.strip().upper()] for cell in row[1:]) for row in rows[1:]]
    assert shown == list(TABLE.values())
    for place, row in zip(TABLE, rows[1:], strict=True):
        assert row[0].startswith(place.value)


def decided_by_words(place: Place, before: Standing) -> Standing:
    """The rules again, as sentences rather than as a table."""
    if place is Place.PASSED:
        return Standing.PASSING
    if place is Place.NOT_PASSED:
        return Standing.OUTSTANDING
    if place is Place.GONE and before is Standing.PASSING:
        return Standing.UNKNOWN
    return before


@pytest.mark.parametrize(("place", "before"), list(itertools.product(Place, Standing)))
def test_the_table_says_what_the_rules_say(place: Place, before: Standing) -> None:
    assert TABLE[place][before] is decided_by_words(place, before)


# What puts a test at each place of the table.
SCENES: dict[Place, list[list[bytes]]] = {
    Place.ABSENT: [[], [collected("other.py::t"), *a_test("other.py::t")]],
    Place.GONE: [[collected("a.py::other")], [left_out("a.py::other")], a_test("a.py::other")],
    Place.PASSED: [
        *[[collected("a.py::t"), *a_test("a.py::t", one)] for one in ("passed", "xfailed")],
        a_test("a.py::t", "xpassed"),
        [*a_test("a.py::t", "failed"), *a_test("a.py::t", attempt=2)],
        [left_out("a.py::t", reason="passing")],
    ],
    Place.NOT_PASSED: [
        *[a_test("a.py::t", one) for one in ("failed", "errored", "timed_out", "crashed")],
        [line("TestStarted", "a.py::t", order=0)],
        [collected("a.py::t")],
    ],
    Place.SKIPPED: [a_test("a.py::t", "skipped")],
    Place.DESELECTED: [[left_out("a.py::t")]],
}


@pytest.mark.parametrize(
    ("place", "lines", "before"),
    [(place, lines, b) for place in Place for lines in SCENES[place] for b in Standing],
)
def test_each_row_is_reached_from_a_log(place: Place, lines: list[bytes], before: Standing) -> None:
    states = {
        Standing.PASSING: passing("a.py::t"),
        Standing.OUTSTANDING: outstanding("a.py::t"),
        Standing.UNKNOWN: State(),
    }
    after = state_after(states[before], saw(*lines))
    assert after.standing("a.py::t") is decided_by_words(place, before)


def test_every_verdict_has_a_place() -> None:
    ran = {one: state_after(State(), saw(a_test("t", one))).standing("t") for one in OUTCOMES}
    assert {one for one, standing in ran.items() if standing is Standing.PASSING} == {
        "passed",
        "xfailed",
        "xpassed",
    }
    assert ran["skipped"] is Standing.UNKNOWN
    assert set(Verdict) - {Verdict(one) for one in OUTCOMES} == {"flaky", "unfinished", "not_run"}


def test_a_test_of_two_sessions_has_to_pass_in_both() -> None:
    both = [
        [line("TestStarted", "a.py::t", session="one", order=0)],
        [line("TestFinished", "a.py::t", session="one", outcome="failed", failures=[])],
        [line("TestStarted", "a.py::t", session="two", order=0)],
        [line("TestFinished", "a.py::t", session="two", outcome="passed", failures=[])],
    ]
    for order in (both, both[2:] + both[:2]):
        assert state_after(State(), saw(*order)) == outstanding("a.py::t")


def test_a_repeated_id_has_to_pass_every_time() -> None:
    results = saw(collected("a.py::t", "a.py::t"), a_test("a.py::t"))
    assert state_after(passing("a.py::t"), results) == outstanding("a.py::t")


@pytest.mark.parametrize("other", ["skipped", "deselected"])
def test_a_session_that_never_runs_a_test_does_not_hold_it_back(other: str) -> None:
    elsewhere = {
        "skipped": [
            line("TestStarted", "a.py::t", session="two", order=0),
            line("TestFinished", "a.py::t", session="two", outcome="skipped", failures=[]),
        ],
        "deselected": [line("TestsCollected", session="two", deselected=["a.py::t"])],
    }[other]
    results = saw(a_test("a.py::t"), elsewhere)
    assert state_after(outstanding("a.py::t"), results) == passing("a.py::t")


def test_a_file_that_cannot_be_collected_is_outstanding_with_its_former_tests() -> None:
    before = State(frozenset({"a.py::t", "b.py::t"}), frozenset({"a.py::u"}))
    results = saw(line("CollectionFailed", "a.py", failures=[]), left_out("b.py::t"))
    after = state_after(before, results)
    assert after.passing == {"b.py::t"}
    assert after.outstanding == {"a.py", "a.py::t", "a.py::u"}
    assert after.uncollected == {"a.py"}


def test_a_file_that_can_be_collected_again_is_no_longer_outstanding_but_its_tests_are() -> None:
    before = State(
        outstanding=frozenset({"a.py", "a.py::t", "a.py::u"}), uncollected=frozenset({"a.py"})
    )
    after = state_after(before, saw(collected("a.py::t", "a.py::u"), a_test("a.py::t")))
    assert after == State(frozenset({"a.py::t"}), frozenset({"a.py::u"}))


@pytest.mark.parametrize(
    "lines",
    [
        [],
        [line("CollectionFailed", "a.py", failures=[])],
        [line("CollectionSkipped", "a.py", reason="no numpy")],
        [collected("b.py::t"), *a_test("b.py::t")],
        [left_out("a.py::t")],
    ],
    ids=["nothing seen", "failed again", "skipped itself", "other files only", "deselected"],
)
def test_a_file_of_which_nothing_was_selected_stays_outstanding(lines: list[bytes]) -> None:
    before = State(outstanding=frozenset({"a.py"}), uncollected=frozenset({"a.py"}))
    after = state_after(before, saw(*lines))
    assert after.uncollected == {"a.py"}
    assert "a.py" in after.outstanding


@pytest.mark.parametrize(
    ("node", "inside"),
    [
        ("tests/sub", True),
        ("tests", True),
        (".", True),
        ("", True),
        ("tests/sub/a.py::TestX", True),
        ("tests/su", False),
        ("tests/sub/a.py::Test", False),
        ("tests/sub/b.py", False),
    ],
)
def test_a_node_that_fails_takes_with_it_what_lies_inside(node: str, inside: bool) -> None:
    test_id = "tests/sub/a.py::TestX::test_y"
    results = saw(line("CollectionFailed", node, failures=[]))
    assert (test_id in state_after(passing(test_id), results).outstanding) is inside


@pytest.mark.parametrize(
    ("node", "inside"),
    [
        ("pkg", True),
        ("pkg.test_a", True),
        ("pkg.test_a.TestX", True),
        ("pkg.test", False),
        ("pkg.test_b", False),
    ],
)
def test_a_module_of_unittest_that_fails_takes_with_it_what_lies_inside(
    node: str, inside: bool
) -> None:
    test_id = "pkg.test_a.TestX.test_y"
    results = saw(line("CollectionFailed", node, failures=[]))
    assert (test_id in state_after(passing(test_id), results).outstanding) is inside


def test_a_file_that_skips_itself_skips_its_tests() -> None:
    before = State(frozenset({"a.py::t"}), frozenset({"a.py::u"}))
    results = saw(line("CollectionSkipped", "a.py", reason="no numpy"), collected("b.py::t"))
    after = state_after(before, results)
    assert after == State(frozenset({"a.py::t"}), frozenset({"a.py::u", "b.py::t"}))


def test_a_class_that_skips_itself_is_not_gone() -> None:
    skipped = line("CollectionSkipped", "a.py::TestX", reason="no numpy")
    before = passing("a.py::TestX::t", "a.py::gone")
    assert state_after(before, saw(skipped, a_test("a.py::t"))) == passing(
        "a.py::TestX::t", "a.py::t"
    )


def test_a_class_that_fails_beside_tests_that_ran_is_outstanding() -> None:
    results = saw(
        line("CollectionFailed", "a.py::TestX", failures=[]),
        collected("a.py::t"),
        a_test("a.py::t"),
    )
    after = state_after(State(), results)
    assert after == State(
        frozenset({"a.py::t"}), frozenset({"a.py::TestX"}), frozenset({"a.py::TestX"})
    )
    fixed = saw(left_out("a.py::t", reason="passing"), a_test("a.py::TestX::t"))
    assert state_after(after, fixed) == passing("a.py::t", "a.py::TestX::t")


@pytest.mark.parametrize(
    "named", ["sub/a.py::t", "sub\\a.py::t", "a.py::t", "./a.py::t", "/p/sub/a.py::t"]
)
def test_tests_beside_one_named_on_the_command_line_are_not_gone(named: str) -> None:
    one_named = [line("SessionStarted", args=["-x", named]), *a_test("sub/a.py::t")]
    assert state_after(passing("sub/a.py::u"), saw(*one_named)) == passing(
        "sub/a.py::t", "sub/a.py::u"
    )
    whole_file = [line("SessionStarted", args=["-x", "sub/a.py"]), *a_test("sub/a.py::t")]
    assert state_after(passing("sub/a.py::u"), saw(*whole_file)) == passing("sub/a.py::t")


@pytest.mark.parametrize("args", [None, 5, "a.py::t", [["a.py::t"], 7, None]])
def test_odd_arguments_of_a_session_name_nothing(args: object) -> None:
    results = saw(line("SessionStarted", args=args), a_test("a.py::t"))
    assert state_after(passing("a.py::u"), results) == passing("a.py::t")


def test_another_runner_says_what_a_file_is() -> None:
    def binary(test_id: str) -> str:
        return test_id.partition(" ")[0]

    results = saw(a_test("crate::bin$one tests::a"))
    before = passing("crate::bin$one tests::b", "crate::bin$two tests::b")
    file_of: Callable[[str], str] = binary
    assert state_after(before, results, file_of) == passing(
        "crate::bin$one tests::a", "crate::bin$two tests::b"
    )


# The plan of a child run.


def attempt_on(
    worker: str, order: int, test_id: str, outcome: str = "passed", attempt: int = 1
) -> list[bytes]:
    return [
        line("TestStarted", test_id, worker=worker, order=order, attempt=attempt),
        line("TestFinished", test_id, worker=worker, attempt=attempt, outcome=outcome, failures=[]),
    ]


def a_run_of_two_workers() -> Results:
    """gw0: a, c, e (failed). gw1: b, d (failed), f. g never started."""
    return saw(
        collected(*(f"t.py::{one}" for one in "abcdefg")),
        attempt_on("gw0", 0, "t.py::a"),
        attempt_on("gw1", 0, "t.py::b"),
        attempt_on("gw0", 1, "t.py::c"),
        attempt_on("gw1", 1, "t.py::d", "failed"),
        attempt_on("gw0", 2, "t.py::e", "failed"),
        attempt_on("gw1", 2, "t.py::f"),
    )


def names(ids: tuple[str, ...]) -> str:
    return "".join(one.removeprefix("t.py::") for one in ids)


def test_a_rerun_leaves_out_what_passes_and_keeps_the_parents_order() -> None:
    results = a_run_of_two_workers()
    planned = plan(state_after(State(), results), results)
    assert names(planned.deselect) == "abcf"
    assert names(planned.order) == names(planned.expected) == "deg"


def test_by_worker_what_a_worker_had_run_before_runs_again() -> None:
    results = a_run_of_two_workers()
    planned = plan(state_after(State(), results), results, Order.WORKER)
    assert names(planned.order) == "acebdg"
    assert names(planned.deselect) == "f"
    assert names(planned.expected) == "deg"
    sequences = worker_sequences(results, {"t.py::c", "t.py::b"})
    assert [names(one) for one in sequences] == ["ac", "b"]


def test_in_full_everything_runs_in_the_parents_order() -> None:
    results = a_run_of_two_workers()
    planned = plan(state_after(State(), results), results, Order.FULL)
    assert names(planned.order) == "abcdefg"
    assert planned.deselect == ()


def test_a_test_that_was_retried_on_another_worker_has_two_histories() -> None:
    results = saw(
        attempt_on("gw0", 0, "t.py::a"),
        attempt_on("gw0", 1, "t.py::x", "crashed"),
        attempt_on("gw2", 0, "t.py::b"),
        attempt_on("gw2", 1, "t.py::x", "failed", attempt=2),
        attempt_on("gw2", 2, "t.py::c"),
    )
    sequences = worker_sequences(results, {"t.py::x"})
    assert [names(one) for one in sequences] == ["ax", "bx"]


def test_where_no_order_was_recorded_the_start_tells_it() -> None:
    lines = [
        line("TestStarted", "t.py::a", ts_us=20),
        line("TestStarted", "t.py::b", ts_us=10),
        line("TestFinished", "t.py::a", ts_us=30, outcome="failed", failures=[]),
    ]
    sequences = worker_sequences(saw(*lines), {"t.py::a"})
    assert [names(one) for one in sequences] == ["ba"]


def test_what_a_worker_ran_is_in_the_order_that_was_recorded_and_then_what_has_none() -> None:
    results = saw(
        line("TestStarted", "t.py::d", ts_us=5),
        line("TestStarted", "t.py::c", ts_us=10, order=2),
        line("TestStarted", "t.py::b", ts_us=20, order=1),
        line("TestStarted", "t.py::a", ts_us=30, order=0),
    )
    sequences = worker_sequences(results, {f"t.py::{one}" for one in "abcd"})
    assert [names(one) for one in sequences] == ["abcd"]


def test_what_came_from_before_the_parent_is_expected_last() -> None:
    state = State(
        passing=frozenset({"t.py::p"}),
        outstanding=frozenset({"t.py::a", "old.py::z", "old.py::y", "broken.py"}),
        uncollected=frozenset({"broken.py"}),
    )
    planned = plan(state, saw(a_test("t.py::s", "skipped"), a_test("t.py::a", "failed")))
    assert planned.expected == ("t.py::a", "broken.py", "old.py::y", "old.py::z")
    assert planned.order == ("t.py::s", "t.py::a", "old.py::y", "old.py::z")


def test_the_probe_is_handed_ids_to_match_and_nothing_to_run() -> None:
    results = saw(a_test("t.py::a"), a_test("t.py::b", "failed"))
    assert selection_document(plan(state_after(State(), results), results)) == {
        "version": 1,
        "deselect": ["t.py::a"],
        "only": None,
        "order": ["t.py::b"],
    }
    assert selection_document(plan(State(), saw()))["order"] is None
    more: dict[str, Any] = {
        "restore": {"t.py::b": {"python": "state"}},
        "random_seeds": {"randomly": "7"},
    }
    document = selection_document(plan(State(), saw()), **more)
    assert {name: document[name] for name in more} == more
    assert not more.keys() & selection_document(plan(State(), saw()), restore={}).keys()


def test_the_orders_are_named_as_people_name_them() -> None:
    assert [order.value for order in Order] == ["failed", "worker", "full"]


# The exit code.


@pytest.mark.parametrize(
    ("child", "left", "ran", "code"),
    [
        (0, [], True, 0),
        (0, ["t"], True, 5),
        (0, [], False, 0),
        (0, ["t"], False, 5),
        (5, [], False, 0),
        (5, ["t"], False, 5),
        (5, [], True, 1),
        (5, ["t"], True, 1),
        *[(code, left, ran, code) for code in (1, 2, 3, 4, 137) for left in ([], ["t"])
          for ran in (True, False)],
    ],
)  # fmt: skip
def test_a_rerun_exits_as_its_child_unless_there_was_nothing_to_run_or_something_is_left(
    child: int, left: list[str], ran: bool, code: int
) -> None:
    assert rerun_exit_code(child, left, ran) == code
