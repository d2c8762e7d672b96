"""A process that opens samples with the program, each in a fork of its own, and measures each.

    python hostile_driver.py < jobs.json > ends.json

A job is `words` and a directory to be in. Its end is the exit code, what it said, the seconds of
processor time and the peak of its memory (VmHWM of /proc, which starts anew in a fork).
"""

from __future__ import annotations

import json
import os
import re
import resource
import sys
from pathlib import Path
from typing import Any

import bundler.cli

LOADED = (
    "words opening bundle verification replay formats.nextest formats.asupersync schema "
    "commands.replay commands.show commands.verify commands.export commands.add commands.rerun"
)


def preload() -> None:
    """Load what the commands load, once; the peak of a fork counts it all the same."""
    for name in LOADED.split():
        __import__(f"bundler.{name}")


def child(job: dict[str, Any], out: int) -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (30, 30))
    resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(os.open(f"{job['place']}/out", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), 1)
    os.dup2(os.open(f"{job['place']}/err", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), 2)
    os.chdir(job["place"])
    os.environ.update(job["environment"])
    began = resource.getrusage(resource.RUSAGE_SELF)
    code = bundler.cli.run(job["words"])
    sys.stdout.flush()
    ended = resource.getrusage(resource.RUSAGE_SELF)
    seconds = ended.ru_utime + ended.ru_stime - began.ru_utime - began.ru_stime
    status = Path("/proc/self/status").read_text()
    peak = re.search(r"VmHWM:\s+(\d+)", status)
    assert peak is not None
    measured = {"code": code, "seconds": seconds, "peak": int(peak[1]) << 10}
    os.write(out, json.dumps(measured).encode())
    os._exit(0)


def main() -> None:
    """Do every job."""
    preload()
    ends = []
    for job in json.load(sys.stdin):
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            child(job, write)
        os.close(write)
        with os.fdopen(read, "rb") as pipe:
            said = pipe.read()
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        died = {"code": status or 70, "seconds": 99.0, "peak": 0}
        ends.append(json.loads(said) if said else died)
    print(json.dumps(ends))


if __name__ == "__main__":
    main()
