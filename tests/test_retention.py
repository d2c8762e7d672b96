"""Retention: what is deleted, what never is, and what clocks that jump cannot do."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bundler.retention import (
    ALWAYS_KEPT,
    DAY_US,
    Policy,
    Reason,
    Run,
    believed_now,
    due,
    plan,
)

NOW = 20_000 * DAY_US
UNLIMITED = Policy(keep_runs=None, keep_bytes=None, keep_days=None)
TEN_YEARS = 3_652 * DAY_US


def a_run(number: int, *, days_ago: float = 0, size: int = 1, **fields: object) -> Run:
    """Run `r<number>`, the number-th of its store."""
    created = NOW - round(days_ago * DAY_US)
    run = Run(f"r{number}", number, created, created, size)
    return replace(run, **fields)  # type: ignore[arg-type]


def one_a_day(count: int) -> list[Run]:
    """Runs of as many days, the newest today."""
    return [a_run(number, days_ago=count - 1 - number) for number in range(count)]


def deleted(runs: list[Run], policy: Policy, now_us: int = NOW) -> list[str]:
    return [run.run_id for run, _ in plan(runs, policy, now_us).delete]


def test_what_was_not_used_for_too_long_goes() -> None:
    policy = replace(UNLIMITED, keep_days=30)
    found = plan(one_a_day(40), policy, NOW)
    assert [(run.run_id, reason) for run, reason in found.delete] == [
        (f"r{number}", Reason.DAYS) for number in range(9)
    ]
    assert [run.run_id for run in found.keep] == [f"r{number}" for number in range(9, 40)]


def test_of_too_many_runs_the_least_recently_used_go() -> None:
    runs = [a_run(number, days_ago=0) for number in range(8)]
    runs[0] = replace(runs[0], used_us=NOW + 1)
    runs[7] = replace(runs[7], created_us=NOW + 1, used_us=NOW + 1)
    found = plan(runs, replace(UNLIMITED, keep_runs=6), NOW + 1)
    assert [(run.run_id, reason) for run, reason in found.delete] == [
        ("r1", Reason.RUNS),
        ("r2", Reason.RUNS),
    ]


def test_each_goes_for_the_reason_that_is_its_own() -> None:
    runs = [a_run(0, days_ago=40), *(a_run(number) for number in range(1, 10))]
    found = plan(runs, Policy(keep_runs=7), NOW)
    assert [(run.run_id, reason) for run, reason in found.delete] == [
        ("r0", Reason.DAYS),
        ("r1", Reason.RUNS),
        ("r2", Reason.RUNS),
    ]


def test_of_too_many_bytes_the_green_ones_go_first() -> None:
    runs = [a_run(number, size=10, failed=number < 3) for number in range(12)]
    found = plan(runs, replace(UNLIMITED, keep_bytes=90), NOW)
    assert [(run.run_id, reason) for run, reason in found.delete] == [
        ("r3", Reason.BYTES),
        ("r4", Reason.BYTES),
        ("r5", Reason.BYTES),
    ]
    assert found.freed_bytes == 30
    assert deleted(runs, replace(UNLIMITED, keep_bytes=65)) == ["r0", "r1", "r3", "r4", "r5", "r6"]


def test_a_rerun_is_a_use_of_all_runs_before_it() -> None:
    runs = one_a_day(50)
    runs[2] = replace(runs[2], parent_run_id="r1")
    runs[40] = replace(runs[40], parent_run_id="r2")
    kept = {run.run_id for run in plan(runs, replace(UNLIMITED, keep_days=30), NOW).keep}
    assert {"r1", "r2", "r40"} <= kept
    assert not {"r0", "r3"} & kept


def test_a_chain_goes_from_its_end() -> None:
    runs = [a_run(number) for number in range(9)]
    runs[1] = replace(runs[1], parent_run_id="r0")
    runs[2] = replace(runs[2], parent_run_id="r1")
    assert deleted(runs, replace(UNLIMITED, keep_runs=8)) == ["r2"]
    assert deleted(runs, replace(UNLIMITED, keep_runs=7)) == ["r1", "r2"]
    assert deleted(runs, replace(UNLIMITED, keep_runs=6)) == ["r0", "r1", "r2"]


def test_of_runs_used_at_the_same_moment_the_first_recorded_goes() -> None:
    runs = [a_run(number) for number in range(8)]
    runs[2] = replace(runs[2], parent_run_id="r1")
    assert deleted(runs, replace(UNLIMITED, keep_runs=7)) == ["r0"]


def test_a_green_run_whose_rerun_failed_counts_as_failed() -> None:
    runs = [a_run(number) for number in range(9)]
    runs[1] = replace(runs[1], parent_run_id="r0", failed=True)
    assert deleted(runs, replace(UNLIMITED, keep_bytes=7)) == ["r2", "r3"]


def test_a_live_run_and_what_it_is_a_rerun_of_are_kept() -> None:
    runs = [a_run(number, days_ago=90) for number in range(12)]
    runs[3] = replace(runs[3], parent_run_id="r2")
    runs[4] = replace(runs[4], parent_run_id="r3", live=True)
    tight = Policy(keep_runs=1, keep_bytes=0, keep_days=0)
    assert {run.run_id for run in plan(runs, tight, NOW).keep} == {*("r2", "r3", "r4", "r11")}


@pytest.mark.parametrize(("keep_runs", "kept"), [(None, 5), (100, 5), (3, 3), (1, 1), (0, 1)])
def test_the_newest_runs_are_always_kept(keep_runs: int | None, kept: int) -> None:
    policy = Policy(keep_runs=keep_runs, keep_bytes=0, keep_days=0)
    assert len(plan(one_a_day(20), policy, NOW).keep) == kept


def test_a_run_that_goes_at_the_very_edge_of_the_days_goes_for_its_other_reason() -> None:
    policy = Policy(keep_runs=6, keep_bytes=None, keep_days=30)
    for days_ago, reason in ((30, Reason.RUNS), (30.1, Reason.DAYS)):
        runs = [a_run(0, days_ago=days_ago), *(a_run(number) for number in range(1, 7))]
        found = plan(runs, policy, NOW)
        assert [(run.run_id, why) for run, why in found.delete] == [("r0", reason)]


@pytest.mark.parametrize("count", [1, 3, 5])
def test_a_project_of_few_runs_keeps_them_all(count: int) -> None:
    policy = Policy(keep_runs=None, keep_bytes=0, keep_days=0)
    assert deleted(one_a_day(count), policy) == []


def test_without_limits_nothing_goes() -> None:
    assert deleted(one_a_day(400), UNLIMITED, NOW + TEN_YEARS) == []
    assert deleted([], Policy()) == []


# Clocks that jump.

MONTH = replace(UNLIMITED, keep_days=30)


def test_a_clock_ten_years_ahead_deletes_no_more_than_a_week_would() -> None:
    runs = one_a_day(60)
    assert deleted(runs, MONTH) == [f"r{number}" for number in range(29)]
    ahead = deleted(runs, MONTH, NOW + TEN_YEARS)
    assert ahead == deleted(runs, MONTH, NOW + 5 * DAY_US) == [f"r{n}" for n in range(34)]


def test_a_clock_ten_years_behind_still_deletes_what_is_old() -> None:
    behind = deleted(one_a_day(60), MONTH, NOW - TEN_YEARS)
    assert behind == [f"r{number}" for number in range(27)]


def recorded_at(runs: list[Run], count: int, moment_us: int) -> list[Run]:
    """The runs, and some more that were recorded when the clock said so."""
    first = len(runs)
    more = [
        replace(a_run(first + number), created_us=moment_us + number, used_us=moment_us + number)
        for number in range(count)
    ]
    return runs + more


@pytest.mark.parametrize("jump", [TEN_YEARS, -TEN_YEARS])
@pytest.mark.parametrize("count", [1, 2])
def test_two_runs_under_a_wrong_clock_change_nothing(jump: int, count: int) -> None:
    runs = recorded_at(one_a_day(60), count, NOW + jump)
    assert 20 < len(deleted(runs, MONTH, NOW + jump)) < 40
    assert 20 < len(deleted(runs, MONTH, NOW)) < 40


@pytest.mark.parametrize("jump", [TEN_YEARS, -TEN_YEARS])
@pytest.mark.parametrize("count", [3, 20, 99])
def test_a_wrong_clock_that_stays_deletes_not_everything(jump: int, count: int) -> None:
    runs = recorded_at(one_a_day(60), count, NOW + jump)
    kept = plan(runs, Policy(), NOW + jump).keep
    assert max(ALWAYS_KEPT, count) <= len(kept) <= 100
    assert {run.run_id for run in runs[-ALWAYS_KEPT:]} <= {run.run_id for run in kept}


def test_runs_of_a_clock_that_was_ahead_do_not_drive_out_the_new_ones() -> None:
    ahead = recorded_at([], 100, NOW + TEN_YEARS)
    new = [replace(a_run(100 + number), run_id=f"new{number}") for number in range(30)]
    gone = deleted(ahead + new, Policy(), NOW)
    assert gone == [f"r{number}" for number in range(30)]


def test_runs_of_a_clock_that_was_behind_are_judged_by_their_place() -> None:
    runs = recorded_at(one_a_day(60), 50, NOW - TEN_YEARS)
    assert deleted(runs, replace(UNLIMITED, keep_runs=100), NOW - TEN_YEARS) == [
        f"r{number}" for number in range(10)
    ]


def test_a_use_that_is_not_believed_was_no_later_than_any_run_that_was_recorded_after_it() -> None:
    runs = [a_run(number) for number in range(7)]
    runs[0] = replace(runs[0], used_us=NOW + TEN_YEARS)
    assert deleted(runs, MONTH) == []
    for behind in (1, 6):
        created = NOW - 40 * DAY_US
        after = [*runs[:behind], replace(runs[behind], created_us=created), *runs[behind + 1 :]]
        assert deleted(after, MONTH) == ["r0"]


def test_a_project_that_rests_keeps_its_runs() -> None:
    runs = one_a_day(20)
    assert deleted(runs, Policy(), NOW + 200 * DAY_US) == []


def test_of_no_runs_the_clock_is_believed() -> None:
    assert believed_now([], NOW) == NOW


# When it is time.


@pytest.mark.parametrize(
    ("pruned_days_ago", "is_due"), [(None, True), (0, False), (0.99, False), (1, True), (-1, True)]
)
def test_it_is_time_once_a_day(pruned_days_ago: float | None, is_due: bool) -> None:
    pruned = None if pruned_days_ago is None else NOW - round(pruned_days_ago * DAY_US)
    assert due(one_a_day(3), Policy(), NOW, pruned) is is_due


@pytest.mark.parametrize(("count", "is_due"), [(15, False), (16, True)])
def test_it_is_time_at_half_over_a_limit(count: int, is_due: bool) -> None:
    runs = one_a_day(count)
    assert due(runs, Policy(keep_runs=10), NOW, NOW) is is_due
    assert due(runs, replace(UNLIMITED, keep_bytes=10), NOW, NOW) is is_due
    assert due(runs, UNLIMITED, NOW, NOW) is False


# What holds of any store.


@st.composite
def stores(draw: st.DrawFn) -> list[Run]:
    """Runs in the order of their sequence, some of them reruns of earlier ones."""
    times = st.integers(NOW - 60 * DAY_US, NOW) | st.sampled_from(
        [NOW - TEN_YEARS, NOW + TEN_YEARS]
    )
    runs: list[Run] = []
    for number in range(draw(st.integers(0, 14))):
        parent = draw(st.none() | st.integers(0, number - 1)) if number else None
        runs.append(
            Run(
                run_id=f"r{number}",
                sequence=number,
                created_us=draw(times),
                used_us=draw(times),
                size_bytes=draw(st.integers(0, 10)),
                parent_run_id=None if parent is None else f"r{parent}",
                failed=draw(st.booleans()),
                live=draw(st.integers(0, 9)) == 0,
            )
        )
    return runs


policies = st.builds(
    Policy,
    keep_runs=st.none() | st.integers(0, 12),
    keep_bytes=st.none() | st.integers(0, 60),
    keep_days=st.none() | st.integers(0, 50),
)
moments = st.sampled_from([NOW, NOW + 3 * DAY_US, NOW + TEN_YEARS, NOW - TEN_YEARS, 0])


def lineage(run: Run, by_id: dict[str, Run]) -> set[str]:
    before = {run.run_id}
    while run.parent_run_id in by_id:
        run = by_id[run.parent_run_id]
        before.add(run.run_id)
    return before


def protected_ids(runs: list[Run], policy: Policy) -> set[str]:
    by_id = {run.run_id: run for run in runs}
    always = 5 if policy.keep_runs is None else min(5, max(policy.keep_runs, 1))
    kept = [*runs[-always:], *(run for run in runs if run.live)]
    return {one for run in kept for one in lineage(run, by_id)}


@given(stores(), policies, moments)
def test_what_is_protected_is_never_deleted(runs: list[Run], policy: Policy, now: int) -> None:
    found = plan(runs, policy, now)
    assert not {run.run_id for run, _ in found.delete} & protected_ids(runs, policy)
    assert sorted([*found.keep, *(run for run, _ in found.delete)], key=runs.index) == runs


@given(stores(), policies, moments)
def test_what_a_kept_run_is_a_rerun_of_is_kept(runs: list[Run], policy: Policy, now: int) -> None:
    by_id = {run.run_id: run for run in runs}
    keep = plan(runs, policy, now).keep
    assert {one for run in keep for one in lineage(run, by_id)} == {run.run_id for run in keep}


@given(stores(), policies, moments)
def test_afterwards_the_limits_hold_unless_only_protected_runs_are_left(
    runs: list[Run], policy: Policy, now: int
) -> None:
    keep = plan(runs, policy, now).keep
    free = {run.run_id for run in keep} - protected_ids(runs, policy)
    if policy.keep_runs is not None:
        assert len(keep) <= policy.keep_runs or not free
    if policy.keep_bytes is not None:
        assert sum(run.size_bytes for run in keep) <= policy.keep_bytes or not free


@given(stores(), st.lists(st.integers(0, 60), min_size=14, max_size=14), st.integers(0, 50))
def test_afterwards_whatever_is_left_was_used_lately_or_led_to_what_was(
    runs: list[Run], ages: list[int], days: int
) -> None:
    times = [NOW - age * DAY_US for age in sorted(ages, reverse=True)]
    runs = [
        replace(run, created_us=time, used_us=time) for run, time in zip(runs, times, strict=False)
    ]
    policy = replace(UNLIMITED, keep_days=days)
    by_id = {run.run_id: run for run in runs}
    oldest = believed_now(runs, NOW) - days * DAY_US
    lately = [run for run in runs if run.used_us >= oldest]
    led = {one for run in lately for one in lineage(run, by_id)}
    keep = {run.run_id for run in plan(runs, policy, NOW).keep}
    assert keep == led | protected_ids(runs, policy)


@given(stores(), policies, moments, st.sampled_from(["keep_runs", "keep_bytes", "keep_days"]))
def test_a_looser_limit_never_deletes_more(
    runs: list[Run], policy: Policy, now: int, name: str
) -> None:
    limit = getattr(policy, name)
    if limit is None:
        return
    tight = set(deleted(runs, policy, now))
    for looser in (limit + 1, limit + 5, None):
        changed: dict[str, int | None] = {name: looser}
        assert set(deleted(runs, replace(policy, **changed), now)) <= tight


@given(stores(), policies, moments)
def test_a_plan_that_was_carried_out_leaves_nothing_to_delete(
    runs: list[Run], policy: Policy, now: int
) -> None:
    keep = list(plan(runs, policy, now).keep)
    assert deleted(keep, policy, now) == []


def test_a_rerun_that_goes_for_another_reason_keeps_nothing_that_is_too_old() -> None:
    first = Run("r0", 0, created_us=NOW - 60 * DAY_US, used_us=NOW - 60 * DAY_US, size_bytes=0)
    rerun = Run("r1", 1, created_us=NOW, used_us=NOW, size_bytes=0, parent_run_id="r0")
    live = [Run(f"r{n}", n, NOW, NOW, 0, live=True) for n in range(2, 8)]
    policy = replace(UNLIMITED, keep_runs=7, keep_days=7)
    assert deleted([first, rerun, *live], policy, NOW) == ["r0", "r1"]


@given(stores(), st.permutations(range(14)), policies)
def test_the_order_in_which_runs_are_listed_means_nothing(
    runs: list[Run], order: list[int], policy: Policy
) -> None:
    shuffled = [runs[index] for index in order if index < len(runs)]
    assert plan(shuffled, policy, NOW) == plan(runs, policy, NOW)


def test_runs_that_are_each_others_parents_end() -> None:
    runs = [replace(run, parent_run_id=f"r{9 - run.sequence}") for run in one_a_day(10)]
    runs[0] = replace(runs[0], parent_run_id="r0")
    assert len(plan(runs, Policy(keep_runs=5), NOW).keep) >= 5


def test_the_defaults_are_those_that_the_documentation_names() -> None:
    assert Policy() == Policy(keep_runs=100, keep_bytes=1_000_000_000, keep_days=30)
    assert DAY_US == 24 * 60 * 60 * 1_000_000
    assert [reason.value for reason in Reason] == [
        "not used for too long",
        "too many runs",
        "too many bytes",
    ]
