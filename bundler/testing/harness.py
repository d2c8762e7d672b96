"""Record what one test does: its events, phases, assertions and files, in a bundle of its own."""

from __future__ import annotations

import io
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Self

from bundler.testing import phases
from bundler.testing.artifacts import (
    ENVIRONMENT,
    EVENTS,
    FAILED_ASSERTIONS,
    MANIFEST,
    SUMMARY,
    failed_assertions_document,
)
from bundler.testing.bundle_directory import BundleDirectory, locked
from bundler.testing.context import TestContext
from bundler.testing.environment import EnvironmentMetadata
from bundler.testing.event_line import shown
from bundler.testing.media_types import media_type_of
from bundler.testing.ndjson import NdjsonLogger
from bundler.testing.paths import trace_file_name
from bundler.testing.repro_manifest import ReproManifest, snapshot_of_environment
from bundler.testing.summary import AssertionRecord, EventStats, TestSummary

if TYPE_CHECKING:
    from bundler.testing.bridges import BundleHandler

_now_ns, _process = time.monotonic_ns, os.getpid
_SKIPS = ("Skipped", "SkipTest")
_NO_ARTIFACTS = (MANIFEST, SUMMARY, ENVIRONMENT)


class ChecksFailed(AssertionError):
    """At the end of a test, some of its checks had failed; `failed` are these."""

    def __init__(self, failed: list[AssertionRecord]) -> None:
        super().__init__("\n".join([f"{len(failed)} checks failed", *map(sentence_of, failed)]))
        self.failed = failed


class TestHarness:
    """Record one test.

    What it logs is on disk at once, so that a test that is killed leaves what it had logged.
    `finish`, or the end of the `with` block, writes the rest: what the test was (manifest.json),
    what it did (summary.json), which assertions failed. A test that passes and recorded nothing
    leaves nothing.

        with TestHarness(TestContext(test_id="cancel_drain", seed=0xDEADBEEF)) as bundle:
            with bundle.phase("setup"):
                bundle.log("TaskSpawn", "worker started", category="task", task_id=3)
            with bundle.phase("exercise"):
                bundle.check("losers drained", 4, drained)
            bundle.attach(screenshot, "screen.png")

    writes `{base}/cancel_drain/00000000deadbeef/`; `base` is `artifact_base_dir()` unless given.
    A failed `check` fails the test at the end of the block (`ChecksFailed`), so that those after it
    are made too. Recording itself breaks no test: what could not be written is said on stderr at
    the end, and stands in `problem`.
    """

    __test__: ClassVar[bool] = False  # pytest: not a class of tests

    def __init__(
        self, context: TestContext, *, base: Path | None = None, level: str = "TRACE"
    ) -> None:
        self.context = context
        self.environment = EnvironmentMetadata.of_this_process(context)
        self._started_ns = _now_ns()
        self._pid = _process()
        self._level = level
        self._directory = BundleDirectory(context, base)
        self._logger: NdjsonLogger | None = None
        self._root = phases.OpenPhase("", self._started_ns)
        self._assertions: list[AssertionRecord] = []
        self._traces: dict[tuple[str, str], Path] = {}
        self._summary: TestSummary | None = None

    @property
    def directory(self) -> Path:
        """The directory of the test's bundle, which is made now if it was not."""
        self._begun()
        return self._directory.path

    @property
    def logger(self) -> NdjsonLogger:
        """What logs into the bundle."""
        return self._begun()

    @property
    def problem(self) -> str:
        """Why something could not be recorded, or the empty text."""
        return self._directory.problem or (self._logger.problem if self._logger else "")

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
        """Log one event; see `NdjsonLogger.log`."""
        logger = self._logger or self._begun()
        logger.log(event, message, level=level, category=category, data=data, **fields)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Be in a phase of the test, which may lie in another; threads and tasks have their own."""
        before = phases.here()
        phase = phases.current(self._root).open(name, _now_ns())
        where = {"name": name, "path": phase.path, "depth": phase.depth}
        self.log("PhaseStarted", phase.path, category="phase", data=where)
        phases.enter(phase)
        try:
            yield
        finally:
            phases.enter(before)
            phase.end_ns = _now_ns()
            where["duration_us"] = (phase.end_ns - phase.start_ns) // 1000
            self.log("PhaseFinished", phase.path, category="phase", data=where)

    def check(
        self, description: str, expected: object, actual: object, *, passed: bool | None = None
    ) -> bool:
        """Record an assertion, and return whether it holds: `expected == actual`, or `passed`.

        It does not raise: all of a test's checks are made, and a failed one fails it at its end.
        """
        phase = phases.current(self._root)
        record = AssertionRecord(
            description=description,
            passed=bool(expected == actual) if passed is None else passed,
            expected=shown(expected),
            actual=shown(actual),
            phase_path=phase.path,
            elapsed_ms=(_now_ns() - self._started_ns) / 1e6,
        )
        phase.assertions.append(record)
        self._assertions.append(record)
        level = "DEBUG" if record.passed else "ERROR"
        data = record.to_document()
        message = description if record.passed else sentence_of(record)
        self.log("AssertionRecorded", message, level=level, category="assertion", data=data)
        return record.passed

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
        name = name or ("attachment" if isinstance(source, bytes) else Path(source).name)
        with io.BytesIO(source) if isinstance(source, bytes) else Path(source).open("rb") as file:
            target = self._place_for(name)
            size = self._directory.copy(file, target)
        self._log_attachment(name, target, media_type or media_type_of(name), {"size": size})
        return target

    def trace(self, scenario: str) -> Path:
        """Return where the trace of a scenario is to be written, as `.trace` or whatever it is.

        The file is called `{subsystem}_{scenario}_{seed:016x}.trace`, or safely where that is not.
        """
        subsystem = self.context.subsystem or "test"
        if (subsystem, scenario) not in self._traces:
            name = trace_file_name(subsystem, scenario, self.context.seed)
            target = self._traces[subsystem, scenario] = self._place_for(name)
            self._log_attachment(name, target, media_type_of(name), {})
        return self._traces[subsystem, scenario]

    def logging_handler(self, level: int = 0) -> BundleHandler:
        """Return a `logging.Handler` that logs into the bundle."""
        from bundler.testing.bridges import BundleHandler

        return BundleHandler(self._begun(), level)

    def structlog_processor(
        self,
    ) -> Callable[[Any, str, MutableMapping[str, Any]], MutableMapping[str, Any]]:
        """Return a structlog processor that logs into the bundle."""
        from bundler.testing.bridges import structlog_processor

        return structlog_processor(self._begun())

    def finish(
        self,
        *,
        passed: bool | None = None,
        failure_class: str | None = None,
        failure_reason: str | None = None,
    ) -> TestSummary:
        """Write the bundle of a test that is over, and return its summary; once is enough.

        It failed if a check failed, or `passed` is False. In a forked child nothing is written.
        """
        if self._summary is None:
            summary = self._summary = self._summarised(passed is not False)
            if _process() == self._pid and (self._logger or not summary.passed):
                self._begun().close()
                self._write(summary, failure_class, failure_reason)
                if self.problem:
                    _say(f"bundle: the recording of {self.context.test_id!r}: {self.problem}")
        return self._summary

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is None or type(error).__name__ in _SKIPS:
            self.finish()
        else:
            text = f"{type(error).__name__}: {error}"
            broken = "assertion_failure" if isinstance(error, AssertionError) else "error"
            self.finish(passed=False, failure_class=broken, failure_reason=text)
        failed = [one for one in self._assertions if not one.passed]
        if error is None and failed and _process() == self._pid:
            raise ChecksFailed(failed)

    def _begun(self) -> NdjsonLogger:
        """What logs into the bundle, which is begun now if it was not."""
        with locked():
            if self._logger is None:
                self._directory.make()
                self._directory.write(ENVIRONMENT, self.environment.to_json())
                self._logger = NdjsonLogger(
                    self.context,
                    path=self._directory.path / EVENTS,
                    level=self._level,
                    started_ns=self._started_ns,
                )
            return self._logger

    def _place_for(self, name: str) -> Path:
        self._begun()
        return self._directory.place_for(name)

    def _log_attachment(
        self, name: str, target: Path, media_type: str, more: Mapping[str, int]
    ) -> None:
        data = {"name": name, "path": target.name, "media_type": media_type, **more}
        self.log("Attachment", name, category="artifact", data=data)

    def _summarised(self, passed: bool) -> TestSummary:
        now_ns = _now_ns()
        failed = sum(not one.passed for one in self._assertions)
        root = self._root.closed(self._started_ns, now_ns)
        return TestSummary(
            test_name=self.context.test_id,
            passed=passed and not failed,
            total_assertions=len(self._assertions),
            passed_assertions=len(self._assertions) - failed,
            failed_assertions=failed,
            duration_ms=(now_ns - self._started_ns) / 1e6,
            phases=root.children,
            event_stats=self._logger.stats() if self._logger else EventStats(),
            context=self.context,
        )

    def _write(
        self, summary: TestSummary, failure_class: str | None, failure_reason: str | None
    ) -> None:
        """Write the documents, the manifest last."""
        directory = self._directory
        failed = [one for one in self._assertions if not one.passed]
        if failed:
            directory.write(FAILED_ASSERTIONS, failed_assertions_document(failed))
        directory.write(ENVIRONMENT, self.environment.to_json())
        if not summary.passed:
            names = [name for name in directory.files() if name not in _NO_ARTIFACTS]
            summary = self._summary = replace(summary, failure_artifacts=tuple(names))
        directory.write(SUMMARY, summary.to_json())
        if failed and failure_reason is None:
            failure_reason = sentence_of(failed[0])
        directory.write(MANIFEST, self._manifest(summary, failure_class, failure_reason).to_json())

    def _manifest(
        self, summary: TestSummary, failure_class: str | None, failure_reason: str | None
    ) -> ReproManifest:
        files = self._directory.files()
        traces = [path.name for path in self._traces.values() if path.name in files]
        return ReproManifest.from_context(
            self.context,
            passed=summary.passed,
            failure_class=None if summary.passed else failure_class,
            failure_reason=None if summary.passed else failure_reason,
            artifact_paths=[name for name in files if name != MANIFEST],
            trace_file=traces[0] if traces else None,
            phases_executed=tuple(phase.name for phase in summary.walk()),
            env_snapshot=snapshot_of_environment(),
            run_id=os.environ.get("BUNDLE_RUN_ID") or None,
        )


def sentence_of(record: AssertionRecord) -> str:
    """Return what an assertion said, in one line of text."""
    return f"{record.description}: expected={record.expected}, actual={record.actual}"


def _say(line: str) -> None:
    try:
        sys.stderr.write(f"{line}\n")
    except (OSError, ValueError, AttributeError):
        pass  # there is no stderr any more; `problem` still says it
