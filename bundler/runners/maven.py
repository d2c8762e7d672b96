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

NAME = "Maven"
COMMAND = ("mvn", "test")
KEEPS_ORDER = False
KEEPS_VALUES = True
NOT_KEPT = "Maven runs classes in an order of its own, and all parameters of a method"

REPORTS = java.reports("target/surefire-reports/TEST-*.xml", "target/failsafe-reports/TEST-*.xml")

_PROGRAMS = frozenset({"mvn", "mvnw", "mvnd"})
_SELECTING = re.compile(r"-D(it\.)?test=")

seeded = seeded_by_environment
file_of = before_colons  # the class
own_id = java.own_id


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
    methods, refused = java.by_class(test_ids)
    if not methods:
        return Selection((), refused=refused)
    chosen = ",".join(
        f"{name}#{'+'.join(some)}" if some else name for name, some in methods.items()
    )
    words = [word for word in argv if not _SELECTING.match(word)]
    named = [f"-Dtest={chosen}", f"-Dit.test={chosen}", "-Dsurefire.failIfNoSpecifiedTests=false"]
    more = "-Dfailsafe.failIfNoSpecifiedTests=false"
    return Selection(((*words, *named, more),), refused=refused)
