"""The recorder as a guest: it is shown everything, and may fail without disturbing the host.

So may what stands between the command and our streams: without it everything is passed on.
"""

from __future__ import annotations

import time
from collections.abc import Callable

TICK_SECONDS = 0.25


class Guest:
    """The callbacks of a caller; the first exception of each ends it and is kept in `error`."""

    def __init__(
        self,
        on_output: Callable[[str, bytes], None],
        on_idle: Callable[[], None] | None,
        show: Callable[[str, bytes], bytes] | None = None,
    ) -> None:
        self._on_output = on_output
        self._on_idle = on_idle
        self._show = show
        self._next_tick = time.monotonic() + TICK_SECONDS
        self._has_left = False
        self.error: Exception | None = None

    def leave(self, error: Exception) -> None:
        """Show it nothing more."""
        self._has_left = True
        self.error = self.error or error

    @property
    def wants_ticks(self) -> bool:
        """Whether there is anything to call while nothing happens."""
        return self._on_idle is not None and not self._has_left

    @property
    def shows_all(self) -> bool:
        """Whether what the command writes is passed on as it is."""
        return self._show is None

    def shown(self, stream: str, chunk: bytes) -> bytes:
        """Return what is passed on in place of a chunk; nothing is the end of the stream."""
        if self._show is None:
            return chunk
        try:
            return self._show(stream, chunk)
        except Exception as error:
            self._show = None
            self.error = self.error or error
            return chunk

    def output(self, stream: str, chunk: bytes) -> None:
        """Show a piece of output."""
        if not self._has_left and chunk:
            try:
                self._on_output(stream, chunk)
            except Exception as error:
                self.leave(error)

    def tick(self) -> None:
        """Let the caller do its housekeeping, where that is due."""
        now = time.monotonic()
        if self._on_idle is None or self._has_left or now < self._next_tick:
            return
        self._next_tick = now + TICK_SECONDS
        try:
            self._on_idle()
        except Exception as error:
            self.leave(error)
