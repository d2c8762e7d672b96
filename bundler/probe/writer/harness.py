"""Record what one test does: its events, phases, assertions and files, in a bundle of its own."""

from __future__ import annotations

import io
import itertools
import os
import sys
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import phases
from .bundle_directory import BundleDirectory, locked
from .documents import ASSERTION_FAILURE, End, Test, environment_of, manifest_of, sentence_of
from .event_line import shown
from .event_log import COUNTS, EventLog, forks, number_of
from .file_names import (
    ENVIRONMENT,
    EVENTS,
    FAILED_ASSERTIONS,
    MANIFEST,
    SUMMARY,
    trace_file_name,
)
from .json_text import pretty
from .masking import Masking
from .media_types import media_type_of
from .system import System

if TYPE_CHECKING:
    from .bridges import BundleHandler

MOST_KEPT = 20_000
"""How many assertions, and how many phases, of one test its documents hold; its log has all."""

MOST_SHOWN = 50
"""How many failed checks a test that fails shows."""

_NO_ARTIFACTS = (MANIFEST, SUMMARY, ENVIRONMENT)


class Harness:
    """Record one test, into a directory of its own.

    What it logs is on disk at once, so that a test that is killed leaves what it had logged.
    `finish` writes the rest: what the test was (manifest.json), what it did (summary.json), which
    assertions failed. A test that passes and recorded nothing leaves nothing. Recording itself
    breaks no test: what could not be written is said on stderr at the end, and stands in `problem`.
    """

    def __init__(
        self,
        context: Test,
        directory: str,
        *,
        replay_command: str,
        level: str = "TRACE",
        started_ns: int | None = None,
        attempt: int = 1,
    ) -> None:
        self._context = context
        self._attempt = attempt
        self._started_ns = System.now_ns() if started_ns is None else started_ns
        self._pid = System.process()
        self._level = level
        self._replay_command = replay_command
        self._directory = BundleDirectory(directory)
        self._forks = forks()
        self._begin = self._directory.size(EVENTS)
        self._log: EventLog | None = None
        self._handlers: list[BundleHandler] = []
        self._root = phases.OpenPhase("", self._started_ns)
        self._phases, self._checks, self._failures = (itertools.count() for _ in range(3))
        self._kept = 0
        self._failed: list[tuple[dict[str, Any], str, int]] = []
        self._traces: dict[tuple[str, str], tuple[str, str]] = {}
        self._finished: dict[str, Any] | None = None

    @property
    def problem(self) -> str:
        """Why something could not be recorded, or the empty text."""
        return self._directory.problem or (self._log.problem if self._log else "")

    @property
    def directory(self) -> Path:
        """The directory of the test's bundle, which is made now if it was not."""
        self._begun()
        return Path(self._directory.path)

    def log(
        self,
        event: str,
        message: str = "",
        *,
        level: str = "INFO",
        category: str = "custom",
        data: Mapping[str, Any] | None = None,
        **fields: Any,
    ) -> None:
        """Log one event; what it says is in `fields`, or in `data`.

        `data` is for names that this method has itself. Values that JSON cannot say are shown as
        their repr. Raises ValueError at an unknown level, and nothing else.
        """
        log = self._log or self._begun()
        log.log(event, message, level=level, category=category, data=data, **fields)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Be in a phase of the test, which may lie in another; threads and tasks have their own.

        One that never ends, ends with the test.
        """
        before = phases.here()
        is_kept = next(self._phases) < MOST_KEPT
        phase = phases.current(self._root).open(name, System.now_ns(), is_kept=is_kept)
        pid = System.process()
        self._log_phase("PhaseStarted", phase)
        phases.enter(phase)
        try:
            yield
        finally:
            phases.enter(before)
            if System.process() == pid:  # a forked child leaves it too, and did not enter it
                self._end_phase(phase)

    def check(
        self, description: str, expected: object, actual: object, *, passed: bool | None = None
    ) -> bool:
        """Record an assertion, and return whether it holds: `expected == actual`, or `passed`.

        It does not raise: all of a test's checks are made, and a failed one fails it at its end.
        """
        phase = phases.current(self._root)
        record = {
            "description": description,
            "passed": bool(expected == actual) if passed is None else passed,
            "expected": shown(expected),
            "actual": shown(actual),
            "phase_path": phase.path,
            "elapsed_ms": (System.now_ns() - self._started_ns) / 1e6,
        }
        held = bool(record["passed"])
        next(self._checks)
        if not held:
            next(self._failures)
            if len(self._failed) < MOST_KEPT:
                self._failed.append((record, *_caller()))
        if self._kept < MOST_KEPT:
            self._kept += 1
            phase.assertions.append(record)
        level = "DEBUG" if held else "ERROR"
        message = description if held else sentence_of(record)
        self.log("AssertionRecorded", message, level=level, category="assertion", data=record)
        return held

    def logging_handler(self, level: int = 0) -> BundleHandler:
        """Return a `logging.Handler` that logs into the bundle, until the test is over."""
        from .bridges import BundleHandler

        handler = BundleHandler(self._begun(), level)
        self._handlers.append(handler)
        return handler

    def structlog_processor(
        self,
    ) -> Callable[[Any, str, MutableMapping[str, Any]], MutableMapping[str, Any]]:
        """Return a structlog processor that logs into the bundle."""
        from .bridges import structlog_processor

        return structlog_processor(self._begun())

    def is_ours(self) -> bool:
        """Whether this is the process that the test began in, and no child of it."""
        return System.process() == self._pid

    def failed_checks(self) -> list[dict[str, Any]]:
        """The assertions that did not hold, in their order, the first `MOST_KEPT` of them."""
        return [record for record, _, _ in self._failed]

    def first_failure(self) -> tuple[str, int]:
        """Return where the first check that failed stands: file and line."""
        return self._failed[0][1:]

    def failure(self, root: str = "") -> str:
        """Return what to say of the checks that failed, and where they stand; empty if none did.

        A file below `root`, which ends with a separator, is named relative to it.
        """
        made, failed = number_of(self._checks), number_of(self._failures)
        if not failed:
            return ""
        noun = "check" if made == 1 else "checks"
        lines = [f"{failed} of {made} {noun} failed"]
        for record, file, line in self._failed[:MOST_SHOWN]:
            file = file[len(root) :] if root and file.startswith(root) else file
            lines.append(f"{file}:{line}: {sentence_of(record)}")
        more = [f"and {failed - MOST_SHOWN} more"] if failed > MOST_SHOWN else []
        return "\n".join(lines + more)

    def attach(
        self,
        source: bytes | str | os.PathLike[str],
        name: str | None = None,
        *,
        media_type: str | None = None,
    ) -> Path:
        """Put bytes, or a copy of the file at a path, into the bundle, and return where it lies.

        `name` is what it is called (else the file's own name); two of one name are both kept.
        Raises OSError where the file cannot be read.
        """
        name = name or ("attachment" if isinstance(source, bytes) else os.path.basename(source))
        name = Masking.masker.text(os.fspath(name))
        with io.BytesIO(source) if isinstance(source, bytes) else open(source, "rb") as file:
            target = self._place_for(name)
            size = self._directory.copy(file, target)
        self._log_attachment(name, target, media_type or media_type_of(name), size)
        return Path(target)

    def trace_path(self, scenario: str) -> str:
        """Return where the trace of a scenario is to be written."""
        subsystem = self._context.subsystem or "test"
        if (subsystem, scenario) not in self._traces:
            name = trace_file_name(subsystem, scenario, self._context.seed)
            target = self._place_for(name)
            self._traces[subsystem, scenario] = name, target
        return self._traces[subsystem, scenario][1]

    def conclude(
        self, passed: bool, failure_class: str | None, failure_reason: str | None
    ) -> dict[str, Any]:
        """Write the bundle of a test that is over, and return its summary; once is enough.

        It failed if a check failed, or `passed` is False. In a forked child nothing is written.
        """
        if self._finished is None:
            ours = self.is_ours()
            if ours:
                self._let_go()
            if self._log:
                self._log.is_over = True
            now_ns = System.now_ns()
            self._finished = self._summary(passed and not self.failed_checks(), now_ns)
            if ours and (self._log or not self._finished["passed"]):
                self._begun().close()
                self._write(self._finished, failure_class, failure_reason)
                if self.problem:
                    _say(f"bundle: the recording of {self._context.test_id!r}: {self.problem}")
        return self._finished

    def environment_document(self) -> bytes:
        """Return environment.json in bytes."""
        return pretty(environment_of(self._context))

    def make_log(self, path: str) -> EventLog:
        """Return a log that writes to a file."""
        return EventLog(self._context, path=path, level=self._level, started_ns=self._started_ns)

    def _begun(self) -> EventLog:
        """What logs into the bundle, which is begun now if it was not."""
        with locked():
            if self._log is None:
                self._directory.make()
                self._directory.write(ENVIRONMENT, self.environment_document())
                self._log = self.make_log(self._directory.place(EVENTS))
                self._say_which_attempt(self._log)
            return self._log

    def _say_which_attempt(self, log: EventLog) -> None:
        """Mark where another attempt begins: its times count from its own start."""
        if self.is_ours() and (self._begin or self._attempt > 1):
            data = {"attempt": self._attempt} if self._attempt > 1 else {}
            log.log("AttemptStarted", "another attempt", category="test", data=data)

    def _let_go(self) -> None:
        """End what the test has left open."""
        for handler in self._handlers:
            handler.take_away()
        for phase in self._root.running():
            self._end_phase(phase)
        for name, target in self._traces.values():
            if size := self._directory.size(target):
                self._log_attachment(name, target, media_type_of(name), size)

    def _end_phase(self, phase: phases.OpenPhase) -> None:
        if phase.end_ns is None:
            phase.end_ns = System.now_ns()
            took_us = (phase.end_ns - phase.start_ns) // 1000
            self._log_phase("PhaseFinished", phase, duration_us=took_us)

    def _log_phase(self, event: str, phase: phases.OpenPhase, **more: int) -> None:
        where = {"name": phase.name, "path": phase.path, "depth": phase.depth, **more}
        self.log(event, phase.path, category="phase", data=where)

    def _place_for(self, name: str) -> str:
        self._begun()
        return self._directory.place_for(name)

    def _log_attachment(self, name: str, target: str, media_type: str, size: int) -> None:
        path = os.path.basename(target)
        data = {"name": name, "path": path, "media_type": media_type, "size": size}
        self.log("Attachment", name, category="artifact", data=data)

    def _summary(self, passed: bool, now_ns: int) -> dict[str, Any]:
        made, failed = number_of(self._checks), number_of(self._failures)
        return {
            "test_name": self._context.test_id,
            "passed": passed,
            "total_assertions": made,
            "passed_assertions": made - failed,
            "failed_assertions": failed,
            "duration_ms": (now_ns - self._started_ns) / 1e6,
            "phases": self._root.closed(self._started_ns, now_ns)["children"],
            "failure_artifacts": [],
            "event_stats": self._counts(),
            "context": self._context.to_document(),
        }

    def _counts(self) -> dict[str, int]:
        """How many events of which kind; what forked children logged counts as well."""
        if self._log is None:
            return dict.fromkeys(COUNTS, 0)
        if forks() != self._forks:
            return self._log.counts_of_all(self._begin)
        return self._log.counts()

    def _write(
        self, summary: dict[str, Any], failure_class: str | None, failure_reason: str | None
    ) -> None:
        """Write the documents, the manifest last."""
        directory = self._directory
        failed = self.failed_checks()
        if failed:
            directory.write(FAILED_ASSERTIONS, pretty(failed))
        directory.write(ENVIRONMENT, self.environment_document())
        if not summary["passed"]:
            names = [name for name in directory.files() if name not in _NO_ARTIFACTS]
            summary["failure_artifacts"] = names
        directory.write(SUMMARY, pretty(summary))
        if failed and failure_reason is None:
            failure_reason = sentence_of(failed[0])
        end = End(
            replay_command=self._replay_command,
            files=[name for name in directory.files() if name != MANIFEST],
            traces=[os.path.basename(path) for _, path in self._traces.values()],
            failure_class=failure_class or ASSERTION_FAILURE,
            failure_reason=failure_reason,
        )
        directory.write(MANIFEST, pretty(manifest_of(self._context, summary, end)))


def _caller() -> tuple[str, int]:
    frame = sys._getframe(2)
    return frame.f_code.co_filename, frame.f_lineno


def _say(line: str) -> None:
    try:
        sys.stderr.write(f"{line}\n")
    except (OSError, ValueError, AttributeError):
        pass  # there is no stderr any more; `problem` still says it
