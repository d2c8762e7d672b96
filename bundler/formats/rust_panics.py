"""What a panic of Rust says of itself in the output of a test: where, and its words."""

from __future__ import annotations

import re

from bundler.results import Failure

_PANIC = re.compile(r"panicked at (?P<file>[^\n]*?):(?P<line>[0-9]{1,9}):[0-9]{1,9}")
_SIGN = "panicked at "
_AFTER = ("stack backtrace:", "note: ", "test ", "failures:")


def panic_in(text: str, *, kind: str, phase: str = "call") -> Failure | None:
    """Return the first panic in a text, or None; `kind` becomes the type of the failure."""
    place = _place_in(text)
    if place is None:
        return None
    return Failure(
        phase=phase,
        type=kind,
        message=_words(text[place.end() :]) or place[0],
        traceback=text[text.rfind("\n", 0, place.start()) + 1 :].rstrip("\n"),
        file=place["file"],
        line=int(place["line"]),
    )


def _place_in(text: str) -> re.Match[str] | None:
    """The first place in a text. What fails at one sign fails at every later one of its line."""
    at = text.find(_SIGN)
    while at >= 0:
        place = _PANIC.match(text, at)
        end = text.find("\n", at)
        if place is not None or end < 0:
            return place
        at = text.find(_SIGN, end)
    return None


def _words(after: str) -> str:
    """The lines after the place, up to the backtrace. Before Rust 1.73 they stand before it."""
    said: list[str] = []
    for line in after.lstrip(":\n").splitlines():
        if line.startswith(_AFTER):
            break
        said.append(line)
    return "\n".join(said).strip()
