"""Carrying out retention: what the store holds as the plan sees it, and deleting what it names.

When a run was last used is the time of its directory: recording and sealing set it, and a rerun
touches the run that it reruns.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from bundler import bundle
from bundler.configuration import Configuration
from bundler.results import NOT_PASSING
from bundler.retention import DAY_US, Plan, Policy, Run, due, plan
from bundler.store import Store, StoredRun

MARK = "pruned"


def policy_of(configuration: Configuration) -> Policy:
    """Return the limits that are configured."""
    return Policy(configuration.keep_runs, configuration.keep_bytes, configuration.keep_days)


def seen(runs: Sequence[StoredRun]) -> list[Run]:
    """Return stored runs as retention sees them."""
    return [_seen(run) for run in runs]


def _seen(run: StoredRun) -> Run:
    used_us = run.path.stat().st_mtime_ns // 1000
    counts = run.manifest.counts if run.manifest else {}
    return Run(
        run_id=run.run_id,
        sequence=run.sequence,
        created_us=used_us,
        used_us=used_us,
        size_bytes=run.size_bytes,
        parent_run_id=run.manifest.parent.run_id if run.manifest and run.manifest.parent else None,
        failed=run.status.state not in ("passed", "no_tests") or bool(counts.keys() & NOT_PASSING),
        live=run.live,
    )


def planned(store: Store, policy: Policy, now_us: int) -> tuple[Plan, dict[str, StoredRun]]:
    """Return what retention would delete, and the stored runs by their directory's name."""
    runs = store.runs()
    return plan(seen(runs), policy, now_us), {f"{r.sequence}-{r.run_id}": r for r in runs}


def carry_out(store: Store, chosen: Plan, runs: dict[str, StoredRun], now_us: int) -> int:
    """Delete what the plan names, the last recorded first; return how many went.

    A run is looked at once more before it goes: one that has become live since stays. It is renamed
    first, so that it is either here whole or gone.
    """
    deleted = 0
    for run, _ in reversed(chosen.delete):
        path = runs[f"{run.sequence}-{run.run_id}"].path
        if bundle.is_live(path):
            continue
        doomed = path.with_name(f"deleting-{path.name}")
        with contextlib.suppress(FileNotFoundError):  # another prune was faster
            path.rename(doomed)
            deleted += 1
        shutil.rmtree(doomed, ignore_errors=True)
    if not store.directory.is_dir():
        return 0  # nothing was ever recorded here
    for left in _left_over(store, now_us):
        shutil.rmtree(left, ignore_errors=True)
    _mark(store.directory / MARK, now_us)
    return deleted


def _left_over(store: Store, now_us: int) -> Iterator[Path]:
    """What a prune or an add that was killed left behind; an add may still be at work for a day."""
    yield from store.directory.glob("deleting-*")
    for path in store.directory.glob("adding-*"):
        with contextlib.suppress(OSError):
            if path.stat().st_mtime_ns // 1000 < now_us - DAY_US:
                yield path


def automatic(store: Store, policy: Policy) -> int:
    """Prune where it is due: once a day, or half over a limit. Return how many runs went.

    Raises OSError where the store refuses.
    """
    now_us = time.time_ns() // 1000
    runs = store.runs()
    if not due(seen(runs), policy, now_us, _marked(store.directory / MARK)):
        return 0
    return carry_out(store, *planned(store, policy, now_us), now_us)


def use(path: Path) -> None:
    """Note that a run was used, where its store can be written to."""
    with contextlib.suppress(OSError):
        os.utime(path)


def _mark(path: Path, now_us: int) -> None:
    path.touch()
    os.utime(path, ns=(now_us * 1000, now_us * 1000))


def _marked(path: Path) -> int | None:
    try:
        return path.stat().st_mtime_ns // 1000
    except OSError:
        return None
