"""`go test -json`: what test2json wrote, as a run.

The format (https://pkg.go.dev/cmd/test2json) is a line of JSON for each thing that happened:
`Time Action Package Test Elapsed Output`, and of a build `ImportPath`, `FailedBuild`. Actions:
`start run pause cont pass fail skip bench output build-output build-fail attr`.

| in the log | what it becomes |
|---|---|
| a package | a session; `-test.shuffle N` is the seed of its tests |
| a test or subtest | a test `package::Test/sub` |
| the same test again, its package still running (`-count`) | a further occurrence |
| a failed test again when its package starts again (gotestsum) | a further attempt |
| a test without an end in a package that passed | passed: a benchmark has no end |
| in one that failed | crashed if it panicked, timed out if the package did, else unfinished |
| a package that failed without a failed test | a `CollectionFailed`: a build, an `init` |
| a line that is no JSON | `RunOutput`: what a build printed in between |

Lines that only repeat the events (`=== RUN`, `--- PASS`) are left out of a test's output.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import IO, Any

from bundler.archive import Members
from bundler.errors import DamagedRecording
from bundler.json_lines import first_objects, objects
from bundler.recording import Recording
from bundler.results import BAD, Failure, Verdict
from bundler.times import UNKNOWN_TIME, epoch_microseconds, microseconds, rfc3339
from bundler.translation import Execution, Translation

NAME = "go test -json"

_ACTIONS = frozenset(
    {
        *("start", "run", "pause", "cont", "output", "attr", "build-output", "build-fail"),
        *("pass", "fail", "skip", "bench"),
    }
)
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
_BUILDS = re.compile(rb"# (\S{1,2000})(?: \[\S+\])?\s*$")
_BUILD_FAILED = re.compile(rb"FAIL\t(\S{1,2000}) \[(?:build|setup) failed\]\s*$")
_PATIENCE = 1000
_LONGEST_FRAME = 2000  # the patterns for frames take time that grows with its square
_KEPT = 200  # lines of what a package printed, for the case that it fails without a test


def recognises(head: bytes) -> bool:
    """Whether these are the first bytes of such a log; a build may have printed before it."""
    return any(
        str(one.get("Action")) in _ACTIONS
        and ({"Package", "Test", "ImportPath", "Time"} & one.keys())
        for one in first_objects(head)
    )


def read(source: IO[bytes] | Members, *, where: str) -> Recording:
    """Read a log. Raises DamagedRecording where no line of it is an event."""
    assert not isinstance(source, Members)
    translation = Translation(source, where=where, format=NAME, runner="go test")
    reading = Reading(translation)
    for line in objects(source, translation.problems):
        reading.take(line)
    return reading.end()


@dataclass(slots=True)
class _Test:
    """One attempt of a test that is going on."""

    execution: Execution
    logged: list[tuple[str, int, str]] = field(default_factory=list)
    panic: str = ""
    inline_end: tuple[Verdict, int | None] | None = None


@dataclass(slots=True)
class _Package:
    """One package: its session, its tests that go on, how those ended that did."""

    name: str
    session: str = ""
    seed: int | None = None
    shuffled: bool = False
    runs: bool = True
    starts: int = 1
    failures: int = 0
    timed_out: str = ""
    cached: bool = False
    failed_to_build: bool = False
    open: dict[str, _Test] = field(default_factory=dict)
    ended: dict[str, tuple[int, int, bool, int]] = field(default_factory=dict)
    printed: list[str] = field(default_factory=list)


class Reading:
    def __init__(self, translation: Translation) -> None:
        self.translation = translation
        self.packages: dict[str, _Package] = {}
        self.builds: dict[str, list[str]] = {}
        self.building = ""
        self.origin_us: int | None = None
        self.waiting: list[dict[str, Any] | bytes] | None = []
        self.events = 0

    def take(self, line: dict[str, Any] | bytes) -> None:
        """Take the next line; a build, which has no times, waits for the first event that has."""
        if self.waiting is None:
            self._handle(line)
            return
        self.waiting.append(line)
        timed = isinstance(line, dict) and epoch_microseconds(line.get("Time")) is not None
        if timed or len(self.waiting) == _PATIENCE:
            self._stop_waiting()

    def _stop_waiting(self) -> None:
        lines, self.waiting = self.waiting or [], None
        last = lines[-1] if lines else b""
        epoch_us = None if isinstance(last, bytes) else epoch_microseconds(last.get("Time"))
        self.origin_us = epoch_us
        started_at = UNKNOWN_TIME if epoch_us is None else rfc3339(epoch_us)
        self.translation.run_started(started_at=started_at)
        for line in lines:
            self._handle(line)

    def _handle(self, line: dict[str, Any] | bytes) -> None:
        if isinstance(line, bytes):
            self.translation.run_output(line + b"\n")
            self._plain(line)
            return
        action, name, test = line.get("Action"), line.get("Package"), line.get("Test")
        if not isinstance(action, str) or action not in _ACTIONS:
            self.translation.event("Unknown", data=line)
            return
        self.events += 1
        now_us = self._now(line.get("Time"))
        if action in ("build-output", "build-fail"):
            self._build(line)
            return
        package = self._package(name if isinstance(name, str) else "")
        if isinstance(test, str) and test:
            self._of_test(package, test, action, line, now_us)
        else:
            self._of_package(package, action, line, now_us)

    def end(self) -> Recording:
        """Return what was read. Raises DamagedRecording where no line of it was an event."""
        if not self.stop():
            raise DamagedRecording(f"{self.translation.where} holds no event of go test")
        seeds = {one.seed for one in self.packages.values()}
        seed = seeds.pop() if len(seeds) == 1 else None
        cut = any(one.runs for one in self.packages.values())
        return self.translation.finished(seed=seed, cut=cut)

    def stop(self) -> int:
        """Nothing more comes: tell what waited, and return how many events there were."""
        if self.waiting is not None:
            self._stop_waiting()
        if self.events:
            for package in self.packages.values():
                if package.runs and not package.session:
                    self._session(package)
        return self.events

    def _now(self, time: object) -> int | None:
        """When an event happened, since the run started."""
        epoch_us = epoch_microseconds(time)
        return None if epoch_us is None or self.origin_us is None else epoch_us - self.origin_us

    def _plain(self, line: bytes) -> None:
        """A build speaks plainly before Go 1.24, and where it is told to."""
        if found := _BUILD_FAILED.match(line):
            package = self._package(found[1].decode("utf-8", "replace"))
            if not package.failed_to_build:
                self._session(package)
                self._build_failed(package, found[0].decode("utf-8", "replace"))
        elif found := _BUILDS.match(line):
            self.building = found[1].decode("utf-8", "replace")
        elif line.startswith((b"FAIL", b"ok  ", b"?   ")):
            self.building = ""
        if self.building:
            text = line.decode("utf-8", "replace") + "\n"
            _keep(self.builds.setdefault(self.building, []), text)

    def _build_failed(self, package: _Package, said: str) -> None:
        """Say it once, as the event does where there is one."""
        lines = self.builds.get(package.name) or [said]
        message = next((one for one in lines if not one.startswith("#")), said).strip()
        failure = Failure("collect", message, traceback="".join(lines))
        self.translation.collection_failed(package.session, package.name, [failure])
        self.translation.session_finished(package.session, exit_status=1)
        package.failed_to_build, package.runs, self.building = True, False, ""

    def _build(self, line: dict[str, Any]) -> None:
        output = line.get("Output")
        if isinstance(output, str):
            self.translation.run_output(output, stream="stderr")
            _keep(self.builds.setdefault(str(line.get("ImportPath", "")), []), output)

    # Packages

    def _package(self, name: str) -> _Package:
        package = self.packages.get(name)
        if package is None:
            package = self.packages[name] = _Package(name)
        elif not package.runs:
            package.runs, package.starts = True, package.starts + 1
        return package

    def _session(self, package: _Package, now_us: int | None = None) -> None:
        if not package.session:
            package.session = self.translation.session_started(
                "go test", suite=package.name or None, shuffle_seed=package.seed, ts_us=now_us
            )

    def _of_package(
        self, package: _Package, action: str, line: dict[str, Any], now_us: int | None
    ) -> None:
        output = line.get("Output")
        if action == "output" and isinstance(output, str):
            if match := _SHUFFLE.fullmatch(output):
                package.seed = int(match[1])
                return
            self._session(package, now_us)
            _keep(package.printed, output)
            package.timed_out = package.timed_out or _timeout(output)
            package.cached |= output.rstrip().endswith("(cached)")
            self.translation.run_output(output, ts_us=now_us)
        elif action in _ENDS:
            self._session(package, now_us)
            self._end_package(package, action, line, now_us)

    def _end_package(
        self, package: _Package, action: str, line: dict[str, Any], now_us: int | None
    ) -> None:
        red = bool(package.failures)
        for test in list(package.open):
            red |= self._settle(package, test, passed=action != "fail", now_us=now_us)
        if action == "fail" and not red:
            built = self.builds.get(str(line.get("FailedBuild"))) or self.builds.get(package.name)
            text = "".join((built or []) + package.printed)
            message = next((one for one in text.split("\n") if _PANIC.match(one)), "")
            said = (one for one in text.split("\n") if one.strip() and not one.startswith("# "))
            message = message or package.timed_out or next(said, "failed")
            failure = Failure("collect", message, traceback=text or None)
            self.translation.collection_failed(
                package.session, package.name, [failure], ts_us=now_us
            )
        reason = "cached" if package.cached else "no test files" if action == "skip" else None
        self.translation.session_finished(
            package.session, exit_status=int(action == "fail"), reason=reason, ts_us=now_us
        )
        package.runs, package.failures, package.timed_out = False, 0, ""
        package.open.clear()
        package.printed.clear()

    def _settle(self, package: _Package, name: str, *, passed: bool, now_us: int | None) -> bool:
        """End a test that has no end of its own; return whether it may be why the package failed.

        One that nothing is known of stays open.
        """
        test = package.open[name]
        verdict, took_us = test.inline_end or (Verdict.PASSED if passed else None, None)
        reason = None
        if verdict is None and package.timed_out:
            verdict, reason = Verdict.TIMED_OUT, package.timed_out
        elif verdict is None and test.panic:
            verdict = Verdict.CRASHED
        if verdict is not None:
            self._finish(package, name, verdict, took_us, reason, now_us)
        return verdict is None or verdict in BAD

    # Tests

    def _of_test(
        self, package: _Package, name: str, action: str, line: dict[str, Any], now_us: int | None
    ) -> None:
        self._session(package, now_us)
        output = line.get("Output")
        if action == "run" or (name not in package.open and action in _ENDS):
            self._start(package, name, now_us)
        if action == "output" and isinstance(output, str):
            test = package.open.get(name) or self._late(package, name)
            self._output(package, test, name, output, now_us)
        elif action == "attr":
            test = package.open.get(name) or self._late(package, name)
            self.translation.event(
                "TestAttribute",
                test_id=test.execution.test_id,
                data={"key": line.get("Key"), "value": line.get("Value")},
                ts_us=now_us,
            )
        elif action in _ENDS:
            test = package.open[name]
            verdict = _ENDS[action]
            if verdict is Verdict.FAILED and test.panic:
                verdict = Verdict.CRASHED
            self._finish(package, name, verdict, microseconds(line.get("Elapsed")), None, now_us)

    def _start(self, package: _Package, name: str, now_us: int | None) -> None:
        if name in package.open:  # it lost its end; the next one tells that it is over
            self._settle(package, name, passed=False, now_us=now_us)
            package.open.pop(name, None)
        occurrence, attempt, failed, starts = package.ended.get(name, (0, 1, False, 0))
        if failed and package.starts > starts:
            attempt += 1
        else:
            occurrence, attempt = occurrence + 1, 1
        test_id = f"{package.name}::{name}" if package.name else name
        execution = Execution(package.session, test_id, attempt, occurrence, package.seed)
        package.open[name] = _Test(execution)
        package.ended[name] = (occurrence, attempt, True, package.starts)
        self.translation.test_started(execution, ts_us=now_us)

    def _late(self, package: _Package, name: str) -> _Test:
        """What a test prints after its end still is its own."""
        known = package.ended.get(name)
        if known is None:
            self._start(package, name, None)
            return package.open[name]
        test_id = f"{package.name}::{name}" if package.name else name
        return _Test(Execution(package.session, test_id, known[1], known[0], package.seed))

    def _output(
        self, package: _Package, test: _Test, name: str, output: str, now_us: int | None
    ) -> None:
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
        package.timed_out = package.timed_out or _timeout(output)
        if len(test.logged) < _KEPT and (logged := _LOGGED.match(output)):
            test.logged.append((logged[1], int(logged[2][:9]), logged[3]))
        self.translation.test_output(test.execution, output, ts_us=now_us)

    def _finish(
        self,
        package: _Package,
        name: str,
        verdict: Verdict,
        took_us: int | None,
        reason: str | None,
        now_us: int | None,
    ) -> None:
        test = package.open.pop(name)
        failures = [_failure(test, verdict, reason)] if verdict in BAD else []
        if verdict is Verdict.SKIPPED and test.logged:
            reason = test.logged[-1][2]
        package.failures += verdict in BAD
        execution = test.execution
        package.ended[name] = (
            execution.occurrence,
            execution.attempt,
            verdict in BAD,
            package.starts,
        )
        self.translation.test_finished(
            execution, verdict, call_us=took_us, reason=reason, failures=failures, ts_us=now_us
        )


def _failure(test: _Test, verdict: Verdict, reason: str | None) -> Failure:
    """What a test said last where it failed, or first where it panicked."""
    if reason or (verdict is Verdict.CRASHED and test.panic):
        return Failure("call", reason or test.panic)
    file, line, message = test.logged[-1] if test.logged else (None, None, "")
    return Failure("call", message or f"the test {verdict.value}", file=file, line=line)


def _timeout(output: str) -> str:
    return output.rstrip("\n").removeprefix("panic: ") if _TIMEOUT.match(output) else ""


def _keep(lines: list[str], line: str) -> None:
    if len(lines) < _KEPT:
        lines.append(line[:2000])
