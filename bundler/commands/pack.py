"""`bundle pack`: put a run into one zip file."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from bundler import atomic, packing
from bundler.arguments import STORED_RUN
from bundler.errors import UsageError
from bundler.masked_copy import write_masked_copy
from bundler.recording import Recording
from bundler.redaction import masker_of
from bundler.store import directory_of, open_recording
from bundler.terminal import Ui


def command(
    context: typer.Context,
    run: Annotated[str, STORED_RUN] = "latest",
    output: Annotated[
        str | None, typer.Option("-o", "--output", metavar="FILE", help="- is stdout.")
    ] = None,
    redact: Annotated[
        bool, typer.Option("--redact", help="Mask secrets in the copy that is packed.")
    ] = False,
) -> int:
    """Put a run into one zip file.

    `--redact` masks the secrets in a recording that somebody else made, or that was made with
    `--no-redact`: the values of this environment's variables whose names look secret, and what
    looks like a token.

    Packing twice gives the same bytes. A run that was killed is packed as far as it came.

    Examples:

        bundle pack -o run.zip

        bundle pack 3f2a -o - | ssh host 'bundle replay -'

        bundle pack theirs.zip --redact -o ours.zip
    """
    ui: Ui = context.obj
    with contextlib.ExitStack() as stack:
        name = _name(directory_of(run))
        directory = stack.enter_context(_masked(run)) if redact else directory_of(run)
        return _pack(ui, directory, name, output)


def _pack(ui: Ui, directory: Path, name: str, output: str | None) -> int:
    if output == "-":
        _to_stdout(ui, directory)
        return 0
    target = f"bundle-{name}.zip" if output is None else output
    with atomic.output(target) as file:
        packed = packing.pack(directory, file)
    manifest = packed.manifest
    _say_what_is_left_out(ui, packed)
    ui.status(f"packed run {manifest.run_id[:8]} ({manifest.status.state})")
    if manifest.redaction is not None and not manifest.redaction.on:
        ui.warning("it was recorded with --no-redact: `bundle pack --redact` masks its secrets")
    ui.result(target)
    return 0


@contextlib.contextmanager
def _masked(run: str) -> Iterator[Path]:
    """A copy of a run without its secrets, for as long as it is needed."""
    with tempfile.TemporaryDirectory(prefix="bundle-pack-") as folder:
        directory = Path(folder) / "run"
        directory.mkdir()
        write_masked_copy(open_recording(run), directory, masker_of(os.environ))
        yield directory


def _to_stdout(ui: Ui, directory: Path) -> None:
    if ui.stdout.terminal:
        raise UsageError(
            "a zip file is not for a terminal",
            hint="Write it into a file or a pipe: `bundle pack -o run.zip`.",
        )
    with ui.stdout.as_target() as target:
        packed = packing.pack(directory, target)
    _say_what_is_left_out(ui, packed)


def _say_what_is_left_out(ui: Ui, packed: Recording) -> None:
    """Of a run that is still recorded, what its tests left may not be fit to pack."""
    if packed.live:
        for problem in packed.problems:
            ui.warning(problem)


def _name(path: Path) -> str:
    return path.stem.split("-")[1] if "-" in path.stem else path.stem
