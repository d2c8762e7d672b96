"""`bundle add`: take a recording into the store."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from bundler.errors import OutputError
from bundler.store import open_recording, open_store
from bundler.terminal import Ui


def command(
    context: typer.Context,
    path: Annotated[str, typer.Argument(metavar="PATH", help="A zip, a directory, or - (stdin).")],
) -> int:
    """Take a recording into the store of this project.

    A zip from CI, a directory: from then on it has an id like any run here. Adding twice changes
    nothing.

    Examples:

        bundle add run.zip

        curl -L URL | bundle add -
    """
    ui: Ui = context.obj
    store = open_store()
    recording = open_recording(path if path == "-" else str(Path(path).absolute()), store=store)
    known = {run.run_id for run in store.runs()}
    source = {"added_from": Path(path).name, "added_at": datetime.now(UTC).isoformat()}
    try:
        run = store.add(recording, source)
    except OSError as error:
        raise OutputError(f"the store cannot take it: {error.strerror}") from None
    short = run.run_id[:8]
    ui.status(f"run {short} {'was here already' if run.run_id in known else 'added'}")
    ui.result(run.run_id)
    return 0
