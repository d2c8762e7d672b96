"""Carrying a rerun out: what starts it, what it is handed, what is said and returned at its end.

What starts the rerun of a run, in this order (a stranger's bundle never starts its own words):

1. an explicit command: `bundle run -R RUN -- COMMAND`;
2. of a run that cargo-nextest recorded: `cargo nextest run -R` of its own recording;
3. of a run recorded here: its own command;
4. `[tool.bundle] command`;
5. the command of this project's last run recorded here;
6. `python -m pytest` of the active or the project's own virtual environment.

In 4 to 6 of the bundle's own words come back only typed, allow-listed options and paths inside the
project (`bundler.scope`); what does not come back is listed.
"""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import tempfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bundler import chain as chains
from bundler import generators, pruning
from bundler.configuration import Configuration
from bundler.documents import load_document
from bundler.errors import UsageError
from bundler.escapes import one_line
from bundler.execution import Execution, last_lines, leave, record, tidy
from bundler.manifest import Command, encode_document
from bundler.recorder import SELECTION, Recorded, Request
from bundler.recording import Recording
from bundler.redaction import restored
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
from bundler.results import COMMAND_RUNNER, Results, Status
from bundler.runners import Runner, Selection, called, configured
from bundler.runners import nextest as nextest_runner
from bundler.runners import pytest as pytest_runner
from bundler.scope import applicable_scope
from bundler.store import Store
from bundler.terminal import Ui

MOST_LISTED = 20
_NONE = "bundle: none of what is outstanding can be selected here"


@dataclass(frozen=True)
class Start:
    """The command that starts a rerun, where it came from, where it runs, what was left out."""

    argv: list[str]
    origin: str
    cwd: Path
    not_applied: tuple[str, ...] = ()
    added: int = 0
    temporary: Path | None = None
    results: tuple[str, ...] = ()


@dataclass(frozen=True)
class Rerun:
    """A rerun that is about to be carried out."""

    parent: Recording
    start: Start
    order: Order = Order.FAILED
    redact: bool = True


def how_to_start(
    parent: Recording,
    store: Store,
    env: Mapping[str, str],
    *,
    configured: Sequence[str] | None = None,
) -> Start:
    """Decide what starts the rerun of a recording, as this module's docstring says."""
    if nextest_runner.has_archive(parent):
        return _by_nextest(parent, store)
    if is_local(parent, store):
        command = parent.manifest.command
        argv = command.argv[: len(command.argv) - command.added]
        argv = unmasked(argv, env, parent.manifest.run_id)
        cwd = _existing(Path(command.cwd), store)
        return Start(argv, "its own command", cwd, results=tuple(command.results))
    if parent.manifest.command.runner != "pytest":
        return _by_its_runner(parent, store, env, configured)
    cwd = _same_place(parent, store)
    starter, origin = _command_of_here(store, env, configured)
    scope = applicable_scope(_arguments(parent.manifest.command.argv), cwd)
    # A stranger's mark names a variable of ours: its value is not for them to use.
    args = unmasked(scope.args, {}, parent.manifest.run_id)
    return Start([*starter, *args], origin, cwd, tuple(scope.not_applied))


def _by_nextest(parent: Recording, store: Store) -> Start:
    """nextest reruns its own recordings; it is given a copy, which goes when the rerun ends."""
    folder = Path(tempfile.mkdtemp(prefix="bundle-rerun-"))
    path = folder / f"{parent.manifest.run_id[:8]}.zip"
    try:
        nextest_runner.write_archive(parent, path)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    cwd = Path(parent.manifest.command.cwd) if is_local(parent, store) else store.project
    argv = nextest_runner.rerun_command(path)
    return Start(argv, "nextest", _existing(cwd, store), temporary=folder)


def _by_its_runner(
    parent: Recording, store: Store, env: Mapping[str, str], configured: Sequence[str] | None
) -> Start:
    """What starts another runner than pytest: nothing but what was said here, or its plain name."""
    command = parent.manifest.command
    cwd = _same_place(parent, store)
    if configured:
        return Start(list(configured), "[tool.bundle] command", cwd)
    last = _last_local_run(store, command.runner)
    if last is not None:
        argv = last.argv[: len(last.argv) - last.added]
        argv = unmasked(argv, env, parent.manifest.run_id)
        cwd = _existing(Path(last.cwd), store)
        return Start(argv, "the last run recorded here", cwd, results=tuple(last.results))
    runner = called(command.runner)
    if runner is None or not runner.COMMAND:
        raise UsageError(
            f"run {parent.manifest.run_id[:8]} is not from here, and nothing says what starts it",
            hint="Name the command: `bundle run -R RUN -- COMMAND`.",
        )
    not_applied = tuple(command.argv[len(runner.COMMAND) :])
    return Start(list(runner.COMMAND), "its plain command", cwd, not_applied)


def unmasked(argv: Sequence[str], env: Mapping[str, str], run_id: str) -> list[str]:
    """Return the words of a recorded command with the values of variables put back.

    Raises UsageError where a value was masked that is not known here: a mark is never run.
    """
    words, lost = restored(argv, env)
    if lost is None:
        return words
    short, known = run_id[:8], one_line(shlex.join(argv))
    raise UsageError(
        f"the command of run {short} had a secret in it that is not known here: {one_line(lost)}",
        hint=f"Type it: `bundle run -R {short} -- {known}`, with the value in place of its mark.",
    )


def names_a_command(
    parent: Recording, store: Store, words: Sequence[str], configuration: Configuration
) -> bool:
    """Whether words after `--` are the command itself, not more words for one that is known.

    They are where a runner knows them as its own, or where the run is not from here, nothing else
    says what starts it, and they do not begin with an option.
    """
    if not words or is_local(parent, store):
        return False
    if configured.choose(words, configuration.runners) is not None:
        return True
    known = called(parent.manifest.command.runner) or configuration.command
    return not known and not words[0].startswith("-")


def is_local(recording: Recording, store: Store) -> bool:
    """Whether a recording was made here: it lies in this project's store and came from nowhere."""
    inside = Path(recording.where).parent == store.directory
    return inside and recording.manifest.source is None


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
    chain = chains.child_chain(parent.manifest.run_id, chain_of(parent), results, file_of)
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
        documents={
            chains.NAME: encode_document(chains.to_document(chain)),
            SELECTION: encode_document(_selection(parent, planned)),
        },
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


def own_results(parent: Recording, runner: Runner | None, root: Path) -> Results:
    """Return the results of a run, its tests as the runner that reruns them calls them.

    A JUnit report knows classes and names; what stands in it is not changed otherwise.
    """
    source = parent.manifest.source or {}
    if runner is None or source.get("format") != "JUnit XML":
        return parent.results
    suites = {one.id: str(one.info.get("suite", "")) for one in parent.results.sessions}
    tests = [
        replace(one, test_id=runner.own_id(one, suites.get(one.session, ""), root))
        for one in parent.results.tests
    ]
    return replace(parent.results, tests=tests)


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


def chain_of(recording: Recording) -> chains.Chain | None:
    """Return the chain that a run is in, or None where it is the first of its chain."""
    if chains.NAME not in recording.files:
        return None
    return chains.from_document(load_document(recording.files[chains.NAME], chains.NAME))


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
        return leave(execution)
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
    code = rerun_exit_code(leave(execution), after.outstanding, ran)
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


def with_arguments(start: Start, more: Sequence[str]) -> Start:
    """Return the start with more arguments at the end of its command."""
    return replace(start, argv=[*start.argv, *more], added=len(more))


def _command_of_here(
    store: Store, env: Mapping[str, str], configured: Sequence[str] | None
) -> tuple[list[str], str]:
    if configured:
        return list(configured), "[tool.bundle] command"
    last = _last_local_run(store, "pytest")
    if last is not None:
        starter = last.argv[: pytest_runner.arguments_start(last.argv)]
        return unmasked(starter, env, "latest"), "the last run recorded here"
    return [str(_python(store.project, env)), "-m", "pytest"], "this project's environment"


def _last_local_run(store: Store, runner: str) -> Command | None:
    """The command of the last run of a runner that was recorded here."""
    for run in reversed(store.runs()):
        manifest = run.manifest
        if manifest is not None and manifest.source is None and manifest.command.runner == runner:
            return manifest.command
    return None


def _python(project: Path, env: Mapping[str, str]) -> Path:
    """The interpreter of the active or the project's own virtual environment, else this one."""
    inner = Path("Scripts/python.exe" if os.name == "nt" else "bin/python")
    active = env.get("VIRTUAL_ENV")
    folders = [Path(active)] if active else []
    folders += [project / ".venv", project / "venv"]
    for folder in folders:
        if (folder / inner).exists():
            return folder / inner
    return Path(sys.executable)


def _arguments(argv: Sequence[str]) -> list[str]:
    start = pytest_runner.arguments_start(argv)
    return list(argv[start:]) if start is not None else []


def _existing(cwd: Path, store: Store) -> Path:
    return cwd if cwd.is_dir() else store.project


def _same_place(parent: Recording, store: Store) -> Path:
    """Where in this project the recorded command stood in its own."""
    command = parent.manifest.command
    if command.project is not None:
        try:
            inner = Path(command.cwd).relative_to(command.project)
        except ValueError:
            return store.project
        place = store.project / inner
        if ".." not in inner.parts and place.is_dir():
            return place
    return store.project
