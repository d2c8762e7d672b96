"""A command that runs unseen: without a terminal, with a limit of time, its last output kept."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bundler.status import Ending

OUTPUT_KEPT = 1 << 20
"""How many bytes at the end of what a command printed are kept."""


@dataclass(frozen=True, slots=True)
class Unseen:
    """How a command ended, what it printed last, and whether its time was over."""

    ending: Ending
    output: bytes = b""
    late: bool = False


def run(
    argv: Sequence[str], env: Mapping[str, str], cwd: Path, output: Path, limit_s: float
) -> Unseen:
    """Run a command, its output in the file `output`; it and its children end with the limit."""
    with output.open("w+b") as file:
        try:
            process = subprocess.Popen(
                argv,
                env=dict(env),
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=os.name != "nt",
            )
        except OSError as error:
            return Unseen(Ending(127, started=False, error=f"{argv[0]}: {error.strerror}"))
        late = False
        try:
            process.wait(timeout=limit_s)
        except subprocess.TimeoutExpired:
            late = True
        finally:
            _end(process)
        code = process.wait()
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - OUTPUT_KEPT))
        return Unseen(Ending(*_as_ending(code)), file.read(), late)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process and what it started, if it still runs."""
    if process.poll() is not None:
        return
    if sys.platform == "win32":
        process.kill()
    else:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def _as_ending(code: int) -> tuple[int | None, int | None]:
    return (None, -code) if code < 0 else (code, None)
