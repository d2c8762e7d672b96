"""`bundle run`: record a command, and exit as it exits."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from bundler.execution import last_lines, leave, record
from bundler.recorder import Request
from bundler.runners import pytest as pytest_runner
from bundler.seeds import parse_seed, random_seed
from bundler.store import current_directory
from bundler.terminal import Ui

CONTEXT_SETTINGS = {"ignore_unknown_options": True, "allow_interspersed_args": False}


def command(
    context: typer.Context,
    argv: Annotated[
        list[str], typer.Argument(metavar="COMMAND...", help="The command and its arguments.")
    ],
    seed: Annotated[
        str | None,
        typer.Option(metavar="N", help="The root seed, imposed: decimal or 0x hex. [BUNDLE_SEED]"),
    ] = None,
    hash_seed: Annotated[
        bool, typer.Option("--hash-seed/--no-hash-seed", help="Fix PYTHONHASHSEED for the child.")
    ] = True,
) -> int:
    """Record a command, and exit as it exits.

    The tests run as they would without it; what they do is kept as a run bundle in the store.

    Examples:

        bundle run -- pytest

        bundle run -- python -m pytest -n 2 tests/

        bundle run --seed 0xdeadbeef -- make test
    """
    ui: Ui = context.obj
    env = os.environ
    chosen = seed if seed is not None else env.get("BUNDLE_SEED")
    root = parse_seed(chosen) if chosen else random_seed()
    request = Request(
        argv=argv,
        cwd=current_directory(),
        seed=root,
        runner="pytest" if pytest_runner.recognises(argv) else "command",
        seed_imposed=chosen is not None,
    )
    execution = record(ui, request, env, fix_hash=hash_seed)
    if execution.recorded is not None:
        for line in last_lines(execution):
            ui.status(line)
    return leave(execution)
