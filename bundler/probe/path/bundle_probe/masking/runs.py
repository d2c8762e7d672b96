"""Where text holds what reads like a token: many letters, digits, `_` or `-` in a row.

Ordinary text has few of those, whatever it is about, and finding them costs little. Every token of
a known service holds one of twenty, and so does nearly every other secret of some length.
"""

from __future__ import annotations

import re

LENGTH = 20
SHORTEST = 15
"""Addresses (`0x7f1a9c0f7890`) are shorter, and some texts are full of them."""

CHARACTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-"
_ONE = re.compile(rb"[A-Za-z0-9_-]{%d,}" % SHORTEST)

_FEW = 8
_NEAR = 256
_MOST_SKIPPED = 2048

_CLASSES = bytes(120 if byte in CHARACTERS else 32 for byte in range(256))


def stretches(data, length=LENGTH):
    """Return (begin, end) of parts that hold every row of so many, in order; none cuts a row.

    A part is one row where there are few. Where there are many, it is what is near each other, and
    twice as much each time, so that rows are not looked at one by one.
    """
    if len(data) < length:
        return []
    whole = b"x" * length
    classes = data.translate(_CLASSES)
    found = []
    begin = classes.find(whole)
    while begin >= 0:
        end = _end(classes, begin)
        if len(found) > _FEW and begin - found[-1][1] <= _NEAR:
            begin = found.pop()[0]
            end = _end(classes, end + min(end - begin, _MOST_SKIPPED))
        found.append((begin, end))
        begin = classes.find(whole, end)
    return found


def longest(data):
    """Return (begin, end) of the longest row in some bytes, or None where all are short."""
    spans = [match.span() for match in _ONE.finditer(data)]
    return max(spans, key=lambda span: span[1] - span[0], default=None)


def _end(classes, at):
    end = classes.find(b" ", at)
    return end if end >= 0 else len(classes)
