"""Signals while a command is recorded: each is passed on once, and nothing is kept from it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from process_driver import (
    command,
    ended,
    environment,
    finish,
    heard,
    is_gone,
    python_snippet,
    start,
    wait_until,
)
from process_driver import nothing_outlives_its_test as nothing_outlives_its_test

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals, fork and pipes of POSIX")

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc, /dev/full or poll")


COUNTER = """
import collections
seen = collections.Counter()
def count(number, _):
    seen.update([signal.Signals(number).name])
for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2"):
    signal.signal(getattr(signal, name), count)
os.write(1, b"ready\\n")
deadline = time.monotonic() + 20
while not os.path.exists("enough") and time.monotonic() < deadline:
    time.sleep(0.02)
print(dict(seen))
"""


def start_counter(tmp_path: Path, **options: Any) -> subprocess.Popen[bytes]:
    process = start(tmp_path / "r", *python_snippet(COUNTER), cwd=tmp_path, **options)
    assert heard(process.stdout) == b"ready\n"
    return process


def counted(tmp_path: Path, process: subprocess.Popen[bytes]) -> dict[str, int]:
    time.sleep(0.4)
    (tmp_path / "enough").touch()
    seen: dict[str, int] = eval(finish(process)[0])
    return seen


def test_each_signal_is_passed_on_once_and_remembered(tmp_path: Path) -> None:
    process = start_counter(tmp_path)
    names = ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2"]
    for name in names:
        os.kill(process.pid, getattr(signal, name))
        time.sleep(0.05)
    assert counted(tmp_path, process) == dict.fromkeys(names, 1)
    assert ended(tmp_path / "r")["forwarded"] == names
    assert ended(tmp_path / "r")["code"] == 0


def test_a_second_signal_is_passed_on_as_well(tmp_path: Path) -> None:
    process = start_counter(tmp_path)
    for _ in range(2):
        os.kill(process.pid, signal.SIGTERM)
        time.sleep(0.1)
    assert counted(tmp_path, process) == {"SIGTERM": 2}
    assert ended(tmp_path / "r")["forwarded"] == ["SIGTERM", "SIGTERM"]


def test_a_signal_is_passed_on_while_our_reader_is_stuck(tmp_path: Path) -> None:
    process = start(
        tmp_path / "r", "sh", "-c", "trap 'touch told; exit 5' TERM; yes & wait", cwd=tmp_path
    )
    time.sleep(0.4)
    os.kill(process.pid, signal.SIGTERM)
    wait_until((tmp_path / "told").exists)
    time.sleep(0.2)
    os.kill(process.pid, signal.SIGTERM)  # the command is gone: this one is for us
    assert process.wait(timeout=5) == 5
    finish(process)
    assert ended(tmp_path / "r")["forwarded"] == ["SIGTERM"]


def test_a_signal_is_passed_on_while_the_recorder_is_busy(tmp_path: Path) -> None:
    prepare = "import time\nsettings['on_output'] = lambda *_: time.sleep(1.5)"
    script = "trap 'touch told; exit' TERM; echo x; while :; do sleep 0.05; done"
    process = start(tmp_path / "r", "sh", "-c", script, cwd=tmp_path, prepare=prepare)
    heard(process.stdout)
    began = time.monotonic()
    os.kill(process.pid, signal.SIGTERM)
    wait_until((tmp_path / "told").exists)
    assert time.monotonic() - began < 1
    finish(process)


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_signal_while_the_command_is_started_is_not_lost(tmp_path: Path, moment: str) -> None:
    prepare = f"""
import signal
from bundler.runners.process import posix
fork = posix.start
def start(launch):
    if "{moment}" == "before":
        os.kill(os.getpid(), signal.SIGTERM)
    started = fork(launch)
    if "{moment}" == "after":
        os.kill(os.getpid(), signal.SIGTERM)
    return started
posix.start = start
"""
    process = start(tmp_path / "r", "sleep", "10", prepare=prepare)
    began = time.monotonic()
    finish(process)
    assert process.returncode == -signal.SIGTERM
    assert time.monotonic() - began < 3


@linux_only
def test_killing_our_process_group_kills_the_command(tmp_path: Path) -> None:
    process = start(tmp_path / "r", "sh", "-c", "echo $$; exec sleep 30")
    pid = int(heard(process.stdout))
    os.killpg(process.pid, signal.SIGKILL)
    finish(process)
    wait_until(partial(is_gone, pid))


@linux_only
def test_the_command_has_the_dispositions_that_we_were_given(tmp_path: Path) -> None:
    show = "grep -E 'Sig(Ign|Blk)' /proc/self/status"
    expected = subprocess.run(["sh", "-c", show], stdout=subprocess.PIPE, check=True).stdout
    assert finish(start(tmp_path / "r", "sh", "-c", show))[0] == expected
    assert not int(expected.split()[3], 16) & 1 << signal.SIGPIPE - 1


@linux_only
def test_what_was_ignored_stays_ignored(tmp_path: Path) -> None:
    shell = ["sh", "-c", 'trap "" HUP INT; exec "$@"', "sh"]
    wrapped = command(tmp_path / "r", "grep", "SigIgn", "/proc/self/status")
    done = subprocess.run([*shell, *wrapped], env=environment(), stdout=subprocess.PIPE, check=True)
    assert int(done.stdout.split()[1], 16) == 1 << signal.SIGHUP - 1 | 1 << signal.SIGINT - 1


@linux_only
def test_a_blocked_or_ignored_sigchld_hides_no_end(tmp_path: Path) -> None:
    body = "print(*(line.split()[1] for line in open('/proc/self/status') if line[:3] == 'Sig'))"
    child = 1 << signal.SIGCHLD - 1
    for prepare, blocked, ignored in (
        ("import signal\nsignal.signal(signal.SIGCHLD, signal.SIG_IGN)", 0, child),
        ("import signal\nsignal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})", child, 0),
    ):
        process = start(tmp_path / "r", *python_snippet(body + "; sys.exit(7)"), prepare=prepare)
        mask, disposition, _ = (int(word, 16) for word in finish(process)[0].split()[-3:])
        assert process.returncode == 7
        assert mask & child == blocked
        assert disposition & child == ignored


def test_a_command_that_we_may_not_signal_runs_on(tmp_path: Path) -> None:
    prepare = """
import os
def refuse(*_):
    raise PermissionError(1, "Operation not permitted")
os.kill = refuse
"""
    process = start(tmp_path / "r", "sh", "-c", "echo up; sleep 0.3; exit 2", prepare=prepare)
    assert heard(process.stdout) == b"up\n"
    os.kill(process.pid, signal.SIGTERM)
    finish(process)
    assert process.returncode == 2
    assert ended(tmp_path / "r")["forwarded"] == ["SIGTERM"]


def test_under_nohup_a_hang_up_ends_neither(tmp_path: Path) -> None:
    wrapped = command(tmp_path / "r", "sh", "-c", "echo ready; sleep 0.5; echo done")
    process = subprocess.Popen(
        ["nohup", *wrapped],
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert heard(process.stdout) == b"ready\n"
    os.kill(process.pid, signal.SIGHUP)
    assert finish(process)[0] == b"done\n"
    assert process.returncode == 0
    assert ended(tmp_path / "r")["forwarded"] == []
