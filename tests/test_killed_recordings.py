"""Killed at the k-th write: what was written before is there, and what was running is named."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from full_size import FULL
from guest import Guest, with_faults
from probe_driver import PYTHON, Workshop, clean_environment, probe_settings
from probe_suites import Suite
from tools import cannot

from bundler import bundle, cli
from bundler.eventlog import PlainLog
from bundler.events import Event, decode_line
from bundler.rerun import State, plan, state_after
from bundler.results import Status, Verdict
from bundler.verification import repair, verify

SIGKILL = -9
SUITE = Suite(
    "mixed",
    {
        "test_it.py": """
import pytest, warnings
def test_passes(): print("said")
def test_fails(): assert False
@pytest.mark.skip
def test_skips(): pass
@pytest.fixture
def broken(): raise OSError("no")
def test_errors(broken): pass
def test_warns(): warnings.warn("old")
def test_last(): pass
"""
    },
    {},
    1,
)
Told = list[tuple[str, str | None]]

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="kills by a fork of pytest, which is POSIX"
)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Guest:
    """What stands in the log where nobody is killed."""
    return with_faults(SUITE, tmp_path_factory.mktemp("undisturbed"), ["none"])["none"]


def told(events: list[Event]) -> Told:
    return [(one.event, one.test_id) for one in events]


def running(events: list[Event]) -> set[str]:
    """The tests that started and did not finish, seen without the fold."""
    open_attempts: Counter[str] = Counter()
    for one in events:
        if one.test_id is not None:
            open_attempts[one.test_id] += (one.event == "TestStarted") - (
                one.event == "TestFinished"
            )
    return {test_id for test_id, number in open_attempts.items() if number > 0}


def events_in(directory: Path, *, torn: bool) -> list[Event]:
    """The events of a log of which at most the last line, and only where allowed, is not whole."""
    lines = list(PlainLog((directory / bundle.LOG).read_bytes()).lines())
    assert [line.problem for line in lines if line.problem] == ["torn"] * torn
    return [decode_line(line.content) for line in lines if not line.problem]


def assert_nothing_is_lost(
    directory: Path, undisturbed: Guest, k: int, *, torn: bool, said: str
) -> None:
    """The log is what it was up to the k-th line; replay and rerun say what became of the rest."""
    events = events_in(directory, torn=torn)
    assert told(events) == told([one for _, one in undisturbed.ran.events])[:k]
    recording = bundle.read(directory)
    assert recording.manifest.status.state == Status.INTERRUPTED
    verdicts = {test.test_id: test.verdict for test in recording.results.tests}
    unfinished = {one for one, verdict in verdicts.items() if verdict is Verdict.UNFINISHED}
    assert unfinished == running(events)
    assert "interrupted" in said
    assert all(one.removeprefix("test_it.py::") in said for one in unfinished)
    planned = plan(state_after(State(), recording.results), recording.results)
    never = {one for one, verdict in verdicts.items() if verdict is Verdict.NOT_RUN}
    assert unfinished | never <= set(planned.expected)
    repair(directory)
    again = bundle.read(directory)
    assert verify(again) == []
    assert again.manifest.status.state == Status.INTERRUPTED
    assert {test.test_id: test.verdict for test in again.results.tests} == verdicts


def replayed(directory: Path, capfd: pytest.CaptureFixture[str]) -> str:
    capfd.readouterr()
    assert cli.run(["replay", str(directory)]) == 0
    return capfd.readouterr().out


@pytest.mark.parametrize("how", ["kill", "torn"])
def test_killed_at_any_line_of_the_probe_the_lines_before_it_are_there(
    undisturbed: Guest, tmp_path: Path, capfd: pytest.CaptureFixture[str], how: str
) -> None:
    written = len(undisturbed.ran.lines) - 1  # the first line is the wrapper's
    assert written > 12
    faults = [f"{how}:{k}" for k in range(1, written + 1)]
    for fault, guest in with_faults(SUITE, tmp_path, faults).items():
        assert guest.ran.exit_code == SIGKILL
        said = replayed(guest.directory, capfd)
        k = int(fault.partition(":")[2])
        assert_nothing_is_lost(guest.directory, undisturbed, k, torn=how == "torn", said=said)


@pytest.mark.slow
def test_killed_by_the_kernel_at_any_line_of_the_probe_it_is_the_same(
    undisturbed: Guest, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The same with no part of ours in between: strace has the kernel kill at the k-th write."""
    strace = shutil.which("strace")
    if strace is None:
        cannot("no strace here")
    written = len(undisturbed.ran.lines) - 1
    for k in range(1, written + 1, 1 if FULL else 4):
        shop = Workshop(tmp_path / f"{k:02}")
        shop.lay(SUITE.files)
        _begin(shop, undisturbed)
        inject = f"inject=write:signal=SIGKILL:when={k}"
        traced = [strace, "-f", "-qq", "-o", os.devnull, "-P", str(shop.log), "-e", "trace=write"]
        done = subprocess.run(
            [*traced, "-e", inject, PYTHON, "-m", "pytest"],
            cwd=shop.suite,
            env={
                **clean_environment(),
                "BUNDLE_PROBE": probe_settings(shop.log, t0_ns=0),
                "PYTHONPATH": probe_path(),
            },
            capture_output=True,
            timeout=120,
        )
        if b"ptrace" in done.stderr:
            cannot("strace may not trace here")
        assert done.returncode == SIGKILL, done.stderr
        said = replayed(shop.log.parent, capfd)
        assert_nothing_is_lost(shop.log.parent, undisturbed, k, torn=False, said=said)


def probe_path() -> str:
    from bundler.probe import PATH

    return str(PATH)


def _begin(shop: Workshop, undisturbed: Guest) -> None:
    """A bundle as the wrapper has begun it."""
    first = (undisturbed.directory / bundle.LOG).read_bytes().split(b"\n", 1)[0]
    shop.log.write_bytes(first + b"\n")
    shutil.copy(undisturbed.directory / bundle.MANIFEST, shop.log.parent)
