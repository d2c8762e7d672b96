"""The arguments with which a test runner was started, which only its own process may know."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from canary import CANARY, SECRETS, leaks
from command_line import Place, place

pytestmark = pytest.mark.skipif(os.name == "nt", reason="starts pytest from a script of sh")

CONFTEST = """
def pytest_addoption(parser):
    parser.addoption("--api-token", action="append")
    parser.addoption("--url")
"""
GIVEN = ["--api-token", "short77", "--api-token=second7", f"--ignore={CANARY}"]
GIVEN += [
    "--api-token",
    CANARY,
    "--api-token",
    "long-enough-for-a-secret",
    "--url",
    "https://me:w@host/x",
]
RECORDED = ["--api-token", "***", "--api-token=***", "--ignore=***$API_TOKEN***"]
RECORDED += ["--api-token", "***$API_TOKEN***", "--api-token", "***", "--url", "https://***@host/x"]


def recorded(tmp_path: Path, *options: str) -> tuple[Place, list[dict[str, Any]]]:
    """A suite that a script starts: the wrapper never sees what pytest is given."""
    here = place(tmp_path)
    here.file("conftest.py", CONFTEST)
    here.file(
        "test_it.py", "def test_it(request): print(request.config.getoption('--api-token'))\n"
    )
    words = " ".join(f"'{word}'" for word in GIVEN)
    here.file("run.sh", f"'{sys.executable}' -m pytest -q -p no:cacheprovider {words}\n")
    ended = here.bundle("run", *options, "--", "sh", "run.sh", **SECRETS)
    assert ended.code == 0, ended.stderr
    started = [one for _, one in here.latest().events() if one.event == "SessionStarted"]
    return here, [msgspec.json.decode(one.data, type=dict[str, Any]) for one in started]


def test_what_looks_secret_in_the_arguments_is_masked(tmp_path: Path) -> None:
    here, [started] = recorded(tmp_path)
    assert started["args"][-len(RECORDED) :] == RECORDED
    assert [one for one in leaks(here.store) if "run.sh" not in one] == []


def test_a_long_one_is_masked_wherever_the_suite_prints_it(tmp_path: Path) -> None:
    here, _ = recorded(tmp_path)
    logs = [one for _, one in here.latest().events()]
    assert any("TestOutput" in one.event for one in logs)
    assert not [one for one in logs if "long-enough-for-a-secret" in bytes(one.data).decode()]


def test_without_masking_they_are_what_they_were(tmp_path: Path) -> None:
    _, [started] = recorded(tmp_path, "--no-redact")
    assert started["args"][-len(GIVEN) :] == GIVEN
