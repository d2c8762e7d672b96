"""How a run ended: one decision, from what the wrapper saw and what the log says."""

from __future__ import annotations

import signal as signals
from dataclasses import dataclass
from typing import Any

from msgspec import to_builtins

from bundler.manifest import RunStatus
from bundler.results import RED, Results, Session, Status, Verdict


@dataclass(frozen=True)
class Ending:
    """What the wrapper saw of the child: `forwarded` are the signals that were passed on to it."""

    exit_code: int | None
    signal: int | None = None
    forwarded: tuple[str, ...] = ()
    started: bool = True
    error: str | None = None


PYTEST_STATUS = {
    0: Status.PASSED,
    1: Status.FAILED,
    2: Status.CANCELLED,
    3: Status.INTERNAL_ERROR,
    4: Status.USAGE_ERROR,
    5: Status.NO_TESTS,
}
"""pytest's exit codes, https://docs.pytest.org/en/stable/reference/exit-codes.html"""


def judge(ending: Ending | None, results: Results, *, runner: str = "command") -> RunStatus:
    """Return how the run ended; `ending` is None where the wrapper itself vanished."""
    if ending is None:
        return RunStatus(Status.INTERRUPTED, reason="the recorder vanished before the run ended")
    if not ending.started:
        return RunStatus(Status.NOT_STARTED, exit_code=ending.exit_code, reason=ending.error)
    name = signal_name(ending.signal)
    state, reason = _state(ending, results, runner)
    if name and reason is None:
        reason = f"killed by {name}"
    return RunStatus(state, exit_code=ending.exit_code, signal=name, reason=reason)


def _state(ending: Ending, results: Results, runner: str) -> tuple[Status, str | None]:
    if ending.forwarded and not _ended_by_itself(ending, results):
        return Status.CANCELLED, f"stopped by {ending.forwarded[0]}"
    unfinished = [session for session in results.sessions if not session.finished]
    if unfinished:
        return Status.INTERRUPTED, _vanished(ending)
    if ending.signal is not None:
        return Status.INTERRUPTED, None
    if any(session.info.get("runner") != "pytest" for session in results.sessions):
        return _of_tests(ending, results), None
    if len(results.sessions) == 1:
        return _of_session(results.sessions[0], results, ending.exit_code)
    if runner == "pytest" and not results.sessions and ending.exit_code in (2, 3, 4, 5):
        return PYTEST_STATUS[ending.exit_code], None
    return (Status.PASSED if ending.exit_code == 0 else Status.FAILED), None


def _of_tests(ending: Ending, results: Results) -> Status:
    """Only pytest's exit codes say more than whether it went well; the tests say it elsewhere."""
    told = infer(results).state
    if ending.exit_code == 0:
        return Status.NO_TESTS if told == Status.NO_TESTS else Status.PASSED
    return Status.COLLECTION_FAILED if told == Status.COLLECTION_FAILED else Status.FAILED


def _ended_by_itself(ending: Ending, results: Results) -> bool:
    """Whether it went on to its ordinary end: Ctrl-C at a prompt of pdb stops nothing."""
    if ending.signal is not None or any(not session.finished for session in results.sessions):
        return False
    return ending.exit_code in ((0, 1, 5) if results.sessions else (0,))


def _vanished(ending: Ending) -> str | None:
    if ending.signal is not None:
        return None
    return f"the test process ended with code {ending.exit_code} in the middle of its tests"


def _of_session(
    session: Session, results: Results, exit_code: int | None
) -> tuple[Status, str | None]:
    if session.reason is not None and session.reason.startswith("stopping after "):
        return Status.FAILED, session.reason  # `-x`: 1 in a single process, 2 under xdist
    if session.reason is not None and session.exit_status not in (0, 1):
        broken = any(problem.outcome is Verdict.ERRORED for problem in results.collection)
        other = Status.INTERNAL_ERROR if session.exit_status == 3 else Status.CANCELLED
        return Status.COLLECTION_FAILED if broken else other, session.reason
    if session.exit_status != exit_code:
        # make or nox gave another code than the pytest inside: both are the truth.
        return (Status.PASSED if exit_code == 0 else Status.FAILED), session.reason
    if exit_code == 2 and any(p.outcome is Verdict.ERRORED for p in results.collection):
        return Status.COLLECTION_FAILED, session.reason
    return PYTEST_STATUS.get(
        exit_code if exit_code is not None else 1, Status.FAILED
    ), session.reason


def infer(results: Results) -> RunStatus:
    """Return how a run ended of which only the log is known: nobody saw an exit code.

    Red tests, or a session that said so, make it failed; a session without an end, interrupted.
    """
    sessions = results.sessions
    if any(not session.finished for session in sessions):
        reason = "the recording ends in the middle of its tests"
        return RunStatus(Status.INTERRUPTED, reason=reason)
    broken = any(problem.outcome is Verdict.ERRORED for problem in results.collection)
    red = any(verdict in RED for verdict in results.counts)
    if broken and not results.tests:
        return RunStatus(Status.COLLECTION_FAILED)
    if red or broken or any(session.exit_status not in (None, 0) for session in sessions):
        return RunStatus(Status.FAILED)
    return RunStatus(Status.PASSED if results.tests else Status.NO_TESTS)


def run_finished(
    status: RunStatus, duration_us: int, results: Results
) -> tuple[str, dict[str, Any]]:
    """Return the message and the data of the RunFinished that ends a log of these results."""
    ending = {name: value for name, value in to_builtins(status).items() if name != "state"}
    facts = {"duration_us": duration_us, "counts": results.counts, "events": results.events}
    message = f"{status.state} after {duration_us / 1e6:.2f} s"
    return message, {"status": status.state, **ending, **facts}


def signal_name(number: int | None) -> str | None:
    """Return `SIGKILL` for 9, and so on; the number as text where this platform has no name."""
    if number is None:
        return None
    try:
        return signals.Signals(number).name
    except ValueError:
        return f"signal {number}"
