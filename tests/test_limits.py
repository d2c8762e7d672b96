"""What one recording may ask: every limit's default, its boundary, and what a refusal says."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict

import pytest

from bundler import limits
from bundler.errors import HostileRecording, UsageError
from bundler.limits import Budget, Limits, check_lines, over, parse_limits, put_in_force

DEFAULTS = {
    "entries": 200_000,
    "archive_bytes": 4_294_967_296,
    "directory_bytes": 50_331_648,
    "name_bytes": 1024,
    "member_bytes": 2_147_483_648,
    "total_bytes": 8_589_934_592,
    "whole_bytes": 134_217_728,
    "ratio": 200,
    "ratio_free_bytes": 33_554_432,
    "window_bytes": 8_388_608,
    "log_bytes": 1_073_741_824,
    "log_ratio": 2000,
    "log_lines": 250_000,
    "damaged_lines": 100_000,
    "results_bytes": 100_663_296,
    "results_ratio": 32,
}


@pytest.fixture
def ten_lines() -> Iterator[None]:
    before = limits.in_force()
    put_in_force(Limits(log_lines=10))
    yield
    put_in_force(before)


def test_the_defaults_are_these() -> None:
    assert asdict(Limits()) == DEFAULTS
    assert asdict(limits.in_force()) == DEFAULTS


@pytest.mark.parametrize("name", DEFAULTS)
def test_what_is_at_a_limit_passes_and_one_more_is_refused(name: str) -> None:
    Limits().check(name, DEFAULTS[name], "x.zip")
    with pytest.raises(HostileRecording) as refusal:
        Limits().check(name, DEFAULTS[name] + 1, "x.zip")
    assert refusal.value.message == f"x.zip: over the limit {name}={DEFAULTS[name]}"
    assert refusal.value.hint == (
        f"If you trust this recording, raise the limit with `--limit {name}={DEFAULTS[name] + 1}`."
    )


def test_where_nobody_knows_what_is_needed_the_hint_says_n() -> None:
    refusal = over("ratio", 3, "x.zip")
    assert refusal.message == "x.zip: over the limit ratio=3"
    assert refusal.hint == ("If you trust this recording, raise the limit with `--limit ratio=N`.")


@pytest.mark.parametrize(
    ("unpacked", "packed", "needed"),
    [(100, 0, None), (101, 11, None), (101, 10, 11), (101, 1, 101), (101, 0, 101), (15, 1, None)],
)
def test_a_ratio_counts_beyond_what_is_free(unpacked: int, packed: int, needed: int | None) -> None:
    some = Limits(ratio=10, ratio_free_bytes=100)
    if needed is None:
        some.check_ratio(unpacked, packed, "m")
        return
    with pytest.raises(HostileRecording, match="m: over the limit ratio=10") as refusal:
        some.check_ratio(unpacked, packed, "m")
    assert f"ratio={needed}`" in refusal.value.hint


def test_words_set_some_limits_and_leave_the_others() -> None:
    chosen = parse_limits(["ratio=1", f"entries={(1 << 62) - 1}"])
    assert chosen == Limits(ratio=1, entries=(1 << 62) - 1)
    assert parse_limits([]) == Limits()


@pytest.mark.parametrize(
    "value", ["", "0", "-1", "1.5", "1e3", "٣", str(1 << 62), "9" * 19, "x", "10MB"]
)
def test_a_limit_is_a_positive_integer(value: str) -> None:
    with pytest.raises(UsageError) as refusal:
        parse_limits([f"ratio={value}"])
    assert refusal.value.message == f"limit ratio is not a positive integer: {value!r}"
    assert refusal.value.hint == "Write it as `ratio=200`."


def test_an_unknown_limit_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UsageError) as refusal:
        parse_limits(["ratios=3"])
    assert refusal.value.message == "limit 'ratios' is unknown"
    assert refusal.value.hint == f"One of: {', '.join(DEFAULTS)}."


@pytest.mark.parametrize(
    ("size", "packed", "most"),
    [(0, None, 10), (15, None, 10), (16, None, 11), (160, None, 20), (160, 5, 15), (160, 50, 20)],
)
@pytest.mark.usefixtures("ten_lines")
def test_lines_are_as_many_as_the_bytes_can_hold(size: int, packed: int | None, most: int) -> None:
    check_lines(most, size, packed, "log")
    with pytest.raises(HostileRecording) as refusal:
        check_lines(most + 1, size, packed, "log")
    assert refusal.value.message == f"log has over {most + 1} lines: over the limit log_lines=10"
    assert f"log_lines={most + 1}`" in refusal.value.hint


def test_archives_share_one_account_of_entries() -> None:
    budget = Budget(Limits(entries=5))
    budget.claim_entries(2, "a.zip")
    budget.claim_entries(3, "b.zip")
    with pytest.raises(HostileRecording, match=r"^c.zip has 6 entries: over the limit entries=5$"):
        budget.claim_entries(1, "c.zip")


def test_archives_share_one_account_of_bytes() -> None:
    budget = Budget(Limits(total_bytes=5))
    assert budget.limits == Limits(total_bytes=5)
    budget.claim_bytes(2, "a.zip")
    budget.claim_bytes(3, "b.zip")
    message = r"^c.zip unpacks to 6 bytes: over the limit total_bytes=5$"
    with pytest.raises(HostileRecording, match=message):
        budget.claim_bytes(1, "c.zip")
