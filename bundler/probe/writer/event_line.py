"""One event as the bytes of one line: quickly where its data is JSON already, and never failing.

What JSON cannot say is shown instead of refused: another object as its repr, NaN and Infinity as
their names, a lone surrogate as U+FFFD, what lies over 32 levels deep as `…`. A line that would be
over 1 MiB keeps the head of its message, and of its data only how long it was.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from json.encoder import encode_basestring_ascii as _quote
from typing import Any, Protocol

from .json_text import Encoder, compact_encoder, without_surrogates

MAX_LINE_BYTES = 1 << 20
MAX_MESSAGE = 64 * 1024
MAX_LEVELS = 32
MAX_SHOWN = 16 * 1024
_TOO_LONG_INTEGER = 10**20
_PathLike = os.PathLike
_SURROGATES = re.compile(r"\\ud[89a-f]")


class Named(Protocol):
    """Whatever says which test an event is of."""

    @property
    def test_id(self) -> str | None: ...
    @property
    def seed(self) -> int | None: ...
    @property
    def subsystem(self) -> str | None: ...
    @property
    def invariant(self) -> str | None: ...


def head_of(level: str, category: str, event: str, test: Named | None) -> str:
    """Return the part of a line that all events of one type have in common."""
    fields: dict[str, str | int] = {"level": level, "category": category, "event": event}
    for name in ("test_id", "seed", "subsystem", "invariant"):
        value = getattr(test, name, None)
        if value is not None:
            fields[name] = without_surrogates(value) if isinstance(value, str) else value
        if name == "seed" and isinstance(value, int):
            fields["seed_hex"] = f"{value:016x}"
    return _encode_in_order(fields)[1:-1]


def line_of(
    ts_us: int, head: str, thread_id: int, message: object, data: Mapping[str, Any]
) -> bytes:
    """Return the line of an event, its newline included; `head` is from `head_of`."""
    try:
        encoded = _encode(data)
        text = _text(ts_us, head, thread_id, message, encoded)  # type: ignore[arg-type]
        is_sound = len(text) <= MAX_LINE_BYTES and not _is_deep(encoded, data)
    except Exception:  # whatever the data's own methods raise
        is_sound, text = False, ""
    if not is_sound or ("\\ud" in text and _SURROGATES.search(text)):
        text = _careful(ts_us, head, thread_id, message, data)
    return text.encode("ascii")


def shown(value: object) -> str:
    """Return the repr of an object, cut where it is long, whatever its repr does."""
    try:
        text = repr(value)
    except Exception as error:  # an object under test may be broken in any way
        return f"<{type(value).__name__}, whose repr raises {type(error).__name__}>"
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}… ({len(text)} characters)"


def plain(value: object, levels: int = MAX_LEVELS) -> Any:
    """Return a value as JSON can say it."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return without_surrogates(value)
    if isinstance(value, int):
        return int(value) if abs(value) < _TOO_LONG_INTEGER else shown(int(value))
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else shown(float(value))
    if not levels:
        return "…"
    if isinstance(value, Mapping):
        return {_key(name): plain(one, levels - 1) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(one, levels - 1) for one in value]
    return without_surrogates(_default(value))


def _text(ts_us: int, head: str, thread_id: int, message: str, data: str) -> str:
    start = f'{{"v":1,"ts_us":{ts_us},{head},"thread_id":{thread_id}'
    return f'{start},"message":{_quote(message)},"data":{data}}}\n'


def _careful(
    ts_us: int, head: str, thread_id: int, message: object, data: Mapping[str, Any]
) -> str:
    message = without_surrogates(message if isinstance(message, str) else shown(message))
    try:
        encoded = _encode(plain(data))
    except Exception as error:  # an object under test may be broken in any way
        encoded = _encode({"data": f"cannot be shown: {type(error).__name__}"})
    text = _text(ts_us, head, thread_id, message, encoded)
    if len(text) <= MAX_LINE_BYTES:
        return text
    if len(encoded) > MAX_LINE_BYTES // 4:
        encoded = _encode({"omitted_bytes": len(encoded)})
    message = f"{message[:MAX_MESSAGE]}… ({len(message)} characters)"
    return _text(ts_us, head, thread_id, message, encoded)


def _is_deep(encoded: str, data: object) -> bool:
    """Whether data has too many levels; most has fewer brackets than that anyway."""
    return encoded.count("{") + encoded.count("[") > MAX_LEVELS and not _fits(data, MAX_LEVELS)


def _fits(value: object, levels: int) -> bool:
    if isinstance(value, Mapping):
        value = value.values()
    elif not isinstance(value, (list, tuple)):
        return True
    return levels > 0 and all(_fits(one, levels - 1) for one in value)


def _default(value: object) -> str:
    path = value.__fspath__() if isinstance(value, _PathLike) else None
    return path if isinstance(path, str) else shown(value)


def _key(name: object) -> str:
    return without_surrogates(name if isinstance(name, str) else shown(name))


_encode_in_order = Encoder(separators=(",", ":")).encode
_encode = compact_encoder(_default)
