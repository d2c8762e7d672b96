"""What listing costs: `bundle list` of 1,000 runs beside nextest's `store list` of 100, in turn.

    python benchmarks/listing.py [--runs 1000] [--peer-runs 100] [--rounds 21]

Both stores are real: one pytest suite is recorded with `bundle run` and copied under fresh run ids
(its own documents, its own sizes), and nextest records a crate of two tests 100 times. Every round
runs each way once, in an order that rotates. Needs cargo and cargo-nextest on the path, and beside
the interpreter that runs this script pytest and `bundle` (or --bundle).
Prints the median of each in milliseconds, by the clock and in processor time, and the ratios.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

SUITE = """\
import pytest

@pytest.mark.parametrize("n", range(200))
def test_n(n):
    assert n % 50
"""
CRATE = {
    "Cargo.toml": '[package]\nname = "peer"\nversion = "0.1.0"\nedition = "2021"\n',
    "src/lib.rs": "#[cfg(test)] mod tests { #[test] fn a() {} #[test] fn b() {} }\n",
    "configuration/nextest/config.toml": (
        "[experimental]\nrecord = true\n[record]\nenabled = true\n"
    ),
}


def our_store(folder: Path, bundle: str, runs: int) -> tuple[list[str], Path, dict[str, str]]:
    """Record a suite once, copy it, and return how the copies are listed."""
    project = folder / "project"
    project.mkdir()
    (project / "pyproject.toml").touch()
    (project / "test_it.py").write_text(SUITE)
    env = {**os.environ, "BUNDLE_STORE": str(folder / "store")}
    env.pop("PYTHONDONTWRITEBYTECODE", None)
    pytest = [sys.executable, "-m", "pytest", "-q"]
    subprocess.run([bundle, "run", "--", *pytest], cwd=project, env=env, capture_output=True)
    [first] = (folder / "store").glob("*/*-*-*")
    for number in range(2, runs + 1):
        copy_of(first, first.parent / f"{number:06}-{uuid.uuid4()}")
    return [bundle, "list"], project, env


def copy_of(run: Path, target: Path) -> None:
    """Copy a run under the id that its new directory names."""
    shutil.copytree(run, target)
    document = json.loads((target / "manifest.json").read_text())
    document["run_id"] = target.name.partition("-")[2]
    (target / "manifest.json").write_text(json.dumps(document, indent=2) + "\n")


def their_store(folder: Path, runs: int) -> tuple[list[str], Path, dict[str, str]]:
    """Let nextest record its crate as often as asked, and return how it lists."""
    crate = folder / "crate"
    for name, text in CRATE.items():
        (crate / name).parent.mkdir(parents=True, exist_ok=True)
        (crate / name).write_text(text)
    env = {
        **os.environ,
        "XDG_CONFIG_HOME": str(crate / "configuration"),
        "NEXTEST_STATE_DIR": str(folder / "state"),
        "CARGO_TERM_COLOR": "never",
    }
    for _ in range(runs):
        words = ["cargo-nextest", "nextest", "run"]
        subprocess.run(words, cwd=crate, env=env, check=True, capture_output=True)
    return ["cargo-nextest", "nextest", "store", "list"], crate, env


def measure(way: tuple[list[str], Path, dict[str, str]]) -> tuple[float, float]:
    """Milliseconds by the clock and of processor time."""
    command, cwd, env = way
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, cwd=cwd, env=env, check=True, capture_output=True)
    taken, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return taken * 1000, processor * 1000


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--peer-runs", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument(
        "--bundle", default=shutil.which("bundle", path=Path(sys.executable).parent)
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        ways = {
            "python -c pass": ([sys.executable, "-c", "pass"], Path(name), dict(os.environ)),
            "nextest": their_store(Path(name), options.peer_runs),
            "bundle": our_store(Path(name), options.bundle, options.runs),
        }
        times: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
        for number in range(options.rounds + 1):
            names = list(ways)
            for way in names[number % len(names) :] + names[: number % len(names)]:
                taken = measure(ways[way])
                if number:  # the first round warms the caches
                    times[way].append(taken)
    print(f"bundle lists {options.runs} runs, nextest {options.peer_runs}; medians")
    for index, clock in enumerate(("wall clock", "processor time")):
        medians = {way: statistics.median(one[index] for one in times[way]) for way in times}
        for way, median in medians.items():
            ratio = median / max(medians["nextest"], 0.001)
            print(f"{clock:15} {way:15} {median:7.1f} ms  {ratio:5.2f} of nextest")


if __name__ == "__main__":
    main()
