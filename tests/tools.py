"""What a machine may have or not: a test that needs it is skipped where it is absent.

Where `BUNDLE_TEST_REQUIRE` names one, it has to be there: `test_runners.py` sees to that.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from typing import NoReturn

import pytest

REQUIRED = frozenset(os.environ.get("BUNDLE_TEST_REQUIRE", "").replace(",", " ").split())

PROGRAMS: Mapping[str, tuple[str, ...]] = {
    "go": ("go",),
    "cargo": ("cargo", "rustc"),
    "nextest": ("cargo", "cargo-nextest"),
    "node": ("node",),
    "rspec": ("rspec",),
    "strace": ("strace",),
}
"""What each word of `BUNDLE_TEST_REQUIRE` asks for."""


def missing(tool: str) -> list[str]:
    """The programs of a tool that are not on the path."""
    return [one for one in PROGRAMS[tool] if shutil.which(one) is None]


def needs(tool: str) -> pytest.MarkDecorator:
    """Skip a test where a tool is absent, with the reason."""
    absent = missing(tool)
    return pytest.mark.skipif(bool(absent), reason=f"{' and '.join(absent)} not here")


def cannot(why: str) -> NoReturn:
    """Skip where people can see it; fail in CI on Linux, where everything can be tried."""
    if os.environ.get("CI") and sys.platform == "linux":
        pytest.fail(why)
    pytest.skip(why)
