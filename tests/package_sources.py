"""The sources of real projects, as the package index has them: an sdist, unpacked where it is used.

Each version is fetched once for all tests of a process. Where it cannot be had (no network), the
test that asks for it is skipped, and says so.
"""

from __future__ import annotations

import functools
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from tools import cannot


def lay_source(name: str, version: str, place: Path) -> None:
    """Put the files of a project's sdist into a directory."""
    with tarfile.open(_sdist(name, version)) as archive, tempfile.TemporaryDirectory() as scratch:
        archive.extractall(scratch, filter="data")
        [root] = Path(scratch).iterdir()
        shutil.copytree(root, place, dirs_exist_ok=True)


@functools.cache
def _sdist(name: str, version: str) -> Path:
    folder = Path(tempfile.mkdtemp(prefix="sdist-"))
    words = ["download", "-q", "--no-deps", "--no-binary", ":all:", f"{name}=={version}"]
    done = subprocess.run(
        [sys.executable, "-m", "pip", *words, "-d", str(folder)], capture_output=True, timeout=300
    )
    found = list(folder.glob("*.tar.gz"))
    if done.returncode or len(found) != 1:
        said = done.stderr.decode(errors="replace").strip().split("\n")[-1]
        cannot(f"{name} {version} cannot be had: {said}")
    return found[0]
