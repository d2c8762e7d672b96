"""Carrying a rerun out: what it is handed, what is said and returned at its end."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bundler import chain as chains
from bundler import generators, pruning
from bundler.child_variables import SELECTION
from bundler.configuration import Configuration
from bundler.documents import load_document
from bundler.escapes import one_line
from bundler.execution import Execution, record
from bundler.last_words import last_lines, leave, tidy
from bundler.manifest import encode_document
from bundler.recorder import Recorded, Request
from bundler.recording import Recording
from bundler.rerun import (
    FileOf,
    Order,
    Plan,
    State,
    plan,
    pytest_file,
    rerun_exit_code,
    selection_document,
)
from bundler.rerun_start import Start
from bundler.results import COMMAND_RUNNER, Results, Status
from bundler.runners import Runner, Selection, configured, own_results
from bundler.terminal import Ui

MOST_LISTED = 20
_NONE = "bundle: none of what is outstanding can be selected here"


@dataclass(frozen=True)
class Rerun:
    """A rerun that is about to be carried out."""

    parent: Recording
    start: Start
    order: Order = Order.FAILED
    redact: bool = True


def carry_out(
    ui: Ui,
    rerun: Rerun,
    env: Mapping[str, str],
    configuration: Configuration,
    *,
    fix_hash: bool | None = None,
) -> int:
    """Run the rerun under recording, say what is left, and return the exit code of DESIGN.

    The child's own code; 5 where it passed and tests are still outstanding; 0 where nothing was
    left to run and nothing is outstanding.
    """
    try:
        return _carry_out(ui, rerun, env, configuration, fix_hash=fix_hash)
    finally:
        if rerun.start.temporary is not None:
            shutil.rmtree(rerun.start.temporary, ignore_errors=True)


def _carry_out(
    ui: Ui,
    rerun: Rerun,
    env: Mapping[str, str],
    configuration: Configuration,
    *,
    fix_hash: bool | None,
) -> int:
    parent = rerun.parent
    start = rerun.start
    runner = configured.choose(start.argv, configuration.runners, start.results)
    file_of = pytest_file if runner is None else runner.file_of
    results = own_results(parent, runner, start.cwd)
    chain = chains.child_chain(parent.manifest.run_id, _chain_of(parent), results, file_of)
    planned = plan(chain.state, results, rerun.order)
    untold = not (_told_of_tests(parent) or chain.state.passing or chain.state.outstanding)
    for line in _first_lines(rerun, chain.state, untold=untold):
        ui.status(line)
    request = replace(_request(rerun), runner=COMMAND_RUNNER if runner is None else runner.NAME)
    if runner is None and results.is_plain_command and not planned.expected:
        ui.status("bundle: nothing is outstanding")
        return 0
    selection = None
    if runner is not None and not untold:
        selection = _select(ui, runner, rerun, planned, results)
    if selection is not None:
        if not selection.commands:
            ui.status("bundle: nothing is outstanding" if not planned.expected else _NONE)
            return 5 if planned.expected else 0
        request = replace(
            request,
            selected=selection.commands,
            left_out=planned.deselect,
            lines=selection.lines,
        )
    execution = record(
        ui,
        request,
        env,
        configuration,
        fix_hash=configuration.hash_seed if fix_hash is None else fix_hash,
        documents=_documents(parent, chain, planned),
    )
    pruning.use(Path(parent.where))
    code = _end(ui, rerun, execution, chain, planned, file_of)
    tidy(ui, execution, configuration)
    return code


def _told_of_tests(recording: Recording | Recorded) -> bool:
    """Whether a run got as far as its tests: one that ended badly before says nothing of them."""
    results, status = recording.results, recording.manifest.status
    told = results.tests or results.deselected or results.collection
    return bool(told) or status.state in (Status.PASSED, Status.NO_TESTS)


def _select(
    ui: Ui, runner: Runner, rerun: Rerun, planned: Plan, results: Results
) -> Selection | None:
    """Select what is outstanding, and say what that cannot keep."""
    selection = runner.select(rerun.start.argv, planned.expected, results)
    if runner.NOT_KEPT and (selection is None or selection.commands):
        in_vain = {
            Order.FAILED: False,
            Order.WORKER: selection is not None or not runner.KEEPS_ORDER,
            Order.FULL: selection is None and not runner.KEEPS_ORDER,
        }[rerun.order]
        order = f"--order {rerun.order} has no effect: " if in_vain else ""
        ui.status(f"bundle: {order}{runner.NOT_KEPT}")
    if rerun.order is Order.FULL:
        return None
    if selection is not None:
        _list(ui, "cannot be selected", selection.refused)
        if selection.inexact:
            ui.status(f"bundle: {selection.inexact}")
    return selection


def _chain_of(recording: Recording) -> chains.Chain | None:
    """Return the chain that a run is in, or None where it is the first of its chain."""
    if chains.NAME not in recording.files:
        return None
    return chains.from_document(load_document(recording.files[chains.NAME], chains.NAME))


def _documents(parent: Recording, chain: chains.Chain, planned: Plan) -> dict[str, bytes]:
    """What is written into the bundle before the command starts."""
    return {
        chains.NAME: encode_document(chains.to_document(chain)),
        SELECTION: encode_document(_selection(parent, planned)),
    }


def _selection(parent: Recording, planned: Plan) -> dict[str, Any]:
    """What the probe is handed; an imposed seed says all there is to say of the generators."""
    imposed = parent.manifest.seed_imposed
    states = {} if imposed else generators.kept_states(parent, frozenset(planned.order))
    return selection_document(planned, restore=states, random_seeds=generators.random_seeds(parent))


def _end(
    ui: Ui,
    rerun: Rerun,
    execution: Execution,
    chain: chains.Chain,
    planned: Plan,
    file_of: FileOf,
) -> int:
    recorded = execution.recorded
    for line in last_lines(execution):
        ui.status(line)
    if recorded is None or execution.ended.signal is not None:
        return leave(execution.ended)
    results = recorded.results
    after = chains.child_chain(recorded.manifest.run_id, chain, results, file_of).state
    known = {test.test_id for test in results.tests}
    known |= {one.test_id for one in results.deselected}
    known |= chain.state.uncollected
    gone = {one for one in planned.expected if one not in known and _told_of_tests(recorded)}
    _list(ui, "still outstanding", sorted(after.outstanding), gone)
    ran = any(test.attempts for test in results.tests)
    if gone and known.isdisjoint(chain.state.passing | chain.state.outstanding):
        manifest = rerun.parent.manifest
        where = f"run {manifest.run_id[:8]} was recorded in {one_line(manifest.command.cwd)}"
        ui.status(f"bundle: none of its tests is in this project; {where}")
    code = rerun_exit_code(leave(execution.ended), after.outstanding, ran)
    if code == 0:
        ui.status("bundle: nothing is outstanding")
    elif not after.outstanding:
        ui.status(f"bundle: no test is outstanding, but the command ended with exit code {code}")
    return code


def _list(ui: Ui, what: str, ids: Sequence[str], gone: Collection[str] = ()) -> None:
    """Say which tests, and which of them are gone: once for all, or of each."""
    if not ids:
        return
    all_gone = len(gone) == len(ids)
    ui.status(f"bundle: {len(ids)} {what}{', not here any more' if all_gone else ''}:")
    for one in ids[:MOST_LISTED]:
        mark = "  (not here any more)" if one in gone and not all_gone else ""
        ui.status(f"  {one_line(one)}{mark}")
    if len(ids) > MOST_LISTED:
        ui.status(f"  and {len(ids) - MOST_LISTED} more")


def _first_lines(rerun: Rerun, state: State, *, untold: bool) -> list[str]:
    short = rerun.parent.manifest.run_id[:8]
    sets = f"{len(state.outstanding)} outstanding, {len(state.passing)} passing left out"
    what = "it ended before any test was told of, so all of it runs" if untold else sets
    lines = [f"bundle: rerun of {short}: {what}; started by {rerun.start.origin}"]
    if rerun.start.not_applied:
        words = " ".join(map(one_line, rerun.start.not_applied))
        lines.append(f"bundle: not applied: {words}")
    return lines


def _request(rerun: Rerun) -> Request:
    manifest = rerun.parent.manifest
    argv = rerun.start.argv
    return Request(
        argv=argv,
        cwd=rerun.start.cwd,
        seed=manifest.seed,
        seed_imposed=manifest.seed_imposed,
        parent=manifest.run_id,
        added=rerun.start.added,
        redact=rerun.redact,
        results=rerun.start.results,
    )
