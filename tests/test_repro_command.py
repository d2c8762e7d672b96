"""`bundle repro` as a person runs it: what it leaves alone, what it starts, what it says."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from command_line import BUNDLE, Ended, Place, place

from bundler.store import Store

PYTEST = (sys.executable, "-m", "pytest", "-q", "-p", "no:hypothesispytest")
pytestmark = pytest.mark.slow

ORDER = """
LIST = []
def test_before(): pass
def test_polluter(): LIST.append(1)
def test_victim(): assert not LIST
"""


@pytest.fixture
def here(tmp_path: Path) -> Place:
    """A project with a store."""
    return place(tmp_path)


def recorded(here: Place, suite: str, *words: str, **environment: str) -> Ended:
    here.file("test_it.py", suite)
    return here.bundle("run", "--", *PYTEST, *words, **environment)


def documented(ended: Ended) -> dict[str, Any]:
    document = json.loads(ended.stdout)
    assert isinstance(document, dict)
    return document


def runs(here: Place) -> int:
    return len(Store(here.store, here.project).runs())


def test_the_verdict_names_the_polluter_and_the_line_for_pytest_alone_shows_it(
    here: Place,
) -> None:
    recorded(here, ORDER)
    told = here.bundle("repro")
    assert told.code == 1
    lines = told.stdout.splitlines()
    assert lines[0] == "ORDER DEPENDENT  test_it.py::test_victim"
    assert lines[2].strip() == "test_it.py::test_polluter"
    plain = next(line for line in lines if "without bundle:" in line).partition(":")[2].strip()
    assert plain.endswith("pytest 'test_it.py::test_polluter' 'test_it.py::test_victim'")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    by_hand = here.run(["sh", "-c", plain], PATH=path)
    assert (by_hand.code, "1 failed, 1 passed" in by_hand.stdout) == (1, True)


def test_progress_is_told_on_stderr_and_the_suite_s_own_output_nowhere(here: Place) -> None:
    recorded(here, "def test_victim():\n    print('noise')\n    assert 0\n", "-s")
    told = here.bundle("repro", "--json", "--repeat", "2")
    assert "noise" not in told.stdout + told.stderr
    assert told.stderr.count("alone: the same failure") == 2
    assert documented(told)["tests"][0]["runs"] == 3


def test_no_run_is_added_and_latest_stays_unless_they_are_kept(here: Place) -> None:
    recorded(here, "def test_victim(): assert 0\n")
    latest = here.latest().manifest.run_id
    here.bundle("repro", "--repeat", "1")
    assert (runs(here), here.latest().manifest.run_id) == (1, latest)
    here.bundle("repro", "--repeat", "1", "--keep")
    assert runs(here) == 3  # once as recorded, once without what was given of the recorded run
    assert here.latest().manifest.parent is not None


def test_pytest_s_own_memory_of_what_failed_last_is_left_alone(here: Place) -> None:
    recorded(here, "def test_a(): assert 0\ndef test_victim(): assert 0\n")
    memory = here.project / ".pytest_cache" / "v" / "cache" / "lastfailed"
    before = memory.read_text()
    here.bundle("repro", "latest", "victim", "--repeat", "1")
    assert memory.read_text() == before


def test_a_stranger_s_bundle_starts_nothing_of_its_own(here: Place, tmp_path: Path) -> None:
    suite = here.file("test_it.py", "def test_victim(): assert 0\n")
    here.file("own.ini", "[pytest]\n")
    own = here.file("bin/python", f'#!/bin/sh\ntouch "$0.ran"\nexec {sys.executable} "$@"\n')
    own.chmod(0o755)
    here.bundle("run", "--", str(own), *PYTEST[1:], "-c", "own.ini", "--basetemp", "elsewhere")
    here.bundle("pack", "-o", "run.zip")
    mark = own.with_name("python.ran")
    mark.unlink()
    (tmp_path / "again").mkdir()
    again = place(tmp_path / "again")
    for file in (suite, here.project / "own.ini", here.project / "run.zip"):
        shutil.copy(file, again.project)
    told = documented(again.bundle("repro", "run.zip", "--json", "--repeat", "1"))
    assert told["tests"][0]["verdict"] == "reproduced"
    assert not mark.exists()
    assert not (again.project / "elsewhere").exists()
    assert {"-c", "own.ini", "--basetemp", "elsewhere"} <= set(told["not_applied"])


def test_an_execution_that_hangs_is_ended_when_the_time_is_over(here: Place) -> None:
    suite = "import os, time\ndef test_victim():\n    time.sleep(60 * ('HANG' in os.environ))\n"
    recorded(here, suite + "    assert 0\n")
    told = here.bundle("repro", "--json", "--budget", "3", HANG="1")
    [test] = documented(told)["tests"]
    assert (told.code, test["verdict"]) == (2, "could_not_run")
    assert test["could_not_run"] == "it was ended when its time was over"


def test_without_time_nothing_is_claimed(here: Place) -> None:
    recorded(here, "def test_victim(): assert 0\n")
    told = here.bundle("repro", "--json", "--budget", "0")
    [test] = documented(told)["tests"]
    assert (test["verdict"], test["runs"], test["budget_spent"]) == ("could_not_run", 0, True)


def test_a_command_line_that_is_refused_is_not_called_not_reproduced(here: Place) -> None:
    here.file("conftest.py", "def pytest_addoption(parser): parser.addoption('--mode')\n")
    recorded(here, "def test_victim(): assert 0\n", "--mode", "x")
    (here.project / "conftest.py").unlink()
    [test] = documented(here.bundle("repro", "--json"))["tests"]
    assert test["verdict"] == "could_not_run"
    assert "--mode" in test["could_not_run"]


def test_every_failure_of_a_run_has_its_own_verdict(here: Place) -> None:
    recorded(here, ORDER + "def test_always(): assert 0\n")
    told = documented(here.bundle("repro", "--json", "--repeat", "2"))
    verdicts = {test["test_id"]: test["verdict"] for test in told["tests"]}
    assert verdicts == {
        "test_it.py::test_victim": "order_dependent",
        "test_it.py::test_always": "reproduced",
    }


def test_a_green_run_has_nothing_to_reproduce(here: Place) -> None:
    recorded(here, "def test_a(): pass\n")
    told = here.bundle("repro")
    assert (told.code, "no failed test" in told.stderr) == (0, True)
    assert documented(here.bundle("repro", "--json"))["tests"] == []
    assert here.bundle("repro", "latest", "test_a").code == 2
    assert here.bundle("repro", "latest", "test_none").code == 4


def test_a_failure_is_named_by_its_name_rather_than_by_what_it_begins(here: Place) -> None:
    recorded(here, "def test_a(): assert 0\ndef test_always(): assert 0\n")
    told = documented(here.bundle("repro", "test_a", "--json", "--repeat", "1"))
    assert [test["test_id"] for test in told["tests"]] == ["test_it.py::test_a"]


def test_failures_without_time_are_told_together(here: Place) -> None:
    suite = "import pytest\n@pytest.mark.parametrize('n', range(40))\ndef test_x(n): assert n < 0\n"
    recorded(here, suite)
    told = here.bundle("repro", "--repeat", "1", "--budget", "3")
    verdicts = [line for line in told.stdout.splitlines() if line[:1].isupper()]
    seen = [line for line in verdicts if line.startswith("REPRODUCED")]
    assert seen == [f"REPRODUCED  test_it.py::test_x[{n}]" for n in range(len(seen))]
    assert f"COULD NOT RUN  {40 - len(seen)} failures" in verdicts
    assert "there was no time to execute them; name one of them, or raise --budget:" in told.stdout
    assert told.stderr.count("bundle: test_it.py::test_x") == len(seen)
    as_json = documented(here.bundle("repro", "--repeat", "1", "--budget", "0.5", "--json"))
    assert len(as_json["tests"]) == 40


def test_failures_on_a_worker_are_shown_again_in_one_process(here: Place) -> None:
    recorded(here, ORDER, "-n1")
    [test] = documented(here.bundle("repro", "--json", "--repeat", "2"))["tests"]
    assert (test["verdict"], test["polluters"]) == (
        "order_dependent",
        ["test_it.py::test_polluter"],
    )
    assert "pytest -n0" in test["plain_command"]


def test_the_recorded_time_zone_is_given_to_the_execution_and_said(here: Place) -> None:
    suite = "import time\ndef test_victim(): assert time.localtime(0).tm_hour == 0\n"
    recorded(here, suite, TZ="Asia/Tokyo")
    told = here.bundle("repro", TZ="UTC")
    assert told.stdout.startswith("REPRODUCED")
    assert "TZ=Asia/Tokyo" in told.stdout


SELDOM = """
import pathlib
def test_seldom():
    count = pathlib.Path("count")
    times = int(count.read_text()) + 1 if count.exists() else 0
    count.write_text(str(times))
    assert times not in (0, 1), f"unlucky\\n{'abcdef'[times]}"
"""


def test_a_failure_that_differs_only_further_down_says_where_and_how_often(here: Place) -> None:
    recorded(here, SELDOM)
    told = here.bundle("repro").stdout
    assert "FAILS DIFFERENTLY" in told
    assert "it fails alone, but not as recorded, in 1 of " in told
    assert "AssertionError: unlucky: b, in place of a\n" in told


def test_where_the_executions_part_is_shown(here: Place) -> None:
    suite = "import os\ndef test_victim():\n    print('mode', os.environ.get('MODE'))\n"
    recorded(here, suite + "    assert 'MODE' not in os.environ\n", MODE="x")
    told = here.bundle("repro", "--repeat", "1")
    assert told.code == 0
    assert "text=mode x" in told.stdout
    assert "text=mode None" in told.stdout


def test_the_failing_test_s_own_file_that_changed_since_is_the_first_difference(
    here: Place,
) -> None:
    def git(*words: str) -> None:
        identity = ("-c", "user.name=x", "-c", "user.email=x@example.org")
        assert here.run(["git", *identity, *words]).code == 0

    git("init", "-q")
    here.file("test_it.py", "def test_victim(): assert 0\n")
    git("add", "-A")
    git("commit", "-qm", "red")
    here.bundle("run", "--", *PYTEST)
    here.file("test_it.py", "def test_victim(): assert 1\n")
    told = documented(here.bundle("repro", "--json", "--repeat", "1"))
    assert told["tests"][0]["verdict"] == "not_reproduced"
    assert told["environment"][0]["what"] == "file test_it.py"


def test_the_plain_line_works_where_the_command_was_started(here: Place) -> None:
    here.file("pytest.ini", "[pytest]\n")
    here.file("inner/test_it.py", "def test_victim(): assert 0\n")
    inside = ("sh", "-c", 'cd inner && exec "$@"', "sh")
    here.run([*inside, *BUNDLE, "run", "--", *PYTEST])
    told = here.run([*inside, *BUNDLE, "repro", "--json", "--repeat", "1"])
    [test] = documented(told)["tests"]
    assert test["test_id"] == "inner/test_it.py::test_victim"
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    by_hand = here.run([*inside, "sh", "-c", test["plain_command"]], PATH=path)
    assert "1 failed" in by_hand.stdout, test["plain_command"]


@pytest.mark.skipif(os.name == "nt", reason="Ctrl-C is sent to a POSIX process group")
def test_ctrl_c_ends_it_with_what_is_known_and_leaves_nothing_behind(here: Place) -> None:
    suite = "import os, time\nfrom pathlib import Path\nLIST = []\n"
    suite += "def test_polluter(): LIST.append(1)\n"
    suite += "def test_victim():\n    if 'AGAIN' in os.environ and LIST:\n"
    suite += "        Path('reached').touch()\n        time.sleep(60)\n    assert not LIST\n"
    recorded(here, suite)
    (here.project / "scratch").mkdir()
    environment = here.environment(AGAIN="1", TMPDIR=str(here.project / "scratch"))
    child = subprocess.Popen(
        [*BUNDLE, "repro", "--json"],
        cwd=here.project,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # A shell without job control starts what it puts aside with SIGINT ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    while not (here.project / "reached").exists():
        assert child.poll() is None
        time.sleep(0.05)
    child.send_signal(signal.SIGINT)
    stdout, stderr = child.communicate(timeout=30)
    told = json.loads(stdout)
    assert (child.returncode, told["stopped"]) == (130, True)
    [test] = told["tests"]
    assert (test["verdict"], test["runs"]) == ("could_not_run", 1)
    assert b"stopped; this is what is known" in stderr
    assert list((here.project / "scratch").glob("bundle-repro-*")) == []


def test_where_there_was_no_time_for_every_rung_nothing_is_called_not_reproduced(
    here: Place,
) -> None:
    suite = """
import os, time
LIST = []
def test_polluter():
    time.sleep(60 if os.path.exists("slow") else 0)
    LIST.append(1)
def test_victim(): assert not LIST
"""
    recorded(here, suite)
    here.file("slow", "")
    told = here.bundle("repro", "--budget", "8")
    assert told.code == 2, told.stderr
    assert told.stdout.startswith("COULD NOT RUN")
    assert "no failure in 1 execution, and no time for the others" in told.stdout


def test_a_report_of_junit_is_reproduced_under_the_names_of_pytest(here: Place) -> None:
    here.file("test_it.py", "def test_bad(): assert 1 == 2")
    here.run([*PYTEST, "--junitxml=report.xml"])
    told = here.bundle("repro", "report.xml", "test_bad")
    assert told.code == 1, told.stderr
    assert told.stdout.startswith("REPRODUCED  test_it.py::test_bad")


def test_a_run_of_another_runner_is_no_run_of_pytest(here: Place) -> None:
    here.bundle("run", "--", "sh", "-c", "exit 3")
    ended = here.bundle("repro")
    assert ended.code == 2
    assert "is a plain command; repro executes tests of pytest" in ended.stderr
    assert "hint: Run `bundle rerun " in ended.stderr
