"""What starts the rerun of a run: never a stranger's own words.

In this order:

1. an explicit command: `bundle run -R RUN -- COMMAND`;
2. of a run that cargo-nextest recorded: `cargo nextest run -R` of its own recording;
3. of a run recorded here: its own command;
4. `[tool.bundle] command`;
5. the command of this project's last run recorded here;
6. `python -m pytest` of the active or the project's own virtual environment.

In 4 to 6 of the bundle's own words come back only typed, allow-listed options and paths inside the
project (`bundler.scope`); what does not come back is listed.
"""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bundler.configuration import Configuration
from bundler.errors import UsageError
from bundler.escapes import one_line
from bundler.manifest import Command
from bundler.recording import Recording
from bundler.redaction import restored
from bundler.runners import called, configured
from bundler.runners import nextest as nextest_runner
from bundler.runners import pytest as pytest_runner
from bundler.scope import applicable_scope
from bundler.store import Store

_LAST = "the last run recorded here"


@dataclass(frozen=True)
class Start:
    """The command that starts a rerun, where it came from, where it runs, what was left out."""

    argv: list[str]
    origin: str
    cwd: Path
    not_applied: tuple[str, ...] = ()
    added: int = 0
    temporary: Path | None = None
    results: tuple[str, ...] = ()


def how_to_start(
    parent: Recording,
    store: Store,
    env: Mapping[str, str],
    *,
    configured: Sequence[str] | None = None,
) -> Start:
    """Decide what starts the rerun of a recording, as this module's docstring says."""
    if nextest_runner.has_archive(parent):
        return _by_nextest(parent, store)
    if _is_local(parent, store):
        return _again(parent.manifest.command, parent, store, env, "its own command")
    if parent.manifest.command.runner != "pytest":
        return _by_its_runner(parent, store, env, configured)
    cwd = _same_place(parent, store)
    starter, origin = _command_of_here(store, env, configured)
    scope = applicable_scope(_arguments(parent.manifest.command.argv), cwd)
    # A stranger's mark names a variable of ours: its value is not for them to use.
    args = _unmasked(scope.args, {}, parent.manifest.run_id)
    return Start([*starter, *args], origin, cwd, tuple(scope.not_applied))


def with_arguments(start: Start, more: Sequence[str]) -> Start:
    """Return the start with more arguments at the end of its command."""
    return replace(start, argv=[*start.argv, *more], added=len(more))


def names_a_command(
    parent: Recording, store: Store, words: Sequence[str], configuration: Configuration
) -> bool:
    """Whether words after `--` are the command itself, not more words for one that is known.

    They are where a runner knows them as its own, or where the run is not from here, nothing else
    says what starts it, and they do not begin with an option.
    """
    if not words or _is_local(parent, store):
        return False
    if configured.choose(words, configuration.runners) is not None:
        return True
    known = called(parent.manifest.command.runner) or configuration.command
    return not known and not words[0].startswith("-")


def _is_local(recording: Recording, store: Store) -> bool:
    """Whether a recording was made here: it lies in this project's store and came from nowhere."""
    inside = Path(recording.where).parent == store.directory
    return inside and recording.manifest.source is None


def _again(
    command: Command, parent: Recording, store: Store, env: Mapping[str, str], origin: str
) -> Start:
    """A command that was recorded here, without the words that a rerun had added to it."""
    argv = command.argv[: len(command.argv) - command.added]
    argv = _unmasked(argv, env, parent.manifest.run_id)
    cwd = _existing(Path(command.cwd), store)
    return Start(argv, origin, cwd, results=tuple(command.results))


def _by_nextest(parent: Recording, store: Store) -> Start:
    """nextest reruns its own recordings; it is given a copy, which goes when the rerun ends."""
    folder = Path(tempfile.mkdtemp(prefix="bundle-rerun-"))
    path = folder / f"{parent.manifest.run_id[:8]}.zip"
    try:
        nextest_runner.write_archive(parent, path)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    cwd = Path(parent.manifest.command.cwd) if _is_local(parent, store) else store.project
    argv = nextest_runner.rerun_command(path)
    return Start(argv, "nextest", _existing(cwd, store), temporary=folder)


def _by_its_runner(
    parent: Recording, store: Store, env: Mapping[str, str], configured: Sequence[str] | None
) -> Start:
    """What starts another runner than pytest: nothing but what was said here, or its plain name."""
    command = parent.manifest.command
    cwd = _same_place(parent, store)
    if configured:
        return Start(list(configured), "[tool.bundle] command", cwd)
    last = _last_local_run(store, command.runner)
    if last is not None:
        return _again(last, parent, store, env, _LAST)
    runner = called(command.runner)
    if runner is None or not runner.COMMAND:
        raise UsageError(
            f"run {parent.manifest.run_id[:8]} is not from here, and nothing says what starts it",
            hint="Name the command: `bundle run -R RUN -- COMMAND`.",
        )
    not_applied = tuple(command.argv[len(runner.COMMAND) :])
    return Start(list(runner.COMMAND), "its plain command", cwd, not_applied)


def _unmasked(argv: Sequence[str], env: Mapping[str, str], run_id: str) -> list[str]:
    """Return the words of a recorded command with the values of variables put back.

    Raises UsageError where a value was masked that is not known here: a mark is never run.
    """
    words, lost = restored(argv, env)
    if lost is None:
        return words
    short, known = run_id[:8], one_line(shlex.join(argv))
    raise UsageError(
        f"the command of run {short} had a secret in it that is not known here: {one_line(lost)}",
        hint=f"Type it: `bundle run -R {short} -- {known}`, with the value in place of its mark.",
    )


def _command_of_here(
    store: Store, env: Mapping[str, str], configured: Sequence[str] | None
) -> tuple[list[str], str]:
    if configured:
        return list(configured), "[tool.bundle] command"
    last = _last_local_run(store, "pytest")
    if last is not None:
        starter = last.argv[: pytest_runner.arguments_start(last.argv)]
        return _unmasked(starter, env, "latest"), _LAST
    return [str(_python(store.project, env)), "-m", "pytest"], "this project's environment"


def _last_local_run(store: Store, runner: str) -> Command | None:
    """The command of the last run of a runner that was recorded here."""
    for run in reversed(store.runs()):
        manifest = run.manifest
        if manifest is not None and manifest.source is None and manifest.command.runner == runner:
            return manifest.command
    return None


def _python(project: Path, env: Mapping[str, str]) -> Path:
    """The interpreter of the active or the project's own virtual environment, else this one."""
    inner = Path("Scripts/python.exe" if os.name == "nt" else "bin/python")
    active = env.get("VIRTUAL_ENV")
    folders = [Path(active)] if active else []
    folders += [project / ".venv", project / "venv"]
    for folder in folders:
        if (folder / inner).exists():
            return folder / inner
    return Path(sys.executable)


def _arguments(argv: Sequence[str]) -> list[str]:
    start = pytest_runner.arguments_start(argv)
    return list(argv[start:]) if start is not None else []


def _existing(cwd: Path, store: Store) -> Path:
    return cwd if cwd.is_dir() else store.project


def _same_place(parent: Recording, store: Store) -> Path:
    """Where in this project the recorded command stood in its own."""
    command = parent.manifest.command
    if command.project is not None:
        try:
            inner = Path(command.cwd).relative_to(command.project)
        except ValueError:
            return store.project
        place = store.project / inner
        if ".." not in inner.parts and place.is_dir():
            return place
    return store.project
