"""A process that runs pytest on many suites, each in a fork of its own, with a fault in the log.

    python guest_driver.py < jobs.json > ends.json

A job is a suite's directory, pytest's words and environment, where the output and the outcomes go,
and the fault; without `told` nothing is recorded. What starts is what `python -m pytest` starts;
only the half second in which an interpreter loads pytest is spent once for all of them.

| fault | what becomes of the log |
|---|---|
| `none` | nothing |
| `full` | it is `/dev/full`: no line of it is ever written |
| `fills` | the fifth line is written by half, and no more |
| `read_only` | it cannot be opened: EROFS |
| `vanishes` | at the first test its directory is deleted and its descriptor closed |
| `closed` | at the first test its descriptor is closed: it is opened anew |
| `broken_pipe` | it is a pipe whose reader goes away at the first test |
| `descriptors` | it cannot be opened: no descriptor is left |
| `defect:NAME` | none of it: a function of the probe, `module.function`, raises |
| `kill:K`, `torn:K` | the process is killed at its K-th line, before it or half-way |
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import importlib
import json
import os
import resource
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest

DEADLINE_S = 60.0


class Fault:
    """The plugin that brings the fault about; it notes every outcome as pytest reports it."""

    def __init__(self, job: dict[str, Any]) -> None:
        self.name, _, self.which = job["fault"].partition(":")
        self.at = int(self.which) if self.which.isdigit() else 5
        self.log = Path(job["log"])
        self.outcomes = str(job["outcomes"])
        self.system = os.open, os.write, os.close
        self.lines = 0
        self.reader = -1
        self.limits = (0, 0)

    @pytest.hookimpl(wrapper=True)
    def pytest_load_initial_conftests(self) -> Any:
        """The probe is loaded by now, and has not begun."""
        yield
        module = sys.modules.get("bundle_probe.log")
        if module is not None:
            self.prepare(module.System)

    def prepare(self, system: Any) -> None:
        if self.name in ("fills", "kill", "torn"):
            self.real_write, system.write = system.write, staticmethod(self.stop_at)
        elif self.name == "defect":
            break_function(self.which)
        elif self.name == "read_only":
            system.open = staticmethod(self.refuse)
        elif self.name == "broken_pipe":
            low = os.open(self.log, os.O_RDONLY | os.O_NONBLOCK)
            self.reader = fcntl.fcntl(low, fcntl.F_DUPFD_CLOEXEC, 400)  # the tests see the low ones
            os.close(low)
        elif self.name == "descriptors":
            free = os.dup(2)
            os.close(free)
            self.limits = resource.getrlimit(resource.RLIMIT_NOFILE)
            resource.setrlimit(resource.RLIMIT_NOFILE, (free, self.limits[1]))

    def stop_at(self, descriptor: int, content: bytes) -> int:
        if descriptor == 2:
            return int(self.real_write(descriptor, content))
        self.lines += 1
        if self.lines < self.at:
            return int(self.real_write(descriptor, content))
        if self.lines == self.at and self.name != "kill":
            written = int(self.real_write(descriptor, content[: len(content) // 2]))
            if self.name == "fills":
                return written
        if self.name == "fills":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("killed")

    def refuse(self, path: str, flags: int) -> int:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), path)

    @pytest.hookimpl(tryfirst=True)
    def pytest_configure(self) -> None:
        if self.limits[1]:
            resource.setrlimit(resource.RLIMIT_NOFILE, self.limits)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logstart(self) -> None:
        name, self.name = self.name, ""
        if name == "vanishes":
            shutil.rmtree(self.log.parent, ignore_errors=True)
        if name in ("vanishes", "closed"):
            for number in range(3, 600):
                with contextlib.suppress(OSError):
                    if "events.ndjson" in str(Path("/proc/self/fd", str(number)).readlink()):
                        os.close(number)
        if name == "broken_pipe" and self.reader >= 0:
            os.close(self.reader)
        if name in ("fills", "kill", "torn"):
            self.name = name

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        opening, write, close = self.system  # a test may have patched `os` by now
        descriptor = opening(self.outcomes, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        write(descriptor, f"{report.nodeid!a} {report.when} {report.outcome}\n".encode())
        close(descriptor)


def break_function(name: str) -> None:
    """Make a function of the probe raise, under whatever names its modules have it."""
    module, *attributes = name.split(".")
    holder: Any = importlib.import_module(f"bundle_probe.{module}")
    for attribute in attributes[:-1]:
        holder = getattr(holder, attribute)
    real = getattr(holder, attributes[-1])

    def broken(*_: Any, **__: Any) -> Any:
        raise ZeroDivisionError("a defect")

    setattr(holder, attributes[-1], broken)
    for known, other in list(sys.modules.items()):
        if known.startswith("bundle_probe."):
            for key, value in list(vars(other).items()):
                if value is real:
                    setattr(other, key, broken)


def begin(job: dict[str, Any]) -> None:
    """Be the child: give it the streams, the place and the environment of a process of its own."""
    for number, path in ((0, os.devnull), (1, job["out"]), (2, job["err"])):
        flags = os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        opened = os.open(path, flags, 0o600)
        os.dup2(opened, number)
        os.close(opened)
    os.chdir(job["suite"])
    os.environ.clear()
    os.environ.update(job["env"])
    sys.path[0] = job["suite"]
    if job["told"]:
        os.environ["BUNDLE_PROBE"] = job["told"]
        path = json.loads(job["told"])["path"]
        before = job["env"].get("PYTHONPATH")
        os.environ["PYTHONPATH"] = f"{path}{os.pathsep}{before}" if before else path
        sys.path.insert(1, path)
    sys.argv = ["pytest", *job["args"]]
    raise SystemExit(pytest.main(job["args"], plugins=[Fault(job)]))


def wait_for(pid: int, interrupt: str) -> int:
    """Return how a child ended; interrupt it once its file is there, kill it if it hangs."""
    deadline = time.monotonic() + DEADLINE_S
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        if interrupt and Path(interrupt).exists():
            time.sleep(0.1)  # it says so, and then waits to be interrupted
            os.kill(pid, signal.SIGINT)
            interrupt = ""
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.002)


def main() -> None:
    """Run every job, one after the other."""
    jobs: list[dict[str, Any]] = json.load(sys.stdin)
    ends = []
    for job in jobs:
        sys.stdout.flush()
        pid = os.fork()
        if pid == 0:
            begin(job)
        ends.append(wait_for(pid, job["interrupt"]))
    print(json.dumps(ends))


if __name__ == "__main__":
    main()
