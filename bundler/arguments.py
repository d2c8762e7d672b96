"""Arguments and options that several commands have, each said once."""

from __future__ import annotations

import typer

from bundler.look import ColourChoice

RUN = typer.Argument(metavar="[RUN]", help="latest, a prefix of a run id, a path, or -.")
STORED_RUN = typer.Argument(metavar="[RUN]", help="latest, a prefix of a run id, or a path.")
TEST = typer.Argument(metavar="[TEST]", help="A test id, or a part that only one has.")
NO_PAGER = typer.Option("--no-pager", help="Do not use a pager.")
COLOUR = typer.Option("--color", metavar="WHEN", help=f"{', '.join(ColourChoice)}.")
