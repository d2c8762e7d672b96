"""Become the command: fork, put descriptors and signals in place, exec; say why where it fails.

A fork rather than `subprocess`: a controlling terminal needs code of ours between fork and exec,
and the parent has to know the pid before the first signal can arrive.
"""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import termios
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bundler.runners.process.exit_status import NOT_EXECUTABLE, NOT_FOUND


@dataclass(frozen=True)
class Launch:
    """Everything the child needs to become the command.

    `descriptors` are its stdin, stdout and stderr: one of ours each, or None where it is closed.
    `leads_session` makes its stdin the controlling terminal of a session of its own.
    `dispositions` are the signals that exec would not put back, `mask` the signals it has blocked.
    """

    argv: Sequence[str]
    env: Mapping[str, str]
    cwd: Path | None
    descriptors: tuple[int | None, int | None, int | None]
    leads_session: bool
    dispositions: Mapping[int, Any]
    mask: Iterable[int]


def start(launch: Launch) -> tuple[int, int]:
    """Fork; return the child's pid and the descriptor from which `failure` learns of one.

    To be called with every handled signal blocked, so that no handler of ours runs in the child.
    Raises OSError where the system has no room for another process.
    """
    paths = _paths_to_try(launch.argv[0], launch.env)
    report_read, report_write = (above_stdio(end) for end in os.pipe())
    try:
        pid = os.fork()
    except OSError:
        os.close(report_read)
        os.close(report_write)
        raise
    if pid == 0:
        try:
            _become(launch, paths)
        except BaseException as error:
            os.write(report_write, _describe(launch, error).encode("utf-8", "surrogateescape"))
        finally:
            os._exit(NOT_FOUND)
    os.close(report_write)
    return pid, report_read


def failure(report: int) -> tuple[int, str] | None:
    """Wait until the child became the command, or return its shell's code and why it could not."""
    text = b""
    try:
        # Exec closes the other end.
        while piece := os.read(report, 4096):
            text += piece
    finally:
        os.close(report)
    if not text:
        return None
    code, _, why = text.decode("utf-8", "surrogateescape").partition(" ")
    return int(code), why


def above_stdio(descriptor: int) -> int:
    """Move a descriptor of ours out of 0, 1 and 2, which are free where they were closed."""
    if descriptor > 2:
        return descriptor
    moved: int = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 3)
    os.close(descriptor)
    return moved


def _become(launch: Launch, paths: list[bytes]) -> None:
    if launch.leads_session:
        os.setsid()
    _place(launch.descriptors)
    if launch.leads_session:
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    if launch.cwd is not None:
        os.chdir(launch.cwd)
    for number, disposition in launch.dispositions.items():
        signal.signal(number, disposition)
    signal.pthread_sigmask(signal.SIG_SETMASK, launch.mask)
    _execute(paths, launch.argv, launch.env)


def _place(descriptors: Sequence[int | None]) -> None:
    """Put descriptors at 0, 1 and 2; everything above that is inheritable stays as it is.

    That is what a plain exec does, and `make -j` counts on it for its job server.
    """
    parked = [
        None if descriptor is None else fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 3)
        for descriptor in descriptors
    ]
    for number, descriptor in enumerate(parked):
        if descriptor is not None:
            os.dup2(descriptor, number)
        else:
            os.closerange(number, number + 1)


def _paths_to_try(name: str, env: Mapping[str, str]) -> list[bytes]:
    if "/" in name:
        return [os.fsencode(name)]
    if not name:
        return []
    return [os.fsencode(os.path.join(d or ".", name)) for d in os.get_exec_path(env)]  # noqa: PTH118


def _execute(paths: list[bytes], argv: Sequence[str], env: Mapping[str, str]) -> None:
    """Exec the first that can be, as execvp(3) does. Raises OSError where none can be."""
    blocked: OSError | None = None
    for path in paths:
        try:
            _execute_one(path, argv, env)
        except OSError as error:
            if "/" in argv[0] or error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.EACCES):
                raise
            if error.errno == errno.EACCES:
                blocked = blocked or error
    raise blocked or FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))


def _execute_one(path: bytes, argv: Sequence[str], env: Mapping[str, str]) -> None:
    try:
        os.execve(path, list(argv), env)
    except OSError as error:
        # A text file that may be executed and has no `#!` line is a shell script.
        if error.errno != errno.ENOEXEC or _is_binary(path):
            raise
        os.execve(b"/bin/sh", [b"/bin/sh", path, *(os.fsencode(word) for word in argv[1:])], env)


def _is_binary(path: bytes) -> bool:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    return b"\0" in os.read(descriptor, 80)


def _describe(launch: Launch, error: BaseException) -> str:
    """Return the shell's code for this failure, a space, and the message."""
    name = launch.argv[0]
    if not isinstance(error, OSError):
        return f"{NOT_EXECUTABLE} {name}: {error}"
    if launch.cwd is not None and str(error.filename) == str(launch.cwd):
        return f"{NOT_EXECUTABLE} {launch.cwd}: {_reason(error)}"
    if error.errno != errno.ENOENT:
        return f"{NOT_EXECUTABLE} {name}: {_reason(error)}"
    return f"{NOT_FOUND} {name}: {_reason(error) if '/' in name else 'command not found'}"


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
