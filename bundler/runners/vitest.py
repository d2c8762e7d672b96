"""Vitest: told by its command line, recorded by a reporter of ours beside the user's own.

| question | answer |
|---|---|
| how is its event stream had | `--reporter` names `vitest.mjs` after the reporters there are |
| how are exact tests selected | our reporter leaves out files and names (see `javascript`) |
| how is it given a seed | `--sequence.seed`, by which `--sequence.shuffle` orders |
| does the same seed keep order and values | the order within a file, of values what a test seeds |

Reporters on the command line replace those of the configuration. So where its text has that word,
ours is named alone and makes the configured ones itself. Watch mode, `bench` and `list` are left
alone; `vitest` without `run` watches where its output is a terminal and there is no `CI`.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from bundler import reporters
from bundler.results import Results, TestResult
from bundler.runners import Inside, Invocation, at_dashes, before_colons, javascript
from bundler.runners.report import reported, selection

NAME = "vitest"
COMMAND = ("npx", "vitest", "run")
KEEPS_ORDER = True
KEEPS_VALUES = False
NOT_KEPT = "Vitest keeps the order within a file; files come in an order of its own"

BETWEEN = "(?: >)? "
"""What joins the names of a test and its suites: ` > ` from Vitest 5 on, a space before."""

_COMMANDS = ("run", "related", "watch", "dev", "bench", "init", "list", "typecheck")
_ALONE = ("--help", "-h", "--version", "-v", "--mergeReports", "--merge-reports", "--standalone")
_WATCHING = ("--watch", "-w", "--ui")
_ONCE = ("--run", "--watch=false", "--no-watch", "--no-w")
_CONFIGURATION = re.compile(r"vite(st)?\.(config|workspace|projects)\.[cm]?[jt]s(on)?")
_WORD = re.compile(r"""reporters\b""")

file_of = before_colons


def recognises(argv: Sequence[str]) -> bool:
    """Whether the command starts Vitest itself: by its name, by npx, or as a script of node's."""
    return javascript.arguments_start(argv, "vitest") is not None


@contextmanager
def inside(invocation: Invocation) -> Iterator[Inside | None]:
    """Name our reporter beside the others, and tell it what is to run. Raises OSError."""
    start = javascript.arguments_start(invocation.argv, "vitest")
    words, rest = at_dashes(invocation.argv[start or 0 :])
    if start is None or not _runs_once(words, invocation.env):
        yield None
        return
    chosen = selection(invocation.env)
    named, configured = _reporters(words, invocation)
    own = [f"--reporter={one}" for one in (*named, str(reporters.FOLDER / "vitest.mjs"))]
    argv = [*invocation.argv[:start], *words, *own, *rest]
    choice = None if chosen is None else javascript.choice(chosen, BETWEEN).document()
    seed = None if chosen is None else chosen.seeds.get("vitest")
    if javascript.has_option(words, "--sequence.seed"):
        seed = None
    with reported(
        invocation,
        lambda env: Inside(argv, env),
        choice=choice,
        configured=configured,
        seed=seed,
    ) as one:
        yield one


def select(_argv: Sequence[str], _test_ids: Sequence[str], _results: Results) -> None:
    """Leave it to our reporter, which looks at the selection of the run."""


def seeded(
    argv: Sequence[str], env: Mapping[str, str], seed: int
) -> tuple[list[str], dict[str, str]]:
    """Add `--sequence.seed`, of which JavaScript's numbers hold 53 bits."""
    return javascript.with_option(argv, "--sequence.seed", seed & ((1 << 53) - 1)), dict(env)


def own_id(test: TestResult, suite: str, root: Path) -> str:
    """Return `file::full name`: in Vitest's own JUnit report the class is the file."""
    file, separator, name = test.test_id.partition("::")
    return f"{file}::{' '.join(name.split(' > '))}" if separator else test.test_id


def _runs_once(words: Sequence[str], env: Mapping[str, str]) -> bool:
    """Whether it runs its tests once and ends, as far as its words and the terminal tell."""
    first = next((word for word in words if not word.startswith("-")), "")
    command = first if first in _COMMANDS and words[0] == first else ""
    if command not in ("", "run", "related") or javascript.has_option(words, *_ALONE):
        return False
    if any(word in _WATCHING or word == "--watch=true" for word in words):
        return False
    if command == "run" or any(word in _ONCE for word in words):
        return True
    return bool(env.get("CI")) or not (sys.stdin and sys.stdin.isatty())


def _reporters(words: Sequence[str], invocation: Invocation) -> tuple[list[str], bool]:
    """What is to be named before ours, and whether ours makes those of the configuration."""
    if javascript.has_option(words, "--reporter", "--reporters"):
        return [], False
    if _may_have_reporters(words, invocation.cwd):
        return [], True
    on_github = invocation.env.get("GITHUB_ACTIONS") == "true"
    return ["default", *(["github-actions"] if on_github else [])], False


def _may_have_reporters(words: Sequence[str], cwd: Path) -> bool:
    """Whether a configuration could name reporters. In doubt it could."""
    if javascript.has_option(words, "-c", "--config", "-r", "--root", "--dir"):
        return True
    for path in cwd.iterdir():
        if _CONFIGURATION.fullmatch(path.name):
            text = path.read_text(encoding="utf-8", errors="replace")
            if _WORD.search(text) or "mergeConfig" in text or "import(" in text:
                return True
    return False
