"""What the command prints, on its way: taken in, passed on to our stream, then shown to a guest.

Never more than one chunk is held: while our reader is slow the command's own writes wait, as they
would without us.
"""

from __future__ import annotations

import os
import select
import stat
import sys
import time
from collections.abc import Iterable

from bundler.runners.process.guest import Guest
from bundler.runners.process.terminal import WithoutCarriageReturns

CHUNK_BYTES = 1 << 16

# How long after the command's end a stream that somebody else still holds open has to be silent,
# and for how long it is read at all: `sh -c 'sleep 100 &'` ends at once, so it does with us.
QUIET_SECONDS = 0.2
LINGER_SECONDS = 2.0

# More than any pipe or terminal holds by default: what is read beyond it after the command's end
# was not in there at its end.
MOST_LEFT_BEHIND_BYTES = 1 << 20


class Tee:
    """One stream of the command. `source` is our end of its pipe or terminal, `target` our stream.

    `ended`: nobody can write to it any more. `closed`: we let go of it, and whoever still writes
    gets SIGPIPE or a hang-up.
    """

    def __init__(
        self,
        name: str,
        source: int,
        target: int,
        guest: Guest,
        as_written: WithoutCarriageReturns | None = None,
    ) -> None:
        self.name = name
        self.source = source
        self.target = target
        self.ended = False
        self.closed = False
        self._guest = guest
        self._as_written = as_written
        self._flushed = False
        self._pending = memoryview(b"")
        self._piece_bytes = _safe_piece(target)
        self._last_progress = time.monotonic()
        self._bytes_since_exit: int | None = None
        os.set_blocking(source, False)

    @property
    def wants_input(self) -> bool:
        """Whether to wait until there is something to take in."""
        return not (self._pending or self.ended or self.closed)

    @property
    def wants_output(self) -> bool:
        """Whether to wait until our stream takes more."""
        return bool(self._pending) and not self.closed

    @property
    def finished(self) -> bool:
        """Whether everything that will come has been passed on."""
        return self.closed or (self.ended and not self._pending)

    def receive(self, before: Tee | None = None) -> None:
        """Take in what is there, pass on what can be, and show the guest what came.

        What stands in `before` goes first: all that was written there before what came here.
        """
        try:
            chunk = os.read(self.source, CHUNK_BYTES)
        except BlockingIOError:
            return
        except OSError:  # EIO: a terminal whose last holder is gone
            chunk = b""
        if not chunk:
            self.ended = True
            self.flush()
            return
        if before is not None and before.wants_input:
            before.receive()
        self._last_progress = time.monotonic()
        if self._bytes_since_exit is not None:
            self._bytes_since_exit += len(chunk)
        written = chunk if self._as_written is None else self._as_written(chunk)
        if self._guest.shows_all:
            self._give(chunk, written)
        elif written:
            shown = self._guest.shown(self.name, written)
            self._give(self._for_terminal(shown), shown)

    def flush(self) -> bool:
        """Bring out, once, what was held back until more came; return whether that is any."""
        if self._flushed:
            return False
        self._flushed = True
        rest = b"" if self._as_written is None else self._as_written.rest()
        if self._guest.shows_all:
            self._give(b"", rest)
        else:
            shown = self._guest.shown(self.name, rest) if rest else b""
            shown += self._guest.shown(self.name, b"")
            self._give(self._for_terminal(shown), shown)
        return bool(self._pending)

    def _give(self, to_target: bytes, to_guest: bytes) -> None:
        if not self.closed:
            self._pending = memoryview(to_target)
            self.pass_on()
        self._guest.output(self.name, to_guest)

    def _for_terminal(self, shown: bytes) -> bytes:
        """As the command's own terminal would have made it."""
        expands = self._as_written is not None and self._as_written.expands()
        return shown.replace(b"\n", b"\r\n") if expands else shown

    def pass_on(self) -> None:
        """Write as much as our stream takes without keeping us waiting."""
        while self._pending and _takes_more(self.target):
            try:
                written = os.write(self.target, self._pending[: self._piece_bytes])
            except BlockingIOError:
                return
            except OSError:
                # Our reader has gone (`| head`), or the disk is full. The command has to learn of
                # it by its own next write, as it would without us.
                self.close()
                return
            self._pending = self._pending[written:]
            self._last_progress = time.monotonic()

    def settle(self, gone_at: float) -> None:
        """The command has been gone since then: close what only its leftovers hold open."""
        if self._bytes_since_exit is None:
            self._bytes_since_exit = 0
        if self.finished or self._pending:
            return
        now = time.monotonic()
        quiet = now - max(self._last_progress, gone_at) >= QUIET_SECONDS
        overstayed = now - gone_at >= LINGER_SECONDS and (
            self._bytes_since_exit >= MOST_LEFT_BEHIND_BYTES or not _has_input(self.source)
        )
        if (quiet or overstayed) and not self.flush():
            self.close()

    def close(self) -> None:
        """Let go of the stream, and of what could not be passed on."""
        if not self.closed:
            self.closed = True
            self._pending = memoryview(b"")
            os.close(self.source)


def wait(
    reading: Iterable[int], writing: Iterable[int], watched: Iterable[int], timeout: float | None
) -> tuple[set[int], set[int], set[int]]:
    """Wait until a descriptor can be read, can be written, or has lost its reader (watched).

    `timeout` is in seconds, None for ever. An ended or broken descriptor counts as ready, so that
    the read or write that follows says so.
    """
    reading, writing, watched = set(reading), set(writing), set(watched)
    if sys.platform == "darwin":
        # poll(2) there does not know terminals. select(2) does, and cannot watch: a reader that
        # left is noticed at the next write.
        readable, writable, _ = select.select(reading, writing, (), timeout)
        return set(readable), set(writable), set()
    poll = select.poll()
    for descriptor in reading | writing | watched:
        wanted = select.POLLIN if descriptor in reading else 0
        poll.register(descriptor, wanted | (select.POLLOUT if descriptor in writing else 0))
    events = dict(poll.poll(None if timeout is None else timeout * 1000))
    over = select.POLLERR | select.POLLHUP | select.POLLNVAL
    return (
        {fd for fd, event in events.items() if fd in reading and event & (select.POLLIN | over)},
        {fd for fd, event in events.items() if fd in writing and event & (select.POLLOUT | over)},
        {fd for fd, event in events.items() if fd in watched and event & over},
    )


def _takes_more(target: int) -> bool:
    return bool(wait((), (target,), (), 0)[1])


def _has_input(source: int) -> bool:
    return bool(wait((source,), (), (), 0)[0])


def _safe_piece(target: int) -> int:
    """Return how many bytes a stream that is ready for some surely takes without blocking.

    Making it non-blocking instead is not ours to do: the flag belongs to everyone who shares it.
    """
    mode = os.fstat(target).st_mode
    waits = stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or os.isatty(target)
    return select.PIPE_BUF if waits and os.get_blocking(target) else CHUNK_BYTES
