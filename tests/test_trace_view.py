"""A trace as lines for people."""

from __future__ import annotations

from asupersync_samples import traces

from bundler.formats.trace import read_trace
from bundler.trace_view import describe_trace


def lines(name: str, last: int = 2) -> list[str]:
    trace = read_trace(traces()[f"traces/{name}.trace"])
    return list(describe_trace(trace, last=last))


def test_a_whole_trace() -> None:
    assert lines("scheduler_no_description_0000000000000000")[:6] == [
        "trace version 3, not compressed, 7 events",
        "seed         0000000000000000 (0)",
        "recorded at  unknown",
        "config hash  0000000000000000",
        "digests      metadata ok, events ok",
        "ends         at byte 280, as it should",
    ]


def test_its_events_are_counted_by_type_and_the_last_ones_shown() -> None:
    shown = lines("scheduler_all_kinds_00000000deadbeef")
    assert "recorded at  2025-10-09T08:53:20.000000000Z" in shown
    assert "description  'all kinds, v3, plain — žluť'" in shown
    assert "    ChaosInjection   2" in shown
    assert shown[-3:] == [
        "the last 2 of 40:",
        "    39  WakerBatchWake count=127",
        "    40  Checkpoint sequence=4295287905 time_nanos=38766 active_tasks=26 active_regions=4",
    ]


def test_a_damaged_trace_says_what_is_wrong() -> None:
    shown = lines("damaged/cut_in_event")
    assert shown[0] == "trace version 3, not compressed, 7 readable events of 40 declared"
    assert "digests      metadata ok, events unchecked" in shown
    end = "at byte 351, the file ends inside an event (at byte 355), 9 more bytes follow"
    assert f"ends         {end}" in shown


def test_a_trace_cut_in_its_header_has_no_events_to_show() -> None:
    shown = lines("damaged/cut_count")
    assert (
        shown[0] == "trace version 3, not compressed, 0 readable events of an unknown number"
        " declared"
    )
    assert shown[-1].startswith("ends         at byte 109")


def test_no_event_is_shown_where_none_is_asked_for() -> None:
    assert not any(line.startswith("the last") for line in lines("damaged/cut_in_event", last=0))


def test_a_description_cannot_break_out_of_its_line() -> None:
    content = traces()["traces/scheduler_legacy_v1_0000000000000005.trace"]
    evil = content.replace(b"legacy-v1", b"\x1b[2J\nxy\xc2\x9b")
    [line] = [one for one in describe_trace(read_trace(evil)) if one.startswith("description")]
    assert line == r"description  '\x1b[2J\nxy\x9b'"
