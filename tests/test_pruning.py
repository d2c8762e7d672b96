"""Pruning: what retention names goes, whole; what is live or was used stays."""

from __future__ import annotations

import os
import time
import uuid
from pathlib import Path

from builders import a_manifest, a_test

from bundler import bundle, live_bundle, pruning
from bundler.manifest import Parent, RunStatus
from bundler.results import Results
from bundler.retention import Policy
from bundler.store import Store

DAY_S = 86_400


def a_run(store: Store, *, outcome: str = "passed", days_ago: float = 0, parent: str = "") -> Path:
    run_id = str(uuid.uuid4())
    manifest = a_manifest(
        run_id=run_id,
        status=RunStatus("running"),
        parent=Parent(parent) if parent else None,
    )
    live = live_bundle.begin(store.new_run(run_id), manifest, started_ns=time.monotonic_ns())
    with live.log.open("ab") as log:
        log.writelines(a_test("t", outcome))
    state = "passed" if outcome == "passed" else "failed"
    live.finish(RunStatus(state, exit_code=0), "2026-01-01T00:00:00Z", _results(live))
    used = time.time() - days_ago * DAY_S
    os.utime(live.directory, (used, used))
    return live.directory


def _results(live: live_bundle.LiveBundle) -> Results:
    return bundle.read(live.directory).results


def prune(store: Store, policy: Policy) -> int:
    now_us = time.time_ns() // 1000
    return pruning.carry_out(store, *pruning.planned(store, policy, now_us), now_us)


def test_more_runs_than_are_kept_go_the_least_used_first(tmp_path: Path) -> None:
    store = Store(tmp_path / "store", tmp_path)
    runs = [a_run(store, days_ago=10 - n) for n in range(8)]
    assert prune(store, Policy(keep_runs=6)) == 2
    assert [run.path for run in store.runs()] == runs[2:]


def test_a_live_run_stays(tmp_path: Path) -> None:
    store = Store(tmp_path / "store", tmp_path)
    run_id = str(uuid.uuid4())
    live = live_bundle.begin(
        store.new_run(run_id),
        a_manifest(run_id=run_id, status=RunStatus("running")),
        started_ns=0,
    )
    os.utime(live.directory, (1, 1))
    for _ in range(7):
        a_run(store)
    prune(store, Policy(keep_runs=5, keep_days=1))
    assert live.directory.exists()
    live.close()


def test_the_root_of_a_kept_rerun_is_kept(tmp_path: Path) -> None:
    store = Store(tmp_path / "store", tmp_path)
    root = a_run(store, days_ago=90)
    others = [a_run(store, days_ago=80) for _ in range(5)]
    child = a_run(store, parent=root.name.partition("-")[2])
    for _ in range(5):
        a_run(store)
    prune(store, Policy(keep_days=30))
    assert root.exists() and child.exists()
    assert not any(other.exists() for other in others)


def test_failures_outlive_green_runs_under_the_size_limit(tmp_path: Path) -> None:
    store = Store(tmp_path / "store", tmp_path)
    red = a_run(store, outcome="failed", days_ago=9)
    green = [a_run(store, days_ago=5) for _ in range(6)]
    for _ in range(5):
        a_run(store)
    size = sum(run.size_bytes for run in store.runs())
    prune(store, Policy(keep_bytes=size - 1))
    assert red.exists()
    assert not green[0].exists()


def test_automatic_pruning_is_due_once_a_day(tmp_path: Path) -> None:
    store = Store(tmp_path / "store", tmp_path)
    for _ in range(7):
        a_run(store)
    assert pruning.automatic(store, Policy(keep_runs=6)) == 1
    a_run(store)
    assert pruning.automatic(store, Policy(keep_runs=6)) == 0
    mark = store.directory / pruning.MARK
    yesterday = time.time() - DAY_S - 1
    os.utime(mark, (yesterday, yesterday))
    assert pruning.automatic(store, Policy(keep_runs=6)) == 1


def test_a_deletion_that_was_cut_off_is_finished_by_the_next(tmp_path: Path) -> None:
    store = Store(tmp_path / "store", tmp_path)
    run = a_run(store)
    run.rename(run.with_name(f"deleting-{run.name}"))
    a_run(store)
    assert len(store.runs()) == 1
    prune(store, Policy())
    assert not list(store.directory.glob("deleting-*"))
