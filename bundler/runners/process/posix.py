"""One poll loop between the command and our three streams, on POSIX."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from bundler.runners.process.exit_status import NOT_EXECUTABLE, Exit
from bundler.runners.process.guest import TICK_SECONDS, Guest
from bundler.runners.process.launch import Launch, failure, start
from bundler.runners.process.signals import Signals
from bundler.runners.process.streams import QUIET_SECONDS, Tee, wait
from bundler.runners.process.terminal import Keys, copy_size
from bundler.runners.process.wiring import Wiring, connect


def run_with_poll(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    cwd: Path | None,
    guest: Guest,
    streams: tuple[int, int, int],
) -> Exit:
    """Do what `bundler.runners.process.run` says."""
    with contextlib.ExitStack() as stack:
        try:
            # First, so that no signal can end us while our terminal is raw.
            signals = stack.enter_context(Signals())
        except OSError as error:
            return _not_started(argv[0], error)
        wiring = connect(streams, guest)
        stack.callback(wiring.close)
        launch = Launch(
            argv=argv,
            env=env,
            cwd=cwd,
            descriptors=wiring.descriptors,
            leads_session=wiring.keys is not None,
            dispositions=signals.dispositions,
            mask=signals.mask,
        )
        return _Run(wiring, signals, guest).run(launch)


class _Run:
    """One command, from its start to its end."""

    def __init__(self, wiring: Wiring, signals: Signals, guest: Guest) -> None:
        self._wiring = wiring
        self._signals = signals
        self._guest = guest
        self._pid = 0
        self._status: int | None = None
        self._gone_at: float | None = None

    def run(self, launch: Launch) -> Exit:
        try:
            self._pid, report = start(launch)
        except OSError as error:
            return _not_started(launch.argv[0], error)
        self._signals.begin(self._pid, shares_terminal=self._wiring.keys is None)
        self._wiring.started()
        failed = failure(report)
        while not self._finished():
            self._turn()
        self._flush()
        return self._ended() if failed is None else self._not_started(*failed)

    def _turn(self) -> None:
        """Wait until something happens, and see to it."""
        keys, tees = self._wiring.keys, self._wiring.tees
        reading = [self._signals.wake, *(tee.source for tee in tees if tee.wants_input)]
        writing = [tee.target for tee in tees if tee.wants_output]
        watched = [tee.target for tee in tees if tee.wants_input]
        if keys is not None and keys.wants_input:
            reading.append(keys.terminal)
        if keys is not None and keys.wants_output:
            writing.append(keys.master)
        readable, writable, broken = wait(reading, writing, watched, self._timeout())
        self._see_to_signals()
        for tee in tees:
            if tee.wants_output and tee.target in writable:
                tee.pass_on()
            elif tee.wants_input and tee.source in readable:
                tee.receive(before=None if self._guest.shows_all else self._errors_before(tee))
            elif tee.wants_input and tee.target in broken:
                tee.close()
        if keys is not None:
            self._see_to_keys(keys, readable, writable)
        self._guest.tick()

    def _errors_before(self, tee: Tee) -> Tee | None:
        """What is announced on stderr is known before what follows it on stdout."""
        others = (one for one in self._wiring.tees if one.name == "stderr" and one is not tee)
        return next(others, None)

    def _timeout(self) -> float | None:
        if self._gone_at is not None:
            return QUIET_SECONDS / 4
        keys = self._wiring.keys
        if self._guest.wants_ticks or self._signals.must_look or (keys and keys.wants_front):
            return TICK_SECONDS
        return None

    def _see_to_signals(self) -> None:
        self._signals.look()
        noted = self._signals.take_noted()
        keys = self._wiring.keys
        if signal.SIGCONT in noted and keys is not None:
            keys.resumed()
        if signal.SIGWINCH in noted:
            self._resize()
        if signal.SIGCHLD in noted:
            self._reap()

    def _reap(self) -> None:
        keys = self._wiring.keys
        # Whether it stopped is our business only where no shell can see it: in another session.
        status = self._signals.reap(0 if keys is None else os.WUNTRACED)
        if status is None:
            return
        if keys is not None and os.WIFSTOPPED(status):
            keys.suspend(self._pid)
            return
        self._status = status
        self._gone_at = time.monotonic()
        if keys is not None:
            keys.ignore()

    def _see_to_keys(self, keys: Keys, readable: set[int], writable: set[int]) -> None:
        if self._wiring.terminals[0].finished:
            # Nobody holds the command's terminal, and it still runs: with our own terminal as it
            # was, its keys are signals to us again, and they are passed on. Or ours is gone, and
            # the command's has to hang up.
            keys.close()
        keys.enter()
        if keys.wants_input and keys.terminal in readable:
            keys.receive(self._pid)
        elif keys.wants_output and keys.master in writable:
            keys.pass_on()

    def _resize(self) -> None:
        for tee in self._wiring.terminals:
            if not tee.closed:
                copy_size(tee.target, tee.source)
        if self._wiring.terminals and self._wiring.keys is None and self._gone_at is None:
            # It is not the foreground of that terminal; from ours it was told before the change.
            with contextlib.suppress(OSError):
                os.kill(self._pid, signal.SIGWINCH)

    def _finished(self) -> bool:
        if self._gone_at is None:
            return False
        if self._signals.unheeded:  # there is nobody left to pass it on to: it is meant for us
            return True
        for tee in self._wiring.tees:
            tee.settle(self._gone_at)
        return all(tee.finished for tee in self._wiring.tees)

    def _flush(self) -> None:
        for tee in self._wiring.tees:
            tee.flush()

    def _ended(self) -> Exit:
        code = os.waitstatus_to_exitcode(self._status or 0)
        return Exit(
            code=code if code >= 0 else None,
            signal=-code if code < 0 else None,
            forwarded=self._received(),
            recording_error=self._guest.error,
        )

    def _not_started(self, code: int, why: str) -> Exit:
        return Exit(
            code=code,
            signal=None,
            forwarded=self._received(),
            started=False,
            error=why,
            recording_error=self._guest.error,
        )

    def _received(self) -> tuple[str, ...]:
        keys = self._wiring.keys
        return (*self._signals.forwarded, *(keys.noticed if keys is not None else ()))


def _not_started(name: str, error: OSError) -> Exit:
    """The system has no room for another process, or for the two descriptors that it takes."""
    why = f"{name}: {(error.strerror or str(error)).lower()}"
    return Exit(code=NOT_EXECUTABLE, signal=None, started=False, error=why)
