"""The same failure has one fingerprint, whenever and wherever it happened; another has another."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bundler.fingerprint import MESSAGE_CHARACTERS, PATTERNS, fingerprint, normalised

# Of each pattern: two texts that are one failure, and what they are without what differs.
SAME = [
    ("\x1b[31massert\x1b[0m 1", "assert \x1b[1;32m1", "assert 1"),
    (
        "no row 0b6b6a1e-1f0f-4a51-9c65-4e7f9a4d2f10",
        "no row 5D2C7F2A-9d1b-4E5A-8a3c-2b1d0c9f8e7d",
        "no row <uuid>",
    ),
    (
        "assert 'MODE' not in environ({'A': '1', 'MODE': 'x'})",
        "assert 'MODE' not in environ({'MODE': 'x', 'Z': '2', 'SHELL': '/bin/sh'})",
        "assert 'MODE' not in <environment>",
    ),
    ("'MODE' in environ({'A': '1', 'B", "'MODE' in environ({'C", "'MODE' in <environment>"),
    ("'/a...f-1dc76f02a19a'", "'/a...6-93a4b9f32bc0'", "'/a...<uuid>'"),
    ("'/a...02a19a/x'", "'/a...9f32bc0/x'", "'/a...<uuid>/x'"),
    (
        "<object object at 0x7f8519661c60>",
        "<object object at 0x55adde56>",
        "<object object <address>>",
    ),
    ("0x00007ff6a1b2c3d4", "0x000001d2aabbccdd", "<address>"),
    ("key da39a3ee5e6b4b0d", "key " + "a9993e36470681aba3e9" * 2, "key <digest>"),
    ("2026-01-02T03:04:05.678901Z", "2025-12-31 23:59:59+01:00", "<time>"),
    ("due 2026-01-02", "due 1999-12-31", "due <date>"),
    ("at 12:34:56,789", "at 00:00:00", "at <time>"),
    ("took 1.25s", "took 17 ms", "took <duration>"),
    ("no file /home/a/x/data.csv", "no file C:\\Users\\b\\data.csv", "no file <path>/data.csv"),
    ("'/tmp/pytest-of-a/pytest-3/test_x0/out'", "'/private/var/out'", "'<path>/out'"),
    ("in tmpab12cd34", "in tmp_0x9zk1q", "in <tmp>"),
    ("in pytest-17", "in pytest-2", "in <tmp>"),
    ("x.py:17: in f", "x.py:8: in f", "x.py:<line>: in f"),
    ('File "x.py", line 17', 'File "x.py", line 3', 'File "x.py:<line>'),
    ("refused: 127.0.0.1:54321", "refused: 127.0.0.1:80", "refused: 127.0.0.1:<port>"),
    ("localhost:54321", "localhost:8080", "localhost:<port>"),
    ("PID 17 died", "pid=4711 died", "pid <n> died"),
    ("Thread-12 (run)", "Thread-3 (run)", "Thread-<n> (run)"),
    ("worker 'gw0' crashed", "worker 'gw11' crashed", "worker '<worker>' crashed"),
    ("started 140212022474543", "started 139912022474999", "started <number>"),
    ("a  b\n\n c", "a b c\n", "a b c"),
]

DIFFERENT = [
    ("assert 1 == 2", "assert 1 == 3"),
    ("assert 0.5 > 2", "assert 0.25 > 2"),
    ("status 404", "status 500"),
    ("0xdeadbeef", "0xcafebabe"),
    ("1.5", "1.6"),
    ("no file /a/x.csv", "no file /a/y.csv"),
    ("http://example.org/a/b", "http://example.org/c/b"),
    ("version 1.2.3", "version 1.2.4"),
    ("a/b/c", "a/d/c"),
    ("9 tests", "8 tests"),
    ("deadbeefdeadbeef", "cafebabecafebabe"),
]


@pytest.mark.parametrize(("one", "other", "both"), SAME, ids=[both for _, _, both in SAME])
def test_what_differs_from_run_to_run_is_taken_out(one: str, other: str, both: str) -> None:
    assert normalised(one) == both
    assert normalised(other) == both
    assert fingerprint("E", "x.py", one) == fingerprint("E", "x.py", other)


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_what_tells_failures_apart_stays(one: str, other: str) -> None:
    assert normalised(one) != normalised(other)


def test_every_pattern_has_an_example_that_needs_it() -> None:
    for what, pattern, _instead in PATTERNS:
        assert any(re.search(pattern, text) for one in SAME for text in one[:2]), what


words = st.lists(st.sampled_from([text for one in SAME for text in one]), max_size=6)


@given(words.map("; ".join))
def test_normalising_twice_is_normalising_once(text: str) -> None:
    assert normalised(normalised(text)) == normalised(text)


@given(st.text(st.characters(exclude_categories=()), max_size=200))
def test_any_text_has_a_fingerprint(text: str) -> None:
    assert re.fullmatch(r"[0-9a-f]{16}", fingerprint(text, None, text))


def test_type_place_and_message_count_each_in_its_place() -> None:
    all_of_them = {
        fingerprint("A", "B", "C"),
        fingerprint("A", "B", "D"),
        fingerprint("A", "C", "C"),
        fingerprint("B", "B", "C"),
        fingerprint("AB", "", "C"),
        fingerprint(None, "AB", "C"),
    }
    assert len(all_of_them) == 6


def test_a_vector_by_hand() -> None:
    # FNV-1a 64 of b"AssertionError\0t.py\0assert 1 == 2\0".
    assert fingerprint("AssertionError", "/p/../t.py", "assert 1 == 2") == fingerprint(
        "AssertionError", "/elsewhere/t.py", "assert 1  ==  2"
    )
    assert fingerprint("AssertionError", "t.py", "assert 1 == 2") == "a13b3efbc8d576fd"


def test_a_long_message_costs_no_more_than_its_head() -> None:
    head = "x" * MESSAGE_CHARACTERS
    assert fingerprint("E", None, head + "a") == fingerprint("E", None, head + "b")
