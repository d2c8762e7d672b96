"""`bundle replay`: show a recorded run again, or its events, or what its command printed."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Annotated

import typer

from bundler.about import count, damage
from bundler.configuration import in_force
from bundler.errors import UsageError
from bundler.escapes import json_text
from bundler.filters import any_of
from bundler.levels import FinalStatusLevel, Options, OutputWhen, StatusLevel
from bundler.look import ColourChoice
from bundler.recording import Recording
from bundler.replay import event_lines, replay
from bundler.results import Status
from bundler.store import is_path, open_recording, open_store
from bundler.terminal import Ui


def command(
    context: typer.Context,
    run: Annotated[
        str, typer.Argument(metavar="[RUN]", help="latest, a prefix of a run id, a path, or -.")
    ] = "latest",
    filters: Annotated[
        list[str] | None,
        typer.Option(
            "--filter",
            metavar="TEXT",
            help="Only tests whose id holds TEXT, fits it (*, ?), or matches /TEXT/; repeatable.",
        ),
    ] = None,
    failed: Annotated[
        bool, typer.Option("--failed", help="Only tests that did not go well.")
    ] = False,
    status_level: Annotated[
        StatusLevel,
        typer.Option(metavar="LEVEL", help=f"Statuses to show: {', '.join(StatusLevel)}."),
    ] = StatusLevel.PASS,
    final_status_level: Annotated[
        FinalStatusLevel,
        typer.Option(
            metavar="LEVEL", help=f"Statuses to repeat at the end: {', '.join(FinalStatusLevel)}."
        ),
    ] = FinalStatusLevel.FAIL,
    failure_output: Annotated[
        OutputWhen | None,
        typer.Option(
            metavar="WHEN",
            help=f"Output of tests that failed: {', '.join(OutputWhen)}.  [default: immediate]",
        ),
    ] = None,
    success_output: Annotated[
        OutputWhen | None,
        typer.Option(metavar="WHEN", help="Output of tests that passed.  [default: never]"),
    ] = None,
    no_capture: Annotated[
        bool, typer.Option("--no-capture", help="All output at once, not indented.")
    ] = False,
    no_output_indent: Annotated[
        bool, typer.Option("--no-output-indent", help="Do not indent output.")
    ] = False,
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="Exit as the recorded run did.")
    ] = False,
    raw: Annotated[
        bool, typer.Option("--raw", help="What the command printed, byte by byte.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The events, one a line.")] = False,
    no_pager: Annotated[bool, typer.Option("--no-pager", help="Do not use a pager.")] = False,
    color: Annotated[
        ColourChoice | None, typer.Option(metavar="WHEN", help=f"{', '.join(ColourChoice)}.")
    ] = None,
) -> int:
    """Show a recorded run again.

    Exits with 0 when the replay itself went well, whatever became of the run.

    Examples:

        bundle replay                              the last run here

        bundle replay run.zip --failed             what failed in CI

        bundle replay 3f2a --filter 'test_login*' --success-output immediate

        bundle replay --json | jq -r .test_id
    """
    ui: Ui = context.obj
    configuration = in_force(ui.environment)
    ui.choose_colour(color or ColourChoice(configuration.color))
    if ui.look.colour:
        ui.know_runs(open_store().ids())
    chosen = [*(["--filter"] if filters else []), *(["--failed"] if failed else [])]
    _refuse_together([*(["--raw"] if raw else []), *(["--json"] if as_json else [])], 1)
    _refuse_together(["--raw", *chosen] if raw else [], 1)
    options = Options(
        status_level=status_level,
        final_status_level=final_status_level,
        failure_output=failure_output or OutputWhen.IMMEDIATE,
        success_output=success_output or (OutputWhen.IMMEDIATE if no_capture else OutputWhen.NEVER),
        indent=not (no_capture or no_output_indent),
        filter=any_of(filters) if filters else None,
        only_failed=failed,
    )
    recording = open_recording(run)
    if raw:
        _write_raw(ui, recording)
    elif as_json:
        _write_events(ui, recording, options)
    else:
        name = _named_again(run, recording)
        with ui.paged(enabled=not no_pager, configured=configuration.pager):
            ui.stdout.write_lines(replay(recording, options, ui.look, name=name))
    for sentence in damage(recording):
        ui.warning(sentence)
    return recorded_exit_code(recording) if exit_code else 0


def _named_again(run: str, recording: Recording) -> str:
    """Return how the recording can be named once more; nothing where it came through a pipe."""
    if run == "-" or run.startswith("/dev/"):
        return ""
    if not is_path(run):
        return recording.manifest.run_id[:8]
    return run if Path(run).is_file() or Path(run).is_dir() else ""


def recorded_exit_code(recording: Recording) -> int:
    """Return what a shell would have seen of the run: its exit code, or 128 and the signal."""
    status = recording.manifest.status
    if status.signal is not None and status.signal in signal.Signals.__members__:
        return 128 + signal.Signals[status.signal]
    if status.exit_code is not None:
        return status.exit_code
    return 0 if status.state == Status.PASSED else 1


def _refuse_together(words: list[str], most: int) -> None:
    if len(words) > most:
        raise UsageError(f"{' and '.join(words)} do not go together", hint="Choose one of them.")


def _write_events(ui: Ui, recording: Recording, options: Options) -> None:
    for line in event_lines(recording, options):
        ui.stdout.write_bytes(json_text(line, in_ci=ui.stdout.in_ci) + b"\n")
        if ui.stdout.stopped:
            return


def _write_raw(ui: Ui, recording: Recording) -> None:
    if ui.stdout.terminal:
        raise UsageError(
            "--raw is not for a terminal: recorded bytes could give it orders",
            hint="Write them into a file or a pipe: `bundle replay --raw > output`.",
        )
    offsets = recording.results.run_output_offsets
    if not offsets:
        ui.warning("what the command printed is not in this recording")
    for output in recording.outputs(offsets):
        if output.omitted_bytes:
            ui.warning(f"{count(output.omitted_bytes, 'byte')} were not kept")
        ui.stdout.write_bytes(output.content)
        if ui.stdout.stopped:
            return
