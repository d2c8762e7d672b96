"""The program: finds the command, runs it, turns an error into a sentence and an exit code."""

from __future__ import annotations

import importlib
import os
import sys

import click
import typer
import typer.core
import typer.main

from bundler import __version__
from bundler.commands import COMMANDS
from bundler.errors import BundleError
from bundler.terminal import Ui

HELP = """The black-box recorder for test runs.

Record in CI, look at it here:

    bundle run -- pytest        record a command

    bundle replay               see it again

    bundle replay run.zip       see what CI saw
"""


class Commands(typer.core.TyperGroup):
    """The group of all commands; one is imported only when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of the help."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"bundler.commands.{cmd_name}")
        app = typer.Typer(add_completion=False, rich_markup_mode=None)
        settings = getattr(module, "CONTEXT_SETTINGS", None)
        app.command(cmd_name, context_settings=settings)(module.command)
        return typer.main.get_command(app)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


def _version(value: bool) -> None:
    if value:
        typer.echo(f"bundle {__version__}")
        raise typer.Exit


def _root(
    version: bool = typer.Option(
        False, "--version", help="Show the version.", callback=_version, is_eager=True
    ),
) -> None:
    pass


def program() -> click.Command:
    """Build the program's command, with every subcommand reachable."""
    app = typer.Typer(
        cls=Commands,
        help=HELP,
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_root)
    return typer.main.get_command(app)


def main() -> None:
    """Run the program with the words of the command line."""
    sys.exit(run(sys.argv[1:]))


def run(words: list[str]) -> int:
    """Run the program and return its exit code."""
    ui = Ui.from_environment(os.environ, sys.stdin, sys.stdout, sys.stderr)
    try:
        code = program().main(words, prog_name="bundle", standalone_mode=False, obj=ui)
        return code if isinstance(code, int) else 0
    except click.exceptions.Exit as end:
        return end.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.Abort:
        return 130
    except BundleError as error:
        ui.error(error.message, error.hint)
        return error.exit_code
    except BrokenPipeError:
        ui.abandon_stdout()
        return 0
