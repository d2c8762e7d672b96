"""Does recording change a suite, and does a seed decide it? Run against run, of any project.

    python tests/determinism.py --python VENV/bin/python PROJECT [-- PYTEST ARGUMENTS]

runs the suite of PROJECT seven times and prints what differs; exits 1 if anything does:

- twice without bundler, and once recorded: the exit code, every outcome and what each test printed
  are the same (a test in which the two plain runs differ is left out, and named);
- twice with one seed imposed: the two logs differ in nothing but times, ids of threads and of
  sessions;
- once more with that seed, the tests in reverse order: every test has the outcome that it had (one
  that has another in reverse without bundler is left out, and named).

The environment needs pytest-reportlog.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fidelity import Told, told_by_pytest
from probe_driver import BUNDLE

from bundler.bundle import read
from bundler.recording import Recording
from bundler.seeds import hash_seed

SEED = 0xDEADBEEF
TIMES = frozenset({"setup_us", "call_us", "teardown_us", "duration_us", "started_at"})
NAMES = frozenset({"session", "run_id"})
"""What else differs between two runs: made up at random by each."""

REVERSE = """
import pytest

@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items):
    items.reverse()
"""
# What differs between two runs of one program wherever it is printed.
VOLATILE = [
    (re.compile(r"\b\d+\.\d+ ?s(econds)?\b( \(\d+:\d\d:\d\d\))?"), "TIME"),
    (re.compile(r"\b0x[0-9a-f]{6,}\b"), "ADDRESS"),
    (re.compile(r"={3,}"), "==="),
]


@dataclass(frozen=True)
class Suite:
    """A suite, and where it is run: `scratch` is for the results."""

    project: Path
    python: str
    arguments: tuple[str, ...]
    scratch: Path

    def pytest(self, *more: str) -> list[str]:
        """The command; temporary directories have the same names each time."""
        base = f"--basetemp={self.scratch / 'temporary'}"
        return [self.python, "-m", "pytest", "-p", "no:cacheprovider", base, *self.arguments, *more]

    def plain(self, name: str, *more: str) -> tuple[int, dict[str, Told]]:
        """Run it without bundler."""
        log = self.scratch / f"{name}.jsonl"
        ended = self._run(self.pytest(f"--report-log={log}", *more))
        return ended, told_by_pytest(log)

    def recorded(self, name: str, *words: str, more: tuple[str, ...] = ()) -> tuple[int, Path]:
        """Record it, and return its exit code and its bundle."""
        packed = self.scratch / f"{name}.zip"
        ended = self._run([*BUNDLE, "run", *words, "--", *self.pytest(*more)])
        self._run([*BUNDLE, "pack", "-o", str(packed)])
        return ended, packed

    def _run(self, command: list[str]) -> int:
        env = {
            **os.environ,
            "BUNDLE_STORE": str(self.scratch / "store"),
            "BUNDLE_CONFIG": os.devnull,
            "PYTHONPATH": os.pathsep.join([str(self.scratch), str(self.project)]),
            "PYTHONHASHSEED": str(hash_seed(SEED)),
            "COLUMNS": "100",
        }
        return subprocess.run(command, cwd=self.project, env=env, capture_output=True).returncode


@dataclass(frozen=True)
class Compared:
    """How many tests were compared, the differences, and what differs without bundler too.

    `unsteady` differ from run to run, `dependent` in reverse order.
    """

    tests: int
    unsteady: list[str]
    dependent: list[str]
    differences: list[str]


def check(suite: Suite) -> Compared:
    """Run the suite seven times, and compare."""
    (code, first), (again, second) = suite.plain("first"), suite.plain("second")
    unsteady = sorted(one for one in first.keys() | second.keys() if not alike(first, second, one))
    log = suite.scratch / "recorded.jsonl"
    recorded, _ = suite.recorded("recorded", more=(f"--report-log={log}",))
    differences = list(observed(first, told_by_pytest(log), unsteady))
    if len({code, again, recorded}) > 1:
        differences.append(f"exit codes without: {code}, {again}; recorded: {recorded}")
    seed = ("--seed", str(SEED))
    one, other = (read(suite.recorded(name, *seed)[1]) for name in ("one", "other"))
    differences += same_log(one, other)
    (suite.scratch / "reverse_tests.py").write_text(REVERSE)
    in_reverse = ("-p", "reverse_tests")
    _, plain = suite.plain("in-reverse", *in_reverse)
    dependent = [name for name in first.keys() & plain.keys() if turned(first, plain, name)]
    reverse = read(suite.recorded("reverse", *seed, more=in_reverse)[1])
    differences += same_outcomes(one, reverse, {*unsteady, *dependent})
    return Compared(len(one.results.tests), unsteady, sorted(dependent), differences)


def turned(a: Mapping[str, Told], b: Mapping[str, Told], test_id: str) -> bool:
    """Whether a test has another verdict in another run."""
    return a[test_id].verdict != b[test_id].verdict


def alike(a: Mapping[str, Told], b: Mapping[str, Told], test_id: str) -> bool:
    """Whether two runs say the same of a test: its verdict, and what it printed."""
    if test_id not in a or test_id not in b:
        return False
    (mine, theirs) = ((one[test_id].verdict, steady(str(one[test_id].output))) for one in (a, b))
    return mine == theirs


def observed(
    without: Mapping[str, Told], recorded: Mapping[str, Told], unsteady: list[str]
) -> Iterator[str]:
    """Differences that recording makes."""
    for test_id in sorted((without.keys() | recorded.keys()) - set(unsteady)):
        if not alike(without, recorded, test_id):
            yield f"recorded, {test_id} is not what it is without"


def same_log(one: Recording, other: Recording) -> Iterator[str]:
    """Differences of two logs but for times and made-up names."""
    mine, theirs = list(settled(one)), list(settled(other))
    for number, (a, b) in enumerate(zip(mine, theirs, strict=False)):
        if a != b:
            yield f"event {number}: {a}\n     and {b}"
    if len(mine) != len(theirs):
        yield f"{len(mine)} events and {len(theirs)}"


def same_outcomes(one: Recording, other: Recording, but: Container[str] = ()) -> Iterator[str]:
    """Differences of the outcomes of two runs, but for some tests."""
    mine, theirs = ({t.test_id: t.verdict for t in r.results.tests} for r in (one, other))
    for test_id in sorted(mine.keys() | theirs.keys()):
        if test_id not in but and mine.get(test_id) != theirs.get(test_id):
            yield f"in reverse, {test_id}: {mine.get(test_id)}, {theirs.get(test_id)}"


def settled(recording: Recording) -> Iterator[str]:
    """Every event without times, threads and made-up names; then what the run printed, as one.

    Between which events a piece of that arrived is a matter of time.
    """
    printed = []
    for line in recording.log.lines():
        event = _settled(json.loads(line.content))
        if event["event"] == "RunOutput":
            printed.append(str(event["data"].get("text")))
        else:
            yield steady(json.dumps(event))
    yield steady("".join(printed))


def steady(text: str) -> str:
    """A text without what differs wherever it is printed."""
    for pattern, put in VOLATILE:
        text = pattern.sub(put, text)
    return text


def _settled(event: dict[str, Any]) -> dict[str, Any]:
    left_out = {"ts_us", "thread_id"}
    data = {k: v for k, v in event["data"].items() if k not in TIMES | NAMES}
    if event["event"] == "RunFinished":
        data.pop("events")  # in how many pieces its output came
    return {**{k: v for k, v in event.items() if k not in left_out}, "data": data}


def main() -> int:
    """Compare one project's suite from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--python", default=sys.executable, help="the environment of the suite")
    parser.add_argument("project", type=Path)
    parser.add_argument("arguments", nargs="*", help="pytest's arguments")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        arguments = tuple(options.arguments)
        compared = check(Suite(options.project, options.python, arguments, Path(scratch)))
    for difference in compared.differences[:50]:
        print(difference)
    for one in compared.unsteady:
        print(f"differs without bundler, too: {one}")
    for one in compared.dependent:
        print(f"in reverse, differs without bundler, too: {one}")
    print(f"tests: {compared.tests}, differences: {len(compared.differences)}")
    return 1 if compared.differences else 0


if __name__ == "__main__":
    sys.exit(main())
