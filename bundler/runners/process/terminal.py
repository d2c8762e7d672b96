"""A pseudo-terminal that is like ours, and our own terminal while its keys are passed on.

    keys ──▶ our terminal (raw) ──▶ master ▏pseudo-terminal▕ ──▶ the command's stdin
    screen ◀── our terminal (raw) ◀── master ▏line discipline▕ ◀── the command's stdout, stderr

Exactly one of the two line disciplines works. Where keys are passed on it is the command's, and
ours is raw, because the command may change its own (an editor, a full-screen debugger). Where the
command gets a terminal only to print on, it is ours, which other programs may be printing on.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import termios
from typing import Any

from bundler.runners.process.launch import above_stdio

_IFLAG, _OFLAG, _CFLAG, _LFLAG, _CC = 0, 1, 2, 3, 6
_KEY_BYTES = 1024


def in_front(terminal: int) -> bool:
    """Return whether this is our controlling terminal and we are its foreground."""
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False


def open_like(ours: int, *, processing: bool) -> tuple[int, int]:
    """Open a pseudo-terminal with the modes and the size of ours: (master, slave).

    `processing`: it turns newlines into what a screen needs, as ours does; otherwise what is
    written to it comes out unchanged. Raises OSError where the system has none left.
    """
    master, slave = (above_stdio(end) for end in os.openpty())
    try:
        modes = termios.tcgetattr(ours)
        if not processing:
            modes[_OFLAG] &= ~termios.OPOST
        termios.tcsetattr(slave, termios.TCSANOW, modes)
        copy_size(ours, master)
    except termios.error as error:
        os.close(master)
        os.close(slave)
        raise OSError(*error.args) from error
    return master, slave


def copy_size(ours: int, master: int) -> None:
    """Give a pseudo-terminal the size of ours; its foreground is told by the kernel."""
    # Gone: the hang-up is noticed where it is read and written.
    with contextlib.suppress(OSError):
        size: bytes = fcntl.ioctl(ours, termios.TIOCGWINSZ, bytes(8))
        fcntl.ioctl(master, termios.TIOCSWINSZ, size)


class WithoutCarriageReturns:
    """Undoes the `\\n` to `\\r\\n` of a pseudo-terminal: the bytes as they were written to it."""

    def __init__(self, master: int) -> None:
        self._master = master
        self._held = b""

    def __call__(self, chunk: bytes) -> bytes:
        """Return the next piece; a final carriage return is kept until its successor is known."""
        chunk, self._held = self._held + chunk, b""
        if not self.expands():
            return chunk
        if chunk.endswith(b"\r"):
            chunk, self._held = chunk[:-1], b"\r"
        return chunk.replace(b"\r\n", b"\n")

    def rest(self) -> bytes:
        """Return what was kept, at the end."""
        rest, self._held = self._held, b""
        return rest

    def expands(self) -> bool:
        """Whether the terminal makes `\\r\\n` of `\\n` at this moment."""
        try:
            flags = termios.tcgetattr(self._master)[_OFLAG]
        except termios.error:  # the last writer is gone; it left as it was
            return True
        return bool(flags & termios.OPOST and flags & termios.ONLCR)


class Keys:
    """Our terminal, raw, and its keys passed on to the command; a resource to be closed.

    `noticed` are the signals that keys stood for, in their order.
    """

    def __init__(self, terminal: int, master: int) -> None:
        self.terminal = terminal
        self.master = os.dup(master)
        self.noticed: list[str] = []
        self._modes = termios.tcgetattr(terminal)
        self._pending = b""
        self._raw = False
        self._ignored = False
        self._closed = False
        self.enter()

    @property
    def wants_input(self) -> bool:
        """Whether to wait for keys: never in the background, where reading would stop us."""
        return self._raw and not (self._pending or self._ignored or self._closed)

    @property
    def wants_output(self) -> bool:
        """Whether to wait until the command's terminal takes more."""
        return bool(self._pending) and not (self._ignored or self._closed)

    @property
    def wants_front(self) -> bool:
        """Whether we are in the background and have to look out for becoming foreground."""
        return not self._raw and not self._closed

    def enter(self) -> None:
        """Make our terminal raw, if we are in front of it."""
        if not self._raw and not self._closed and in_front(self.terminal):
            self._set(_raw_like(self._modes))
            self._raw = True

    def leave(self) -> None:
        """Give our terminal its modes back."""
        if self._raw:
            self._raw = False
            self._set(self._modes)

    def resumed(self) -> None:
        """We were stopped, and whoever continued us has set the terminal as it likes it."""
        self._raw = False
        self.enter()

    def ignore(self) -> None:
        """Leave the keys to whoever is next. Still raw: there may be output to come."""
        self._ignored = True

    def close(self) -> None:
        """Give the terminal back, for good."""
        if not self._closed:
            self.leave()
            self._closed = True
            self._pending = b""
            os.close(self.master)

    def receive(self, child: int) -> None:
        """Take keys and pass them on."""
        try:
            keys = os.read(self.terminal, _KEY_BYTES)
        except BlockingIOError:
            return
        except OSError:
            keys = b""
        if not keys:  # hung up; the signal says so too
            self.close()
            return
        suspends = self._suspending(keys, child)
        self._pending = keys.replace(suspends, b"") if suspends else keys
        self.pass_on()
        if suspends:
            # Not SIGTSTP, which the kernel discards for the leader of a session: nobody in that
            # session could continue it.
            with contextlib.suppress(OSError):
                os.killpg(child, signal.SIGSTOP)
            self.suspend(child)

    def pass_on(self) -> None:
        """Write what the command's terminal takes."""
        try:
            self._pending = self._pending[os.write(self.master, self._pending) :]
        except BlockingIOError:
            return
        except OSError:
            self.close()

    def suspend(self, child: int) -> None:
        """The command is to be stopped or has stopped itself: stop with it, continue with it."""
        self.leave()
        # The whole group, as the key would have: a shell waits for the job's first process, which
        # need not be us. Discarded where no shell could continue us.
        os.kill(0, signal.SIGTSTP)
        with contextlib.suppress(OSError):
            os.killpg(child, signal.SIGCONT)
        self.enter()

    def _suspending(self, keys: bytes, child: int) -> bytes:
        """Return the key among these that suspends the command; notice those that interrupt.

        If the command is a shell and a job of its own is in front, the key is for that job.
        """
        modes = _modes_of(self.master)
        if modes is None or not modes[_LFLAG] & termios.ISIG:
            return b""
        self._notice(keys, modes[_CC])
        suspend: bytes = modes[_CC][termios.VSUSP]
        meant = suspend != b"\0" and suspend in keys and self._is_foreground(child)
        return suspend if meant else b""

    def _notice(self, keys: bytes, characters: list[Any]) -> None:
        names = {
            characters[termios.VINTR]: "SIGINT",
            characters[termios.VQUIT]: "SIGQUIT",
        }
        for key in keys:
            name = names.get(bytes([key]))
            if name is not None and key != 0:
                self.noticed.append(name)

    def _is_foreground(self, child: int) -> bool:
        try:
            return os.tcgetpgrp(self.master) == child
        except OSError:
            return False

    def _set(self, modes: list[Any]) -> None:
        # A change of modes from the background stops whoever asks; at our end we may be there.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTTOU})
        try:
            with contextlib.suppress(termios.error):  # hung up: nothing to restore
                termios.tcsetattr(self.terminal, termios.TCSANOW, modes)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _modes_of(terminal: int) -> list[Any] | None:
    try:
        return termios.tcgetattr(terminal)
    except termios.error:
        return None


def _raw_like(modes: list[Any]) -> list[Any]:
    """Return these modes with every key and every byte passed through; cfmakeraw(3)."""
    raw = [*modes[:_CC], list(modes[_CC])]
    raw[_IFLAG] &= ~(
        termios.IGNBRK
        | termios.BRKINT
        | termios.PARMRK
        | termios.ISTRIP
        | termios.INLCR
        | termios.IGNCR
        | termios.ICRNL
        | termios.IXON
    )
    raw[_OFLAG] &= ~termios.OPOST
    raw[_CFLAG] = raw[_CFLAG] & ~(termios.CSIZE | termios.PARENB) | termios.CS8
    raw[_LFLAG] &= ~(termios.ECHO | termios.ECHONL | termios.ICANON | termios.ISIG | termios.IEXTEN)
    raw[_CC][termios.VMIN] = 1
    raw[_CC][termios.VTIME] = 0
    return raw
