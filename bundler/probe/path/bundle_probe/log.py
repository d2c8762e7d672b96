"""The log of the run as this process writes it: one descriptor, one write a line.

Everything it needs from the system is held in its own attributes, taken when the plugin was loaded:
tests patch `os`, `time`, `open` and `json`, and freezegun and pyfakefs look through the globals of
every module. Its first failure disarms it for good; what went wrong stands in `problem`.
"""

from __future__ import annotations

import _thread
import errno
import functools
import os
import sys
import time

from .text import shown

try:
    import fcntl
except ImportError:
    fcntl = None  # Windows

MAX_LINE_BYTES = 1 << 20
HIGH_DESCRIPTOR = 500
SYNC_INTERVAL_US = 1_000_000
_FLAGS = None if os.name == "nt" else os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC
_DUPLICATE = getattr(fcntl, "F_DUPFD_CLOEXEC", 0)
_UNSYNCED = (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP)


class System:
    """The system as it was when the plugin was loaded; a class, because nobody looks into those."""

    open, write, close = staticmethod(os.open), staticmethod(os.write), staticmethod(os.close)
    fstat, fsync, getpid = staticmethod(os.fstat), staticmethod(os.fsync), staticmethod(os.getpid)
    fcntl = staticmethod(fcntl.fcntl) if fcntl else None
    thread_id = staticmethod(getattr(_thread, "get_native_id", _thread.get_ident))
    # The clock behind `monotonic_ns`, under a name that nobody patches, where it has one.
    now = staticmethod(
        functools.partial(time.clock_gettime_ns, time.CLOCK_MONOTONIC)
        if sys.platform == "linux"
        else time.monotonic_ns
    )


class Log:
    """Appends whole lines to the log; the run's clock; disarmed for good by the first failure."""

    def __init__(self, path, t0_ns, system=System):
        self.path = path
        self.problem = None
        self.thread_id = system.thread_id
        self._system = system
        self._now, self._getpid = system.now, system.getpid
        self._write, self._fstat = system.write, system.fstat
        self._pid = system.getpid()
        # A clock that is behind the start of the run is another machine's or another namespace's.
        self._t0_ns = min(t0_ns, system.now())
        self._synced_us = -SYNC_INTERVAL_US
        self._descriptor = -1
        self._inode = self._device = None

    def open(self):
        """Open the log. Raises OSError where it is not there; it is never made here."""
        self._descriptor = descriptor = _out_of_the_way(
            _open_to_append(self.path, self._system), self._system
        )
        status = self._fstat(descriptor)
        if self._inode is None:
            self._inode, self._device = status.st_ino, status.st_dev
        elif (status.st_ino, status.st_dev) != (self._inode, self._device):
            raise OSError(errno.ESTALE, "the log was replaced")

    def open_or_disarm(self):
        """Open the log, or be disarmed from the start."""
        try:
            self.open()
        except OSError as error:
            self.disarm(error)

    def now_us(self):
        """Microseconds since the start of the run."""
        return (self._now() - self._t0_ns) // 1000

    def at_ns(self, us):
        """Return the time of the monotonic clock at that many microseconds since the start."""
        return self._t0_ns + us * 1000

    def is_ours(self):
        """Whether this is the process that began to record: a forked child writes nothing."""
        return self._getpid() == self._pid

    def write(self, line):
        """Append one line (str, ASCII, ended by a newline). Raises OSError."""
        if self.problem is not None or self._getpid() != self._pid:
            return
        content = line.encode("ascii")
        if len(content) > MAX_LINE_BYTES:
            raise ValueError(f"a line of {len(content)} bytes")
        try:
            status = self._fstat(self._descriptor)
            ours = status.st_ino == self._inode and status.st_dev == self._device
        except OSError:
            ours = False
        if not ours:
            # Somebody closed every descriptor, and this number may be theirs by now.
            self.open()
        written = self._write(self._descriptor, content)
        while written < len(content):
            content = content[written:]
            written = self._write(self._descriptor, content)

    def sync(self, at_once=False):
        """Make what was written durable, once a second at most unless it is to be at once."""
        now = self.now_us()
        if self.problem is not None or not self.is_ours():
            return
        if not at_once and now - self._synced_us < SYNC_INTERVAL_US:
            return
        try:
            self._system.fsync(self._descriptor)
        except OSError as error:
            if error.errno not in _UNSYNCED:
                raise
        # A slow disk is asked less often: a twentieth of the time at most goes into waiting for it.
        self._synced_us = self.now_us() + 20 * (self.now_us() - now)

    def disarm(self, error):
        """Write nothing any more, and remember why."""
        if self.problem is None:
            self.problem = f"{type(error).__name__}: {shown(error)}"

    def close(self):
        """Close the descriptor, if it is still the log's."""
        try:
            status = self._fstat(self._descriptor)
            if status.st_ino == self._inode and status.st_dev == self._device:
                self._system.close(self._descriptor)
        except OSError as error:
            self.disarm(error)
        self._descriptor = -1

    def say(self, sentence):
        """Write one line to the standard error that the process was started with."""
        try:
            self._write(2, f"bundle: {sentence}\n".encode("utf-8", "backslashreplace"))
        except OSError:
            pass


def guarded(hook):
    """Make a hook that never raises: what goes wrong in it disarms `self.log`."""

    @functools.wraps(hook)
    def never_raises(self, *arguments):
        try:
            hook(self, *arguments)
        except Exception as error:
            self.log.disarm(error)

    return never_raises


def _open_to_append(path, system):
    return system.open(path, _FLAGS) if _FLAGS is not None else _open_to_append_on_windows(path)


def _open_to_append_on_windows(path):
    """The C runtime's O_APPEND seeks, then writes: two processes overwrite each other.

    FILE_APPEND_DATA alone appends atomically. Not tried on a Windows machine yet.
    """
    import _winapi
    import msvcrt

    append, read_attributes, synchronize = 0x4, 0x80, 0x100000
    share_everything, open_existing = 0x7, 3
    access = append | read_attributes | synchronize
    handle = _winapi.CreateFile(path, access, share_everything, 0, open_existing, 0, 0)
    return msvcrt.open_osfhandle(handle, os.O_APPEND)


def _out_of_the_way(descriptor, system):
    """Move a descriptor to a high number, so that the tests see the low ones they always saw."""
    if system.fcntl is None:
        return descriptor
    try:
        moved = system.fcntl(descriptor, _DUPLICATE, HIGH_DESCRIPTOR)
    except OSError:
        return descriptor  # the limit of descriptors is lower than that
    system.close(descriptor)
    return moved
