"""`bundle verify`: is a run bundle whole and valid."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from bundler.arguments import STORED_RUN
from bundler.bundle import LOG
from bundler.errors import UsageError
from bundler.sealing import settle
from bundler.store import directory_of, is_path, open_recording
from bundler.terminal import Ui
from bundler.traces import trace_at
from bundler.verification import Finding, repair, verify

if TYPE_CHECKING:
    from bundler.formats.trace import Trace


def command(
    context: typer.Context,
    run: Annotated[str, STORED_RUN] = "latest",
    mend: Annotated[
        bool, typer.Option("--repair", help="Rebuild what is derived from the log.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> int:
    """Check that a run bundle is whole and valid, or a trace.

    Digests, schemas, the contract of every test bundle, and the end of the log. Exits 1 where
    something is wrong.

    Examples:

        bundle verify run.zip

        bundle verify latest --repair
    """
    ui: Ui = context.obj
    if mend:
        directory = directory_of(run)
        if not directory.is_dir():
            raise UsageError(
                f"{run} is packed, and only a directory is repaired",
                hint="Add it to the store with `bundle add`, then repair it there.",
            )
        for change in settle(directory):
            ui.status(f"tests: {change}")
        was_abandoned = (directory / LOG).exists()
        redaction = repair(directory).redaction
        if was_abandoned and redaction is not None and redaction.on:
            ui.status("files that its tests left are masked with the secrets of this environment")
        ui.status(f"rebuilt what is derived from the log of {directory.name}")
    trace = trace_at(run) if is_path(run) else None
    if trace is not None:
        return _verify_trace(ui, trace, run, as_json=as_json)
    recording = open_recording(run)
    findings = verify(recording)
    if as_json:
        ui.result(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        for finding in findings:
            cure = " (`bundle verify --repair` rebuilds it)" if finding.derived else ""
            ui.result(f"{finding.member}: {finding.problem}{cure}")
    short = recording.manifest.run_id[:8]
    verdict = f"{len(findings)} findings" if findings else "whole and valid"
    ui.status(f"run {short}: {verdict}, {recording.results.events} events")
    return 1 if findings else 0


def _verify_trace(ui: Ui, trace: Trace, name: str, *, as_json: bool) -> int:
    from bundler.trace_view import trace_problem

    problem = trace_problem(trace)
    if as_json:
        findings = [Finding(name, problem)] if problem else []
        ui.result(json.dumps([asdict(finding) for finding in findings], indent=2))
    elif problem:
        ui.result(f"{name}: {problem}")
    ui.status(f"trace: {problem or 'whole and valid'}, {trace.event_count} events")
    return 1 if problem else 0
