"""The other side of a chain: a pytest suite of the same tests, under the real `bundle`."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import dataclass

from chain_nextest import Outcome
from chain_steps import FILES, Start, Step, Test
from command_line import Ended, Place

from bundler.recording import Recording

PYTEST = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider")
SUITE = """
import pathlib, pytest

def made(outcome):
    def test():
        if outcome == "skip":
            pytest.skip("told to")
        assert outcome == "pass"
    return test

here = pathlib.Path(__file__)
for line in here.with_name("tests.txt").read_text().splitlines():
    file, name, outcome = line.split()
    if here.name == f"test_{file}.py":
        globals()[f"test_{name}"] = made(outcome)
"""
RAN = {"passed": "pass", "failed": "fail"}


@dataclass(frozen=True)
class Suite:
    """The suite, and the runs that `bundle` recorded of it."""

    place: Place

    def run(self, step: Step) -> tuple[Outcome, list[Test]]:
        """Carry a step out; return what it came to, and its tests in the order they had."""
        for file in FILES:
            (self.place.project / f"test_{file}.py").unlink(missing_ok=True)
        for file in step.files:
            self.place.file(f"test_{file}.py", SUITE)
        tests = "".join(f"{file} {name} {how}\n" for (file, name), how in step.tests.items())
        self.place.file("tests.txt", tests)
        ended = self.place.bundle(*words(step))
        recording = self.place.latest()
        return _outcome(recording, ended), [_test(one.test_id) for one in recording.results.tests]


def words(step: Step) -> list[str]:
    """Return the words of a step's `bundle`."""
    narrowed = ["-k", step.filter] if step.filter else []
    narrowed += [f"--maxfail={step.max_fail}"] if step.max_fail else []
    match step.start:
        case Start.RUN:
            return ["run", "--", *PYTEST, *narrowed]
        case Start.RERUN:
            return ["rerun", "--", *narrowed]
        case Start.RERUN_BY:
            return ["run", "-R", "latest", "--", *PYTEST, *narrowed]


def _outcome(recording: Recording, ended: Ended) -> Outcome:
    verdicts = {_test(one.test_id): one.verdict.value for one in recording.results.tests}
    return Outcome(
        ran={test: RAN[how] for test, how in verdicts.items() if how not in ("skipped", "not_run")},
        passing=_set(recording, "passing"),
        outstanding=_set(recording, "outstanding"),
        exit_code=ended.code,
        said_outstanding=_said(ended.stderr),
    )


def _set(recording: Recording, which: str) -> set[Test]:
    """A set of its rerun.json; nothing where the run is no rerun."""
    if "rerun.json" not in recording.files:
        return set()
    groups = json.loads(recording.files["rerun.json"])[which]
    return {_test(group + rest) for group, ids in groups.items() for rest in ids}


def _said(text: str) -> int | None:
    if "nothing is outstanding" in text:
        return 0
    found = re.search(r"bundle: (\d+) still outstanding", text)
    return int(found[1]) if found else None


def _test(test_id: str) -> Test:
    file, _, name = test_id.partition(".py::test_")
    return file.removeprefix("test_"), name
