"""What a recorded command prints, as RunOutput events: masked, bounded, little pieces as one."""

from __future__ import annotations

import time

from bundler.events import text_fields
from bundler.live_bundle import LiveBundle
from bundler.redaction import Stream

RUN_OUTPUT_LIMIT = 64 * 1024 * 1024
RUN_OUTPUT_TAIL = 1024 * 1024
CHUNK = 128 * 1024
"""JSON can make six bytes of one: such a chunk stays under a line's 1 MiB whatever is in it."""

MOMENT_S = 0.2


class RunOutput:
    """What the command prints, as RunOutput events: the head as it comes, a tail kept for the end.

    It is masked before it is cut; what may be the beginning of a secret waits for what follows. A
    test runner prints a character a test, so what comes within a moment is one event.
    """

    def __init__(self, live: LiveBundle) -> None:
        self._live = live
        self._pending = bytearray()
        self._stream = ""
        self._since = 0.0
        self._written = 0
        self._tail: list[tuple[str, bytes]] = []
        self._tail_bytes = 0
        self._omitted = 0
        self._masked: dict[str, Stream] = {}

    def take(self, stream: str, chunk: bytes) -> None:
        """Take what was printed; it is written when there is enough, or a moment has gone by."""
        now = time.monotonic()
        if stream != self._stream:
            self._pass_on()
            self._stream = stream
        if not self._pending:
            self._since = now
        self._pending += chunk
        if len(self._pending) >= CHUNK or now - self._since > MOMENT_S:
            self._pass_on()

    def rest(self) -> None:
        """Write what is pending: nothing more may come for a while."""
        if self._pending and time.monotonic() - self._since > MOMENT_S:
            self._pass_on()

    def flush(self) -> None:
        """Write what is pending and the tail that was kept back, the cut counted on its start."""
        self._pass_on()
        for stream, masked in self._masked.items():
            self._bound(stream, masked.flush())
        omitted, self._omitted = self._omitted, 0
        for stream, piece in self._tail:
            self._append(stream, piece, omitted)
            omitted = 0
        self._tail = []

    def _pass_on(self) -> None:
        pending, self._pending = bytes(self._pending), bytearray()
        if pending:
            stream = self._masked.setdefault(self._stream, self._live.masker.stream())
            self._bound(self._stream, stream.feed(pending))

    def _bound(self, stream: str, content: bytes) -> None:
        for begin in range(0, len(content), CHUNK):
            piece = content[begin : begin + CHUNK]
            if self._written + len(piece) <= RUN_OUTPUT_LIMIT and not self._tail:
                self._written += len(piece)
                self._append(stream, piece, 0)
            else:
                self._keep(stream, piece)

    def _keep(self, stream: str, piece: bytes) -> None:
        self._tail.append((stream, piece))
        self._tail_bytes += len(piece)
        while self._tail_bytes - len(self._tail[0][1]) > RUN_OUTPUT_TAIL:
            dropped = self._tail.pop(0)[1]
            self._tail_bytes -= len(dropped)
            self._omitted += len(dropped)

    def _append(self, stream: str, piece: bytes, omitted: int) -> None:
        data: dict[str, object] = {"stream": stream, **text_fields(piece)}
        if omitted:
            data["omitted_bytes"] = omitted
        self._live.append("RunOutput", category="output", message="", data=data, masked=True)
