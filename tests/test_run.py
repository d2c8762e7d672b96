"""`bundle run`: the child ends as it would have, and what it did is in the bundle."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from command_line import BUNDLE, Place, place

PYTEST = (sys.executable, "-m", "pytest", "-p", "no:cacheprovider")
PLUGIN = ("-p", "no:bundle", "-p", "bundler.pytest_plugin")
"""The plugin by its module's name, once, whether its entry point is installed here or not."""

MIXED = """
import pytest

def test_passes():
    print("said on the way")

def test_fails():
    assert 1 == 2

@pytest.mark.skip(reason="not today")
def test_skips():
    pass
"""

SLOW = """
import os, time

def test_first():
    pass

def test_slow():
    open("running", "w").close()
    time.sleep(60)

def test_never():
    pass
"""


@pytest.fixture
def here(tmp_path: Path) -> Place:
    return place(tmp_path)


def test_a_suite_is_recorded_and_ends_as_it_would_have(here: Place) -> None:
    here.file("test_mixed.py", MIXED)
    ended = here.bundle("run", "--", *PYTEST)
    assert ended.code == 1
    assert "1 failed, 1 passed, 1 skipped" in ended.stdout
    assert here.verdicts() == {
        "test_mixed.py::test_passes": "passed",
        "test_mixed.py::test_fails": "failed",
        "test_mixed.py::test_skips": "skipped",
    }


def test_the_last_line_names_the_run_its_seed_and_how_to_replay_it(here: Place) -> None:
    here.file("test_mixed.py", MIXED)
    ended = here.bundle("run", "--seed", "0xdeadbeef", "--", *PYTEST)
    short = here.latest().manifest.run_id[:8]
    assert ended.stderr.splitlines()[-1] == (
        f"bundle: 3 tests, 1 not passing, run {short}, seed 00000000deadbeef; "
        f"`bundle replay {short}`"
    )


def test_what_the_suite_prints_is_untouched(here: Place) -> None:
    here.file("test_mixed.py", MIXED)
    plain = here.run([*PYTEST, "--no-header", "-v"])
    recorded = here.bundle("run", "--no-hash-seed", "--", *PYTEST, "--no-header", "-v")
    without_time = [one.rpartition(" in ")[0] for one in (plain.stdout, recorded.stdout)]
    assert without_time[0] == without_time[1]
    assert plain.stderr == "" and recorded.stderr.startswith("bundle: ")
    assert recorded.stderr.count("\n") == 1


@pytest.mark.parametrize("code", [0, 1, 3, 42, 255])
def test_the_exit_code_is_the_childs(here: Place, code: int) -> None:
    ended = here.bundle("run", "--", sys.executable, "-c", f"raise SystemExit({code})")
    assert ended.code == code
    assert here.latest().manifest.status.exit_code == code


@pytest.mark.skipif(os.name == "nt", reason="signals are POSIX")
def test_a_child_that_dies_by_a_signal_is_a_death_by_that_signal(here: Place) -> None:
    ended = here.bundle("run", "--", "sh", "-c", "kill -9 $$")
    assert ended.code == -signal.SIGKILL
    status = here.latest().manifest.status
    assert (status.state, status.signal) == ("interrupted", "SIGKILL")


def test_a_command_that_is_not_there_gives_127(here: Place) -> None:
    ended = here.bundle("run", "--", "no-such-command-here")
    assert ended.code == 127
    assert "no-such-command-here" in ended.stderr
    assert here.latest().manifest.status.state == "not_started"


def test_a_plain_command_is_recorded_by_what_it_prints(here: Place) -> None:
    here.bundle("run", "--", "sh", "-c", "echo out; echo err >&2")
    recording = here.latest()
    pieces = list(recording.outputs(recording.results.run_output_offsets))
    assert {(one.stream, one.content) for one in pieces} == {
        ("stdout", b"out\n"),
        ("stderr", b"err\n"),
    }
    assert here.bundle("replay", "--raw").stdout in ("out\nerr\n", "err\nout\n")


def test_a_usage_error_of_pytest_is_recorded(here: Place) -> None:
    ended = here.bundle("run", "--", *PYTEST, "--no-such-option")
    assert ended.code == 4
    assert here.latest().manifest.status.state == "usage_error"


@pytest.mark.skipif(os.name == "nt", reason="process groups are POSIX")
def test_a_killed_process_group_leaves_a_bundle_that_names_the_running_test(here: Place) -> None:
    here.file("test_slow.py", SLOW)
    child = _running(here)
    os.killpg(child.pid, signal.SIGKILL)
    child.communicate()
    assert here.verdicts() == {
        "test_slow.py::test_first": "passed",
        "test_slow.py::test_slow": "unfinished",
        "test_slow.py::test_never": "not_run",
    }
    shown = here.bundle("replay")
    assert shown.code == 0
    assert "interrupted" in shown.stdout
    assert "test_slow.py::test_slow" in shown.stdout
    packed = here.bundle("pack", "-o", str(here.project / "run.zip"))
    assert packed.code == 0
    assert "interrupted" in here.bundle("replay", "run.zip").stdout


@pytest.mark.skipif(os.name == "nt", reason="signals are POSIX")
def test_a_cancelled_run_says_so_and_its_test_is_unfinished_not_failed(here: Place) -> None:
    here.file("test_slow.py", SLOW)
    child = _running(here)
    child.send_signal(signal.SIGINT)
    _, stderr = child.communicate(timeout=30)
    assert child.returncode == 2
    assert "cancelled" in stderr.decode()
    assert here.latest().manifest.status.state == "cancelled"
    assert here.verdicts()["test_slow.py::test_slow"] == "unfinished"


def test_a_test_that_exits_the_process_with_0_is_told_loudly(here: Place) -> None:
    here.file("test_exit.py", "import os\ndef test_exit():\n    os._exit(0)\n")
    ended = here.bundle("run", "--", *PYTEST)
    assert ended.code == 0
    assert "interrupted" in ended.stderr and "test_exit.py::test_exit" in ended.stderr
    assert here.latest().manifest.status.state == "interrupted"


def test_a_store_that_cannot_be_written_does_not_stop_the_tests(here: Place) -> None:
    here.store.write_text("a file, not a directory")
    ended = here.bundle("run", "--", sys.executable, "-c", "print('ran'); raise SystemExit(3)")
    assert (ended.code, ended.stdout) == (3, "ran\n")
    assert ended.stderr.startswith("bundle: not recording: ")
    assert ended.stderr.count("\n") == 1


def test_without_a_command_it_says_what_to_write(here: Place) -> None:
    ended = here.bundle("run")
    assert ended.code == 2
    assert "Traceback" not in ended.stderr


def test_a_hash_seed_comes_from_the_root_seed_unless_the_user_set_one(here: Place) -> None:
    show = [sys.executable, "-c", "import os; print(os.environ.get('PYTHONHASHSEED'))"]
    seeded = ("run", "--seed", "0xdeadbeefcafebabe", "--", *show)
    assert here.bundle(*seeded).stdout == "3405691582\n"
    assert here.bundle(*seeded, PYTHONHASHSEED="7").stdout == "7\n"
    assert here.bundle("run", "--no-hash-seed", "--", *show).stdout == "None\n"


def test_seed_variables_are_set_only_when_a_seed_is_imposed(here: Place) -> None:
    show = [sys.executable, "-c", "import os; print(os.environ.get('TEST_RANDOM_SEED'))"]
    assert here.bundle("run", "--", *show).stdout == "None\n"
    assert here.bundle("run", "--seed", "7", "--", *show).stdout == "7\n"
    assert here.bundle("run", "--", *show, BUNDLE_SEED="8").stdout == "8\n"
    assert here.bundle("run", "--seed", "7", "--", *show, TEST_RANDOM_SEED="1").stdout == "1\n"


@pytest.mark.parametrize("seed", ["x", "-1", str(2**64)])
def test_a_seed_that_is_none_is_a_usage_error(here: Place, seed: str) -> None:
    ended = here.bundle("run", "--seed", seed, "--", "true")
    assert ended.code == 2
    assert "seed" in ended.stderr


def test_xdist_workers_and_their_order_are_recorded(here: Place) -> None:
    here.file("test_many.py", "\n".join(f"def test_{n}(): pass" for n in range(20)))
    assert here.bundle("run", "--", *PYTEST, "-n", "2").code == 0
    tests = here.latest().results.tests
    assert len(tests) == 20
    places: dict[str | None, list[int | None]] = {}
    for test in tests:
        places.setdefault(test.worker, []).append(test.order)
    assert set(places) == {"gw0", "gw1"}
    assert all(order == list(range(len(order))) for order in places.values())


def test_pytest_bundle_records_without_the_wrapper(here: Place) -> None:
    here.file("test_mixed.py", MIXED)
    plugin = (*PYTEST, *PLUGIN, "--bundle")
    ended = here.run(plugin)
    assert ended.code == 1
    assert len(here.verdicts()) == 3
    assert here.latest().manifest.status.state == "failed"
    assert "bundle replay" in ended.stderr


def test_pytest_bundle_records_xdist_workers_too(here: Place) -> None:
    here.file("test_mixed.py", MIXED)
    here.run([*PYTEST, *PLUGIN, "--bundle", "-n", "2"])
    assert len(here.verdicts()) == 3
    assert {test.worker for test in here.latest().results.tests} <= {"gw0", "gw1"}


def test_pytest_bundle_under_bundle_run_records_once(here: Place) -> None:
    here.file("test_mixed.py", MIXED)
    here.bundle("run", "--", *PYTEST, *PLUGIN, "--bundle")
    assert len(here.verdicts()) == 3
    runs = [path for path in here.store.glob("*/*") if path.is_dir()]
    assert len(runs) == 1


def _running(here: Place) -> subprocess.Popen[bytes]:
    """A run in the middle of its slow test."""
    child = subprocess.Popen(
        [*BUNDLE, "run", "--", *PYTEST],
        cwd=here.project,
        env=here.environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    _wait_for(here.project / "running")
    return child


def _wait_for(path: Path) -> None:
    deadline = time.monotonic() + 30
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} never appeared"
        time.sleep(0.05)


def test_the_configured_limit_bounds_the_output_of_a_test(here: Place) -> None:
    here.file("test_loud.py", "def test_loud(): print('x' * 100_000)\n")
    here.file("pyproject.toml", "[tool.bundle]\noutput_limit = '10kB'\n")
    here.bundle("run", "--", *PYTEST)
    recording = here.latest()
    [test] = recording.results.tests
    pieces = list(recording.outputs(test.attempts[0].output_offsets))
    assert sum(len(piece.content) for piece in pieces) <= 10_000
    assert sum(piece.omitted_bytes for piece in pieces) > 80_000


def test_the_configured_colour_is_followed(here: Place) -> None:
    here.file("test_mixed.py", MIXED)
    here.bundle("run", "--", *PYTEST)
    assert "\x1b[" not in here.bundle("replay").stdout
    here.file("pyproject.toml", "[tool.bundle]\ncolor = 'always'\n")
    assert "\x1b[" in here.bundle("replay").stdout
    assert "\x1b[" not in here.bundle("replay", "--color", "never").stdout


@pytest.mark.parametrize(
    "fault", ["HostileRecording('a rule')", "OSError(5, 'a rule')", "KeyError('a rule')"]
)
@pytest.mark.parametrize("place", ["left_files.settle", "RunOutput.take", "last_words.last_lines"])
def test_whatever_goes_wrong_with_us_the_command_ends_as_it_ended(
    here: Place, place: str, fault: str
) -> None:
    faulty = f"""
import sys
from bundler import cli, last_words, left_files
from bundler.errors import HostileRecording
from bundler.run_output import RunOutput
def fail(*_, **__): raise {fault}
{place} = fail
sys.exit(cli.run(["run", "--", sys.executable, "-c", "print('said'); raise SystemExit(7)"]))
"""
    done = here.run([sys.executable, "-c", faulty])
    assert (done.code, done.stdout) == (7, "said\n")
    assert "a rule" in done.stderr
    assert "Traceback" not in done.stderr
    if fault.startswith("KeyError"):
        done = here.run([sys.executable, "-c", faulty], BUNDLE_TRACEBACK="1")
        assert (done.code, "Traceback" in done.stderr) == (7, True)
