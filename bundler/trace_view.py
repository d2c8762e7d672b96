"""A trace as lines of text: what it says of itself, whether it is whole, what is in it."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator
from datetime import UTC, datetime

from bundler.formats.trace import Trace, TraceEvent
from bundler.seeds import show_seed

_LAST_EVENTS = 10


def describe_trace(trace: Trace, *, last: int = _LAST_EVENTS) -> Iterator[str]:
    """Yield a trace in lines of plain text: header, digests, end, counts by type, last events.

    Its description is quoted and escaped as in Python; nothing else of it is text of its own.
    """
    packed = "LZ4" if trace.compressed else "not compressed"
    yield f"trace version {trace.version}, {packed}, {_events(trace)}"
    yield f"seed         {show_seed(trace.seed)} ({trace.seed})"
    yield f"recorded at  {_time(trace.recorded_at)}"
    yield f"config hash  {trace.config_hash:016x}"
    if trace.description is not None:
        yield f"description  {trace.description!r}"
    yield f"digests      metadata {trace.digests.metadata}, events {trace.digests.events}"
    yield f"ends         {_end(trace)}"
    counts: Counter[str] = Counter()
    tail: deque[TraceEvent] = deque(maxlen=last)
    for event in trace.events():
        counts[event.type] += 1
        tail.append(event)
    yield from _by_type(counts)
    yield from _last(tail, trace.event_count)


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


def _by_type(counts: Counter[str]) -> Iterator[str]:
    if not counts:
        return
    yield ""
    width = max(map(len, counts))
    for name, count in sorted(counts.items(), key=lambda one: (-one[1], one[0])):
        yield f"    {name:{width}}  {count}"


def _last(tail: deque[TraceEvent], total: int) -> Iterator[str]:
    if not tail:
        return
    yield ""
    yield f"the last {len(tail)} of {total}:" if len(tail) < total else "all of them:"
    for number, event in enumerate(tail, start=total - len(tail) + 1):
        fields = " ".join(f"{name}={_value(value)}" for name, value in event.fields.items())
        yield f"    {number:>{len(str(total))}}  {event.type} {fields}"


def _value(value: int | None) -> str:
    return "-" if value is None else str(value)
