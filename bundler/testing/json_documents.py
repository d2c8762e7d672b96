"""The JSON documents of a test bundle, read strictly, with the standard library alone.

A key twice, NaN, or anything but an object is refused.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from bundler.errors import DamagedRecording

MAX_U64 = (1 << 64) - 1


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
