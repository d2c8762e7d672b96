"""The system as it was when this was loaded.

A test may patch `os`, `time`, `open` and `json`; freezegun and pyfakefs look through the globals of
every module. So whatever is needed is held by a class: nobody looks into those.
"""

from __future__ import annotations

import functools
import os
import sys
import threading
import time


class System:
    """What the writer needs of the system, each function as the standard library has it."""

    open, write, close = staticmethod(os.open), staticmethod(os.write), staticmethod(os.close)
    fstat, stat, lstat = staticmethod(os.fstat), staticmethod(os.stat), staticmethod(os.lstat)
    mkdir, listdir = staticmethod(os.mkdir), staticmethod(os.listdir)
    replace, unlink = staticmethod(os.replace), staticmethod(os.unlink)
    join = staticmethod(os.path.join)
    process = staticmethod(os.getpid)
    thread = staticmethod(threading.get_native_id)
    # The clock behind `monotonic_ns`, under a name that nobody patches, where it has one.
    now_ns = staticmethod(
        functools.partial(time.clock_gettime_ns, time.CLOCK_MONOTONIC)
        if sys.platform == "linux"
        else time.monotonic_ns
    )
