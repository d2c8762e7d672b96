"""However fast it is, the masking finds what a plain and slow search finds, and nothing else."""

from __future__ import annotations

import importlib
import random
import string
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


@st.composite
def texts(draw: st.DrawFn, secrets: list[str]) -> bytes:
    """Texts that hold secrets, parts of them, what looks like one, and much that does not."""
    forms = [form for one in secrets for form in sorted(secret_values.forms(one))]
    forms += [one.encode("utf-8", "surrogatepass") for one in secrets]
    filler = random.Random(draw(st.integers(0, 1 << 16)))
    parts = []
    for kind in draw(st.lists(st.integers(0, 6), max_size=40)):
        if kind <= 1 and forms:
            parts.append(filler.choice(forms))
        elif kind == 2 and forms:
            form = filler.choice(forms)
            cut = filler.randrange(len(form))
            parts.append(filler.choice([form[:cut], form[cut:]]))
        elif kind == 3:
            parts.append("".join(filler.choices(ALNUM + "_-", k=filler.randrange(60))).encode())
        elif kind == 4:
            parts.append(b"some words in a row " * filler.choice([1, 1, 2, 20]))
        elif kind == 5:
            parts.append(filler.choice([b" ", b".", b"x", b"\n"]) * filler.choice([1, 5, 20, 400]))
        else:
            parts.append(draw(st.sampled_from(WORDS)).encode())
    return b"".join(parts)


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


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_fast_and_slow_find_the_same(data: st.DataObject) -> None:
    secrets = data.draw(st.lists(SECRETS, max_size=12, unique=True))
    compare(secrets, data.draw(texts(secrets)))


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(st.data())
def test_fast_and_slow_find_the_same_of_a_hundred(data: st.DataObject) -> None:
    chance = random.Random(data.draw(st.integers(0, 1 << 16)))
    few = data.draw(st.lists(SECRETS, min_size=1, max_size=12, unique=True))
    more = ["".join(chance.choices(ALNUM, k=chance.randint(8, 40))) for _ in range(100)]
    compare([*dict.fromkeys([*few, *more])], data.draw(texts([*few, *more[:5]])))
