"""Where runs lie, by the names of folders alone: no manifest is read and nothing is made here.

Paths are strings: `bundle list` needs nothing else, and pathlib is a tenth of what it may take.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from bundler.errors import OutputError

RUN_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
RUN_DIRECTORY = re.compile(rf"(\d{{6,}})-({RUN_ID.pattern})")
MANIFEST = "manifest.json"
_PROJECT_MARKS = (".git", "pyproject.toml", "Cargo.toml")


def project_of(start: str) -> str:
    """Return the nearest directory at or above `start` that a project begins in, else `start`."""
    above, directory = "", start
    while directory != above:
        if any(os.path.exists(f"{directory}/{mark}") for mark in _PROJECT_MARKS):  # noqa: PTH110
            return directory
        above, directory = directory, os.path.dirname(directory)  # noqa: PTH120
    return start


def store_root(env: Mapping[str, str], project: str) -> str:
    """Return `BUNDLE_STORE`, else the configured `store`, else the platform's state directory."""
    chosen: str | os.PathLike[str] | None = env.get("BUNDLE_STORE")
    if not chosen:
        from pathlib import Path

        from bundler.configuration import load_leniently

        chosen = load_leniently(Path(project), env)[0].store
    if chosen:
        path = os.path.expanduser(chosen)  # noqa: PTH111
        return path if os.path.isabs(path) else f"{current_directory()}/{path}"  # noqa: PTH117
    from platformdirs import user_state_dir

    return user_state_dir("bundle", appauthor=False)


def project_folder(root: str, project: str) -> str:
    """Return the folder of a project's runs in the store at `root`."""
    import hashlib

    digest = hashlib.sha256(os.fsencode(project)).hexdigest()[:8]
    base = os.path.basename(project)  # noqa: PTH119
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", base).strip("-.")[:60]
    return os.path.join(root, f"{name or 'project'}-{digest}")  # noqa: PTH118


def run_directories(folder: str) -> list[tuple[str, int, str]]:
    """Return the name, the sequence number and the run id of every run, oldest first.

    Raises OutputError where the folder cannot be read; one that is not there has no runs.
    """
    try:
        names = os.listdir(folder)  # noqa: PTH208
    except FileNotFoundError:
        return []
    except OSError as error:
        raise OutputError(
            f"the store {folder} cannot be read: {error.strerror}",
            hint="Set BUNDLE_STORE to a directory that you can read and write.",
        ) from None
    matches = map(RUN_DIRECTORY.fullmatch, names)
    found = [(m[0], int(m[1]), m[2]) for m in matches if m]
    return sorted(found, key=lambda one: (one[1], one[2]))


def current_directory() -> str:
    """Return the working directory. Raises OutputError where it was deleted."""
    try:
        return os.getcwd()  # noqa: PTH109
    except OSError:
        raise OutputError(
            "the working directory is gone", hint="Change to a directory that exists."
        ) from None
