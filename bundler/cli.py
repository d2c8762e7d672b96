"""The program: finds the command, runs it, turns an error into a sentence and an exit code."""

from __future__ import annotations

import gc
import importlib
import os
import sys
from typing import Annotated, Any

import typer
import typer.core
import typer.main

from bundler import __version__
from bundler.commands import COMMANDS
from bundler.errors import BundleError, OutputError, UsageError
from bundler.terminal import Ui

HELP = """The black-box recorder for test runs.

Record in CI, look at it here:

    bundle run -- pytest        record a command

    bundle replay               see it again

    bundle replay run.zip       see what CI saw
"""


INTERRUPTED = 130
OUR_OWN_FAULT = 70
REPORT_IT = "Set BUNDLE_TRACEBACK=1 to see where, and report it."
CONTEXT = {"help_option_names": ["-h", "--help"]}


class Commands(typer.core.TyperGroup):
    """The group of all commands; one is imported only when it is asked for."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names in the order of the help."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Import one command; None where there is none of that name."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"bundler.commands.{cmd_name}")
        app = typer.Typer(add_completion=False, rich_markup_mode=None)
        settings = {**CONTEXT, **getattr(module, "CONTEXT_SETTINGS", {})}
        app.command(cmd_name, context_settings=settings)(module.command)
        return typer.main.get_command(app)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command that the first word names. Raises UsageError where it names none."""
        if args[0] not in COMMANDS and not args[0].startswith("-"):
            raise UsageError(f"no such command {args[0]!r}", hint=_nearest_command(args[0]))
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


def _root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Show the version.")] = False,
) -> None:
    if version:
        typer.echo(f"bundle {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit


def program() -> Any:
    """Build the program's command, with every subcommand reachable."""
    app = typer.Typer(
        cls=Commands,
        help=HELP,
        invoke_without_command=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings=CONTEXT,
    )
    app.callback()(_root)
    return typer.main.get_command(app)


def main() -> None:
    """Run the program with the words of the command line."""
    # A command's objects live until it ends: looking for garbage among those of a hundred thousand
    # tests takes a fifth of a replay.
    gc.disable()
    _fill_closed_streams()
    sys.exit(run(sys.argv[1:]))


def _fill_closed_streams() -> None:
    """Put the null device where a standard stream was closed: a log must not get its number."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


def run(words: list[str]) -> int:
    """Run the program and return its exit code."""
    ui = Ui.from_environment(os.environ, sys.stdin, sys.stdout, sys.stderr)
    try:
        code = _command(words, ui)
        ui.close()
        return code
    except typer.TyperException as error:
        ui.error(_usage(error), _where_help_is(error))
        return error.exit_code
    except (typer.Abort, KeyboardInterrupt):
        ui.abandon_stdout()
        return INTERRUPTED
    except BundleError as error:
        ui.error(error.message, error.hint)
        return error.exit_code
    except OSError as error:
        ui.abandon_stdout()
        ui.error(_refusal(error))
        return OutputError.exit_code
    except Exception as error:
        if os.environ.get("BUNDLE_TRACEBACK"):
            raise
        ui.abandon_stdout()
        what = ": ".join(filter(None, [type(error).__name__, str(error)]))
        ui.error(f"bundle itself failed: {what}", REPORT_IT)
        return OUR_OWN_FAULT


def _after_dashes(words: list[str]) -> list[str]:
    """Keep what stands after `--` apart from RUN, which may be left out before it."""
    if words[:1] != ["rerun"] or "--" not in words:
        return words
    at = words.index("--")
    return words[:at] + [f"--argument={word}" for word in words[at + 1 :]]


def _command(words: list[str], ui: Ui) -> int:
    try:
        main_command = program()
        words = _after_dashes(words)
        code = main_command.main(words, prog_name="bundle", standalone_mode=False, obj=ui)
    except typer.Exit as end:
        return end.exit_code
    return code if isinstance(code, int) else 0


def _nearest_command(word: str) -> str:
    import difflib

    near = difflib.get_close_matches(word.lower(), COMMANDS, n=1)
    if near:
        return f"Did you mean `bundle {near[0]}`?"
    return "Run `bundle --help` to see the commands; `bundle run -- COMMAND` records one."


def _refusal(error: OSError) -> str:
    """Say what the system refused, of which nobody closer to it could say more."""
    why = error.strerror or str(error) or type(error).__name__
    return f"{error.filename} is refused: {why}" if error.filename else f"the system refuses: {why}"


def _usage(error: typer.TyperException) -> str:
    message = error.format_message().rstrip(".")
    return message[:1].lower() + message[1:]


def _where_help_is(error: typer.TyperException) -> str:
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "bundle"
    return f"Run `{path} --help` to see how it is used."
