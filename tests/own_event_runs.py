"""Runs in which tests say something of themselves, recorded as they are: live, then sealed."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from asupersync_samples import traces
from builders import SEED, SESSION, a_manifest

from bundler import bundle, live_bundle
from bundler.live_bundle import LiveBundle
from bundler.manifest import RunStatus
from bundler.testing import TestContext, TestHarness

X = "tests/test_a.py::test_x[1]"
DRAIN = "drain"
WHOLE = "traces/scheduler_all_kinds_00000000deadbeef.trace"
CUT = "traces/damaged/cut_in_event.trace"


class Run:
    """A run that is being recorded; `end` it, or leave it as a killed recorder does."""

    def __init__(self, directory: Path, collected: Sequence[str] = ()) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        manifest = a_manifest(status=RunStatus("running"))
        self.live: LiveBundle = live_bundle.begin(
            directory, manifest, started_ns=time.monotonic_ns() - 2_000_000_000
        )
        self.say("SessionStarted", runner="pytest")
        if collected:
            self.say("TestsCollected", selected=list(collected))

    def say(self, event: str, test_id: str | None = None, **data: Any) -> None:
        """An event of the run's log."""
        data = {"session": SESSION, **({"attempt": 1} if test_id else {}), **data}
        category = data.pop("category", "test" if test_id else "run")
        self.live.append(
            event, category=category, message="", test_id=test_id, seed=SEED, data=data
        )

    @contextmanager
    def test(
        self, test_id: str, *, outcome: str = "passed", prints: str = "", **key: Any
    ) -> Iterator[TestHarness]:
        """A test with a bundle of its own; what it prints is handed over when it is over."""
        self.say("TestStarted", test_id, order=0, **key)
        context = TestContext(test_id=test_id, seed=SEED, subsystem="sched")
        harness = TestHarness(context, base=self.directory / "tests")
        yield harness
        harness.finish(passed=outcome == "passed")
        if prints:
            self.printed(test_id, prints, **key)
        failures = [{"phase": "call", "message": "no leak"}] if outcome != "passed" else []
        self.say("TestFinished", test_id, outcome=outcome, failures=failures, call_us=1, **key)

    def printed(self, test_id: str, text: str, phase: str = "call", **key: Any) -> None:
        """What a test printed, as pytest hands it over."""
        self.say("TestOutput", test_id, stream="stdout", phase=phase, text=text, **key)

    def end(self, state: str = "passed") -> Path:
        """Seal it."""
        results = bundle.read_directory(self.directory).results
        self.live.finish(RunStatus(state, exit_code=0), "2026-01-02T03:04:06Z", results)
        return self.directory


def a_run(directory: Path) -> Path:
    """Two tests: one leaks, and each logs phases, checks, events and traces."""
    run = Run(directory, [X, DRAIN])
    for test_id, drained in ((X, False), (DRAIN, True)):
        outcome = "passed" if drained else "failed"
        with run.test(test_id, outcome=outcome, prints="hello\nworld\n") as harness:
            run.printed(test_id, "out of setup\n", "setup")
            with harness.phase("setup"):
                harness.log("TaskSpawn", "worker started", category="task", task_id=3)
            with harness.phase("exercise"):
                with harness.phase("cancel"):
                    harness.check("no leak", True, drained)
                    harness.log("IoRead", "read", level="DEBUG", category="io", n=5)
                harness.check("drained", 4, 4)
            harness.check("outside", 1, 1)
            harness.attach(b"...", "Frame 1.png")
            harness.trace("whole").write_bytes(traces()[WHOLE])
            harness.trace("cut").write_bytes(traces()[CUT])
    return run.end("failed")
