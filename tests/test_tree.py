"""Runs as a tree of reruns: what is drawn, and what damaged data cannot do to it."""

import re
import time
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bundler import tree
from bundler.tree import (
    Row,
    draw,
    show_counts,
    show_duration,
    show_size,
    text_lines,
    unique_prefixes,
)

NOON = int(datetime(2026, 1, 2, 12, tzinfo=UTC).timestamp()) * 1_000_000


def run(name: str, parent: str | None = None, *, sequence: int = 0, **fields: object) -> Row:
    """A run with a short id; its sequence is its digits unless given."""
    number = sequence or int(re.sub(r"\D", "", name) or 0)
    return Row(run_id=name, sequence=number, parent_run_id=parent, **fields)  # type: ignore[arg-type]


def picture(rows: list[Row], *, ascii_only: bool = False) -> list[str]:
    """The tree alone: what stands before the id, the id, and what is said of it."""
    lines = draw(rows, ascii_only=ascii_only)
    return [
        " ".join(filter(None, (line.graph + line.name, line.note, "*" if line.latest else "")))
        for line in lines
    ]


def test_runs_of_their_own_stand_one_below_the_other_the_newest_last() -> None:
    assert picture([run("r3"), run("r1"), run("r2")]) == ["r1", "r2", "r3 *"]


def test_a_chain_of_reruns_is_drawn_straight() -> None:
    chain = [run("r1"), run("r2", "r1"), run("r3", "r2"), run("r4", "r3")]
    assert picture(chain) == ["r1", "└─r2", "  r3", "  r4 *"]


BRANCHES = [
    run("r1"),
    run("r2", "r1"),
    run("r3", "r2"),
    run("r4", "r3"),
    run("r5", "r3"),
    run("r6", "r5"),
    run("r7", "r1"),
    run("r8"),
]


def test_where_a_run_was_rerun_twice_the_tree_branches() -> None:
    assert picture(BRANCHES) == [
        "r1",
        "├─r2",
        "│ r3",
        "│ ├─r4",
        "│ └─r5",
        "│   r6",
        "└─r7",
        "r8 *",
    ]


def test_where_only_ascii_can_be_drawn_it_is() -> None:
    assert picture(BRANCHES, ascii_only=True) == [
        "r1",
        "|-r2",
        "| r3",
        "| |-r4",
        "| \\-r5",
        "|   r6",
        "\\-r7",
        "r8 *",
    ]


def test_the_newest_run_is_last_also_below_an_old_one() -> None:
    rows = [run("r1"), run("r2", "r1"), run("r3", "r1"), run("r4"), run("r5", "r2")]
    assert picture(rows) == ["r4", "r1", "├─r3", "└─r2", "  r5 *"]


def test_order_is_by_sequence_and_not_by_the_clock() -> None:
    rows = [run("r1", created_us=9), run("r2", created_us=5), run("r3", created_us=1)]
    assert picture(rows) == ["r1", "r2", "r3 *"]
    tied = [run("rx", sequence=1, created_us=9), run("ry", sequence=1, created_us=5)]
    assert picture(tied) == ["ry", "rx *"]


def test_a_run_whose_parent_is_gone_is_shown_and_says_so() -> None:
    rows = [run("r2", "abcd1234-5678-4000-8000-000000000000"), run("r3", "r2"), run("r4", "gone")]
    assert picture(rows) == [
        "r2 (rerun of abcd1234, not here)",
        "└─r3",
        "r4 (rerun of gone, not here) *",
    ]


def test_runs_that_are_each_others_parents_are_all_shown() -> None:
    rows = [run("r1", "r3"), run("r2", "r1"), run("r3", "r2"), run("r4", "r4"), run("r5", "r2")]
    assert picture(rows) == [
        "r4 (rerun of r4, in a circle)",
        "r1 (rerun of r3, in a circle)",
        "└─r2",
        "  ├─r3",
        "  └─r5 *",
    ]


def test_a_circle_begins_at_its_oldest_run_whoever_leads_into_it() -> None:
    rows = [run("r1", "r5"), run("r3", "r5"), run("r5", "r3")]
    assert picture(rows) == ["r3 (rerun of r5, in a circle)", "└─r5 *", "  r1"]


def test_two_runs_with_one_id_are_both_shown() -> None:
    rows = [run("r1", sequence=1), run("r1", sequence=2), run("r3", "r1")]
    assert picture(rows) == ["r1", "r1", "└─r3 *"]


def test_no_runs_are_no_lines() -> None:
    assert draw([]) == []
    assert text_lines([]) == []


def test_a_chain_of_ten_thousand_is_drawn() -> None:
    rows = [run("r0")] + [run(f"r{number}", f"r{number - 1}") for number in range(1, 10_000)]
    lines = draw(rows)
    assert (len(lines), lines[-1].row.run_id, lines[-1].latest) == (10_000, "r9999", True)


@given(st.lists(st.integers(min_value=-1, max_value=12), max_size=12))
def test_whatever_the_parents_are_every_run_is_drawn_once(parents: list[int]) -> None:
    rows = [run(f"r{n}", None if p < 0 else f"r{p}") for n, p in enumerate(parents)]
    lines = draw(rows)
    assert sorted(line.row.run_id for line in lines) == sorted(row.run_id for row in rows)
    assert [line.latest for line in lines].count(True) == bool(rows)


@given(st.lists(st.integers(min_value=0, max_value=20), max_size=12))
def test_below_a_run_stands_what_it_led_to_and_the_newest_is_last(steps: list[int]) -> None:
    rows = [
        run(f"r{number}", f"r{number - step}" if 0 < step <= number else None)
        for number, step in enumerate(steps)
    ]
    lines = draw(rows)
    places = {line.row.run_id: place for place, line in enumerate(lines)}
    for row in rows:
        if row.parent_run_id is not None:
            assert places[row.parent_run_id] < places[row.run_id]
    assert not lines or lines[-1].latest


def test_an_id_is_shown_as_far_as_it_tells_the_run_from_the_others() -> None:
    ids = ["abcdef0123-1", "abcdef0123-2", "abd", "b"]
    lines = {line.row.run_id: line for line in draw([run(one, sequence=1) for one in ids])}
    assert [lines[one].unique for one in ids] == [12, 12, 3, 1]
    assert [lines[one].name for one in ids] == ids
    assert draw([run("0123456789")])[0].name == "01234567"


@given(st.lists(st.text(alphabet="01a", min_size=1, max_size=5)), st.integers(0, 4))
def test_a_unique_prefix_is_one_and_no_shorter_one_is(ids: list[str], minimum: int) -> None:
    lengths = unique_prefixes(ids, minimum=minimum)
    assert lengths.keys() == set(ids)
    for one, length in lengths.items():
        others = set(ids) - {one}
        taken = [other for other in others if other.startswith(one[:length])]
        assert not taken or length == len(one)
        assert length >= min(minimum, len(one))
        shorter = one[: length - 1]
        is_free = not any(other.startswith(shorter) for other in others)
        assert length <= max(minimum, 1) or not is_free


# The lines of text.


def a_list() -> list[Row]:
    first, second = "3c09aa51-0000-4000-8000-000000000000", "9e41f7aa-0000-4000-8000-000000000000"
    minute = 60_000_000
    return [
        Row(
            *(first, 1, None, NOON, 4_120_000, 81_200, "failed"),
            {"failed": 2, "passed": 1040, "skipped": 3},
        ),
        Row("b7701e02", 2, first, NOON + 5 * minute, 312_000, 12_000, "passed", {"passed": 2}),
        Row(second, 3, None, NOON + 9 * minute, 724_000_000, 1_200_000, "failed", {"failed": 3}),
        Row("17c2d0be", 4, second, NOON + 30 * minute, 400_000, 12_345, "failed", {"failed": 1}),
        Row("5d003f91", 5, "17c2d0be", NOON + 31 * minute, 200_000, 999, "passed", {"passed": 1}),
        Row("e8aa6b13", 6, second, NOON + 40 * minute, live=True),
    ]


def test_the_picture_of_the_docstring_is_what_is_drawn() -> None:
    assert tree.__doc__ is not None
    shown = [row[4:] for row in tree.__doc__.splitlines() if row.startswith("    ")]
    assert text_lines(draw(a_list())) == [*shown, "", "6 runs, 1.3 MB"]


def test_times_are_shown_in_the_zone_of_the_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "XXX+13")
    time.tzset()
    try:
        assert "2026-01-01 23:00" in text_lines(draw(a_list()), time.localtime)[0]
    finally:
        monkeypatch.undo()
        time.tzset()


def test_seeds_are_shown_where_asked_for() -> None:
    rows = [run("r1", seed=0xDEADBEEF, status="passed"), run("r2", status="passed")]
    assert text_lines(draw(rows), with_seeds=True)[:2] == [
        "r1        00000000deadbeef  passed",
        "r2                          passed  *latest",
    ]


def test_what_is_not_known_is_left_out() -> None:
    assert text_lines(draw([run("r1")])) == ["r1        unknown  *latest", "", "1 run, 0 B"]


def test_what_a_stranger_wrote_is_shown_only_where_it_is_what_it_should_be() -> None:
    hostile = Row(
        *("\x1b[2Jabc", 1, "\x1b]0;title\x07", 1 << 62, 5, 5, "pa\x1b[2Jssed"),
        {"\x1b[31mred": 7, "passed": 1},
    )
    line = text_lines(draw([hostile]))[0]
    assert line.isprintable()
    assert line == "?  ?  0.0s  5 B  unknown  1 passed  (rerun of ?, not here)  *latest"


@pytest.mark.parametrize("status", ["not_started", "interrupted", "damaged"])
def test_a_status_is_shown_in_words(status: str) -> None:
    assert status.replace("_", " ") in text_lines(draw([run("r1", status=status)]))[0]


def test_what_went_badly_is_counted_first() -> None:
    counts = {"passed": 9, "flaky": 1, "timed_out": 2, "failed": 3, "skipped": 0, "not_run": 4}
    assert show_counts(counts) == "3 failed, 2 timed out, 4 not run, 1 flaky, 9 passed"
    assert show_counts({"passed": 0}) == "no tests"


@pytest.mark.parametrize(
    ("status", "counts", "told"),
    [
        ("failed", {"passed": 2, "failed": 0}, "failed  2 passed  (no test of these failed)"),
        ("failed", {"passed": 2, "errored": 1}, "failed  1 errored, 2 passed"),
        ("failed", {}, "failed"),
        ("passed", {"passed": 2}, "passed  2 passed"),
        ("no_tests", {"skipped": 2}, "no tests  2 skipped"),
    ],
)
def test_a_run_that_failed_without_a_failed_test_says_so(
    status: str, counts: dict[str, int], told: str
) -> None:
    line = text_lines(draw([run("r1", status=status, counts=counts)]))[0]
    assert line == f"r1        {told}  *latest"


def test_the_totals_count_what_is_known() -> None:
    lines = text_lines(draw([run("r1", size_bytes=5), run("r2")]))
    assert lines[-1] == "2 runs, 5 B"


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (9949, "9.9 kB"),
        (9950, "10 kB"),
        (81_200, "81 kB"),
        (999_499, "999 kB"),
        (999_500, "1.0 MB"),
        (1_250_000_000, "1.2 GB"),
        (10**15, "1000 TB"),
    ],
)
def test_a_size_is_shown_as_people_read_it(size: int, text: str) -> None:
    assert show_size(size) == text


@pytest.mark.parametrize(
    ("duration", "text"),
    [
        (0, "0.0s"),
        (312_000, "0.3s"),
        (99_900_000, "99.9s"),
        (100_000_000, "1m 40s"),
        (3_599_400_000, "59m 59s"),
        (3_599_600_000, "1h 00m"),
        (11_100_000_000, "3h 05m"),
    ],
)
def test_a_duration_is_shown_as_people_read_it(duration: int, text: str) -> None:
    assert show_duration(duration) == text
