"""Seeds: the vectors of the contract, and what people may write."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bundler.errors import UsageError
from bundler.seeds import (
    component_seed,
    entropy_seed,
    hash_seed,
    parse_seed,
    random_seed,
    scenario_seed,
    show_seed,
)


def test_the_vectors_of_the_contract_hold() -> None:
    assert component_seed(0, "scheduler") == 0x864DA669546F9D1A
    assert component_seed(0xDEADBEEF, "scheduler") == 0xC0BF322E448E27D0
    assert scenario_seed(0xDEADBEEF, "cancel_drain") == 0x7D3052BAADEE3542
    assert entropy_seed(0xDEADBEEF, 7) == 0xF34ED8DCB1EB83DC
    assert scenario_seed(2**64 - 1, "tests/test_a.py::test_é[x]") == 0x49264EDAA99944A3


def test_the_hash_seed_is_the_low_half() -> None:
    assert hash_seed(0xDEADBEEFCAFEBABE) == 3405691582


@given(st.integers(0, 2**64 - 1))
def test_what_is_shown_is_read_again(seed: int) -> None:
    assert parse_seed(show_seed(seed)) == seed
    assert parse_seed(hex(seed)) == seed
    if len(str(seed)) != 16:
        assert parse_seed(str(seed)) == seed


@pytest.mark.parametrize(
    "text", ["", "-1", "+1", "1.0", "0x", str(2**64), "0x1" + "0" * 16, "seed"]
)
def test_what_is_no_seed_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_seed(text)


def test_a_random_seed_is_a_u64_and_differs() -> None:
    seeds = {random_seed() for _ in range(8)}
    assert len(seeds) == 8
    assert all(0 <= seed < 2**64 for seed in seeds)
