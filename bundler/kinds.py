"""The kinds of values that a key of the configuration takes: what may be written, what it means.

| kind | in TOML | as text (a variable, an option) |
|---|---|---|
| PATH | `"runs"`, relative to the file; `~` is the home | relative to the working directory |
| TEXT | `"less -R"` | the same |
| WORDS | `["pytest", "-x"]` or `"pytest -x"` | `pytest -x`, split as a shell would |
| SEED | `7`, `"0xdeadbeef"`, 16 hex digits | the same |
| FLAG | `true` | `1 true yes on`, `0 false no off` |
| COUNT | `100`, `"unlimited"` | the same |
| DAYS | `30`, `0.5`, `"unlimited"` | the same |
| SIZE | `1000`, `"1 GB"`, `"1.5MiB"`, `"unlimited"` | the same; kB is 1000, KiB is 1024 |
| COLOR | `"auto"`, `"always"`, `"never"` | the same |

An unlimited count, number of days or size is None.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bundler.errors import UsageError
from bundler.seeds import parse_seed

UNLIMITED = "unlimited"
COLORS = ("auto", "always", "never")
FLAGS = {
    **dict.fromkeys(("1", "true", "yes", "on"), True),
    **dict.fromkeys(("0", "false", "no", "off"), False),
}
UNITS = {
    **dict.fromkeys(("", "b"), 1),
    **dict.fromkeys(("k", "kb"), 10**3),
    **dict.fromkeys(("m", "mb"), 10**6),
    **dict.fromkeys(("g", "gb"), 10**9),
    **dict.fromkeys(("t", "tb"), 10**12),
    "kib": 1 << 10,
    "mib": 1 << 20,
    "gib": 1 << 30,
    "tib": 1 << 40,
}

_NUMBER = re.compile(r"[0-9]{1,15}(\.[0-9]{1,9})?")
_SIZE = re.compile(r"([0-9.]+) ?([A-Za-z]*)")


@dataclass(frozen=True, slots=True)
class Source:
    """Where values are written: how a person would name it, and what its paths are relative to.

    `home` is what `~` stands for, where that is known.
    """

    where: str
    base: Path
    home: str | None = None
    is_text: bool = False


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind: what it expects, in words, and how a value is read, which raises ValueError."""

    expected: str
    read: Callable[[object, Source], object]


def _path(raw: object, source: Source) -> Path:
    if not isinstance(raw, str) or not raw or "\0" in raw:
        raise ValueError("no path")
    first, *rest = Path(raw).parts
    if first != "~":
        return Path(os.path.normpath(source.base / raw))
    if not source.home:
        raise ValueError("no home is known")
    return Path(os.path.normpath(Path(source.home, *rest)))


def _text(raw: object, _source: Source) -> str:
    if not isinstance(raw, str) or not raw.strip() or not raw.isprintable():
        raise ValueError("no text")
    return raw


def _words(raw: object, _source: Source) -> tuple[str, ...]:
    import shlex

    words = shlex.split(raw) if isinstance(raw, str) else raw
    if not isinstance(words, list) or not words:
        raise ValueError("no words")
    if not all(isinstance(word, str) and "\0" not in word for word in words):
        raise ValueError("something else than words")
    return tuple(words)


def _seed(raw: object, _source: Source) -> int:
    if isinstance(raw, bool) or not isinstance(raw, int | str):
        raise ValueError("no seed")
    try:
        # The sixteen digits of a number are decimal; only as text are they hex.
        return parse_seed(raw if isinstance(raw, str) else hex(raw))
    except UsageError as error:
        raise ValueError(error.message) from None


def _flag(raw: object, source: Source) -> bool:
    if source.is_text and isinstance(raw, str):
        raw = FLAGS.get(raw.lower())
    if not isinstance(raw, bool):
        raise ValueError("no flag")
    return raw


def _count(raw: object, source: Source) -> int | None:
    number = _number(raw, source)
    if isinstance(number, float):
        raise ValueError("no whole number")
    return number


def _number(raw: object, source: Source) -> int | float | None:
    if raw == UNLIMITED:
        return None
    if source.is_text and isinstance(raw, str) and _NUMBER.fullmatch(raw):
        raw = float(raw) if "." in raw else int(raw)
    if isinstance(raw, bool) or not isinstance(raw, int | float) or not 0 <= raw < 10**18:
        raise ValueError("no number from 0")
    return raw


def _size(raw: object, source: Source) -> int | None:
    match = _SIZE.fullmatch(raw) if isinstance(raw, str) else None
    if match is None:
        return _count(raw, source)
    unit = UNITS.get(match[2].lower())
    if unit is None or not _NUMBER.fullmatch(match[1]):
        raise ValueError("no size")
    return round(float(match[1]) * unit)


def _color(raw: object, _source: Source) -> str:
    if not isinstance(raw, str) or raw not in COLORS:
        raise ValueError("no such choice")
    return raw


PATH = Kind("a path", _path)
TEXT = Kind("a line of text", _text)
WORDS = Kind("a list of words, or one line of them", _words)
SEED = Kind("an unsigned 64-bit number", _seed)
FLAG = Kind("true or false", _flag)
COUNT = Kind('a whole number from 0, or "unlimited"', _count)
DAYS = Kind('a number of days, or "unlimited"', _number)
SIZE = Kind('a number of bytes, a text like "1 GB", or "unlimited"', _size)
COLOR = Kind("auto, always or never", _color)
