"""An environment of a suite's own, with pytest, what else it needs, and without bundler.

Each is made once for all tests of a run, also where xdist's workers share it.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import venv
from pathlib import Path

import pytest
from filelock import FileLock

SHUFFLING = ("pytest-random-order", "boltons")
"""What real projects of these tests need."""

DRAWING = (
    "pytest-xdist",
    "pytest-rerunfailures",
    "pytest-randomly",
    "pytest-random-order",
    "hypothesis",
    "numpy",
    "faker",
    "factory-boy",
    "polyfactory",
    "model-bakery",
    "django",
)
"""Every library, other than the very large ones, whose generators are seeded."""


def own_environment(factory: pytest.TempPathFactory, packages: tuple[str, ...]) -> Path:
    """Return the interpreter of an environment with these packages."""
    base = factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    root = shared / f"environment-{hashlib.sha256(repr(packages).encode()).hexdigest()[:8]}"
    python = root / ("Scripts" if os.name == "nt" else "bin") / "python"
    with FileLock(f"{root}.lock"):
        if not (root / "complete").exists():
            venv.create(root, with_pip=True, clear=True)
            subprocess.run([python, "-m", "pip", "install", "-q", "pytest", *packages], check=True)
            (root / "complete").touch()
    return python
