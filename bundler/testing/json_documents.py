"""The JSON documents of a test bundle, in bytes and back, with the standard library alone.

They are written as asupersync writes them, byte for byte: UTF-8, two spaces deep, keys in the order
of their declaration, no newline at the end, floats as short as they can be (`0.00001`, `9e-7`,
`1e+16`). They are read strictly: a key twice, NaN, or anything but an object is refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bundler.errors import DamagedRecording

MAX_U64 = (1 << 64) - 1
_SURROGATE = re.compile("[\ud800-\udfff]")
_SMALL = re.compile(r"(-?)(\d)(?:\.(\d+))?e-0?(\d+)")


def pretty(value: object) -> bytes:
    """Return the bytes of a document. Raises TypeError or ValueError where it is not JSON."""
    return without_surrogates("".join(_pieces(value, "\n"))).encode("utf-8")


def without_surrogates(text: str) -> str:
    """Return a text that UTF-8 can hold: each lone surrogate is shown as U+FFFD."""
    return _SURROGATE.sub("\ufffd", text)


def parse(raw: bytes, name: str) -> dict[str, Any]:
    """Return the object that a document holds; `name` opens the message of a refusal.

    Raises DamagedRecording.
    """
    try:
        value = json.loads(
            raw.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_not_a_number
        )
    except (ValueError, RecursionError) as error:
        raise DamagedRecording(f"{name} is not valid JSON: {error}") from None
    if not isinstance(value, dict):
        raise DamagedRecording(f"{name} is not a JSON object")
    return value


def is_u64(value: object) -> bool:
    """Whether it is an unsigned 64-bit whole number; True and 1.0 are none."""
    return type(value) is int and 0 <= value <= MAX_U64


class Fields:
    """The fields of a JSON object, each asked for by its name and its type.

    Whatever is not of that type raises DamagedRecording, which names the field. An optional field
    may be absent or null. `unknown` has the fields that nobody asked for.
    """

    def __init__(self, document: Mapping[str, Any], what: str) -> None:
        self._document = document
        self._what = what
        self._asked: set[str] = set()

    def text(self, name: str) -> str:
        """Return a string."""
        value = self._get(name)
        if not isinstance(value, str):
            raise self._refusal(name, value, "a string")
        return value

    def u64(self, name: str) -> int:
        """Return an unsigned 64-bit whole number."""
        value = self._get(name)
        if not is_u64(value):
            raise self._refusal(name, value, "an unsigned 64-bit number")
        number: int = value
        return number

    def number(self, name: str) -> float:
        """Return a number."""
        value = self._get(name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self._refusal(name, value, "a number")
        return value

    def flag(self, name: str) -> bool:
        """Return true or false."""
        value = self._get(name)
        if not isinstance(value, bool):
            raise self._refusal(name, value, "true or false")
        return value

    def optional_text(self, name: str) -> str | None:
        """Return a string, or None."""
        return None if self._is_absent(name) else self.text(name)

    def optional_u64(self, name: str) -> int | None:
        """Return an unsigned 64-bit whole number, or None."""
        return None if self._is_absent(name) else self.u64(name)

    def optional_object(self, name: str) -> dict[str, Any] | None:
        """Return an object, or None."""
        return None if self._is_absent(name) else self.object(name)

    def object(self, name: str) -> dict[str, Any]:
        """Return an object."""
        value = self._get(name)
        if not isinstance(value, dict):
            raise self._refusal(name, value, "an object")
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        """Return strings; none where the field is absent, which null is not."""
        return tuple(self._each(name, str, "strings"))

    def objects(self, name: str) -> tuple[dict[str, Any], ...]:
        """Return objects; none where the field is absent, which null is not."""
        return tuple(self._each(name, dict, "objects"))

    def pairs(self, name: str) -> tuple[tuple[str, str], ...]:
        """Return pairs of strings; none where the field is absent, which null is not."""
        lists = self._each(name, list, "pairs")
        if not all(len(one) == 2 and all(isinstance(text, str) for text in one) for one in lists):
            raise self._refusal(name, lists, "pairs of strings")
        return tuple((one[0], one[1]) for one in lists)

    def unknown(self) -> dict[str, Any]:
        """Return the fields that nobody has asked for."""
        return {k: value for k, value in self._document.items() if k not in self._asked}

    def _get(self, name: str) -> Any:
        self._asked.add(name)
        if name not in self._document:
            raise DamagedRecording(f"{self._what}: field {name} is missing")
        return self._document[name]

    def _is_absent(self, name: str) -> bool:
        self._asked.add(name)
        return self._document.get(name) is None

    def _each(self, name: str, kind: type, what: str) -> list[Any]:
        self._asked.add(name)
        values = self._document.get(name, [])
        if not isinstance(values, list) or not all(isinstance(one, kind) for one in values):
            raise self._refusal(name, values, f"a list of {what}")
        return values

    def _refusal(self, name: str, value: Any, expected: str) -> DamagedRecording:
        return DamagedRecording(f"{self._what}: field {name} is {_shown(value)}, not {expected}")


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}…"


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise ValueError("the same key twice in one object")
    return document


def _not_a_number(word: str) -> float:
    raise ValueError(f"{word} is not JSON")


def _pieces(value: object, line: str) -> Iterable[str]:
    if isinstance(value, Mapping):
        pairs = (f"{_scalar(str(name))}: " for name in value)
        yield from _block("{}", zip(pairs, value.values(), strict=True), line)
    elif isinstance(value, Sequence) and not isinstance(value, str | bytes):
        yield from _block("[]", (("", one) for one in value), line)
    else:
        yield _scalar(value)


def _block(brackets: str, items: Iterable[tuple[str, object]], line: str) -> Iterable[str]:
    separator = brackets[0]
    for before, value in items:
        yield f"{separator}{line}  {before}"
        yield from _pieces(value, f"{line}  ")
        separator = ","
    yield brackets if separator == brackets[0] else f"{line}{brackets[1]}"


def _scalar(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    if isinstance(value, float) and "e-" in text:
        return _small(text)
    return text


def _small(text: str) -> str:
    """`1.5e-05` as `0.000015`, and `9e-07` as `9e-7`."""
    match = _SMALL.fullmatch(text)
    if match is None:
        return text
    sign, first, rest, exponent = match[1], match[2], match[3] or "", int(match[4])
    if exponent == 5:
        return f"{sign}0.0000{first}{rest}"
    return f"{sign}{first}{'.' if rest else ''}{rest}e-{exponent}"
