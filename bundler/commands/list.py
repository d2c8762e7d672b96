"""`bundle list`: the recorded runs of this project, as a tree of reruns; or the tests of one."""

from __future__ import annotations

from typing import Annotated

import typer

from bundler.errors import UsageError
from bundler.listing import show_runs
from bundler.terminal import Ui


def command(
    context: typer.Context,
    run: Annotated[
        str | None,
        typer.Argument(
            metavar="[RUN]", help="List the tests of this run: latest, a prefix, a path, or -."
        ),
    ] = None,
    seeds: Annotated[bool, typer.Option("--seeds", help="Show the root seed of each run.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON array.")] = False,
) -> int:
    """List the recorded runs of this project, the newest last; or the tests of one run.

    A rerun hangs below the run that it reruns. Of a test it is told how it ended, its seed, and how
    many events, phases and assertions of its own it recorded.

    Examples:

        bundle list

        bundle list run.zip

        bundle list target/test-artifacts          test bundles of asupersync

        bundle list --json | jq -r '.[-1].run_id'
    """
    ui: Ui = context.obj
    if run is not None:
        from bundler.store import open_recording
        from bundler.test_listing import show_tests

        if seeds:
            raise UsageError("--seeds is for runs", hint="The seeds of tests are always shown.")
        return show_tests(ui, open_recording(run), as_json=as_json)
    return show_runs(ui, seeds=seeds, as_json=as_json)
