"""`bundle replay` as a person types it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from builders import RUN_ID, a_log, line
from replay_scenes import (
    all_passed,
    damaged,
    hostile,
    interrupted,
    of_every_verdict,
    on_disk,
    plain_command,
    recording,
    stored,
)

from bundler.cli import run
from bundler.commands.replay import recorded_exit_code
from bundler.manifest import RunStatus

Capture = pytest.CaptureFixture[str]


def bundle(
    *words: str, stdout: int = subprocess.PIPE, **environment: str
) -> subprocess.CompletedProcess[bytes]:
    """The program in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "bundler", *words],
        stdout=stdout,
        stderr=subprocess.PIPE,
        env={**in_its_own_process(), **environment},
        timeout=60,
    )


def in_its_own_process() -> dict[str, str]:
    """The environment, with streams that hold back, as they do unless somebody asks otherwise."""
    known = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    return {**known, "PYTHONPATH": str(Path(__file__).parents[1])}


def piped_into(reader: str, *words: str) -> subprocess.CompletedProcess[str]:
    """The program piped into another one; what it exits with is the last line."""
    command = f'"{sys.executable}" -m bundler "$@" | {reader}; echo "${{PIPESTATUS[0]}}"'
    return subprocess.run(
        ["bash", "-c", command, "bash", *words],
        capture_output=True,
        text=True,
        env=in_its_own_process(),
        timeout=60,
    )


def test_the_latest_run_is_shown(capfd: Capture) -> None:
    stored(all_passed())
    assert run(["replay"]) == 0
    out, err = capfd.readouterr()
    assert "Replaying run 0f4c1a52" in out
    assert "3 tests run: 3 passed" in out
    assert err == ""


def test_a_run_is_named_by_a_prefix_or_a_path(tmp_path: Path, capfd: Capture) -> None:
    stored(all_passed())
    assert run(["replay", RUN_ID[:3]]) == 0
    assert run(["replay", str(on_disk(of_every_verdict(), tmp_path / "failed run"))]) == 0
    out = capfd.readouterr().out
    assert "3 tests run: 3 passed" in out
    # What is to be typed next names the run as it was named here.
    assert f"bundle rerun '{tmp_path}/failed run'" in out


def test_a_replay_that_went_well_exits_with_zero_whatever_the_run_did(tmp_path: Path) -> None:
    path = str(on_disk(of_every_verdict(), tmp_path / "run"))
    assert run(["replay", path]) == 0
    assert run(["replay", path, "--exit-code"]) == 1


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (RunStatus("passed", exit_code=0), 0),
        (RunStatus("failed", exit_code=1), 1),
        (RunStatus("no_tests", exit_code=5), 5),
        (RunStatus("interrupted", signal="SIGKILL"), 137),
        (RunStatus("interrupted", exit_code=-11, signal="SIGSEGV"), 139),
        (RunStatus("interrupted", signal="SIGNOTHING"), 1),
        (RunStatus("interrupted"), 1),
        (RunStatus("running"), 1),
    ],
)
def test_the_exit_code_of_the_run_is_what_a_shell_saw(status: RunStatus, code: int) -> None:
    assert recorded_exit_code(recording(a_log(), status=status)) == code


def test_no_run_is_exit_code_four(capfd: Capture) -> None:
    assert run(["replay", "ffff"]) == 4
    assert "run 'ffff' is not in the store" in capfd.readouterr().err


def test_no_capture_shows_all_output_as_it_stands(tmp_path: Path, capfd: Capture) -> None:
    path = str(on_disk(of_every_verdict(), tmp_path / "run"))
    assert run(["replay", path, "--no-capture"]) == 0
    out = capfd.readouterr().out
    assert "── stdout ──\nadding\n" in out
    assert "\n3 + 4\n" in out


def test_what_was_asked_for_comes_before_no_capture(tmp_path: Path, capfd: Capture) -> None:
    path = str(on_disk(of_every_verdict(), tmp_path / "run"))
    words = ["--no-capture", "--success-output", "never", "--failure-output", "never"]
    assert run(["replay", path, *words]) == 0
    assert "──\n" not in capfd.readouterr().out.replace("─" * 12, "")


def test_damage_is_said_once_on_stderr(tmp_path: Path, capfd: Capture) -> None:
    path = str(on_disk(damaged(), tmp_path / "run"))
    assert run(["replay", path]) == 0
    out, err = capfd.readouterr()
    assert len(re.findall("cannot be read", err)) == 1
    assert err.startswith("warning: 2 lines of the event log cannot be read")
    assert "cannot be read" not in out


def test_a_filter_that_is_no_expression_is_a_usage_error(tmp_path: Path, capfd: Capture) -> None:
    assert run(["replay", str(on_disk(all_passed(), tmp_path / "run")), "--filter", "/(/"]) == 2
    assert "filter '/(/' is not a regular expression" in capfd.readouterr().err


@pytest.mark.parametrize(
    "words", [["--raw", "--json"], ["--raw", "--failed"], ["--raw", "--filter", "x"]]
)
def test_what_does_not_go_together_is_refused(words: list[str], capfd: Capture) -> None:
    stored(all_passed())
    assert run(["replay", *words]) == 2
    assert "do not go together" in capfd.readouterr().err


def test_raw_is_what_the_command_printed_byte_by_byte(tmp_path: Path) -> None:
    path = str(on_disk(plain_command(), tmp_path / "run"))
    ended = bundle("replay", "--raw", path)
    assert ended.stdout == (
        b"cc -c a.c\n\x1b[32mbuilt a.o\x1b[0m\nwarning: \x1b]0;title\x07 odd\ndone\n"
    )
    assert ended.stderr == b"warning: 123,456 bytes were not kept\n"


def test_raw_is_refused_on_a_terminal(tmp_path: Path) -> None:
    pty = pytest.importorskip("pty", reason="pseudo-terminals are POSIX")
    master, slave = pty.openpty()
    ended = bundle("replay", "--raw", str(on_disk(plain_command(), tmp_path / "r")), stdout=slave)
    os.close(slave)
    os.close(master)
    assert ended.returncode == 2
    assert b"recorded bytes could give it orders" in ended.stderr


def test_raw_of_a_run_without_output_says_so(tmp_path: Path) -> None:
    ended = bundle("replay", "--raw", str(on_disk(all_passed(), tmp_path / "run")))
    assert (ended.returncode, ended.stdout) == (0, b"")
    assert ended.stderr == b"warning: what the command printed is not in this recording\n"


def test_json_is_the_log_itself(tmp_path: Path) -> None:
    path = on_disk(of_every_verdict(), tmp_path / "run")
    assert bundle("replay", "--json", str(path)).stdout == (path / "events.ndjson").read_bytes()


def test_json_can_be_filtered(tmp_path: Path) -> None:
    path = str(on_disk(of_every_verdict(), tmp_path / "run"))
    out = bundle("replay", "--json", path, "--filter", "*::test_total").stdout
    events = [json.loads(one)["event"] for one in out.splitlines()]
    assert events == ["TestStarted", *["TestOutput"] * 4, "TestFinished"]


def test_json_means_the_same_and_gives_no_order(tmp_path: Path) -> None:
    odd = {"v": 1, "ts_us": 0, "level": "INFO", "category": "log", "event": "Own"}
    written = json.dumps({**odd, "message": "\x9b2J ##[group] \u202e \x7f 漢"}, ensure_ascii=False)
    made = recording(a_log() + written.encode() + b"\n")
    out = bundle("replay", "--json", str(on_disk(made, tmp_path / "run")), CI="true").stdout
    assert out.isascii()
    assert not re.search(rb"[\x00-\x09\x0b-\x1f\x7f]|##\[", out)
    assert json.loads(out.splitlines()[-1])["message"] == "\x9b2J ##[group] \u202e \x7f 漢"


def test_a_hostile_run_gives_no_order_to_a_pipe_in_ci(tmp_path: Path) -> None:
    ended = bundle("replay", str(on_disk(hostile(), tmp_path / "run")), CI="true")
    for stream in (ended.stdout, ended.stderr):
        text = stream.decode()
        assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]", text)
        assert not re.search(r"(?m)^\s*::|##\[", text)
    assert ended.returncode == 0


def test_colour_can_be_asked_for(tmp_path: Path) -> None:
    path = str(on_disk(all_passed(), tmp_path / "run"))
    assert b"\x1b[32;1m        PASS\x1b[0m" in bundle("replay", path, "--color", "always").stdout
    assert b"\x1b" not in bundle("replay", path).stdout


def test_a_reader_that_stops_gets_the_right_exit_code(tmp_path: Path) -> None:
    ids = [f"tests/test_a.py::test_{number}" for number in range(5000)]
    made = recording(
        a_log(*(line("TestStarted", one) for one in ids), status="failed"),
        status=RunStatus("failed", exit_code=9),
    )
    ended = piped_into("head -n 1", "replay", str(on_disk(made, tmp_path / "run")), "--exit-code")
    assert ended.stdout.split("\n")[1] == "9"
    assert ended.stderr == ""


@pytest.mark.parametrize("words", [["replay"], ["show"], ["replay", "--json"]])
def test_a_reader_that_never_read_is_no_error(words: list[str]) -> None:
    stored(all_passed())
    # What is short enough to be held back is written at the very end.
    ended = piped_into("sleep 0", *words)
    assert (ended.stdout, ended.stderr) == ("0\n", "")


def test_an_interrupted_run_tells_what_the_process_said_last(
    tmp_path: Path, capfd: Capture
) -> None:
    assert run(["replay", str(on_disk(interrupted(), tmp_path / "run"))]) == 0
    out = capfd.readouterr().out
    assert "Fatal Python error: Segmentation fault" in out
    assert "killed by SIGSEGV, while running tests/test_basket.py::test_hang" in out


def test_help_shows_examples(capfd: Capture) -> None:
    assert run(["replay", "--help"]) == 0
    out = capfd.readouterr().out
    assert "Examples:" in out
    assert "--failed" in out


@pytest.mark.slow
def test_a_hundred_thousand_tests_are_shown_in_seconds(tmp_path: Path) -> None:
    ids = [f"tests/test_{n // 100}.py::test_number[{n}]" for n in range(100_000)]
    log = a_log(
        *(
            [
                line("TestStarted", one, order=n),
                line("TestFinished", one, order=n, outcome="passed", call_us=100, failures=[]),
            ]
            for n, one in enumerate(ids)
        )
    )
    path = on_disk(recording(log), tmp_path / "run")
    begin = time.monotonic()
    ended = bundle("replay", str(path))
    # A second and a half on a quiet machine; the bound is for a loaded one.
    assert time.monotonic() - begin < 20
    assert ended.stdout.count(b"PASS [") == 100_000


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is of Linux")
def test_a_full_disk_is_one_sentence_and_exit_code_two(tmp_path: Path) -> None:
    path = str(on_disk(all_passed(), tmp_path / "run"))
    with Path("/dev/full").open("w") as full:
        ended = bundle("replay", path, stdout=full.fileno())
    assert ended.returncode == 2
    assert ended.stderr == b"error: stdout cannot be written: No space left on device\n"
