"""What stands between the command's three streams and ours, on POSIX.

| our streams | the command gets |
|---|---|
| stdin and stdout one terminal, we its foreground | a session and a pseudo-terminal of its own |
| any other terminal for output | a pseudo-terminal to print on; our group, our stdin |
| pipes, files | pipes; our process group, our stdin |
| stdout and stderr one and the same | one for both |
| closed | closed |

Keys are passed on only if stdin *and* stdout are the terminal: in `bundle run -- pytest | less`
the keys belong to less, and a raw terminal would spoil what it shows.
"""

from __future__ import annotations

import os
import stat
import termios
from dataclasses import dataclass, field

from bundler.runners.process.guest import Guest
from bundler.runners.process.launch import above_stdio
from bundler.runners.process.streams import Tee
from bundler.runners.process.terminal import (
    Keys,
    WithoutCarriageReturns,
    in_front,
    open_like,
)


@dataclass
class Wiring:
    """What stands between the command and our streams; `close` lets go of all of it."""

    guest: Guest
    descriptors: tuple[int | None, int | None, int | None]
    tees: list[Tee] = field(default_factory=list)
    terminals: list[Tee] = field(default_factory=list)
    keys: Keys | None = None
    slaves: list[int] = field(default_factory=list)

    def started(self) -> None:
        """The command has its own copies; ours would keep its streams from ending."""
        while self.slaves:
            os.close(self.slaves.pop())

    def close(self) -> None:
        self.started()
        if self.keys is not None:
            self.keys.close()
        for tee in self.tees:
            tee.close()


def connect(streams: tuple[int, int, int], guest: Guest) -> Wiring:
    """Return the wiring, or none at all where the system has no room for it.

    The command then gets our own streams: a run that is not recorded before one that is not run.
    """
    stdin, stdout, stderr = (fd if _is_open(fd) else None for fd in streams)
    wiring = Wiring(guest, descriptors=(stdin, stdout, stderr))
    try:
        _fill(wiring, stdin, stdout, stderr)
    except (OSError, termios.error) as error:
        wiring.close()
        guest.leave(error)
        return Wiring(guest, descriptors=(stdin, stdout, stderr))
    return wiring


def _fill(wiring: Wiring, stdin: int | None, stdout: int | None, stderr: int | None) -> None:
    with_keys = _gives_keys(stdin, stdout)
    out: int | None
    err: int | None
    if stdout is not None and stderr is not None and _are_one(stdout, stderr):
        name = "terminal" if os.isatty(stdout) else "stdout"
        out = err = _channel(wiring, name, stdout, with_keys)
    else:
        out = None if stdout is None else _channel(wiring, "stdout", stdout, with_keys)
        err = None if stderr is None else _channel(wiring, "stderr", stderr, with_keys)
    if with_keys and stdin is not None:
        wiring.keys = Keys(stdin, wiring.terminals[0].source)
        stdin = out
    wiring.descriptors = (stdin, out, err)


def _channel(wiring: Wiring, name: str, ours: int, with_keys: bool) -> int:
    """Put a terminal or a pipe in front of a stream of ours; return the command's end."""
    if os.isatty(ours):
        source, slave = open_like(ours, processing=with_keys)
    else:
        source, slave = (above_stdio(end) for end in os.pipe())
    as_written = WithoutCarriageReturns(source) if os.isatty(ours) and with_keys else None
    tee = Tee(name, source, ours, wiring.guest, as_written)
    wiring.slaves.append(slave)
    wiring.tees.append(tee)
    if os.isatty(ours):
        wiring.terminals.append(tee)
    return slave


def _gives_keys(stdin: int | None, stdout: int | None) -> bool:
    if stdin is None or stdout is None or not (os.isatty(stdin) and os.isatty(stdout)):
        return False
    return os.fstat(stdin).st_rdev == os.fstat(stdout).st_rdev and in_front(stdin)


def _are_one(first: int, second: int) -> bool:
    """Return whether two streams are one terminal, or one pipe or file that keeps an order."""
    a, b = os.fstat(first), os.fstat(second)
    if os.isatty(first) or os.isatty(second):
        return os.isatty(first) and os.isatty(second) and a.st_rdev == b.st_rdev
    return (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino) and not stat.S_ISCHR(a.st_mode)


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True
