"""`bundle show`: one run, one test of it, or a trace, in detail."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Annotated

import typer

from bundler.about import damage
from bundler.arguments import COLOUR, NO_PAGER
from bundler.configuration import in_force
from bundler.errors import AmbiguousRun, DamagedRecording
from bundler.escapes import json_text
from bundler.look import ColourChoice, Look
from bundler.manifest import encode_document, summary_document
from bundler.names import shown
from bundler.naming import named, tests_named
from bundler.recording import Recording
from bundler.results import TestResult
from bundler.run_details import run_lines
from bundler.store import is_path, open_store
from bundler.terminal import Ui
from bundler.test_details import documents_of_tests, lines_of_tests
from bundler.traces import ENDING, trace_at, trace_in

if TYPE_CHECKING:
    from bundler.formats.trace import Trace

_WHOLE_PATH = "Give more of its path."


def command(
    context: typer.Context,
    run: Annotated[
        str | None,
        typer.Argument(
            metavar="[RUN]", help="latest, a prefix of a run id, a path (also of a .trace), or -."
        ),
    ] = None,
    test: Annotated[
        str | None,
        typer.Argument(
            metavar="[TEST]", help="A test id, or a part that only one has; a trace of the run."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The same as JSON.")] = False,
    no_pager: Annotated[bool, NO_PAGER] = False,
    color: Annotated[ColourChoice | None, COLOUR] = None,
) -> int:
    """Show one run, one test of it, or a trace, in detail.

    A single word that names no run is looked for among the tests of the latest run. A trace that
    is damaged, or was never finished, is shown as far as it can be read, and the exit code is 3.

    Examples:

        bundle show                          the last run here

        bundle show 3f2a test_login          one test, all that it did

        bundle show test_login --json | jq '.attempts[0].failures'

        bundle show scheduler_drain_00000000deadbeef.trace
    """
    ui: Ui = context.obj
    configuration = in_force(ui.environment)
    ui.choose_colour(color or ColourChoice(configuration.color))
    if ui.look.colour:
        ui.know_runs(open_store().ids())
    paging = ui.paged(enabled=not no_pager, configured=configuration.pager)
    if run is not None and test is None and is_path(run):
        trace = trace_at(run)
        if trace is not None:
            return _show_trace(ui, trace, run, paging, as_json=as_json)
    recording, test = named(run, test)
    if test is not None and (member := _trace_member(recording, test)):
        trace = trace_in(recording.files, member)
        return _show_trace(ui, trace, member, paging, as_json=as_json)
    found = None if test is None else tests_named(ui, recording, test)
    if found == []:
        return AmbiguousRun.exit_code
    if as_json:
        for document in _documents(recording, found):
            ui.stdout.write_bytes(json_text(document, in_ci=ui.stdout.in_ci))
    else:
        with paging:
            ui.stdout.write_lines(_lines(recording, found, ui.look))
    for sentence in damage(recording):
        ui.warning(sentence)
    return 0


def _show_trace(
    ui: Ui, trace: Trace, name: str, paging: AbstractContextManager[None], *, as_json: bool
) -> int:
    """All of a trace that can be read; what is wrong with it makes the exit code."""
    from bundler.trace_view import describe_trace, trace_json, trace_problem

    if as_json:
        ui.stdout.write_lines(trace_json(trace))
    else:
        with paging:
            ui.stdout.write_lines(describe_trace(trace))
    if trace.whole:
        return 0
    ui.warning(f"{name} {trace_problem(trace)}")
    return DamagedRecording.exit_code


def _trace_member(recording: Recording, name: str) -> str | None:
    """The trace of that name in a recording; with its path, where several tests have one."""
    if not name.endswith(ENDING):
        return None
    traces = [one for one in recording.files if one.endswith(ENDING)]
    found = [one for one in traces if one == name] or [
        one for one in traces if one.endswith(f"/{name}")
    ]
    if len(found) > 1:
        paths = ", ".join(found[:5])
        raise AmbiguousRun(f"trace {shown(name)} is more than one: {paths}", hint=_WHOLE_PATH)
    return found[0] if found else None


def _lines(recording: Recording, found: list[TestResult] | None, look: Look) -> Iterator[str]:
    if found is None:
        yield from run_lines(recording, look)
    else:
        yield from lines_of_tests(recording, found, look)


def _documents(recording: Recording, found: list[TestResult] | None) -> Iterator[bytes]:
    if found is None:
        yield encode_document(summary_document(recording.manifest, recording.results))
    for document in documents_of_tests(recording, found) if found else ():
        yield json.dumps(document, indent=2).encode("ascii") + b"\n"
