"""What seeds cost a test, in microseconds: observed, and imposed.

    python benchmarks/seeding.py [--rounds 41] [--tests 500]

Everything is called as the probe calls it for one test, in turn, in an order that rotates, so that
a noisy minute hits all alike. Prints the median of the rounds. With numpy beside it, each way is
measured once more after numpy was imported; the bounds are 12 and 30 for observing, 25 and 60 for
imposing.
"""

from __future__ import annotations

import argparse
import importlib
import random
import statistics
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from bundler import probe

probe.load()
generators: Any = importlib.import_module("bundle_probe.generators")
seeding: Any = importlib.import_module("bundle_probe.seeding")
text: Any = importlib.import_module("bundle_probe.text")

Way = Callable[[str], object]


def ways() -> dict[str, Way]:
    """What is compared: each is given the id of a test."""
    by_memory = generators.Generators()
    by_asking = generators.Generators(memory_of=lambda generator: None)
    return {
        "random.getstate": lambda _name: random.getstate(),
        "observed": lambda _name: by_memory.take(),
        "observed, asking": lambda _name: by_asking.take(),
        "imposed": imposed(by_memory),
        "imposed, asking": imposed(by_asking),
    }


def imposed(how: Any) -> Way:
    """All that is done for one test where a seed is imposed."""
    recorder = SimpleNamespace(log=None, generators=how, seeds=text.Seeds(0xDEADBEEF))
    manager = SimpleNamespace(hasplugin=lambda _name: False)
    plugin = seeding.Imposing(recorder, SimpleNamespace(pluginmanager=manager))

    def one(name: str) -> None:
        item = SimpleNamespace(nodeid=name)
        protocol = plugin.pytest_runtest_protocol(item)
        next(protocol)
        plugin.pytest_runtest_setup(item)
        plugin.pytest_runtest_call(item)
        plugin.pytest_runtest_teardown(item)
        next(protocol, None)

    return one


def measured(way: Way, tests: int) -> float:
    """Microseconds a test."""
    names = [f"tests/test_file.py::test_{number}" for number in range(tests)]
    began = time.perf_counter()
    for name in names:
        way(name)
    return (time.perf_counter() - began) / tests * 1e6


def report(title: str, rounds: int, tests: int) -> None:
    """Measure every way in turn, and print the medians."""
    compared = ways()
    times: dict[str, list[float]] = {name: [] for name in compared}
    for number in range(rounds):
        names = list(compared)
        for name in names[number % len(names) :] + names[: number % len(names)]:
            times[name].append(measured(compared[name], tests))
    print(title)
    for name, taken in times.items():
        print(f"  {name:18} {statistics.median(taken):6.1f} us a test, at best {min(taken):6.1f}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=41)
    parser.add_argument("--tests", type=int, default=500)
    options = parser.parse_args()
    report("without numpy", options.rounds, options.tests)
    try:
        importlib.import_module("numpy.random")
    except ImportError:
        print("numpy is not here")
        return
    report("with numpy", options.rounds, options.tests)


if __name__ == "__main__":
    main()
