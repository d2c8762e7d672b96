"""pytest-reportlog: what `pytest --report-log=FILE` wrote, as a run.

The format (https://github.com/pytest-dev/pytest-reportlog) has no version and no specification: a
line is whatever attributes a report had, and `$report_type` (older: `_report_type`) names it.

| line | what it becomes |
|---|---|
| `SessionStart` | `SessionStarted` with pytest's version |
| `CollectReport` | `CollectionFailed`, `CollectionSkipped`; nothing where it passed |
| `TestReport` of `setup` | the start of an attempt |
| `TestReport` of `call` | its outcome, its output |
| `TestReport` of `teardown` | its end; of an outcome `rerun` before, the test is tried again |
| `TestReport` of `???` | the end of what an xdist worker ran that crashed |
| `SubTestReport` | `SubtestFinished` |
| `WarningMessage` | `Warning` |
| `SessionFinish` | `SessionFinished`; without one the run was interrupted |

Which tests were found is not in the log: those that never started are not known. A report repeats
the sections of the reports before it, so only new ones are taken. Times are those
of the reports' `start` and `stop` (pytest 8 and later), else the durations in a row.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import IO, Any

from bundler.archive import Members
from bundler.errors import DamagedRecording
from bundler.formats.pytest_longrepr import failure_of, skip_reason
from bundler.json_lines import first_objects, objects
from bundler.recording import Recording
from bundler.results import Failure, Verdict
from bundler.times import UNKNOWN_TIME, microseconds, rfc3339
from bundler.translation import Execution, Translation

NAME = "pytest-reportlog"

_TYPES = ("$report_type", "_report_type")
_KNOWN = frozenset(
    {
        *("SessionStart", "SessionFinish", "CollectReport"),
        *("TestReport", "SubTestReport", "SubtestReport", "WarningMessage"),
    }
)
_SECTION = re.compile(r"Captured (stdout|stderr|log) (setup|call|teardown)")
_RETRIED = ("rerun", "retried")
_PATIENCE = 1000
_MOST_OPEN = 10_000
"""So many attempts may wait for their end at once: far more than any pytest has workers."""
_ONCE = (1, 1, False)
_TIMEOUT = re.compile(r"Failed: Timeout \(?>")


def recognises(head: bytes) -> bool:
    """Whether these are the first bytes of a report log."""
    return any(_type_of(one) in _KNOWN for one in first_objects(head, 5))


def read(source: IO[bytes] | Members, *, where: str) -> Recording:
    """Read a report log. Raises DamagedRecording where no line of it is one."""
    assert not isinstance(source, Members)
    translation = Translation(source, where=where, format=NAME, runner="pytest")
    reading = _Reading(translation)
    for line in objects(source, translation.problems):
        reading.take(line)
    return reading.end()


def _type_of(line: dict[str, Any]) -> str:
    return next((str(line[name]) for name in _TYPES if name in line), "")


@dataclass(slots=True)
class _Attempt:
    """One attempt that is going on."""

    execution: Execution
    worker: str | None
    started_us: int
    outcome: Verdict = Verdict.PASSED
    reason: str | None = None
    failures: list[Failure] = field(default_factory=list)
    times: dict[str, int | None] = field(default_factory=dict)
    sections: int = 0
    failed_subtests: int = 0
    will_retry: bool = False


class _Reading:
    def __init__(self, translation: Translation) -> None:
        self.translation = translation
        self.session = ""
        self.version: str | None = None
        self.origin_us = 0
        self.waiting: list[dict[str, Any]] | None = []
        self.open: dict[str, dict[str | None, _Attempt]] = {}  # by test, by worker
        self.ended: dict[str, tuple[int, int, bool]] = {}  # occurrence, attempt, tried again
        self.orders: dict[str | None, int] = {}
        self.reports = 0
        self.unreadable = 0

    def take(self, line: dict[str, Any] | bytes) -> None:
        """Take the next line; what comes before the first test waits for the time of that."""
        if isinstance(line, bytes):
            self.unreadable += 1
        elif self.waiting is None:
            self._handle(line)
        else:
            self.waiting.append(line)
            if "start" in line or len(self.waiting) == _PATIENCE:
                self._stop_waiting(microseconds(line.get("start")) or 0)

    def _stop_waiting(self, start_us: int) -> None:
        lines, self.waiting = self.waiting or [], None
        self.origin_us = start_us
        started_at = rfc3339(start_us) if start_us else UNKNOWN_TIME
        self.translation.run_started(started_at=started_at)
        for line in lines:
            self._handle(line)

    def _handle(self, line: dict[str, Any]) -> None:
        kind = _type_of(line)
        handler = _HANDLERS.get(kind)
        if handler is None:
            self.translation.event(kind or "Unknown", data=line)
            return
        self.reports += 1
        try:
            handler(self, line)
        except (KeyError, TypeError, ValueError, AttributeError, IndexError):
            self.unreadable += 1
        if len(self.open) > _MOST_OPEN:
            del self.open[next(iter(self.open))]  # unfinished, as it would be in the end

    def end(self) -> Recording:
        translation = self.translation
        if self.waiting is not None:
            self._stop_waiting(0)
        if not self.reports:
            raise DamagedRecording(f"{translation.where} holds no report of pytest")
        if self.unreadable:
            lines = "a line" if self.unreadable == 1 else f"{self.unreadable:,} lines"
            translation.problems.append(f"{lines} of {translation.where} cannot be read")
        return translation.finished(cut=bool(self.session))

    def session_start(self, line: dict[str, Any]) -> None:
        self.version = str(line.get("pytest_version", ""))
        self._begin()

    def session_finish(self, line: dict[str, Any]) -> None:
        self._begin()
        status = line.get("exitstatus")
        exit_status = status if type(status) is int else None
        self.translation.session_finished(self.session, exit_status=exit_status)
        self.session = ""
        self.open.clear()
        self.ended.clear()

    def collect_report(self, line: dict[str, Any]) -> None:
        self._begin()
        outcome, node_id, longrepr = line["outcome"], str(line["nodeid"]), line.get("longrepr")
        if outcome == "failed":
            failures = [failure_of(longrepr, "collect")]
            self.translation.collection_failed(self.session, node_id, failures)
        elif outcome == "skipped":
            file, number, reason = skip_reason(longrepr)
            self.translation.collection_skipped(
                self.session, node_id, reason or "", file=file, line=number
            )

    def warning_message(self, line: dict[str, Any]) -> None:
        number = line.get("lineno")
        self.translation.warning(
            str(line.get("category", "Warning")),
            str(line.get("message", "")),
            file=str(line["filename"]) if line.get("filename") else None,
            line=number if type(number) is int else None,
            when=str(line["when"]) if line.get("when") else None,
        )

    def sub_test_report(self, line: dict[str, Any]) -> None:
        attempt = self._attempt(line)
        outcome = _outcome(line)
        failures = []
        if outcome is Verdict.FAILED:
            attempt.failed_subtests += 1
            failures = [failure_of(line.get("longrepr"), "call")]
        self.translation.subtest_finished(
            attempt.execution,
            _subtest_name(line),
            outcome,
            duration_us=microseconds(line.get("duration")) or 0,
            failures=failures,
            ts_us=self._time(line, "stop"),
        )

    def test_report(self, line: dict[str, Any]) -> None:
        if "context" in line and ("_report_type" in line or "_subtest" in line):
            self.sub_test_report(line)
            return
        attempt = self._attempt(line)
        when, outcome = str(line["when"]), str(line["outcome"])
        self._write_output(attempt, line, when)
        if when in ("setup", "call", "teardown"):
            attempt.times[when] = microseconds(line.get("duration"))
        if when == "???":
            attempt.outcome, attempt.failures = Verdict.CRASHED, []
            attempt.reason = str(line.get("longrepr") or "the worker crashed")
        else:
            _judge(attempt, line, when, outcome)
        # A try that failed goes on to its teardown, unless it is the retry of another plugin.
        if when in ("teardown", "???") or outcome == "retried":
            self._finish(attempt, line)

    def _attempt(self, line: dict[str, Any]) -> _Attempt:
        """The attempt that a report is of; that of a setup begins one."""
        self._begin()
        test_id, worker = str(line["nodeid"]), _worker(line)
        when = line.get("when")
        going_on = self.open.get(test_id, {})
        attempt = going_on.get(worker)
        if attempt is None and when != "setup":
            # A crash is told by the controller, which names the worker otherwise.
            attempt = next(iter(going_on.values()), None)
        if attempt is not None and when == "setup":
            # rerunfailures may end a try without its teardown: the next one is its end.
            self._finish(attempt, line)
            attempt = None
        return attempt or self._started(test_id, worker, line)

    def _started(self, test_id: str, worker: str | None, line: dict[str, Any]) -> _Attempt:
        occurrence, number, again = self.ended.get(test_id, (0, 0, False))
        number, occurrence = (number + 1, occurrence) if again else (1, occurrence + 1)
        execution = Execution(self.session, test_id, attempt=number, occurrence=occurrence)
        started_us = self._time(line, "start")
        file, at = _location(line)
        order = self.orders.get(worker, 0)
        self.orders[worker] = order + 1
        self.translation.test_started(
            execution, worker=worker, order=order, file=file, line=at, ts_us=started_us
        )
        attempt = _Attempt(execution, worker, started_us)
        self.open.setdefault(test_id, {})[worker] = attempt
        return attempt

    def _finish(self, attempt: _Attempt, line: dict[str, Any]) -> None:
        execution = attempt.execution
        going_on = self.open[execution.test_id]
        del going_on[attempt.worker]
        if not going_on:
            del self.open[execution.test_id]
        ended = (execution.occurrence, execution.attempt, attempt.will_retry)
        # Nearly all tests end so: one object for them is a tenth of what is kept of each.
        self.ended[execution.test_id] = _ONCE if ended == _ONCE else ended
        if attempt.failed_subtests and attempt.outcome is Verdict.PASSED:
            attempt.outcome = Verdict.FAILED
            attempt.reason = f"failed subtests: {attempt.failed_subtests}"
        times = attempt.times
        self.translation.test_finished(
            execution,
            attempt.outcome,
            setup_us=times.get("setup"),
            call_us=times.get("call"),
            teardown_us=times.get("teardown"),
            reason=attempt.reason,
            failures=attempt.failures,
            will_retry=attempt.will_retry,
            properties=_properties(line),
            worker=attempt.worker,
            ts_us=self._time(line, "stop"),
        )

    def _write_output(self, attempt: _Attempt, line: dict[str, Any], when: str) -> None:
        sections = line.get("sections") or []
        known = attempt.sections if attempt.sections <= len(sections) else 0
        attempt.sections = len(sections)
        for title, content in sections[known:]:
            match = _SECTION.fullmatch(str(title))
            stream, phase = match.groups() if match else (str(title), when)
            self.translation.test_output(
                attempt.execution, str(content), stream=stream, phase=phase
            )

    def _begin(self) -> None:
        """Begin a session where none is going on."""
        if not self.session:
            self.session = self.translation.session_started(
                "pytest", runner_version=self.version or None, capture="unknown"
            )

    def _time(self, line: dict[str, Any], name: str) -> int:
        """When a report's phase began (`start`) or ended (`stop`), since the run started."""
        moment = microseconds(line.get(name))
        if moment and self.origin_us:
            return max(0, moment - self.origin_us)
        clock_us = self.translation.clock_us
        return clock_us + (microseconds(line.get("duration")) or 0) * (name == "stop")


_HANDLERS = {
    "SessionStart": _Reading.session_start,
    "SessionFinish": _Reading.session_finish,
    "CollectReport": _Reading.collect_report,
    "TestReport": _Reading.test_report,
    "SubTestReport": _Reading.sub_test_report,
    "SubtestReport": _Reading.sub_test_report,
    "WarningMessage": _Reading.warning_message,
}


def _judge(attempt: _Attempt, line: dict[str, Any], when: str, outcome: str) -> None:
    """Let one report of an attempt say its word; what failed once stays failed."""
    longrepr = line.get("longrepr")
    if outcome == "passed":
        if when == "call" and "wasxfail" in line:
            attempt.outcome, attempt.reason = Verdict.XPASSED, _expected(line)
    elif outcome == "skipped":
        if "wasxfail" in line:
            attempt.outcome, attempt.reason = Verdict.XFAILED, _expected(line)
        else:
            attempt.outcome, attempt.reason = Verdict.SKIPPED, skip_reason(longrepr)[2]
    else:
        failure = failure_of(longrepr, when)
        attempt.failures.append(failure)
        attempt.will_retry |= outcome in _RETRIED
        if _TIMEOUT.match(failure.message):
            attempt.outcome = Verdict.TIMED_OUT
        elif when == "call":
            attempt.outcome = Verdict.FAILED
        elif attempt.outcome not in (Verdict.FAILED, Verdict.TIMED_OUT):
            attempt.outcome = Verdict.ERRORED


def _outcome(line: dict[str, Any]) -> Verdict:
    outcome = line["outcome"]
    if "wasxfail" in line:
        return Verdict.XFAILED if outcome == "skipped" else Verdict.XPASSED
    return Verdict(outcome) if outcome in ("passed", "skipped") else Verdict.FAILED


def _expected(line: dict[str, Any]) -> str:
    return str(line.get("wasxfail", "")).removeprefix("reason: ")


def _subtest_name(line: dict[str, Any]) -> str:
    """The name as pytest shows it: `[message] (name=value)`."""
    context = line.get("context")
    if not isinstance(context, dict):
        context = line.get("_subtest.context") or line
    message, kwargs = context.get("msg"), context.get("kwargs")
    words = [f"[{message}]"] if message is not None else []
    if isinstance(kwargs, dict) and kwargs:
        words.append(f"({', '.join(f'{name}={value}' for name, value in kwargs.items())})")
    return " ".join(words) or "(<subtest>)"


def _worker(line: dict[str, Any]) -> str | None:
    worker = line.get("worker_id")
    return worker if isinstance(worker, str) and worker != "master" else None


def _location(line: dict[str, Any]) -> tuple[str | None, int | None]:
    """File and line of a test; pytest counts lines from 0 here."""
    location = line.get("location")
    if not isinstance(location, list) or len(location) != 3:
        return None, None
    file, number = location[0], location[1]
    return (
        file if isinstance(file, str) else None,
        number + 1 if type(number) is int else None,
    )


def _properties(line: dict[str, Any]) -> list[tuple[str, str]]:
    pairs = line.get("user_properties")
    if not isinstance(pairs, list):
        return []
    return [(str(one[0]), str(one[1])) for one in pairs if isinstance(one, list) and len(one) == 2]
