"""node:test: told by `node --test`, recorded by a reporter of ours beside the one there is.

| question | answer |
|---|---|
| how is its event stream had | `--test-reporter` names `node_test.mjs` beside what is shown |
| how are exact tests selected | not at all: files are; Node's patterns of names look at no file |
| how is it given a seed | not at all: it has none; the tests find it in their environment |
| does the same seed keep order and values | the order, of a file; of values what a test seeds |
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePath

from bundler import reporters
from bundler.results import Results, TestResult
from bundler.runners import Inside, Invocation, Selection, before_colons, seeded_by_environment
from bundler.runners.report import VARIABLE, reported

NAME = "node:test"
COMMAND = ("node", "--test")
KEEPS_ORDER = True
KEEPS_VALUES = False
NOT_KEPT = "node:test has no seed, and new files do not run"

_VALUED = frozenset(
    {
        *("-r", "--require", "--import", "--loader", "--experimental-loader", "-C", "--conditions"),
        *("--env-file", "--test-name-pattern", "--test-skip-pattern", "--test-reporter"),
        *("--test-reporter-destination", "--test-concurrency", "--test-timeout", "--test-shard"),
        *("--test-isolation", "--experimental-test-isolation", "--test-global-setup"),
    }
)
_REPORTER = "--test-reporter"
_DESTINATION = "--test-reporter-destination"
_SPEC_EVERYWHERE = 23
"""From this version on Node shows `spec` where its output is no terminal, too."""

seeded = seeded_by_environment
file_of = before_colons


def recognises(argv: Sequence[str]) -> bool:
    """Whether the command is `node … --test …`."""
    options = _options(argv)
    return options is not None and "--test" in options


@contextmanager
def inside(invocation: Invocation) -> Iterator[Inside | None]:
    """Name our reporter beside the one that is shown. Raises OSError."""
    options = _options(invocation.argv)
    if options is None or "--test" not in options or any("--watch" in one for one in options):
        yield None
        return
    own = [*_shown(options, invocation), f"{_REPORTER}={reporters.FOLDER / 'node_test.mjs'}"]
    before, rest = invocation.argv[: 1 + len(options)], invocation.argv[1 + len(options) :]

    def start(env: Mapping[str, str]) -> Inside:
        # A file, to which nothing is written: Node 22 makes its destinations durable, and the
        # null device refuses that.
        nowhere = Path(json.loads(env[VARIABLE])["stream"]).with_name("nowhere")
        return Inside([*before, *own, f"{_DESTINATION}={nowhere}", *rest], env)

    with reported(invocation, start) as one:
        yield one


def select(argv: Sequence[str], test_ids: Sequence[str], _results: Results) -> Selection | None:
    """Return the command with the files of these tests in place of its own."""
    options = _options(argv) or []
    files = list(dict.fromkeys(map(file_of, test_ids)))
    wanted = [one for one in files if _is_file(one)]
    refused = tuple(one for one in test_ids if file_of(one) not in wanted)
    commands = ((argv[0], *options, *wanted),) if wanted else ()
    return Selection(commands, "every test of the files that they are in", refused)


def own_id(test: TestResult, suite: str, root: Path) -> str:
    """Return the id as it is: Node's JUnit report does not say which file a test is in."""
    return test.test_id


def _options(argv: Sequence[str]) -> list[str] | None:
    """The words between `node` and its first file, None where it is not Node."""
    if not argv or PurePath(argv[0]).name.lower().removesuffix(".exe") != "node":
        return None
    at = 1
    while at < len(argv) and argv[at].startswith("-") and argv[at] not in ("-", "--"):
        at += 2 if argv[at] in _VALUED else 1
    return list(argv[1:at])


def _shown(options: Sequence[str], invocation: Invocation) -> list[str]:
    """What names the reporter that the person sees, and where it goes; nothing where both stand."""
    names = [word.partition("=")[0] for word in options]
    if _DESTINATION in names:
        return []
    if _REPORTER in names:
        return [f"{_DESTINATION}=stdout"]
    is_terminal = sys.stdout.isatty() and sys.stderr.isatty()
    spec = is_terminal or _version(invocation) >= _SPEC_EVERYWHERE
    return [f"{_REPORTER}={'spec' if spec else 'tap'}", f"{_DESTINATION}=stdout"]


def _version(invocation: Invocation) -> int:
    """The major version of the Node that is started; 0 where it does not say."""
    try:
        done = subprocess.run(
            [invocation.argv[0], "--version"],
            env=dict(invocation.env),
            cwd=invocation.cwd,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=20,
        )
    except (OSError, subprocess.SubprocessError):
        return 0
    found = re.match(rb"v([0-9]{1,4})\.", done.stdout)
    return int(found[1]) if found else 0


def _is_file(name: str) -> bool:
    """Whether a file of a recording may be a word: it lies here, below, and is no option."""
    path = PurePath(name)
    inner = not path.is_absolute() and ".." not in path.parts and not name.startswith("-")
    return inner and bool(name) and "\0" not in name
