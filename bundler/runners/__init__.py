"""How to start a command under recording: one file a runner, and the list of them.

A runner is a module (or an object) with the members of `Runner`, four answers to four questions:

| question | answer |
|---|---|
| how is its event stream had | `inside` changes one invocation, and what of it is shown |
| how are exact tests selected | `select` gives the commands that run exactly these tests |
| how is it given a seed | `seeded` puts the root seed into the command and its environment |
| does the same seed with a subset keep order and values | `KEEPS_ORDER`, `KEEPS_VALUES` |

What a runner does must never break the guest: where its stream is not what was expected, the bytes
are passed through as they came, and the run is recorded as far as it was understood.

A test id of a recording is a stranger's text. It reaches a command line only as one word of a list
(there is no shell), only where it cannot be read as an option, and quoted as the runner quotes.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, cast

from bundler.events import Event
from bundler.recording import Recording
from bundler.results import Results, TestResult

RUNNERS = (
    *("pytest", "unittest", "nextest", "go_test", "cargo_test", "maven", "gradle"),
    *("jest", "vitest", "node_test", "rspec"),
)
"""In the order in which they are asked whether a command is theirs: modules of this package."""


@dataclass(frozen=True)
class Invocation:
    """One start of a command. `tell` takes what the runner says as it says it, and never raises.

    A live stream is told event by event, so that a wrapper that is killed has kept what came.
    """

    argv: Sequence[str]
    env: Mapping[str, str]
    cwd: Path
    tell: Callable[[Event], None]


def _nothing() -> Recording | None:
    return None


@dataclass(frozen=True)
class Inside:
    """How one invocation is started so that its tests are seen.

    `show` is given each piece of output with the name of its stream (`stdout`, `stderr`; `terminal`
    where both are one terminal) and returns what the person sees in its place; nothing (`b""`) is
    the end of that stream, and what was held back comes out. None: everything is shown.
    `poll` is called now and then while the command runs. `recording` is asked when it has
    ended, for what was not told on the way; it raises BundleError, OSError.
    """

    argv: Sequence[str]
    env: Mapping[str, str]
    show: Callable[[str, bytes], bytes] | None = None
    poll: Callable[[], None] | None = None
    recording: Callable[[], Recording | Sequence[Recording] | None] = _nothing


@dataclass(frozen=True)
class Selection:
    """The commands that run the tests asked for, one after the other; none: nothing is to run.

    `inexact` says what runs beside them, where that cannot be helped; `refused` are the ids that
    cannot be asked for. Where there are `lines`, `{tests_file}` in a word is a file of them.
    """

    commands: tuple[tuple[str, ...], ...]
    inexact: str = ""
    refused: tuple[str, ...] = ()
    lines: tuple[str, ...] = ()


class Runner(Protocol):
    """What a module of this package has."""

    @property
    def NAME(self) -> str:
        """What `manifest.command.runner` and `SessionStarted.runner` say: `pytest`, `go test`."""

    @property
    def COMMAND(self) -> tuple[str, ...]:
        """What starts it where nobody has said what does; nothing where nobody else can know."""

    @property
    def KEEPS_ORDER(self) -> bool:
        """Whether a subset under the same seed runs in the order that it had among all tests."""

    @property
    def KEEPS_VALUES(self) -> bool:
        """Whether a test of a subset under the same seed draws the values that it drew before."""

    @property
    def NOT_KEPT(self) -> str:
        """What a rerun cannot keep, in one fragment; nothing where it keeps everything."""

    def recognises(self, argv: Sequence[str]) -> bool:
        """Whether the command is this runner's."""

    def inside(self, invocation: Invocation) -> AbstractContextManager[Inside | None]:
        """Give an invocation what it takes to be seen; None where that cannot be. Raises OSError.

        What the runner writes for us is gone when the context ends.
        """

    def select(
        self, argv: Sequence[str], test_ids: Sequence[str], results: Results
    ) -> Selection | None:
        """Return what runs exactly these tests (or files and nodes that were not collected).

        Nothing asked for: no commands. `results` are of the run that they stood in: its sessions
        know their own seeds. None where the command itself chooses, by the `selection.json` of its
        bundle (pytest).
        """

    def seeded(
        self, argv: Sequence[str], env: Mapping[str, str], seed: int
    ) -> tuple[list[str], dict[str, str]]:
        """Return the command and its environment with the root seed imposed on it."""

    def file_of(self, test_id: str) -> str:
        """Return what stands for the file of a test: what a run has either whole or in part."""

    def own_id(self, test: TestResult, suite: str, root: Path) -> str:
        """Return this runner's id for a test of a JUnit report that has never heard of us.

        `suite` is the name of its suite, `root` the directory that the command runs in. The case's
        `classname` and `name` are the properties `bundle.classname`, `bundle.name` of its attempts,
        where the id alone does not tell.
        """


def called(name: str) -> Runner | None:
    """Return the runner of a name that a manifest tells, None where there is none."""
    return next((one for one in map(named, RUNNERS) if name == one.NAME), None)


def own_results(recording: Recording, runner: Runner | None, root: Path) -> Results:
    """Return the results of a recording, its tests as this runner calls them.

    Only a JUnit report calls them otherwise: by classes and names. `root` is the directory that the
    runner's command runs in.
    """
    source = recording.manifest.source or {}
    if runner is None or source.get("format") != "JUnit XML":
        return recording.results
    suites = {one.id: str(one.info.get("suite", "")) for one in recording.results.sessions}
    tests = [
        replace(one, test_id=runner.own_id(one, suites.get(one.session, ""), root))
        for one in recording.results.tests
    ]
    return replace(recording.results, tests=tests)


def runner_of(argv: Sequence[str]) -> Runner | None:
    """Return the runner whose command this is, None where it is nobody's."""
    return next((one for one in map(named, RUNNERS) if one.recognises(argv)), None)


def at_dashes(argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the words before the first `--`, and those from there on."""
    at = list(argv).index("--") if "--" in argv else len(argv)
    return list(argv[:at]), list(argv[at:])


def seeded_by_environment(
    argv: Sequence[str], env: Mapping[str, str], _seed: int
) -> tuple[list[str], dict[str, str]]:
    """Return both as they are: the tests find the seed in their environment. A `seeded`."""
    return list(argv), dict(env)


def before_colons(test_id: str) -> str:
    """Return what stands before the first `::` of an id. A `file_of`."""
    return test_id.partition("::")[0]


def named(module: str) -> Runner:
    """Return the runner that a module of this package is."""
    return cast(Runner, importlib.import_module(f"{__name__}.{module}"))
