"""Golden files: what a person would see, kept as text beside the tests.

`BUNDLE_UPDATE_GOLDEN=1 pytest tests/test_replay.py tests/test_show.py` writes them anew; the diff
is then for people to read.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

DIRECTORY = Path(__file__).parent / "golden" / "replay"
UPDATING = bool(os.environ.get("BUNDLE_UPDATE_GOLDEN"))

Scrubber = Callable[[str], str]


def without_places(text: str) -> str:
    """The place that a recording was read from."""
    return re.sub(r"(?m)^( +Read from ).*$", r"\1PLACE", text)


def visible_styles(text: str) -> str:
    """Escape sequences as text, so that a golden file is one that can be looked at."""
    return text.replace("\x1b", "<ESC>")


def agrees(name: str, text: str, *scrubbers: Scrubber) -> None:
    """Hold a text, scrubbed, against the golden file of that name."""
    for scrub in scrubbers:
        text = scrub(text)
    path = DIRECTORY / f"{name}.txt"
    if UPDATING:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="\n")
    assert text == path.read_text(encoding="utf-8")
