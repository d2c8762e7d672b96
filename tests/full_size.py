"""How much the tests try that could go on for hours: a part, or all with `BUNDLE_TEST_FULL` set."""

from __future__ import annotations

import os

FULL = bool(os.environ.get("BUNDLE_TEST_FULL"))
MORE = 50


def examples(few: int) -> int:
    """How many examples of hypothesis are tried where a few are tried otherwise."""
    return few * MORE if FULL else few
