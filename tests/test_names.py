"""Names: what we give is safe everywhere, what we read is at least unambiguous."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bundler.errors import HostileRecording
from bundler.names import check_name, collision_key, path_problem, shown, slug

HOSTILE_IDS = [
    "../x",
    "/etc/passwd",
    "a/b",
    "a\\b",
    "CON",
    "con.txt",
    "NUL",
    "COM1",
    "lpt9.log.txt",
    "x" * 300,
    "tests/" * 60 + "test_x",
    "🦀",
    "é",
    "e\u0301",
    "a b",
    " ",
    "",
    ".",
    "..",
    ".hidden",
    "-rf",
    "trailing.",
    "a\0b",
    "a\nb",
    "\ud800",
    'a"b:c<d>e|f*g?h',
    "$(reboot)",
    "%PATH%",
]


@pytest.mark.parametrize("test_id", HOSTILE_IDS)
def test_the_slug_of_a_hostile_id_is_a_safe_name(test_id: str) -> None:
    assert is_safe(slug(test_id))


ids = st.text(st.characters(codec=None), max_size=300) | st.sampled_from(HOSTILE_IDS)


@given(ids)
def test_every_slug_is_a_safe_name(test_id: str) -> None:
    assert is_safe(slug(test_id))
    assert slug(test_id) == slug(test_id)
    assert path_problem(slug(test_id)) == ""


@given(ids, ids)
def test_different_ids_have_different_slugs_even_ignoring_case(one: str, other: str) -> None:
    assert (slug(one).lower() == slug(other).lower()) == (one == other)


@given(ids)
def test_ids_that_differ_only_in_case_have_different_slugs(test_id: str) -> None:
    for other in {test_id.upper(), test_id.lower(), test_id.swapcase()} - {test_id}:
        assert collision_key(slug(test_id)) != collision_key(slug(other))


def test_a_slug_shows_what_it_is_of() -> None:
    assert slug("tests/test_a.py::test_x[1-a]") == "tests-test_a.py-test_x-1-a-7bab4637385bc625"
    long = slug("tests/unit/" + "deep/" * 40 + "test_a.py::test_the_last_part")
    assert re.fullmatch(r"tests-unit-deep-.*--.*-test_the_last_part-[0-9a-f]{16}", long)


@pytest.mark.parametrize("name", ["a", "manifest.json", "_x", "A.b-c_d", "9", "x" * 120, "console"])
def test_a_safe_name_is_returned(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("", "is not made of"),
        ("a/b", "is not made of"),
        (".", "is not made of"),
        (".a", "is not made of"),
        ("-a", "is not made of"),
        ("a b", "is not made of"),
        ("a\n", "is not made of"),
        ("é", "is not made of"),
        ("a:b", "is not made of"),
        ("x" * 121, "longer than 120"),
        ("a.", "ends with a dot"),
        ("Con", "reserved on Windows"),
        ("nul.txt", "reserved on Windows"),
        ("COM0", "reserved on Windows"),
        ("LPT1.a.b", "reserved on Windows"),
    ],
)
def test_an_unsafe_name_is_refused_by_its_rule(name: str, rule: str) -> None:
    with pytest.raises(HostileRecording, match=rule):
        check_name(name)


@pytest.mark.parametrize(
    "path", ["a", "a/b", "a b/é/…", "CON", ".hidden", "ab:c", "..a", "x" * 5000]
)
def test_an_odd_but_unambiguous_path_may_be_read(path: str) -> None:
    assert path_problem(path) == ""


def test_a_lone_surrogate_is_no_name() -> None:
    assert path_problem("a\udc80") == "has a name that is not UTF-8"


@given(st.text())
def test_a_shown_name_is_printable_and_short(name: str) -> None:
    assert shown(name).isprintable()
    assert len(shown(name[:100])) <= 1002


@given(st.text(st.characters(codec="utf-8")))
def test_a_collision_key_has_one_case(text: str) -> None:
    key = collision_key(text)
    assert collision_key(key) == key
    assert collision_key(text.casefold()) == key


def is_safe(name: str) -> bool:
    """Whether a name is safe, by a second opinion that shares nothing with the code."""
    allowed = set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")
    stem = name.partition(".")[0].upper()
    reserved = {"CON", "PRN", "AUX", "NUL"} | {f"{d}{n}" for d in ("COM", "LPT") for n in range(10)}
    return (
        0 < len(name) <= 120
        and set(name) <= allowed
        and name[0] not in ".-"
        and name[-1] != "."
        and stem not in reserved
        and check_name(name) == name
    )
