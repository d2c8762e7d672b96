"""Gradle: told by its command line, known by the JUnit XML that its test tasks leave.

| question | answer |
|---|---|
| how is its event stream had | `build/test-results` is read |
| how are exact tests selected | `--tests Class.method`, behind the task `test` |
| how is it given a seed | not at all; the tests find it in their environment |
| in which order do tests run | in Gradle's own |
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePath

from bundler.results import Results, TestResult
from bundler.runners import Inside, Invocation, Selection
from bundler.runners.maven import by_class

NAME = "Gradle"
COMMAND = ("gradle", "test")
KEEPS_ORDER = False
KEEPS_VALUES = True
NOT_KEPT = "Gradle runs classes in an order of its own, and all parameters of a method"

_MODULES = ("", "*/", "*/*/", "*/*/*/")
REPORTS = tuple(f"{module}build/test-results/*/TEST-*.xml" for module in _MODULES)
"""What a run leaves, of projects up to three directories deep."""


def recognises(argv: Sequence[str]) -> bool:
    """Whether the command is Gradle's."""
    name = PurePath(argv[0]).name.lower() if argv else ""
    return name.removesuffix(".bat") in ("gradle", "gradlew")


@contextmanager
def inside(_invocation: Invocation) -> Iterator[Inside | None]:
    """Leave the command as it is."""
    yield None


def select(argv: Sequence[str], test_ids: Sequence[str], _results: Results) -> Selection | None:
    """Return the command with `--tests` behind its task; None where it names no task `test`."""
    at = next((i for i, word in enumerate(argv) if word.rpartition(":")[2] == "test"), None)
    if at is None:
        return None if test_ids else Selection(())
    methods, refused = by_class(test_ids)
    if not methods:
        return Selection((), refused=refused)
    names = [f"{name}.{one}" for name, some in methods.items() for one in some or ["*"]]
    words = [word for name in names for word in ("--tests", name)]
    rest = _without_tests(argv[at + 1 :])
    return Selection(((*argv[: at + 1], *words, *rest),), refused=refused)


def seeded(
    argv: Sequence[str], env: Mapping[str, str], _seed: int
) -> tuple[list[str], dict[str, str]]:
    """Return both as they are: the tests find the seed in their environment."""
    return list(argv), dict(env)


def file_of(test_id: str) -> str:
    """Return the class of a test."""
    return test_id.partition("::")[0]


def own_id(test: TestResult, _suite: str, _root: Path) -> str:
    """Return `class::method`, as a report has it."""
    return test.test_id


def _without_tests(words: Sequence[str]) -> list[str]:
    kept: list[str] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word == "--tests":
            rest[:1] = []
        elif not word.startswith("--tests="):
            kept.append(word)
    return kept
