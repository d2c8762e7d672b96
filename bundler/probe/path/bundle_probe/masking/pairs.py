"""Which of many values may stand in some bytes, by the rarest two bytes of each.

Two bytes are one character of UTF-16, and whether any of a set of characters stands in a text is a
matter of a regular expression, which looks at one bit a character. For ordinary text nothing is
cheaper; a text that has too many of the pairs is told, and has to be looked at otherwise.
"""

from __future__ import annotations

import re

_MANY = 32
"""More than one span in so many characters cost more than to look otherwise."""

# What ordinary output consists of, the most frequent first; all else is rare.
_ORDER = b" eytsaoinr_0123456789lducpmhf.-/:=gbwvkxjzq"
_WEIGHTS = bytes(len(_ORDER) - _ORDER.find(b) if b in _ORDER else 1 for b in range(256))
_DIGITS = b"0123456789"
# Half of a pair of surrogates is no character: its bytes stand for another, here and there alike.
_NO_HALVES = bytes(0 if 0xD8 <= one <= 0xDF else one for one in range(256))


class Pairs:
    """Of each value two bytes at a multiple of a stride, wherever it stands; where it begins.

    Each value is longer than the stride.
    """

    def __init__(self, stride, values):
        self._stride = stride
        self._values = values
        self._known = None

    def find(self, data, begin, end):
        """Return (begin, end) of what may be a value in a part of the bytes; None: too many may."""
        if not self._values:
            return []
        if self._known is None:  # short texts do not need it
            table = self._table()
            self._known = table, re.compile("[%s]" % "".join(map(re.escape, table)))
        table, any_pair = self._known
        text = characters(data[begin:end])[:: self._stride // 2]
        most = _MANY + len(text) // _MANY
        spans = []
        for pair in any_pair.finditer(text):
            place = begin + pair.start() * self._stride
            for offset, size in table[pair[0]]:
                spans.append((place - offset, place - offset + size))
            if len(spans) > most:
                return None
        return [span for span in spans if span[0] >= begin]

    def _table(self):
        """Return the rarest pairs of each value, one for each place at which it may begin."""
        table = {}
        for value in self._values:
            for first in range(self._stride):
                offsets = range(first, len(value) - 1, self._stride)
                offset = min(offsets, key=lambda at: _frequency(*value[at : at + 2]))
                pair = characters(value[offset : offset + 2])
                table.setdefault(pair, set()).add((offset, len(value)))
        return table


def _frequency(first, second):
    """How frequent a pair is in ordinary output, where digits and letters seldom mix."""
    is_mixed = (first in _DIGITS) != (second in _DIGITS)
    return _WEIGHTS[first] * _WEIGHTS[second] // (4 if is_mixed else 1)


def characters(data):
    """Return bytes as a text of half as many characters, without the last of an odd number."""
    if not data.isascii():
        data = data.translate(_NO_HALVES)
    return data[: len(data) & ~1].decode("utf-16-le")
