"""Runners that are told of: by `[tool.bundle.runners.NAME]`, or by `--junit GLOB`.

| question | answer |
|---|---|
| how is its event stream had | the JUnit XML that the command leaves behind is read at its end |
| how are exact tests selected | as `select` says, or the runner that is known does; else all run |
| how is it given a seed | as `seed` says |
| in which order do tests run | nobody knows |
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from bundler import runners
from bundler.recording import Recording
from bundler.results import Results, TestResult
from bundler.runner_tables import RunnerTable
from bundler.runners import Inside, Invocation, Runner, Selection, result_files

JUNIT = "junit"
_ALL_RUN = "all tests run: nobody has said how this command selects some of them"


def choose(
    argv: Sequence[str],
    tables: Mapping[str, RunnerTable],
    patterns: Sequence[str] = (),
    say: Callable[[str], None] = lambda _line: None,
) -> Runner | None:
    """Return the runner whose command this is: of the project's own first, then of those known.

    With patterns, JUnit XML that they match is what is known of the tests.
    """
    for name, table in tables.items():
        if tuple(argv[: len(table.command)]) == table.command:
            return Configured(name, table, say)
    known = runners.runner_of(argv)
    if patterns:
        return Leaving(tuple(patterns), known, say)
    if known is not None and isinstance(getattr(known, "REPORTS", None), tuple):
        return Leaving(known.REPORTS, known, say)  # type: ignore[attr-defined]
    return known


class Leaving:
    """A command that leaves JUnit XML; `inner` is the runner that it is of, where that is known."""

    def __init__(
        self, patterns: tuple[str, ...], inner: Runner | None, say: Callable[[str], None]
    ) -> None:
        self._patterns = patterns
        self._inner = inner
        self._say = say
        self.NAME = JUNIT if inner is None else inner.NAME
        self.COMMAND = () if inner is None else inner.COMMAND
        self.KEEPS_ORDER = inner is not None and inner.KEEPS_ORDER
        self.KEEPS_VALUES = inner is not None and inner.KEEPS_VALUES
        self.NOT_KEPT = _ALL_RUN if inner is None else inner.NOT_KEPT

    def recognises(self, argv: Sequence[str]) -> bool:
        """Whether the command is this runner's: it was chosen by other means."""
        return self._inner is None or self._inner.recognises(argv)

    @contextmanager
    def inside(self, invocation: Invocation) -> Iterator[Inside | None]:
        """Remember what lies there, to tell it from what the command leaves.

        What the runner that is known records of itself goes first.
        """
        before = result_files.look(invocation.cwd, self._patterns)
        with contextlib.ExitStack() as stack:
            own = None
            if self._inner is not None:
                own = stack.enter_context(self._inner.inside(invocation))
            own = own or Inside(invocation.argv, invocation.env)
            yield replace(own, recording=lambda: own.recording() or _left(before, self._say))

    def select(
        self, argv: Sequence[str], test_ids: Sequence[str], results: Results
    ) -> Selection | None:
        """Return what the runner itself selects; None, all tests, where it is not known."""
        if not test_ids:
            return Selection(())
        return None if self._inner is None else self._inner.select(argv, test_ids, results)

    def seeded(
        self, argv: Sequence[str], env: Mapping[str, str], seed: int
    ) -> tuple[list[str], dict[str, str]]:
        """Return what the runner itself makes of the seed."""
        return (
            (list(argv), dict(env)) if self._inner is None else self._inner.seeded(argv, env, seed)
        )

    def file_of(self, test_id: str) -> str:
        """Return the class of a test."""
        return test_id.partition("::")[0] if self._inner is None else self._inner.file_of(test_id)

    def own_id(self, test: TestResult, suite: str, root: Path) -> str:
        """Return the id that the report has."""
        return test.test_id if self._inner is None else self._inner.own_id(test, suite, root)


class Configured:
    """A runner as a project's table says."""

    KEEPS_ORDER = False
    KEEPS_VALUES = False

    def __init__(self, name: str, table: RunnerTable, say: Callable[[str], None]) -> None:
        self._table = table
        self._say = say
        self.NAME = name
        self.COMMAND = table.command
        self.NOT_KEPT = (
            f"[tool.bundle.runners.{name}] does not say whether order and values are kept"
            if table.select
            else _ALL_RUN
        )

    def recognises(self, argv: Sequence[str]) -> bool:
        """Whether the command begins as the table says."""
        return tuple(argv[: len(self.COMMAND)]) == self.COMMAND

    @contextmanager
    def inside(self, invocation: Invocation) -> Iterator[Inside | None]:
        """Add the words that have it leave JUnit XML, in a place of ours or one that is named."""
        table, argv = self._table, list(invocation.argv)
        if not table.results:
            yield None
            return
        with tempfile.TemporaryDirectory(
            prefix="bundle-results-", ignore_cleanup_errors=True
        ) as name:
            root, patterns = invocation.cwd, table.results
            if any("{results}" in word for word in table.results):
                place = str(Path(name) / "results.xml")
                argv += [word.replace("{results}", place) for word in table.results]
                root, patterns = Path(name), ("results.xml", "results.xml/**/*.xml")
            before = result_files.look(root, patterns)
            yield Inside(argv, invocation.env, recording=lambda: _left(before, self._say))

    def select(
        self, argv: Sequence[str], test_ids: Sequence[str], _results: Results
    ) -> Selection | None:
        """Return the command with the words of `select`, a test id each where it says `{tests}`."""
        if test_ids and not self._table.select:
            return None
        chosen = [one for one in test_ids if self._can_be_asked_for(one)]
        refused = tuple(one for one in test_ids if one not in chosen)
        if not chosen:
            return Selection((), refused=refused)
        words: list[str] = []
        for word in self._table.select:
            if "{tests}" in word:
                words += [word.replace("{tests}", one) for one in chosen]
            else:
                words.append(word)
        lines = tuple(chosen) if any("{tests_file}" in word for word in words) else ()
        return Selection(((*argv, *words),), refused=refused, lines=lines)

    def seeded(
        self, argv: Sequence[str], env: Mapping[str, str], seed: int
    ) -> tuple[list[str], dict[str, str]]:
        """Return the command with the words of `seed`."""
        words = [word.replace("{seed}", str(seed)) for word in self._table.seed]
        return [*argv, *words], dict(env)

    def file_of(self, test_id: str) -> str:
        """Return the class of a test."""
        return test_id.partition("::")[0]

    def own_id(self, test: TestResult, _suite: str, _root: Path) -> str:
        """Return the id that the report has."""
        return test.test_id

    def _can_be_asked_for(self, test_id: str) -> bool:
        """Whether an id can be one word, or one line, and is not read as an option."""
        if "\0" in test_id or not test_id:
            return False
        if "\n" in test_id and any("{tests_file}" in word for word in self._table.select):
            return False
        return not (test_id.startswith("-") and "{tests}" in self._table.select)


def _left(before: result_files.Before, say: Callable[[str], None]) -> list[Recording]:
    told, said = result_files.recordings(before)
    for line in said:
        say(line)
    return told
