"""A command under recording, its streams pipes and files: nobody notices that we are there."""

from __future__ import annotations

import hashlib
import json
import os
import random
import resource
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import IO, Any

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals, fork and pipes of POSIX")

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc, /dev/full or poll")

DRIVER = Path(__file__).parent / "record_process.py"
ROOT = DRIVER.parent.parent
PYTHON = sys.executable


def command(record: Path, *argv: str) -> list[str]:
    record.mkdir(exist_ok=True)
    return [PYTHON, str(DRIVER), str(record), *argv]


def environment(prepare: str = "", **more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "PREPARE": prepare, **more}


def start(record: Path, *argv: str, prepare: str = "", **options: Any) -> subprocess.Popen[bytes]:
    """Start a command under recording, without a terminal, as CI would."""
    settings: dict[str, Any] = {"stdin": subprocess.DEVNULL, "start_new_session": True}
    settings |= {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "env": environment(prepare)}
    process = subprocess.Popen(command(record, *argv), **{**settings, **options})
    running.append(process)
    return process


running: list[subprocess.Popen[bytes]] = []


@pytest.fixture(autouse=True)
def nothing_outlives_its_test() -> Iterator[None]:
    yield
    while running:
        process = running.pop()
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


def finish(process: subprocess.Popen[bytes], sent: bytes | None = None) -> tuple[bytes, bytes]:
    stdout, stderr = process.communicate(sent, timeout=20)
    return stdout or b"", stderr or b""


def heard(pipe: IO[bytes] | None) -> bytes:
    """Wait for the next piece that comes through a pipe."""
    assert pipe is not None
    assert select.select([pipe], [], [], 10)[0], "nothing came"
    return os.read(pipe.fileno(), 1000)


def leave(pipe: IO[bytes] | None) -> None:
    """Read no further, as `head` does."""
    assert pipe is not None
    pipe.close()


def ended(record: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((record / "exit.json").read_text())
    return document


def wait_until(holds: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.01)


def is_gone(pid: int) -> bool:
    try:
        return status_of(pid, "State").startswith("Z")
    except FileNotFoundError:
        return True


def python_snippet(body: str) -> list[str]:
    return [PYTHON, "-c", f"import os, signal, sys, time\n{body}"]


def status_of(pid: int, field: str) -> str:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return line.split(":", 1)[1].strip()
    raise AssertionError(f"no {field}")


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


# --- signals ---

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


# --- pipes and threads, as on Windows ---


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
