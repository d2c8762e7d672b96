"""The probe's own JSON, cutting and seeds agree with everybody else's."""

from __future__ import annotations

import importlib
import json
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bundler import probe, seeds
from bundler.events import text_bytes

probe.load()
text: Any = importlib.import_module("bundle_probe.text")
output: Any = importlib.import_module("bundle_probe.output")
packages: Any = importlib.import_module("bundle_probe.packages")
session: Any = importlib.import_module("bundle_probe.session")
failures: Any = importlib.import_module("bundle_probe.failures")

# Drawn from a few kinds: of all characters hardly one in a thousand would be a lone surrogate.
kinds = [
    "a",
    "\\",
    "\0",
    "\x1b",
    "\n",
    "\xe9",
    "\u2028",
    "\U0001f98a",
    "\ud83e",
    "\udd8a",
    "\udc80",
]
any_text = st.lists(st.sampled_from(kinds)).map("".join) | st.text()
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(values)
def test_json_is_json(value: object) -> None:
    encoded = text.encode(value)
    assert encoded.isascii()
    assert json.loads(encoded) == value


@given(any_text)
def test_text_that_is_not_unicode_is_still_json_for_everybody(words: str) -> None:
    shown = json.loads(text.quote(words))
    shown.encode("utf-8")
    if "\\" not in words and not any(0xD800 <= ord(c) < 0xE000 for c in words):
        assert shown == words


@given(st.integers(0, (1 << 64) - 1), st.lists(st.text(), min_size=1, max_size=5))
def test_a_seed_is_the_scenario_seed_of_the_id(root: int, names: list[str]) -> None:
    derived = text.Seeds(root)
    for name in [*names, *(f"{name}::{name}" for name in names), *names]:
        assert derived.seed(name) == seeds.scenario_seed(root, name)


@given(any_text, st.integers(16, 400))
def test_what_is_clipped_is_bounded_and_counts_what_is_gone(words: str, limit: int) -> None:
    short = text.clip(words * 50, limit)
    whole = (words * 50).encode("utf-8", "backslashreplace")
    if len(whole) <= limit:
        assert short == words * 50 or "\\" in short
    else:
        assert f"{len(whole) - 2 * (limit // 2)} bytes cut" in short
        assert len(short.encode("utf-8")) <= limit + 40


@given(any_text, st.integers(0, 100))
def test_pieces_of_output_make_up_the_whole_or_its_head_and_tail(words: str, room: int) -> None:
    raw = words.encode("utf-8", "surrogatepass")
    pieces = [
        (text_bytes(json.loads(f"{{{field}}}")), omitted)
        for field, omitted in output.pieces(words, room)
    ]
    kept = b"".join(content for content, _ in pieces)
    assert len(kept) + sum(omitted for _, omitted in pieces) == len(raw) == output.size(words)
    if len(raw) <= room:
        assert kept == raw
    else:
        assert len(kept) <= room
        assert sum(1 for _, omitted in pieces if omitted) == 1
    assert all(len(content) <= output.CHUNK_BYTES for content, _ in pieces)


def test_a_long_output_is_cut_between_characters() -> None:
    words = "a" + "\U0001f98a" * 100_000
    pieces = [json.loads(f"{{{field}}}") for field, _ in output.pieces(words, 1 << 20)]
    assert len(pieces) == 4
    assert "".join(piece["text"] for piece in pieces) == words


@pytest.mark.parametrize(
    ("title", "place"),
    [
        ("Captured stdout call", ("stdout", "call")),
        ("Captured log setup", ("log", "setup")),
        ("Captured my own stream call", ("Captured my own stream call", "teardown")),
        ("Screenshots", ("Screenshots", "teardown")),
        ("", ("", "teardown")),
    ],
)
def test_a_section_has_a_stream_and_a_phase(title: str, place: tuple[str, str]) -> None:
    assert output.place(title, "teardown") == place


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("assert 1 == 2", "AssertionError"),
        ("AssertionError: words\nassert 1 == 2", "AssertionError"),
        ("pkg.module.MyError: words", "pkg.module.MyError"),
        ("test_it.test_x.<locals>.Mine: words", "test_it.test_x.<locals>.Mine"),
        ("KeyError", "KeyError"),
        ("Failed: words", "Failed"),
        ('File "a.py", line 1\n    x\nSyntaxError: invalid syntax', "SyntaxError"),
        ("contains 1 failed subtest", None),
        ("[XPASS(strict)] known", None),
        ("", None),
    ],
)
def test_the_type_of_an_exception_is_what_pytest_shows_first(
    message: str, kind: str | None
) -> None:
    assert failures._type_in(message) == kind


@pytest.mark.parametrize(
    ("option", "seeds_found"),
    [
        ({}, {}),
        ({"randomly_seed": 5}, {"randomly": "5"}),
        ({"random_order_seed": "default:7", "random_order_enabled": True}, {"random_order": "7"}),
        ({"random_order_seed": "default:7", "random_order_bucket": "default:module"}, {}),
        ({"random_order_seed": "7", "random_order_bucket": "default:a"}, {"random_order": "7"}),
        ({"random_order_seed": "default:7", "random_order_bucket": "a"}, {"random_order": "7"}),
    ],
)
def test_the_seeds_of_plugins_that_shuffle_are_kept(
    option: dict[str, object], seeds_found: dict[str, str]
) -> None:
    assert session.random_seeds(SimpleNamespace(**option)) == seeds_found


@pytest.mark.parametrize(
    ("folder", "pair"),
    [
        ("Pytest_Cov-7.1.0.dist-info", ("pytest-cov", "7.1.0")),
        ("zope.interface-5.0-py3.9.egg-info", ("zope-interface", "5.0")),
        ("mine.egg-info", ("mine", "")),
        ("pytest", None),
        ("distutils-precedence.pth", None),
    ],
)
def test_a_package_is_known_by_the_name_of_its_folder(
    folder: str, pair: tuple[str, str] | None
) -> None:
    assert packages.parse(folder) == pair
