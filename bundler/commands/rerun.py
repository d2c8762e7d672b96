"""`bundle rerun`: run what did not pass, with the same seed, in the same order."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from bundler.arguments import RUN
from bundler.configuration import load
from bundler.rerun import Order
from bundler.rerun_start import Start, how_to_start, names_a_command, with_arguments
from bundler.rerunning import Rerun, carry_out
from bundler.store import current_directory, open_recording, open_store
from bundler.terminal import Ui


def command(
    context: typer.Context,
    run: Annotated[str, RUN] = "latest",
    argument: Annotated[
        list[str] | None,
        typer.Option(metavar="WORD", help="One more word for the test command; as after --."),
    ] = None,
    order: Annotated[
        Order,
        typer.Option(help="failed: what did not pass; worker: and what ran before; full: all."),
    ] = Order.FAILED,
) -> int:
    """Run what did not pass, with the same seed, in the same order.

    Everything that is not known to be passing runs, new tests too. The rerun is recorded as a child
    of the run, and can be rerun itself, until nothing is left.

    Examples:

        bundle rerun

        bundle rerun run.zip

        bundle rerun latest -- -x --pdb

        bundle rerun results.xml -- go test ./...
    """
    ui: Ui = context.obj
    store = open_store()
    parent = open_recording(run, store=store)
    configuration = load(store.project, os.environ)
    words = argument or []
    if names_a_command(parent, store, words, configuration):
        start = Start(words, "the command given", current_directory())
    else:
        start = how_to_start(parent, store, os.environ, configured=configuration.command)
        start = with_arguments(start, words)
    rerun = Rerun(parent, start, order)
    return carry_out(ui, rerun, os.environ, configuration)
