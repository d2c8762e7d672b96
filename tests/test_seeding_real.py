"""The tests of imposed seeds once more, where every library whose generators are seeded is there.

The environment is one of its own: pytest-randomly would shuffle all tests of this one.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import place
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


UNLUCKY = """
import random
def test_before(): random.random()
def test_unlucky(): assert random.randrange(10**6) != {unlucky}
"""


@pytest.mark.slow
def test_a_plugin_that_reseeds_here_alone_does_not_hide_a_failure(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    python = own_environment(tmp_path_factory, DRAWING)
    here = place(tmp_path)
    unlucky = random.Random(3).randrange(10**6)
    here.file("test_it.py", UNLUCKY.format(unlucky=unlucky))
    early = "import random\ndef pytest_collection_finish():\n    random.seed(3)\n"
    here.file("conftest.py", early)
    command = (sys.executable, "-m", "pytest", "-q", "-k", "unlucky")
    assert here.bundle("run", "--", *command).code == 1
    here.bundle("pack", "-o", "ci.zip")
    here.file("conftest.py", "")
    elsewhere = {"VIRTUAL_ENV": str(python.parent.parent), "BUNDLE_STORE": str(tmp_path / "other")}
    told = here.bundle("repro", "ci.zip", "--json", **elsewhere)
    [test] = json.loads(told.stdout)["tests"]
    assert (test["verdict"], test["takes"]) == ("reproduced", ["random_numbers"]), told.stderr
    assert "--randomly-dont-reset-seed" in test["plain_command"]
