"""`bundle repro`: see a recorded failure again, and say honestly how far that went."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from bundler.about import environment_of
from bundler.arguments import RUN, TEST
from bundler.circumstances import environment_differences, file_differences
from bundler.configuration import load
from bundler.environment_difference import taken_over
from bundler.errors import AmbiguousRun, RunNotFound, UsageError
from bundler.escapes import json_text
from bundler.generators import kept_states
from bundler.manifest import encode_document
from bundler.naming import matching_tests, named
from bundler.recording import Recording
from bundler.repro import REPEAT, SEEN_AGAIN, Conclusion, ReproVerdict
from bundler.repro_report import Report, document, lines
from bundler.reproduction import Bench, Kit, reproduce
from bundler.rerun_start import how_to_start
from bundler.results import COMMAND_RUNNER, Verdict
from bundler.runners import called, own_results
from bundler.runners import pytest as pytest_runner
from bundler.sighting import Original, originals
from bundler.store import Store, open_store
from bundler.terminal import Ui

BUDGET_S = 300.0
STOPPED = 130
"""The exit code of what Ctrl-C ended."""


def command(
    context: typer.Context,
    run: Annotated[str | None, RUN] = None,
    test: Annotated[str | None, TEST] = None,
    budget: Annotated[
        float, typer.Option(metavar="SECONDS", min=0, help="How long it may take altogether.")
    ] = BUDGET_S,
    repeat: Annotated[
        int, typer.Option(metavar="N", min=1, help="How often a failure has to be seen again.")
    ] = REPEAT,
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep every execution in the store, as a run.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The verdicts as JSON.")] = False,
) -> int:
    """Run a failed test again as it ran, and say whether the same failure came back.

    Tests of pytest alone. Without TEST, every failure of the run. First the test alone, then with
    more and more of what ran before it, until the same failure is back; then which of those tests
    it takes. A verdict is reproduced, order dependent, flaky, fails differently, not reproduced, or
    could not run.

    Exits with 1 if any failure was seen again, else with 2 if any could not be tried, else with 0.
    Ctrl-C ends it with what is known until then.

    Examples:

        bundle repro                         every failure of the last run

        bundle repro run.zip test_login      one failure of a run from CI
    """
    ui: Ui = context.obj
    store = open_store()
    parent, test = named(run, test, holds=_names_something)
    parent.results = own_results(parent, pytest_runner, store.project)
    failures = _failures(parent, test)
    if not failures:
        return _nothing_failed(ui, parent, as_json)
    _must_be_of_pytest(parent)
    configuration = load(store.project, os.environ)
    start = how_to_start(parent, store, os.environ, configured=configuration.command)
    taken = taken_over(environment_of(parent), os.environ)
    with tempfile.TemporaryDirectory(prefix="bundle-repro-") as scratch:
        place = Path(scratch)
        runs = store if keep else Store(place / "store", store.project)
        kit = Kit(parent, start, runs, place, dict(os.environ), taken)
        bench = Bench(kit, ui, kept_states(parent), fix_hash=configuration.hash_seed)
        report = _carry_out(bench, failures, budget, repeat)
        if as_json:
            text = json_text(encode_document(document(report)), in_ci=ui.stdout.in_ci)
            ui.stdout.write_bytes(text)
        else:
            ui.stdout.write_lines(lines(report, ui.look))
    if bench.stopped:
        return STOPPED
    return exit_code([conclusion for _, conclusion in report.concluded])


def exit_code(conclusions: list[Conclusion]) -> int:
    """Return 1 if any failure was seen again, else 2 if any could not be tried, else 0."""
    verdicts = {conclusion.verdict for conclusion in conclusions}
    if verdicts & SEEN_AGAIN:
        return 1
    return UsageError.exit_code if ReproVerdict.COULD_NOT_RUN in verdicts else 0


def _carry_out(bench: Bench, failures: list[Original], budget: float, repeat: int) -> Report:
    short = bench.kit.parent.manifest.run_id[:8]
    start = bench.kit.start
    bench.ui.status(
        f"bundle: {len(failures)} to reproduce of run {short}, at most {budget:.0f} s; "
        f"started by {start.origin}"
    )
    end = time.monotonic() + budget
    concluded = []
    for number, original in enumerate(failures):
        # What one failure does not need is there for those that follow; of very many the first
        # ones get a verdict, rather than all of them nothing.
        now = time.monotonic()
        share = max((end - now) / (len(failures) - number), bench.typical_s() * (repeat + 1))
        conclusion = reproduce(bench, original, min(now + share, end), repeat)
        concluded.append((original, conclusion))
        if bench.stopped:
            bench.ui.status("bundle: stopped; this is what is known")
            break
    sources = list(file_differences(bench, failures))
    different = environment_differences(bench, failures, sources)
    return Report(bench, concluded, different)


def _must_be_of_pytest(parent: Recording) -> None:
    """Refuse a run of which another runner told: only pytest can be asked for an order and a state.

    A report whose runner nobody knows may be pytest's.
    """
    told = {str(session.info.get("runner")) for session in parent.results.sessions}
    others = [name for name in told if name == COMMAND_RUNNER or called(name) is not None]
    if "pytest" in told or not others:
        return
    short = parent.manifest.run_id[:8]
    what = "a plain command" if others == [COMMAND_RUNNER] else f"run by {' and '.join(others)}"
    raise UsageError(
        f"run {short} is {what}; repro executes tests of pytest",
        hint=f"Run `bundle rerun {short}`: it runs what did not pass, under the same seed.",
    )


def _names_something(recording: Recording, text: str) -> bool:
    """Whether a text names a test, or a file that could not be collected."""
    return bool(matching_tests(recording.results, text)) or any(_nodes(recording, text))


def _failures(parent: Recording, test: str | None) -> list[Original]:
    if test is None:
        return originals(parent.results)
    short = parent.manifest.run_id[:8]
    wanted = {one.test_id for one in matching_tests(parent.results, test)}
    wanted |= set(_nodes(parent, test))
    if not wanted:
        raise RunNotFound(
            f"run {short} has no test {test!r}",
            hint=f"`bundle replay {short} --status-level all` shows its tests.",
        )
    failed = originals(parent.results, wanted)
    if not failed:
        raise UsageError(
            f"test {test!r} did not fail in run {short}",
            hint=f"`bundle replay {short}` shows what did.",
        )
    if test not in wanted and len(failed) > 1:
        ids = ", ".join(one.test_id for one in failed[:5])
        raise AmbiguousRun(
            f"test {test!r} is more than one that failed: {ids}", hint="Give its whole id."
        )
    return failed


def _nodes(recording: Recording, text: str) -> Iterator[str]:
    """The files that could not be collected and that a text names."""
    for problem in recording.results.collection:
        if problem.outcome is Verdict.ERRORED and text in problem.node_id:
            yield problem.node_id


def _nothing_failed(ui: Ui, parent: Recording, as_json: bool) -> int:
    short = parent.manifest.run_id[:8]
    if as_json:
        empty = {"run_id": parent.manifest.run_id, "tests": []}
        ui.stdout.write_bytes(encode_document(empty))
    ui.status(f"bundle: run {short} has no failed test: {parent.manifest.status.state}")
    return 0
