"""One package of a `go test -json` log: its session, its tests, and how each of them ended."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from bundler.results import BAD, Failure, Verdict
from bundler.times import microseconds
from bundler.translation import Execution, Translation

_ENDS = {
    "pass": Verdict.PASSED,
    "bench": Verdict.PASSED,
    "fail": Verdict.FAILED,
    "skip": Verdict.SKIPPED,
}
_FRAME = re.compile(r"=== (?:RUN|PAUSE|CONT|NAME) +\S|\s*--- (?:PASS|FAIL|SKIP|BENCH): .* \(.*s\)$")
_INLINE_END = re.compile(r"--- (PASS|FAIL|SKIP): (\S+) \(([0-9.]+)s\)\n?$")
_LOGGED = re.compile(r"\s+(\S+?\.go):([0-9]+): (.*)")
_SHUFFLE = re.compile(r"-test\.shuffle ([0-9]{1,19})\n?")
_PANIC = re.compile(r"(?:panic|fatal error): ")
_TIMEOUT = re.compile(r"panic: test timed out after ")
_LONGEST_FRAME = 2000  # the patterns for frames take time that grows with its square
_KEPT = 200  # lines of what a package printed, for the case that it fails without a test


@dataclass(slots=True)
class _Test:
    """One attempt of a test that is going on."""

    execution: Execution
    logged: list[tuple[str, int, str]] = field(default_factory=list)
    panic: str = ""
    inline_end: tuple[Verdict, int | None] | None = None


@dataclass(frozen=True, slots=True)
class _Ended:
    """The last attempt of a test: which it was, and in which start of its package."""

    occurrence: int
    attempt: int
    failed: bool
    starts: int


class Package:
    """What is known of a package as its log is read: `runs` until it ends, and may start again."""

    def __init__(self, translation: Translation, name: str) -> None:
        self.name = name
        self.seed: int | None = None
        self.runs = True
        self._starts = 1
        self.failed_to_build = False
        self._translation = translation
        self._session = ""
        self._failures = 0
        self._timed_out = ""
        self._cached = False
        self._open: dict[str, _Test] = {}
        self._ended: dict[str, _Ended] = {}
        self._printed: list[str] = []

    def begin(self, now_us: int | None = None) -> None:
        """Start its session, if it has none."""
        if not self._session:
            self._session = self._translation.session_started(
                "go test", suite=self.name or None, shuffle_seed=self.seed, ts_us=now_us
            )

    def start_again(self) -> None:
        """It has ended and runs once more: a test that failed is tried again."""
        self.runs, self._starts = True, self._starts + 1

    def take(self, action: str, line: dict[str, Any], now_us: int | None, built: list[str]) -> None:
        """Take an event of the package itself; `built` is what was said of its build."""
        output = line.get("Output")
        if action == "output" and isinstance(output, str):
            self._print(output, now_us)
        elif action in _ENDS:
            self.begin(now_us)
            self._end(action, now_us, built)

    def take_of_test(
        self, name: str, action: str, line: dict[str, Any], now_us: int | None
    ) -> None:
        """Take an event of one of its tests."""
        self.begin(now_us)
        output = line.get("Output")
        if action == "run" or (name not in self._open and action in _ENDS):
            self._start(name, now_us)
        if action == "output" and isinstance(output, str):
            self._output(self._open.get(name) or self._late(name), name, output, now_us)
        elif action == "attr":
            test = self._open.get(name) or self._late(name)
            self._translation.event(
                "TestAttribute",
                test_id=test.execution.test_id,
                data={"key": line.get("Key"), "value": line.get("Value")},
                ts_us=now_us,
            )
        elif action in _ENDS:
            verdict = _ENDS[action]
            if verdict is Verdict.FAILED and self._open[name].panic:
                verdict = Verdict.CRASHED
            self._finish(name, verdict, microseconds(line.get("Elapsed")), None, now_us)

    def did_not_build(self, lines: list[str], said: str) -> None:
        """Say it once, as the event does where there is one; `lines` are what the build printed."""
        self.begin()
        message = next((one for one in lines if not one.startswith("#")), said).strip()
        failure = Failure("collect", message, traceback="".join(lines))
        self._translation.collection_failed(self._session, self.name, [failure])
        self._translation.session_finished(self._session, exit_status=1)
        self.failed_to_build, self.runs = True, False

    # The package

    def _print(self, output: str, now_us: int | None) -> None:
        if match := _SHUFFLE.fullmatch(output):
            self.seed = int(match[1])
            return
        self.begin(now_us)
        keep(self._printed, output)
        self._timed_out = self._timed_out or _timeout(output)
        self._cached |= output.rstrip().endswith("(cached)")
        self._translation.run_output(output, ts_us=now_us)

    def _end(self, action: str, now_us: int | None, built: list[str]) -> None:
        red = bool(self._failures)
        for name in list(self._open):
            red |= self._settle(name, passed=action != "fail", now_us=now_us)
        if action == "fail" and not red:
            failure = self._failure_without_a_test("".join(built + self._printed))
            self._translation.collection_failed(self._session, self.name, [failure], ts_us=now_us)
        reason = "cached" if self._cached else "no test files" if action == "skip" else None
        self._translation.session_finished(
            self._session, exit_status=int(action == "fail"), reason=reason, ts_us=now_us
        )
        self.runs, self._failures, self._timed_out = False, 0, ""
        self._open.clear()
        self._printed.clear()

    def _failure_without_a_test(self, text: str) -> Failure:
        lines = text.split("\n")
        message = next((one for one in lines if _PANIC.match(one)), "")
        said = (one for one in lines if one.strip() and not one.startswith("# "))
        message = message or self._timed_out or next(said, "failed")
        return Failure("collect", message, traceback=text or None)

    # Its tests

    def _start(self, name: str, now_us: int | None) -> None:
        if name in self._open:  # it lost its end; the next one tells that it is over
            self._settle(name, passed=False, now_us=now_us)
            self._open.pop(name, None)
        before = self._ended.get(name, _Ended(0, 1, False, 0))
        occurrence, attempt = before.occurrence + 1, 1
        if before.failed and self._starts > before.starts:
            occurrence, attempt = before.occurrence, before.attempt + 1
        execution = self._execution(name, attempt, occurrence)
        self._open[name] = _Test(execution)
        self._ended[name] = _Ended(occurrence, attempt, True, self._starts)
        self._translation.test_started(execution, ts_us=now_us)

    def _execution(self, name: str, attempt: int, occurrence: int) -> Execution:
        test_id = f"{self.name}::{name}" if self.name else name
        return Execution(self._session, test_id, attempt, occurrence, self.seed)

    def _late(self, name: str) -> _Test:
        """What a test prints after its end still is its own."""
        known = self._ended.get(name)
        if known is None:
            self._start(name, None)
            return self._open[name]
        return _Test(self._execution(name, known.attempt, known.occurrence))

    def _output(self, test: _Test, name: str, output: str, now_us: int | None) -> None:
        is_short = len(output) <= _LONGEST_FRAME
        if is_short and (found := _INLINE_END.search(output)):
            if found[2] == name:
                verdict = _ENDS[found[1].lower()]
                test.inline_end = (verdict, microseconds(found[3]))
            output = output[: found.start()].strip(" ") if found.start() else ""
        if not output or (is_short and _FRAME.match(output)):
            return
        if _PANIC.match(output):
            test.panic = test.panic or output.rstrip("\n")
        self._timed_out = self._timed_out or _timeout(output)
        if len(test.logged) < _KEPT and (logged := _LOGGED.match(output)):
            test.logged.append((logged[1], int(logged[2][:9]), logged[3]))
        self._translation.test_output(test.execution, output, ts_us=now_us)

    def _settle(self, name: str, *, passed: bool, now_us: int | None) -> bool:
        """End a test that has no end of its own; return whether it may be why the package failed.

        One that nothing is known of stays open.
        """
        test = self._open[name]
        verdict, took_us = test.inline_end or (Verdict.PASSED if passed else None, None)
        reason = None
        if verdict is None and self._timed_out:
            verdict, reason = Verdict.TIMED_OUT, self._timed_out
        elif verdict is None and test.panic:
            verdict = Verdict.CRASHED
        if verdict is not None:
            self._finish(name, verdict, took_us, reason, now_us)
        return verdict is None or verdict in BAD

    def _finish(
        self,
        name: str,
        verdict: Verdict,
        took_us: int | None,
        reason: str | None,
        now_us: int | None,
    ) -> None:
        test = self._open.pop(name)
        failures = [_failure(test, verdict, reason)] if verdict in BAD else []
        if verdict is Verdict.SKIPPED and test.logged:
            reason = test.logged[-1][2]
        self._failures += verdict in BAD
        execution = test.execution
        self._ended[name] = _Ended(
            execution.occurrence, execution.attempt, verdict in BAD, self._starts
        )
        self._translation.test_finished(
            execution, verdict, call_us=took_us, reason=reason, failures=failures, ts_us=now_us
        )


def keep(lines: list[str], line: str) -> None:
    """Keep a line of what was printed, as far as anybody will read."""
    if len(lines) < _KEPT:
        lines.append(line[:2000])


def _failure(test: _Test, verdict: Verdict, reason: str | None) -> Failure:
    """What a test said last where it failed, or first where it panicked."""
    if reason or (verdict is Verdict.CRASHED and test.panic):
        return Failure("call", reason or test.panic)
    file, line, message = test.logged[-1] if test.logged else (None, None, "")
    return Failure("call", message or f"the test {verdict.value}", file=file, line=line)


def _timeout(output: str) -> str:
    return output.rstrip("\n").removeprefix("panic: ") if _TIMEOUT.match(output) else ""
