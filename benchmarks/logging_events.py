"""What logging one event costs a test, beside encoding the same event with `json.dumps`, in turn.

    python benchmarks/logging_events.py [--events 100000] [--rounds 7]

Every round does each way once, so that a noisy minute hits all alike. Prints the median of each in
microseconds an event, and its ratio to `json.dumps`; ends with 1 where logging costs more than two
and a half times as much, which is 5 us where `json.dumps` takes 2. `TestBundle` is what a test of
pytest is given as `bundle`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bundler.probe.writer.fixture import Identity, TestBundle
from bundler.testing import NdjsonLogger, TestContext, TestHarness

CONTEXT = TestContext(
    test_id="tests/test_scheduler.py::test_cancel_drain",
    seed=0xDEADBEEF,
    subsystem="scheduler",
    invariant="losers_drained",
)
MESSAGE = "task spawn: task=9007199254741005 name=worker"
LIMIT = 2.5


def ways(directory: Path) -> dict[str, Callable[[], object]]:
    """What is measured, by name; `json.dumps` encodes what the logger wrote."""
    path = directory / "events.ndjson"
    logger = NdjsonLogger(CONTEXT, path=path, stream=False)
    harness = TestHarness(CONTEXT, base=directory)
    who = Identity(CONTEXT.test_id, CONTEXT.seed, subsystem="scheduler", invariant="losers_drained")
    bundle = TestBundle(who, str(directory / "fixture"), replay_command="pytest")

    def log() -> None:
        logger.log("TaskSpawn", MESSAGE, category="task", name="worker", task_id=9007199254741005)

    def log_in_harness() -> None:
        harness.log("TaskSpawn", MESSAGE, category="task", name="worker", task_id=9007199254741005)

    def log_in_fixture() -> None:
        bundle.log("TaskSpawn", MESSAGE, category="task", name="worker", task_id=9007199254741005)

    log()
    document = json.loads(path.read_bytes())
    return {
        "json.dumps": lambda: json.dumps(document),
        "NdjsonLogger.log": log,
        "TestHarness.log": log_in_harness,
        "TestBundle.log": log_in_fixture,
    }


def measure(way: Callable[[], object], events: int) -> float:
    """Microseconds of processor time an event, which a busy machine disturbs less."""
    began = time.process_time()
    for _ in range(events):
        way()
    return (time.process_time() - began) / events * 1e6


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        measured = ways(Path(name))
        times: dict[str, list[float]] = {way: [] for way in measured}
        for _ in range(options.rounds):
            for way, call in measured.items():
                times[way].append(measure(call, options.events))
    medians = {way: statistics.median(taken) for way, taken in times.items()}
    for way, median in medians.items():
        print(f"{way:18} {median:6.2f} us  {median / medians['json.dumps']:5.2f} of json.dumps")
    return int(max(medians.values()) > LIMIT * medians["json.dumps"])


if __name__ == "__main__":
    sys.exit(main())
