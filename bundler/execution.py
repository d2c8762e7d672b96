"""One execution of a command under recording: from its words to how it ended.

Where recording is not possible, the command runs all the same and one line says why.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bundler import probe, recorder
from bundler.child_variables import child_variables, probe_settings
from bundler.configuration import Configuration
from bundler.errors import BundleError, UsageError
from bundler.recorder import Recorded, Recorder, Request
from bundler.recording import Recording
from bundler.results import COMMAND_RUNNER
from bundler.runners import Inside, Invocation, Runner, configured, process
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
    """Run the request's command, or the commands that select its tests, under recording.

    `documents` are written into the bundle before the command starts; one named `selection.json`
    is what the probe selects its tests by.
    """
    if not request.argv:
        raise UsageError("a command is missing", hint="Write `bundle run -- COMMAND`.")
    with _with_tests_file(request) as request:
        return _record(ui, request, env, configuration, fix_hash, documents or {})


def _record(
    ui: Ui,
    request: Request,
    env: Mapping[str, str],
    configuration: Configuration,
    fix_hash: bool,
    documents: Mapping[str, bytes],
) -> Execution:
    if not configuration.record:
        return Execution(request, _unrecorded(request, env))
    request = replace(request, output_limit=configuration.output_limit or UNLIMITED)
    try:
        recording = recorder.begin(request, open_store(env), env, documents)
    except (OSError, BundleError) as error:
        instead = "; BUNDLE_STORE can name another place" if isinstance(error, OSError) else ""
        ui.status(f"bundle: not recording: {reason_of(error)}{instead}")
        return Execution(request, _unrecorded(request, env))
    child = {**env, **child_variables(recording, env, fix_hash=fix_hash)}
    child = pytest_runner.environment(child, probe_settings(recording, probe.PATH))
    ended = _run(ui, recording, child, configuration)
    recorded = _end(ui, recording, ended)
    return Execution(request, ended, recorded, _tail(recording))


def _run(
    ui: Ui, recording: Recorder, env: Mapping[str, str], configuration: Configuration
) -> process.Exit:
    request = recording.request
    recording.start_describing()
    if not request.redact:
        ui.status(f"bundle: {recorder.NOT_REDACTED}")

    def invoke(argv: list[str]) -> process.Exit:
        return _invoke(ui, recording, argv, env, configuration)

    recording.leave_out(request.left_out)
    return _one_after_the_other(request, invoke)


def _end(ui: Ui, recording: Recorder, ended: process.Exit) -> Recorded | None:
    """Finish the recording, and say what there is to say of it and of the command."""
    if ended.error:
        ui.status(f"bundle: {ended.error}")
    recorded = recording.finish(
        Ending(ended.code, ended.signal, ended.forwarded, ended.started, ended.error),
        is_one_test=recording.request.runner == COMMAND_RUNNER,
    )
    for remark in recording.remarks:
        ui.status(f"bundle: {remark}")
    if ended.recording_error is not None:
        recording.disarm(ended.recording_error)
    if recording.problem:
        ui.status(f"bundle: the recording is incomplete: {recording.problem}")
    return recorded


def runner_name(
    argv: Sequence[str], configuration: Configuration, results: Sequence[str] = ()
) -> str:
    """Return which runner's command this is, `command` where it is nobody's."""
    runner = configured.choose(argv, configuration.runners, results)
    return COMMAND_RUNNER if runner is None else runner.NAME


@contextlib.contextmanager
def _with_tests_file(request: Request) -> Iterator[Request]:
    """Write the file that `{tests_file}` stands for; it is gone when the command has ended."""
    if not request.lines or request.selected is None:
        yield request
        return
    with tempfile.TemporaryDirectory(prefix="bundle-tests-") as name:
        path = Path(name) / "tests.txt"
        path.write_text("".join(f"{line}\n" for line in request.lines), encoding="utf-8")
        selected = [
            [word.replace("{tests_file}", str(path)) for word in command]
            for command in request.selected
        ]
        yield replace(request, selected=selected)


def _one_after_the_other(
    request: Request, invoke: Callable[[list[str]], process.Exit]
) -> process.Exit:
    """Run the commands one after the other; the first that fails says how it ended.

    One that is stopped, or cannot be started, is the last.
    """
    commands = [request.argv] if request.selected is None else request.selected
    ends = []
    for argv in commands:
        ends.append(invoke(list(argv)))
        if ends[-1].signal is not None or ends[-1].forwarded or not ends[-1].started:
            return ends[-1]
    return next((one for one in ends if one.code != 0), ends[-1])


def _invoke(
    ui: Ui,
    recording: Recorder,
    argv: list[str],
    env: Mapping[str, str],
    configuration: Configuration,
) -> process.Exit:
    request = recording.request

    def say(line: str) -> None:
        ui.status(f"bundle: {line}")

    runner = configured.choose(argv, configuration.runners, request.results, say)
    if runner is not None and request.seed_imposed:
        argv, env = runner.seeded(argv, env, request.seed)
    recording.begin_invocation(argv)
    before = recording.sessions()
    with _inside(ui, runner, Invocation(argv, env, request.cwd, recording.tell)) as inside:
        ended = process.run(
            inside.argv,
            env=inside.env,
            cwd=request.cwd,
            on_output=recording.output,
            on_idle=_idle(recording, inside),
            show=inside.show,
        )
        _take_in(ui, recording, inside, before)
    return ended


def _idle(recording: Recorder, inside: Inside) -> Callable[[], None]:
    poll = inside.poll
    if poll is None:
        return recording.idle

    def both() -> None:
        recording.idle()
        poll()

    return both


@contextlib.contextmanager
def _inside(ui: Ui, runner: Runner | None, invocation: Invocation) -> Iterator[Inside]:
    """What the runner makes of an invocation; the invocation as it is where it cannot.

    Whatever goes wrong there, the command runs.
    """
    with contextlib.ExitStack() as stack:
        inside = None
        if runner is not None:
            try:
                inside = stack.enter_context(runner.inside(invocation))
            except Exception as error:
                ui.status(f"bundle: the tests are not seen: {_what_went_wrong(error)}")
        yield inside or Inside(invocation.argv, invocation.env)


def _take_in(ui: Ui, recording: Recorder, inside: Inside, before: int) -> None:
    """Take in what was not told on the way; a report of tests that told of themselves is not."""
    try:
        told = inside.recording() or ()
    except Exception as error:  # the command has ended, and its exit code is to be returned
        why = _what_went_wrong(error)
        ui.status(f"bundle: what the runner recorded cannot be read: {why}")
        return
    if told and not isinstance(told, Recording) and recording.sessions() > before:
        ui.status("bundle: the tests told of themselves; the files of JUnit XML are left out")
        return
    for one in [told] if isinstance(told, Recording) else told:
        recording.take_in(one)


def unrecorded(
    ui: Ui, argv: Sequence[str], env: Mapping[str, str], why: BundleError
) -> process.Exit:
    """Run a command without recording it, and say why."""
    ui.status(f"bundle: not recording: {why.message}")
    return _pass_through(argv, None, env)


def _unrecorded(request: Request, env: Mapping[str, str]) -> process.Exit:
    return _one_after_the_other(request, lambda argv: _pass_through(argv, request.cwd, env))


def _pass_through(argv: Sequence[str], cwd: Path | None, env: Mapping[str, str]) -> process.Exit:
    def pass_by(_stream: str, _chunk: bytes) -> None:
        """Nobody takes what is printed."""

    return process.run(list(argv), env=env, cwd=cwd, on_output=pass_by)


def _tail(recording: Recorder) -> str:
    return recording.tail.decode("utf-8", "replace")


def _what_went_wrong(error: Exception) -> str:
    if isinstance(error, OSError | BundleError):
        return reason_of(error)
    return f"{type(error).__name__}: {error}"


def reason_of(error: OSError | BundleError) -> str:
    """Return why something could not be done, in a fragment."""
    if isinstance(error, BundleError):
        return error.message
    # A lock that is refused is an OSError without a number.
    return f"{error.filename or 'the store'}: {error.strerror or error}"
