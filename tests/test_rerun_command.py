"""`bundle rerun`: a chain from red to green, here and from a file of CI."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

import pytest
from command_line import Ended, Place, place

from bundler.store import Store

PYTEST = (sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q")

# Each test asks a file whether to pass, so that a chain can be told what to do.
SUITE = """
import json, pathlib, pytest

def told(name):
    outcomes = json.loads(pathlib.Path(__file__).with_name("outcomes.json").read_text())
    outcome = outcomes.get(name, "pass")
    if outcome == "skip":
        pytest.skip("told to")
    assert outcome == "pass"
"""


@pytest.fixture
def here(tmp_path: Path) -> Place:
    return place(tmp_path)


def lay(here: Place, *names: str, **outcomes: str) -> None:
    body = "".join(f"\ndef test_{name}():\n    told({name!r})\n" for name in names)
    here.file("test_it.py", SUITE + body)
    here.file("outcomes.json", json.dumps(outcomes))


def ran(here: Place) -> list[str]:
    return [t.test_id.partition("::test_")[2] for t in here.latest().results.tests if t.attempts]


def rerun(here: Place, *words: str) -> Ended:
    return here.bundle("rerun", *words)


def test_a_chain_runs_what_did_not_pass_until_nothing_is_outstanding(here: Place) -> None:
    lay(here, "a", "b", "c", b="fail", c="fail")
    assert here.bundle("run", "--", *PYTEST).code == 1
    root = here.latest().manifest
    lay(here, "a", "b", "c", c="fail")
    assert rerun(here).code == 1
    assert ran(here) == ["b", "c"]
    child = here.latest().manifest
    assert child.parent is not None and child.parent.run_id == root.run_id
    assert child.seed == root.seed
    lay(here, "a", "b", "c")
    ended = rerun(here)
    assert ended.code == 0
    assert "nothing is outstanding" in ended.stderr
    assert ran(here) == ["c"]


def test_a_run_that_ended_before_any_test_is_not_green_and_runs_again_as_a_whole(
    here: Place,
) -> None:
    lay(here, "a")
    broken = here.file("conftest.py", "import no_such_module")
    assert here.bundle("run", "--", *PYTEST).code == 4
    ended = rerun(here)
    assert ended.code == 4
    assert "it ended before any test was told of, so all of it runs" in ended.stderr
    assert "nothing is outstanding" not in ended.stderr
    assert "no test is outstanding, but the command ended with exit code 4" in ended.stderr
    broken.unlink()
    ended = rerun(here)
    assert (ended.code, ran(here)) == (0, ["a"])
    assert "nothing is outstanding" in ended.stderr


def test_a_rerun_that_ended_before_any_test_does_not_say_that_they_are_gone(here: Place) -> None:
    lay(here, "a", "b", b="fail")
    here.bundle("run", "--", *PYTEST)
    here.file("conftest.py", "import no_such_module")
    ended = rerun(here)
    assert ended.code == 4
    assert ended.stderr.splitlines()[-2:] == [
        "bundle: 1 still outstanding:",
        "  test_it.py::test_b",
    ]


def test_a_run_of_another_runner_that_ended_before_any_test_runs_again(here: Place) -> None:
    go = here.file("go", "#!/bin/sh\necho again >> ran\nexit 1\n")
    go.chmod(0o755)
    ended = here.bundle("run", "--", "./go", "test", "./...")
    assert "told of no test: it ended with exit code 1" in ended.stderr
    assert rerun(here).code == 1
    assert (here.project / "ran").read_text() == "again\nagain\n"


def test_nothing_left_to_run_is_success(here: Place) -> None:
    lay(here, "a")
    here.bundle("run", "--", *PYTEST)
    ended = rerun(here)
    assert ended.code == 0
    assert ran(here) == []


def test_a_new_test_is_run_too(here: Place) -> None:
    lay(here, "a", "b", b="fail")
    here.bundle("run", "--", *PYTEST)
    lay(here, "a", "b", "new")
    assert rerun(here).code == 0
    assert ran(here) == ["b", "new"]


def test_a_test_that_is_gone_is_listed_and_not_fatal(here: Place) -> None:
    lay(here, "a", "b", "c", b="fail", c="fail")
    here.bundle("run", "--", *PYTEST)
    lay(here, "a", "b")
    ended = rerun(here)
    assert ran(here) == ["b"]
    assert ended.stderr.splitlines()[-2:] == [
        "bundle: 1 still outstanding, not here any more:",
        "  test_it.py::test_c",
    ]
    lay(here, "a", "b", "c", b="fail", c="fail")
    here.bundle("run", "--", *PYTEST)
    lay(here, "a", "b", b="fail")
    assert rerun(here).stderr.splitlines()[-3:] == [
        "bundle: 2 still outstanding:",
        "  test_it.py::test_b",
        "  test_it.py::test_c  (not here any more)",
    ]


def test_a_rerun_in_another_project_says_where_the_run_is_from(here: Place) -> None:
    lay(here, "a", "b", b="fail")
    here.bundle("run", "--", *PYTEST)
    here.bundle("pack", "-o", "ci.zip")
    for name in ("test_it.py", "outcomes.json"):
        (here.project / name).unlink()
    ended = rerun(here, "ci.zip")
    assert ended.code == 5
    assert "none of its tests is in this project; run " in ended.stderr
    assert f"was recorded in {here.project}\n" in ended.stderr


def test_a_narrowed_rerun_forgets_nothing_and_says_what_is_left(here: Place) -> None:
    lay(here, "a", "b", "c", b="fail", c="fail")
    here.bundle("run", "--", *PYTEST)
    lay(here, "a", "b", "c")
    ended = rerun(here, "--", "-k", "test_b")
    assert ended.code == 5
    assert "1 still outstanding" in ended.stderr and "test_it.py::test_c" in ended.stderr
    assert ran(here) == ["b"]
    assert rerun(here).code == 0
    assert ran(here) == ["c"]


def test_a_rerun_of_nothing_in_its_scope_with_tests_outstanding_gives_5(here: Place) -> None:
    lay(here, "a", "b", b="fail")
    here.bundle("run", "--", *PYTEST)
    assert rerun(here, "--", "-k", "no_such_test").code == 5


def test_a_test_that_failed_later_is_outstanding_again(here: Place) -> None:
    lay(here, "a", "b", b="fail")
    here.bundle("run", "--", *PYTEST)
    lay(here, "a", "b", a="fail")
    here.bundle("run", "-R", "latest", "--", *PYTEST)
    assert ran(here) == ["b"]
    ended = rerun(here, "--order", "full")
    assert ended.code == 1
    assert ran(here) == ["b", "a"]  # the order of the run before, then what it did not run
    lay(here, "a", "b")
    assert rerun(here).code == 0
    assert ran(here) == ["a"]


def test_order_worker_runs_what_ran_before(here: Place) -> None:
    lay(here, "a", "b", "c", "d", c="fail")
    here.bundle("run", "--", *PYTEST)
    rerun(here, "--order", "worker")
    assert ran(here) == ["a", "b", "c"]


def test_an_interrupted_run_leaves_what_never_started(here: Place) -> None:
    here.file("test_it.py", "def test_a(): pass\ndef test_b(): import os; os._exit(0)\n")
    here.file("test_then.py", "def test_c(): pass\n")
    here.bundle("run", "--", *PYTEST)
    here.file("test_it.py", "def test_a(): pass\ndef test_b(): pass\n")
    assert rerun(here).code == 0
    assert ran(here) == ["b", "c"]


def test_a_file_that_could_not_be_collected_is_run_once_it_can(here: Place) -> None:
    lay(here, "a")
    here.file("test_broken.py", "import no_such_module\ndef test_later(): pass\n")
    assert here.bundle("run", "--", *PYTEST).code == 2
    here.file("test_broken.py", "def test_later(): pass\n")
    ended = rerun(here)
    assert ended.code == 0, ended
    assert "not here any more" not in ended.stderr
    assert len(ran(here)) == 2


def test_under_xdist_the_selection_is_the_same(here: Place) -> None:
    lay(here, "a", "b", "c", b="fail")
    here.bundle("run", "--", *PYTEST, "-n", "2")
    lay(here, "a", "b", "c")
    assert rerun(here).code == 0
    assert ran(here) == ["b"]


def test_a_file_from_ci_is_rerun_where_the_parent_never_was(here: Place, tmp_path: Path) -> None:
    lay(here, "a", "b", "c", b="fail", c="fail")
    here.bundle("run", "--", *PYTEST)
    here.bundle("pack", "-o", str(tmp_path / "ci.zip"))
    elsewhere = Place(tmp_path / "elsewhere", tmp_path / "another store")
    shutil.copytree(here.project, elsewhere.project)
    lay(elsewhere, "a", "b", "c", c="fail")
    environment = {"VIRTUAL_ENV": sys.prefix}
    first = elsewhere.bundle("rerun", str(tmp_path / "ci.zip"), **environment)
    assert first.code == 1
    assert "started by this project's environment" in first.stderr
    assert sorted(ran(elsewhere)) == ["b", "c"]
    parent = elsewhere.latest().manifest.parent
    assert parent is not None and parent.run_id == here.latest().manifest.run_id
    lay(elsewhere, "a", "b", "c")
    assert elsewhere.bundle("rerun").code == 0
    assert ran(elsewhere) == ["c"]


def test_a_strangers_options_come_back_only_from_the_list(here: Place, tmp_path: Path) -> None:
    lay(here, "a", "b", b="fail")
    here.file("evil.py", "import pathlib; pathlib.Path('pwned').touch()\n")
    hostile = ["-p", "evil", "-k", "test_", "--basetemp=out", "-o", "addopts=-x", "test_it.py"]
    here.bundle("run", "--", *PYTEST, *hostile)
    here.bundle("pack", "-o", str(tmp_path / "ci.zip"))
    elsewhere = Place(tmp_path / "elsewhere", tmp_path / "another store")
    shutil.copytree(here.project, elsewhere.project)
    (elsewhere.project / "pwned").unlink()
    ended = elsewhere.bundle("rerun", str(tmp_path / "ci.zip"), VIRTUAL_ENV=sys.prefix)
    assert "not applied: " in ended.stderr
    for word in ("evil", "--basetemp=out", "addopts=-x"):
        assert word in ended.stderr
    assert not (elsewhere.project / "pwned").exists()
    argv = elsewhere.latest().manifest.command.argv
    assert argv[argv.index("pytest") + 1 :] == [
        "-p",
        "no:cacheprovider",
        "-k",
        "test_",
        "test_it.py",
    ]


def test_the_configured_command_starts_the_rerun_of_a_strangers_run(
    here: Place, tmp_path: Path
) -> None:
    lay(here, "a", "b", b="fail")
    here.bundle("run", "--", *PYTEST)
    here.bundle("pack", "-o", str(tmp_path / "ci.zip"))
    elsewhere = Place(tmp_path / "elsewhere", tmp_path / "another store")
    shutil.copytree(here.project, elsewhere.project)
    command = json.dumps([sys.executable, "-m", "pytest", "-p", "no:cacheprovider"])
    elsewhere.file("pyproject.toml", f"[tool.bundle]\ncommand = {command}\n")
    ended = elsewhere.bundle("rerun", str(tmp_path / "ci.zip"))
    assert "[tool.bundle] command" in ended.stderr
    assert ran(elsewhere) == ["b"]


def test_a_rerun_is_a_use_of_its_parent(here: Place) -> None:
    lay(here, "a", "b", b="fail")
    here.bundle("run", "--", *PYTEST)
    parent = Store(here.store, here.project).find("latest").path
    os.utime(parent, (1, 1))
    rerun(here)
    assert parent.stat().st_mtime > 1_000_000


def test_the_list_draws_the_chain(here: Place) -> None:
    lay(here, "a", a="fail")
    here.bundle("run", "--", *PYTEST)
    rerun(here)
    rows = here.bundle("list").stdout.splitlines()
    assert "*latest" in rows[1] and "*latest" not in rows[0]
    listed = json.loads(here.bundle("list", "--json").stdout)
    assert listed[1]["parent_run_id"] == listed[0]["run_id"]
