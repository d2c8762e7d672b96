"""Which of many values may stand in some bytes, by a few bytes at every multiple of a stride.

A value of n bytes covers, wherever it stands, four that begin at a multiple of n - 3. So all that
can stand at the multiples of a stride is known beforehand. Whether a block has any of it is one
intersection of sets, in which Python handles no byte: what that costs hangs neither on the text
nor on how many values there are.
"""

from __future__ import annotations

from functools import lru_cache

_FORMATS = {4: "I", 8: "Q"}
_BLOCK = 256
_FEW = 12
"""So many are looked up one by one: to begin an intersection costs as much."""


class Windows:
    """What can stand at the multiples of a stride where a value stands, and where that begins.

    Values of one size that share a window are one entry: it is looked at once, not once a value.
    """

    def __init__(self, stride, size):
        self._stride = stride
        self._size = size
        self._table = {}
        self._words = None

    def add(self, value, begin, end):
        """Take the windows of a part of a value, where others have none if that can be."""
        for at in range(begin, end - self._stride - self._size + 2, self._stride):
            windows = [value[one : one + self._size] for one in range(at, at + self._stride)]
            if self._table.keys().isdisjoint(windows):
                break
        for window, entry in zip(windows, _entries(at, self._stride, len(value))):  # noqa: B905
            known = self._table.setdefault(window, entry)
            if known is not entry and entry[0] not in known:
                self._table[window] = known + entry

    def find(self, data, begin, end):
        """Return (begin, end) of what may be a value, by the windows in a part of the bytes."""
        if not self._table:
            return []
        places = range(begin, end - self._size + 1, self._stride)
        if len(places) > _FEW:
            blocks = (places[at : at + _BLOCK] for at in range(0, len(places), _BLOCK))
            places = [place for block in blocks for place in self._known(data, block)]
        spans = []
        for place in places:
            for offset, size in self._table.get(data[place : place + self._size], ()):
                if offset <= place:
                    spans.append((place - offset, place - offset + size))
        return spans

    def _known(self, data, places):
        """Return those places of many at which something stands that is known."""
        if self._words is None:
            self._words = frozenset(self._numbers(b"".join(self._table)))
        words = self._numbers(data[places[0] : places[-1] + self._size])
        words = words[:: self._stride // self._size]
        known = self._words.intersection(words)
        return [places[at] for at, word in enumerate(words) if word in known] if known else []

    def _numbers(self, data):
        return memoryview(data).cast(_FORMATS[self._size])


@lru_cache(maxsize=256)
def _entries(at, count, size):
    """Return the entries of so many windows of a value of a size, the first of which is `at`."""
    return [((offset, size),) for offset in range(at, at + count)]
