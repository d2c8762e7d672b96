"""What a test runner has left of a secret that it cut itself: `'ghp_16C7e4...c5Ae178B4a'`.

pytest shortens what it shows. So six characters or more of the beginning of a secret right before
an ellipsis, or of its end right after one, are masked as the secret would be.
"""

from __future__ import annotations

import re
from bisect import bisect_left

from .pairs import characters
from .secret_values import shown_forms

SHORTEST = 6
_OTHERS = ("…".encode(), "\n[… ".encode(), " …]\n".encode())  # the last two: where we cut ourselves
_LONG = 256
_TWO_DOTS = "\u2e2e"  # every row of three has two at an even place; many times as fast as to search
_SIDE = SHORTEST + 1
_ROW = re.compile(rb"\.+")


class Fragments:
    """Values of which a part may be left, `{value: rule}`."""

    def __init__(self, rules):
        self._values = rules
        self._sides = None

    def find(self, data):
        """Return (begin, end, rule) for every part of a value beside an ellipsis, in no order."""
        if not self._values or (len(data) < _LONG and data.isascii() and b"..." not in data):
            return []
        return [one for place in _ellipses(data) for one in self._beside(data, *place)]

    def _beside(self, data, begin, end):
        if self._sides is None:  # most texts do not need them
            self._sides = _sides(self._values)
        beginnings, ends = self._sides
        for size in beginnings.sizes(data[max(0, begin - SHORTEST) : begin]):
            rule = beginnings.rule(data[begin - size : begin]) if size <= begin else None
            if rule:
                yield begin - size, begin, rule
        for size in ends.sizes(data[end : end + SHORTEST][::-1]):
            rule = ends.rule(data[end : end + size][::-1]) if end + size <= len(data) else None
            if rule:
                yield end, end + size, rule


class _Beginnings:
    """What some values begin with, found by its last characters; many values cost what one does."""

    def __init__(self, rules):
        self._rules = rules
        self._sorted = sorted(rules)
        self._sizes = {}
        for value in rules:
            for size in range(SHORTEST, len(value) + 1):
                self._sizes.setdefault(value[size - SHORTEST : size], set()).add(size)

    def sizes(self, window):
        """Return how much of a value may end with some characters."""
        return self._sizes.get(window, ())

    def rule(self, part):
        """Return the rule of a value that begins so, or None."""
        at = bisect_left(self._sorted, part)
        begins_so = at < len(self._sorted) and self._sorted[at].startswith(part)
        return self._rules[self._sorted[at]] if begins_so else None


def _sides(values):
    rules = {form: rule for value, rule in values.items() for form in shown_forms(value)}
    return _Beginnings(rules), _Beginnings({form[::-1]: rule for form, rule in rules.items()})


def _ellipses(data):
    """Yield (begin, end) of every ellipsis; of a long row of dots, of those at its ends."""
    for row in _rows_of_dots(data):
        places = range(row.start(), row.end() - 2)
        if len(places) > 2 * _SIDE:
            places = (*places[:_SIDE], *places[-_SIDE:])
        for at in places:
            yield at, at + 3
    for other in _OTHERS if not data.isascii() else ():
        at = data.find(other)
        while at >= 0:
            yield at, at + len(other)
            at = data.find(other, at + 1)


def _rows_of_dots(data):
    at = data.find(b"...") if _TWO_DOTS in characters(data) else -1
    while at >= 0:
        row = _ROW.match(data, at)
        yield row
        at = data.find(b"...", row.end())
