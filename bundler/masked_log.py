"""A log without its secrets, also where one is split over two pieces of output.

What a test prints stands in the log in pieces, and a secret may begin in one and end in the next.
So each stream is masked as the one text that it is: a piece ends before what may be the beginning
of a secret, and the next one begins with it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from bundler.eventlog import EventLog
from bundler.events import MAX_LINE_BYTES, Event, decode_line, text_bytes, text_fields
from bundler.redaction import Masker, Stream

OUTPUTS = frozenset({"TestOutput", "RunOutput"})
_IDENTITY = ("session", "occurrence", "attempt", "stream", "phase")

_CUT = b"..."
"""What stands for a cut: what is left of a secret on either side of it is masked as well."""

Key = tuple[object, ...]


class MaskedOutputs:
    """Masks the data of events, in the order of the log; `events` is a first look at all of them.

    An event is named by where it stands, its offset.
    """

    def __init__(self, masker: Masker, events: Iterable[tuple[int, Event]]) -> None:
        self._masker = masker
        self._streams: dict[Key, Stream] = {}
        self._ends = _ends(events)

    def data(self, offset: int, event: Event) -> dict[str, Any]:
        """Return the data of an event without its secrets. Raises ValueError where it has none."""
        data = event.payload()
        if event.event not in OUTPUTS:
            masked: dict[str, Any] = self._masker.value(data)
            return masked
        content = self.content(offset, event, data)
        rest = {k: v for k, v in data.items() if k not in ("text", "base64")}
        return {**self._masker.value(rest), **text_fields(content)}

    def content(self, offset: int, event: Event, data: dict[str, Any]) -> bytes:
        """Return the masked bytes of a piece of output. Raises ValueError where it holds none."""
        raw = text_bytes(data)
        stream = self._streams.setdefault(_key(event, data), self._masker.stream())
        if data.get("omitted_bytes"):
            content = stream.feed(_CUT + raw).removeprefix(_CUT)
        else:
            content = stream.feed(raw)
        if self._ends.get(offset):
            return (content + stream.feed(_CUT) + stream.flush()).removesuffix(_CUT)
        return content + stream.flush() if offset in self._ends else content


def masked_lines(log: EventLog, masker: Masker) -> Iterator[bytes]:
    """Yield the whole lines of a log without their secrets, each with its newline."""
    outputs = MaskedOutputs(masker, _events(log))
    for line in log.lines():
        if line.problem:
            continue
        try:
            event = decode_line(line.content)
            if event.event not in OUTPUTS:
                yield masker.line(line.content) + b"\n"
                continue
            document = json.loads(line.content)
            data = outputs.data(line.offset, event)
        except ValueError:
            yield masker.line(line.content) + b"\n"
            continue
        document = {k: masker.value(v) for k, v in document.items() if k != "data"}
        whole = json.dumps({**document, "data": data}, separators=(",", ":")).encode("ascii")
        fits = len(whole) < MAX_LINE_BYTES
        yield (whole if fits else masker.mask(line.content, same_size=True)) + b"\n"


def _events(log: EventLog) -> Iterator[tuple[int, Event]]:
    for line in log.lines():
        if not line.problem:
            try:
                yield line.offset, decode_line(line.content)
            except ValueError:
                continue


def _ends(events: Iterable[tuple[int, Event]]) -> dict[int, bool]:
    """Return the last piece of each stream, and those before a cut, which are True."""
    ends: dict[int, bool] = {}
    last: dict[Key, int] = {}
    for offset, event in events:
        if event.event in OUTPUTS:
            try:
                data = event.payload()
            except ValueError:
                continue
            key = _key(event, data)
            if data.get("omitted_bytes") and key in last:
                ends[last[key]] = True
            last[key] = offset
    return dict.fromkeys(last.values(), False) | ends


def _key(event: Event, data: dict[str, Any]) -> Key:
    return (event.test_id, *(str(data.get(name)) for name in _IDENTITY))
