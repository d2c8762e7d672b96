"""Events as lines for people: each by itself, or between what their test printed.

    [  0.000123s] INFO  task       TaskSpawn  worker started {"task_id":3}

An event has the time at which the test logged it. What a test printed has the time at which it was
recorded: pytest hands it over when a phase (setup, call, teardown) ends, so it stands behind what
was logged in that phase. Where a recording does not say when, output stands behind all events.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterable, Iterator

from bundler.blocks import Layout, in_phase, printed_lines
from bundler.escapes import one_line
from bundler.look import Look, Style
from bundler.own_events import OwnEvent
from bundler.recording import Output

_STYLES = {"ERROR": Style.FAILED, "WARN": Style.WARNING, "DEBUG": Style.DIM, "TRACE": Style.DIM}
_SAID_BY_MESSAGE = frozenset({"PhaseStarted", "AssertionRecorded", "Attachment"})
_MOST_CHARACTERS = 2000


def event_line(own: OwnEvent, look: Look, *, zero_us: int = 0, with_test: bool = False) -> str:
    """Return an event in one line; its time counts from `zero_us`."""
    event = own.event
    seconds = (own.ts_us - zero_us) / 1e6
    level, category = f"{_shown(event.level):5}", f"{_shown(event.category):9}"
    kind = look.paint(Style.STRONG, _shown(event.event))
    words = [kind, _shown(event.message), look.paint(Style.DIM, _data(own))]
    if with_test and event.test_id is not None:
        words.insert(0, f"{look.test_id(_cut(event.test_id))}:")
    style = _STYLES.get(event.level)
    level = look.paint(style, level) if style else level
    text = " ".join(filter(None, words))
    return f"[{seconds:>11.6f}s] {level} {category} {text}"


def timeline_blocks(
    outputs: Iterable[Output],
    events: Iterable[OwnEvent],
    layout: Layout,
    style: Style,
    *,
    zero_us: int,
) -> Iterator[str]:
    """Yield what a test printed and what it logged, by time; an event stands before output."""
    items: Iterator[tuple[int, int, OwnEvent | Output]] = heapq.merge(
        ((own.ts_us, 0, own) for own in events),
        ((output.ts_us, 1, output) for output in outputs),
        key=lambda item: item[:2],
    )
    for title, group in itertools.groupby((item[2] for item in items), _title):
        yield layout.heading(title, Style.HEADING if title == _EVENTS else style)
        if title == _EVENTS:
            own = (one for one in group if isinstance(one, OwnEvent))
            lines = (event_line(one, layout.look, zero_us=zero_us) for one in own)
            yield from layout.body(lines)
        else:
            yield from printed_lines((one for one in group if isinstance(one, Output)), layout)


_EVENTS = "events"


def _title(item: OwnEvent | Output) -> str:
    if isinstance(item, OwnEvent):
        return _EVENTS
    return f"{item.stream}{in_phase(item.phase)}"


def _data(own: OwnEvent) -> str:
    event = own.event
    if event.event == "PhaseFinished":
        return _duration(own)
    raw = bytes(event.data)
    if raw == b"{}" or event.event in _SAID_BY_MESSAGE:
        return ""
    return _shown(raw[: 4 * _MOST_CHARACTERS].decode("utf-8", "replace"))


def _duration(own: OwnEvent) -> str:
    try:
        return f"{int(own.event.payload()['duration_us']) / 1000:.3f} ms"
    except (ValueError, KeyError, TypeError, OverflowError):
        return ""


def _shown(text: str) -> str:
    return one_line(_cut(text))


def _cut(text: str) -> str:
    return text if len(text) <= _MOST_CHARACTERS else f"{text[:_MOST_CHARACTERS]}…"
