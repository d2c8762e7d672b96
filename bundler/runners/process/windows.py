"""The wiring on Windows: two pipes and two threads, which work anywhere else as well.

There is no pseudo-terminal here: the command sees pipes. Ctrl-C and Ctrl-Break reach every process
of the console by themselves, so they are remembered and not passed on.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType

from bundler.runners.process.exit_status import NOT_EXECUTABLE, NOT_FOUND, Exit
from bundler.runners.process.guest import TICK_SECONDS, Guest

_CHUNK_BYTES = 1 << 15  # a console takes no more at once
_QUIET_SECONDS = 0.2
_LINGER_SECONDS = 2.0


def run_with_threads(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    cwd: Path | None,
    guest: Guest,
    streams: tuple[int, int, int],
) -> Exit:
    """Do what `bundler.runners.process.run` says, as far as two pipes can."""
    turn = threading.Lock()
    with _remembering() as received, contextlib.ExitStack() as stack:
        ends: list[int] = []
        stack.callback(_close_all, ends)
        pumps = [
            _Pump(name, target, ends, guest, turn)
            for name, target in (("stdout", streams[1]), ("stderr", streams[2]))
        ]
        try:
            process = _start(argv, env, cwd, streams[0], ends)
        except (OSError, ValueError) as error:
            for pump in pumps:
                pump.let_go()
            return _not_started(argv[0], error)
        finally:
            _close_all(ends)
        for pump in pumps:
            pump.start()
        _wait(process, guest, turn)
        _settle(pumps, time.monotonic())
        return _ended(process.returncode, received, guest)


class _Pump(threading.Thread):
    """One stream of the command: read, passed on, then shown to the guest."""

    def __init__(
        self, name: str, target: int, ends: list[int], guest: Guest, turn: threading.Lock
    ) -> None:
        # A daemon: where a leftover grandchild keeps a read waiting, it must not keep us.
        super().__init__(name=f"bundle {name}", daemon=True)
        self._stream = name
        self._target = target
        self._guest = guest
        self._turn = turn
        self._source, end = os.pipe()
        ends.append(end)
        self.writing = False
        self.last_progress = time.monotonic()

    def run(self) -> None:
        """Read until nobody can write any more, or our reader has gone."""
        with contextlib.suppress(OSError):
            while chunk := os.read(self._source, _CHUNK_BYTES):
                self._take(chunk)
            self._take(b"")
        self.let_go()

    def let_go(self) -> None:
        """Close our end: whoever still writes gets a broken pipe."""
        with contextlib.suppress(OSError):
            os.close(self._source)

    def _take(self, chunk: bytes) -> None:
        with self._turn:
            shown = self._guest.shown(self._stream, chunk)
        self._pass_on(shown)
        with self._turn:
            self._guest.output(self._stream, shown)

    def _pass_on(self, chunk: bytes) -> None:
        rest = memoryview(chunk)
        self.writing = True
        while rest:
            rest = rest[os.write(self._target, rest) :]
            self.last_progress = time.monotonic()
        self.writing = False


def _start(
    argv: Sequence[str],
    env: Mapping[str, str],
    cwd: Path | None,
    stdin: int,
    ends: list[int],
) -> subprocess.Popen[bytes]:
    # CreateProcess alone looks in our own PATH, and for .exe only.
    program = shutil.which(argv[0], path=env.get("PATH")) or argv[0]
    return subprocess.Popen(
        [program, *argv[1:]],
        env=dict(env),
        cwd=cwd,
        stdin=stdin if _is_open(stdin) else subprocess.DEVNULL,
        stdout=ends[0],
        stderr=ends[1],
        close_fds=False,
    )


def _wait(process: subprocess.Popen[bytes], guest: Guest, turn: threading.Lock) -> None:
    while True:
        try:
            process.wait(timeout=TICK_SECONDS)
            return
        except subprocess.TimeoutExpired:
            with turn:
                guest.tick()


def _settle(pumps: list[_Pump], gone_at: float) -> None:
    """Wait for what the command left behind; see `bundler.runners.process` for how long."""
    for pump in pumps:
        while pump.is_alive():
            now = time.monotonic()
            quiet = now - max(pump.last_progress, gone_at) >= _QUIET_SECONDS
            if not pump.writing and (quiet or now - gone_at >= _LINGER_SECONDS):
                break
            pump.join(_QUIET_SECONDS / 4)


@contextlib.contextmanager
def _remembering() -> Iterator[list[str]]:
    """Collect the names of the console's signals instead of dying by them."""
    received: list[str] = []

    def remember(number: int, _: FrameType | None) -> None:
        received.append(signal.Signals(number).name)

    names = ("SIGINT", "SIGBREAK")
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    before = {number: signal.signal(number, remember) for number in numbers}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _ended(code: int, received: list[str], guest: Guest) -> Exit:
    # Elsewhere than on Windows a negative code is a signal.
    return Exit(
        code=code if code >= 0 else None,
        signal=-code if code < 0 else None,
        forwarded=tuple(received),
        recording_error=guest.error,
    )


def _not_started(name: str, error: Exception) -> Exit:
    missing = isinstance(error, FileNotFoundError)
    why = "command not found" if missing else getattr(error, "strerror", None) or str(error)
    return Exit(
        code=NOT_FOUND if missing else NOT_EXECUTABLE,
        signal=None,
        started=False,
        error=f"{name}: {why.lower()}",
    )


def _close_all(ends: list[int]) -> None:
    while ends:
        os.close(ends.pop())


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True
