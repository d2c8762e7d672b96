"""`bundle show`: one run, or one test of it, in detail."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Annotated

import typer

from bundler.about import damage
from bundler.configuration import in_force
from bundler.details import document_of_test, lines_of_test, matching_tests, run_lines
from bundler.errors import AmbiguousRun, NotARecording, RunNotFound
from bundler.escapes import json_text, one_line
from bundler.look import ColourChoice, Look
from bundler.manifest import encode_document, summary_document
from bundler.recording import Recording
from bundler.results import TestResult
from bundler.store import is_path, open_recording, open_store
from bundler.terminal import Ui

_CANDIDATES = 20


def command(
    context: typer.Context,
    run: Annotated[
        str | None,
        typer.Argument(metavar="[RUN]", help="latest, a prefix of a run id, a path, or -."),
    ] = None,
    test: Annotated[
        str | None,
        typer.Argument(metavar="[TEST]", help="A test id, or a part that only one has."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The same as JSON.")] = False,
    no_pager: Annotated[bool, typer.Option("--no-pager", help="Do not use a pager.")] = False,
    color: Annotated[
        ColourChoice | None, typer.Option(metavar="WHEN", help=f"{', '.join(ColourChoice)}.")
    ] = None,
) -> int:
    """Show one run, or one test of it, in detail.

    A single word that names no run is looked for among the tests of the latest run.

    Examples:

        bundle show                          the last run here

        bundle show 3f2a test_login          one test: every attempt, all its output

        bundle show test_login --json | jq .attempts[0].failures
    """
    ui: Ui = context.obj
    configuration = in_force(ui.environment)
    ui.choose_colour(color or ColourChoice(configuration.color))
    if ui.look.colour:
        ui.know_runs(open_store().ids())
    recording, test = _named(run, test)
    if test is None:
        found = None
    else:
        found = matching_tests(recording.results, test)
        if len({one.test_id for one in found}) != 1:
            return _no_single_test(ui, recording, test, found)
    if as_json:
        for document in _documents(recording, found):
            ui.stdout.write_bytes(json_text(document, in_ci=ui.stdout.in_ci))
    else:
        with ui.paged(enabled=not no_pager, configured=configuration.pager):
            ui.stdout.write_lines(_lines(recording, found, ui.look))
    for sentence in damage(recording):
        ui.warning(sentence)
    return 0


def _named(run: str | None, test: str | None) -> tuple[Recording, str | None]:
    """The run, and the text that names a test of it; a single word may be either."""
    try:
        return open_recording(run or "latest"), test
    except AmbiguousRun:
        raise
    except (RunNotFound, NotARecording) as error:
        if run is None or test is not None or run == "latest":
            raise
        try:
            latest = open_recording("latest")
        except RunNotFound:
            raise error from None
        if not matching_tests(latest.results, run):
            if is_path(run):
                raise error from None
            raise RunNotFound(
                f"{run!r} is neither a run nor a test of the latest run ({error.message})"
            ) from None
        return latest, run


def _no_single_test(ui: Ui, recording: Recording, text: str, found: list[TestResult]) -> int:
    short = recording.manifest.run_id[:8]
    if not found:
        raise RunNotFound(
            f"run {short} has no test {text!r}",
            hint=f"`bundle replay {short} --status-level all` shows its tests.",
        )
    ids = sorted({test.test_id for test in found})
    ui.error(f"test {text!r} is one of {len(ids)} in run {short}:")
    for test_id in ids[:_CANDIDATES]:
        ui.status(f"    {one_line(test_id)}")
    if len(ids) > _CANDIDATES:
        ui.status(f"    and {len(ids) - _CANDIDATES} more")
    return AmbiguousRun.exit_code


def _lines(recording: Recording, found: list[TestResult] | None, look: Look) -> Iterator[str]:
    if found is None:
        yield from run_lines(recording, look)
    for test in found or ():
        yield from lines_of_test(recording, test, look)


def _documents(recording: Recording, found: list[TestResult] | None) -> Iterator[bytes]:
    if found is None:
        yield encode_document(summary_document(recording.manifest, recording.results))
    for test in found or ():
        yield json.dumps(document_of_test(recording, test), indent=2).encode("ascii") + b"\n"
