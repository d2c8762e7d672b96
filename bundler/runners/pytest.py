"""pytest: told by its command line, recorded by the probe inside the test process.

The probe reaches pytest through a folder at the head of PYTHONPATH that holds it and its entry
point, also where pytest is a grandchild (make, nox, `uv run`). Where the folder cannot reach
(`python -I`, tox without `pass_env`) nothing breaks: the suite runs unrecorded inside, and the last
line says why. `-p` is added to the command only where plugins are not loaded by themselves.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePath

from bundler import probe
from bundler.results import Results, TestResult
from bundler.runners import Inside, Invocation, before_colons, python

NAME = "pytest"
COMMAND = ("python", "-m", "pytest")
KEEPS_ORDER = True
KEEPS_VALUES = True
NOT_KEPT = ""

PLUGIN = "bundle_probe"
PROGRAMS = frozenset({"pytest", "py.test", "pytest.exe", "py.test.exe"})

file_of = before_colons


def recognises(argv: Sequence[str]) -> bool:
    """Whether the command starts pytest itself, as `pytest …` or `python … -m pytest …`."""
    return arguments_start(argv) is not None


def arguments_start(argv: Sequence[str]) -> int | None:
    """Return where pytest's own arguments begin, or None where the command is not pytest."""
    if not argv:
        return None
    if PurePath(argv[0]).name.lower() in PROGRAMS:
        return 1
    return python.arguments_start(argv, ("pytest", "py.test"))


def _isolated(argv: Sequence[str]) -> bool:
    """Whether the interpreter is told to ignore PYTHONPATH (`-I` or `-E`)."""
    return python.isolated(argv, arguments_start(argv))


def command(argv: Sequence[str], env: Mapping[str, str]) -> list[str]:
    """Return the command to start: with `-p` where plugins are not loaded by themselves."""
    start = arguments_start(argv)
    if start is None or _isolated(argv) or not _autoload_is_off(argv, env):
        return list(argv)
    return [*argv[:start], "-p", PLUGIN, *argv[start:]]


def environment(env: Mapping[str, str], settings: str) -> dict[str, str]:
    """Return the child's environment with the probe in it; `settings` is for BUNDLE_PROBE."""
    path = str(probe.PATH)
    before = env.get("PYTHONPATH")
    return {
        **env,
        "BUNDLE_PROBE": settings,
        "PYTHONPATH": f"{path}{os.pathsep}{before}" if before else path,
    }


def why_unreached(argv: Sequence[str], output_tail: str) -> str | None:
    """Say why no probe answered, and what to set; None where no pytest seems to have run."""
    program = PurePath(argv[0]).name.lower() if argv else ""
    if recognises(argv) and _isolated(argv):
        return "python -I and -E ignore PYTHONPATH, so its tests are not recorded; leave them out"
    if program.startswith("tox") or "tox" in argv[:3]:
        return "tox hides the environment from pytest; set pass_env = PYTHONPATH,BUNDLE_*"
    if recognises(argv):
        return "pytest ended before its plugins were loaded"
    if "test session starts" in output_tail:
        return "pytest ran without PYTHONPATH or BUNDLE_PROBE; let its launcher pass them on"
    return None


@contextmanager
def inside(invocation: Invocation) -> Iterator[Inside]:
    """Name the probe where plugins are not loaded by themselves; it tells of itself."""
    argv, env = invocation.argv, invocation.env
    yield Inside(command(argv, env), env)


def select(_argv: Sequence[str], _test_ids: Sequence[str], _results: Results) -> None:
    """Leave it to the probe: it matches the ids of its document against what it collected."""


def seeded(
    argv: Sequence[str], env: Mapping[str, str], _seed: int
) -> tuple[list[str], dict[str, str]]:
    """Leave it to the probe, which seeds the generators before each test."""
    return list(argv), dict(env)


def own_id(test: TestResult, suite: str, root: Path) -> str:
    """Return the node id: a dotted class name is a file and classes, if there is such a file.

    Parameters, in brackets, may hold anything.
    """
    names, bracket, parameters = test.test_id.partition("[")
    dotted, separator, name = names.rpartition("::")
    if not separator or "/" in dotted or dotted.endswith(".py"):
        return test.test_id
    parts = dotted.split(".")
    for end in range(len(parts), 0, -1):
        file = "/".join(parts[:end]) + ".py"
        if (root / file).is_file():
            return "::".join([file, *parts[end:], name]) + bracket + parameters
    return test.test_id


def _autoload_is_off(argv: Sequence[str], env: Mapping[str, str]) -> bool:
    return bool(env.get("PYTEST_DISABLE_PLUGIN_AUTOLOAD")) or "--disable-plugin-autoload" in argv
