"""Recording changes no outcome, and a seed decides what it says it decides: on a real suite."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from builders import a_log, a_recording, a_test, line
from determinism import Suite, check, same_log, same_outcomes, settled
from own_environment import own_environment
from package_sources import lay_source

DRAWS = """
import os, random

def test_draws(tmp_path): print(tmp_path.name, random.random(), {"a", "b", "c", "d"})
def test_fails(): assert random.random() is None
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("project", "version", "arguments"),
    [("toolz", "0.11.1", ()), ("parso", "0.8.7", ("test/test_tokenize.py", "test/test_utils.py"))],
)
def test_a_real_suite_is_what_it_is_without_and_is_decided_by_its_seed(
    project: str,
    version: str,
    arguments: tuple[str, ...],
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    python = own_environment(tmp_path_factory, ("pytest-reportlog", "setuptools"))
    place, scratch = tmp_path / project, tmp_path / "scratch"
    lay_source(project, version, place)
    scratch.mkdir()
    compared = check(Suite(place, str(python), arguments, scratch))
    assert compared.differences == []
    assert (compared.unsteady, compared.dependent) == ([], [])
    assert compared.tests > 100


@pytest.mark.slow
def test_a_seed_that_is_not_imposed_decides_nothing_and_one_that_is_all(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(DRAWS)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "scratch").mkdir()
    suite = Suite(tmp_path, sys.executable, ("test_it.py",), tmp_path / "scratch")
    compared = check(suite)
    assert compared.unsteady == ["test_it.py::test_draws"]
    assert compared.differences == []


def test_the_comparison_sees_another_value_another_event_and_another_outcome() -> None:
    said = [line("TestOutput", "t", stream="stdout", phase="call", text=text) for text in "ab"]
    start, end = a_test("t")
    one, other, less = (
        a_recording(a_log(start, *printed, end)) for printed in (said[:1], said[1:], [])
    )
    assert list(same_log(one, one)) == []
    assert list(same_log(one, other)) != []
    assert list(same_log(one, less)) != []
    failed = a_recording(a_log(*a_test("t", outcome="failed")))
    assert list(same_outcomes(one, other)) == []
    assert list(same_outcomes(one, failed)) != []


def test_times_and_made_up_names_alone_are_left_out() -> None:
    def event(**more: Any) -> list[str]:
        return list(
            settled(a_recording(a_log(line("TestFinished", "t", outcome="passed", **more))))
        )

    assert event(call_us=1, session="00000001") == event(call_us=2, session="00000002")
    assert event(order=1) != event(order=2)
