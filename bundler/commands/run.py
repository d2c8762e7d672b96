"""`bundle run`: record a command, and exit as it exits."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from bundler import probe, recorder
from bundler.errors import BundleError, UsageError
from bundler.recorder import Recorded, Recorder, Request
from bundler.results import NOT_PASSING, Status
from bundler.runners import process
from bundler.runners import pytest as pytest_runner
from bundler.seeds import parse_seed, random_seed, show_seed
from bundler.status import Ending
from bundler.store import current_directory, open_store
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
    return record(ui, request, env, fix_hash=hash_seed)


def record(
    ui: Ui,
    request: Request,
    env: Mapping[str, str],
    *,
    fix_hash: bool,
    selection: Path | None = None,
) -> int:
    """Run the request's command under recording; say what was recorded; return the exit code.

    A signal that ended the child ends this process too. Where recording is not possible, the
    command runs all the same and one line says why.
    """
    if not request.argv:
        raise UsageError("a command is missing", hint="Write `bundle run -- COMMAND`.")
    try:
        recording = recorder.begin(request, open_store(env), env)
    except (OSError, BundleError) as error:
        ui.status(f"bundle: not recording: {_reason(error)}")
        return _exit(process.run(list(request.argv), env=dict(env), cwd=None))
    child = {**env, **recorder.child_variables(recording, env, fix_hash=fix_hash)}
    settings = recorder.probe_settings(recording, probe.PATH, selection)
    child = pytest_runner.environment(child, settings)
    recording.start_describing()
    ended = process.run(
        pytest_runner.command(request.argv, child),
        env=child,
        cwd=None,
        on_output=recording.output,
    )
    ending = Ending(ended.code, ended.signal, ended.forwarded, ended.started, ended.error)
    recorded = recording.finish(ending)
    if ended.error:
        ui.status(f"bundle: {ended.error}")
    _tell(ui, recording, recorded)
    return _exit(ended)


def _exit(ended: process.Exit) -> int:
    if ended.signal is not None:
        process.exit_like(ended)
    return ended.code if ended.code is not None else 1


def _tell(ui: Ui, recording: Recorder, recorded: Recorded | None) -> None:
    if recorded is None or recording.problem:
        ui.status(f"bundle: the recording is incomplete: {recording.problem}")
    if recorded is None:
        return
    for line in last_lines(recording, recorded):
        ui.status(line)


def last_lines(recording: Recorder, recorded: Recorded) -> list[str]:
    """Return what is said at the end of a run, the command that replays it last."""
    manifest, results = recorded.manifest, recorded.results
    short = manifest.run_id[:8]
    lines = []
    if not results.sessions:
        why = pytest_runner.why_unreached(
            recording.request.argv, recording.tail.decode("utf-8", "replace")
        )
        if why:
            lines.append(f"bundle: recorded as a plain command: {why}")
    if manifest.status.state in (Status.INTERRUPTED, Status.CANCELLED):
        running = [t.test_id for t in results.tests if t.attempts and t.verdict == "unfinished"]
        while_running = f", while running {running[0]}" if running else ""
        more = f" and {len(running) - 1} more" if len(running) > 1 else ""
        lines.append(
            f"bundle: {manifest.status.state}: {manifest.status.reason}{while_running}{more}"
        )
    red = sum(results.counts.get(verdict, 0) for verdict in NOT_PASSING)
    total = len(results.tests)
    told = f"{total} tests, {red} not passing, " if total else ""
    lines.append(
        f"bundle: {told}run {short}, seed {show_seed(manifest.seed)}; `bundle replay {short}`"
    )
    return lines


def _reason(error: OSError | BundleError) -> str:
    if isinstance(error, BundleError):
        return error.message
    return f"{error.filename or 'the store'}: {error.strerror}"
