"""`bundle prune`: delete old runs, as retention says."""

from __future__ import annotations

import os
import time
from typing import Annotated

import typer

from bundler import pruning
from bundler.about import count
from bundler.configuration import load
from bundler.errors import OutputError
from bundler.store import open_store
from bundler.terminal import Ui
from bundler.tree import show_size


def command(
    context: typer.Context,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be deleted.")
    ] = False,
    keep_runs: Annotated[
        str | None, typer.Option(metavar="N", help="How many runs are kept.")
    ] = None,
    keep_bytes: Annotated[
        str | None, typer.Option(metavar="SIZE", help="How much room they may take, as 1GB.")
    ] = None,
    keep_days: Annotated[
        str | None, typer.Option(metavar="N", help="How long one is kept after its last use.")
    ] = None,
) -> int:
    """Delete old runs of this project.

    It happens by itself once a day at the end of a run. Runs with failures outlive green ones; a
    live run stays, and so does whatever a kept run is a rerun of.

    Examples:

        bundle prune --dry-run

        bundle prune --keep-runs 10
    """
    ui: Ui = context.obj
    store = open_store()
    given = {"keep_runs": keep_runs, "keep_bytes": keep_bytes, "keep_days": keep_days}
    options = {name: value for name, value in given.items() if value is not None}
    policy = pruning.policy_of(load(store.project, os.environ, options))
    now_us = time.time_ns() // 1000
    chosen, runs = pruning.planned(store, policy, now_us)
    for run, reason in chosen.delete:
        ui.result(f"{run.run_id[:8]}  {show_size(run.size_bytes):>8}  {reason.value}")
    kept = f"{len(chosen.keep)} kept"
    if dry_run:
        ui.status(f"would delete {count(len(chosen.delete), 'run')}, {kept}")
        return 0
    try:
        deleted = pruning.carry_out(store, chosen, runs, now_us)
    except OSError as error:
        raise OutputError(f"the store cannot be pruned: {error.strerror}") from None
    ui.status(f"deleted {count(deleted, 'run')}, {show_size(chosen.freed_bytes)}, {kept}")
    return 0
