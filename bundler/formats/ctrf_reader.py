"""CTRF, the Common Test Report Format: a document of any tool, read.

Its shape is that which `bundler.formats.ctrf` writes, its words are in `ctrf_statuses`.

Read: `rawStatus` where it is one of ours, else `status`; `pending` is not_run, `other` skipped with
what it was as the reason. A test is named by its `name`, below its `suite` where a stranger wrote
the document. Before `reportFormat` there were documents without it; they are recognised too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import IO, Any

import msgspec

from bundler.archive import Members
from bundler.errors import DamagedRecording
from bundler.formats.ctrf_statuses import NOT_COLLECTED, OURS, STATUS, STREAMS
from bundler.limits import in_force
from bundler.manifest import RunStatus
from bundler.recording import Recording
from bundler.results import Failure, Status, Verdict
from bundler.times import rfc3339
from bundler.translation import Execution, Translation

NAME = "CTRF"
MOST_ATTEMPTS = 1000
MOST_EARLIER = 10  # of those that are only counted

_READ = {"passed": Verdict.PASSED, "failed": Verdict.FAILED, "skipped": Verdict.SKIPPED}
_ODD = (msgspec.DecodeError, RecursionError, KeyError, ValueError, TypeError, AttributeError)


def recognises(head: bytes) -> bool:
    """Whether these are the first bytes of a CTRF document."""
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    if not start.startswith(b"{"):
        return False
    named = b'"reportFormat"' in head and b'"CTRF"' in head
    return named or all(word in head for word in (b'"results"', b'"tool"', b'"summary"'))


def read(source: IO[bytes] | Members, *, where: str) -> Recording:
    """Read a CTRF document. Raises DamagedRecording where it is none, HostileRecording at a limit.

    Its tests are decoded one at a time.
    """
    assert not isinstance(source, Members)
    limits = in_force()
    raw = source.read(limits.whole_bytes + 1)
    limits.check("whole_bytes", len(raw), f"{where}, read into memory as a whole")
    source.seek(0)
    try:
        found = msgspec.json.decode(raw.removeprefix(b"\xef\xbb\xbf"), type=_Document).results
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise DamagedRecording(f"{where} is no CTRF document: {error}") from None
    return _Reading(Translation(source, where=where, format=NAME, runner="ctrf"), found).read()


class _Results(msgspec.Struct):
    tests: list[msgspec.Raw]
    tool: dict[str, Any] = {}
    summary: dict[str, Any] = {}
    extra: dict[str, Any] = {}


class _Document(msgspec.Struct):
    results: _Results


class _Reading:
    def __init__(self, out: Translation, found: _Results) -> None:
        self.out, self.found = out, found
        self.ours = _mine(found.extra)
        self.started_ms = _integer(found.summary.get("start")) or 0
        self.sessions: dict[str, str] = {}
        self.occurrences: Counter[tuple[str, str]] = Counter()
        self.order = 0
        self.unreadable = 0

    def read(self) -> Recording:
        argv = self.ours.get("argv")
        words = [str(word) for word in argv] if isinstance(argv, list) else []
        self.out.run_started(
            started_at=rfc3339(self.started_ms * 1000 if self.started_ms else -1),
            argv=words,
            seed=_seed(self.ours),
        )
        self._session("")
        for raw in self.found.tests:
            try:
                test = msgspec.json.decode(raw)
                self._test(test, _mine(test.get("extra")))
            except _ODD:
                self.unreadable += 1
        if self.unreadable:
            tests = "test" if self.unreadable == 1 else "tests"
            self.out.problems.append(f"{self.unreadable} {tests} could not be read")
        return self._end()

    def _end(self) -> Recording:
        state, code = self.ours.get("status"), self.ours.get("exit_code")
        known = isinstance(state, str) and state in set(Status)
        code = code if type(code) is int else None
        for session in self.sessions.values():
            self.out.session_finished(session, exit_status=code)
        reason = self.ours.get("reason")
        status = RunStatus(
            str(state), exit_code=code, reason=reason if isinstance(reason, str) else None
        )
        duration_us = _integer(self.ours.get("duration_us"))
        if duration_us is None:
            milliseconds = _integer(self.found.summary.get("duration"))
            duration_us = None if milliseconds is None else milliseconds * 1000
        return self.out.finished(status=status if known else None, duration_us=duration_us)

    def _session(self, name: str) -> str:
        """The session of a test: of ours as many as there were, of a stranger's one."""
        if not self.sessions or (name and name not in self.sessions):
            tool = self.found.tool
            session = self.out.session_started(
                str(tool.get("name") or "ctrf"),
                runner_version=str(tool.get("version") or ""),
            )
            self.sessions[name] = session
            return session
        return self.sessions.get(name) or next(iter(self.sessions.values()))

    def _test(self, test: dict[str, Any], ours: dict[str, Any]) -> None:
        name, status = test["name"], test["status"]
        if not isinstance(name, str) or not isinstance(status, str):
            raise TypeError("a test without a name or a status")
        raw_status = test.get("rawStatus")
        session = self._session("")
        if raw_status == NOT_COLLECTED:
            self.out.collection_failed(session, name, [_failure(test, {}, "collect")])
            return
        test_id = name if ours else " > ".join([*_suite_of(test, name), name])
        self.occurrences[session, test_id] += 1
        occurrence = self.occurrences[session, test_id]
        if raw_status == Verdict.NOT_RUN or status == "pending":
            self.out.tests_collected(session, [test_id])
            return
        earlier = _earlier_of(test)
        for number, attempt in enumerate(earlier, 1):
            execution = Execution(session, test_id, number, occurrence)
            self._attempt(execution, attempt, _mine(attempt.get("extra")), test, will_retry=True)
        number = max(len(earlier), min(_integer(test.get("retries")) or 0, MOST_ATTEMPTS)) + 1
        execution = Execution(session, test_id, number, occurrence, _seed(ours))
        self._attempt(execution, test, ours, test)
        self.order += 1

    def _attempt(
        self,
        execution: Execution,
        attempt: dict[str, Any],
        ours: dict[str, Any],
        test: dict[str, Any],
        *,
        will_retry: bool = False,
    ) -> None:
        start_ms = _integer(attempt.get("start"))
        if start_ms is not None and self.started_ms:
            self.out.clock_us = max(0, (start_ms - self.started_ms) * 1000)
        worker = test.get("threadId") if isinstance(test.get("threadId"), str) else None
        file = test.get("filePath") if isinstance(test.get("filePath"), str) else None
        self.out.test_started(execution, worker=worker, order=self.order, file=file)
        for stream, text in _printed(attempt, ours):
            self.out.test_output(execution, text, stream=stream)
        outcome, reason = _outcome(attempt, ours)
        if outcome is None:
            return
        call_us = _integer(ours.get("duration_us"))
        if call_us is None:
            milliseconds = attempt.get("duration", 0)
            call_us = round(milliseconds * 1000) if 0 <= milliseconds < 1e13 else 0
        self.out.clock_us += call_us
        failed = STATUS[outcome] == "failed" and "message" in attempt
        self.out.test_finished(
            execution,
            outcome,
            call_us=call_us,
            reason=reason,
            failures=[_failure(attempt, ours, "call")] if failed else (),
            will_retry=will_retry,
            properties=_properties(ours),
            worker=worker,
            order=self.order,
        )


def _mine(extra: object) -> dict[str, Any]:
    ours = extra.get(OURS) if isinstance(extra, dict) else None
    return ours if isinstance(ours, dict) else {}


def _integer(value: object) -> int | None:
    return value if type(value) is int and 0 <= value < 1 << 53 else None


def _seed(ours: dict[str, Any]) -> int | None:
    text = ours.get("seed_hex")
    try:
        seed = int(text, 16) if isinstance(text, str) else None
    except ValueError:
        return None
    return seed if seed is not None and 0 <= seed < 1 << 64 else None


def _suite_of(test: dict[str, Any], name: str) -> list[str]:
    """Where a test lies; before 0.0.1 a suite was one text."""
    suite = test.get("suite")
    suite = [suite] if isinstance(suite, str) else suite if isinstance(suite, list) else []
    return [one for one in suite if isinstance(one, str) and one and one not in name]


def _earlier_of(test: dict[str, Any]) -> list[dict[str, Any]]:
    """The attempts before the last; of a flaky test of which nothing is told, that they failed."""
    attempts = test.get("retryAttempts")
    if isinstance(attempts, list):
        return [one for one in attempts[:MOST_ATTEMPTS] if isinstance(one, dict)]
    if test.get("flaky") is not True:
        return []
    count = min(_integer(test.get("retries")) or 1, MOST_EARLIER)
    return [{"status": "failed"} for _ in range(count)]


def _outcome(attempt: dict[str, Any], ours: dict[str, Any]) -> tuple[Verdict | None, str | None]:
    """The outcome and its reason; None where the attempt never ended."""
    reason = ours.get("reason")
    reason = reason if isinstance(reason, str) else None
    raw = ours.get("outcome", attempt.get("rawStatus"))
    status = attempt.get("status")
    for verdict in Verdict:
        if raw == verdict and STATUS[verdict] == status:
            ended = Verdict.PASSED if verdict is Verdict.FLAKY else verdict
            return (None if ended is Verdict.UNFINISHED else ended), reason
    if status in _READ:
        message = attempt.get("message") if status == "skipped" else None
        return _READ[status], reason or (message if isinstance(message, str) else None)
    return Verdict.SKIPPED, str(raw or status)


def _failure(attempt: dict[str, Any], ours: dict[str, Any], phase: str) -> Failure:
    trace, kind = attempt.get("trace"), ours.get("failure_type")
    return Failure(
        phase=phase,
        message=str(attempt.get("message", "")),
        type=kind if isinstance(kind, str) else None,
        traceback=trace if isinstance(trace, str) else None,
        line=_integer(attempt.get("line")),
    )


def _printed(attempt: dict[str, Any], ours: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for stream in STREAMS:
        lines = attempt.get(stream)
        if isinstance(lines, list):
            yield stream, "\n".join(str(line) for line in lines)
    more = ours.get("streams")
    if isinstance(more, dict):
        yield from ((name, text) for name, text in more.items() if isinstance(text, str))


def _properties(ours: dict[str, Any]) -> list[tuple[str, str]]:
    pairs = ours.get("properties")
    if not isinstance(pairs, list):
        return []
    return [(str(one[0]), str(one[1])) for one in pairs if isinstance(one, list) and len(one) == 2]
