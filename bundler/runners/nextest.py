"""cargo-nextest: told by its command line, recorded by nextest itself, and read when it has ended.

| question | answer |
|---|---|
| how is it recorded | nextest's own recording is switched on, into a folder of ours |
| how are tests selected | `cargo nextest run -R ARCHIVE` reruns nextest's own recordings |
| how is it given a seed | not at all: nextest has none; the tests find it in their environment |
| in which order do tests run | in nextest's own, which is the order of names |

The user sees what they would have seen: only a copy of their configuration differs, in `record`.
What nextest prints of its own store is of the folder that is gone afterwards; that is why a command
that names a run of that store (`-R latest`) is not recorded from inside.

`-R` builds with the words that the recorded run was built with, where no others are given. They are
a stranger's, and `--config` among them would run whatever they name: only those that choose
packages, targets, features and profiles come back.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from bundler import archive
from bundler.errors import UsageError
from bundler.results import Results
from bundler.runners import (
    Inside,
    Invocation,
    Selection,
    at_dashes,
    cargo_binaries,
    seeded_by_environment,
)

NAME = "nextest"
COMMAND = ("cargo", "nextest", "run")
KEEPS_ORDER = False
KEEPS_VALUES = True
NOT_KEPT = "nextest runs tests in an order of its own, each in a process of its own"

if TYPE_CHECKING:
    from bundler.recording import Recording

FLAGS = frozenset(
    {
        *("--workspace", "--all", "--lib", "--bins", "--tests", "--examples", "--benches"),
        *("--all-targets", "--all-features", "--no-default-features", "--release", "-r"),
    }
)
VALUED = frozenset(
    {
        *("-p", "--package", "--exclude", "--bin", "--test", "--example", "--bench"),
        *("-F", "--features", "--cargo-profile", "--target"),
    }
)
"""The words of a build that may come back from a stranger's recording; the second take a value."""

_VALUE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_,/@:.*-]*")
_PLACES = ("nextest/", "source/nextest/")
_FILES = ("manifest.json", "run.log.zst", "store.zip")

seeded = seeded_by_environment
file_of = cargo_binaries.of_test
own_id = cargo_binaries.own_id


def recognises(argv: Sequence[str]) -> bool:
    """Whether the command is `cargo nextest run …`, by cargo or by its own name."""
    words = [word for word in argv if not word.startswith("+")]
    program = PurePath(words[0]).name.lower().removesuffix(".exe") if words else ""
    return program in ("cargo", "cargo-nextest") and words[1:3] in (
        ["nextest", "run"],
        ["nextest", "r"],
    )


@contextmanager
def inside(invocation: Invocation) -> Iterator[Inside | None]:
    """Give nextest what it needs to record itself, or nothing where it cannot be. Raises OSError.

    The folder is gone when the context ends.
    """
    argv, env = invocation.argv, invocation.env
    if not recognises(argv) or _names_a_stored_run(argv) or "--user-config-file" in argv:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="bundle-nextest-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        (folder / "config.toml").write_text(_configuration(env), encoding="utf-8")
        changes = {
            "NEXTEST_USER_CONFIG_FILE": str(folder / "config.toml"),
            "NEXTEST_STATE_DIR": str(folder / "state"),
            "NEXTEST_CACHE_DIR": str(folder / "state"),
        }
        yield Inside(argv, {**env, **changes}, recording=partial(_recorded, folder))


def select(argv: Sequence[str], test_ids: Sequence[str], _results: Results) -> Selection | None:
    """Return the command with one filter for each test; one with `-R` chooses by itself."""
    words, rest = at_dashes(argv)
    if any(word.startswith(("-R", "--rerun")) for word in words):
        return None
    known = [one.partition(" ") for one in test_ids]
    filters = [
        f"(binary_id(={_quoted(binary)}) & test(={_quoted(name)}))"
        if name
        else f"binary_id(={_quoted(binary)})"
        for binary, _, name in known
    ]
    if not test_ids:
        return Selection(())
    return Selection(((*words, "-E", " | ".join(filters), *rest),))


def has_archive(recording: Recording) -> bool:
    """Whether a recording keeps what nextest wrote, for nextest to rerun."""
    return _place(recording) is not None


def write_archive(recording: Recording, path: Path) -> None:
    """Write nextest's own portable recording of a run that keeps it.

    Raises UsageError where its words for the build may not come back, OSError.
    """
    place = _place(recording)
    assert place is not None, "has_archive was not asked"
    with tempfile.TemporaryDirectory(dir=path.parent) as folder, path.open("xb") as target:
        members = []
        for name in _FILES:
            content = Path(folder) / name
            content.write_bytes(recording.files[place + name])
            members.append((name, content))
        archive.write_zip(members, target)
    refused = [word for word in _build_words(path) if word]
    if refused:
        raise UsageError(
            f"the recorded build was given words that do not come back: {' '.join(refused)}",
            hint="Name the command: `bundle run -R RUN -- cargo nextest run …`.",
        )


def rerun_command(path: Path) -> list[str]:
    """Return the command that reruns what an archive says is not passing."""
    return ["cargo", "nextest", "run", "-R", str(path)]


def refused_words(words: Sequence[str]) -> list[str]:
    """Return the words of a build that may not come back."""
    refused, rest = [], list(words)
    while rest:
        name, equals, value = rest.pop(0).partition("=")
        if name in FLAGS and not equals:
            continue
        if name in VALUED and not equals and rest:
            value = rest.pop(0)
        if name not in VALUED or not _VALUE.fullmatch(value) or value.endswith(".json"):
            refused.append(f"{name}{equals or ' '}{value}".strip())
    return refused


def _recorded(folder: Path) -> Recording | None:
    """What nextest recorded, None where it recorded nothing. Raises UnreadableRecording."""
    from bundler.formats import nextest

    for log in sorted(folder.glob("state/projects/*/records/runs/*/run.log.zst")):
        members = archive.open_directory(log.parent)
        if nextest.recognises_members(members):
            return nextest.read(members, where=str(log.parent))
    return None


def _quoted(text: str) -> str:
    """A text as nextest's filters take it: what would end the matcher is escaped, no more."""
    return re.sub(r"([\\/),])", r"\\\1", text)


def _build_words(path: Path) -> list[str]:
    """The words of the build, of this run and of the first in its chain, that are refused."""
    from bundler.formats import nextest_store

    with archive.open_zip(path, where="the recording") as members:
        run = nextest_store.run_of_manifest(members)
        with members.nested(nextest_store.STORE) as nested:
            root = nextest_store.rerun_info(nested).get("root-info") or {}
    found: list[str] = []
    for document in (run, root):
        words: Any = document.get("build-scope-args") or []
        found += refused_words([str(word) for word in words])
    return found


def _place(recording: Recording) -> str | None:
    files = recording.files
    return next((p for p in _PLACES if all(p + name in files for name in _FILES)), None)


def _names_a_stored_run(argv: Sequence[str]) -> bool:
    """Whether the command reruns a run by its name: it lies in nextest's own store."""
    for word, after in zip(argv, [*argv[1:], ""], strict=True):
        if word == "--":
            return False
        name, equals, value = word.partition("=")
        if name in ("-R", "--rerun") or word.startswith("-R"):
            named = value if equals else after if name in ("-R", "--rerun") else word[2:]
            return not named.endswith(".zip")
    return False


def _configuration(env: Mapping[str, str]) -> str:
    """The user's own configuration, with recording switched on."""
    import tomllib

    try:
        known = tomllib.loads(_user_file(env).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        known = {}
    for table, name in (("experimental", "record"), ("record", "enabled")):
        inner = known.get(table)
        known[table] = {**(inner if isinstance(inner, dict) else {}), name: True}
    return "".join(f"{_toml(key)} = {_toml(value)}\n" for key, value in known.items())


def _user_file(env: Mapping[str, str]) -> Path:
    named = env.get("NEXTEST_USER_CONFIG_FILE")
    if named:
        return Path(named)
    if os.name == "nt":
        return Path(env.get("APPDATA", "")) / "nextest" / "config.toml"
    base = env.get("XDG_CONFIG_HOME") or Path(env.get("HOME", "")) / ".config"
    return Path(base) / "nextest" / "config.toml"


def _toml(value: object) -> str:
    """A value as TOML writes it on one line; the times that TOML knows print as they are."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_toml(key)} = {_toml(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if isinstance(value, str | bool):
        return json.dumps(value, ensure_ascii=False)
    return str(value)
