"""A command under recording, its streams pipes and files: nobody notices that we are there."""

from __future__ import annotations

import hashlib
import os
import random
import resource
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from process_driver import (
    PYTHON,
    command,
    ended,
    environment,
    finish,
    heard,
    is_gone,
    leave,
    python_snippet,
    start,
    status_of,
    wait_until,
)
from process_driver import nothing_outlives_its_test as nothing_outlives_its_test

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals, fork and pipes of POSIX")

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc, /dev/full or poll")

# --- how it ends ---


def run_many(tmp_path: Path, body: str) -> str:
    """Call `run` many times in one process; `body` is that process's code."""
    code = f"import os, signal, sys\nfrom bundler.runners.process import *\n{body}"
    done = subprocess.run(
        [PYTHON, "-c", code],
        env=environment(),
        capture_output=True,
        check=False,
        timeout=30,
        cwd=tmp_path,
        start_new_session=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.decode()


def test_every_exit_code_is_the_commands(tmp_path: Path) -> None:
    body = """
for code in range(256):
    end = run(["/bin/sh", "-c", f"exit {code}"], env=os.environ, cwd=None, on_output=print)
    assert end == Exit(code, None), (code, end)
    assert shell_code(end) == code
print("checked")
"""
    assert run_many(tmp_path, body) == "checked\n"


def test_every_deadly_signal_is_the_commands(tmp_path: Path) -> None:
    body = """
harmless = {"SIGCHLD", "SIGCONT", "SIGSTOP", "SIGTSTP", "SIGTTIN", "SIGTTOU", "SIGURG", "SIGWINCH"}
for number in sorted(signal.valid_signals()):
    if number in [getattr(signal, name) for name in harmless]:
        continue
    script = f"ulimit -c 0; kill -{number:d} $$"
    end = run(["/bin/sh", "-c", script], env=os.environ, cwd=None, on_output=print)
    assert end == Exit(None, number), (number, end)
    assert shell_code(end) == 128 + number
print("checked")
"""
    assert run_many(tmp_path, body) == "checked\n"


@pytest.mark.parametrize("name", ["SIGTERM", "SIGKILL", "SIGSEGV", "SIGINT", "SIGPIPE"])
def test_a_wait_status_is_handed_on(tmp_path: Path, name: str) -> None:
    process = start(tmp_path / "r", "sh", "-c", f"ulimit -c 0; kill -{name[3:]} $$", cwd=tmp_path)
    finish(process)
    assert process.returncode == -getattr(signal, name)


def test_dying_like_the_command_leaves_no_core_of_ours(tmp_path: Path) -> None:
    def allow_core() -> tuple[int, int]:
        before = resource.getrlimit(resource.RLIMIT_CORE)
        resource.setrlimit(resource.RLIMIT_CORE, (before[1], before[1]))
        return before

    before = allow_core()
    try:
        process = start(tmp_path / "r", "sh", "-c", "ulimit -c 0; kill -SEGV $$", cwd=tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_CORE, before)
    finish(process)
    assert process.returncode == -signal.SIGSEGV
    assert [path.name for path in tmp_path.iterdir()] == ["r"]


@pytest.mark.parametrize(
    ("word", "code", "error"),
    [
        ("no-such-command", 127, "no-such-command: command not found"),
        ("", 127, ": command not found"),
        ("./missing", 127, "./missing: no such file or directory"),
        ("./plain.txt", 126, "./plain.txt: permission denied"),
        ("./plain.txt/x", 126, "./plain.txt/x: not a directory"),
        (".", 126, None),
        ("./binary", 126, "./binary: exec format error"),
        ("not-mine", 126, "not-mine: permission denied"),
    ],
)
def test_what_cannot_be_started_has_a_shells_code(
    tmp_path: Path, word: str, code: int, error: str | None
) -> None:
    (tmp_path / "plain.txt").write_text("text")
    (tmp_path / "not-mine").write_text("text")
    (tmp_path / "binary").write_bytes(b"\0\1\2\3")
    (tmp_path / "binary").chmod(0o755)
    searched = environment(PATH=f"{tmp_path}:/usr/bin:/bin")
    process = start(tmp_path / "r", word, cwd=tmp_path, env=searched)
    assert finish(process) == (b"", b"")
    assert process.returncode == code
    end = ended(tmp_path / "r")
    assert end["started"] is False
    assert end["error"] == error or error is None


def test_a_working_directory_that_is_missing_is_named(tmp_path: Path) -> None:
    body = """
from pathlib import Path
end = run(["true"], env=os.environ, cwd=Path("missing"), on_output=print)
print(end.started, end.code, end.error, flush=True)
end = run(["pwd"], env=os.environ, cwd=Path("/"), on_output=lambda *_: None)
"""
    assert run_many(tmp_path, body) == "False 126 missing: no such file or directory\n/\n"


def test_a_script_without_an_interpreter_line_is_run_by_the_shell(tmp_path: Path) -> None:
    (tmp_path / "tool").write_text('echo "$0 has $1"; exit 4\n')
    (tmp_path / "tool").chmod(0o755)
    process = start(tmp_path / "r", "./tool", "an argument", cwd=tmp_path)
    assert finish(process) == (b"./tool has an argument\n", b"")
    assert process.returncode == 4


# --- what it prints ---


def test_every_byte_is_passed_on_and_recorded(tmp_path: Path) -> None:
    content = random.Random(7).randbytes(10_000_000)
    (tmp_path / "content").write_bytes(content)
    script = "cat content & cat content >&2; wait"
    stdout, stderr = finish(start(tmp_path / "r", "sh", "-c", script, cwd=tmp_path))
    for copy in (
        stdout,
        stderr,
        *((tmp_path / "r" / s).read_bytes() for s in ("stdout", "stderr")),
    ):
        assert hashlib.sha256(copy).digest() == hashlib.sha256(content).digest()


def test_a_file_gets_what_a_pipe_gets(tmp_path: Path) -> None:
    with (tmp_path / "out").open("wb") as out:
        finish(start(tmp_path / "r", "sh", "-c", "printf 'a\\r\\nb\\n\\0'", stdout=out))
    assert (tmp_path / "out").read_bytes() == b"a\r\nb\n\0"


def test_two_streams_on_one_pipe_keep_their_order(tmp_path: Path) -> None:
    body = "for n in range(2000): os.write(1 + n % 2, b'%d\\n' % n)"
    process = start(tmp_path / "r", *python_snippet(body), stderr=subprocess.STDOUT)
    stdout, _ = finish(process)
    assert stdout == b"".join(b"%d\n" % n for n in range(2000))
    assert (tmp_path / "r" / "stdout").read_bytes() == stdout


def test_output_is_passed_on_at_once(tmp_path: Path) -> None:
    process = start(tmp_path / "r", "sh", "-c", "printf now; exec sleep 30")
    assert heard(process.stdout) == b"now"
    os.killpg(process.pid, signal.SIGTERM)
    finish(process)


@linux_only
def test_a_slow_reader_slows_the_command_and_loses_nothing(tmp_path: Path) -> None:
    body = """
for n in range(1500):
    os.write(1, b'%09d\\n' % n * 1000)
    open('progress', 'w').write(str(n))
"""
    process = start(tmp_path / "r", *python_snippet(body), cwd=tmp_path)
    time.sleep(0.6)
    assert int((tmp_path / "progress").read_text()) < 50
    assert int(status_of(process.pid, "VmHWM").split()[0]) < 60_000
    stdout, _ = finish(process)
    assert stdout == b"".join(b"%09d\n" % n * 1000 for n in range(1500))


def test_a_blocked_stdout_keeps_nothing_else_waiting(tmp_path: Path) -> None:
    body = """
import threading
os.write(1, b'x' * 1000)
time.sleep(0.1)
threading.Thread(target=lambda: os.write(1, b'x' * 1_000_000)).start()
time.sleep(0.3)
os.write(2, b'alive')
"""
    process = start(tmp_path / "r", *python_snippet(body))
    assert heard(process.stderr) == b"alive"
    stdout, _ = finish(process)
    assert len(stdout) == 1_001_000


def test_a_non_blocking_stdout_loses_nothing(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    script = "head -c 3000000 /dev/zero"
    process = start(tmp_path / "r", "sh", "-c", script, stdout=writer)
    os.close(writer)
    time.sleep(0.3)
    with os.fdopen(reader, "rb") as pipe:
        assert len(pipe.read()) == 3_000_000
    finish(process)
    assert process.returncode == 0


def test_the_last_bytes_reach_a_reader_that_is_slower_than_our_patience(tmp_path: Path) -> None:
    prepare = (
        "from bundler.runners.process import streams\n"
        "streams.LINGER_SECONDS = streams.QUIET_SECONDS = 0.05\n"
    )
    process = start(tmp_path / "r", "head", "-c", "150000", "/dev/zero", prepare=prepare)
    time.sleep(0.6)
    assert len(finish(process)[0]) == 150_000


def test_a_reader_that_leaves_ends_an_endless_command(tmp_path: Path) -> None:
    process = start(tmp_path / "r", "sh", "-c", "exec yes")
    heard(process.stdout)
    leave(process.stdout)
    assert process.wait(timeout=10) == -signal.SIGPIPE
    finish(process)


@linux_only
def test_a_reader_that_left_breaks_the_very_next_write(tmp_path: Path) -> None:
    # A shell's own printf: without the signal's default it would only complain.
    script = "echo one; read go; echo two; echo three >&2"
    process = start(tmp_path / "r", "sh", "-c", script, stdin=subprocess.PIPE)
    assert heard(process.stdout) == b"one\n"
    leave(process.stdout)
    time.sleep(0.2)
    assert process.stdin is not None
    process.stdin.write(b"go\n")
    process.stdin.flush()
    assert process.wait(timeout=10) == -signal.SIGPIPE
    assert finish(process)[1] == b""


@linux_only
def test_a_full_disk_ends_an_endless_command(tmp_path: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        process = start(tmp_path / "r", "yes", stdout=full)
        assert process.wait(timeout=10) == -signal.SIGPIPE
    finish(process)


def test_closed_streams_stay_closed(tmp_path: Path) -> None:
    body = """
open_ones = []
for fd in range(3):
    try:
        os.fstat(fd)
    except OSError:
        continue
    open_ones.append(fd)
open('open_ones', 'w').write(str(open_ones))
"""
    for closed, left in (("<&-", [1, 2]), (">&-", [0, 2]), ("2>&-", [0, 1]), ("<&- >&- 2>&-", [])):
        script = f'"$@" {closed}'
        wrapped = command(tmp_path / "r", *python_snippet(body))
        subprocess.run(["sh", "-c", script, "sh", *wrapped], env=environment(), cwd=tmp_path)
        assert (tmp_path / "open_ones").read_text() == str(left), closed
        assert ended(tmp_path / "r")["code"] == 0


def test_stdin_is_the_commands(tmp_path: Path) -> None:
    process = start(tmp_path / "r", "cat", stdin=subprocess.PIPE)
    assert finish(process, b"x\0y\n" * 100_000)[0] == b"x\0y\n" * 100_000


# --- who outlives it ---


def test_a_grandchild_that_stays_does_not_keep_us(tmp_path: Path) -> None:
    began = time.monotonic()
    process = start(tmp_path / "r", "sh", "-c", "echo mine; sleep 30 & echo $! > pid", cwd=tmp_path)
    process.wait(timeout=10)
    assert time.monotonic() - began < 2
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)
    assert finish(process)[0] == b"mine\n"


@linux_only
def test_a_grandchild_that_prints_for_ever_does_not_keep_us(tmp_path: Path) -> None:
    prepare = (
        "from bundler.runners.process import streams\n"
        "streams.LINGER_SECONDS = 0.5\n"
        "settings['on_output'] = lambda *_: None\n"
    )
    for chatter in ("exec yes", "while sleep 0.05; do echo y; done"):
        script = f"({chatter}) & echo $! > pid"
        options: dict[str, Any] = {"cwd": tmp_path, "stdout": subprocess.DEVNULL}
        process = start(tmp_path / "r", "bash", "-c", script, prepare=prepare, **options)
        began = time.monotonic()
        finish(process)
        assert process.returncode == 0
        assert 0.5 < time.monotonic() - began < 2
        # Its output has no reader any more.
        pid = int((tmp_path / "pid").read_text())
        wait_until(partial(is_gone, pid))


def test_what_a_grandchild_prints_right_after_the_end_is_kept(tmp_path: Path) -> None:
    script = "(sleep 0.1; echo late) & echo early"
    assert finish(start(tmp_path / "r", "sh", "-c", script))[0] == b"early\nlate\n"
    assert (tmp_path / "r" / "stdout").read_bytes() == b"early\nlate\n"


# --- descriptors ---


@linux_only
def test_descriptors_that_an_exec_would_keep_are_kept_and_ours_are_not(tmp_path: Path) -> None:
    first, second = os.pipe()
    body = """
listed = sorted(int(fd) for fd in os.listdir('/proc/self/fd'))
print([fd for fd in listed if fd > 2 and os.path.exists(f'/proc/self/fd/{fd}')])
"""
    process = start(tmp_path / "r", *python_snippet(body), pass_fds=(first, second))
    assert finish(process)[0].decode() == f"{[first, second]}\n"
    os.close(first)
    os.close(second)


def test_a_makefile_keeps_its_job_server(tmp_path: Path) -> None:
    inner = " ".join(command(tmp_path / "r", "$(MAKE)", "-f", "inner.mk"))
    (tmp_path / "Makefile").write_text(f"all:\n\t+@{inner}\n")
    (tmp_path / "inner.mk").write_text(
        "all: a b\n"
        "a:\n\t@mkfifo f; cat f\n"
        "b:\n\t@while test ! -p f; do sleep 0.02; done; echo met > f\n"
    )
    # One job waits for the other: with one slot only, this would never end.
    make = ["make", "-j2", "--no-print-directory"]
    options: dict[str, Any] = {"env": environment(), "cwd": tmp_path, "timeout": 20, "check": True}
    done = subprocess.run(make, capture_output=True, **options)
    assert (done.stdout, done.stderr) == (b"met\n", b"")


# --- the guest ---


def test_a_recorder_that_fails_disturbs_nothing(tmp_path: Path) -> None:
    prepare = """
calls = []
def fail(*_):
    calls.append(1)
    assert len(calls) == 1, "called again"
    raise OSError(28, "No space left on device")
settings["on_output"] = fail
"""
    script = "for n in 1 2 3; do echo $n; sleep 0.05; done; exit 9"
    process = start(tmp_path / "r", "sh", "-c", script, prepare=prepare)
    assert finish(process) == (b"1\n2\n3\n", b"")
    assert process.returncode == 9
    assert "No space left" in ended(tmp_path / "r")["recording_error"]


def test_without_a_descriptor_left_the_command_gets_our_own_streams(tmp_path: Path) -> None:
    prepare = """
from bundler.runners.process import wiring
def fail(*_, **__):
    raise OSError(24, "Too many open files")
wiring._channel = fail
"""
    process = start(tmp_path / "r", "sh", "-c", "echo still; exit 6", prepare=prepare)
    assert finish(process) == (b"still\n", b"")
    assert process.returncode == 6
    assert "Too many open files" in ended(tmp_path / "r")["recording_error"]


@pytest.mark.parametrize("call", ["pipe", "fork"])
def test_a_system_without_room_for_a_process_is_named(tmp_path: Path, call: str) -> None:
    prepare = f"""
import os
def fail():
    raise OSError(24, "Too many open files")
os.{call} = fail
"""
    process = start(tmp_path / "r", "true", prepare=prepare)
    assert finish(process) == (b"", b"")
    assert process.returncode == 126
    assert ended(tmp_path / "r")["error"] == "true: too many open files"


def test_idling_costs_next_to_nothing_and_is_told_four_times_a_second(tmp_path: Path) -> None:
    prepare = """
import atexit, resource
ticks = []
settings["on_idle"] = lambda: ticks.append(resource.getrusage(resource.RUSAGE_SELF).ru_utime)
atexit.register(lambda: print(len(ticks), ticks[-1] - ticks[0]))
"""
    stdout, _ = finish(start(tmp_path / "r", "sleep", "1.1", prepare=prepare))
    ticks, seconds = stdout.split()
    assert 3 <= int(ticks) <= 5
    assert float(seconds) < 0.05
