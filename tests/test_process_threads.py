"""A command under recording by pipes and threads, as on Windows; they work anywhere."""

from __future__ import annotations

import os
import random
import signal
import sys
from pathlib import Path

import pytest
from process_driver import (
    ended,
    finish,
    heard,
    leave,
    start,
)
from process_driver import nothing_outlives_its_test as nothing_outlives_its_test

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals, fork and pipes of POSIX")


@pytest.fixture
def threaded() -> str:
    return (
        "from bundler.runners.process import windows\n"
        "from bundler.runners.process.guest import Guest\n"
        "def run(argv, *, env, cwd, on_output, on_idle, show=None):\n"
        "    guest = Guest(on_output, on_idle, show)\n"
        "    return windows.run_with_threads(\n"
        "        argv, env=env, cwd=cwd, guest=guest, streams=(0, 1, 2))\n"
        "globals()['run'] = run\n"
    )


def test_threads_pass_every_byte_on(tmp_path: Path, threaded: str) -> None:
    content = random.Random(8).randbytes(3_000_000)
    (tmp_path / "content").write_bytes(content)
    script = "cat content & cat content >&2; wait; exit 3"
    process = start(tmp_path / "r", "sh", "-c", script, cwd=tmp_path, prepare=threaded)
    assert finish(process) == (content, content)
    assert (tmp_path / "r" / "stdout").read_bytes() == content
    assert (tmp_path / "r" / "stderr").read_bytes() == content
    assert process.returncode == 3


def test_threads_do_not_wait_for_a_grandchild(tmp_path: Path, threaded: str) -> None:
    script = "echo mine; sleep 30 & echo $! > pid"
    process = start(tmp_path / "r", "sh", "-c", script, cwd=tmp_path, prepare=threaded)
    process.wait(timeout=5)
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)
    assert finish(process) == (b"mine\n", b"")


def test_threads_let_a_reader_leave(tmp_path: Path, threaded: str) -> None:
    process = start(tmp_path / "r", "yes", prepare=threaded)
    heard(process.stdout)
    leave(process.stdout)
    assert process.wait(timeout=10) == -signal.SIGPIPE
    finish(process)


def test_threads_know_what_cannot_be_started(tmp_path: Path, threaded: str) -> None:
    process = start(tmp_path / "r", "no-such-command", prepare=threaded)
    assert finish(process) == (b"", b"")
    assert process.returncode == 127
    assert ended(tmp_path / "r")["error"] == "no-such-command: command not found"


def test_threads_survive_a_recorder_that_fails(tmp_path: Path, threaded: str) -> None:
    prepare = threaded + "settings['on_output'] = lambda *_: 1 / 0\n"
    process = start(tmp_path / "r", "sh", "-c", "echo 1; echo 2", prepare=prepare)
    assert finish(process) == (b"1\n2\n", b"")
    assert "ZeroDivisionError" in ended(tmp_path / "r")["recording_error"]
