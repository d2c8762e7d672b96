"""Watching where tests draw what no seed reaches, where the user asked for it: EntropyDrawn.

This is the one place that patches. For the time of the session these are replaced by functions that
note the caller and do what the original does: `os.urandom`, `uuid.uuid4`, `uuid.uuid1`, the draws
of `random.SystemRandom` (and so of `secrets`), an unseeded `random.Random()` and numpy
`default_rng()`, `time.time` and `time.time_ns`. `datetime.now` is written in C and cannot be
replaced: nothing is seen of it. A name that a module took with `from … import` before the session
is not seen either.

What is noted is the innermost caller below the root directory of the session (of the clock: only
the one who reads it); what draws without one (pytest, a fixture of a plugin) is not noted. Each
source and place is one event a test, at most 50 of them.
"""

from __future__ import annotations

import functools
import os
import random
import sys
import time
import uuid

import pytest

from .log import guarded
from .text import clip, test_id

MOST = 50
_DEEPEST = 60
_NOT_OURS = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}")


class Watch:
    """The plugin that watches the tests of this process."""

    def __init__(self, recorder, config):
        self.log = recorder.log
        self._recorder = recorder
        self._root = os.path.join(str(config.rootpath), "")
        self._item = None
        self._seen = set()
        self._undo = []
        self._busy = False
        self._patched_numpy = False

    def start(self):
        """Replace what is watched."""
        for module, name, source in (
            (os, "urandom", "os.urandom"),
            (uuid, "uuid4", "uuid.uuid4"),
            (uuid, "uuid1", "uuid.uuid1"),
        ):
            self._replace(module, name, source)
        for name in ("time", "time_ns"):
            # Logging and much else reads the clock too: only what a test itself reads counts.
            self._replace(time, name, f"time.{name}", direct=True)
        for name in ("random", "getrandbits", "randbytes"):
            if hasattr(random.SystemRandom, name):
                self._replace(random.SystemRandom, name, "random.SystemRandom")
        self._replace(random.Random, "__init__", "random.Random()", _is_unseeded_random)
        self._start_numpy()

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item):
        """Know whose draws they are."""
        self._item, self._seen = item, set()
        try:
            self._start_numpy()
        except Exception as error:
            self.log.disarm(error)
        yield
        self._item = None

    @pytest.hookimpl(trylast=True)
    @guarded
    def pytest_sessionfinish(self):
        """Put everything back."""
        while self._undo:
            holder, name, original = self._undo.pop()
            setattr(holder, name, original)

    def _start_numpy(self):
        numpy = None if self._patched_numpy else sys.modules.get("numpy.random")
        if hasattr(numpy, "default_rng"):
            self._patched_numpy = True
            self._replace(numpy, "default_rng", "numpy default_rng()", _is_unseeded)

    def _replace(self, holder, name, source, wanted=None, direct=False):
        original = getattr(holder, name)

        @functools.wraps(original)
        def watched(*args, **kwargs):
            if self._busy or self._item is None or not (wanted is None or wanted(args, kwargs)):
                return original(*args, **kwargs)
            # One inside another is one: uuid4 asks urandom.
            self._busy = True
            try:
                self._note(source, direct)
                return original(*args, **kwargs)
            finally:
                self._busy = False

        self._undo.append((holder, name, original))
        setattr(holder, name, watched)

    def _note(self, source, direct):
        try:
            place = self._caller(1 if direct else _DEEPEST)
            if place is None or len(self._seen) >= MOST or (source, *place) in self._seen:
                return
            self._seen.add((source, *place))
            self._write(source, *place)
        except Exception as error:
            self.log.disarm(error)

    def _caller(self, depth):
        """Return file and line of the innermost frame of the suite, or None."""
        frame = sys._getframe(3)
        for _ in range(depth):
            if frame is None:
                return None
            file = frame.f_code.co_filename
            if file.startswith(self._root) and not any(one in file for one in _NOT_OURS):
                return file, frame.f_lineno
            frame = frame.f_back
        return None

    def _write(self, source, file, line):
        known = test_id(self._item.nodeid)
        file = clip(self._recorder.relative(file), 4096)
        data = {"session": self._recorder.session, "source": source, "file": file, "line": line}
        words = f"{source} in {file}:{line}"
        self._recorder.event("EntropyDrawn", "test", words, data, test_id=known)


def begin(recorder, config):
    """Watch this process."""
    watch = Watch(recorder, config)
    config.pluginmanager.register(watch, "bundle_probe_entropy")
    watch.start()


def _is_unseeded(args, kwargs):
    return args == (None,) or (not args and kwargs.get("seed") is None)


def _is_unseeded_random(args, kwargs):
    generator, *given = args
    return not isinstance(generator, random.SystemRandom) and (
        (not given and kwargs.get("x") is None) or given == [None]
    )
