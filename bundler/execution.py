"""One execution of a command under recording: from its words to its exit code.

Where recording is not possible, the command runs all the same and one line says why.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bundler import probe, pruning, recorder
from bundler.configuration import Configuration
from bundler.errors import BundleError, UsageError
from bundler.escapes import one_line
from bundler.recorder import Recorded, Recorder, Request
from bundler.results import NOT_PASSING, Results, Status, Verdict
from bundler.runners import nextest as nextest_runner
from bundler.runners import process
from bundler.runners import pytest as pytest_runner
from bundler.status import Ending
from bundler.store import open_store
from bundler.terminal import Ui

UNLIMITED = 1 << 62


@dataclass(frozen=True)
class Execution:
    """How the command ended, and what was recorded of it, if anything was."""

    request: Request
    ended: process.Exit
    recorded: Recorded | None = None
    output_tail: str = ""


def record(
    ui: Ui,
    request: Request,
    env: Mapping[str, str],
    configuration: Configuration,
    *,
    fix_hash: bool,
    documents: Mapping[str, bytes] | None = None,
) -> Execution:
    """Run the request's command under recording.

    `documents` are written into the bundle before the command starts; one named `selection.json`
    is what the probe selects its tests by.
    """
    if not request.argv:
        raise UsageError("a command is missing", hint="Write `bundle run -- COMMAND`.")
    if not configuration.record:
        return Execution(request, _pass_through(request.argv, request.cwd, env))
    request = replace(request, output_limit=configuration.output_limit or UNLIMITED)
    try:
        recording = recorder.begin(request, open_store(env), env, documents or {})
    except (OSError, BundleError) as error:
        ui.status(f"bundle: not recording: {_reason(error)}")
        return Execution(request, _pass_through(request.argv, request.cwd, env))
    child = {**env, **recorder.child_variables(recording, env, fix_hash=fix_hash)}
    child = pytest_runner.environment(child, recorder.probe_settings(recording, probe.PATH))
    recording.start_describing()
    with nextest_runner.inside(request.argv, child) as inside:
        ended = process.run(
            pytest_runner.command(request.argv, child),
            env=inside.environment if inside else child,
            cwd=request.cwd,
            on_output=recording.output,
            on_idle=recording.idle,
        )
        if inside:
            _take_in(ui, recording, inside)
    if ended.error:
        ui.status(f"bundle: {ended.error}")
    recorded = recording.finish(
        Ending(ended.code, ended.signal, ended.forwarded, ended.started, ended.error)
    )
    if ended.recording_error is not None:
        recording.disarm(ended.recording_error)
    if recording.problem:
        ui.status(f"bundle: the recording is incomplete: {recording.problem}")
    return Execution(request, ended, recorded, _tail(recording))


def _take_in(ui: Ui, recording: Recorder, inside: nextest_runner.Inside) -> None:
    try:
        told = inside.recording()
    except BundleError as error:
        ui.status(f"bundle: nextest's recording cannot be read: {error.message}")
        return
    if told is not None:
        recording.take_in(told)


def runner_of(argv: Sequence[str]) -> str:
    """Return which runner's command this is, `command` where it is nobody's."""
    if pytest_runner.recognises(argv):
        return "pytest"
    return "nextest" if nextest_runner.recognises(argv) else "command"


def finish(ui: Ui, execution: Execution, configuration: Configuration) -> int:
    """Say what was recorded, prune the store where it is due, and return the exit code."""
    for line in last_lines(execution):
        ui.status(line)
    tidy(ui, execution, configuration)
    return leave(execution)


def tidy(ui: Ui, execution: Execution, configuration: Configuration) -> None:
    """Prune the store where it is due; what goes wrong is one line and no more."""
    if execution.recorded is None:
        return
    try:
        pruning.automatic(execution.recorded.store, pruning.policy_of(configuration))
    except (OSError, BundleError) as error:
        ui.status(f"bundle: the store was not pruned: {_reason(error)}")


def leave(execution: Execution) -> int:
    """Return the command's exit code; a signal that ended it ends this process too."""
    return _leave(execution.ended)


def unrecorded(ui: Ui, argv: Sequence[str], env: Mapping[str, str], why: BundleError) -> int:
    """Run a command without recording it, say why, and return its exit code."""
    ui.status(f"bundle: not recording: {why.message}")
    return _leave(_pass_through(argv, None, env))


def _leave(ended: process.Exit) -> int:
    if ended.signal is not None:
        process.exit_like(ended)
    return ended.code if ended.code is not None else 1


def last_lines(execution: Execution) -> list[str]:
    """Return what is said at the end of a run, the command that replays it last."""
    recorded = execution.recorded
    if recorded is None:
        return []
    manifest, results = recorded.manifest, recorded.results
    short = manifest.run_id[:8]
    lines = []
    if not results.sessions:
        why = pytest_runner.why_unreached(execution.request.argv, execution.output_tail)
        lines += [f"bundle: recorded as a plain command: {why}"] if why else []
    if manifest.status.state in (Status.INTERRUPTED, Status.CANCELLED):
        running = while_running(results)
        lines.append(f"bundle: {manifest.status.state}: {manifest.status.reason}{running}")
    red = sum(results.counts.get(verdict, 0) for verdict in NOT_PASSING)
    tests = "1 test" if len(results.tests) == 1 else f"{len(results.tests)} tests"
    began = any(test.attempts for test in results.tests)
    total = f"{tests}, {f'{red} not passing' if began else 'none run'}, " if results.tests else ""
    lines.append(f"bundle: {total}run {short}, seed {manifest.seed_hex}; `bundle replay {short}`")
    return lines


def while_running(results: Results) -> str:
    """Return `, while running TEST` for a run that ended in the middle of its tests."""
    running = [test.test_id for test in results.tests if test.verdict is Verdict.UNFINISHED]
    if not running:
        return ""
    more = f" and {len(running) - 1} more" if len(running) > 1 else ""
    return f", while running {one_line(running[0])}{more}"


def _pass_through(argv: Sequence[str], cwd: Path | None, env: Mapping[str, str]) -> process.Exit:
    def pass_by(_stream: str, _chunk: bytes) -> None:
        """Nobody takes what is printed."""

    return process.run(list(argv), env=env, cwd=cwd, on_output=pass_by)


def _tail(recording: Recorder) -> str:
    return recording.tail.decode("utf-8", "replace")


def _reason(error: OSError | BundleError) -> str:
    if isinstance(error, BundleError):
        return error.message
    # A lock that is refused is an OSError without a number.
    return f"{error.filename or 'the store'}: {error.strerror or error}"
