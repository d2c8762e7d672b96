"""Gradle: told by its command line, known by the JUnit XML that its test tasks leave.

| question | answer |
|---|---|
| how is its event stream had | `build/test-results` is read |
| how are exact tests selected | `--tests Class.method`, behind the task `test` |
| how is it given a seed | not at all; the tests find it in their environment |
| in which order do tests run | in Gradle's own |
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import PurePath

from bundler.results import Results
from bundler.runners import (
    Inside,
    Invocation,
    Selection,
    before_colons,
    java,
    seeded_by_environment,
)

NAME = "Gradle"
COMMAND = ("gradle", "test")
KEEPS_ORDER = False
KEEPS_VALUES = True
NOT_KEPT = "Gradle runs classes in an order of its own, and all parameters of a method"

REPORTS = java.reports("build/test-results/*/TEST-*.xml")

seeded = seeded_by_environment
file_of = before_colons  # the class
own_id = java.own_id


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
    methods, refused = java.by_class(test_ids)
    if not methods:
        return Selection((), refused=refused)
    names = [f"{name}.{one}" for name, some in methods.items() for one in some or ["*"]]
    words = [word for name in names for word in ("--tests", name)]
    rest = _without_tests(argv[at + 1 :])
    return Selection(((*argv[: at + 1], *words, *rest),), refused=refused)


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
