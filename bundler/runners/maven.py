"""Maven: told by its command line, known by the JUnit XML that Surefire and Failsafe leave.

| question | answer |
|---|---|
| how is its event stream had | `target/surefire-reports` and `target/failsafe-reports` are read |
| how are exact tests selected | `-Dtest=Class#method+other,Class2`; of parameters all run |
| how is it given a seed | not at all; the tests find it in their environment |
| in which order do tests run | in Surefire's own |
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePath

from bundler.results import Results, TestResult
from bundler.runners import Inside, Invocation, Selection

NAME = "Maven"
COMMAND = ("mvn", "test")
KEEPS_ORDER = False
KEEPS_VALUES = True
NOT_KEPT = "Maven runs classes in an order of its own, and all parameters of a method"

_MODULES = ("", "*/", "*/*/", "*/*/*/")
REPORTS = tuple(
    f"{module}target/{kind}-reports/TEST-*.xml"
    for module in _MODULES
    for kind in ("surefire", "failsafe")
)
"""What a run leaves, of modules up to three directories deep."""

_PROGRAMS = frozenset({"mvn", "mvnw", "mvnd"})
_CLASS = re.compile(r"[^\W\d][\w$]*(\.[^\W\d][\w$]*)*")
_METHOD = re.compile(r"[^\W\d][\w$]*")
_SELECTING = re.compile(r"-D(it\.)?test=")


def recognises(argv: Sequence[str]) -> bool:
    """Whether the command is Maven's."""
    name = PurePath(argv[0]).name.lower() if argv else ""
    return name.removesuffix(".cmd").removesuffix(".bat") in _PROGRAMS


@contextmanager
def inside(_invocation: Invocation) -> Iterator[Inside | None]:
    """Leave the command as it is."""
    yield None


def select(argv: Sequence[str], test_ids: Sequence[str], _results: Results) -> Selection:
    """Return the command with `-Dtest`: of a class its methods, of one in doubt the class."""
    methods, refused = by_class(test_ids)
    if not methods:
        return Selection((), refused=refused)
    chosen = ",".join(
        f"{name}#{'+'.join(some)}" if some else name for name, some in methods.items()
    )
    words = [word for word in argv if not _SELECTING.match(word)]
    named = [f"-Dtest={chosen}", f"-Dit.test={chosen}", "-Dsurefire.failIfNoSpecifiedTests=false"]
    more = "-Dfailsafe.failIfNoSpecifiedTests=false"
    return Selection(((*words, *named, more),), refused=refused)


def by_class(test_ids: Sequence[str]) -> tuple[dict[str, list[str]], tuple[str, ...]]:
    """Return the methods that are asked for by class, none where all are, and what is no class.

    `Class::method(int)[1]` is one of the parameters of `method`; a display name is no method.
    """
    methods: dict[str, list[str]] = {}
    whole: set[str] = set()
    refused = []
    for test_id in test_ids:
        name, _, rest = test_id.partition("::")
        method = re.split(r"[(\[{]", rest, maxsplit=1)[0].strip()
        if not _CLASS.fullmatch(name):
            refused.append(test_id)
            continue
        some = methods.setdefault(name, [])
        if not _METHOD.fullmatch(method):
            whole.add(name)
        elif method not in some:
            some.append(method)
    return {name: [] if name in whole else some for name, some in methods.items()}, tuple(refused)


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
