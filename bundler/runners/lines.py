"""A stream of JSON lines among what a command prints: taken out, and shown as it would have been.

A line of the stream begins with `{`. Everything else is passed on as it comes, without waiting for
the end of its line; a line that is longer than any event, or that nobody takes, is passed on whole.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bundler.errors import DamagedRecording
from bundler.events import MAX_LINE_BYTES
from bundler.json_lines import json_object

Take = Callable[[dict[str, Any]], bytes | None]
"""What takes one line and returns what is shown in its place; None where that is the line."""


class JsonLines:
    """What `Inside.show` is, for a runner that writes JSON lines to its stdout.

    Where stdout and stderr are one, what comes on stderr is among the lines. The first exception
    that `take` raises ends it: the lines are passed on from there, and `end` says so. `note` is
    given every other line, of either stream.
    """

    def __init__(
        self,
        take: Take,
        at_end: Callable[[], bytes] = bytes,
        note: Callable[[bytes], object] | None = None,
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
            return (self._line(stream, rest) if rest else b"") + self._at_end()
        *lines, rest = (self._held + chunk).split(b"\n")
        shown = b"".join(self._line(stream, line + b"\n") for line in lines)
        self._held = rest
        if self._line_is_plain or not rest.startswith(b"{") or len(rest) > MAX_LINE_BYTES:
            shown, self._held = shown + self._as_plain(stream, rest), b""
            self._line_is_plain = self._line_is_plain or bool(rest)
        return shown

    def end(self) -> None:
        """Say what went wrong on the way. Raises DamagedRecording."""
        if self._error is not None:
            message = f"a line of its output: {type(self._error).__name__}: {self._error}"
            raise DamagedRecording(message) from self._error

    def _line(self, stream: str, line: bytes) -> bytes:
        was_plain, self._line_is_plain = self._line_is_plain, False
        value = None if was_plain or self._error is not None else json_object(line)
        if value is None:
            return self._as_plain(stream, line)
        try:
            shown = self._take(value)
        except Exception as error:
            self._error = error
            return line
        return line if shown is None else shown

    def _as_plain(self, stream: str, piece: bytes) -> bytes:
        """Pass on what is no line of the stream, and note the lines that are whole."""
        if self._note is None or self._error is not None:
            return piece
        *lines, rest = (self._plain[stream] + piece).split(b"\n")
        self._plain[stream] = rest[-MAX_LINE_BYTES:]
        try:
            for line in lines:
                self._note(line)
        except Exception as error:
            self._error = error
        return piece
