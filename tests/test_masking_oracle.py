"""However fast it is, the masking finds what a plain and slow search finds, and nothing else."""

from __future__ import annotations

import importlib
import random
import string
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from masking_oracle import places

from bundler import probe

masking: Any = probe.load_masking()
secret_values: Any = importlib.import_module(f"{masking.__name__}.secret_values")

ALNUM = string.ascii_letters + string.digits
REPEATED = ["aaaaaaaa", "a" * 30, "abcabcabcabc", "eyJeyJeyJ", "********", "x...y...z", "://:@:@x"]
SECRETS = st.one_of(
    st.text(ALNUM, min_size=8, max_size=64),
    st.text("0123456789abcdef", min_size=8, max_size=40),
    st.text(string.digits, min_size=8, max_size=8),
    st.text("ab", min_size=8, max_size=20),
    st.text("xy-_+/=%", min_size=8, max_size=30),
    st.text(string.printable.strip() + "é🔑ж سطر", min_size=8, max_size=24),
    st.builds("sk_live_{}".format, st.text(ALNUM, min_size=4, max_size=28)),
    st.builds("postgres://app:{}@database.example/app".format, st.text(ALNUM, min_size=8)),
    st.sampled_from(REPEATED),
)
WORDS = [
    *("ghp_", "github_pat_", "glpat-", "xoxb-", "xapp-1-", "AKIA", "AIza", "GOCSPX-", "sk_live_"),
    *("whsec_", "pypi-", "eyJ", ".", "..", "...", "…", "\n[… ", " …]\n", "://", "@", ":", "***"),
    *("-----BEGIN PRIVATE " + "KEY-----", "-----END PRIVATE " + "KEY-----", "PRIVATE " + "KEY"),
    *(" ", "\n", "\\n", "\x1b[31m", "\x1b[", " BLOCK", "é", "/", "-", "_", "سطر"),
]


def text(chance: random.Random, secrets: list[str]) -> bytes:
    """A text that holds secrets, parts of them, what looks like one, and much that does not."""
    forms = [form for one in secrets for form in sorted(secret_values.forms(one))] or [b"none"]
    forms += [one.encode("utf-8", "surrogatepass") for one in secrets]
    much = chance.choice([1, 1, 5])
    kinds: list[Callable[[], bytes]] = [
        lambda: chance.choice(forms),
        lambda: chance.choice(forms)[: chance.randrange(20)],
        lambda: chance.choice(forms)[-chance.randrange(1, 20) :],
        lambda: chance.choice(WORDS).encode(),
        lambda: chance.choice(WORDS).encode() + row(chance, 60),
        lambda: row(chance, 60),
        lambda: b" ".join(row(chance, 24) for _ in range(chance.randrange(4 * much))),
        lambda: b"some words in a row " * chance.randrange(4 * much),
        lambda: chance.choice([b" ", b".", b"x", b"\n"]) * chance.randrange(20 * much**2),
        lambda: chance.randbytes(chance.randrange(10 * much)),
    ]
    return b"".join(chance.choice(kinds)() for _ in range(chance.randrange(1, 12 * much)))


def row(chance: random.Random, longest: int) -> bytes:
    return "".join(chance.choices(ALNUM + "_-", k=chance.randrange(longest))).encode()


def compare(secrets: list[str], data: bytes) -> None:
    rules = {value: f"${number}" for number, value in enumerate(secrets)}
    masker = masking.Masker(rules)
    written = {form: rule for value, rule in rules.items() for form in secret_values.forms(value)}
    shown = {
        form: rule for value, rule in rules.items() for form in secret_values.shown_forms(value)
    }
    expected = places(data, written, shown, masker._needles.run)
    found = masker.find(data)
    assert [one[:2] for one in found] == [one[:2] for one in expected]
    for (_, _, rule), (_, _, among) in zip(found, expected, strict=True):
        assert rule.startswith("$") if any(one.startswith("$") for one in among) else rule in among


@settings(max_examples=60, deadline=None)
@given(st.lists(SECRETS, max_size=12, unique=True), st.integers(0, 1 << 32))
def test_fast_and_slow_find_the_same(secrets: list[str], seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(8):
        compare(secrets, text(chance, secrets))


@pytest.mark.slow
@settings(max_examples=20, deadline=None)
@given(st.lists(SECRETS, min_size=1, max_size=12, unique=True), st.integers(0, 1 << 32))
def test_fast_and_slow_find_the_same_of_a_hundred(few: list[str], seed: int) -> None:
    chance = random.Random(seed)
    more = ["".join(chance.choices(ALNUM, k=chance.randint(8, 40))) for _ in range(100)]
    for _ in range(8):
        compare([*dict.fromkeys([*few, *more])], text(chance, [*few, *more[:5]]))
