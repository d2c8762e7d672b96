"""The tests of imposed seeds once more, where every library whose generators are seeded is there.

The environment is one of its own: pytest-randomly would shuffle all tests of this one.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from own_environment import DRAWING, own_environment

HERE = Path(__file__).parent


@pytest.mark.slow
def test_the_generators_of_real_libraries_are_seeded(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    python = own_environment(tmp_path_factory, DRAWING)
    tests = str(HERE / "test_seeding_imposed.py")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-rs", tests],
        cwd=HERE.parent,
        env={**os.environ, "PROBE_PYTHON": str(python)},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout
    assert "skipped" not in done.stdout, done.stdout
