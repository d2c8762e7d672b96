"""Failures of real projects that depend on order or on random numbers: each is named by its cause.

All of them are known: they are in the collection of flaky tests at
https://github.com/TestingResearchIllinois/idoft, and still there in the version that is named. One
more, of six, is in the README, and `test_readme.py` runs it.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from command_line import Place, place
from own_environment import SHUFFLING, own_environment
from package_sources import lay_source

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Known:
    """A failure, the seed of the order in which it shows, and the truth about it."""

    project: str
    version: str
    order: str
    test: str
    verdict: str = "order_dependent"
    polluters: tuple[str, ...] = ()
    takes: tuple[str, ...] = ()


KNOWN = [
    Known(
        "logzero",
        "1.7.0",
        "1",
        "tests/test_json.py::test_json",
        polluters=("tests/test_json.py::test_json_logfile",),
    ),
    Known(
        "pyeventdispatcher",
        "0.2.2a0",
        "2",
        "test/test_pyeventdispatcher.py::TestRegister::test_it_allows_to_register[call_on_event]",
        polluters=(
            "test/test_pyeventdispatcher.py::TestRegisterThroughDecorator"
            "::test_register_global_listener_by_decorator",
        ),
    ),
    Known(
        "lithoxyl",
        "26.0.0",
        "2",
        "lithoxyl/tests/test_stats.py::test_momentacc_norm",
        verdict="reproduced",
        takes=("random_numbers",),
    ),
]


@pytest.mark.parametrize("known", KNOWN, ids=lambda known: known.project)
def test_a_known_failure_of_a_real_project_is_named_by_its_cause(
    known: Known, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    python = own_environment(tmp_path_factory, SHUFFLING)
    here = place(tmp_path)
    lay_source(known.project, known.version, here.project)
    file = known.test.partition("::")[0]
    scope = [file] if known.verdict == "reproduced" else []
    shuffle = ("--random-order-bucket=global", f"--random-order-seed={known.order}")
    pytest_of_its_own = (str(python), "-m", "pytest", "-q", "-W", "ignore")
    red = here.bundle("run", "--", *pytest_of_its_own, *shuffle, *scope)
    assert red.code == 1, red.stdout
    told = here.bundle("repro", "latest", known.test, "--json")
    assert told.code == 1, told.stderr
    [found] = json.loads(told.stdout)["tests"]
    assert found["verdict"] == known.verdict
    assert (tuple(found["polluters"]), tuple(found["takes"])) == (known.polluters, known.takes)
    by_hand(here, python, found)


def by_hand(here: Place, python: Path, found: dict[str, Any]) -> None:
    """With pytest alone: it fails after that test, and passes without it."""
    path = f"{python.parent}{os.pathsep}{os.environ['PATH']}"
    if found["polluters"]:
        together = here.run(["sh", "-c", found["plain_command"]], PATH=path)
        assert "1 failed, 1 passed" in together.stdout, (found["plain_command"], together.stdout)
    alone = here.run([str(python), "-m", "pytest", "-q", found["test_id"]])
    assert "1 passed" in alone.stdout, alone.stdout
