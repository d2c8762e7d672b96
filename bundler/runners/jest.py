"""Jest: told by its command line, recorded by a reporter of ours beside the user's own.

| question | answer |
|---|---|
| how is its event stream had | `--reporters` names `jest.cjs` after the reporters there are |
| how are exact tests selected | `--filter` leaves out files, `-t` names (see `javascript`) |
| how is it given a seed | `--seed`, from which `--randomize` and `jest.getSeed()` draw |
| does the same seed keep order and values | the order within a file, of values what a test seeds |

Reporters on the command line replace those of the configuration. So where its text has that word,
Jest is first asked for what it makes of it (`--showConfig`), and those are named before ours. The
watch mode is left alone.
"""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bundler import reporters
from bundler.results import Results, TestResult
from bundler.runners import Inside, Invocation, at_dashes, before_colons, javascript
from bundler.runners.report import reported, selection

NAME = "jest"
COMMAND = ("npx", "jest")
KEEPS_ORDER = True
KEEPS_VALUES = False
NOT_KEPT = "Jest keeps the order within a file; files come in an order of its own"

_NO_TESTS_RUN = frozenset(
    {
        *("--watch", "--watchAll", "--listTests", "--showConfig", "--help", "-h"),
        *("--version", "-v", "--init", "--clearCache"),
    }
)
_ENDINGS = ("js", "ts", "mjs", "cjs", "json", "cts", "mts")
_CONFIGURATIONS = ("package.json", *(f"jest.config.{one}" for one in _ENDINGS))
_WORD = re.compile(r"""["']?reporters["']?\s*[:=,]|preset""")
_PATTERN = ("-t", "--testNamePattern")
_SECONDS = 60

file_of = before_colons


def recognises(argv: Sequence[str]) -> bool:
    """Whether the command starts Jest itself: by its name, by npx, or as a script of node's."""
    return javascript.arguments_start(argv, "jest") is not None


@contextmanager
def inside(invocation: Invocation) -> Iterator[Inside | None]:
    """Name our reporter beside the others, and what is to run. Raises OSError."""
    start = javascript.arguments_start(invocation.argv, "jest")
    words, rest = at_dashes(invocation.argv[start or 0 :])
    if start is None or _NO_TESTS_RUN.intersection(word.partition("=")[0] for word in words):
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="bundle-jest-") as folder:
        named = _reporters(invocation, start, words, Path(folder))
        if named is None:
            yield None
            return
        chosen = selection(invocation.env)
        choice = None if chosen is None else javascript.choice(chosen)
        if choice is not None and chosen is not None:
            words = _selecting(words, choice, chosen.seeds.get("jest"))
        own = [f"--reporters={one}" for one in (*named, str(reporters.FOLDER / "jest.cjs"))]
        argv = [*invocation.argv[:start], *words, *own, *rest]
        told = None if choice is None else choice.document()
        with reported(invocation, lambda env: Inside(argv, env), choice=told) as one:
            yield one


def select(_argv: Sequence[str], _test_ids: Sequence[str], _results: Results) -> None:
    """Leave it to `inside`, which looks at the selection of the run."""


def seeded(
    argv: Sequence[str], env: Mapping[str, str], seed: int
) -> tuple[list[str], dict[str, str]]:
    """Add `--seed`, of which Jest takes 32 bits, the sign one of them."""
    return javascript.with_option(argv, "--seed", seed & 0x7FFFFFFF), dict(env)


def own_id(test: TestResult, suite: str, root: Path) -> str:
    """Return the id as it is: Jest's JUnit reporters do not say which file a test is in."""
    return test.test_id


def _selecting(words: list[str], choice: javascript.Choice, seed: int | None) -> list[str]:
    """The words with a filter of files and a pattern of names, both beside the user's own."""
    if seed is not None and not javascript.has_option(words, "--seed"):
        words = [*words, f"--seed={seed}"]
    words = [*words, f"--filter={reporters.FOLDER / 'jest_filter.cjs'}"]
    if not choice.pattern or len(choice.pattern) > javascript.LONGEST_PATTERN:
        return words
    words, own = _without_pattern(words)
    also = f"(?=[\\s\\S]*(?:{own}))" if own else ""
    return [*words, f"--testNamePattern={also}{choice.pattern}"]


def _without_pattern(words: Sequence[str]) -> tuple[list[str], str]:
    """The words without the user's own pattern, and that."""
    kept: list[str] = []
    own, rest = "", list(words)
    while rest:
        word = rest.pop(0)
        name, equals, value = word.partition("=")
        if name in _PATTERN:
            own = value if equals else rest.pop(0) if rest else ""
        elif word.startswith("-t") and not word.startswith("--") and len(word) > 2:
            own = word[2:]
        else:
            kept.append(word)
    return kept, own


def _reporters(
    invocation: Invocation, start: int, words: Sequence[str], folder: Path
) -> list[str] | None:
    """What is to be named before ours; None where nobody knows what the user has."""
    if javascript.has_option(words, "--reporters"):
        return []
    if not _may_have_reporters(invocation.cwd, words):
        return ["default"]
    shown = _configuration(invocation, start, words)
    if shown is None:
        return None
    return [_named(one, folder) for one in shown]


def _may_have_reporters(cwd: Path, words: Sequence[str]) -> bool:
    """Whether a configuration could name reporters. In doubt it could."""
    if javascript.has_option(words, "-c", "--config", "--rootDir", "--preset"):
        return True
    for folder in (cwd, *cwd.parents):
        found = [folder / name for name in _CONFIGURATIONS if (folder / name).is_file()]
        for path in found:
            if _WORD.search(path.read_text(encoding="utf-8", errors="replace")):
                return True
        if found:
            return False
    return False


def _configuration(
    invocation: Invocation, start: int, words: Sequence[str]
) -> list[tuple[str, Any]] | None:
    """The reporters that Jest itself makes of the command and its configuration."""
    argv = [*invocation.argv[:start], *words, "--showConfig"]
    try:
        done = subprocess.run(
            argv,
            env=dict(invocation.env),
            cwd=invocation.cwd,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_SECONDS,
        )
        found = json.loads(done.stdout)["globalConfig"]["reporters"]
        return [(one, {}) if isinstance(one, str) else (one[0], one[1]) for one in found]
    except (OSError, subprocess.SubprocessError, ValueError, KeyError, TypeError, IndexError):
        return None


def _named(reporter: tuple[str, Any], folder: Path) -> str:
    """A reporter as a word of the command; one with options as a file that hands them over."""
    name, options = reporter
    if not options or name == "default":
        return name
    path = folder / f"reporter{len(list(folder.iterdir()))}.mjs"
    path.write_text(
        f"import found from {json.dumps(Path(name).as_uri())};\n"
        "const Reporter = found.default || found;\n"
        "export default class extends Reporter {\n"
        "  constructor(globalConfig, _options, context) {\n"
        f"    super(globalConfig, {json.dumps(options)}, context);\n"
        "  }\n}\n",
        encoding="utf-8",
    )
    return str(path)
