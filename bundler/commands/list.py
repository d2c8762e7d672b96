"""`bundle list`: the recorded runs of this project, as a tree of reruns."""

from __future__ import annotations

from typing import Annotated

import typer

from bundler.listing import show_runs
from bundler.terminal import Ui


def command(
    context: typer.Context,
    seeds: Annotated[bool, typer.Option("--seeds", help="Show the root seed of each run.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON array.")] = False,
) -> int:
    """List the recorded runs of this project, the newest last.

    A rerun hangs below the run that it reruns.

    Examples:

        bundle list

        bundle list --json | jq -r '.[-1].run_id'
    """
    ui: Ui = context.obj
    return show_runs(ui, seeds=seeds, as_json=as_json)
