"""What a stranger's recording says, as a line of ours: whatever its text, however long it is.

A lone surrogate is made visible, for no JSON reader takes one; the longest texts are shortened,
visibly, where the line would be over the limit of `bundler.events`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from bundler.errors import HostileRecording
from bundler.events import MAX_LINE_BYTES, VERSION, Event, encode_line, text_fields

MAX_TEST_ID = 32 * 1024
MAX_MESSAGE = 1000
OUTPUT_BYTES = 64 * 1024

_SHORTER = (64 * 1024, 8 * 1024, 1024, 128)
_SURROGATE = re.compile("[\ud800-\udfff]")
_NOT_SO_SIMPLE = (ValueError, TypeError, OverflowError)


def line_of(event: Event, data: dict[str, Any]) -> tuple[bytes, Event, dict[str, Any]]:
    """Return the line of an event, and the event and its data as they stand in it.

    Raises HostileRecording where it cannot be made to fit.
    """
    line = _simple_line(event, data)
    if line is not None:
        return line, event, data
    event = msgspec.structs.replace(
        event, message=_sound(event.message), test_id=_sound(event.test_id)
    )
    data = _sound(data)
    for limit in (None, *_SHORTER):
        shorter = data if limit is None else _shortened(data, limit)
        try:
            return _any_line(event, shorter), event, shorter
        except ValueError:
            continue
    raise HostileRecording(f"a {event.event} of {event.test_id!r:.200} is too long to be kept")


def pieces(content: bytes | str) -> Iterator[dict[str, str]]:
    """Yield an output, of any length, as the fields of events that hold it."""
    if isinstance(content, str):
        for at in range(0, len(content), OUTPUT_BYTES):
            yield {"text": content[at : at + OUTPUT_BYTES]}
        return
    for at in range(0, len(content), OUTPUT_BYTES):
        yield text_fields(content[at : at + OUTPUT_BYTES])


def chunks(test_ids: Iterable[str]) -> Iterator[list[str]]:
    """Yield test ids, as many at a time as one event may hold."""
    some: list[str] = []
    size = 0
    for test_id in test_ids:
        if some and size + len(test_id) > OUTPUT_BYTES:
            yield some
            some, size = [], 0
        some.append(test_id)
        size += len(test_id) + 4
    if some:
        yield some


class _Line(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The fields of a line, in the order of `bundler.events.encode_line`."""

    v: int
    ts_us: int
    level: str
    category: str
    event: str
    test_id: str | None = None
    seed: int | None = None
    seed_hex: str | None = None
    thread_id: int
    message: str
    data: dict[str, Any]


_encode = msgspec.json.Encoder().encode


def _simple_line(event: Event, data: dict[str, Any]) -> bytes | None:
    """The line of an event that is ASCII and not too long, as almost all are; else None."""
    try:
        line = _encode(
            _Line(
                v=VERSION,
                ts_us=event.ts_us,
                level=event.level,
                category=event.category,
                event=event.event,
                test_id=event.test_id,
                seed=event.seed,
                seed_hex=None if event.seed is None else f"{event.seed:016x}",
                thread_id=0,
                message=event.message,
                data=data,
            )
        )
    except _NOT_SO_SIMPLE:
        return None
    return line + b"\n" if len(line) < MAX_LINE_BYTES and line.isascii() else None


def _any_line(event: Event, data: dict[str, Any]) -> bytes:
    return encode_line(
        event.event,
        ts_us=event.ts_us,
        category=event.category,
        message=event.message,
        level=event.level,
        test_id=event.test_id,
        seed=event.seed,
        data=data,
    )


def _sound(value: Any) -> Any:
    if isinstance(value, str):
        if value.isascii() or not _SURROGATE.search(value):
            return value
        return _SURROGATE.sub(lambda found: f"\\u{ord(found[0]):04x}", value)
    if isinstance(value, dict):
        return {_sound(key): _sound(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_sound(one) for one in value]
    return value


def _shortened(value: Any, limit: int) -> Any:
    if isinstance(value, str) and len(value) > limit:
        half = limit // 2
        return f"{value[:half]}\n[{len(value) - 2 * half} characters left out]\n{value[-half:]}"
    if isinstance(value, dict):
        return {key: _shortened(one, limit) for key, one in value.items()}
    if isinstance(value, list):
        return [_shortened(one, limit) for one in value[:limit]]
    return value
