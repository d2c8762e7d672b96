"""Which of a recorded pytest command's arguments may come back when a stranger's run is rerun.

A bundle is data from whoever could open a pull request, so what comes back is built here from a
grammar and never copied: these options with values of these forms, and paths to tests that are in
this project. All else is listed as not applied.

| option | value |
|---|---|
| `-x` `-s` `--exitfirst` `--runxfail` `--strict-markers` `--strict-config` | none |
| `--maxfail` | a number |
| `-n` `--numprocesses` | `auto`, `logical`, or a number up to 64 |
| `--dist` | a mode that xdist knows |
| `--capture` | `fd`, `sys`, `no`, `tee-sys` |
| `--import-mode` | `prepend`, `append`, `importlib` |
| `-p` | `no:NAME` |
| `-k` `-m` | names joined by `and`, `or`, `not` and parentheses: no calls, no quotes |
| `--ignore` | a path inside the project |

A path comes back if it is relative, has no `..`, exists, stays inside the project once links are
followed, and goes through no directory that pytest itself would not walk into (`.venv`,
`node_modules`, …). A single file must also be named like a test: pytest imports any file that it is
given. Behind a file may stand `::` and the names of a test; `[…]` only with plain characters.

Deliberately absent: options that name files to load (`-c`, `--rootdir`, `--confcutdir`, `@file`,
`-p NAME`, `--pyargs`), that set anything (`-o`, `-W`), that write (`--basetemp`, `--junitxml`),
that change which code is imported (`--doctest-modules`, `--cov`), that only change what is printed,
and every option of a plugin that is not above.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

MAX_PROCESSES = 64
MAX_EXPRESSION = 1000
MAX_DEPTH = 20
TEST_FILES = ("test_*.py", "*_test.py")
"""What pytest takes for a test file unless `python_files` says otherwise."""

NOT_WALKED = ("*.egg", ".*", "_darcs", "build", "CVS", "dist", "node_modules", "venv", "{arch}")
"""The directories that pytest does not walk into unless `norecursedirs` says otherwise."""

DISTRIBUTIONS = frozenset({"no", "load", "each", "loadscope", "loadfile", "loadgroup", "worksteal"})
CAPTURES = frozenset({"fd", "sys", "no", "tee-sys"})
IMPORT_MODES = frozenset({"prepend", "append", "importlib"})

_COMPONENT = r"[\w.+=, -]+"
_PATH = re.compile(rf"{_COMPONENT}(/{_COMPONENT})*/?")
_SELECTOR = re.compile(r"(::\w+)+(\[[\w.+,/:= -]*\])?")
_PLUGIN = re.compile(r"no:\w[\w.-]*", re.ASCII)
_TOKEN = re.compile(r" *([()]|[\w:+.\[\]/-]+)")


@dataclass(frozen=True, slots=True)
class Scope:
    """The arguments that may come back, and the words of the recorded command that do not."""

    args: list[str]
    not_applied: list[str]


def applicable_scope(
    arguments: Sequence[str], project: Path, *, test_files: Sequence[str] = TEST_FILES
) -> Scope:
    """Return what of pytest's recorded arguments (what followed `pytest`) may come back here.

    `project` is the directory to start pytest in, which paths are relative to. `test_files` are the
    project's own patterns for the names of test files.
    """
    root = project.resolve()
    options: list[str] = []
    paths: list[str] = []
    refused: list[str] = []
    for one in _split(arguments):
        if one.option:
            accepted, into = _option(one.option, one.value, root), options
        else:
            accepted, into = _path_argument(one.value or "", root, test_files), paths
        if accepted is None:
            refused += one.words
        else:
            into += accepted
    return Scope(args=[*options, *paths], not_applied=refused)


def is_expression(text: str) -> bool:
    """Whether a text is a `-k` or `-m` expression of names, `and`, `or`, `not`, parentheses.

    pytest makes Python of it, so nothing in it may be a call: an operator between any two names.
    """
    if not 0 < len(text) <= MAX_EXPRESSION:
        return False
    depth, position, wants_name = 0, 0, True
    while (token := _TOKEN.match(text, position)) is not None:
        word, position = token[1], token.end()
        if wants_name:
            if word == "(" and depth < MAX_DEPTH:
                depth += 1
            elif word in ("(", ")", "and", "or") or word.startswith("-"):
                return False
            elif word != "not":
                wants_name = False
        elif word in ("and", "or"):
            wants_name = True
        elif word == ")" and depth:
            depth -= 1
        else:
            return False
    return not wants_name and depth == 0 and not text[position:].strip(" ")


@dataclass(frozen=True, slots=True)
class _Argument:
    """An option with its value, or a value alone, and the words that it was read from."""

    words: list[str]
    option: str
    value: str | None


def _split(arguments: Sequence[str]) -> Iterator[_Argument]:
    words = iter(arguments)
    for word in words:
        if word == "--":
            continue
        if not word.startswith("-") or word == "-":
            yield _Argument([word], "", word)
        elif word.startswith("--"):
            option, equals, value = word.partition("=")
            if not equals and (option in _VALUES or option in _PATH_VALUES):
                yield _with_next(word, option, words)
            else:
                yield _Argument([word], option, value if equals else None)
        else:
            yield from _split_short(word, words)


def _split_short(word: str, words: Iterator[str]) -> Iterator[_Argument]:
    """Yield the options of one word of short ones: `-xk`, `-n4`, `-k=name`."""
    for at, letter in enumerate(word[1:], start=2):
        option, rest = f"-{letter}", word[at:]
        if option not in _SHORT_VALUES:
            yield _Argument([option], option, None)
        elif rest:
            yield _Argument([option + rest], option, rest.removeprefix("="))
            return
        else:
            yield _with_next(option, option, words)


def _with_next(word: str, option: str, words: Iterator[str]) -> _Argument:
    value = next(words, None)
    return _Argument([word] if value is None else [word, value], option, value)


def _option(option: str, value: str | None, root: Path) -> list[str] | None:
    if option in _FLAGS:
        return [option] if value is None else None
    if option == "--ignore":
        path = _path_inside(value or "", root)
        return None if path is None else [f"--ignore={path}"]
    if value is None or option not in _VALUES or not _VALUES[option](value):
        return None
    return [f"{option}={value}"] if option.startswith("--") else [option, value]


def _path_argument(word: str, root: Path, test_files: Sequence[str]) -> list[str] | None:
    text, separator, selector = word.partition("::")
    path = _path_inside(text, root)
    if path is None:
        return None
    # Where links lead is what pytest would read.
    target = (root / path).resolve()
    if any(_is_not_walked(one) for one in (target, *target.parents) if root in one.parents):
        return None
    if target.is_dir():
        return None if separator else [path]
    if not any(fnmatch.fnmatch(target.name, pattern) for pattern in test_files):
        return None
    if separator and not _SELECTOR.fullmatch(f"::{selector}"):
        return None
    return [path + separator + selector]


def _path_inside(text: str, root: Path) -> str | None:
    """Return a path as it may be given to pytest, or None where it may not."""
    path = text.replace("\\", "/")  # a run recorded on Windows
    if not _PATH.fullmatch(path) or ".." in path.split("/"):
        return None
    try:
        found = (root / path).resolve(strict=True)
    except (OSError, RuntimeError):
        return None  # not there, or links in a circle
    return path if found.is_relative_to(root) else None


def _is_not_walked(directory: Path) -> bool:
    virtual_environment = (directory / "pyvenv.cfg").exists()
    return virtual_environment or any(fnmatch.fnmatch(directory.name, one) for one in NOT_WALKED)


def _is_count(text: str) -> bool:
    return re.fullmatch(r"[0-9]{1,6}", text) is not None


def _is_processes(text: str) -> bool:
    return text in ("auto", "logical") or (_is_count(text) and int(text) <= MAX_PROCESSES)


def _is_blocked_plugin(text: str) -> bool:
    # The probe is a plugin too, and a bundle does not get to switch it off.
    return _PLUGIN.fullmatch(text) is not None and "bundle" not in text.lower()


_FLAGS = frozenset({"-x", "-s", "--exitfirst", "--runxfail", "--strict-markers", "--strict-config"})

_VALUES: dict[str, Callable[[str], bool]] = {
    "--maxfail": _is_count,
    "-n": _is_processes,
    "--numprocesses": _is_processes,
    "--dist": DISTRIBUTIONS.__contains__,
    "--capture": CAPTURES.__contains__,
    "--import-mode": IMPORT_MODES.__contains__,
    "-p": _is_blocked_plugin,
    "-k": is_expression,
    "-m": is_expression,
}

_SHORT_VALUES = frozenset({"-k", "-m", "-n", "-p", "-c", "-o", "-r", "-W"})
"""The short options whose value can be the next word."""

_PATH_VALUES = frozenset(
    {
        *("--ignore", "--ignore-glob", "--deselect", "--rootdir", "--config-file", "--confcutdir"),
        *("--basetemp", "--junitxml", "--junit-xml", "--log-file", "--rsyncdir", "--report-log"),
        *("--cov", "--cov-config", "--cov-report", "--html", "--css", "--json-report-file"),
        *("--ctrf", "--alluredir"),
    }
)
"""The long options whose next word can be a path that is none to collect tests from."""
