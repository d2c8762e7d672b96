"""`[tool.bundle.runners.NAME]`: what a project says of a runner that nobody here knows.

    [tool.bundle.runners.ctest]
    command = "ctest --test-dir build"                # a command that begins so is this runner's
    select = ["--tests-from-file", "{tests_file}"]    # words added to run some tests alone
    seed = ["--schedule-random-seed={seed}"]          # words added where a seed is imposed
    results = ["--output-junit", "{results}"]         # words added to have JUnit XML; or globs

| placeholder | in | becomes |
|---|---|---|
| `{tests}` | `select` | the word that it is in, once for each test id |
| `{tests_file}` | `select` | the path of a file with one test id a line |
| `{seed}` | `seed` | the root seed in decimal |
| `{results}` | `results` | the path of a file that is not there yet |

Without `{results}`, `results` are globs, relative to the directory that the command runs in: what
they match and the run wrote is read. Each value is a list of words, or one line that is split as a
shell would split it; no shell ever sees them, and a test id stays within the word that it is in.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields

from bundler import kinds
from bundler.errors import UsageError
from bundler.kinds import Source

_PLACEHOLDER = re.compile(r"\{(\w*)\}")
PLACEHOLDERS: Mapping[str, tuple[str, ...]] = {
    "command": (),
    "select": ("tests", "tests_file"),
    "seed": ("seed",),
    "results": ("results",),
}


@dataclass(frozen=True, slots=True)
class RunnerTable:
    """One runner of a project; an empty value is not set."""

    command: tuple[str, ...]
    select: tuple[str, ...] = ()
    seed: tuple[str, ...] = ()
    results: tuple[str, ...] = ()

    def told(self) -> dict[str, list[str]]:
        """Return what is set, to be shown."""
        named = {one.name: list(getattr(self, one.name)) for one in fields(self)}
        return {name: words for name, words in named.items() if words}


def read_table(name: str, raw: Mapping[str, object], source: Source) -> RunnerTable:
    """Read one table. Raises UsageError where a key or a value is not one."""
    where = f"{source.where} runners.{name}"
    values = {key: _words(where, key, value, source) for key, value in raw.items()}
    if "command" not in values:
        raise UsageError(
            f"{where} has no command", hint="Write the words that a command of it begins with."
        )
    if "select" in values and not _used(values["select"]):
        raise UsageError(
            f"{where}.select does not say where the tests go",
            hint="Write {tests} for a word a test, or {tests_file} for a file of them.",
        )
    return RunnerTable(**values)


def _words(where: str, key: str, value: object, source: Source) -> tuple[str, ...]:
    if key not in PLACEHOLDERS:
        raise UsageError(f"{where}.{key} is not a key", hint=_hint(key, PLACEHOLDERS))
    try:
        words = kinds.WORDS.read(value, source)
    except ValueError:
        raise UsageError(
            f"{where}.{key} is {value!r:.60}, not {kinds.WORDS.expected}",
            hint='Write a list of texts, such as ["ctest", "--test-dir", "build"].',
        ) from None
    assert isinstance(words, tuple)
    for name in _used(words):
        if name not in PLACEHOLDERS[key]:
            raise UsageError(
                f"{where}.{key} has {{{name}}}, which is not a placeholder there",
                hint=_hint(name, PLACEHOLDERS[key]) if PLACEHOLDERS[key] else "Leave it out.",
            )
    return words


def _used(words: tuple[str, ...]) -> list[str]:
    return [name for word in words for name in _PLACEHOLDER.findall(word)]


def _hint(name: str, known: Collection[str]) -> str:
    import difflib

    close = difflib.get_close_matches(name.lower(), known, n=1)
    return f"Did you mean {close[0]}?" if close else f"There are {', '.join(known)}."
