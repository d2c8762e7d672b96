"""JSON documents as asupersync writes them, byte for byte.

UTF-8, two spaces deep, keys in the order of their declaration, no newline at the end, floats as
short as they can be (`0.00001`, `9e-7`, `1e+16`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from json.encoder import encode_basestring_ascii
from typing import Any

_SURROGATE = re.compile("[\ud800-\udfff]")
_SMALL = re.compile(r"(-?)(\d)(?:\.(\d+))?e-0?(\d+)")


class Encoder(json.JSONEncoder):
    """The encoder as it was when this was loaded: a test may patch `json`."""

    encode = json.JSONEncoder.encode
    iterencode = json.JSONEncoder.iterencode


def compact_encoder(default: Callable[[object], str]) -> Callable[[object], str]:
    """Return what encodes a value in one line, keys in order; `default` is for what JSON has not.

    A circle is a RecursionError, which costs nothing until it happens. NaN is a ValueError.
    """
    options: dict[str, Any] = {"sort_keys": True, "allow_nan": False, "check_circular": False}
    plain = Encoder(separators=(",", ":"), default=default, **options).encode
    make = getattr(json.encoder, "c_make_encoder", None)
    if make is None:  # not CPython
        return plain
    # What `JSONEncoder.encode` makes anew for each value, which takes as long as encoding it.
    pieces = make(None, default, encode_basestring_ascii, None, ":", ",", True, False, False)
    return lambda value: "".join(pieces(value, 0))


def pretty(value: object) -> bytes:
    """Return the bytes of a document. Raises TypeError or ValueError where it is not JSON."""
    return without_surrogates("".join(_pieces(value, "\n"))).encode("utf-8")


def without_surrogates(text: str) -> str:
    """Return a text that UTF-8 can hold: each lone surrogate is shown as U+FFFD."""
    return _SURROGATE.sub("\ufffd", text)


def _pieces(value: object, line: str) -> Iterable[str]:
    if isinstance(value, Mapping):
        pairs = (f"{_scalar(str(name))}: " for name in value)
        yield from _block("{}", zip(pairs, value.values()), line)  # noqa: B905 (Python 3.9)
    elif isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
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
    text = _encode(value)
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


_encode = Encoder(ensure_ascii=False, allow_nan=False).encode
