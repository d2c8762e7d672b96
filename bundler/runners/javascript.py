"""What Jest and Vitest have in common: how they are started, and how their tests are chosen.

Neither can be told a list of tests. Both take files, and a pattern that is matched against the full
names of tests in every file. So a rerun leaves out: the files of which every test has passed, and,
by a pattern, the names that have passed in the files that are left. What is new runs, and so does
a test that has passed in one of these files and has not in another, as its name says no more.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from bundler.runners import at_dashes, before_colons
from bundler.runners.report import Chosen

LONGEST_PATTERN = 100_000
"""Characters: Linux takes no word of a command that is longer than 128 KiB."""

_NODE_VALUED = frozenset({"-r", "--require", "--import", "--loader", "--experimental-loader", "-C"})
_NPX_VALUED = frozenset({"-p", "--package"})
_SHELL = re.compile(r"[&|;<>$`()\n]")
_SPECIAL = re.compile(r"([\\^$.*+?()\[\]{}|])")


def arguments_start(argv: Sequence[str], tool: str) -> int | None:
    """Return where the own words of a tool begin that a command starts, None where it does not.

    By its name, by npx and the like, or as a script of node's. `npm test` is none: what it starts
    is for npm to know.
    """
    at = _after_environment(argv)
    if at >= len(argv):
        return None
    program = _program(argv[at])
    at += 1
    if program == tool:
        return at
    if program in ("npx", "bunx", "pnpx"):
        at = _after_options(argv, at, _NPX_VALUED)
    elif program in ("yarn", "pnpm"):
        at += argv[at : at + 1] in (["exec"], ["dlx"], ["run"])
    elif program == "npm":
        if argv[at : at + 2] not in (["exec", "--"], ["x", "--"]):
            return None
        at += 2
    elif program == "node":
        at = _after_options(argv, at, _NODE_VALUED)
        is_script = at < len(argv) and "node_modules" in PurePath(argv[at]).parts
        return at + 1 if is_script and _program(argv[at]) == tool else None
    else:
        return None
    return at + 1 if at < len(argv) and argv[at].partition("@")[0] == tool else None


def script_of(argv: Sequence[str], cwd: Path) -> list[str] | None:
    """Return the command that `npm test` or `npm run NAME` starts, as npx would start it.

    None where it is no such command, or its script is more than one plain command.
    """
    words = [word for word in argv[1:] if not word.startswith("-")]
    if not argv or _program(argv[0]) not in ("npm", "yarn", "pnpm") or not words:
        return None
    name = words[1] if words[0] in ("run", "run-script") and words[1:] else words[0]
    try:
        document = json.loads((cwd / "package.json").read_text(encoding="utf-8"))
        script = document["scripts"]["test" if name == "t" else name]
        parts = [] if _SHELL.search(script) else shlex.split(script)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if not parts or _program(parts[0]) in ("node", "npx", "env", "cross-env"):
        return parts or None
    return ["npx", *parts]


def has_option(words: Iterable[str], *names: str) -> bool:
    """Whether one of these options is among the words, alone or with a value behind `=`."""
    return any(word.partition("=")[0] in names for word in words)


def with_option(argv: Sequence[str], name: str, value: int) -> list[str]:
    """Return the command with an option before its `--`, unless it has that option."""
    words, rest = at_dashes(argv)
    own = [] if has_option(words, name) else [f"{name}={value}"]
    return [*words, *own, *rest]


@dataclass(frozen=True)
class Choice:
    """What a rerun runs: the files left out, or those that alone run, and a pattern of names."""

    out: tuple[str, ...]
    only: tuple[str, ...] | None
    pattern: str

    def document(self) -> dict[str, Any]:
        """What the reporters and `jest_filter.cjs` are told of it."""
        return {"out": self.out, "only": self.only, "pattern": self.pattern}


def choice(chosen: Chosen, between: str = " ") -> Choice:
    """Return the choice that runs what was chosen; `between` is a pattern of what joins names."""
    if chosen.only is not None:
        return _these(chosen.only, between)
    wanted = [one for one in chosen.order if one not in chosen.deselect]
    left = {before_colons(one) for one in wanted}
    out = {before_colons(one) for one in chosen.deselect} - left
    names = {_name(one) for one in chosen.deselect if before_colons(one) in left}
    names -= _alike(names, map(_name, wanted))
    return Choice(tuple(sorted(out)), None, _not_one_of(names, between) if names else "")


def _quoted(text: str) -> str:
    """A text as a regular expression of JavaScript's that matches it alone."""
    return _SPECIAL.sub(r"\\\1", text)


def _these(ids: Iterable[str], between: str) -> Choice:
    ids = list(ids)
    files = tuple(sorted(set(map(before_colons, ids))))
    whole = any("::" not in one for one in ids)
    pattern = "" if whole else f"^ ?(?:{_any_of(map(_name, ids), between)})$"
    return Choice((), files, pattern)


def _not_one_of(names: Iterable[str], between: str) -> str:
    """A pattern that matches every name but these; Vitest 1 puts a space before some."""
    return f"^(?! ?(?:{_any_of(names, between)})$)"


def _any_of(names: Iterable[str], between: str) -> str:
    return "|".join(_quoted(one).replace(" ", between) for one in sorted(set(names)))


def _alike(names: Iterable[str], wanted: Iterable[str]) -> set[str]:
    """The names that a pattern cannot tell from a wanted one: Jest's does not look at the case."""
    folded = {one.lower() for one in wanted}
    return {one for one in names if one.lower() in folded}


def _name(test_id: str) -> str:
    return test_id.partition("::")[2]


def _after_environment(argv: Sequence[str]) -> int:
    """Skip `env NAME=VALUE`, in which a command is often wrapped."""
    at = 0
    if argv and _program(argv[0]) in ("env", "cross-env"):
        at = 1
        while at < len(argv) and re.match(r"[A-Za-z_]\w*=", argv[at]):
            at += 1
    return at


def _after_options(argv: Sequence[str], at: int, valued: frozenset[str]) -> int:
    while at < len(argv) and argv[at].startswith("-"):
        at += 2 if argv[at] in valued else 1
    return at


def _program(word: str) -> str:
    return re.sub(r"\.(exe|cmd|js|mjs|cjs)$", "", PurePath(word).name.lower())
