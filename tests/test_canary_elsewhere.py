"""A secret by routes that nobody means to take: names of things, what ends a run, chunk borders."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from canary import CANARY, SECRETS, leaks, leaks_in
from command_line import BUNDLE, Place

from bundler.store import Store

pytestmark = pytest.mark.skipif(os.name == "nt", reason="a script of sh, and signals")

PYTEST = (*BUNDLE[:1], "-m", "pytest", "-p", "no:cacheprovider", "-rA")
SUITE = """
import json, os, pathlib, subprocess, sys, threading, time, unittest, warnings
import pytest

SECRET = os.environ["API_TOKEN"]

def test_a_child_that_fails_shows_its_arguments():
    words = ["sh", "-c", "exit 3", "Authorization: Bearer " + SECRET]
    subprocess.run(words, check=True, env={"HEADER": SECRET})

def test_a_child_that_takes_too_long():
    subprocess.run(["sleep", "9", "#" + SECRET][:2], timeout=0.01, input=SECRET.encode())

@pytest.mark.parametrize("size", [131072, 131071, 262144, 65536])
def test_the_border_of_a_chunk(size):
    print("x" * (size - 9) + SECRET)
    print(" " * (size - 30) + SECRET, file=sys.stderr)

def test_pieces_at_the_border_of_what_is_written():
    for at in range(0, len(SECRET), 3):
        sys.__stdout__.write(SECRET[at : at + 3])
        sys.__stdout__.flush()
        os.write(2, SECRET[at : at + 3].encode())
        time.sleep(0.01)

def test_notes_and_groups():
    error = ValueError("inner " + SECRET)
    error.add_note("noted " + SECRET)
    raise ExceptionGroup("group " + SECRET, [error])

def test_a_chain():
    try:
        {}[SECRET]
    except KeyError as error:
        raise RuntimeError("outer") from error

def test_a_thread():
    one = threading.Thread(target=lambda: {}[SECRET], name="thread-" + SECRET)
    one.start()
    one.join()

def test_no_traceback():
    pytest.fail("failed " + SECRET, pytrace=False)

class TestSub(unittest.TestCase):
    def test_sub(self):
        with self.subTest(SECRET, key=SECRET):
            self.assertEqual(SECRET, "other")

def test_properties(record_property, record_testsuite_property):
    record_property(SECRET, {"nested": [SECRET]})
    record_testsuite_property("suite", SECRET)

def test_bytes_and_paths():
    assert [SECRET.encode(), pathlib.Path("/tmp", SECRET)] == []

def test_a_deep_structure():
    assert {"a": {"b": [{"c": SECRET * 3}]}} == {"a": {"b": [{"c": SECRET * 2}]}}

def test_a_docstring():
    assert 0, json.dumps({"cookie": f"session={SECRET}; path=/"})

"""
BROKEN = 'import os\nraise RuntimeError("cannot import: " + os.environ["API_TOKEN"])\n'


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Place:
    folder = tmp_path_factory.mktemp("elsewhere") / f"in-{CANARY}"
    project = folder / f"project-{CANARY}"
    project.mkdir(parents=True)
    here = Place(project, folder.parent / "store")
    here.file("pyproject.toml", "")
    here.file("test_it.py", SUITE)
    here.file("test_broken.py", BROKEN)
    for words in (["init", "-q", "-b", f"of-{CANARY}"], ["config", "user.name", CANARY]):
        subprocess.run(["git", *words], cwd=project, check=True)
    words = ["git", "-c", "user.email=a@b", "commit", "-q", "--allow-empty", "-m", CANARY]
    subprocess.run(words, cwd=project, check=True)
    ended = here.bundle("run", "--", *PYTEST, "--continue-on-collection-errors", **SECRETS)
    assert ended.code == 1, ended.stderr
    assert len(here.latest().results.tests) > 15
    return here


def run_of(here: Place) -> Path:
    """The run in the store, where the directory of the project gives its name to a directory."""
    return Store(here.store, here.project).find("latest").path


def test_it_is_nowhere_in_the_bundle(recorded: Place) -> None:
    assert leaks(run_of(recorded)) == []


def test_nor_in_what_is_made_of_it(recorded: Place) -> None:
    recorded.bundle("pack", "-o", "run.zip", **SECRETS)
    assert leaks_in((recorded.project / "run.zip").read_bytes()) == []
    for words in ("replay --status-level all", "show", "export --to junit -o -"):
        shown = recorded.bundle(*words.split(), COLUMNS="999").stdout
        assert leaks_in(shown.replace(str(run_of(recorded)), "").encode()) == [], words


@pytest.mark.parametrize(
    "ending",
    [
        "pytest.exit('because of ' + SECRET, 7)",
        "sys.exit(SECRET)",
        "os.write(1, SECRET[:9].encode()); os.write(1, SECRET[9:].encode()); os._exit(3)",
        "raise KeyboardInterrupt(SECRET)",
    ],
)
def test_nor_in_what_ends_a_run(tmp_path: Path, ending: str) -> None:
    here = Place(tmp_path, tmp_path / "store")
    here.file("pyproject.toml", "")
    head = 'import os, sys\nimport pytest\nSECRET = os.environ["API_TOKEN"]\n'
    here.file("test_it.py", f"{head}def test_ends():\n    {ending}\n")
    here.bundle("run", "--", *PYTEST, "-s", **SECRETS)
    assert here.latest().manifest.status.state != "passed"
    assert leaks(here.store) == []


@pytest.mark.slow
def test_nor_where_a_worker_dies(tmp_path: Path) -> None:
    here = Place(tmp_path, tmp_path / "store")
    here.file("pyproject.toml", "")
    head = 'import os, sys\nSECRET = os.environ["API_TOKEN"]\n'
    dies = "def test_dies():\n    os.write(2, SECRET.encode()); os.abort()\n"
    here.file(
        "test_it.py", f"{head}{dies}def test_prints():\n    print(SECRET); assert SECRET == ''\n"
    )
    here.bundle("run", "--", *PYTEST, "-n", "2", **SECRETS)
    assert {test.verdict for test in here.latest().results.tests} >= {"failed", "crashed"}
    assert leaks(here.store) == []
