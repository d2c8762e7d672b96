"""Killed, or refused by the disk, at every touch of a file: the old state or the new."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from builders import a_manifest, a_test
from command_line import HERE
from fault_driver import KILLED, PROJECT, REFUSED
from full_size import FULL

from bundler import bundle, live_bundle, packing, pruning, sealing
from bundler.manifest import RunStatus
from bundler.retention import Policy
from bundler.store import Store, open_recording
from bundler.verification import Finding, verify

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="tells files by /proc, which is Linux alone"
)
IDS = [f"{n:08x}-0000-4000-8000-000000000000" for n in range(0xA0, 0xA8)]
NO_LOG = "the event log is missing: what the run did is not known"
ERRORS = ("ENOSPC", "EIO", "EROFS", "EACCES", "EMFILE", "ESTALE")
KINDS = [
    "kill",
    "ENOSPC",
    *(pytest.param(kind, marks=pytest.mark.slow) for kind in (ERRORS[1:] if FULL else ["EIO"])),
]


def record(store: Store, run_id: str, *, finished: bool) -> None:
    live = live_bundle.begin(
        store.new_run(run_id),
        a_manifest(run_id=run_id, status=RunStatus("running")),
        started_ns=time.monotonic_ns(),
    )
    with live.log.open("ab") as log:
        log.writelines(a_test("t") + a_test("u", "failed"))
    if finished:
        results = bundle.read(live.directory).results
        live.finish(RunStatus("failed", exit_code=1), "2026-01-01T00:00:00Z", results)
    live.close()


def begin(tmp_path: Path, runs: int, *, finished: bool = True) -> Path:
    """The state that every copy begins from."""
    start = tmp_path / "start"
    (start / "project").mkdir(parents=True)
    (start / "project" / "pyproject.toml").touch()
    for run_id in IDS[:runs]:
        record(Store(start / "store", PROJECT), run_id, finished=finished)
    return start


@dataclass(frozen=True)
class Stopped:
    """One copy, stopped at one touch: where it is, how its process ended, what it said."""

    root: Path
    code: int

    @property
    def said(self) -> str:
        return self.root.with_name(f"{self.root.name}.log").read_text()

    @property
    def store(self) -> Store:
        return Store(self.root / "store", PROJECT)


def stopped_everywhere(operation: str, kind: str, start: Path) -> list[Stopped]:
    """Do the operation on a copy of `start` for each of its touches, and stop it there."""
    copies = start.parent / "copies"
    copies.mkdir()
    driver = Path(__file__).parent / "fault_driver.py"
    done = subprocess.run(
        [sys.executable, str(driver), operation, kind, str(start), str(copies)],
        env={**os.environ, "PYTHONPATH": HERE},
        stdout=subprocess.PIPE,
        timeout=300,
        check=True,
    )
    codes: list[int] = json.loads(done.stdout)
    assert len(codes) > 5, "it touches files more often than that"
    allowed = {KILLED} if kind == "kill" else {0, REFUSED}
    stopped = [Stopped(copies / f"{k:03}", code) for k, code in enumerate(codes, 1)]
    if operation != "run":
        assert {one.code for one in stopped} <= allowed, [one.said for one in stopped]
    return stopped


def ids(store: Store) -> list[str]:
    return [run.run_id for run in store.runs()]


def whole(path: Path, events: int) -> None:
    """A run is read as it was recorded, and what is derived can be rebuilt from it."""
    recording = bundle.read(path)
    assert recording.results.events == events
    assert not recording.problems
    assert recording.results.counts == {"passed": 1, "failed": 1}


def unsound(path: Path) -> list[Finding]:
    """What is wrong with a bundle, beside the lines of the log, which are made short here."""
    return [one for one in verify(bundle.read(path)) if one.member != "events"]


@pytest.mark.parametrize("kind", KINDS)
def test_sealing_loses_no_event(tmp_path: Path, kind: str) -> None:
    start = begin(tmp_path, 1, finished=False)
    for stopped in stopped_everywhere("seal", kind, start):
        path = stopped.store.runs()[0].path
        whole(path, events=5)
        assert stopped.store.runs()[0].status.state == "interrupted"
        sealing.seal_abandoned(path)
        whole(path, events=5)
        assert unsound(path) == []
        assert not (path / bundle.LOG).exists()


@pytest.mark.parametrize("kind", KINDS)
def test_packing_writes_a_whole_file_or_none(tmp_path: Path, kind: str) -> None:
    start = begin(tmp_path, 1, finished=False)
    for stopped in stopped_everywhere("pack", kind, start):
        target = stopped.root / "packed.zip"
        if target.exists():
            whole(target, events=5)
        elif kind != "kill":
            assert stopped.code == REFUSED
            assert not list(stopped.root.glob("*.tmp")) or "unlink" in stopped.said
        whole(stopped.store.runs()[0].path, events=5)


@pytest.mark.parametrize("kind", KINDS)
def test_adding_takes_a_run_in_whole_or_not_at_all(tmp_path: Path, kind: str) -> None:
    start = begin(tmp_path, 2)
    away = Store(start / "away", PROJECT)
    record(away, IDS[7], finished=True)
    with (start / "other.zip").open("wb") as file:
        packing.pack(away.runs()[0].path, file)
    for stopped in stopped_everywhere("add", kind, start):
        store = stopped.store
        assert ids(store)[:2] == IDS[:2]
        assert ids(store)[2:] in ([], [IDS[7]])
        for run in store.runs():
            whole(run.path, events=6)
            assert unsound(run.path) == []
        store.add(open_recording(str(stopped.root / "other.zip")), {})
        assert ids(store) == [*IDS[:2], IDS[7]]


@pytest.mark.parametrize("kind", KINDS)
def test_pruning_deletes_a_run_whole_or_not_at_all(tmp_path: Path, kind: str) -> None:
    start = begin(tmp_path, 7)
    now_us = time.time_ns() // 1000
    for stopped in stopped_everywhere("prune", kind, start):
        store = stopped.store
        assert ids(store)[-5:] == IDS[2:7]
        for run in store.runs():
            whole(run.path, events=6)
        pruning.carry_out(store, *pruning.planned(store, Policy(keep_runs=5), now_us), now_us)
        assert ids(store) == IDS[2:7]
        assert not list(store.directory.glob("deleting-*"))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ERRORS if FULL else ["ENOSPC", "EACCES", "EMFILE"])
def test_recording_that_the_disk_refuses_changes_nothing_for_the_command(
    tmp_path: Path, kind: str
) -> None:
    start = begin(tmp_path, 0)
    (start / "store").mkdir()
    for stopped in stopped_everywhere("run", kind, start):
        assert stopped.code == 3, stopped.said
        assert "Traceback" not in stopped.said
        assert "printed" in stopped.said
        why = os.strerror(getattr(errno, kind))
        lines = stopped.said.splitlines()
        told = [one for one in lines if why in one or "bundle: not recording" in one]
        assert ": None" not in stopped.said
        assert len(told) <= 1, stopped.said
        store = Store(stopped.root / "store", stopped.root / "project")
        for run in store.runs():
            if run.manifest is not None:
                bundle.read(run.path)
            else:
                assert told, stopped.said
        record(store, IDS[0], finished=True)
        assert store.find("latest").run_id == IDS[0]
        whole(store.find("latest").path, events=6)


@pytest.mark.slow
def test_a_recorder_that_is_killed_leaves_every_event_it_wrote(tmp_path: Path) -> None:
    start = begin(tmp_path, 0)
    states = set()
    for stopped in stopped_everywhere("run", "kill", start):
        assert stopped.code == KILLED
        store = Store(stopped.root / "store", stopped.root / "project")
        runs = store.runs() if store.directory.is_dir() else []
        states |= {run.status.state for run in runs}
        for run in runs:
            assert not run.live
            if run.manifest is not None:  # killed before it: there was nothing to lose yet
                keeps_its_events(run.path)
        record(store, IDS[0], finished=True)
        assert store.find("latest").run_id == IDS[0]
    assert states == {"damaged", "interrupted", "failed"}


def keeps_its_events(path: Path) -> None:
    """A run whose recorder was killed is read, sealed, and whole, as far as it had come."""
    recording = bundle.read(path)
    assert recording.damaged_lines == []
    assert recording.results.events == len(list(recording.log.lines()))
    sealing.seal_abandoned(path)
    sealed = bundle.read(path)
    assert sealed.results == recording.results
    began = (path / bundle.SEALED_LOG).exists()
    assert [one.problem for one in verify(sealed)] == ([] if began else [NO_LOG])
