"""The signals that reach us while the command runs: passed on once each, and remembered.

Who else gets a signal decides what is to be done with it:

| sent | the command | we |
|---|---|---|
| by kill(2) to us alone: CI, a person, a script | has not got it | pass it on |
| by a key, the command in our process group | has it | remember it |
| by a key, the command in its own session | has it | see the key (`terminal.Keys`) |

A second SIGINT is not harmless: it makes a test runner drop its own clean-up. So the first two have
to be told apart, and the origin in `siginfo` does it: the kernel for a key, a process for a kill. A
Python handler is not shown the origin, sigtimedwait(2) is; with a controlling terminal in play the
signals of the keyboard are therefore blocked and looked at a few times a second. Where there is no
sigtimedwait (macOS), they count as typed while we are the foreground of the terminal.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from types import FrameType
from typing import Any

from bundler.runners.process.launch import above_stdio
from bundler.runners.process.terminal import in_front

FORWARDED = (
    signal.SIGINT,
    signal.SIGTERM,
    signal.SIGHUP,
    signal.SIGQUIT,
    signal.SIGUSR1,
    signal.SIGUSR2,
)
KEYBOARD = (signal.SIGINT, signal.SIGQUIT)
NOTED = (signal.SIGCHLD, signal.SIGWINCH, signal.SIGCONT)

# Python ignores these two from its start, and exec keeps what is ignored.
_IGNORED_BY_PYTHON = (signal.SIGPIPE, signal.SIGXFSZ)


class Signals:
    """Handlers and mask while the command runs; a context manager that puts both back.

    Entered, every signal is blocked until `begin` says whom to pass them on to: none arrives
    between the handlers and the command. `forwarded` are the names of those received, `noted` the
    ones that the loop has to look into, `unheeded` how many came after the command's end.
    """

    def __init__(self) -> None:
        self.forwarded: list[str] = []
        self.noted: set[int] = set()
        self.unheeded = 0
        self.dispositions: dict[int, Any] = dict.fromkeys(_IGNORED_BY_PYTHON, signal.SIG_DFL)
        self.mask: set[int] = set()
        self._pid: int | None = None
        self._terminal: int | None = None
        self._looked_at: set[int] = set()
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Signals:
        self.wake, self._waker = (above_stdio(end) for end in os.pipe())
        self.mask = set(signal.pthread_sigmask(signal.SIG_BLOCK, {*FORWARDED, *NOTED}))
        os.set_blocking(self.wake, False)
        os.set_blocking(self._waker, False)
        self._waker_before = signal.set_wakeup_fd(self._waker, warn_on_full_buffer=False)
        for number in (*FORWARDED, *NOTED):
            self._handle(number)
        return self

    def __exit__(self, *_: object) -> None:
        self.end()
        signal.pthread_sigmask(signal.SIG_BLOCK, {*FORWARDED, *NOTED})
        for number, before in self._before.items():
            signal.signal(number, before)
        signal.set_wakeup_fd(self._waker_before)
        for descriptor in (self.wake, self._waker, self._terminal):
            if descriptor is not None:
                os.close(descriptor)
        signal.pthread_sigmask(signal.SIG_SETMASK, self.mask)

    @property
    def must_look(self) -> bool:
        """Whether `look` has to be called every now and then, because nothing wakes us."""
        return bool(self._looked_at)

    def begin(self, pid: int, *, shares_terminal: bool) -> None:
        """The command is there: pass on whatever comes, and what came since we were entered.

        `shares_terminal`: it is in our process group, and keys reach it without us.
        """
        self._pid = pid
        if shares_terminal:
            self._share_keyboard()
        # What we were given blocked stays so, for us as for the command; but without SIGCHLD we
        # would never learn of its end.
        passed_on = set(FORWARDED) - self._looked_at - self.mask
        signal.pthread_sigmask(signal.SIG_UNBLOCK, passed_on | set(NOTED))

    def look(self) -> None:
        """Empty the wake-up pipe, and see to the keyboard's signals."""
        with contextlib.suppress(BlockingIOError):
            os.read(self.wake, 4096)
        if sys.platform != "darwin" and self._looked_at:
            while (info := signal.sigtimedwait(self._looked_at, 0)) is not None:
                self._pass_on(info.si_signo, has_it=info.si_code > 0)

    def take_noted(self) -> set[int]:
        """Return what was noted since the last call."""
        taken, self.noted = self.noted, set()
        return taken

    def reap(self, options: int) -> int | None:
        """Return the command's wait status if it changed, and pass on nothing once it is gone."""
        if self._pid is None:
            return None
        # Not in between: once it is reaped its pid may be anybody's.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, FORWARDED)
        try:
            pid, status = os.waitpid(self._pid, options | os.WNOHANG)
            if pid and not os.WIFSTOPPED(status):
                self._pid = None
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return status if pid else None

    def end(self) -> None:
        """Take what came last: it must not hit our caller when the mask is lifted."""
        self.look()
        self._pid = None

    def _handle(self, number: int) -> None:
        before = signal.getsignal(number)
        # What nohup or a shell's `&` had ignored stays ignored, for us and for the command. None:
        # something outside Python handles it, and could not be put back.
        if number in FORWARDED and (before is None or before == signal.SIG_IGN):
            return
        self._before[number] = before or signal.SIG_DFL
        known = before in (signal.SIG_DFL, signal.SIG_IGN)
        self.dispositions[number] = before if known else signal.SIG_DFL
        signal.signal(number, self._received)

    def _share_keyboard(self) -> None:
        try:
            terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC)
        except OSError:  # none, as in most CI: nothing is typed
            return
        self._terminal = above_stdio(terminal)
        if sys.platform != "darwin":
            self._looked_at = {number for number in KEYBOARD if number in self._before}

    def _received(self, number: int, _: FrameType | None) -> None:
        if number in NOTED:
            self.noted.add(number)
            return
        typed = number in KEYBOARD and self._terminal is not None and in_front(self._terminal)
        self._pass_on(number, has_it=typed)

    def _pass_on(self, number: int, *, has_it: bool) -> None:
        if self._pid is None:
            self.unheeded += 1
            return
        if not has_it:
            # A command that took other rights (sudo) is not ours to signal.
            with contextlib.suppress(OSError):
                os.kill(self._pid, number)
        self.forwarded.append(signal.Signals(number).name)
