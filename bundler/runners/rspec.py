"""RSpec: told by its command line, recorded by a file of ours that it is told to require.

| question | answer |
|---|---|
| how is its event stream had | `-r rspec.rb`, which listens to what RSpec tells its formatters |
| how are exact tests selected | that file leaves out examples, by their file and full description |
| how is it given a seed | `--seed`, which runs them in random order |
| does the same seed keep order and values | the order: a digest of seed and example; no values |

`bundle exec rspec` is Ruby's bundler, not this one. Where the `bundle` that a shell would find is
ours, Ruby's is looked for behind it on the path.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePath

from bundler import reporters
from bundler.results import Results, TestResult
from bundler.runners import Inside, Invocation, before_colons
from bundler.runners.report import reported, selection

NAME = "rspec"
COMMAND = ("rspec",)
KEEPS_ORDER = True
KEEPS_VALUES = False
NOT_KEPT = "RSpec keeps the order, and no values drawn from a generator that examples share"

_NO_TESTS_RUN = frozenset(
    {"--help", "-h", "--version", "-v", "--init", "--dry-run", "--bisect", "--drb", "-X"}
)
_BUNDLERS = ("bundle", "bundler")

file_of = before_colons


def recognises(argv: Sequence[str]) -> bool:
    """Whether the command is `rspec …` or `bundle exec rspec …`."""
    return _arguments_start(argv) is not None


@contextmanager
def inside(invocation: Invocation) -> Iterator[Inside | None]:
    """Have our file required, and the seed given back. Raises OSError."""
    start = _arguments_start(invocation.argv)
    if start is None or _NO_TESTS_RUN.intersection(
        word.partition("=")[0] for word in invocation.argv[start:]
    ):
        yield None
        return
    chosen = selection(invocation.env)
    seed = None if chosen is None else chosen.seeds.get("rspec")
    words = invocation.argv if seed is None else _with_seed(invocation.argv, seed)
    before = [_rubys(words[0], invocation.env), *words[1:start]]
    argv = [*before, "-r", str(reporters.FOLDER / "rspec.rb"), *words[start:]]
    with reported(invocation, lambda env: Inside(argv, env)) as one:
        yield one


def select(_argv: Sequence[str], _test_ids: Sequence[str], _results: Results) -> None:
    """Leave it to our file, which looks at the selection of the run."""


def seeded(
    argv: Sequence[str], env: Mapping[str, str], seed: int
) -> tuple[list[str], dict[str, str]]:
    """Add `--seed`, of which RSpec's own are 16 bits."""
    return _with_seed(argv, seed & 0xFFFF), dict(env)


def own_id(test: TestResult, suite: str, root: Path) -> str:
    """Return `file::description`: the class of RSpec's JUnit report is the file, dotted."""
    dotted, separator, name = test.test_id.partition("::")
    file = dotted.replace(".", "/") + ".rb"
    return f"{file}::{name}" if separator and (root / file).is_file() else test.test_id


def _arguments_start(argv: Sequence[str]) -> int | None:
    names = [PurePath(word).name.lower() for word in argv[:3]]
    if names[:1] == ["rspec"]:
        return 1
    is_bundled = len(names) == 3 and names[0] in _BUNDLERS and names[1:] == ["exec", "rspec"]
    return 3 if is_bundled else None


def _with_seed(argv: Sequence[str], seed: int) -> list[str]:
    """The command with a seed, where it names none and asks for no order without one."""
    text = " ".join(argv)
    if "--seed" in text or "--order defined" in text or "--order=defined" in text:
        return list(argv)
    return [*argv, "--seed", str(seed)]


def _rubys(program: str, env: Mapping[str, str]) -> str:
    """Ruby's own of the programs named `bundle`; the word itself where there is none."""
    if program not in _BUNDLERS:
        return program
    for folder in env.get("PATH", "").split(os.pathsep):
        path = Path(folder) / program
        try:
            with path.open("rb") as file:
                if b"ruby" in file.readline(200):
                    return str(path)
        except OSError:
            continue
    return program
