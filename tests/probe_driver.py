"""Runs real pytest in a child process, plainly or with the probe switched on as a wrapper does it.

The child's interpreter is `PROBE_PYTHON` where that is set, so that one test environment can try
the probe on older interpreters; its `pytest` is that interpreter's own.
"""

from __future__ import annotations

import functools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bundler.bundle import read
from bundler.eventlog import Line, PlainLog
from bundler.events import Event, decode_line, encode_line
from bundler.probe import PATH
from bundler.recording import Recording
from bundler.results import Results, fold

PYTHON = os.environ.get("PROBE_PYTHON", sys.executable)
ROOT_SEED = 0xDEADBEEF
DEADLINE = 60
START = "import sys; sys.path.insert(0, sys.argv.pop(1)); from bundler.cli import main; main()"
BUNDLE = (sys.executable, "-c", START, str(Path(__file__).parent.parent))
"""`bundle` of this checkout, installed or not, without a path that the tests would inherit."""


@dataclass(frozen=True)
class Ran:
    """What a child did, and what was recorded of it."""

    exit_code: int
    stdout: str
    stderr: str
    lines: list[Line] = field(default_factory=list)

    @functools.cached_property
    def events(self) -> list[tuple[int, Event]]:
        """Every line as an event, with its offset; the first one that is none fails the test."""
        return [(line.offset, decode_line(line.content)) for line in self.lines if not line.problem]

    @functools.cached_property
    def results(self) -> Results:
        """The fold of what was recorded."""
        return fold(self.events)

    def named(self, event: str) -> list[dict[str, Any]]:
        """The data of every event of one type."""
        return [one.payload() for _, one in self.events if one.event == event]

    def verdicts(self) -> dict[str, str]:
        """The verdict of each test id; of a further occurrence under `id#2`."""
        return {
            test.test_id + (f"#{test.occurrence}" if test.occurrence > 1 else ""): str(test.verdict)
            for test in self.results.tests
        }


@dataclass
class Workshop:
    """A place to run suites in: every run finds its files as they were written, at one path."""

    place: Path

    @property
    def suite(self) -> Path:
        """Where the files of the suite are."""
        return self.place / "suite"

    @property
    def log(self) -> Path:
        """Where the events go."""
        return self.place / "run" / "events.ndjson"

    def lay(self, files: Mapping[str, str | bytes]) -> None:
        """Write the files anew; nothing of an earlier run is left."""
        for folder in (self.suite, self.log.parent, self.place / "store"):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
        for name, content in files.items():
            path = self.suite / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)

    def plain(self, *args: str, env: Mapping[str, str] | None = None, interrupt: str = "") -> Ran:
        """Run pytest without the probe."""
        return self._run(args, {**clean_environment(), **(env or {})}, interrupt)

    def probed(
        self,
        *args: str,
        env: Mapping[str, str] | None = None,
        interrupt: str = "",
        log: Path | None = None,
        prefix: tuple[str, ...] = (),
        **settings: Any,
    ) -> Ran:
        """Run pytest with the probe on; `log` is where it is told to write instead."""
        started = time.monotonic_ns()
        first = encode_line("RunStarted", ts_us=0, category="run", message="", data={})
        self.log.write_bytes(first)
        told = probe_settings(log or self.log, t0_ns=started, **settings)
        child = {**clean_environment(), **(env or {})}
        child = {**child, "BUNDLE_PROBE": told, "PYTHONPATH": _with_probe(child)}
        ran = self._run(args, child, interrupt, prefix)
        return self.read(ran)

    def recorded(
        self, *args: str, env: Mapping[str, str] | None = None, interrupt: str = ""
    ) -> tuple[Ran, Recording]:
        """Run pytest under `bundle run`, and read the bundle."""
        store = self.place / "store"
        child = {**clean_environment(), **(env or {}), "BUNDLE_STORE": str(store)}
        child["BUNDLE_CONFIG"] = os.devnull
        wrapper = (*BUNDLE, "run", "--no-hash-seed", "--")
        ran = self._run(args, child, interrupt, wrapper)
        [run] = [path for path in store.glob("*/*") if path.is_dir()]
        return ran, read(run)

    def read(self, ran: Ran | None = None) -> Ran:
        """Read the log, to what else is known of a run."""
        ran = ran or Ran(0, "", "")
        return Ran(
            ran.exit_code,
            ran.stdout,
            ran.stderr,
            list(PlainLog(lambda: self.log.open("rb")).lines()),
        )

    def _run(
        self,
        args: tuple[str, ...],
        env: Mapping[str, str],
        interrupt: str,
        prefix: tuple[str, ...] = (),
    ) -> Ran:
        command = [*prefix, PYTHON, "-m", "pytest", *args]
        child = subprocess.Popen(
            command,
            cwd=self.suite,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        if interrupt:
            _wait_for(self.suite / interrupt)
            child.send_signal(signal.SIGINT)
        try:
            stdout, stderr = child.communicate(timeout=DEADLINE)
        except subprocess.TimeoutExpired:
            child.kill()
            raise
        return Ran(child.returncode, _decoded(stdout), _decoded(stderr))


def probe_settings(log: Path, *, t0_ns: int, **more: Any) -> str:
    """Return the value of BUNDLE_PROBE."""
    settings = {
        "v": 1,
        "run_id": "6f1d2b1e-0000-4000-8000-000000000000",
        "directory": str(log.parent),
        "log": str(log),
        "t0_ns": t0_ns,
        "seed_hex": f"{ROOT_SEED:016x}",
        "path": str(PATH),
        "output_limit": 10 * 1024 * 1024,
        "selection": None,
    }
    return json.dumps({**settings, **more})


def clean_environment() -> dict[str, str]:
    """This process's environment without what would change pytest."""
    hidden = ("PYTEST", "PYTHON", "BUNDLE", "COV_", "FORCE_COLOR", "CI")
    env = {name: value for name, value in os.environ.items() if not name.startswith(hidden)}
    return {**env, "PYTHONHASHSEED": "0", "COLUMNS": "100"}


def unmet(needs: tuple[str, ...]) -> list[str]:
    """Return those needs of a suite that the child's interpreter does not meet."""
    ran = _asked("import pytest; print(pytest.__version__)")
    nine = int(ran.split(".")[0]) >= 9
    met = {"pytest9"} if nine else set()
    met |= {"subtests"} if nine or _has("pytest_subtests") else set()
    return [need for need in needs if need not in met and not _has(need)]


def _has(module: str) -> bool:
    code = f"import importlib.util; print(importlib.util.find_spec({module!r}) is not None)"
    return _asked(code) == "True"


@functools.cache
def _asked(code: str) -> str:
    ran = subprocess.run([PYTHON, "-c", code], capture_output=True, text=True, check=True)
    return ran.stdout.strip()


def settled(text: str) -> str:
    """Return terminal output without what differs from one plain run to the next."""
    text = re.sub(r"pid=\d+", "PID", text)
    # The one thing that is seen of the probe: its fixtures, in the list of those that there are.
    text = re.sub(r"\bbundle(?:_numpy_rng|_rng|_seed)?, ", "", text)
    text = re.sub(r"\b\d+\.\d+s( \(\d+:\d\d:\d\d\))?", "TIME", text)
    text = re.sub(r"0x[0-9a-f]{6,}|\(\d{10,}\)", "ADDRESS", text)
    return re.sub(r"(=+) (.*TIME.*?) =+", r"== \2 ==", text)


def _with_probe(env: Mapping[str, str]) -> str:
    before = env.get("PYTHONPATH")
    return f"{PATH}{os.pathsep}{before}" if before else str(PATH)


def _decoded(raw: bytes) -> str:
    return raw.decode("utf-8", "backslashreplace")


def _wait_for(path: Path) -> None:
    deadline = time.monotonic() + DEADLINE
    while not path.exists():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{path.name} never appeared")
        time.sleep(0.01)
