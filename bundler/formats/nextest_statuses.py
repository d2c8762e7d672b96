"""What nextest says of an attempt or a run, in our words.

| nextest's result of an attempt | outcome | reason |
|---|---|---|
| `pass` | passed | |
| `leak`, result `pass` | passed | leaky |
| `leak`, result `fail` | failed | leaky |
| `fail`, exit code | failed | |
| `fail`, abort | crashed | the signal, or Windows' status |
| `exec-fail` | errored | |
| `timeout`, result `pass` | passed | timed out, which its profile takes for a pass |
| `timeout`, result `fail` | timed_out | |
| the last attempt of a flaky test whose profile says `flaky-result = "fail"` | failed | flaky |

| nextest's reason to skip a test | what becomes of it |
|---|---|
| `ignored` | skipped: an attempt that took no time |
| `rerun-already-passed` | deselected, as `passing` |
| `expression string default-filter partition not-benchmark`, and later ones | deselected, as that |

| how nextest says that a run ended | status |
|---|---|
| exit code 0; 5 (a rerun that leaves tests outstanding) | passed |
| exit code 100 | failed |
| exit code 4 | no_tests |
| exit code 105 (a setup script failed) | collection_failed |
| any other exit code | internal_error |
| cancelled by a signal, Ctrl-C or the global timeout | cancelled |
| cancelled after failures | as its exit code says |
| incomplete | interrupted |
"""

from __future__ import annotations

from typing import Any

from bundler.formats.rust_panics import panic_in
from bundler.manifest import RunStatus
from bundler.results import Failure, Status, Verdict

PASSING = "passing"
"""The reason for which a rerun leaves out what passed before; see `bundler.results.Deselected`."""

EXIT_STATUS = {
    0: Status.PASSED,
    4: Status.NO_TESTS,
    5: Status.PASSED,
    100: Status.FAILED,
    105: Status.COLLECTION_FAILED,
}
"""https://docs.rs/nextest-metadata/latest/nextest_metadata/enum.NextestExitCode.html"""

STOPPED = {
    "signal": "stopped by a signal",
    "interrupt": "interrupted by Ctrl-C",
    "second-signal": "killed by a second signal",
    "global-timeout": "the run was over its global timeout",
    "report-error": "nextest could not write its report",
}
"""Reasons to cancel a run that say nothing of its tests."""


def outcome_of(result: dict[str, Any]) -> tuple[Verdict, str | None]:
    """Return the outcome of an attempt and the reason, as the table says. Raises ValueError."""
    status, own = result.get("status"), result.get("result")
    if status == "pass":
        return Verdict.PASSED, None
    if status == "leak":
        return (Verdict.FAILED if own == "fail" else Verdict.PASSED), "leaky"
    if status == "timeout":
        if own == "pass":
            return Verdict.PASSED, "timed out, which its profile takes for a pass"
        return Verdict.TIMED_OUT, "timed out"
    if status == "exec-fail":
        return Verdict.ERRORED, "could not be started"
    if status == "fail":
        aborted = _abort(result)
        return (Verdict.CRASHED, aborted) if aborted else (Verdict.FAILED, None)
    raise ValueError(f"result {status!r:.40} is not known")


def failure_of(run_status: dict[str, Any], phase: str = "call") -> Failure:
    """Return the failure of an attempt that did not go well."""
    result = run_status["result"]
    summary = run_status.get("error-summary") or {}
    kind = _kind(result)
    if not summary.get("short-message"):
        return Failure(phase=phase, message=kind)
    text = str(summary.get("description") or summary["short-message"])
    panic = panic_in(text, kind=kind, phase=phase)
    if panic is not None:
        return panic
    return Failure(phase=phase, type=kind, message=str(summary["short-message"]), traceback=text)


def run_status_of(run: dict[str, Any], cancelled_by: str | None) -> RunStatus | None:
    """Return how nextest says that the run ended; None where it does not say.

    `cancelled_by` is the reason of its `run-begin-cancel`.
    """
    status = run.get("status")
    if not isinstance(status, dict) or "exit-code" not in status:
        return None
    code = status["exit-code"]
    if type(code) is not int:
        raise ValueError("exit-code is not an integer")
    if cancelled_by in STOPPED:
        return RunStatus(Status.CANCELLED, exit_code=code, reason=STOPPED[cancelled_by])
    reason = "tests are still outstanding" if code == 5 else None
    if code == 105:
        reason = "a setup script failed"
    return RunStatus(EXIT_STATUS.get(code, Status.INTERNAL_ERROR), exit_code=code, reason=reason)


def status_of_log(finished: dict[str, Any], cancelled_by: str | None) -> RunStatus | None:
    """Return how the run ended by the last line of its log alone; None where it does not say.

    A directory of nextest's store has no manifest, and the index may have forgotten the run.
    """
    stats = finished.get("run-stats")
    if not isinstance(stats, dict):
        return None
    if cancelled_by in STOPPED:
        return RunStatus(Status.CANCELLED, reason=STOPPED[cancelled_by])
    if stats.get("setup-scripts-failed") or stats.get("setup-scripts-exec-failed"):
        return RunStatus(Status.COLLECTION_FAILED, exit_code=105, reason="a setup script failed")
    bad = ("failed", "failed-timed-out", "exec-failed", "failed-count")
    if any(stats.get(name) for name in bad):
        return RunStatus(Status.FAILED, exit_code=100)
    if stats.get("initial-run-count") == 0:
        return RunStatus(Status.NO_TESTS, exit_code=4)
    return RunStatus(Status.PASSED, exit_code=0)


def properties_of(kind: dict[str, Any], status: dict[str, Any]) -> list[tuple[str, str]]:
    """Return what has no field of ours, of an attempt in an event. Raises ValueError, KeyError."""
    result, found = status["result"], []
    if result["status"] == "leak" or result.get("leaked"):
        found.append(("nextest.leaked", "true"))
    if status.get("is-slow"):
        found.append(("nextest.slow", "true"))
    delay = status.get("delay-before-start")
    if delay and (delay_us := microseconds_of(delay)):
        found.append(("nextest.delay_us", str(delay_us)))
    code = (result.get("failure") or {}).get("code")
    if code is not None:
        found.append(("nextest.exit_code", str(code)))
    group = (kind.get("slot-assignment") or {}).get("test-group", "@global")
    if group != "@global":
        found.append(("nextest.group", str(group)))
    return found


def microseconds_of(duration: dict[str, Any]) -> int:
    """Return a duration `{secs, nanos}` in microseconds. Raises ValueError, KeyError, TypeError."""
    seconds, nanos = duration["secs"], duration["nanos"]
    if type(seconds) is not int or type(nanos) is not int or not 0 <= seconds < 1 << 40:
        raise ValueError("not a duration")
    return seconds * 1_000_000 + nanos // 1000


def _abort(result: dict[str, Any]) -> str | None:
    """The signal or Windows status that ended a test, None where it exited."""
    failure = result.get("failure")
    if not isinstance(failure, dict) or failure.get("kind") != "abort":
        return None
    abort = failure.get("abort")
    if not isinstance(abort, dict):
        return "aborted"
    name = abort.get("name")
    if abort.get("kind") == "unix-signal":
        return f"SIG{name}" if name else f"signal {abort.get('signal')}"
    code = abort.get("code")
    known = f"{code & 0xFFFFFFFF:#010x}" if isinstance(code, int) else str(abort.get("kind"))
    return f"aborted with {known}"


def _kind(result: dict[str, Any]) -> str:
    """What nextest's own JUnit report has for the type of such a failure."""
    status = result.get("status")
    if status == "timeout":
        return "test timeout"
    if status == "leak":
        return "test exited with code 0, but leaked handles so was marked failed"
    if status == "exec-fail":
        return "execution failure"
    aborted = _abort(result)
    if aborted:
        return f"test abort with {aborted}"
    failure = result.get("failure")
    code = failure.get("code") if isinstance(failure, dict) else None
    return f"test failure with exit code {code}"
