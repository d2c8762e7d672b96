"""A stream of JSON lines among what a command prints: taken out, and shown as it would have been.

A line of the stream begins with `{`, on a terminal also behind a progress bar that was erased
(`\\r`, `ESC [K`). Everything else is passed on as it comes, without waiting for the end of its
line; one that is longer than any event, or that nobody takes, is passed on whole.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from bundler.errors import DamagedRecording
from bundler.events import MAX_LINE_BYTES
from bundler.json_lines import json_object

_START = re.compile(rb"(?:^|\r|\x1b\[K)(?=\{)")
_ERASED = (b"\r", b"\x1b[K")

Take = Callable[[dict[str, Any]], bytes | None]
"""What takes one line and returns what is shown in its place; None where that is the line."""


class JsonLines:
    """What `Inside.show` is, for a runner that writes JSON lines to its stdout.

    Where stdout and stderr are one, what comes on stderr is among the lines. The first exception
    that `take` raises ends it: the lines are passed on from there, and `end` says so. `note` is
    given every other line with the name of its stream.
    """

    def __init__(
        self,
        take: Take,
        at_end: Callable[[], bytes] = bytes,
        note: Callable[[str, bytes], object] | None = None,
    ) -> None:
        self._take = take
        self._note = note
        self._at_end = at_end
        self._held = b""
        self._line_is_plain = False
        self._plain = {"stdout": b"", "stderr": b"", "terminal": b""}
        self._error: Exception | None = None

    def __call__(self, stream: str, chunk: bytes) -> bytes:
        """Return what is shown of the next piece of a stream; nothing is its end."""
        if stream == "stderr":
            return self._as_plain(stream, chunk)
        if not chunk:
            rest, self._held = self._held, b""
            shown = self._line(stream, rest) if rest else b""
            self._as_plain(stream, b"\n" if self._plain[stream] else b"")
            return shown + self._at_end()
        *lines, rest = (self._held + chunk).split(b"\n")
        shown = b"".join(self._line(stream, line + b"\n") for line in lines)
        at = self._start(rest) if len(rest) <= MAX_LINE_BYTES else None
        plain, self._held = (rest, b"") if at is None else (rest[:at], rest[at:])
        if plain:
            self._line_is_plain = not plain.endswith(_ERASED)
        return shown + self._as_plain(stream, plain)

    def end(self) -> None:
        """Say what went wrong on the way. Raises DamagedRecording."""
        if self._error is not None:
            message = f"a line of its output: {type(self._error).__name__}: {self._error}"
            raise DamagedRecording(message) from self._error

    def _line(self, stream: str, line: bytes) -> bytes:
        at, self._line_is_plain = self._start(line), False
        value = None if at is None or self._error is not None else json_object(line[at:])
        if at is None or value is None:
            return self._as_plain(stream, line)
        before = self._as_plain(stream, line[:at])
        try:
            shown = self._take(value)
        except Exception as error:
            self._error = error
            return line
        return before + (line[at:] if shown is None else shown)

    def _start(self, line: bytes) -> int | None:
        """Where in the rest of a line a line of the stream begins, if it does."""
        starts = (found.end() for found in _START.finditer(line))
        return next((at for at in starts if at or not self._line_is_plain), None)

    def _as_plain(self, stream: str, piece: bytes) -> bytes:
        """Pass on what is no line of the stream, and note the lines that are whole."""
        if self._note is None or self._error is not None:
            return piece
        *lines, rest = (self._plain[stream] + piece).split(b"\n")
        self._plain[stream] = rest[-MAX_LINE_BYTES:]
        try:
            for line in lines:
                self._note(stream, line)
        except Exception as error:
            self._error = error
        return piece
