"""Where any of many values stands in some bytes, at a cost that hardly depends on how many.

A value that holds a run (`runs.py`) is looked for only where the text has one: of a run in the
text, four bytes in every eight or sixteen are looked up in a table of all that can stand there. The
values without a run are short. A few are searched for one by one; many are looked up in the same
way, but all over the text: a value of n bytes that stands anywhere covers four that begin at a
multiple of n - 3.
"""

from __future__ import annotations

import sys
from bisect import bisect_right

from . import runs

_STRIDES = (8, 4)
_LOOK_UP_NS = 80
_SEARCH_NS = 0.28
"""What a look-up costs, and a search for one value by the byte: only the ratio matters."""


class Needles:
    """Values to be found, `{value: rule}`; each long one holds a run of the length `run`."""

    def __init__(self, rules):
        self._rules = rules
        self._sorted = sorted(rules)
        self._firsts = frozenset(needle[0] for needle in rules)
        self._longest = max(map(len, rules), default=0)
        held = {needle: runs.longest(needle) for needle in self._sorted}
        rows = [span[1] - span[0] for span in held.values() if span]
        self.run = min([runs.LENGTH, *rows])
        self._run_stride = 16 if self.run >= 19 else 8
        self._in_runs = {}
        for needle, span in held.items():
            if span:
                _add(self._in_runs, needle, span[0], self._run_stride)
        short = [needle for needle, span in held.items() if not span]
        self._stride = min(_STRIDES, key=lambda one: _cost(short, one))
        if len(short) * _SEARCH_NS <= _cost(short, self._stride):
            self._stride = runs.LENGTH  # one by one
        self._short = [one for one in short if len(one) < self._stride + 3]
        self._everywhere = {}
        for needle in short:
            if len(needle) >= self._stride + 3:
                _add(self._everywhere, needle, 0, self._stride)
        self._known = frozenset(int.from_bytes(word, sys.byteorder) for word in self._everywhere)

    def find(self, data, found_runs):
        """Return (begin, end, rule) for everything that stands in the bytes, in no order."""
        found = [one for needle in self._short for one in self._searched(data, needle)]
        if self._known:
            words = memoryview(data)[: len(data) & ~3].cast("I")[:: self._stride // 4]
            if not self._known.isdisjoint(words):
                places = range(0, len(data) - 3, self._stride)
                found += self._looked_up(self._everywhere, data, places)
        if self._in_runs:
            for begin, end in found_runs:
                places = range(begin, end - 3, self._run_stride)
                found += self._looked_up(self._in_runs, data, places)
        return found

    def partial(self, data):
        """Return where a value may begin of which the end is still to come; else the length."""
        firsts, size = self._firsts, len(data)
        for at in range(max(0, size - self._longest + 1), size):
            if data[at] in firsts:
                rest = data[at:]
                index = bisect_right(self._sorted, rest)
                if index < len(self._sorted) and self._sorted[index].startswith(rest):
                    return at
        return size

    def _searched(self, data, needle):
        at = data.find(needle)
        while at >= 0:
            yield at, at + len(needle), self._rules[needle]
            at = data.find(needle, at + 1)

    def _looked_up(self, table, data, places):
        for place in places:
            for needle, offset in table.get(data[place : place + 4], ()):
                begin = place - offset
                if begin >= 0 and data.startswith(needle, begin):
                    yield begin, begin + len(needle), self._rules[needle]


def _add(table, needle, begin, stride):
    """Put into a table what can stand at a multiple of the stride within a value, and where."""
    for offset in range(begin, begin + stride):
        table.setdefault(needle[offset : offset + 4], []).append((needle, offset))


def _cost(needles, stride):
    alone = sum(len(needle) < stride + 3 for needle in needles)
    return alone * _SEARCH_NS + (_LOOK_UP_NS / stride if alone < len(needles) else 0)
