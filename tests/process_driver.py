"""A command under recording, started without a terminal as CI would: its streams and its end."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import pytest

DRIVER = Path(__file__).parent / "record_process.py"
ROOT = DRIVER.parent.parent
PYTHON = sys.executable


def command(record: Path, *argv: str) -> list[str]:
    record.mkdir(exist_ok=True)
    return [PYTHON, str(DRIVER), str(record), *argv]


def environment(prepare: str = "", **more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "PREPARE": prepare, **more}


def start(record: Path, *argv: str, prepare: str = "", **options: Any) -> subprocess.Popen[bytes]:
    """Start a command under recording, without a terminal, as CI would."""
    settings: dict[str, Any] = {"stdin": subprocess.DEVNULL, "start_new_session": True}
    settings |= {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "env": environment(prepare)}
    process = subprocess.Popen(command(record, *argv), **{**settings, **options})
    running.append(process)
    return process


running: list[subprocess.Popen[bytes]] = []


@pytest.fixture(autouse=True)
def nothing_outlives_its_test() -> Iterator[None]:
    yield
    while running:
        process = running.pop()
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


def finish(process: subprocess.Popen[bytes], sent: bytes | None = None) -> tuple[bytes, bytes]:
    stdout, stderr = process.communicate(sent, timeout=20)
    return stdout or b"", stderr or b""


def heard(pipe: IO[bytes] | None) -> bytes:
    """Wait for the next piece that comes through a pipe."""
    assert pipe is not None
    assert select.select([pipe], [], [], 10)[0], "nothing came"
    return os.read(pipe.fileno(), 1000)


def leave(pipe: IO[bytes] | None) -> None:
    """Read no further, as `head` does."""
    assert pipe is not None
    pipe.close()


def ended(record: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((record / "exit.json").read_text())
    return document


def wait_until(holds: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.01)


def is_gone(pid: int) -> bool:
    try:
        return status_of(pid, "State").startswith("Z")
    except FileNotFoundError:
        return True


def python_snippet(body: str) -> list[str]:
    return [PYTHON, "-c", f"import os, signal, sys, time\n{body}"]


def status_of(pid: int, field: str) -> str:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return line.split(":", 1)[1].strip()
    raise AssertionError(f"no {field}")
