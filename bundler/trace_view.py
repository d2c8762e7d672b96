"""A trace as lines of text, or as a document: what it says of itself, if it is whole, its events.

Events are many, so all of this is a stream: the lines come as they are read, and what has to be
counted first (how many of each type) stands last.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from bundler.formats.trace import Trace
from bundler.seeds import show_seed


def describe_trace(trace: Trace) -> Iterator[str]:
    """Yield a trace in lines of plain text: header, digests, end, every event, counts by type.

    Its description is quoted and escaped as in Python; nothing else of it is text of its own.
    """
    yield from _header(trace)
    if not trace.event_count:
        return
    yield ""
    counts: Counter[str] = Counter()
    width = len(str(trace.event_count))
    for number, event in enumerate(trace.events(), start=1):
        counts[event.type] += 1
        fields = "".join(f" {name}={_value(value)}" for name, value in event.fields.items())
        yield f"    {number:>{width}}  {event.type}{fields}"
    yield ""
    widest = max(map(len, counts), default=0)
    for name, number in sorted(counts.items(), key=lambda one: (-one[1], one[0])):
        yield f"    {name:{widest}}  {number}"


def trace_words(trace: Trace) -> str:
    """Return a trace in one line: its version, how many events, whether it is whole."""
    whole = "whole" if trace.whole else _broken(trace)
    return f"version {trace.version}, {_events(trace)}, {whole}"


def trace_document(trace: Trace) -> dict[str, Any]:
    """Return what a trace says of itself as an object of JSON, without its events."""
    return {
        "version": trace.version,
        "compressed": trace.compressed,
        "seed": trace.seed,
        "seed_hex": show_seed(trace.seed),
        "recorded_at_ns": trace.recorded_at,
        "config_hash": trace.config_hash,
        "config_hash_hex": f"{trace.config_hash:016x}",
        "description": trace.description,
        "declared_events": trace.declared_events,
        "event_count": trace.event_count,
        "digests": {"metadata": trace.digests.metadata, "events": trace.digests.events},
        "whole": trace.whole,
        "end": {
            "offset": trace.end.offset,
            "why": trace.end.why or None,
            "trailing_bytes": trace.end.trailing_bytes,
        },
    }


def trace_json(trace: Trace) -> Iterator[str]:
    """Yield a trace as one object of JSON, in lines: the document, and `events`, one a line."""
    head = json.dumps(trace_document(trace), indent=2)
    yield head.removesuffix("\n}") + ","
    yield '  "events": ['
    before = ""
    for event in trace.events():
        if before:
            yield f"{before},"
        before = "    " + json.dumps({"type": event.type, **event.fields})
    if before:
        yield before
    yield "  ]"
    yield "}"


def trace_problem(trace: Trace) -> str:
    """Return what is wrong with a trace, or the empty text where it is whole."""
    return "" if trace.whole else _broken(trace)


def _header(trace: Trace) -> Iterator[str]:
    packed = "LZ4" if trace.compressed else "not compressed"
    yield f"trace version {trace.version}, {packed}, {_events(trace)}"
    yield f"seed         {show_seed(trace.seed)} ({trace.seed})"
    yield f"recorded at  {_time(trace.recorded_at)}"
    yield f"config hash  {trace.config_hash:016x}"
    if trace.description is not None:
        yield f"description  {trace.description!r}"
    yield f"digests      metadata {trace.digests.metadata}, events {trace.digests.events}"
    yield f"ends         {_end(trace)}"


def _broken(trace: Trace) -> str:
    if trace.end.why:
        return f"ends {_end(trace)}"
    wrong = [name for name in ("metadata", "events") if getattr(trace.digests, name) == "wrong"]
    return f"the digest of its {' and of its '.join(wrong)} does not hold"


def _events(trace: Trace) -> str:
    if trace.declared_events == trace.event_count:
        return f"{trace.event_count} events"
    declared = "an unknown number" if trace.declared_events is None else trace.declared_events
    return f"{trace.event_count} readable events of {declared} declared"


def _time(nanoseconds: int) -> str:
    if not nanoseconds:
        return "unknown"
    seconds, rest = divmod(nanoseconds, 10**9)
    try:
        moment = datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return f"{nanoseconds} ns after 1970"
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{rest:09d}Z"


def _end(trace: Trace) -> str:
    end = trace.end
    extra = f", {end.trailing_bytes} more bytes follow" if end.trailing_bytes else ""
    return f"at byte {end.offset}, {end.why or 'as it should'}{extra}"


def _value(value: int | None) -> str:
    return "-" if value is None else str(value)
