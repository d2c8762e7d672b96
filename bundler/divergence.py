"""The first event at which two executions of one test part, with what stands around it.

Two streams of events are walked side by side, once, with memory for the context alone. Compared is
what a test did, not when or where: times, threads, process-wide names and the ids of runs and
sessions are left out, and so is inside of texts what `bundler.fingerprint` leaves out of messages.
What a recording notes beside the test (the states of generators, entropy that was watched, warnings
of the probe's own) is not its course: one of two recordings may have been asked for it alone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from bundler.events import Event
from bundler.fingerprint import MESSAGE_CHARACTERS, normalised

CONTEXT = 3

_IGNORED = frozenset(
    {
        *("session", "attempt", "occurrence", "worker", "order", "will_retry", "duration_us"),
        *("setup_us", "call_us", "teardown_us", "run_id", "started_at", "size"),
    }
)
_MESSAGE_OF_OURS = frozenset({"TestStarted", "TestOutput", "TestFinished", "SubtestFinished"})
_NOTED_BESIDE = frozenset({"GeneratorState", "EntropyDrawn"})
_WARNINGS_OF_OURS = frozenset({"NotSeeded", "NotRestored", "NotRecorded"})


@dataclass(frozen=True, slots=True)
class Step:
    """One event of a test as it is compared: its number from 0, its type, and what it says."""

    number: int
    event: str
    text: str


@dataclass(frozen=True, slots=True)
class Parting:
    """Where two executions part: the steps both took before, and what each did from there on.

    A side that is empty had ended.
    """

    before: tuple[Step, ...]
    left: tuple[Step, ...]
    right: tuple[Step, ...]

    def to_document(self) -> dict[str, Any]:
        """Return it as an object of JSON."""
        return {
            side: [{"number": s.number, "event": s.event, "text": s.text} for s in steps]
            for side, steps in (("before", self.before), ("a", self.left), ("b", self.right))
        }


def steps(events: Iterable[Event], test_id: str, attempt: int | None = None) -> Iterator[Step]:
    """Yield what one test did; of one attempt alone where that is given.

    A test's own events carry no attempt, and belong to the one that is running.
    """
    running, number = None, 0
    for event in events:
        if event.test_id != test_id or event.event in _NOTED_BESIDE:
            continue
        data = _payload(event)
        if event.event == "Warning" and data.get("warning") in _WARNINGS_OF_OURS:
            continue
        if event.event == "TestStarted":
            running = data.get("attempt")
        if attempt is not None and running is not None and running != attempt:
            continue
        yield Step(number, event.event, _said(event, data))
        number += 1


def first_parting(
    left: Iterable[Step], right: Iterable[Step], context: int = CONTEXT
) -> Parting | None:
    """Return where two executions part, or None where they never do."""
    mine, theirs = iter(left), iter(right)
    before: deque[Step] = deque(maxlen=context)
    while True:
        a, b = next(mine, None), next(theirs, None)
        if a is None and b is None:
            return None
        if a is None or b is None or not _alike(a, b):
            return Parting(tuple(before), _from(a, mine, context), _from(b, theirs, context))
        before.append(a)


def parting_lines(parting: Parting, left: str, right: str) -> Iterator[str]:
    """Yield a parting as lines of text, the two sides under their names."""
    for step in parting.before:
        yield f"    {_line(step)}"
    for name, side in ((left, parting.left), (right, parting.right)):
        yield f"  {name}:"
        for step in side:
            yield f"    {_line(step)}"
        if not side:
            yield "    (nothing more)"


def _alike(a: Step, b: Step) -> bool:
    """Whether two steps are the same, line by line: `normalised` keeps the head of a text alone."""
    if a.event != b.event:
        return False
    mine, theirs = a.text.split("\n"), b.text.split("\n")
    return a.text == b.text or (
        len(mine) == len(theirs)
        and all(
            one == other
            or normalised(one) + one[MESSAGE_CHARACTERS:]
            == normalised(other) + other[MESSAGE_CHARACTERS:]
            for one, other in zip(mine, theirs, strict=True)
        )
    )


def _line(step: Step) -> str:
    words = " ".join(step.text.split())
    shown = words if len(words) <= 160 else f"{words[:159]}…"
    return f"{step.number:>4} {step.event} {shown}".rstrip()


def _from(first: Step | None, rest: Iterator[Step], context: int) -> tuple[Step, ...]:
    return () if first is None else (first, *islice(rest, context))


def _payload(event: Event) -> Mapping[str, Any]:
    try:
        return event.payload()
    except ValueError:
        return {}


def _said(event: Event, data: Mapping[str, Any]) -> str:
    kept = {key: value for key, value in data.items() if key not in _IGNORED}
    words = [] if event.event in _MESSAGE_OF_OURS or not event.message else [event.message]
    words += [f"{key}={_shown(value)}" for key, value in sorted(kept.items()) if value not in ([],)]
    return " ".join(words)


def _shown(value: object) -> str:
    if isinstance(value, list):
        return "; ".join(_shown(one) for one in value)
    if isinstance(value, Mapping):
        inner = [f"{k}={_shown(v)}" for k, v in sorted(value.items()) if k not in _IGNORED]
        return f"({', '.join(inner)})"
    return str(value)
