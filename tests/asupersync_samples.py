"""What asupersync itself wrote, as tests ask for it; see `fixtures/asupersync/README.md`."""

from __future__ import annotations

import io
import json
import os
import zipfile
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from bundler.archive import Members, open_zip
from bundler.formats import asupersync
from bundler.recording import Recording

FOLDER = Path(__file__).parent / "fixtures" / "asupersync"


@cache
def vectors() -> dict[str, Any]:
    """Inputs and outputs of its pure functions."""
    document: dict[str, Any] = json.loads((FOLDER / "vectors.json").read_bytes())
    return document


@cache
def truth() -> dict[str, Any]:
    """What went into each file."""
    text = (FOLDER / "truth.json").read_text(encoding="utf-8")
    document: dict[str, Any] = json.loads(text.replace("/target/test-artifacts/", "/"))
    return document


def seed_of(row: dict[str, Any]) -> int:
    """The seed of a row of the truth, which writes it as text."""
    return int(row["seed"]["decimal"])


@cache
def traces() -> dict[str, bytes]:
    """Every trace by its name."""
    return _members("traces.zip")


@cache
def bundles() -> dict[str, bytes]:
    """Every file of the artifacts directories by its name."""
    return _members("bundles.zip")


def documents(name: str) -> dict[str, bytes]:
    """The documents of that name, but for those that were broken."""
    return {
        path: content
        for path, content in bundles().items()
        if path.endswith(name) and not path.startswith("damaged")
    }


def tree(folder: str) -> dict[str, bytes]:
    """The files below a folder, by their names in it."""
    prefix = f"{folder.rstrip('/')}/"
    return {
        name.removeprefix(prefix): content
        for name, content in bundles().items()
        if name.startswith(prefix)
    }


def written(files: dict[str, bytes], directory: Path) -> Path:
    """Put files into a directory; where names are not taken, the test is skipped."""
    if os.name == "nt" and any(set(name) & set(':*?"<>|') for name in files):
        pytest.skip("asupersync gives directories names that Windows does not take")
    for name, content in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return directory


def members(files: dict[str, bytes]) -> Members:
    """Files as the gate hands them out, of an archive."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return open_zip(target.getvalue(), where="samples")


def read(files: dict[str, bytes]) -> Recording:
    """Files as a recording."""
    return asupersync.read(members(files), where="samples")


def _members(archive: str) -> dict[str, bytes]:
    with zipfile.ZipFile(FOLDER / archive) as opened:
        return {name: opened.read(name) for name in opened.namelist()}
