"""The words of the command line: the command that they name, its options, and the help.

It is loaded when there are words to take apart: the parser is half of what a short command costs.
"""

from __future__ import annotations

import importlib
from typing import Annotated, Any

import typer
import typer.core
import typer.main

from bundler import __version__
from bundler.commands import COMMANDS
from bundler.errors import UsageError
from bundler.limits import parse_limits, put_in_force
from bundler.terminal import Ui

HELP = """The black-box recorder for test runs.

Record in CI, look at it here:

    bundle run -- pytest        record a command

    bundle replay               see it again

    bundle replay run.zip       see what CI saw
"""

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
        epilog = getattr(module, "EPILOG", None)
        app.command(cmd_name, context_settings=settings, epilog=epilog)(module.command)
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
    limit: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE",
            help="Raise what a recording may ask for, where you trust it; a wrong NAME lists all.",
        ),
    ] = None,
) -> None:
    put_in_force(parse_limits(limit or []))
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


def obey(words: list[str], ui: Ui) -> int:
    """Do what the words say and return the exit code. Raises UsageError, and what the command does.

    Ctrl-C is a KeyboardInterrupt, whoever saw it first.
    """
    try:
        words = _limits_first(_after_dashes(words))
        code = program().main(words, prog_name="bundle", standalone_mode=False, obj=ui)
    except typer.Exit as end:
        return end.exit_code
    except typer.Abort:
        raise KeyboardInterrupt from None
    except typer.TyperException as error:
        raise UsageError(_usage(error), hint=_where_help_is(error)) from None
    return code if isinstance(code, int) else 0


def _after_dashes(words: list[str]) -> list[str]:
    """Keep what stands after `--` apart from RUN, which may be left out before it."""
    if words[:1] != ["rerun"] or "--" not in words:
        return words
    at = words.index("--")
    return words[:at] + [f"--argument={word}" for word in words[at + 1 :]]


def _limits_first(words: list[str]) -> list[str]:
    """Take `--limit NAME=VALUE` wherever it stands, but not from a command that is to be run."""
    if words[:1] == ["run"]:
        return words
    end = words.index("--") if "--" in words else len(words)
    limits: list[str] = []
    others: list[str] = []
    rest = iter(words[:end])
    for word in rest:
        if word == "--limit":
            value = next(rest, None)
            if value is None:
                raise UsageError("--limit has no value", hint="Write it as `--limit NAME=VALUE`.")
            limits += [word, value]
        else:
            (limits if word.startswith("--limit=") else others).append(word)
    return limits + others + words[end:]


def _nearest_command(word: str) -> str:
    import difflib

    near = difflib.get_close_matches(word.lower(), COMMANDS, n=1)
    if near:
        return f"Did you mean `bundle {near[0]}`?"
    return "Run `bundle --help` to see the commands; `bundle run -- COMMAND` records one."


def _usage(error: typer.TyperException) -> str:
    message = error.format_message().partition(" (Possible options: ")[0].rstrip(".")
    return message[:1].lower() + message[1:]


def _nearest_options(error: typer.TyperException) -> list[str]:
    """The options that come close to one that is none, the nearest first."""
    import difflib

    some = getattr(error, "possibilities", None) or []
    return difflib.get_close_matches(getattr(error, "option_name", ""), some, cutoff=0.7) or some


def _where_help_is(error: typer.TyperException) -> str:
    near = _nearest_options(error)
    if near:
        return f"Did you mean {' or '.join(near)}?"
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "bundle"
    return f"Run `{path} --help` to see how it is used."
