"""Puts a mark where a secret stands: in bytes, in text, in JSON, in a stream that comes in pieces.

Where secrets overlap, what they cover together becomes one mark, so that nothing of either is left.
Colour (SGR) between the characters of a secret does not hide it.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from bisect import bisect_right
from collections import Counter

from . import runs, shapes
from .beginnings import Beginnings
from .command_words import OPTION
from .fragments import Fragments
from .needles import Needles
from .secret_values import SHORTEST, forms

LONGEST_LINE = 1 << 20
"""A line of a log is no longer; marks may be longer than what they stand for."""

_COLOUR = re.compile(rb"\x1b\[[0-9;:]*m")
_OPEN_ESCAPE = re.compile(rb"\x1b(?:\[[0-9;:]*)?\Z")
MARK = rb"\*\*\*(\$[A-Za-z0-9_]+|%s)\*\*\*" % "|".join((OPTION, *shapes.NAMES)).encode("ascii")
_MARK = re.compile(MARK)


class Masker:
    """Masks some secrets, `{value: rule}`, and whatever has the shape of one."""

    def __init__(self, secrets, by_shape=True):
        self.secrets = secrets
        written = {form: rule for value, rule in secrets.items() for form in forms(value)}
        self._needles = Needles(written)
        self._beginnings = Beginnings(written)
        self._fragments = Fragments(secrets)
        self._by_shape = by_shape
        self._is_off = not secrets and not by_shape

    def find(self, data, cut=True):
        """Return (begin, end, rule) for every secret in some bytes, in order, none overlapping.

        `cut` is whether what is left of one beside an ellipsis counts.
        """
        if self._is_off:
            return []
        plain = _COLOUR.sub(b"", data) if b"\x1b" in data else data
        found = self._find(plain, cut)
        if found and len(plain) < len(data):
            found = _placed(found, _without_colour(data)[1])
        return _merged(found)

    def mask(self, data, same_size=False, cut=True):
        """Return bytes without their secrets; the same object where there are none."""
        found = self.find(data, cut)
        return _replaced(data, found, same_size) if found else data

    def text(self, text):
        """Return a text without its secrets."""
        if self._is_off or (len(text) < SHORTEST and text.isascii() and "@" not in text):
            return text  # of so few bytes none is a value or a part of one, and `://:w@` has an `@`
        raw = text.encode("utf-8", "surrogatepass")
        masked = self.mask(raw)
        if masked is raw:
            return text
        try:
            return masked.decode("utf-8", "surrogatepass")
        except UnicodeDecodeError:  # a secret that is no text ended inside a character
            return masked.decode("utf-8", "replace")

    def value(self, value):
        """Return a value of JSON with its texts masked, names too; a chunk in base64 is opened."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {self.text(k): self._field(k, one) for k, one in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.value(one) for one in value]
        return value

    def line(self, line):
        """Return one line of JSON without its secrets; what is no JSON is masked as bytes."""
        if not self.find(line):
            return line
        try:
            masked = json.dumps(
                self.value(json.loads(line)), separators=(",", ":"), allow_nan=False
            ).encode("ascii")
        except (ValueError, RecursionError):
            return self.mask(line)
        if len(masked) >= LONGEST_LINE > len(line):
            return self.mask(line, same_size=True)
        return masked + b"\n" if line.endswith(b"\n") else masked

    def stream(self, same_size=False):
        """Return what masks bytes that come in pieces."""
        return Stream(self, same_size)

    def partial(self, data):
        """Return where a secret may begin of which the end is still to come; else the length."""
        if self._is_off:
            return len(data)
        tail = max(0, len(data) - shapes.MOST_HELD)
        rest = data[tail:]
        escape = _OPEN_ESCAPE.search(rest)
        if escape:
            rest = rest[: escape.start()]
        plain, places = _without_colour(rest) if b"\x1b" in rest else (rest, [(0, 0)])
        held = self._beginnings.partial(plain)
        if self._by_shape:
            held = min(held, shapes.partial(plain))
        return tail + (_place(places, held) if held < len(plain) else len(rest))

    def _find(self, data, cut):
        stretches = runs.stretches(data, self._needles.run)
        found = self._needles.find(data, stretches)
        if cut:
            found += self._fragments.find(data)
        if self._by_shape:
            found += shapes.find(data, stretches)
        return found

    def _field(self, name, value):
        if name == "base64" and isinstance(value, str):
            try:
                raw = base64.b64decode(value, validate=True)
            except (binascii.Error, ValueError):
                return self.text(value)
            masked = self.mask(raw)
            return value if masked is raw else base64.b64encode(masked).decode("ascii")
        return self.value(value)


class Stream:
    """Masks bytes that come in pieces: what may be the beginning of a secret is held back.

    `found` has (offset, line, size, rule) of every secret so far, until somebody takes them out;
    lines count from 1.
    """

    def __init__(self, masker, same_size=False):
        self.found = []
        self._masker = masker
        self._same_size = same_size
        self._held = b""
        self._offset = 0
        self._line = 1

    def feed(self, piece):
        """Return what can be written by now."""
        data = self._held + piece
        masker = self._masker
        found = masker.find(data)
        until = masker.partial(data)
        for begin, end, _ in found:
            if begin < until < end:
                until = begin
        if len(data) - until > shapes.MOST_HELD:
            until = len(data)
        self._held = data[until:]
        return self._passed(data[:until], [one for one in found if one[1] <= until])

    def flush(self):
        """Return the rest: nothing comes after it."""
        rest, self._held = self._held, b""
        return self._passed(rest, self._masker.find(rest))

    def _passed(self, data, found):
        for begin, end, rule in found:
            line = self._line + data.count(b"\n", 0, begin)
            self.found.append((self._offset + begin, line, end - begin, rule))
        self._offset += len(data)
        self._line += data.count(b"\n")
        return _replaced(data, found, self._same_size) if found else data


def counted(data):
    """Return how often each rule has left its mark in some bytes."""
    if b"*" not in data:
        return Counter()
    return Counter(rule.decode("ascii") for rule in _MARK.findall(data))


def _merged(found):
    """Return what was found in order; what overlaps becomes one, of a variable's rule if any."""
    merged = []
    for begin, end, rule in sorted(found):
        if merged and begin < merged[-1][1]:
            first, last, before = merged[-1]
            kept = rule if rule[:1] == "$" and before[:1] != "$" else before
            merged[-1] = first, max(last, end), kept
        else:
            merged.append((begin, end, rule))
    return merged


def _replaced(data, found, same_size=False):
    pieces, at = [], 0
    for begin, end, rule in found:
        pieces.append(data[at:begin])
        pieces.append(b"*" * (end - begin) if same_size else b"***%s***" % rule.encode("ascii"))
        if not same_size:
            pieces += _COLOUR.findall(data, begin, end)
        at = end
    return b"".join(pieces) + data[at:]


def _without_colour(data):
    """Return bytes without colour, and where each piece of them begins: there, and here."""
    pieces, places, at, size = [], [], 0, 0
    for match in _COLOUR.finditer(data):
        if match.start() > at:
            places.append((size, at))
            pieces.append(data[at : match.start()])
            size += match.start() - at
        at = match.end()
    places.append((size, at))
    return b"".join(pieces) + data[at:], places


def _placed(found, places):
    return [
        (_place(places, begin), _place(places, end - 1) + 1, rule) for begin, end, rule in found
    ]


def _place(places, index):
    plain, here = places[bisect_right(places, (index, 1 << 62)) - 1]
    return here + index - plain


OFF = Masker({}, by_shape=False)
