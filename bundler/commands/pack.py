"""`bundle pack`: put a run into one zip file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bundler import atomic, bundle
from bundler.errors import UsageError
from bundler.store import directory_of
from bundler.terminal import Ui


def command(
    context: typer.Context,
    run: Annotated[
        str, typer.Argument(metavar="[RUN]", help="latest, a prefix of a run id, or a path.")
    ] = "latest",
    output: Annotated[
        str | None, typer.Option("-o", "--output", metavar="FILE", help="- is stdout.")
    ] = None,
) -> int:
    """Put a run into one zip file.

    Packing twice gives the same bytes. A run that was killed is packed as far as it came.

    Examples:

        bundle pack -o run.zip

        bundle pack 3f2a -o - | ssh host 'bundle replay -'
    """
    ui: Ui = context.obj
    directory = directory_of(run)
    if output == "-":
        _to_stdout(ui, directory)
        return 0
    target = f"bundle-{_name(directory)}.zip" if output is None else output
    with atomic.output(target) as file:
        manifest = bundle.pack(directory, file)
    ui.status(f"packed run {manifest.run_id[:8]} ({manifest.status.state})")
    ui.result(target)
    return 0


def _to_stdout(ui: Ui, directory: Path) -> None:
    if ui.stdout.terminal:
        raise UsageError(
            "a zip file is not for a terminal",
            hint="Write it into a file or a pipe: `bundle pack -o run.zip`.",
        )
    with ui.stdout.as_target() as target:
        bundle.pack(directory, target)


def _name(path: Path) -> str:
    return path.stem.split("-")[1] if "-" in path.stem else path.stem
