"""libtest JSON: what Rust's test harness and cargo-nextest print, read.

Its lines are those that `bundler.formats.libtest` shows.

| line | read as |
|---|---|
| `suite` | libtest: a session each; nextest, whose suites interleave: one session for all |
| `test` `started` | TestStarted; one that never ends is unfinished |
| `test` `ok failed ignored` | passed, failed, skipped with `message` as the reason |
| `test` `failed` with reason `time limit exceeded` | timed out |
| `test` `failed` with reason `crashed`, `errored` (ours) | that |
| `test` `timeout` | an event of its own, `TestTimeout`: it only says that a test is slow |
| `bench` | passed, its figures as properties |
| `report`, and any other object | an event of its own |
| no JSON | RunOutput |

nextest's names are `crate::binary$test`, `crate::binary@stress-0$test` in a stress run, and end in
`#3` where a test needed a third attempt. Only the last attempt is told: of those before only that
they failed is known, which is how they are read.

A test that never ends in a suite that does was ignored: nextest says no more of it in a stress run.
"""

from __future__ import annotations

import re
from typing import IO, Any

from bundler.archive import Members
from bundler.errors import DamagedRecording
from bundler.formats.libtest_reasons import REASONS, TIME_LIMIT
from bundler.formats.rust_panics import panic_in
from bundler.json_lines import first_objects, objects
from bundler.recording import Recording
from bundler.results import BAD, Failure, Verdict
from bundler.times import microseconds
from bundler.translation import Execution, Translation

NAME = "libtest JSON"
UNTOLD = "an attempt before the last; this format tells only of the last"
MOST_EARLIER = 10
"""A number of attempts is quickly written: only so many of those before the last are made."""

_EVENTS = {"ok": Verdict.PASSED, "failed": Verdict.FAILED, "ignored": Verdict.SKIPPED}
_ATTEMPT = re.compile(r"(?P<name>.+)#(?P<attempt>[1-9][0-9]{0,3})", re.DOTALL)
_STRESS = re.compile(r"(?P<binary>[^$]*)@stress-(?P<index>[0-9]{1,9})(?P<test>\$.*)", re.DOTALL)


def recognises(head: bytes) -> bool:
    """Whether these are the first bytes of libtest's or nextest's JSON."""
    return any(_is_ours(one) for one in first_objects(head))


def read(source: IO[bytes] | Members, *, where: str) -> Recording:
    """Read libtest JSON. Raises DamagedRecording where no line of it is any."""
    assert not isinstance(source, Members)
    translation = Translation(source, where=where, format=NAME, runner="libtest")
    reading = _Reading(translation)
    for line in objects(source, translation.problems):
        reading.take(line)
    return reading.end()


def _is_ours(line: dict[str, Any]) -> bool:
    kind, event = line.get("type"), line.get("event")
    if kind == "suite":
        return event in ("started", "ok", "failed")
    return kind == "test" and event in ("started", *_EVENTS) and isinstance(line.get("name"), str)


class _Reading:
    def __init__(self, out: Translation) -> None:
        self.out = out
        self.session: str | None = None
        self.suites = 0
        self.failed = False
        self.known = False
        self.open: dict[tuple[str, int], tuple[Execution, int]] = {}
        self.seen: dict[str, int] = {}
        self.order = 0

    def take(self, line: dict[str, Any] | bytes) -> None:
        if isinstance(line, bytes):
            self.out.run_output(line + b"\n")
            return
        kind, event = str(line.get("type")), str(line.get("event"))
        if kind == "suite" and event == "started":
            self._suite_started(line)
        elif kind == "suite" and event in ("ok", "failed"):
            self._suite_finished(line, failed=event == "failed")
        elif kind == "test" and event == "started" and isinstance(line.get("name"), str):
            self._started(*_iteration(line["name"]))
        elif kind == "test" and event in _EVENTS and isinstance(line.get("name"), str):
            self._finished(line, _EVENTS[event])
        elif kind == "bench" and isinstance(line.get("name"), str):
            self._finished(line, Verdict.PASSED)
        else:
            self._pass_on(line)

    def end(self) -> Recording:
        if not self.known:
            raise DamagedRecording(f"{self.out.where} holds no line of libtest JSON")
        if self.session is not None and self.suites <= 0:
            self._ignore_the_rest()
            self.out.session_finished(self.session, exit_status=101 if self.failed else 0)
        return self.out.finished(cut=self.suites > 0)

    def _ignore_the_rest(self) -> None:
        for execution, _started_us in self.open.values():
            self.out.test_finished(
                execution, Verdict.SKIPPED, call_us=0, reason="ignored", order=self.order - 1
            )
        self.open = {}

    def _suite_started(self, line: dict[str, Any]) -> None:
        self.known = True
        if self.session is None:
            self._begin()
        self.suites += 1
        self._pass_on(line)

    def _begin(self) -> str:
        self.session = self.out.session_started("libtest")
        self.failed, self.seen, self.order = False, {}, 0
        return self.session

    def _suite_finished(self, line: dict[str, Any], *, failed: bool) -> None:
        self.known = True
        self.suites -= 1
        self.failed = self.failed or failed
        self._pass_on(line)
        # The tests of a binary end before the next binary starts, unless it is nextest.
        if self.session is not None and self.suites <= 0 and not self._is_nextest():
            self._ignore_the_rest()
            self.out.session_finished(self.session, exit_status=101 if self.failed else 0)
            self.session = None

    def _is_nextest(self) -> bool:
        return any("$" in name for name in self.seen)

    def _started(self, test_id: str, occurrence: int | None) -> tuple[str, int]:
        """Begin a test; return which of those that are open it is."""
        self.known = True
        session = self.session or self._begin()
        seen = self.seen.get(test_id, 0)
        occurrence = occurrence or seen + 1
        self.seen[test_id] = max(occurrence, seen)
        execution = Execution(session, test_id, occurrence=occurrence)
        self.open[test_id, occurrence] = (execution, self.out.clock_us)
        self.out.test_started(execution, order=self.order)
        self.order += 1
        return test_id, occurrence

    def _ended(self, name: str) -> tuple[Execution, int, int]:
        """What is open of a test that ends: its first attempt, when it began, how many it had.

        `a#2` is a second attempt of `a`, unless a test of that very name has started.
        """
        test_id, occurrence = _iteration(name)
        key, attempt = (test_id, occurrence or self.seen.get(test_id, 1)), 1
        if key not in self.open:
            test_id, attempt = _attempt(test_id)
            key = (test_id, occurrence or self.seen.get(test_id, 1))
        if key not in self.open:
            key = self._started(test_id, occurrence)
        return *self.open.pop(key), attempt

    def _finished(self, line: dict[str, Any], outcome: Verdict) -> None:
        execution, started_us, attempt = self._ended(line["name"])
        execution = self._earlier(execution, attempt)
        call_us = microseconds(_number(line.get("exec_time")))
        self.out.clock_us = max(self.out.clock_us, started_us + (call_us or 0))
        for stream in ("stdout", "stderr"):
            if isinstance(line.get(stream), str):
                self.out.test_output(execution, line[stream], stream=stream)
        reason = line.get("reason") if isinstance(line.get("reason"), str) else None
        if outcome is Verdict.FAILED:
            outcome = REASONS.get(reason or "", outcome)
        if outcome is Verdict.SKIPPED:
            message = line.get("message")
            reason = message if isinstance(message, str) else "ignored"
        failures = [_failure(line)] if outcome in BAD and reason != TIME_LIMIT else ()
        self.out.test_finished(
            execution,
            outcome,
            call_us=call_us,
            reason=reason,
            failures=failures,
            properties=_figures(line),
            order=self.order - 1,
        )

    def _earlier(self, execution: Execution, attempt: int) -> Execution:
        """Tell of the attempts before the last: a test is tried again only where it failed."""
        session, test_id, occurrence = execution.session, execution.test_id, execution.occurrence
        told = min(attempt - 1, MOST_EARLIER)
        for number in range(1, told + 1):
            one = Execution(session, test_id, attempt=number, occurrence=occurrence)
            self.out.test_finished(
                one, Verdict.FAILED, call_us=0, reason=UNTOLD, will_retry=True, order=self.order - 1
            )
            after = attempt if number == told else number + 1
            execution = Execution(session, test_id, attempt=after, occurrence=occurrence)
            self.out.test_started(execution, order=self.order - 1)
        return execution

    def _pass_on(self, line: dict[str, Any]) -> None:
        words = [str(line.get(name, ""))[:40] for name in ("type", "event")]
        event = "".join(word.capitalize() for word in words if word.isalpha())
        name = line.get("name")
        test_id = _iteration(name)[0] if isinstance(name, str) else None
        known = {key: value for key, value in line.items() if key not in ("type", "event", "name")}
        known |= {"session": self.session} if self.session else {}
        self.out.event(event or "Line", category="libtest", test_id=test_id, data=known)


def _iteration(name: str) -> tuple[str, int | None]:
    """The test id, and in a stress run the occurrence that a name tells."""
    stress = _STRESS.fullmatch(name)
    if stress is None:
        return name, None
    return stress["binary"] + stress["test"], int(stress["index"]) + 1


def _attempt(test_id: str) -> tuple[str, int]:
    """The test id without the attempt that it tells."""
    tried = _ATTEMPT.fullmatch(test_id)
    return (tried["name"], int(tried["attempt"])) if tried else (test_id, 1)


def _number(value: object) -> object:
    """Older versions wrote a text: `0.003s`."""
    return value.removesuffix("s") if isinstance(value, str) else value


def _failure(line: dict[str, Any]) -> Failure:
    said, printed = line.get("message"), line.get("stdout")
    if isinstance(said, str):
        return Failure("call", said.splitlines()[0] if said.strip() else "failed", traceback=said)
    text = printed if isinstance(printed, str) else ""
    last = text.strip().rpartition("\n")[2]
    return panic_in(text, kind="panic") or Failure("call", last or "failed")


def _figures(line: dict[str, Any]) -> list[tuple[str, str]]:
    if line.get("type") != "bench":
        return []
    known = ("median", "deviation", "mib_per_second")
    return [(f"libtest.{name}", str(line[name])) for name in known if name in line]
