"""Record what one test does: its events, phases, assertions and files, in a bundle of its own."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

from bundler.probe.writer.event_log import EventLog
from bundler.probe.writer.harness import Harness
from bundler.probe.writer.masking import Masking
from bundler.testing.context import TestContext
from bundler.testing.environment import EnvironmentMetadata
from bundler.testing.ndjson import NdjsonLogger
from bundler.testing.paths import artifact_base_dir, safe_bundle_dir
from bundler.testing.repro_manifest import default_replay_command
from bundler.testing.summary import AssertionRecord, TestSummary

_process = os.getpid
_SKIPS = ("Skipped", "SkipTest")


class ChecksFailed(AssertionError):
    """At the end of a test, some of its checks had failed; `failed` are these."""

    def __init__(self, failed: list[AssertionRecord]) -> None:
        count = "1 check failed" if len(failed) == 1 else f"{len(failed)} checks failed"
        super().__init__("\n".join([count, *map(sentence_of, failed)]))
        self.failed = failed


class TestHarness(Harness):
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
        named = Masking.masker.text(context.test_id)
        where = safe_bundle_dir(base or artifact_base_dir(), named, context.seed)
        command = default_replay_command(context)
        super().__init__(context, str(where), replay_command=command, level=level)
        self.context = context
        self.environment = EnvironmentMetadata.of_this_process(context)
        self._told: TestSummary | None = None

    @property
    def logger(self) -> NdjsonLogger:
        """What logs into the bundle."""
        logger = self._begun()
        assert isinstance(logger, NdjsonLogger)
        return logger

    def trace(self, scenario: str) -> Path:
        """Return where the trace of a scenario is to be written, as `.trace` or whatever it is.

        The file is called `{subsystem}_{scenario}_{seed:016x}.trace`, or safely where that is not.
        """
        return Path(self.trace_path(scenario))

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
        document = self.conclude(passed is not False, failure_class, failure_reason)
        if self._told is None:
            self._told = TestSummary.from_document(document)
        return self._told

    def environment_document(self) -> bytes:
        """Return environment.json in bytes."""
        return self.environment.to_json()

    def make_log(self, path: str) -> EventLog:
        """Return a log that writes to a file."""
        return NdjsonLogger(
            self.context, path=Path(path), level=self._level, started_ns=self._started_ns
        )

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
        failed = [AssertionRecord.from_document(one) for one in self.failed_checks()]
        if error is None and failed and _process() == self._pid:
            raise ChecksFailed(failed)


def sentence_of(record: AssertionRecord) -> str:
    """Return what an assertion said, in one line of text."""
    return f"{record.description}: expected={record.expected}, actual={record.actual}"
