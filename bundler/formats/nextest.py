"""cargo-nextest: a run that it recorded itself, portable or in its own store, read.

Where the bytes are stands in `bundler.formats.nextest_store`, what its words become in
`bundler.formats.nextest_statuses`. A line of the log is `{timestamp, elapsed {secs, nanos}, kind
{type: core | output, kind, …}}`:

| kind | becomes |
|---|---|
| `run-started` | RunStarted, SessionStarted, and TestsCollected by `meta/test-list.json` |
| `test-started`, `test-retry-started` | TestStarted |
| `test-attempt-failed-will-retry` | TestOutput, TestFinished that will be retried |
| `test-finished` | the same for each attempt that has not been told of yet |
| `test-skipped` | an attempt that was skipped, or TestsCollected with the reason |
| `setup-script-finished` | RunOutput; where it failed CollectionFailed |
| `run-finished` | SessionFinished, RunFinished |
| `stress-sub-run-started` | the tests once more: their next occurrence |

Every kind but those of tests and the whole run is passed on as an event of its own too, in category
`nextest`, its name in PascalCase: `TestSlow`, `SetupScriptFinished`, `RunBeginCancel`, `RunPaused`.

A test id is what nextest shows: `binary-id test_name`. The worker is the slot that it ran in. What
has no field of ours is a property of the attempt: `nextest.leaked`, `nextest.slow`,
`nextest.delay_us`, `nextest.exit_code`, `nextest.group`.

An occurrence is an iteration of a stress run. nextest has no seed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import IO, Any

import msgspec

from bundler.archive import Members
from bundler.errors import DamagedRecording, NotARecording
from bundler.formats import nextest_store as stored
from bundler.formats.nextest_outputs import Outputs
from bundler.formats.nextest_statuses import (
    PASSING,
    failure_of,
    microseconds_of,
    outcome_of,
    properties_of,
    run_status_of,
    status_of_log,
)
from bundler.manifest import RunStatus
from bundler.recording import Recording
from bundler.results import BAD, Status, Verdict
from bundler.times import epoch_microseconds, rfc3339
from bundler.translation import Execution, Translation

NAME = "cargo-nextest's recording"

_TOLD_OTHERWISE = frozenset(
    {
        "run-started",
        "test-started",
        "test-retry-started",
        "test-attempt-failed-will-retry",
        "test-finished",
        "test-skipped",
        "run-finished",
    }
)
_NOT_CAPTURED = frozenset({"--no-capture", "--nocapture"})
_TRUE = frozenset({"1", "true", "yes", "on", "y", "t"})
_BENCHMARK = "benchmark"


def recognises(head: bytes) -> bool:
    """Never: a recording of nextest is an archive or a directory."""
    return False


def recognises_members(members: Members) -> bool:
    """Whether these are the members of one run."""
    return stored.is_recording(members)


def read(source: IO[bytes] | Members, *, where: str) -> Recording:
    """Read a run that nextest recorded.

    Raises DamagedRecording, HostileRecording, or TooNewRecording where nextest changed its format.
    """
    if not isinstance(source, Members):
        raise NotARecording(f"{where} is not an archive of nextest")
    return _Reader(source, where).read()


@dataclass(slots=True)
class _Test:
    """A test that runs right now: its attempt, its slot and its place there, what was told of."""

    execution: Execution
    worker: str | None = None
    order: int = 0
    told: int = 0


class _Reader:
    """One walk through a log."""

    def __init__(self, members: Members, where: str) -> None:
        self.members, self.where = members, where
        self.problems: list[str] = []
        self.run = stored.run_of(members, where, self.problems)
        store = stored.open_store(members, self.problems)
        self.documents = stored.Documents(store, self.problems)
        self.outputs = Outputs(store)
        self.cancelled_by: str | None = None
        self.finished: dict[str, Any] = {}
        self.ended = False
        self.session = ""
        self.running: dict[tuple[str, int], _Test] = {}
        self.orders: dict[str | None, int] = {}
        self.selected: list[str] = []
        self.unreadable = 0
        self.out: Translation

    def read(self) -> Recording:
        for line in stored.log_lines(self.members):
            if line.problem:
                self.problems.append(f"{stored.LOG} at byte {line.offset}: {line.problem}")
                continue
            self._take(line.content)
        if not self.session:
            self._never_said_it_started()
        return self._end()

    def _never_said_it_started(self) -> None:
        """nextest writes its log in blocks: of a run that was killed early there is only the rest.

        Raises DamagedRecording where nothing is known of the run.
        """
        if "run-id" not in self.run:
            raise DamagedRecording(f"{self.where}: {stored.LOG} does not say that a run started")
        self._run_started(self.run, "")

    def _take(self, line: bytes) -> None:
        """Take one line; what is not of the expected shape is counted and passed over."""
        try:
            entry = msgspec.json.decode(line)
            elapsed_us = microseconds_of(entry["elapsed"])
            kind = entry["kind"]
            name = kind["kind"]
            if not self.session and name != "run-started":
                raise ValueError("an event before the run started")
            self._event(name, kind, elapsed_us, entry)
        except (
            msgspec.DecodeError,
            KeyError,
            TypeError,
            ValueError,
            AttributeError,
            RecursionError,
        ):
            self.unreadable += 1

    def _event(self, name: str, kind: dict[str, Any], ts_us: int, entry: dict[str, Any]) -> None:
        if name not in _TOLD_OTHERWISE:
            self._pass_on(name, kind, ts_us)
        if name == "run-started":
            self._run_started(kind, str(entry["timestamp"]))
        elif name in ("test-started", "test-retry-started"):
            self._test_started(kind, ts_us)
        elif name == "test-attempt-failed-will-retry":
            test = self._test(_key(kind))
            self._attempt(test, kind, kind["run-status"], ts_us, will_retry=True)
        elif name == "test-finished":
            self._test_finished(kind, ts_us)
        elif name == "test-skipped":
            self._test_skipped(kind, ts_us)
        elif name == "setup-script-finished":
            self._setup_script_finished(kind, ts_us)
        elif name == "stress-sub-run-started":
            self.out.tests_collected(self.session, self.selected)
        elif name == "run-begin-cancel":
            self.cancelled_by = str(kind["reason"])
        elif name == "run-finished":
            self.out.clock_us = ts_us
            self.finished, self.ended = kind, True

    def _run_started(self, kind: dict[str, Any], timestamp: str) -> None:
        if self.session:
            raise ValueError("a second start")
        words = [str(word) for word in kind.get("cli-args", ())]
        self.out = Translation(
            self.members,
            where=self.where,
            format="nextest",
            runner="nextest",
            run_id=str(kind["run-id"]).lower(),
            files=stored.Kept(self.members, self.run),
        )
        root = self.documents.workspace_root()
        started_at = self.run.get("started-at", timestamp)
        self.out.run_started(started_at=_rfc3339(str(started_at)), argv=words, cwd=root)
        version = self.run.get("nextest-version")
        self.session = self.out.session_started(
            "nextest", ts_us=0, **self._about(kind, words, root, version)
        )
        self.selected = [_test_id(*pair) for pair in self.documents.selected()]
        if kind.get("stress-condition") is None:
            self.out.tests_collected(self.session, self.selected)

    def _about(
        self, kind: dict[str, Any], words: list[str], root: str, version: object
    ) -> dict[str, Any]:
        """What SessionStarted says."""
        known = ("profile-name", "stress-condition")
        of_run = ("build-scope-args", "env-vars", "store-format-version")
        more = {name: kind[name] for name in known if kind.get(name) is not None}
        more |= {name: self.run[name] for name in of_run if self.run.get(name) is not None}
        mode = self.documents.run_mode()
        more |= {} if mode is None else {"run-mode": mode}
        return {
            "runner_version": version if isinstance(version, str) else "",
            "rootdir": root,
            "args": words[2:] if words[1:2] == ["nextest"] else words[1:],
            "capture": "no" if mode == _BENCHMARK or self._not_captured(words) else "yes",
            **{name.replace("-", "_"): value for name, value in more.items()},
        }

    def _not_captured(self, words: list[str]) -> bool:
        variables = self.run.get("env-vars")
        said = variables.get("NEXTEST_NO_CAPTURE") if isinstance(variables, dict) else None
        return said in _TRUE or not _NOT_CAPTURED.isdisjoint(words)

    # Tests

    def _test_started(self, kind: dict[str, Any], ts_us: int) -> None:
        test = self._test(_key(kind))
        attempt = kind["retry-data"]["attempt"] if "retry-data" in kind else 1
        slot = (kind.get("slot-assignment") or {}).get("global-slot")
        test.worker = None if slot is None else f"slot{slot}"
        test.order = self.orders.get(test.worker, 0)
        self.orders[test.worker] = test.order + 1
        self._start(test, attempt, ts_us)

    def _test(self, key: tuple[str, int]) -> _Test:
        """What is known of a running test; its attempt is 0 where none was started."""
        test = self.running.get(key)
        if test is None:
            test = _Test(Execution(self.session, key[0], attempt=0, occurrence=key[1]))
            self.running[key] = test
        return test

    def _start(self, test: _Test, attempt: int, ts_us: int) -> None:
        test.execution = test.execution._replace(attempt=attempt)
        self.out.test_started(test.execution, worker=test.worker, order=test.order, ts_us=ts_us)

    def _test_finished(self, kind: dict[str, Any], ts_us: int) -> None:
        key = _key(kind)
        test = self._test(key)
        statuses = kind["run-statuses"]["statuses"]
        flaky_fails = len(statuses) > 1 and kind["run-statuses"].get("flaky-result") == "fail"
        try:
            for number, status in enumerate(statuses, 1):
                # A run that is cancelled before a retry tells of the last attempt twice.
                if status["retry-data"]["attempt"] > test.told:
                    last = number == len(statuses)
                    fails = last and flaky_fails
                    self._attempt(test, kind, status, ts_us, will_retry=not last, flaky_fails=fails)
        finally:
            del self.running[key]

    def _attempt(
        self,
        test: _Test,
        kind: dict[str, Any],
        status: dict[str, Any],
        ts_us: int,
        *,
        will_retry: bool,
        flaky_fails: bool = False,
    ) -> None:
        """Tell of one attempt: what it printed, and how it ended."""
        attempt = status["retry-data"]["attempt"]
        outcome, reason = outcome_of(status["result"])
        if flaky_fails and outcome is Verdict.PASSED:
            outcome, reason = Verdict.FAILED, "flaky, which its profile takes for a failure"
        call_us = microseconds_of(status["time-taken"])
        if test.execution.attempt != attempt:
            self._start(test, attempt, ts_us - call_us)
        self.out.clock_us = ts_us
        for stream, content, omitted in self.outputs.of(status.get("output")):
            self.out.test_output(test.execution, content, stream=stream, omitted_bytes=omitted)
        self.out.test_finished(
            test.execution,
            outcome,
            call_us=call_us,
            reason=reason,
            failures=[failure_of(status)] if outcome in BAD and not flaky_fails else (),
            will_retry=will_retry,
            properties=properties_of(kind, status),
            worker=test.worker,
            order=test.order,
            ts_us=ts_us,
        )
        test.told = attempt

    def _test_skipped(self, kind: dict[str, Any], ts_us: int) -> None:
        (test_id, occurrence), reason = _key(kind), str(kind["reason"])
        if reason == "ignored":
            execution = Execution(self.session, test_id, occurrence=occurrence)
            self.out.test_started(execution, order=0, ts_us=ts_us)
            self.out.test_finished(
                execution, Verdict.SKIPPED, call_us=0, reason=reason, order=0, ts_us=ts_us
            )
        elif occurrence == 1:
            reason = PASSING if reason == "rerun-already-passed" else reason
            self.out.clock_us = ts_us
            self.out.tests_deselected(self.session, [test_id], reason=reason)

    # Everything else

    def _setup_script_finished(self, kind: dict[str, Any], ts_us: int) -> None:
        status = kind["run-status"]
        self.out.clock_us = ts_us
        for stream, content, omitted in self.outputs.of(status.get("output")):
            stream = "terminal" if stream == "output" else stream
            self.out.run_output(content, stream=stream, omitted_bytes=omitted)
        outcome, _reason = outcome_of(status["result"])
        if outcome in BAD:
            node = f"@setup-script:{kind['script-id']}"
            failure = failure_of(status, "setup")
            self.out.collection_failed(self.session, node, [failure], ts_us=ts_us)

    def _pass_on(self, name: str, kind: dict[str, Any], ts_us: int) -> None:
        data = {key: value for key, value in kind.items() if key not in ("type", "kind")}
        test_id = None
        if "test-instance" in kind:
            test_id, occurrence = _key(kind)
            data = {"session": self.session, **data}
            data |= {"occurrence": occurrence} if occurrence != 1 else {}
        event = "".join(word.capitalize() for word in name.split("-"))
        self.out.event(
            event, message=name, category="nextest", test_id=test_id, data=data, ts_us=ts_us
        )

    def _end(self) -> Recording:
        if self.unreadable:
            lines = "line" if self.unreadable == 1 else "lines"
            self.problems.append(f"{self.unreadable} {lines} of {stored.LOG} could not be read")
        if missing := self.outputs.missing:
            self.problems.append(f"{len(missing)} outputs could not be read: {missing[0]}")
        status = self._status()
        if self.ended and status is not None:
            self.out.session_finished(
                self.session, exit_status=status.exit_code, reason=status.reason
            )
        self.out.problems += self.problems
        parent = self.run.get("parent-run-id")
        return self.out.finished(
            status=status or RunStatus(Status.INTERRUPTED, reason="nextest vanished in the middle"),
            duration_us=self._duration_us(),
            cut=status is None or not self.ended,
            parent=parent if isinstance(parent, str) else None,
        )

    def _status(self) -> RunStatus | None:
        try:
            known = run_status_of(self.run, self.cancelled_by)
        except ValueError:
            known = None
        return known or status_of_log(self.finished, self.cancelled_by)

    def _duration_us(self) -> int | None:
        try:
            return microseconds_of(self.finished["elapsed"])
        except (KeyError, TypeError, ValueError):
            return None


def _key(kind: dict[str, Any]) -> tuple[str, int]:
    """The test that an event is of, and which of its occurrences."""
    instance, stress = kind["test-instance"], kind.get("stress-index")
    occurrence = 1 if stress is None else stress["current"] + 1
    if type(occurrence) is not int or occurrence < 1:
        raise ValueError("no occurrence")
    return _test_id(instance["binary-id"], instance["name"]), occurrence


def _test_id(binary_id: object, name: object) -> str:
    if not isinstance(binary_id, str) or not isinstance(name, str):
        raise TypeError("a test without a name")
    return f"{binary_id} {name}"


def _rfc3339(text: str) -> str:
    epoch_us = epoch_microseconds(text)
    return rfc3339(-1 if epoch_us is None else epoch_us)
