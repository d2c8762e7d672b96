"""The recorder as a guest: it is shown everything, and may fail without disturbing the host."""

from __future__ import annotations

import time
from collections.abc import Callable

TICK_SECONDS = 0.25


class Guest:
    """The two callbacks of a caller; the first exception ends both and is kept in `error`."""

    def __init__(
        self, on_output: Callable[[str, bytes], None], on_idle: Callable[[], None] | None
    ) -> None:
        self._on_output = on_output
        self._on_idle = on_idle
        self._next_tick = time.monotonic() + TICK_SECONDS
        self.error: Exception | None = None

    @property
    def wants_ticks(self) -> bool:
        """Whether there is anything to call while nothing happens."""
        return self._on_idle is not None and self.error is None

    def output(self, stream: str, chunk: bytes) -> None:
        """Show a piece of output."""
        if self.error is None and chunk:
            try:
                self._on_output(stream, chunk)
            except Exception as error:
                self.error = error

    def tick(self) -> None:
        """Let the caller do its housekeeping, where that is due."""
        now = time.monotonic()
        if self._on_idle is None or self.error is not None or now < self._next_tick:
            return
        self._next_tick = now + TICK_SECONDS
        try:
            self._on_idle()
        except Exception as error:
            self.error = error
