"""`bundle run`: record a command, and exit as it exits."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Annotated

import typer

from bundler.configuration import Configuration, load_leniently
from bundler.errors import OutputError
from bundler.execution import record, runner_name, unrecorded
from bundler.last_words import finish, leave
from bundler.recorder import Request
from bundler.rerun import Order
from bundler.seeds import parse_seed, random_seed
from bundler.store import current_directory
from bundler.terminal import Ui

CONTEXT_SETTINGS = {"allow_interspersed_args": False}


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
        bool | None,
        typer.Option("--hash-seed/--no-hash-seed", help="Fix PYTHONHASHSEED for the child."),
    ] = None,
    watch_entropy: Annotated[
        bool,
        typer.Option(
            "--watch-entropy",
            help="Note where tests draw what no seed reaches; patches os, uuid, random and time.",
        ),
    ] = False,
    redact: Annotated[
        bool,
        typer.Option(
            "--redact/--no-redact",
            help="Mask secrets before anything is written; without it, anybody can read them.",
        ),
    ] = True,
    rerun: Annotated[
        str | None,
        typer.Option("-R", "--rerun", metavar="RUN", help="Only what did not pass in that run."),
    ] = None,
    junit: Annotated[
        list[str] | None,
        typer.Option(metavar="GLOB", help="JUnit XML that the command leaves; again for more."),
    ] = None,
) -> int:
    """Record a command, and exit as it exits.

    The tests run as they would without it; what they do is kept as a run bundle in the store.

    Examples:

        bundle run -- pytest

        bundle run -- python -m pytest -n 2 tests/

        bundle run --seed 0xdeadbeef -- make test

        bundle run -R run.zip -- pytest tests/unit

        bundle run --junit 'build/reports/*.xml' -- make check
    """
    ui: Ui = context.obj
    try:
        cwd = current_directory()
    except OutputError as error:
        if rerun is not None:
            raise
        return leave(unrecorded(ui, argv, os.environ, error))
    configuration, problems = load_leniently(cwd, os.environ)
    for problem in problems:
        ui.warning(problem.message)
    fix_hash = configuration.hash_seed if hash_seed is None else hash_seed
    if rerun is not None:
        return _rerun(ui, rerun, argv, junit or (), configuration, fix_hash=fix_hash, redact=redact)
    imposed = parse_seed(seed) if seed is not None else configuration.seed
    request = Request(
        argv=argv,
        cwd=cwd,
        seed=random_seed() if imposed is None else imposed,
        runner=runner_name(argv, configuration, junit or ()),
        seed_imposed=imposed is not None,
        watch_entropy=watch_entropy,
        redact=redact,
        results=tuple(junit or ()),
    )
    execution = record(ui, request, os.environ, configuration, fix_hash=fix_hash)
    return finish(ui, execution, configuration)


def _rerun(
    ui: Ui,
    run: str,
    argv: list[str],
    junit: Sequence[str],
    configuration: Configuration,
    *,
    fix_hash: bool,
    redact: bool,
) -> int:
    from bundler.rerun_start import Start
    from bundler.rerunning import Rerun, carry_out
    from bundler.store import open_recording

    start = Start(argv, "the command given", current_directory(), results=tuple(junit))
    rerun = Rerun(open_recording(run), start, Order.FAILED, redact=redact)
    return carry_out(ui, rerun, os.environ, configuration, fix_hash=fix_hash)
