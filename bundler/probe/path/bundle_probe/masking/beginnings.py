"""Whether some bytes end with the beginning of one of many values."""

from __future__ import annotations

from bisect import bisect_right

_HEAD = 4


class Beginnings:
    """Values, none with a line break, of which the end may be still to come."""

    def __init__(self, values):
        self._sorted = sorted(values)
        self._heads = frozenset(value[:_HEAD] for value in values)
        self._longest = max(map(len, values), default=0)

    def partial(self, data):
        """Return where a value may begin of which the end is still to come; else the length."""
        size = len(data)
        for at in range(max(0, size - self._longest + 1, data.rfind(b"\n") + 1), size):
            if at > size - _HEAD or data[at : at + _HEAD] in self._heads:
                rest = data[at:]
                index = bisect_right(self._sorted, rest)
                if index < len(self._sorted) and self._sorted[index].startswith(rest):
                    return at
        return size
