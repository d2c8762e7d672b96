"""Places that are odd, small or broken: an error is one sentence, and the command runs as ever."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import BUNDLE, Ended, Place, place
from full_size import FULL
from test_bad_input import mounted
from tools import cannot

from bundler import bundle
from bundler.store import Store
from bundler.verification import verify

pytestmark = pytest.mark.skipif(os.name == "nt", reason="POSIX files, limits and clocks")
FAILS = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
SUITE = "def test_a(): assert 0\n"


@pytest.fixture
def here(tmp_path: Path) -> Place:
    made = place(tmp_path)
    made.file("test_it.py", SUITE)
    return made


def runs_as_ever(ended: Ended) -> list[str]:
    """The suite failed as it does; return what was said of the recording."""
    assert (ended.code, "1 failed" in ended.stdout) == (1, True), ended
    assert "Traceback" not in ended.stderr
    return [
        one for one in ended.stderr.splitlines() if "not recording" in one or "incomplete" in one
    ]


def without_home(here: Place, *words: str, **more: str) -> Ended:
    environment = here.environment(**more)
    for name in ("HOME", "BUNDLE_STORE"):
        environment.pop(name, None)
    done = subprocess.run(
        [*BUNDLE, *words], cwd=here.project, env=environment, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    return Ended(done.returncode, done.stdout, done.stderr)


def test_without_a_home_it_records_where_the_system_says_or_says_why_not(here: Place) -> None:
    state = here.project.parent / "state"
    said = runs_as_ever(without_home(here, "run", "--", *FAILS, XDG_STATE_HOME=str(state)))
    assert said == []
    assert without_home(here, "replay", XDG_STATE_HOME=str(state)).code == 0
    assert list(state.rglob(bundle.MANIFEST))


def test_a_store_below_a_file_is_one_line_and_the_suite_runs(here: Place) -> None:
    file = here.file("a file", "")
    for path in (file, file / "below"):
        ended = here.bundle("run", "--", *FAILS, BUNDLE_STORE=str(path))
        assert len(runs_as_ever(ended)) == 1, ended.stderr
        listed = here.bundle("list", BUNDLE_STORE=str(path))
        assert listed.code in (0, 2)
        assert "Traceback" not in listed.stderr


def test_a_path_that_is_no_utf_8_is_recorded_and_read(tmp_path: Path) -> None:
    folder = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9 \xff")
    try:
        Path(folder).mkdir()
    except OSError:
        cannot("this file system takes no name that is not UTF-8")
    here = place(Path(folder))
    here.file("test_it.py", SUITE)
    assert runs_as_ever(here.bundle("run", "--", *FAILS)) == []
    shown = here.bundle("replay")
    assert (shown.code, "test_it.py" in shown.stdout) == (0, True)
    assert here.bundle("pack", "-o", "run.zip").code == 0
    assert here.bundle("replay", f"{folder}/project/run.zip").code == 0
    assert verify(here.latest()) == []


def test_a_file_size_limit_is_one_line_and_the_suite_runs(here: Place) -> None:
    here.file("test_it.py", "def test_a():\n    print('x' * 200_000)\n    assert 0\n")
    limited = f'ulimit -f 64; exec "$@"'  # noqa: F541 - 32 or 64 KiB, by the shell
    command = ["sh", "-c", limited, "limited", *BUNDLE, "run", "--", *FAILS, "--show-capture=no"]
    said = runs_as_ever(here.run(command))
    assert len(said) == 1, said
    [run] = Store(here.store, here.project).runs()
    assert bundle.read(run.path).manifest.status.state in ("interrupted", "failed")
    assert runs_as_ever(here.bundle("run", "--", *FAILS)) == []


@contextlib.contextmanager
def few_files(folder: Path, inodes: int) -> Iterator[None]:
    """A file system below a folder that takes so many files and no more."""
    folder.mkdir()
    options = f"size=4m,nr_inodes={inodes}"
    with mounted("-t", "tmpfs", "-o", options, "none", at=folder) as is_mounted:
        if not is_mounted:
            cannot("a file system of a few files needs root")
        yield


@pytest.mark.slow
@pytest.mark.parametrize("inodes", range(2, 16) if FULL else (2, 4, 6, 8, 12))
def test_a_store_without_inodes_is_one_line_and_the_suite_runs(here: Place, inodes: int) -> None:
    with few_files(here.store, inodes):
        said = runs_as_ever(here.bundle("run", "--", *FAILS))
        assert len(said) <= 1, said
        store = Store(here.store, here.project)
        for run in store.runs() if store.directory.is_dir() else []:
            if run.manifest is not None:
                recording = bundle.read(run.path)
                assert not recording.damaged_lines
                state = recording.manifest.status.state
                assert said or (state, verify(recording)) == ("failed", [])
        assert here.bundle("list").code == 0


def test_a_store_that_refuses_is_said_with_what_to_set(here: Place) -> None:
    here.file("taken", "a file where the store should be")
    store = str(here.project / "taken")
    [said] = runs_as_ever(here.bundle("run", "--", *FAILS, BUNDLE_STORE=store))
    assert said.endswith("; BUNDLE_STORE can name another place")


def test_a_wall_clock_that_jumps_back_leaves_durations_alone(here: Place) -> None:
    """The clock of the day is set back in the middle, in the test process and in the wrapper."""
    here.file("conftest.py", "import time\ntime.time = lambda: 0.0\ntime.time_ns = lambda: 0\n")
    code = "import sys, time; time.time = lambda: 0.0; time.time_ns = lambda: 0; " + (
        "from bundler.cli import main; main()"
    )
    runs_as_ever(here.run([sys.executable, "-c", code, "run", "--", *FAILS]))
    recording = here.latest()
    assert 0 < (recording.manifest.duration_us or 0) < 60_000_000
    assert all(0 <= event.ts_us < 60_000_000 for _, event in recording.events())
