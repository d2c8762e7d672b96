"""What recording costs: N trivial tests, plain, under `bundle run`, and under two peers, in turn.

    python benchmarks/recording.py [--tests 10000] [--rounds 5]

Every round runs each way once, in an order that rotates, so that a noisy minute hits all alike.
Prints the median of each in seconds, its ratio to plain and the microseconds it adds to a test, by
the clock and in processor time, which a busy machine disturbs less.
Needs pytest-reportlog beside pytest; the interpreter that runs this script runs the tests.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def suite(directory: Path, tests: int, files: int = 20) -> None:
    """Write a suite of `tests` tests that do nothing, spread over files."""
    per_file = tests // files
    body = "\n".join(f"def test_{n}():\n    pass\n" for n in range(per_file))
    for number in range(files):
        (directory / f"test_file_{number}.py").write_text(body)
    (directory / "pytest.ini").write_text("[pytest]\n")


def ways(directory: Path, bundle: str) -> dict[str, list[str]]:
    """The commands to compare, by name."""
    pytest = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    out = directory / "out"
    return {
        "plain": [*pytest, "-p", "no:reportlog"],
        "bundle run": [bundle, "run", "--", *pytest, "-p", "no:reportlog"],
        "reportlog": [*pytest, f"--report-log={out}.jsonl"],
        "junitxml": [*pytest, "-p", "no:reportlog", f"--junitxml={out}.xml"],
    }


def measure(command: list[str], directory: Path, env: dict[str, str]) -> tuple[float, float]:
    """Seconds that a command takes by the clock, and of processor time; it must succeed."""
    before = os.times()
    began = time.perf_counter()
    subprocess.run(command, cwd=directory, env=env, check=True, capture_output=True)
    taken = time.perf_counter() - began
    after = os.times()
    processor = after.children_user - before.children_user
    processor += after.children_system - before.children_system
    return taken, processor


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tests", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--bundle", default=shutil.which("bundle", path=Path(sys.executable).parent)
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        (directory / "suite").mkdir()
        suite(directory / "suite", options.tests)
        env = {**os.environ, "BUNDLE_STORE": str(directory / "store")}
        commands = ways(directory, options.bundle)
        times: dict[str, list[tuple[float, float]]] = {way: [] for way in commands}
        for number in range(options.rounds + 1):
            names = list(commands)
            for way in names[number % len(names) :] + names[: number % len(names)]:
                taken = measure(commands[way], directory / "suite", env)
                if number:  # the first round warms the caches
                    times[way].append(taken)
        report(times, options.tests)


def report(times: dict[str, list[tuple[float, float]]], tests: int) -> None:
    """Print medians, ratios to plain, and microseconds a test, by both clocks."""
    print(f"{tests} tests, {len(times['plain'])} rounds, medians")
    for index, clock in enumerate(("wall clock", "processor time")):
        print(clock)
        plain = statistics.median(one[index] for one in times["plain"])
        for way, taken in times.items():
            median = statistics.median(one[index] for one in taken)
            added = (median - plain) / tests * 1e6
            ratio = median / plain
            print(f"  {way:11} {median:7.3f} s  {ratio:5.3f} of plain  {added:+6.1f} us a test")


if __name__ == "__main__":
    main()
