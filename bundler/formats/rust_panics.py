"""What a panic of Rust says of itself in the output of a test: where, and its words."""

from __future__ import annotations

import re

from bundler.results import Failure

_PANIC = re.compile(r"panicked at (?P<file>[^\n]*?):(?P<line>[0-9]{1,9}):[0-9]{1,9}")
_AFTER = ("stack backtrace:", "note: ", "test ", "failures:")


def panic_in(text: str, *, kind: str, phase: str = "call") -> Failure | None:
    """Return the first panic in a text, or None; `kind` becomes the type of the failure."""
    place = _PANIC.search(text)
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


def _words(after: str) -> str:
    """The lines after the place, up to the backtrace. Before Rust 1.73 they stand before it."""
    said: list[str] = []
    for line in after.lstrip(":\n").splitlines():
        if line.startswith(_AFTER):
            break
        said.append(line)
    return "\n".join(said).strip()
