"""`go test`: told by its command line, run with `-json`, shown as it would have been without.

| question | answer |
|---|---|
| how is its event stream had | `-json` is added; `bundler.runners.go_screen` shows what was meant |
| how are exact tests selected | a package each, `-run=^(TestA|TestB)$`, `-run=^TestA$/^x$` |
| how is it given a seed | `-shuffle=on` becomes `-shuffle=N`; nothing else in Go takes one |
| in which order do tests run | that of the source, or of the seed, which a subset keeps |

A rerun shuffles a package by the seed that was recorded of it. Words of a stranger are only the
names of packages and tests: a package is a path without `..` that begins like one, a test is quoted
as a regular expression, as a part of one word.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any

from bundler.recording import Recording
from bundler.results import Results, TestResult
from bundler.runners import Inside, Invocation, Selection, before_colons
from bundler.runners.go_screen import Screen
from bundler.runners.lines import JsonLines

NAME = "go test"
COMMAND = ("go", "test")
KEEPS_ORDER = True
KEEPS_VALUES = False
NOT_KEPT = (
    "go test keeps its order but for t.Parallel, and no values drawn from a generator that tests"
    " share; new tests do not run"
)

VALUED = frozenset(
    {
        *("asmflags", "buildmode", "compiler", "gccgoflags", "gcflags", "installsuffix"),
        *("ldflags", "mod", "modfile", "overlay", "p", "pgo", "pkgdir", "tags", "toolexec"),
        *("C", "exec", "o", "bench", "benchtime", "blockprofile", "blockprofilerate", "count"),
        *("coverprofile", "covermode", "coverpkg", "cpu", "cpuprofile", "fuzz", "fuzzcachedir"),
        *("fuzzminimizetime", "fuzztime", "list", "memprofile", "memprofilerate", "mutexprofile"),
        *("mutexprofilefraction", "outputdir", "parallel", "run", "shuffle", "skip", "timeout"),
        *("trace", "vet"),
    }
)
"""The flags of `go test` that take a value, as `-flag value` or `-flag=value`."""

SWITCHES = frozenset(
    {
        *("a", "asan", "benchmem", "buildvcs", "cover", "failfast", "fullpath", "json", "msan"),
        *("modcacherw", "linkshared", "race", "short", "trimpath", "v", "work", "x"),
    }
)
"""Those that take none, and run tests all the same."""

_PACKAGE = re.compile(r"[A-Za-z0-9_.~][A-Za-z0-9_.~/+-]*")
_SELECTING = ("run", "skip", "bench", "fuzz")
_OFF = ("false", "0", "off", "")

file_of = before_colons  # the package


@dataclass
class Words:
    """What the words of `go test` say: flags by name, packages, and what is passed on as it is."""

    before: list[str]
    flags: list[tuple[str, str | None]] = field(default_factory=list)
    packages: list[str] = field(default_factory=list)
    rest: list[str] = field(default_factory=list)

    def value(self, name: str) -> str | None:
        """Return the last value of a flag, "true" where it stands alone, None where it is not."""
        values = [value for flag, value in self.flags if flag == name]
        return None if not values else "true" if values[-1] is None else values[-1]

    def is_on(self, name: str) -> bool:
        """Whether a switch is on."""
        return (self.value(name) or "") not in _OFF

    def command(
        self, without: Iterable[str] = (), added: Sequence[str] = (), packages: Sequence[str] = ()
    ) -> tuple[str, ...]:
        """Return a command like this one, with other flags and other packages."""
        kept = [
            f"-{name}" if value is None else f"-{name}={value}"
            for name, value in self.flags
            if name not in without
        ]
        return (*self.before, *kept, *added, *(packages or self.packages), *self.rest)


def words_of(argv: Sequence[str]) -> Words | None:
    """Take apart the words of a command, None where it is not `go test`."""
    if not argv or PurePath(argv[0]).name.lower().removesuffix(".exe") != "go":
        return None
    at = 2 if len(argv) > 1 and argv[1].startswith("-C=") else 3 if list(argv[1:2]) == ["-C"] else 1
    if list(argv[at : at + 1]) != ["test"]:
        return None
    words = Words(list(argv[: at + 1]))
    rest = list(argv[at + 1 :])
    while rest:
        word = rest.pop(0)
        name, equals, value = word.lstrip("-").partition("=")
        name = name.removeprefix("test.")
        if not word.startswith("-") or word == "-":
            words.packages.append(word)
        elif name in SWITCHES:
            words.flags.append((name, value if equals else None))
        elif name in VALUED and (equals or rest):
            words.flags.append((name, value if equals else rest.pop(0)))
        else:  # `-args`, or a flag of the test's own: what follows is no business of ours
            words.rest = [word, *rest]
            break
    return words


def recognises(argv: Sequence[str]) -> bool:
    """Whether the command is `go test …`."""
    return words_of(argv) is not None


@contextmanager
def inside(invocation: Invocation) -> Iterator[Inside | None]:
    """Add `-json`, show what go would have shown, and tell what happens as it happens."""
    words = words_of(invocation.argv)
    if words is None or not _runs_tests(words):
        yield None
        return
    from bundler.formats.go_test import NAME as FORMAT
    from bundler.formats.go_test import Reading
    from bundler.translation import Translation

    translation = Translation(
        io.BytesIO(), where=FORMAT, format=FORMAT, runner=NAME, tell=invocation.tell
    )
    reading = Reading(translation)
    of_environment = words_of(["go", "test", *invocation.env.get("GOFLAGS", "").split()]) or words
    raw = words.is_on("json") or of_environment.is_on("json")
    screen = Screen(
        verbose=words.is_on("v") or of_environment.is_on("v"),
        streams=not words.packages or words.value("bench") is not None,
        raw=raw,
    )

    def show(line: dict[str, Any]) -> bytes | None:
        return screen.show(line) if "Action" in line else None

    def hear(_stream: str, line: dict[str, Any] | bytes) -> None:
        if isinstance(line, bytes):
            screen.note(line)
        if isinstance(line, bytes) or "Action" in line:
            reading.take(line)

    lines = JsonLines(show, hear, screen.end)

    def told() -> Recording | None:
        lines.end()
        reading.stop()
        return None

    added = () if raw else ("-json",)
    command = words.command(without=("json",) if added else (), added=added)
    yield Inside(command, _with_plain_builds(invocation.env), show=lines, recording=told)


def select(argv: Sequence[str], test_ids: Sequence[str], results: Results) -> Selection:
    """Return a command a package, and of its subtests one for each test that they stand in."""
    words = words_of(argv)
    assert words is not None, "recognises was not asked"
    seeds = _shuffle_seeds(words, results)
    wanted: dict[str, list[str]] = {}
    refused = []
    for test_id in test_ids:
        package, _, name = test_id.partition("::")
        if _is_package(package):
            wanted.setdefault(package, []).append(name)
        else:
            refused.append(test_id)
    commands = [
        words.command(
            without=(*_SELECTING, *(("shuffle",) if package in seeds else ())),
            added=[*pattern, *(f"-shuffle={seeds[one]}" for one in [package] if one in seeds)],
            packages=[package],
        )
        for package, names in wanted.items()
        for pattern in patterns(names)
    ]
    return Selection(tuple(commands), refused=tuple(refused))


def patterns(names: Iterable[str]) -> list[tuple[str, ...]]:
    """Return the flags of each invocation that together run exactly these tests of a package.

    A test whose subtests are named is not named itself: it runs around them.
    """
    known = set(names)
    if "" in known:  # the package itself: it could not be built, or ended outside of its tests
        return [()]
    leaves = [one for one in sorted(known) if not any(two.startswith(one + "/") for two in known)]
    groups: dict[tuple[str, ...], list[str]] = {}
    benchmarks = []
    for leaf in leaves:
        *above, last = leaf.split("/")
        if leaf.startswith("Benchmark"):
            benchmarks.append((above, last))
        else:
            groups.setdefault(tuple(above), []).append(last)
    found = [
        (f"-run={_path([*((one,) for one in above), lasts])}",) for above, lasts in groups.items()
    ]
    return found + [
        ("-run=^$", f"-bench={_path([*((one,) for one in above), [last]])}")
        for above, last in benchmarks
    ]


def seeded(
    argv: Sequence[str], env: Mapping[str, str], seed: int
) -> tuple[list[str], dict[str, str]]:
    """Shuffle by the seed where the command asks for shuffling; Go takes 63 bits of it."""
    words = words_of(argv)
    if words is None or words.value("shuffle") != "on":
        return list(argv), dict(env)
    shuffle = f"-shuffle={seed & ((1 << 63) - 1)}"
    return list(words.command(without=["shuffle"], added=[shuffle])), dict(env)


def own_id(test: TestResult, _suite: str, _root: Path) -> str:
    """Return `package::Test/sub`: gotestsum's class names are the packages."""
    return test.test_id


def _runs_tests(words: Words) -> bool:
    rest = [word.lstrip("-").partition("=")[0] for word in words.rest[:1]]
    return words.value("list") is None and rest not in (["c"], ["n"], ["i"], ["h"], ["help"])


def _with_plain_builds(env: Mapping[str, str]) -> dict[str, str]:
    """What a build prints stays on stderr: from Go 1.24 on `-json` would move it to stdout."""
    before = [env["GODEBUG"]] if env.get("GODEBUG") else []
    return {**env, "GODEBUG": ",".join([*before, "gotestjsonbuildtext=1"])}


def _is_package(name: str) -> bool:
    return bool(_PACKAGE.fullmatch(name)) and ".." not in name.split("/")


def _path(elements: Iterable[Iterable[str]]) -> str:
    return "/".join(_one_of(names) for names in elements)


def _one_of(names: Iterable[str]) -> str:
    quoted = [re.sub(r"([^\w])", r"\\\1", name, flags=re.ASCII) for name in names]
    quoted = [re.sub(r"\\([^\x00-\x7f])", r"\1", one) for one in quoted]
    return f"^{quoted[0]}$" if len(quoted) == 1 else f"^({'|'.join(quoted)})$"


def _shuffle_seeds(words: Words, results: Results) -> dict[str, int]:
    """The seed by which each package was shuffled, where the command shuffles."""
    if words.value("shuffle") in (None, "off"):
        return {}
    found = {}
    for session in results.sessions:
        suite, seed = session.info.get("suite"), session.info.get("shuffle_seed")
        if isinstance(suite, str) and isinstance(seed, int):
            found[suite] = seed
    return found
