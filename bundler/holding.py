"""How much memory the results of a log may take: an account, by what the log itself has in bytes.

A packed line of a few bytes can name a hundred thousand tests, or hold a message of a megabyte. So
whatever the fold keeps is counted, roughly as CPython lays it out: beyond a free amount (the limit
`results_bytes`) only so many times the packed log (`results_ratio`). Of what we record ourselves a
test takes some 40 bytes packed, and 23 times that in memory.
"""

from __future__ import annotations

from collections.abc import Iterable
from sys import getsizeof

from bundler.limits import in_force, over

ID, TEST, ATTEMPT, ROW = 250, 450, 350, 120
"""What each of these takes beside its texts: a collected id, a test, an attempt, any other row."""

_PLAIN_RATIO = 16
"""How many bytes of a plain log count as one packed."""


class Holding:
    """What may still be kept of one log. Without a size of that log, everything."""

    __slots__ = ("_left", "_where")

    def __init__(self, packed: int | None = None, where: str = "the results") -> None:
        limits = in_force()
        free = limits.results_bytes
        self._left = float("inf") if packed is None else free + limits.results_ratio * packed
        self._where = where

    def keep(self, size: int, texts: Iterable[object] = ()) -> None:
        """Count so many bytes, and what the texts take. Raises HostileRecording past the limit."""
        for text in texts:
            size += getsizeof(text)
        self._left -= size
        if self._left < 0:
            what = f"{self._where} would take too much memory"
            raise over("results_bytes", in_force().results_bytes, what)

    def keep_data(self, data: object) -> None:
        """Count what was decoded from JSON, all that is in it."""
        waiting: list[object] = [data]
        while waiting:
            value = waiting.pop()
            self.keep(getsizeof(value))
            if isinstance(value, dict):
                waiting += value
                waiting += value.values()
            elif isinstance(value, list):
                waiting += value


def packed_size(plain: int) -> int:
    """Return what a plain log of so many bytes counts as."""
    return plain // _PLAIN_RATIO
