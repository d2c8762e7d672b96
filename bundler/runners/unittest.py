"""unittest: told by `python -m unittest`, recorded by a module of ours that is unittest and tells.

| question | answer |
|---|---|
| how is its event stream had | `-m unittest` becomes `-m bundle_unittest`, which shows the same |
| how are exact tests selected | that module leaves out of the suite what is not to run, by `id()` |
| how is it given a seed | not at all: unittest has none; the tests find it in their environment |
| does the same seed keep order and values | the order, of names; of values what a test seeds |

What a test prints is only told apart with `-b`; else it is in the output of the run.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from bundler import reporters
from bundler.results import Results, TestResult
from bundler.runners import Inside, Invocation, python, seeded_by_environment
from bundler.runners.report import reported

NAME = "unittest"
COMMAND = ("python", "-m", "unittest")
KEEPS_ORDER = True
KEEPS_VALUES = False
NOT_KEPT = "unittest has no seed; values drawn from a generator that tests share are others"

seeded = seeded_by_environment


def recognises(argv: Sequence[str]) -> bool:
    """Whether the command is `python … -m unittest …`."""
    return python.arguments_start(argv, ("unittest",)) is not None


@contextmanager
def inside(invocation: Invocation) -> Iterator[Inside | None]:
    """Start our module in place of unittest, where PYTHONPATH is looked at. Raises OSError."""
    start = python.arguments_start(invocation.argv, ("unittest",))
    if start is None or python.isolated(invocation.argv, start):
        yield None
        return
    argv = [*invocation.argv[: start - 1], "bundle_unittest", *invocation.argv[start:]]
    with reported(invocation, lambda env: Inside(argv, _with_path(env))) as one:
        yield one


def select(_argv: Sequence[str], _test_ids: Sequence[str], _results: Results) -> None:
    """Leave it to our module, which looks at the selection of the run."""


def file_of(test_id: str) -> str:
    """Return the class of a test, which is what it is set up and cleaned up with."""
    return test_id.rpartition(".")[0]


def own_id(test: TestResult, suite: str, root: Path) -> str:
    """Return the dotted name: in JUnit reports of unittest the class is dotted already."""
    return test.test_id.replace("::", ".")


def _with_path(env: Mapping[str, str]) -> dict[str, str]:
    before = env.get("PYTHONPATH")
    path = str(reporters.PYTHON)
    return {**env, "PYTHONPATH": f"{path}{os.pathsep}{before}" if before else path}
