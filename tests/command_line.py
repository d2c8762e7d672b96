"""`bundle` as a person runs it: a process of its own, with a store of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bundler.bundle import read
from bundler.recording import Recording
from bundler.store import Store

BUNDLE = (sys.executable, "-m", "bundler")
HERE = str(Path(__file__).parent.parent)


@dataclass(frozen=True)
class Ended:
    """How a command ended, and what it said."""

    code: int
    stdout: str
    stderr: str


@dataclass(frozen=True)
class Place:
    """A project directory and a store, for commands to run in."""

    project: Path
    store: Path

    def environment(self, **changes: str) -> dict[str, str]:
        """The environment that a command gets: nothing of whoever runs the tests but the path."""
        kept = {key: os.environ[key] for key in ("PATH", "HOME", "TMPDIR") if key in os.environ}
        return {
            **kept,
            "BUNDLE_STORE": str(self.store),
            "BUNDLE_CONFIG": os.devnull,
            "PYTHONPATH": HERE,
            "PYTHONDONTWRITEBYTECODE": "1",
            "COLUMNS": "100",
            **changes,
        }

    def bundle(self, *words: str, **environment: str) -> Ended:
        """Run `bundle` with these words."""
        return self.run([*BUNDLE, *words], **environment)

    def run(self, command: Sequence[str], **environment: str) -> Ended:
        """Run any command here."""
        done = subprocess.run(
            command,
            cwd=self.project,
            env=self.environment(**environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=120,
        )
        out, err = done.stdout.decode(), done.stderr.decode()
        return Ended(done.returncode, out, err)

    def file(self, name: str, text: str) -> Path:
        """Write a file of the project."""
        path = self.project / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def latest(self) -> Recording:
        """The last recorded run."""
        return read(Store(self.store, self.project).find("latest").path)

    def verdicts(self) -> dict[str, str]:
        """The verdict of every test of the last recorded run."""
        return {test.test_id: test.verdict.value for test in self.latest().results.tests}


def place(tmp_path: Path) -> Place:
    """A fresh project with a store beside it."""
    project = tmp_path / "project"
    project.mkdir()
    (project / "pyproject.toml").write_text("")
    return Place(project, tmp_path / "store")
