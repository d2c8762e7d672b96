"""Where the probe reaches pytest: another environment, a grandchild; and what is said where not."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest
from command_line import Ended, Place, place

SUITE = """
def test_here():
    import importlib.util
    assert importlib.util.find_spec("bundler") is None

def test_fails():
    assert 0
"""
SCRIPTS = "Scripts" if os.name == "nt" else "bin"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment that has pytest and has never heard of bundler."""
    root = tmp_path_factory.mktemp("environment")
    venv.create(root, with_pip=True)
    python = root / SCRIPTS / "python"
    subprocess.run([python, "-m", "pip", "install", "-q", "pytest", "pytest-xdist"], check=True)
    return python


@pytest.fixture(scope="module")
def tool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`bundle` installed as a tool, in an environment of its own without pytest."""
    root = tmp_path_factory.mktemp("tool")
    venv.create(root, with_pip=True)
    source = Path(__file__).parent.parent
    subprocess.run([root / SCRIPTS / "python", "-m", "pip", "install", "-q", source], check=True)
    return root / SCRIPTS / "bundle"


@pytest.fixture
def here(tmp_path: Path) -> Place:
    fresh = place(tmp_path)
    fresh.file("test_suite.py", SUITE)
    return fresh


def recorded(here: Place, tool: Path, *command: str | Path, **environment: str) -> Ended:
    """Record a command with the installed tool, nothing of this checkout on the path."""
    words = [str(tool), "run", "--", *map(str, command)]
    return here.run(words, PYTHONPATH="", **environment)


def assert_recorded(here: Place, ended: Ended) -> None:
    assert "1 failed, 1 passed" in ended.stdout, ended
    assert here.verdicts() == {
        "test_suite.py::test_here": "passed",
        "test_suite.py::test_fails": "failed",
    }


def test_pytest_by_its_script(here: Place, tool: Path, stranger: Path) -> None:
    ended = recorded(here, tool, stranger.parent / "pytest")
    assert_recorded(here, ended)
    assert ended.code == 1


def test_pytest_as_a_module(here: Place, tool: Path, stranger: Path) -> None:
    assert_recorded(here, recorded(here, tool, stranger, "-m", "pytest"))


def test_pytest_under_xdist(here: Place, tool: Path, stranger: Path) -> None:
    assert_recorded(here, recorded(here, tool, stranger, "-m", "pytest", "-n", "2"))


def test_where_plugins_are_not_loaded_by_themselves(
    here: Place, tool: Path, stranger: Path
) -> None:
    ended = recorded(here, tool, stranger, "-m", "pytest", PYTEST_DISABLE_PLUGIN_AUTOLOAD="1")
    assert_recorded(here, ended)


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_make_starts_pytest(here: Place, tool: Path, stranger: Path) -> None:
    here.file("Makefile", f"test:\n\t{stranger} -m pytest\n")
    assert_recorded(here, recorded(here, tool, "make", "test"))


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_two_pytests_in_one_run_are_two_sessions(here: Place, tool: Path, stranger: Path) -> None:
    here.file("Makefile", f"test:\n\t-{stranger} -m pytest\n\t-{stranger} -m pytest\n")
    recorded(here, tool, "make", "test")
    results = here.latest().results
    assert len(results.sessions) == 2
    assert [len(results.with_id(f"test_suite.py::{name}")) for name in ("test_here",)] == [2]


def test_nox_starts_pytest(here: Place, tool: Path, stranger: Path) -> None:
    here.file(
        "noxfile.py",
        "import nox\n\n@nox.session(venv_backend='none')\ndef tests(session):\n"
        f"    session.run({str(stranger)!r}, '-m', 'pytest', external=True)\n",
    )
    assert_recorded(here, recorded(here, tool, sys.executable, "-m", "nox"))


def test_uv_run_starts_pytest(here: Place, tool: Path, stranger: Path) -> None:
    uv = ("uv", "run", "--offline", "--no-project", "--python", stranger, "python", "-m", "pytest")
    assert_recorded(here, recorded(here, tool, sys.executable, "-m", *uv))


def test_tox_that_hides_the_environment_is_told(here: Place, tool: Path, stranger: Path) -> None:
    _tox(here, stranger, "")
    ended = recorded(here, tool, sys.executable, "-m", "tox", "-q")
    assert "1 failed, 1 passed" in ended.stdout
    assert list(here.verdicts().values()) == ["failed"]
    assert "recorded as a plain command" in ended.stderr
    assert "pass_env" in ended.stderr


def test_tox_that_passes_the_environment_on_is_recorded(
    here: Place, tool: Path, stranger: Path
) -> None:
    _tox(here, stranger, "pass_env = PYTHONPATH,BUNDLE_*")
    assert_recorded(here, recorded(here, tool, sys.executable, "-m", "tox", "-q"))


@pytest.mark.parametrize("flag", ["-I", "-E", "-sE"])
def test_an_isolated_interpreter_runs_as_ever_and_is_told(
    here: Place, tool: Path, stranger: Path, flag: str
) -> None:
    ended = recorded(here, tool, stranger, flag, "-m", "pytest")
    assert ended.code == 1
    assert "1 failed, 1 passed" in ended.stdout
    assert here.verdicts() == {}
    assert "python -I and -E ignore PYTHONPATH" in ended.stderr
    assert here.latest().manifest.status.state == "failed"


def test_a_rerun_in_the_other_environment_keeps_to_what_failed(
    here: Place, tool: Path, stranger: Path
) -> None:
    recorded(here, tool, stranger, "-m", "pytest")
    ended = here.run([str(tool), "rerun"], PYTHONPATH="")
    assert ended.code == 1
    assert here.verdicts() == {"test_suite.py::test_fails": "failed"}
    here.file("test_suite.py", SUITE.replace("assert 0", "pass"))
    assert here.run([str(tool), "rerun"], PYTHONPATH="").code == 0


def test_our_own_python_path_does_not_reach_the_tests(
    here: Place, tool: Path, stranger: Path
) -> None:
    here.file(
        "test_suite.py",
        "import os\n\ndef test_env():\n    assert 'PYTHONPATH' not in os.environ\n"
        "    assert 'BUNDLE_PROBE' not in os.environ\n",
    )
    environment = here.environment()
    del environment["PYTHONPATH"]
    command = [str(tool), "run", "--", str(stranger), "-m", "pytest"]
    done = subprocess.run(command, cwd=here.project, env=environment, capture_output=True)
    assert done.returncode == 0, done.stdout
    assert here.verdicts() == {"test_suite.py::test_env": "passed"}


def _tox(here: Place, python: Path, more: str) -> None:
    here.file(
        "tox.ini",
        "[tox]\nenv_list = tests\n[testenv]\nskip_install = true\nallowlist_externals = *\n"
        f"commands = {python} -m pytest\n{more}\n",
    )
