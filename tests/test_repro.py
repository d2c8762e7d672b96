"""The ladder: which trials, in which order, and what they prove."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from builders import a_log, a_test, line, results_of
from hypothesis import given, settings
from hypothesis import strategies as st

from bundler.delta_debugging import ddmin
from bundler.manifest import RunStatus
from bundler.repro import (
    BudgetSpent,
    Chance,
    Conclusion,
    ReproVerdict,
    Rung,
    Seen,
    Sight,
    Target,
    Trial,
    ladder,
    plain_line,
    rungs_of,
)
from bundler.sighting import aliases, look, originals

Suite = Callable[[Trial, int], Seen]
"""What a trial shows; the number counts the executions from 0."""

VICTIM = "b.py::victim"
TARGET = Target(
    VICTIM,
    file_before=("b.py::x",),
    worker_before=("a.py::p", "a.py::q", "b.py::x"),
    full=("a.py::p", "a.py::q", "b.py::x", VICTIM, "c.py::z"),
)


def climbed(
    suite: Suite,
    target: Target = TARGET,
    *,
    repeat: int = 3,
    most: int = 999,
    chances: Iterable[Chance] = (),
) -> Conclusion:
    """The conclusion after at most so many executions."""
    climb = ladder(target, repeat, chances)
    try:
        trial = next(climb)
        for number in range(most):
            trial = climb.send(Sight(suite(trial, number)))
        climb.throw(BudgetSpent())
    except StopIteration as end:
        assert isinstance(end.value, Conclusion)
        return end.value
    raise AssertionError("the ladder went on without a budget")


def after(*polluters: str) -> Suite:
    """A suite whose victim fails after all of these tests."""
    return lambda trial, _: Seen.SAME if set(polluters) <= set(trial.before) else Seen.PASSED


def showing(**by_rung: Seen) -> Suite:
    """A suite that shows one thing on each rung, and passes on the others."""
    return lambda trial, _: by_rung.get(trial.rung.value, Seen.PASSED)


def rungs(conclusion: Conclusion) -> list[str]:
    return [trial.rung.value for trial, _ in conclusion.tried if not trial.bisecting]


def test_what_fails_alone_three_times_is_reproduced_and_no_more_is_tried() -> None:
    conclusion = climbed(after())
    assert (conclusion.verdict, conclusion.rung) == (ReproVerdict.REPRODUCED, Rung.ALONE)
    assert rungs(conclusion) == ["alone"] * 3
    assert conclusion.same_of == (3, 3)


def test_each_rung_is_tried_only_where_the_one_below_did_not_show_it() -> None:
    conclusion = climbed(after("nothing like it"))
    assert rungs(conclusion) == ["alone", "file", "worker", "full", "alone", "alone"]
    assert conclusion.verdict is ReproVerdict.NOT_REPRODUCED


def test_a_failure_after_one_test_is_blamed_on_that_test_alone() -> None:
    conclusion = climbed(after("a.py::q"))
    assert conclusion.verdict is ReproVerdict.ORDER_DEPENDENT
    assert (conclusion.rung, conclusion.polluters) == (Rung.WORKER, ("a.py::q",))
    assert conclusion.minimal


def test_two_tests_that_must_act_together_are_both_blamed() -> None:
    conclusion = climbed(after("a.py::p", "b.py::x"))
    assert conclusion.polluters == ("a.py::p", "b.py::x")


def test_a_polluter_in_the_same_file_is_found_without_the_other_files() -> None:
    conclusion = climbed(after("b.py::x"))
    assert (conclusion.rung, conclusion.polluters) == (Rung.FILE, ("b.py::x",))
    assert "worker" not in rungs(conclusion)


def test_every_set_that_counts_was_seen_to_fail_twice() -> None:
    conclusion = climbed(after("a.py::p"))
    bisected = [(t.before, s.seen) for t, s in conclusion.tried if t.bisecting]
    assert bisected.count((conclusion.polluters, Seen.SAME)) == 2


def test_a_set_that_fails_once_and_then_passes_does_not_count() -> None:
    seen: list[tuple[str, ...]] = []

    def suite(trial: Trial, number: int) -> Seen:
        if trial.bisecting and trial.before == ("a.py::p",):
            seen.append(trial.before)
            return Seen.SAME if len(seen) == 1 else Seen.PASSED
        return after("a.py::p", "a.py::q")(trial, number)

    assert climbed(suite).polluters == ("a.py::p", "a.py::q")


def test_now_the_same_and_now_not_on_one_rung_is_flaky() -> None:
    conclusion = climbed(lambda _, number: Seen.SAME if number % 2 == 0 else Seen.PASSED)
    assert (conclusion.verdict, conclusion.rung) == (ReproVerdict.FLAKY, Rung.ALONE)
    assert conclusion.same_of == (1, 2)


def test_a_failure_that_seemed_to_need_others_but_comes_alone_too_is_flaky() -> None:
    def suite(trial: Trial, number: int) -> Seen:
        if trial.rung is Rung.ALONE:
            return Seen.PASSED if number == 0 else Seen.SAME
        return Seen.SAME

    conclusion = climbed(suite)
    assert (conclusion.verdict, conclusion.rung) == (ReproVerdict.FLAKY, Rung.ALONE)
    assert conclusion.polluters == ()


def test_what_passed_on_every_rung_and_fails_when_tried_again_is_flaky() -> None:
    assert climbed(lambda _, n: Seen.SAME if n == 5 else Seen.PASSED).verdict is ReproVerdict.FLAKY


def test_another_failure_is_never_called_reproduced() -> None:
    conclusion = climbed(lambda *_: Seen.DIFFERENT)
    assert conclusion.verdict is ReproVerdict.FAILS_DIFFERENTLY
    assert conclusion.same_of[0] == 0


def test_a_higher_rung_may_show_the_same_where_a_lower_one_failed_differently() -> None:
    def suite(trial: Trial, _: int) -> Seen:
        return Seen.SAME if trial.before else Seen.DIFFERENT

    assert climbed(suite).verdict is ReproVerdict.ORDER_DEPENDENT


def test_only_the_full_run_may_show_it() -> None:
    conclusion = climbed(showing(full=Seen.SAME))
    assert (conclusion.verdict, conclusion.rung) == (ReproVerdict.REPRODUCED, Rung.FULL)


def test_a_test_that_is_gone_could_not_run_and_nothing_more_is_tried() -> None:
    conclusion = climbed(lambda *_: Seen.GONE)
    assert conclusion.verdict is ReproVerdict.COULD_NOT_RUN
    assert rungs(conclusion) == ["alone"]


def test_rungs_that_could_not_be_executed_are_not_counted_as_passed() -> None:
    conclusion = climbed(lambda *_: Seen.NOTHING)
    assert conclusion.verdict is ReproVerdict.COULD_NOT_RUN
    assert conclusion.ran == []


def test_a_failure_after_others_is_not_blamed_on_them_where_alone_could_not_be_executed() -> None:
    conclusion = climbed(showing(alone=Seen.NOTHING, worker=Seen.SAME))
    assert conclusion.verdict is ReproVerdict.REPRODUCED
    assert conclusion.polluters == ()


@pytest.mark.parametrize("most", range(1, 6))
def test_not_reproduced_is_said_only_where_every_rung_was_executed(most: int) -> None:
    conclusion = climbed(lambda *_: Seen.PASSED, most=most)
    all_rungs = most >= len(rungs_of(TARGET))
    assert conclusion.budget_spent
    assert conclusion.verdict is (
        ReproVerdict.NOT_REPRODUCED if all_rungs else ReproVerdict.COULD_NOT_RUN
    )


@pytest.mark.parametrize("most", range(40))
def test_wherever_the_budget_ends_what_is_said_was_seen(most: int) -> None:
    conclusion = climbed(after("a.py::q"), most=most)
    assert len(conclusion.tried) <= most
    seen = {sight.seen for _, sight in conclusion.tried}
    if conclusion.verdict is ReproVerdict.ORDER_DEPENDENT:
        assert Seen.SAME in seen
        assert "a.py::q" in conclusion.polluters
        assert (
            conclusion.minimal == (conclusion.polluters == ("a.py::q",)) or not conclusion.minimal
        )
    elif conclusion.verdict is ReproVerdict.NOT_REPRODUCED:
        raise AssertionError("not every rung was executed")
    else:
        assert conclusion.verdict is ReproVerdict.COULD_NOT_RUN
        assert Seen.SAME not in seen


def test_rungs_that_would_repeat_one_another_are_left_out() -> None:
    assert [rung for rung, _ in rungs_of(Target("t"))] == [Rung.ALONE]
    one_file = Target("t", file_before=("s",), worker_before=("s",), full=("s", "t"))
    assert [rung for rung, _ in rungs_of(one_file)] == [Rung.ALONE, Rung.FILE]
    assert [rung for rung, _ in rungs_of(TARGET)] == list(Rung)[1:]
    assert [rung for rung, _ in rungs_of(Target("f.py", collection=True))] == [Rung.COLLECTION]


# --- delta debugging ---------------------------------------------------------------------------


def smallest(items: Iterable[str], shows: Callable[[set[str]], bool]) -> tuple[list[str], int]:
    search, tries = ddmin(tuple(items)), 0
    try:
        candidate = next(search)
        while True:
            tries += 1
            candidate = search.send(shows(set(candidate)))
    except StopIteration as end:
        return list(end.value), tries


@pytest.mark.parametrize("needed", Chance)
def test_what_a_failure_takes_of_the_recorded_run_is_found(needed: Chance) -> None:
    found = climbed(
        lambda trial, _: Seen.PASSED if needed in trial.without else Seen.SAME, chances=Chance
    )
    assert (found.verdict, found.takes) == (ReproVerdict.REPRODUCED, (needed,))
    assert (found.same_of, found.without(needed)) == ((4, 4), (2, 2))


def test_a_failure_that_takes_nothing_costs_one_execution_to_know() -> None:
    found = climbed(lambda *_: Seen.SAME, chances=Chance)
    assert (found.verdict, found.takes, len(found.tried)) == (ReproVerdict.REPRODUCED, (), 4)


def test_another_failure_without_them_does_not_say_that_it_takes_them() -> None:
    found = climbed(lambda trial, _: Seen.DIFFERENT if trial.without else Seen.SAME, chances=Chance)
    assert (found.takes, found.last(Seen.DIFFERENT), found.same_of) == ((), None, (3, 3))


def test_a_failure_that_stays_away_of_itself_takes_nothing_and_is_flaky() -> None:
    found = climbed(lambda _, number: Seen.SAME if number < 3 else Seen.PASSED, chances=Chance)
    assert (found.verdict, found.takes) == (ReproVerdict.FLAKY, ())


def test_a_failure_after_others_is_not_tried_without_them() -> None:
    found = climbed(after("a.py::p"), chances=Chance)
    assert not any(trial.without for trial, _ in found.tried)


@settings(deadline=None)
@given(st.sets(st.integers(0, 59), min_size=1, max_size=5), st.integers(1, 60))
def test_what_acts_together_is_found_whole_and_in_order(needed: set[int], size: int) -> None:
    items = [str(one) for one in range(max(size, max(needed) + 1))]
    wanted = {str(one) for one in needed}
    found, _ = smallest(items, wanted.issubset)
    assert found == [one for one in items if one in wanted]


@settings(deadline=None)
@given(st.sets(st.frozensets(st.integers(0, 15), min_size=1), min_size=1, max_size=6))
def test_no_member_of_what_is_found_can_be_left_out(causes: set[frozenset[int]]) -> None:
    def shows(chosen: set[str]) -> bool:
        return any({str(one) for one in cause} <= chosen for cause in causes)

    found, _ = smallest([str(one) for one in range(16)], shows)
    assert shows(set(found))
    assert not any(shows(set(found) - {one}) for one in found)


def test_one_polluter_among_a_thousand_takes_about_twenty_tries() -> None:
    found, tries = smallest((str(one) for one in range(1000)), lambda chosen: "700" in chosen)
    assert found == ["700"]
    assert tries <= 20


# --- the line for somebody without this tool ---------------------------------------------------


@settings(deadline=None)
@given(st.lists(st.text(min_size=1).filter(lambda text: "\0" not in text), min_size=1))
def test_a_shell_reads_the_plain_line_as_it_was_meant(ids: list[str]) -> None:
    words = shlex.split(plain_line(ids, {"PYTHONHASHSEED": "7"}, ["-n0"]))
    assert words[:5] == ["PYTHONHASHSEED=7", "python", "-m", "pytest", "-n0"]
    assert [word for word in words[5:] if word != "--"] == [one for one in ids if one != "--"]


# --- what one execution showed -----------------------------------------------------------------


def failed(message: str, outcome: str = "failed", test_id: str = "t") -> list[bytes]:
    failure = {"phase": "call", "type": "AssertionError", "message": message, "file": "a.py"}
    return a_test(test_id, outcome, failures=[failure])


def seen(*lines: bytes | list[bytes], state: str = "failed") -> Seen:
    """What an execution with these events shows of a recorded `assert 1 == 2 at 0x7f0000000000`."""
    [original] = originals(results_of(a_log(failed("assert 1 == 2 at 0x7f0000000000"))))
    return look(results_of(a_log(*lines)), RunStatus(state, exit_code=1), original)[0]


SESSION_OF_IT = line("SessionStarted", runner="pytest")


def test_the_same_failure_at_another_address_is_the_same() -> None:
    assert seen(failed("assert 1 == 2 at 0x7fffffffffff")) is Seen.SAME


@pytest.mark.parametrize(
    "other",
    [
        failed("assert 1 == 3 at 0x7f0000000000"),
        a_test("t", "failed", failures=[{"phase": "call", "type": "OSError", "message": "x"}]),
        a_test("t", "timed_out"),
        [line("TestStarted", "t")],
    ],
)
def test_another_failure_of_the_same_test_is_not(other: list[bytes]) -> None:
    assert seen(other) is Seen.DIFFERENT


@pytest.mark.parametrize(
    ("here", "words"),
    [
        ("unlucky\nassert 4", "unlucky: assert 4, in place of assert 3"),
        ("unlucky", "unlucky: nothing, in place of assert 3"),
        ("lucky\nassert 3", "lucky"),
    ],
)
def test_of_another_failure_that_begins_alike_the_line_that_differs_is_told(
    here: str, words: str
) -> None:
    [original] = originals(results_of(a_log(failed("unlucky\nassert 3"))))
    told = look(results_of(a_log(failed(here))), RunStatus("failed", exit_code=1), original)
    assert told == (Seen.DIFFERENT, words)


@pytest.mark.parametrize("outcome", ["passed", "xfailed"])
def test_a_test_that_went_well_passed(outcome: str) -> None:
    assert seen(a_test("t", outcome)) is Seen.PASSED


@pytest.mark.parametrize(
    ("lines", "state"),
    [
        ((), "usage_error"),
        ((), "not_started"),
        ((), "failed"),
        ((SESSION_OF_IT,), "internal_error"),
        ((SESSION_OF_IT, a_test("t", "skipped")), "passed"),
        ((SESSION_OF_IT, line("TestsCollected", deselected=["t"])), "no_tests"),
        ((SESSION_OF_IT, line("TestsCollected", selected=["t"])), "interrupted"),
        ((SESSION_OF_IT, line("CollectionFailed", "t", failures=[])), "collection_failed"),
    ],
)
def test_what_was_not_executed_shows_nothing(lines: tuple[bytes, ...], state: str) -> None:
    assert seen(*lines, state=state) is Seen.NOTHING


def test_a_test_that_is_not_collected_any_more_is_gone() -> None:
    others = line("TestsCollected", selected=["other"])
    assert seen(SESSION_OF_IT, others, a_test("other"), state="passed") is Seen.GONE


def test_a_test_that_died_is_seen_again_where_it_dies() -> None:
    died = results_of(a_log(line("TestStarted", "t", order=0), ended=False))
    [original] = originals(died)
    again = results_of(a_log(a_test("t", "crashed")))
    assert look(again, RunStatus("failed"), original)[0] is Seen.SAME


def test_what_a_worker_ran_before_is_in_its_order_and_of_that_worker_alone() -> None:
    def ran(name: str, worker: str, order: int, outcome: str = "passed") -> list[bytes]:
        data: dict[str, Any] = {"worker": worker, "order": order}
        return [
            line("TestStarted", name, **data),
            line("TestFinished", name, outcome=outcome, failures=[], **data),
        ]

    results = results_of(
        a_log(
            line("TestsCollected", selected=["a.py::p", "b.py::q", "b.py::v", "c.py::r"]),
            ran("b.py::q", "gw0", 1),
            ran("c.py::r", "gw1", 0),
            ran("a.py::p", "gw0", 0),
            ran("b.py::v", "gw0", 2, "failed"),
        )
    )
    [original] = originals(results)
    assert original.target == Target(
        "b.py::v",
        file_before=("b.py::q",),
        worker_before=("a.py::p", "b.py::q"),
        full=("a.py::p", "b.py::q", "b.py::v", "c.py::r"),
    )


def test_what_ran_before_is_kept_once_however_many_failed() -> None:
    every = [f"a.py::t{number}" for number in range(50)]
    results = results_of(
        a_log(
            *(
                [
                    line("TestStarted", one, order=order),
                    line("TestFinished", one, outcome="failed", failures=[]),
                ]
                for order, one in enumerate(every)
            )
        )
    )
    found = originals(results)
    assert len({id(original.past) for original in found}) == 1
    assert [original.target.worker_before for original in found] == [
        tuple(every[:number]) for number in range(50)
    ]


def test_a_flaky_test_is_reproduced_only_where_it_is_named() -> None:
    results = results_of(a_log(failed("x"), a_test("t", attempt=2)))
    assert originals(results) == []
    [original] = originals(results, ["t"])
    assert original.attempt == 1


def test_the_group_that_xdist_puts_behind_an_id_is_known() -> None:
    assert aliases("a.py::t@left") == ("a.py::t@left", "a.py::t")
    assert aliases("a.py::t[x@y]") == ("a.py::t[x@y]",)
