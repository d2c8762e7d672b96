"""`cargo test`, stable: told by its command line, read from what it prints for people.

| question | answer |
|---|---|
| how is its event stream had | what it prints is read (`bundler.runners.cargo_output`) |
| how are exact tests selected | a binary each: `-p PACKAGE --test NAME -- --exact A B` |
| how is it given a seed | not at all; the tests find it in their environment |
| in which order do tests run | by name, in threads |

`--message-format=json-render-diagnostics` is added, so that cargo tells which binary is of which
target; these lines are not shown, and what the compiler says is printed as before.

Documentation tests cannot be selected exactly: rustdoc splits a name at its spaces. They are chosen
by the name of the item that they stand at.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

from bundler.recording import Recording
from bundler.results import Results
from bundler.runners import (
    Inside,
    Invocation,
    Selection,
    at_dashes,
    cargo_binaries,
    seeded_by_environment,
)
from bundler.runners.lines import JsonLines

NAME = "cargo test"
COMMAND = ("cargo", "test")
KEEPS_ORDER = True
KEEPS_VALUES = True
NOT_KEPT = "cargo test starts its tests by name, in threads: which run together is not kept"

FORMAT = "cargo test"
_ARTIFACTS = "--message-format=json-render-diagnostics"

VALUED = frozenset(
    {
        *("-p", "--package", "--exclude", "--bin", "--test", "--example", "--bench"),
        *("-F", "--features", "--profile", "--target", "--target-dir", "--manifest-path"),
        *("-j", "--jobs", "--color", "--config", "-Z", "-C", "--message-format", "--lockfile-path"),
    }
)
"""The options of cargo that take a value; `--name=value` is one word."""

CHOOSING = frozenset(
    {
        *("--lib", "--bins", "--bin", "--tests", "--test", "--examples", "--example"),
        *("--benches", "--bench", "--all-targets", "--doc"),
    }
)
PACKAGES = frozenset({"-p", "--package", "--workspace", "--all", "--exclude"})
HARNESS_VALUED = frozenset({"--skip", "--test-threads", "--color", "--format", "--logfile", "-Z"})

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_KINDS = {"bin": "--bin", "example": "--example", "bench": "--bench"}

seeded = seeded_by_environment
file_of = cargo_binaries.of_test
own_id = cargo_binaries.own_id


@dataclass
class Words:
    """What the words of `cargo test` say."""

    before: list[str]
    options: list[tuple[str, ...]] = field(default_factory=list)
    filters: list[str] = field(default_factory=list)
    harness: list[tuple[str, ...]] = field(default_factory=list)

    def has(self, *names: str) -> bool:
        """Whether cargo itself is given one of these options."""
        return any(one[0].partition("=")[0] in names for one in self.options)

    def command(self, options: Sequence[tuple[str, ...]], harness: Sequence[str]) -> list[str]:
        """Return a command with these options, and these words for the test binaries."""
        words = [*self.before, *(word for one in options for word in one)]
        return [*words, "--", *harness] if harness else words


def words_of(argv: Sequence[str]) -> Words | None:
    """Take apart the words of a command, None where it is not `cargo test`."""
    if not argv or PurePath(argv[0]).name.lower().removesuffix(".exe") != "cargo":
        return None
    own, rest = at_dashes(argv)
    at = 1
    while at < len(own) and own[at].startswith(("+", "-")):
        at += 2 if own[at] in VALUED else 1
    if own[at : at + 1] not in (["test"], ["t"]):
        return None
    words = Words(own[: at + 1])
    words.options, words.filters = _options(own[at + 1 :], VALUED)
    words.harness, filters = _options(rest[1:], HARNESS_VALUED)
    words.filters += filters
    return words


def recognises(argv: Sequence[str]) -> bool:
    """Whether the command is `cargo test …`."""
    return words_of(argv) is not None


@contextmanager
def inside(invocation: Invocation) -> Iterator[Inside | None]:
    """Have cargo tell what it built, and read what it and the tests print."""
    words = words_of(invocation.argv)
    if words is None or words.has("--no-run", "--help", "-h") or _lists(words):
        yield None
        return
    from bundler.runners.cargo_output import CargoOutput
    from bundler.translation import Translation

    translation = Translation(
        io.BytesIO(), where=FORMAT, format=FORMAT, runner=NAME, tell=invocation.tell
    )
    output = CargoOutput(translation, NAME)

    asks_for_messages = words.has("--message-format")

    def show(message: dict[str, Any]) -> bytes | None:
        return b"" if "reason" in message and not asks_for_messages else None

    def hear(stream: str, line: dict[str, Any] | bytes) -> None:
        if isinstance(line, bytes):
            output.note(stream, line)
        else:
            output.artifact(line)

    lines = JsonLines(show, hear)

    def told() -> Recording | None:
        lines.end()
        output.end()
        return None

    argv = list(invocation.argv)
    if not asks_for_messages:
        argv.insert(len(words.before), _ARTIFACTS)
    yield Inside(argv, invocation.env, show=lines, recording=told)


def select(argv: Sequence[str], test_ids: Sequence[str], results: Results) -> Selection:
    """Return a command a binary, with the exact names of its tests."""
    words = words_of(argv)
    assert words is not None, "recognises was not asked"
    wanted: dict[str, list[str]] = {}
    refused = []
    for test_id in test_ids:
        binary, space, name = test_id.partition(" ")
        known = _target(binary) if space or _NAME.fullmatch(binary.partition("::")[0]) else None
        if known is None or name.startswith("-"):
            refused.append(test_id)
        else:
            wanted.setdefault(binary, []).append(name)
    is_one = (
        len({_package(test.test_id) for test in results.tests} | set(map(_package, wanted))) == 1
    )
    commands = [
        tuple(_command(words, binary, names, keeps_packages=is_one))
        for binary, names in wanted.items()
    ]
    of_docs = any("::doc/" in binary for binary in wanted)
    return Selection(tuple(commands), _OF_DOCS if of_docs else "", tuple(refused))


_OF_DOCS = "documentation tests are chosen by the item they stand at: others of it run too"


def _command(words: Words, binary: str, names: list[str], *, keeps_packages: bool) -> list[str]:
    package, target = binary.partition("::")[0], _target(binary) or []
    dropped = CHOOSING if keeps_packages else CHOOSING | PACKAGES
    options = [one for one in words.options if one[0].partition("=")[0] not in dropped]
    options += [] if keeps_packages else [("-p", package)]
    kept = [one for one in words.harness if one[0].partition("=")[0] not in ("--skip", "--exact")]
    harness = [word for one in kept for word in one]
    if "" in names:  # the binary itself, or what could not be compiled: all that there is
        options += [] if target == ["--lib"] else [tuple(target)]
        return words.command(options, harness)
    options.append(tuple(target))
    if target == ["--doc"]:
        return words.command(options, [*harness, *_items(names)])
    return words.command(options, [*harness, "--exact", *names])


def _target(binary: str) -> list[str] | None:
    """The words that choose a binary, None where its id is no such thing."""
    package, separator, rest = binary.partition("::")
    if not _NAME.fullmatch(package):
        return None
    if not separator:
        return ["--lib"]
    kind, slash, name = rest.partition("/")
    if not _NAME.fullmatch(name if slash else rest):
        return None
    if not slash:
        return ["--test", rest]
    if kind == "doc":
        return ["--doc"]
    return [_KINDS[kind], name] if kind in _KINDS else None


def _items(names: Sequence[str]) -> list[str]:
    """The items that documentation tests stand at: `src/lib.rs - add (line 5)` is of `add`."""
    items = []
    for name in names:
        place = name.partition(" - ")[2].rpartition("(line ")[0].split()
        file = name.partition(" - ")[0]
        items.append(place[-1] if place else file)
    return [one for one in dict.fromkeys(items) if one and " " not in one]


def _package(test_id: str) -> str:
    return file_of(test_id).partition("::")[0]


def _lists(words: Words) -> bool:
    return any(one[0] in ("--list", "--help", "-h") for one in words.harness)


def _options(
    words: Sequence[str], valued: frozenset[str]
) -> tuple[list[tuple[str, ...]], list[str]]:
    """The options among some words, each with its value, and the words that are none."""
    options: list[tuple[str, ...]] = []
    others = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if not word.startswith("-"):
            others.append(word)
        elif word in valued and rest:
            options.append((word, rest.pop(0)))
        else:
            options.append((word,))
    return options, others
