"""The probe's log, against a system that does what it is told to."""

from __future__ import annotations

import errno
import importlib
import os
from pathlib import Path
from typing import Any

import pytest

from bundler import probe

probe.load()
module: Any = importlib.import_module("bundle_probe.log")


def a_log(tmp_path: Path, **replaced: Any) -> Any:
    """An open log on a system of which some calls are replaced."""
    path = tmp_path / "events.ndjson"
    path.write_bytes(b"")
    functions = {name: staticmethod(function) for name, function in replaced.items()}
    log = module.Log(str(path), 0, type("Rigged", (module.System,), functions))
    log.open()
    return log


def content(tmp_path: Path) -> bytes:
    """What stands in the log."""
    return (tmp_path / "events.ndjson").read_bytes()


def test_a_write_that_is_cut_short_is_continued(tmp_path: Path) -> None:
    log = a_log(tmp_path, write=lambda fd, data: os.write(fd, data[:3]))
    log.write("0123456789\n")
    assert content(tmp_path) == b"0123456789\n"


def test_a_line_is_one_write(tmp_path: Path) -> None:
    writes: list[bytes] = []

    def write(fd: int, data: bytes) -> int:
        writes.append(data)
        return os.write(fd, data)

    log = a_log(tmp_path, write=write)
    log.write("a\n")
    log.write("b\n")
    assert writes == [b"a\n", b"b\n"]


def test_a_line_over_the_limit_is_never_written(tmp_path: Path) -> None:
    log = a_log(tmp_path)
    with pytest.raises(ValueError, match="a line of"):
        log.write("x" * (1 << 20) + "\n")
    assert content(tmp_path) == b""


def test_another_process_writes_nothing(tmp_path: Path) -> None:
    pids = [1]
    log = a_log(tmp_path, getpid=lambda: pids[0])
    pids[0] = 2
    log.write("a\n")
    assert content(tmp_path) == b""


def test_it_is_synced_once_a_second_and_at_the_end(tmp_path: Path) -> None:
    clock, synced = [5_000_000_000], [0]

    def fsync(_: int) -> None:
        synced[0] += 1

    log = a_log(tmp_path, now=lambda: clock[0], fsync=fsync)
    log.sync()
    log.sync()
    assert synced == [1]
    clock[0] += 1_100_000_000
    log.sync()
    assert synced == [2]
    log.sync(at_once=True)
    assert synced == [3]


def test_a_slow_disk_is_synced_less_often(tmp_path: Path) -> None:
    clock, synced = [0], [0]

    def fsync(_: int) -> None:
        synced[0] += 1
        clock[0] += 500_000_000

    log = a_log(tmp_path, now=lambda: clock[0], fsync=fsync)
    log.sync()
    clock[0] += 5_000_000_000
    log.sync()
    assert synced == [1]
    clock[0] += 6_000_000_000
    log.sync()
    assert synced == [2]


def test_a_file_that_cannot_be_synced_is_no_failure_but_a_broken_disk_is(tmp_path: Path) -> None:
    errors = [errno.EINVAL]

    def fsync(_: int) -> None:
        raise OSError(errors[0], "no")

    log = a_log(tmp_path, fsync=fsync)
    log.sync(at_once=True)
    errors[0] = errno.EIO
    with pytest.raises(OSError, match="no"):
        log.sync(at_once=True)


def test_a_clock_behind_the_start_of_the_run_counts_from_now(tmp_path: Path) -> None:
    path = tmp_path / "events.ndjson"
    path.write_bytes(b"")
    rigged = type("Rigged", (module.System,), {"now": staticmethod(lambda: 7_000)})
    assert module.Log(str(path), 9_000_000, rigged).now_us() == 0


def test_the_first_problem_is_the_one_that_is_kept(tmp_path: Path) -> None:
    log = a_log(tmp_path)
    log.disarm(OSError("first"))
    log.disarm(OSError("second"))
    assert log.problem == "OSError: first"
    log.write("a\n")
    assert content(tmp_path) == b""
