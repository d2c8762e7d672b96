"""What a test runner has left of a secret that it cut itself: `'ghp_16C7e4...c5Ae178B4a'`.

pytest shortens what it shows. So six characters or more of the beginning of a secret right before
an ellipsis, or of its end right after one, are masked as the secret would be.
"""

from __future__ import annotations

from .secret_values import shown_forms

SHORTEST = 6
_ELLIPSES = (b"...", "…".encode(), "\n[… ".encode(), " …]\n".encode())  # and where we cut ourselves


class Fragments:
    """Values of which a part may be left, `{value: rule}`."""

    def __init__(self, rules):
        self._values = rules
        self._rules = {}
        self._beginnings = {}
        self._ends = {}

    def find(self, data):
        """Return (begin, end, rule) for every part of a value beside an ellipsis, in no order."""
        known = _ELLIPSES if self._values else ()
        seen = [one for one in known if not (one > b"\x7f" and data.isascii()) and one in data]
        if seen and not self._rules:
            self._prepare()
        return [
            one
            for ellipsis in seen
            for at in _places(data, ellipsis)
            for one in self._beside(data, at, at + len(ellipsis))
        ]

    def _prepare(self):
        """Make the tables, which most texts do not need."""
        rules = {}
        for value, rule in self._values.items():
            rules.update(dict.fromkeys(shown_forms(value), rule))
        for value in rules:
            for at in range(len(value) - SHORTEST + 1):
                window = value[at : at + SHORTEST]
                self._beginnings.setdefault(window, []).append((value, at + SHORTEST))
                self._ends.setdefault(window, []).append((value, at))
        self._rules = rules  # last: another thread may look meanwhile

    def _beside(self, data, begin, end):
        for value, size in self._beginnings.get(data[max(0, begin - SHORTEST) : begin], ()):
            if data.endswith(value[:size], 0, begin):
                yield begin - size, begin, self._rules[value]
        for value, at in self._ends.get(data[end : end + SHORTEST], ()):
            if data.startswith(value[at:], end):
                yield end, end + len(value) - at, self._rules[value]


def _places(data, ellipsis):
    at = data.find(ellipsis)
    while at >= 0:
        yield at
        at = data.find(ellipsis, at + 1)
