"""What is encoded in a `.trace` file: its metadata and its events, in MessagePack.

The metadata is an array `[schema version, seed, recorded at, config hash]`, then a description
where there is one. An event is an array of its type and its fields in the order of `FIELDS`, or a
map of them with `type`. The fields are numbers; two may be null.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import msgspec

SCHEMA = 1
_MAX_U64 = (1 << 64) - 1
_TRAILING = re.compile(r"trailing characters \(byte (\d+)\)")

FIELDS: dict[str, tuple[str, ...]] = {
    "TaskScheduled": ("task", "at_tick"),
    "TaskYielded": ("task",),
    "TaskCompleted": ("task", "outcome"),
    "TaskSpawned": ("task", "region", "at_tick"),
    "TimeAdvanced": ("from_nanos", "to_nanos"),
    "TimerCreated": ("timer_id", "deadline_nanos"),
    "TimerFired": ("timer_id",),
    "TimerCancelled": ("timer_id",),
    "IoReady": ("token", "readiness"),
    "IoResult": ("token", "bytes"),
    "IoError": ("token", "kind"),
    "RngSeed": ("seed",),
    "RngValue": ("value",),
    "ChaosInjection": ("kind", "task", "data"),
    "RegionCreated": ("region", "parent", "at_tick"),
    "RegionClosed": ("region", "outcome"),
    "RegionCancelled": ("region", "cancel_kind"),
    "WakerWake": ("task",),
    "WakerBatchWake": ("count",),
    "Checkpoint": ("sequence", "time_nanos", "active_tasks", "active_regions"),
}
"""Every type of event, with its fields in the order in which they are written."""

OPTIONAL = {("ChaosInjection", "task"), ("RegionCreated", "parent")}
"""The fields that may be null."""


class TraceEvent(NamedTuple):
    """One event of a trace: its type, and its fields in the order of `FIELDS`."""

    type: str
    fields: dict[str, int | None]


class Metadata(msgspec.Struct, array_like=True, frozen=True):
    """What a trace says of itself; `recorded_at` is in nanoseconds since 1970."""

    version: int
    seed: int
    recorded_at: int
    config_hash: int
    description: str | None = None


def decode_metadata(raw: bytes) -> Metadata:
    """Decode the metadata. Raises ValueError where it is none."""
    try:
        metadata = msgspec.msgpack.decode(raw, type=Metadata)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ValueError(str(error)) from None
    numbers = (metadata.version, metadata.seed, metadata.recorded_at, metadata.config_hash)
    if not all(0 <= number <= _MAX_U64 for number in numbers):
        raise ValueError("a number outside u64")
    return metadata


def decode_event(content: bytes) -> TraceEvent:
    """Decode one event. Raises msgspec.DecodeError."""
    value = decode_value(content)
    names = value.__struct_fields__
    return TraceEvent(type(value).__name__, {name: getattr(value, name) for name in names})


def decode_value(content: bytes) -> msgspec.Struct:
    """Decode one event into the structure of its type. Raises msgspec.DecodeError.

    Bytes behind it in its frame are passed over, as the tool that writes it does.
    """
    decoder = _map_decoder if content[:1] in _MAP_HEADS else _array_decoder
    try:
        return decoder.decode(content)
    except msgspec.DecodeError as error:
        # Only the message tells where the value ends, and there is no other way to ask.
        trailing = _TRAILING.search(str(error))
        if trailing is None:
            raise
        return decoder.decode(content[: int(trailing[1])])


def _structures(*, array_like: bool) -> Any:
    """A union of one structure a type of event, tagged with its name."""
    union: Any = None
    for name, fields in FIELDS.items():
        typed = [(field, int | None if (name, field) in OPTIONAL else int) for field in fields]
        structure = msgspec.defstruct(
            name, typed, tag=name, array_like=array_like, forbid_unknown_fields=True, frozen=True
        )
        union = structure if union is None else union | structure
    return union


_MAP_HEADS = {bytes([head]) for head in range(0x80, 0x90)}
_array_decoder: msgspec.msgpack.Decoder[msgspec.Struct] = msgspec.msgpack.Decoder(
    _structures(array_like=True)
)
_map_decoder: msgspec.msgpack.Decoder[msgspec.Struct] = msgspec.msgpack.Decoder(
    _structures(array_like=False)
)
