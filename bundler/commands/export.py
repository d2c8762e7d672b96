"""`bundle export`: write a run in another tool's format."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Collection
from typing import Annotated, Any, Protocol, cast

import typer

from bundler import atomic
from bundler.arguments import STORED_RUN
from bundler.errors import UsageError
from bundler.formats import WRITERS, Target
from bundler.recording import Recording
from bundler.store import open_recording
from bundler.terminal import Ui


class Writer(Protocol):
    """A module of `bundler.formats` that writes; the options are those of `--dialect`."""

    def write(self, recording: Recording, target: Target, **options: Any) -> None:
        """Write a run. Raises OSError."""
        ...


def command(
    context: typer.Context,
    run: Annotated[str, STORED_RUN] = "latest",
    to: Annotated[
        str, typer.Option("--to", metavar="FORMAT", help=f"One of: {', '.join(WRITERS)}.")
    ] = "",
    output: Annotated[
        str, typer.Option("-o", "--output", metavar="FILE", help="- is stdout.")
    ] = "-",
    dialect: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="For whom; of junit: pytest (as it writes), jenkins."),
    ] = None,
) -> int:
    """Write a run in another tool's format.

    Examples:

        bundle export --to junit -o junit.xml

        bundle export run.zip --to junit --dialect jenkins -o junit.xml

        bundle export 3f2a --to junit | xmllint --format -
    """
    ui: Ui = context.obj
    writer = writer_of(to)
    options = {"dialect": _dialect_of(writer, to, dialect)} if dialect is not None else {}
    recording = open_recording(run)
    if output == "-":
        with ui.stdout.as_target() as target:
            writer.write(recording, target, **options)
    else:
        # Read first, so that an error of reading is not taken for one of writing.
        _ = recording.results
        with atomic.output(output) as file:
            writer.write(recording, file, **options)
    return 0


def writer_of(name: str) -> Writer:
    """Return the module that writes a format. Raises UsageError where there is none."""
    known = f"the formats are: {', '.join(WRITERS)}"
    if not name:
        raise UsageError("a format is missing", hint=f"Write `--to FORMAT`; {known}.")
    if name not in WRITERS:
        raise UsageError(f"format {name!r} is not known; {known}", hint=_nearest(name, WRITERS))
    return cast(Writer, importlib.import_module(WRITERS[name]))


def _dialect_of(writer: Writer, to: str, dialect: str) -> str:
    """Return the dialect where the format has it. Raises UsageError."""
    dialects: tuple[str, ...] = getattr(writer, "DIALECTS", ())
    if not dialects:
        raise UsageError(f"format {to!r} has no dialects", hint="Leave `--dialect` out.")
    if dialect not in dialects:
        known = f"the dialects of {to} are: {', '.join(dialects)}"
        raise UsageError(
            f"dialect {dialect!r} is not known; {known}", hint=_nearest(dialect, dialects)
        )
    return dialect


def _nearest(word: str, known: Collection[str]) -> str:
    near = difflib.get_close_matches(word.lower(), known, n=1, cutoff=0.5)
    return f"Did you mean {near[0]}?" if near else ""
