"""What masking secrets costs: the same suites under `bundle run`, masked and not, in turn.

    python benchmarks/masking.py [--tests 10000] [--megabytes 100] [--rounds 5]

Two suites: many tests that do nothing, and a few that print a hundred megabytes of a log, line by
line. Each is recorded without masking, with 30 secrets in the environment (typical), 300 and 1,000.
Prints the median of each in seconds, and the median of its ratios to what took no masking in the
same round, by the clock and in processor time, which a busy machine disturbs less.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import string
import sys
import tempfile
from pathlib import Path

from recording import measure, suite

SECRETS = (0, 30, 300, 1000)
LENGTHS = (40, 20, 32, 24, 36, 64, 40, 93, 48, 12)
HEX = "0123456789abcdef"
LOUD = '''
import random

import pytest

WORDS = """
INFO DEBUG worker connection established request finished in ms status user id path for
/api/v1/items test_module.function returned None error retry attempt queue size handler the and
""".split()


@pytest.mark.parametrize("number", range({tests}))
def test_prints(number):
    chance = random.Random(number)
    some = [" ".join(chance.choices(WORDS, k=10)) for _ in range(100)]
    for line in range({lines}):
        time = f"06:{{line % 60:02}}:00,{{line % 1000:03}}"
        print(f"2026-11-22 {{time}} {{some[line % 100]}} {{line:#x}}")
'''


def environment(secrets: int, store: Path) -> dict[str, str]:
    """An environment with so many secrets of ordinary lengths, one in ten of them short."""
    chance = random.Random(secrets)
    letters = string.ascii_letters + string.digits
    values = {
        f"SERVICE_{number}_TOKEN": "".join(
            chance.choices(HEX if number % 3 == 2 else letters, k=LENGTHS[number % len(LENGTHS)])
        )
        for number in range(secrets)
    }
    return {**os.environ, **values, "BUNDLE_STORE": str(store)}


def loud_suite(directory: Path, megabytes: int, tests: int = 20) -> None:
    """Write a suite that prints so many megabytes, in a few tests."""
    lines = megabytes * 1_000_000 // tests // 96
    (directory / "test_loud.py").write_text(LOUD.format(tests=tests, lines=lines))
    (directory / "pytest.ini").write_text("[pytest]\n")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tests", type=int, default=10_000)
    parser.add_argument("--megabytes", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        for what in ("quiet", "loud"):
            (directory / what).mkdir()
        suite(directory / "quiet", options.tests)
        loud_suite(directory / "loud", options.megabytes)
        print(f"{options.tests} tests that do nothing")
        compare(directory / "quiet", options.rounds)
        print(f"{options.megabytes} MB of output")
        compare(directory / "loud", options.rounds)


def compare(directory: Path, rounds: int) -> None:
    """Record a suite in every way, in an order that rotates, and print what each took."""
    pytest = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    times: dict[int, list[tuple[float, float]]] = {secrets: [] for secrets in SECRETS}
    for number in range(rounds + 1):
        turn = number % len(SECRETS)
        for secrets in SECRETS[turn:] + SECRETS[:turn]:
            with tempfile.TemporaryDirectory() as store:
                unmasked = [] if secrets else ["--no-redact"]
                command = [sys.executable, "-m", "bundler", "run", *unmasked, "--", *pytest]
                taken = measure(command, directory, environment(secrets, Path(store)))
            if number:  # the first round warms the caches
                times[secrets].append(taken)
    for index, clock in enumerate(("wall clock", "processor time")):
        plain = [one[index] for one in times[0]]
        for secrets, taken_all in times.items():
            masked = [one[index] for one in taken_all]
            ratio = statistics.median(one / other for one, other in zip(masked, plain, strict=True))
            way = f"{secrets} secrets" if secrets else "not masked"
            print(f"  {clock:14}  {way:12} {statistics.median(masked):7.3f} s  {ratio:5.3f}")


if __name__ == "__main__":
    main()
