"""How a command ended, and how to end in the same way."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from dataclasses import dataclass
from typing import NoReturn

NOT_FOUND = 127
NOT_EXECUTABLE = 126


@dataclass(frozen=True, slots=True)
class Exit:
    """The end of a command: its exit code, or the number of the signal that killed it.

    `forwarded` are the names of the signals that a person or CI sent, in the order of their
    arrival: passed on to the command, or typed on a terminal and so received by both. `started`
    is False where the command could not be started; `code` is then 127 (not found) or 126 (cannot
    be executed), as from a shell, and `error` says why. `recording_error` is the first exception of
    the recorder, or why output could not be recorded at all.
    """

    code: int | None
    signal: int | None
    forwarded: tuple[str, ...] = ()
    started: bool = True
    error: str | None = None
    recording_error: Exception | None = None


def shell_code(exit: Exit) -> int:
    """Return the one number that a shell shows for this end: 128 and the signal, or the code."""
    if exit.signal is not None:
        return 128 + exit.signal
    return exit.code or 0


def exit_like(exit: Exit) -> NoReturn:
    """End this process as the command ended, so that whoever waits for it sees the same status."""
    if exit.signal is not None and sys.platform != "win32":
        _die_by(exit.signal)
    sys.exit(shell_code(exit))


def _die_by(number: int) -> None:
    """Kill this process with a signal; returns only where the kernel shields it (pid 1)."""
    for stream in (sys.stdout, sys.stderr):
        # A signal skips the interpreter's own flush. None where the descriptor was closed.
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()
    _forbid_core_dump()
    with contextlib.suppress(OSError, ValueError):  # SIGKILL has no disposition to reset
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
    os.kill(os.getpid(), number)


def _forbid_core_dump() -> None:
    """The command's own core is the one to look at; ours would bury it.

    One byte rather than none: the kernel takes no notice of a limit of 0 where `core_pattern` is a
    program, and takes 1 as "not this process" there; for a file it is too small to write any.
    """
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    if hard != 0:
        resource.setrlimit(resource.RLIMIT_CORE, (1, hard))
