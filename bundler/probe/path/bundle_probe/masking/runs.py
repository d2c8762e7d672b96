"""Where text holds what reads like a token: twenty letters, digits, `_` or `-` in a row.

Ordinary text has few of those, whatever it is about, and finding them costs little. Every token of
a known service holds one, and so does nearly every other secret of some length.
"""

from __future__ import annotations

import re

LENGTH = 20
CHARACTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-"
ONE = re.compile(rb"[A-Za-z0-9_-]{%d,}" % LENGTH)

_CLASSES = bytes(120 if byte in CHARACTERS else 32 for byte in range(256))
_WHOLE = b"x" * LENGTH


def find(data):
    """Return (begin, end) of every such row, in order."""
    if len(data) < LENGTH:
        return []
    classes = data.translate(_CLASSES)
    found = []
    begin = classes.find(_WHOLE)
    while begin >= 0:
        end = classes.find(b" ", begin)
        if end < 0:
            end = len(data)
        found.append((begin, end))
        begin = classes.find(_WHOLE, end)
    return found
