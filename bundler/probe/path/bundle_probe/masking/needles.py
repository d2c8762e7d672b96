"""Where any of many values stands in some bytes, at a cost that hardly depends on how many.

A value that holds a run (`runs.py`) is looked for only where the text has runs, the others all over
it: in both cases by the windows that a value covers (`windows.py`), in a text of some length first
by pairs (`pairs.py`).
"""

from __future__ import annotations

from . import runs
from .pairs import Pairs
from .windows import Windows

_LONG = 256
"""In a shorter text the windows cost less."""


class Needles:
    """Values of at least eight bytes, `{value: rule}`; each long one holds a run of `run` bytes."""

    def __init__(self, rules):
        self._rules = rules
        held = {value: runs.longest(value) for value in rules}
        spans = [span for span in held.values() if span]
        self.run = min([runs.LENGTH, *(end - begin for begin, end in spans)])
        short = [value for value, span in held.items() if not span]
        self._in_runs = Windows(8, 8)
        self._everywhere = Windows(8 if min(map(len, short), default=8) >= 11 else 4, 4)
        self._pairs = Pairs(4, short)
        for value, span in held.items():
            if span:
                self._in_runs.add(value, *span)
            else:
                self._everywhere.add(value, 0, len(value))

    def find(self, data, stretches):
        """Return (begin, end, rule) for everything that stands in the bytes, in no order."""
        spans = self._pairs.find(data, 0, len(data)) if len(data) > _LONG else None
        if spans is None:
            spans = self._everywhere.find(data, 0, len(data))
        for begin, end in stretches:
            spans += self._in_runs.find(data, begin, end)
        found = ((begin, end, self._rules.get(data[begin:end])) for begin, end in spans)
        return [one for one in found if one[2] and one[1] <= len(data)]
