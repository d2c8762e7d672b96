"""JSON documents of strangers: what is refused, by which rule, and at what cost."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bundler.documents import load_document
from bundler.errors import DamagedRecording, HostileRecording, UnreadableRecording
from bundler.manifest import parse_document


def load(raw: bytes) -> dict[str, Any]:
    return load_document(raw, "summary.json")


def test_an_object_is_loaded() -> None:
    assert load(b' {"a": [1, -1.5, true, null, "\\u00e9\\ud83e\\udd80", {"b": {}}]}\n') == {
        "a": [1, -1.5, True, None, "é🦀", {"b": {}}]
    }


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b" ",
        b"{",
        b"{}}",
        b"{} {}",
        b'{"a": NaN}',
        b'{"a": Infinity}',
        b'{"a": -Infinity}',
        b'{"a": 01}',
        b'{"a": +1}',
        b'{"a": 0x10}',
        b'{"a": 1,}',
        b"{'a': 1}",
        b'{"a": 1} // why',
        b'\xef\xbb\xbf{"a": 1}',
        b'{"a": "\xff"}',
        b'{"\xc0\x80": 1}',
        b'{"a": "\xed\xa0\x80"}',
        b'{"a": "\\ud800"}',
        b'{"a": "\\udc00\\ud800"}',
        b'{"a": "\x01"}',
        b'{"a": "\n"}',
        b'{"a": 1}\x00',
        '{"a": 1}'.encode("utf-16"),
    ],
)
def test_what_is_no_json_is_damage(raw: bytes) -> None:
    with pytest.raises(DamagedRecording, match=r"summary\.json is not valid JSON: ."):
        load(raw)


@pytest.mark.parametrize("raw", [b"[]", b"1", b'"a"', b"null", b"true"])
def test_what_is_no_object_is_damage(raw: bytes) -> None:
    with pytest.raises(DamagedRecording, match=r"summary\.json is not a JSON object"):
        load(raw)


@pytest.mark.parametrize(
    "raw",
    [
        b'{"a": 1, "a": 2}',
        b'{"a": 1, "\\u0061": 2}',
        b'{"x": [{"b": 1}, {"a": {}, "b": [], "a": ":"}]}',
        b'{"a": "\\"", "a": "\\\\"}',
    ],
)
def test_a_key_twice_in_one_object_is_refused(raw: bytes) -> None:
    with pytest.raises(HostileRecording, match="the same key twice in one object"):
        load(raw)


@pytest.mark.parametrize("raw", [b'{"a": 1e999}', b'{"a": -1e999}', b'{"a": ' + b"1" * 5000 + b"}"])
def test_a_number_out_of_range_is_refused(raw: bytes) -> None:
    with pytest.raises(HostileRecording, match="a number out of range"):
        load(raw)


def test_an_integer_of_over_20_digits_is_refused() -> None:
    assert load(b'{"a": 18446744073709551615, "b": -9223372036854775808}')["a"] == 2**64 - 1
    for number in (b"1" + b"0" * 20, b"-1" + b"0" * 20, b"9" * 4000):
        with pytest.raises(HostileRecording, match="an integer of over 20 digits"):
            load(b'{"a": [{"b": ' + number + b"}]}")


def test_nesting_over_64_levels_is_refused() -> None:
    assert load(nested(64))
    for levels in (65, 900, 100_000):
        with pytest.raises(HostileRecording, match="nested over 64 levels"):
            load(nested(levels))
    with pytest.raises(HostileRecording, match="nested over 64 levels"):
        load(b'{"a":' * 65 + b"1" + b"}" * 65)


def test_brackets_and_colons_in_strings_are_no_structure() -> None:
    text = '{[:,"\\' * 100
    document = {text: [text, {"": text, "\\": "", '"': '\\"'}]}
    for ascii_only in (True, False):
        assert load(json.dumps(document, ensure_ascii=ascii_only).encode()) == document


def test_too_many_bytes_are_refused() -> None:
    with pytest.raises(HostileRecording, match="JSON document of over 100 bytes"):
        load_document(b'{"a": "' + b"x" * 100 + b'"}', "summary.json", max_bytes=100)


def test_too_many_values_are_refused_before_they_are_made() -> None:
    assert load_document(b'{"a": [1, 2, 3]}', "summary.json", max_values=4)
    with pytest.raises(HostileRecording, match="over 4 JSON values"):
        load_document(b'{"a": [1, 2, 3, 4]}', "summary.json", max_values=4)
    with pytest.raises(HostileRecording, match="JSON values"):
        load(b'{"a":[' + b"[]," * 5_000_000)


def test_the_manifest_is_read_by_these_rules() -> None:
    with pytest.raises(HostileRecording, match=r"manifest\.json has the same key twice"):
        parse_document(b'{"a": 1, "a": 1}', "manifest.json")


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda children: st.lists(children) | st.dictionaries(st.text(), children),
    max_leaves=20,
)


@given(st.dictionaries(st.text(), values), st.booleans(), st.sampled_from([None, 2]))
def test_whatever_the_standard_library_writes_is_loaded(
    document: dict[str, Any], ascii_only: bool, indent: int | None
) -> None:
    raw = json.dumps(document, ensure_ascii=ascii_only, indent=indent).encode("utf-8")
    assert load(raw) == document


signs = st.lists(
    st.sampled_from([b"{", b"}", b"[", b"]", b":", b",", b'"', b"\\", b"a", b"1", b" "])
)


@given(st.binary() | signs.map(b"".join))
def test_any_bytes_are_loaded_as_the_standard_library_does_or_refused(raw: bytes) -> None:
    try:
        document = load(raw)
    except UnreadableRecording:
        return
    assert document == json.loads(raw, object_pairs_hook=without_repeats)


@given(st.dictionaries(st.text(max_size=3), st.integers(0, 9), min_size=1), st.data())
def test_a_repeated_key_is_always_seen(document: dict[str, int], data: st.DataObject) -> None:
    key = data.draw(st.sampled_from(sorted(document)))
    raw = msgspec.json.encode(document)[:-1] + b"," + msgspec.json.encode(key) + b":0}"
    with pytest.raises(HostileRecording, match="same key twice"):
        load(raw)


def without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)


def nested(levels: int) -> bytes:
    return b'{"a":' + b"[" * (levels - 1) + b"]" * (levels - 1) + b"}"
