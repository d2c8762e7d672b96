"""Traces: what asupersync wrote is read as it went in, and of what is broken all that is left."""

from __future__ import annotations

import hashlib
import io
import json
import struct
import tracemalloc
from pathlib import Path
from typing import IO, Any

import lz4.block
import msgspec
import pytest
from asupersync_samples import traces, truth
from hypothesis import given
from hypothesis import strategies as st

from bundler.errors import BundleError, DamagedRecording, NotARecording, TooNewRecording
from bundler.formats.trace import Digests, End, TraceEvent, read_trace, recognises
from bundler.formats.trace_events import FIELDS

KINDS = "traces/scheduler_all_kinds_00000000deadbeef.trace"
V1 = "traces/scheduler_legacy_v1_0000000000000005.trace"


def damaged(name: str) -> bytes:
    return traces()[f"traces/damaged/{name}.trace"]


def as_json_lines(events: Any) -> bytes:
    dumps = (json.dumps({"type": one.type, **one.fields}, separators=(",", ":")) for one in events)
    return b"".join(line.encode() + b"\n" for line in dumps)


# --- what is whole -----------------------------------------------------------------------------


@pytest.mark.parametrize("row", truth()["traces"], ids=lambda row: Path(row["file"]).stem)
def test_a_trace_is_read_as_it_went_in(row: dict[str, Any]) -> None:
    trace = read_trace(traces()[row["file"]])
    assert trace.whole
    assert trace.version == row["header"]["version"]
    assert trace.flags == row["header"]["flags"]
    assert trace.compressed == row["original_reader"]["compressed"]
    assert trace.event_count == trace.declared_events == row["events"]["count"]
    assert trace.end == End(row["header"]["bytes"])
    checked = "ok" if trace.version == 3 else "absent"
    assert trace.digests == Digests(metadata=checked, events=checked)
    metadata = row["metadata"]
    assert trace.seed == metadata["seed"]
    assert trace.recorded_at == metadata["recorded_at"]
    assert trace.config_hash == metadata["config_hash"]
    assert trace.description == metadata.get("description")
    lines = as_json_lines(trace.events())
    assert hashlib.sha256(lines).hexdigest() == row["events"]["json_lines_sha256"]


def test_every_type_of_event_is_in_the_samples() -> None:
    assert {event.type for event in read_trace(traces()[KINDS]).events()} == set(FIELDS)


def test_its_events_can_be_asked_for_again() -> None:
    trace = read_trace(traces()[KINDS])
    assert list(trace.events()) == list(trace.events())


def test_a_trace_is_read_from_a_path_and_from_a_stream(tmp_path: Path) -> None:
    content = traces()[KINDS]
    path = tmp_path / "x.trace"
    path.write_bytes(content)

    class Trickle(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            return super().read(min(size or 0, 3))

    expected = list(read_trace(content).events())
    assert list(read_trace(path).events()) == expected
    assert list(read_trace(lambda: Trickle(content)).events()) == expected


def test_a_trace_is_recognised_by_its_content() -> None:
    assert all(recognises(content) for name, content in traces().items() if "damaged" not in name)
    assert not recognises(damaged("text_file"))


# --- what is broken ----------------------------------------------------------------------------

# What is left of each: readable events, declared, digests of metadata and events, why it ends.
LEFT: dict[str, tuple[int, int | None, str, str, str]] = {
    "cut_count": (0, None, "ok", "absent", "the file ends inside the count of events"),
    "cut_event_digest": (0, 40, "ok", "absent", "the file ends inside the digest of the events"),
    "cut_before_events": (0, 40, "ok", "unchecked", "its header counts 40 events, and there are 0"),
    "cut_at_event_boundary": (
        *(7, 40, "ok", "unchecked"),
        "its header counts 40 events, and there are 7",
    ),
    "cut_in_event_len": (
        *(7, 40, "ok", "unchecked"),
        "the file ends inside the length of an event (at byte 351)",
    ),
    "cut_in_event": (7, 40, "ok", "unchecked", "the file ends inside an event (at byte 355)"),
    "cut_last_byte": (39, 40, "ok", "unchecked", "the file ends inside an event (at byte 1181)"),
    "cut_lz4_chunk": (
        *(138, 300, "ok", "unchecked"),
        "a chunk: the file ends inside its block (at byte 2748)",
    ),
    "cut_lz4_chunk_len": (
        *(0, 300, "ok", "unchecked"),
        "a chunk: the file ends inside its length (at byte 134)",
    ),
    "cut_v2": (39, 40, "absent", "absent", "the file ends inside an event (at byte 1075)"),
    "cut_v1": (39, 40, "absent", "absent", "the file ends inside an event (at byte 1074)"),
    "meta_bit": (40, 40, "wrong", "ok", ""),
    "meta_digest_bit": (40, 40, "wrong", "ok", ""),
    "count_plus_1": (40, 41, "ok", "ok", "its header counts 41 events, and there are 40"),
    "count_minus_1": (40, 39, "ok", "ok", "its header counts 39 events, and there are 40"),
    "count_zero": (40, 0, "ok", "ok", "its header counts 0 events, and there are 40"),
    "count_huge": (
        *(40, 2**64 - 1, "ok", "ok"),
        f"its header counts {2**64 - 1} events, and there are 40",
    ),
    "event_digest_bit": (40, 40, "ok", "wrong", ""),
    "event_bit": (40, 40, "ok", "wrong", ""),
    "event_len_huge": (
        *(7, 40, "ok", "unchecked"),
        "an event of 4294967295 bytes, over 1048576 (at byte 351)",
    ),
    "event_len_over_limit": (
        *(7, 40, "ok", "unchecked"),
        "an event of 16777217 bytes, over 1048576 (at byte 351)",
    ),
    "event_len_zero": (7, 40, "ok", "unchecked", "an event cannot be read: "),
    "lz4_chunk_len_zero": (
        *(0, 300, "ok", "unchecked"),
        "a chunk: its length is 0, not 5 to 67108864 (at byte 134)",
    ),
    "lz4_chunk_len_huge": (
        *(0, 300, "ok", "unchecked"),
        "a chunk: its length is 2147483648, not 5 to 67108864 (at byte 134)",
    ),
    "lz4_size_huge": (
        *(0, 300, "ok", "unchecked"),
        "a chunk: its raw length is 4294967295, over 67108864 (at byte 134)",
    ),
    "lz4_size_off_by_one": (300, 300, "ok", "ok", ""),
    "lz4_payload_byte": (300, 300, "ok", "wrong", ""),
    "lz4_token": (0, 300, "ok", "unchecked", "a chunk: its block cannot be decompressed: "),
    "trailing_garbage": (40, 40, "ok", "ok", ""),
    "trailing_event": (40, 40, "ok", "ok", ""),
    "v2_event_bit": (40, 40, "absent", "absent", ""),
    "unknown_event_type": (
        *(7, 40, "ok", "unchecked"),
        "an event cannot be read: Invalid value 'TaskTeleported'",
    ),
    "event_not_msgpack": (7, 40, "ok", "unchecked", "an event cannot be read: "),
    "event_as_map": (40, 40, "ok", "ok", ""),
    "event_extra_field": (7, 40, "ok", "unchecked", "an event cannot be read: "),
    "killed_plain": (621, 0, "ok", "absent", "its writer never finished it"),
    "killed_lz4": (
        *(2489, 0, "ok", "absent"),
        "its writer never finished it; a chunk: the file ends inside its raw length",
    ),
}
REFUSED: dict[str, tuple[type[BundleError], str]] = {
    "empty": (DamagedRecording, "x: the file is empty (at byte 0)"),
    "killed_early": (DamagedRecording, "x: the file is empty (at byte 0)"),
    "cut_magic": (DamagedRecording, "x: the file ends inside its magic (at byte 0)"),
    "cut_after_magic": (DamagedRecording, "x: the file ends inside the version (at byte 11)"),
    "cut_version": (DamagedRecording, "x: the file ends inside the version (at byte 11)"),
    "cut_flags": (DamagedRecording, "x: the file ends inside the flags (at byte 13)"),
    "cut_meta_len": (
        *(DamagedRecording,),
        "x: the file ends inside the length of the metadata (at byte 16)",
    ),
    "cut_meta_digest": (
        *(DamagedRecording,),
        "x: the file ends inside the digest of the metadata (at byte 20)",
    ),
    "cut_meta": (DamagedRecording, "x: the file ends inside the metadata (at byte 52)"),
    "bad_magic": (NotARecording, "x is not a trace file"),
    "text_file": (NotARecording, "x is not a trace file"),
    "gzip_like": (NotARecording, "x is not a trace file"),
    "version_0": (DamagedRecording, "x: version 0, which there never was (at byte 11)"),
    "version_4": (TooNewRecording, "x has trace version 4, and this program reads 1 to 3"),
    "version_big_endian": (
        *(TooNewRecording,),
        "x has trace version 768, and this program reads 1 to 3",
    ),
    "unknown_flag": (
        *(DamagedRecording,),
        "x: flags 0x0006, which version 3 does not have (at byte 13)",
    ),
    "no_checksum_flag": (
        *(DamagedRecording,),
        "x: flags 0x0000, which version 3 does not have (at byte 13)",
    ),
    "compression_2": (DamagedRecording, "x: compression 2 with flags 0x0003 (at byte 15)"),
    "compressed_flag_byte_0": (DamagedRecording, "x: compression 0 with flags 0x0003 (at byte 15)"),
    "plain_flag_byte_1": (DamagedRecording, "x: compression 1 with flags 0x0002 (at byte 15)"),
    "meta_len_huge": (
        *(DamagedRecording,),
        "x: metadata of 4294967295 bytes, over 1048576 (at byte 16)",
    ),
    "meta_len_over_limit": (
        *(DamagedRecording,),
        "x: metadata of 1048577 bytes, over 1048576 (at byte 16)",
    ),
    "meta_len_short": (
        *(DamagedRecording,),
        "x: the metadata cannot be read: Input data was truncated, and its digest is wrong"
        " (at byte 52)",
    ),
    "schema_2": (TooNewRecording, "x has metadata of schema 2, and this program reads 1"),
}


def test_every_damaged_trace_has_its_outcome_here() -> None:
    names = {Path(name).stem for name in traces() if "damaged" in name}
    assert names == LEFT.keys() | REFUSED.keys()
    assert not LEFT.keys() & REFUSED.keys()


@pytest.mark.parametrize("name", LEFT)
def test_a_damaged_trace_gives_all_that_is_left_and_says_where_it_ends(name: str) -> None:
    count, declared, metadata, events, why = LEFT[name]
    content = damaged(name)
    trace = read_trace(content)
    assert (trace.event_count, trace.declared_events) == (count, declared)
    assert trace.digests == Digests(metadata, events)
    assert trace.end.why.startswith(why)
    assert bool(trace.end.why) == bool(why)
    assert trace.end.offset + trace.end.trailing_bytes == len(content)
    assert len(list(trace.events())) == count
    assert trace.whole == (not why and "wrong" not in (metadata, events))


@pytest.mark.parametrize("name", REFUSED)
def test_a_trace_without_a_readable_header_is_refused(name: str) -> None:
    kind, message = REFUSED[name]
    with pytest.raises(kind) as caught:
        read_trace(damaged(name), where="x")
    assert type(caught.value) is kind
    assert caught.value.message == message


@pytest.mark.parametrize("row", truth()["damaged_traces"], ids=lambda row: Path(row["file"]).stem)
def test_no_less_is_left_than_its_own_reader_recovers(row: dict[str, Any]) -> None:
    recovered = row["original_reader"].get("recovered")
    if recovered is None:
        assert "open" in row["original_reader"]
        return
    assert read_trace(traces()[row["file"]]).event_count >= recovered


def test_the_prefix_of_a_cut_trace_is_that_of_the_whole_one() -> None:
    whole = list(read_trace(traces()[KINDS]).events())
    assert list(read_trace(damaged("cut_in_event")).events()) == whole[:7]


def test_what_follows_the_counted_events_is_no_event() -> None:
    trace = read_trace(damaged("trailing_event"))
    assert (trace.event_count, trace.end.trailing_bytes) == (40, 29)


def test_events_after_a_wrong_count_and_a_wrong_digest_are_not_believed() -> None:
    content = bytearray(damaged("count_minus_1"))
    content[-1] ^= 1  # in the number that the last event ends with
    trace = read_trace(bytes(content))
    assert (trace.event_count, trace.digests.events) == (39, "wrong")
    assert trace.end.trailing_bytes > 0


# --- what is hostile ---------------------------------------------------------------------------


@given(st.integers(0, 1206), st.integers(0, 7))
def test_no_bit_of_a_trace_brings_down_its_reader(position: int, bit: int) -> None:
    content = bytearray(traces()[KINDS])
    content[position] ^= 1 << bit
    try:
        trace = read_trace(bytes(content))
    except BundleError:
        return
    assert len(list(trace.events())) == trace.event_count
    if position >= 52:
        assert not trace.whole  # versions from 3 on notice every bit behind the header


@given(st.integers(0, 1206))
def test_a_trace_that_is_cut_anywhere_gives_its_prefix(length: int) -> None:
    whole = list(read_trace(traces()[KINDS]).events())
    try:
        trace = read_trace(traces()[KINDS][:length])
    except BundleError:
        assert length < 109  # before the count there is nothing to tell
        return
    assert not trace.whole
    assert list(trace.events()) == whole[: trace.event_count]


def v2(events: bytes, *, count: int, compressed: bool = False) -> bytes:
    metadata = msgspec.msgpack.encode([1, 7, 0, 0])
    flags = struct.pack("<HB", int(compressed), int(compressed))
    header = b"ASUPERTRACE" + struct.pack("<H", 2) + flags + struct.pack("<I", len(metadata))
    return bytes(header + metadata + struct.pack("<Q", count) + events)


def frame(content: bytes) -> bytes:
    return struct.pack("<I", len(content)) + content


def chunk(raw: bytes) -> bytes:
    block: bytes = lz4.block.compress(raw, store_size=False)
    return struct.pack("<II", len(block) + 4, len(raw)) + block


def test_a_long_trace_is_read_with_the_memory_of_a_chunk() -> None:
    event = frame(msgspec.msgpack.encode(["RngSeed", 1]))
    part = chunk(event * 4000)
    content = v2(part * 25, count=100_000, compressed=True)
    tracemalloc.start()
    trace = read_trace(lambda: io.BytesIO(content))
    assert sum(1 for _ in trace.events()) == 100_000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2 << 20


def test_a_small_file_that_asks_for_much_memory_is_refused_it() -> None:
    bomb = chunk(bytes(60 << 20))  # 60 MiB of zeros: events without a byte
    tracemalloc.start()
    trace = read_trace(v2(bomb, count=1, compressed=True))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (trace.event_count, trace.whole) == (0, False)
    assert peak < 200 << 20


@pytest.mark.parametrize(
    "content",
    [
        msgspec.msgpack.encode([["RngSeed", 1]]),
        b"\x91" * 3000,
        msgspec.msgpack.encode(["RngSeed", "1"]),
        msgspec.msgpack.encode(["RngSeed", 1.5]),
        msgspec.msgpack.encode(["RngSeed", None]),
        msgspec.msgpack.encode(["RngSeed"]),
        msgspec.msgpack.encode({"seed": 1}),
        msgspec.msgpack.encode([7, 1]),
        b"\xda\xff\xffx",
        b"\x92\xa1\xff\x01",
    ],
)
def test_what_is_no_event_ends_the_trace(content: bytes) -> None:
    good = frame(msgspec.msgpack.encode(["RngSeed", 1]))
    trace = read_trace(v2(good + frame(content) + good, count=3))
    assert list(trace.events()) == [TraceEvent("RngSeed", {"seed": 1})]
    assert "an event cannot be read" in trace.end.why


def test_an_event_without_what_may_be_null_has_none() -> None:
    content = frame(msgspec.msgpack.encode(["RegionCreated", 5, None, 7]))
    [event] = read_trace(v2(content, count=1)).events()
    assert event.fields == {"region": 5, "parent": None, "at_tick": 7}


def test_a_killed_writer_of_version_3_that_wrote_no_event_is_unfinished() -> None:
    content = bytearray(traces()["traces/scheduler_zero_events_0000000000000000.trace"])
    content[-32:] = bytes(32)
    trace = read_trace(bytes(content))
    assert (trace.digests.events, trace.end.why) == ("absent", "its writer never finished it")


def test_a_file_that_cannot_be_opened_is_no_trace(tmp_path: Path) -> None:
    with pytest.raises(NotARecording, match=r"cannot be read: No such file"):
        read_trace(tmp_path / "absent.trace")


def test_a_stream_is_closed_after_reading() -> None:
    opened: list[IO[bytes]] = []

    def opener() -> IO[bytes]:
        opened.append(io.BytesIO(traces()[V1]))
        return opened[-1]

    trace = read_trace(opener)
    next(events := trace.events())
    events.close()  # type: ignore[attr-defined]
    assert [stream.closed for stream in opened] == [True, True]
