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
_LONGEST_SEQUENCE = 3

Show = Callable[[dict[str, Any]], bytes | None]
"""What returns what is shown in place of a line of the stream; None where that is the line."""

Hear = Callable[[str, "dict[str, Any] | bytes"], object]
"""What is told each line, with the name of its stream: an object, or bytes where it is none."""


class JsonLines:
    """What `Inside.show` is, for a runner that writes JSON lines to its stdout.

    Where stdout and stderr are one, what comes on stderr is among the lines. The first exception
    that `hear` raises ends the hearing, one that `show` raises the showing: the lines are passed on
    from there. `end` says so.
    """

    def __init__(self, show: Show, hear: Hear, at_end: Callable[[], bytes] = bytes) -> None:
        self._show = show
        self._hear = hear
        self._at_end = at_end
        self._is_deaf: Exception | None = None
        self._held = b""
        self._passed = b""  # the last bytes of this line that were passed on
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
        self._passed = (self._passed + plain)[-_LONGEST_SEQUENCE:]
        return shown + self._as_plain(stream, plain)

    def end(self) -> None:
        """Say what went wrong on the way. Raises DamagedRecording."""
        error = self._is_deaf or self._error
        if error is not None:
            message = f"a line of its output: {type(error).__name__}: {error}"
            raise DamagedRecording(message) from error

    def _line(self, stream: str, line: bytes) -> bytes:
        at, self._passed = self._start(line), b""
        value = None if at is None else json_object(line[at:])
        if at is None or value is None:
            return self._as_plain(stream, line)
        before = self._as_plain(stream, line[:at])
        self._tell(stream, value)
        return before + self._shown(value, line[at:])

    def _shown(self, value: dict[str, Any], line: bytes) -> bytes:
        if self._error is not None:
            return line
        try:
            shown = self._show(value)
        except Exception as error:
            self._error = error
            return line
        return line if shown is None else shown

    def _tell(self, stream: str, line: dict[str, Any] | bytes) -> None:
        if self._is_deaf is None:
            try:
                self._hear(stream, line)
            except Exception as error:
                self._is_deaf = error

    def _start(self, line: bytes) -> int | None:
        """Where in the rest of a line a line of the stream begins, if it does."""
        starts = (found.end() for found in _START.finditer(self._passed + line))
        return next((at - len(self._passed) for at in starts if at >= len(self._passed)), None)

    def _as_plain(self, stream: str, piece: bytes) -> bytes:
        """Pass on what is no line of the stream, and tell the lines that are whole."""
        *lines, rest = (self._plain[stream] + piece).split(b"\n")
        self._plain[stream] = rest[-MAX_LINE_BYTES:]
        for line in lines:
            self._tell(stream, line)
        return piece
