"""The values in force, and where each came from.

    options of the command line     --keep-runs 5
    variables of the environment    BUNDLE_KEEP_RUNS=5
    the project                     [tool.bundle] in the nearest pyproject.toml
    the user                        bundle/config.toml in the platform's directory for configuration
    defaults                        below

The first that names a value wins. The annotated fields of `Configuration` are the keys: name, type,
default, kind and help of each stand there once. The user's file holds the same keys at its top. A
variable that is set to nothing is not set.

`pager` is the user's alone: a program that a cloned project could name would run as soon as
somebody looked at a recording. Tables `runners.NAME` (`bundler.runner_tables`) stand side by side,
the project's in place of the user's of the same name.

A key that is not known and a value of another kind are errors that name the file and the key. Where
nothing may fail for them (`bundle run` records whatever else is wrong), `load_leniently` passes
over what it cannot read and returns why.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, get_type_hints

from bundler import kinds
from bundler.errors import UsageError
from bundler.kinds import Kind, Source
from bundler.runner_tables import RunnerTable, read_table

USER_FILE_VARIABLE = "BUNDLE_CONFIG"
TABLE = ("tool", "bundle")
RUNNERS = "runners"


@dataclass(frozen=True, slots=True)
class Key:
    """What is known of a key beside its name, type and default."""

    kind: Kind
    help: str
    users_alone: bool = False


@dataclass(frozen=True)
class Configuration:
    """The values in force. None is not set, or unlimited."""

    store: Annotated[Path | None, Key(kinds.PATH, "Where run bundles are kept.")] = None
    command: Annotated[
        tuple[str, ...] | None, Key(kinds.WORDS, "What starts this project's tests.")
    ] = None
    record: Annotated[bool, Key(kinds.FLAG, "Whether `bundle run` records what it runs.")] = True
    seed: Annotated[
        int | None, Key(kinds.SEED, "The root seed, imposed on every run that is recorded.")
    ] = None
    hash_seed: Annotated[bool, Key(kinds.FLAG, "Whether PYTHONHASHSEED is fixed.")] = True
    output_limit: Annotated[
        int | None, Key(kinds.SIZE, "How much is kept of one stream of one test's output.")
    ] = 10_000_000
    keep_runs: Annotated[int | None, Key(kinds.COUNT, "How many runs of a project are kept.")] = 100
    keep_bytes: Annotated[
        int | None, Key(kinds.SIZE, "How much room the runs of a project may take.")
    ] = 1_000_000_000
    keep_days: Annotated[
        float | None, Key(kinds.DAYS, "How long a run is kept after its last use.")
    ] = 30
    color: Annotated[str, Key(kinds.COLOR, "When to write in colour.")] = "auto"
    pager: Annotated[
        str | None, Key(kinds.TEXT, "The program that pages long output.", users_alone=True)
    ] = None
    runners: Mapping[str, RunnerTable] = field(default_factory=dict)
    origins: Mapping[str, str] = field(default_factory=dict, repr=False)

    def explain(self) -> list[tuple[str, object, str]]:
        """Return every key with its value and where that came from."""
        told = [(name, getattr(self, name)) for name in KEYS]
        told += [(f"{RUNNERS}.{name}", table.told()) for name, table in self.runners.items()]
        return [(name, value, self.origins.get(name, "default")) for name, value in told]


KEYS: dict[str, Key] = {
    name: hint.__metadata__[0]
    for name, hint in get_type_hints(Configuration, include_extras=True).items()
    if hasattr(hint, "__metadata__")
}


def load(
    start: Path, env: Mapping[str, str], options: Mapping[str, object] | None = None
) -> Configuration:
    """Return the values in force in a directory.

    `options` are those of the command line by key, where None is not given. Raises UsageError at
    the first thing that is wrong.
    """
    configuration, problems = load_leniently(start, env, options)
    if problems:
        raise problems[0]
    return configuration


def load_leniently(
    start: Path, env: Mapping[str, str], options: Mapping[str, object] | None = None
) -> tuple[Configuration, list[UsageError]]:
    """Return the values in force as far as they can be read, and what is wrong with the rest."""
    loading = _Loading(env)
    user_file, project_file = find_user_file(env), nearest_pyproject(start)
    if user_file is not None:
        loading.take_file(user_file)
    if project_file is not None:
        loading.take_file(project_file, TABLE)
    for name in KEYS:
        loading.take_text(name, env.get(variable(name)), variable(name), start)
    for name, raw in (options or {}).items():
        loading.take_text(name, raw, f"--{name.replace('_', '-')}", start)
    return Configuration(
        **loading.values, runners=loading.runners, origins=loading.origins
    ), loading.problems


def in_force(env: Mapping[str, str]) -> Configuration:
    """Return the values in force in the working directory, as far as they can be read."""
    try:
        start = Path.cwd()
    except OSError:  # it was deleted: the user's file and the environment still count
        start = Path(os.sep)
    return load_leniently(start, env)[0]


def variable(name: str) -> str:
    """Return the variable of the environment that sets a key."""
    return f"BUNDLE_{name.upper()}"


def nearest_pyproject(start: Path) -> Path | None:
    """Return the first pyproject.toml at or above a directory, or None."""
    for directory in (start, *start.parents):
        path = directory / "pyproject.toml"
        # A directory that may not be looked into holds no file for us.
        with contextlib.suppress(PermissionError):
            if path.is_file():
                return path
    return None


def find_user_file(env: Mapping[str, str]) -> Path | None:
    """Return where the user's file is or would be; None where the system has no place for one.

    BUNDLE_CONFIG names it; else it lies in `bundle` below XDG_CONFIG_HOME; else below the
    platform's directory for configuration, for which platformdirs asks the system.
    """
    if env.get(USER_FILE_VARIABLE):
        return Path(env[USER_FILE_VARIABLE])
    home = Path(env.get("XDG_CONFIG_HOME", ""))
    if os.name == "nt" or not home.is_absolute():
        from platformdirs import user_config_path

        path = user_config_path("bundle", appauthor=False)
        return path / "config.toml" if path.is_absolute() else None
    return home / "bundle" / "config.toml"


class _Loading:
    """Values as they are gathered, those of higher rank over those before."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self.home = env.get("USERPROFILE" if os.name == "nt" else "HOME")
        self.values: dict[str, Any] = {}
        self.origins: dict[str, str] = {}
        self.runners: dict[str, RunnerTable] = {}
        self.problems: list[UsageError] = []

    def take_file(self, path: Path, table: tuple[str, ...] = ()) -> None:
        """Take the values of a file, or of one table of it; a file that is not there has none."""
        where = f"{path} [{'.'.join(table)}]" if table else str(path)
        source = Source(where, path.parent, self.home)
        try:
            found = _read_table(path, table)
            runners = _tables(found.pop(RUNNERS, {}), source)
        except UsageError as error:
            self.problems.append(error)
            return
        for name, raw in found.items():
            if name not in KEYS:
                self.problems.append(_unknown(name, source))
            elif KEYS[name].users_alone and table:
                self.problems.append(_not_here(name, source))
            else:
                self._take(name, raw, source, f"{where} {name}")
        for name, raw in runners.items():
            self._take_runner(name, raw, source)

    def _take_runner(self, name: str, raw: Mapping[str, object], source: Source) -> None:
        try:
            self.runners[name] = read_table(name, raw, source)
        except UsageError as error:
            self.problems.append(error)
        else:
            self.origins[f"{RUNNERS}.{name}"] = source.where

    def take_text(self, name: str, raw: object, where: str, base: Path) -> None:
        """Take a value that was given as text; nothing is none."""
        if raw is not None and raw != "":
            self._take(name, raw, Source(where, base, self.home, is_text=True), where)

    def _take(self, name: str, raw: object, source: Source, named: str) -> None:
        kind = KEYS[name].kind
        try:
            value = kind.read(raw, source)
        except ValueError:
            shown = repr(raw) if len(repr(raw)) < 60 else f"{repr(raw)[:57]}..."
            self.problems.append(
                UsageError(f"{named} is {shown}, not {kind.expected}", hint=_LIST_THEM)
            )
            return
        self.values[name], self.origins[name] = value, source.where


_LIST_THEM = "Run `bundle config --help` for every key and what it takes."


def _read_table(path: Path, names: tuple[str, ...]) -> dict[str, Any]:
    import tomllib

    try:
        table: Any = tomllib.loads(path.read_bytes().decode("utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read: {error.strerror}", hint="Make it readable, or move it away."
        ) from None
    except (ValueError, RecursionError) as error:
        why = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise UsageError(f"{path} is not valid TOML: {why}", hint="Mend the file.") from None
    for name in names:
        table = table.get(name, {})
        if not isinstance(table, dict):
            raise UsageError(f"{path} {name} is not a table", hint=f"Write [{'.'.join(names)}].")
    return dict(table)


def _tables(raw: object, source: Source) -> dict[str, dict[str, Any]]:
    if not isinstance(raw, dict) or not all(isinstance(one, dict) for one in raw.values()):
        raise UsageError(
            f"{source.where} {RUNNERS} is not a table of tables",
            hint="Write [tool.bundle.runners.NAME], or [runners.NAME] in your own file.",
        )
    return raw


def _unknown(name: str, source: Source) -> UsageError:
    import difflib

    known = [*KEYS, RUNNERS]
    close = difflib.get_close_matches(name.lower().replace("-", "_"), known, n=1)
    hint = f"Did you mean {close[0]}?" if close else f"The keys are {', '.join(known)}."
    return UsageError(f"{source.where} {name} is not a key", hint=hint)


def _not_here(name: str, source: Source) -> UsageError:
    return UsageError(
        f"{source.where} {name} is not for a project to set",
        hint=f"Set {variable(name)}, or write it into your own file.",
    )
