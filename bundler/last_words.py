"""When a command has ended: what is said, the store pruned where it is due, and the exit code."""

from __future__ import annotations

import shlex

from bundler import pruning
from bundler.configuration import Configuration
from bundler.errors import BundleError, own_fault
from bundler.escapes import one_line
from bundler.execution import Execution, reason_of
from bundler.results import NOT_PASSING, Results, Status, Verdict
from bundler.runners import javascript, process, runner_of
from bundler.runners import pytest as pytest_runner
from bundler.terminal import Ui


def finish(ui: Ui, execution: Execution, configuration: Configuration) -> int:
    """Say what was recorded, prune the store where it is due, and return the exit code."""
    try:
        for line in last_lines(execution):
            ui.status(line)
        tidy(ui, execution, configuration)
    except Exception as error:  # a fault of ours is nothing to the command, which ends as it ended
        ui.status(f"bundle: {own_fault(error)}")
    return leave(execution.ended)


def tidy(ui: Ui, execution: Execution, configuration: Configuration) -> None:
    """Prune the store where it is due; what goes wrong is one line and no more."""
    if execution.recorded is None:
        return
    try:
        pruning.automatic(execution.recorded.store, pruning.policy_of(configuration))
    except (OSError, BundleError) as error:
        ui.status(f"bundle: the store was not pruned: {reason_of(error)}")


def leave(ended: process.Exit) -> int:
    """Return the command's exit code; a signal that ended it ends this process too."""
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
    if results.is_plain_command:
        why = _why_plain(execution)
        lines += [f"bundle: recorded as a plain command: {why}"] if why else []
    if manifest.status.state in (Status.INTERRUPTED, Status.CANCELLED):
        running = _while_running(results)
        lines.append(f"bundle: {manifest.status.state}: {manifest.status.reason}{running}")
    red = sum(results.counts.get(verdict, 0) for verdict in NOT_PASSING)
    tests = "1 test" if len(results.tests) == 1 else f"{len(results.tests)} tests"
    began = any(test.attempts for test in results.tests)
    total = f"{tests}, {f'{red} not passing' if began else 'none run'}, " if results.tests else ""
    broken = sum(problem.outcome is Verdict.ERRORED for problem in results.collection)
    total += f"{broken} not collected, " if broken else ""
    lines.append(f"bundle: {total}run {short}, seed {manifest.seed_hex}; `bundle replay {short}`")
    return lines


def _why_plain(execution: Execution) -> str | None:
    """Why nothing of the tests was seen, and what to do; None where that is as it should be."""
    argv = execution.request.argv
    why = pytest_runner.why_unreached(argv, execution.output_tail)
    if why is not None:
        return why
    runner = runner_of(argv)
    if runner is not None:
        code = execution.ended.code
        why = f"it ended with exit code {code}" if code else "it watches"
        return f"{runner.NAME} told of no test: {why}, or was asked for something else"
    script = javascript.script_of(argv, execution.request.cwd)
    if script is None or runner_of(script) is None:
        return None
    words = one_line(shlex.join(script))
    return f"what npm starts is not seen; `bundle run -- {words}` records each of its tests"


def _while_running(results: Results) -> str:
    """Return `, while running TEST` for a run that ended in the middle of its tests."""
    running = [test.test_id for test in results.tests if test.verdict is Verdict.UNFINISHED]
    if not running:
        return ""
    more = f" and {len(running) - 1} more" if len(running) > 1 else ""
    return f", while running {one_line(running[0])}{more}"
