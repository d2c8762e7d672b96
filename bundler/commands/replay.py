"""`bundle replay`: show a recorded run again, or its events, or what its command printed."""

from __future__ import annotations

import itertools
import signal
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated

import typer

from bundler.about import count, damage
from bundler.arguments import COLOUR, NO_PAGER, RUN, TEST
from bundler.configuration import in_force
from bundler.errors import AmbiguousRun, UsageError
from bundler.escapes import json_text
from bundler.event_view import event_line
from bundler.events import LEVELS, Event
from bundler.filters import any_of
from bundler.levels import FinalStatusLevel, Options, OutputWhen, StatusLevel
from bundler.look import ColourChoice
from bundler.naming import named, tests_named
from bundler.own_events import OwnEvent, Wanted, own_events
from bundler.recording import Recording
from bundler.replay import event_lines, replay
from bundler.results import Status, TestResult
from bundler.store import is_path, open_recording, open_store
from bundler.terminal import Ui


def command(
    context: typer.Context,
    run: Annotated[str | None, RUN] = None,
    test: Annotated[str | None, TEST] = None,
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
    events: Annotated[
        bool, typer.Option("--events", help="Only what the tests logged themselves.")
    ] = False,
    level: Annotated[
        str | None,
        typer.Option(
            "--level", metavar="LEVEL", help=f"Events this grave or graver: {', '.join(LEVELS)}."
        ),
    ] = None,
    category: Annotated[
        list[str] | None,
        typer.Option(
            "--category", metavar="NAME", help="Only events of this category; repeatable."
        ),
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", help="Follow a run that is being recorded, to its end.")
    ] = False,
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="Exit as the recorded run did.")
    ] = False,
    raw: Annotated[
        bool, typer.Option("--raw", help="What the command printed, byte by byte.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The events, one a line.")] = False,
    no_pager: Annotated[bool, NO_PAGER] = False,
    color: Annotated[ColourChoice | None, COLOUR] = None,
) -> int:
    """Show a recorded run again, or one test of it, or what tests logged.

    With a TEST, what it logged stands between what it printed, by time; times count from its start.
    Output has the time at which it was recorded: pytest hands it over when a phase (setup, call,
    teardown) ends, so it stands behind what was logged in that phase.

    --events shows only what tests logged; with --json as one event a line, whose ts_us counts from
    the start of the run. Exits with 0 when the replay itself went well, whatever became of the run.

    Examples:

        bundle replay                              the last run here

        bundle replay run.zip --failed             what failed in CI

        bundle replay 3f2a test_login              one test, with its events

        bundle replay 3f2a --filter 'test_login*' --success-output immediate

        bundle replay --events --level DEBUG --category io --follow

        bundle replay --json | jq -r .test_id
    """
    ui: Ui = context.obj
    configuration = in_force(ui.environment)
    ui.choose_colour(color or ColourChoice(configuration.color))
    if ui.look.colour:
        ui.know_runs(open_store().ids())
    given = {
        "--raw": raw,
        "--json": as_json,
        "--events": events,
        "--filter": filters,
        "--failed": failed,
        "--follow": follow,
        "--level": level,
        "--category": category,
        "a TEST": test,
    }
    _refuse_what_does_not_go_together({word for word, value in given.items() if value})
    wanted = _wanted(level, category)
    recording, test = named(run, test)
    found = tests_named(ui, recording, test) if test else []
    if test and not found:
        return AmbiguousRun.exit_code
    options = Options(
        status_level=StatusLevel.ALL if found else status_level,
        final_status_level=final_status_level,
        failure_output=failure_output or OutputWhen.IMMEDIATE,
        success_output=success_output
        or (OutputWhen.IMMEDIATE if no_capture or found else OutputWhen.NEVER),
        indent=not (no_capture or no_output_indent),
        filter=found[0].test_id.__eq__ if found else any_of(filters) if filters else None,
        only_failed=failed,
        said=wanted if found else None,
    )
    paging = ui.paged(enabled=not (no_pager or follow), configured=configuration.pager)
    problems: list[str] = []
    if raw:
        _write_raw(ui, recording)
    elif follow and recording.live:
        _follow(ui, recording, options, wanted, found, as_json=as_json)
        recording = open_recording(recording.where)
    elif events:
        said = own_events(recording, wanted, tests=_ids(recording, options), problems=problems)
        with paging:
            _write_events(ui, said, _start(found), as_json=as_json)
    elif as_json:
        _write_json(ui, _log_lines(recording, options, wanted, found))
    else:
        name = _named_again(run or "latest", recording)
        with paging:
            ui.stdout.write_lines(replay(recording, options, ui.look, name=name))
    for sentence in [*damage(recording), *problems]:
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


_APART = (
    {"--raw", "--json"},
    {"--raw", "--events"},
    {"--raw", "--filter"},
    {"--raw", "--failed"},
    {"--raw", "a TEST"},
    {"a TEST", "--filter"},
    {"a TEST", "--failed"},
    {"--follow", "--failed"},
)
"""What does not go together."""


def _refuse_what_does_not_go_together(given: set[str]) -> None:
    for words in _APART:
        if words <= given:
            names = " and ".join(word for word in sorted(words, key=str.lower, reverse=True))
            raise UsageError(f"{names} do not go together", hint="Choose one of them.")
    if "--follow" in given and "--events" not in given:
        raise UsageError("--follow is for --events", hint="Add --events.")
    about_events = given & {"--level", "--category"}
    if about_events and not given & {"--events", "a TEST"}:
        names = " and ".join(sorted(about_events, reverse=True))
        raise UsageError(f"{names} without events to choose", hint="Add --events, or name a TEST.")


def _wanted(level: str | None, categories: list[str] | None) -> Wanted:
    name = (level or LEVELS[-1]).upper()
    name = "WARN" if name == "WARNING" else name
    if name not in LEVELS:
        raise UsageError(f"level {level!r} is unknown", hint=f"One of: {', '.join(LEVELS)}.")
    return Wanted(name, frozenset(categories or ()))


def _ids(recording: Recording, options: Options) -> set[str] | None:
    """The tests that are chosen; None where all are, and what belongs to none of them too."""
    if options.filter is None and not options.only_failed:
        return None
    tests = recording.results.tests
    return {test.test_id for test in tests if options.chooses(test, test.verdict)}


def _write_events(ui: Ui, said: Iterable[OwnEvent], zero_us: int | None, *, as_json: bool) -> None:
    """Events, counted from the start of the run; for people from that of the one test, if given."""
    if as_json:
        _write_json(ui, (own.line for own in said))
        return
    with_test = zero_us is None
    ui.stdout.write_lines(
        event_line(own, ui.look, zero_us=zero_us or 0, with_test=with_test) for own in said
    )


def _start(found: Sequence[TestResult]) -> int | None:
    """When the one test began, None where none was named."""
    starts = [attempt.started_us for test in found for attempt in test.attempts]
    return min(starts, default=0) if found else None


def _follow(
    ui: Ui,
    recording: Recording,
    options: Options,
    wanted: Wanted,
    found: Sequence[TestResult],
    *,
    as_json: bool,
) -> None:
    from bundler.following import follow, interruptible

    chooses = options.filter or (lambda _: True)

    def wants(event: Event) -> bool:
        return wanted(event) and chooses(event.test_id or "")

    zero_us = _start(found)
    with interruptible() as stopped:
        for said in follow(Path(recording.where), wants, stopped=stopped):
            if zero_us == 0 and said:  # only now the test has begun
                zero_us = said[0].ts_us - said[0].event.ts_us or said[0].ts_us
            whole = itertools.takewhile(lambda _: not stopped(), said)
            _write_events(ui, whole, zero_us, as_json=as_json)
            ui.stdout.flush()
            if ui.stdout.stopped:
                return
        if stopped():
            raise KeyboardInterrupt


def _log_lines(
    recording: Recording, options: Options, wanted: Wanted, found: Sequence[TestResult]
) -> Iterator[bytes]:
    if not found:
        return event_lines(recording, options)
    said = own_events(recording, wanted, tests={found[0].test_id}, with_run=True)
    return (own.line for own in said)


def _write_json(ui: Ui, lines: Iterable[bytes]) -> None:
    for line in lines:
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
