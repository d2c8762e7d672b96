"""Random chains of runs and reruns: what each step changes in the tests, and how it is run.

A test is `(file, name)`. A file that has no test left is not there at all: that is how its pytest
file and its test binary both leave.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import Enum

Test = tuple[str, str]

FILES = ("p", "q", "r")
NAMES = tuple(
    f"{colour}_{animal}" for colour in ("red", "blue") for animal in ("cat", "cow", "dog")
)
FILTERS = ("red", "blue", "cat", "cow", "dog", "zebra")
"""Parts of names, none of them part of a file's; the last one is part of no name."""


class Start(Enum):
    """How a step is started."""

    RUN = "a run of its own, which begins a chain"
    RERUN = "a rerun of the last run, by its own command"
    RERUN_BY = "a rerun of the last run, by a command that is given"


@dataclass(frozen=True)
class Step:
    """One run: the tests as they are then, each with what it will do, and how it is started."""

    tests: dict[Test, str]
    start: Start = Start.RERUN
    filter: str | None = None
    max_fail: int | None = None
    emptied: tuple[str, ...] = ()

    @property
    def files(self) -> list[str]:
        """The files that are there: those with tests, and those that are there without."""
        return sorted({file for file, _ in self.tests}.union(self.emptied))


def chain(number: int, length: int = 8) -> list[Step]:
    """Return a chain; its last step but one passes everything, the last has nothing to run."""
    rng = random.Random(f"chain {number}")
    here = set(rng.sample([(file, name) for file in FILES for name in NAMES], 8))
    steps: list[Step] = []
    for _ in range(length):
        here = _changed(rng, here) if steps else here
        steps.append(_step(rng, here, steps[-1] if steps else None))
    closing = Step(dict.fromkeys(sorted(here), "pass"), _rerun_after(steps[-1]))
    return [*steps, closing, Step(closing.tests)]


def _step(rng: random.Random, here: set[Test], last: Step | None) -> Step:
    max_fail = rng.choice((None, None, None, 1, 2))
    # Where a run may stop early, no test leaves itself out: see docs/rerun.md.
    outcomes = ("pass", "pass", "pass", "fail", "fail", "skip" if max_fail is None else "pass")
    start = Start.RUN
    if last is not None and rng.random() < 0.92:
        start = rng.choice((_rerun_after(last), _rerun_after(last), Start.RERUN_BY))
    return Step(
        tests={test: rng.choice(outcomes) for test in sorted(here)},
        start=start,
        filter=rng.choice(FILTERS) if rng.random() < 0.3 else None,
        max_fail=max_fail,
    )


def _rerun_after(last: Step) -> Start:
    """A command's own filter comes back with it here, so it is given anew where it had one."""
    narrowed = last.filter is not None or last.max_fail is not None
    return Start.RERUN_BY if narrowed and last.start is not Start.RERUN else Start.RERUN


def _changed(rng: random.Random, here: set[Test]) -> set[Test]:
    """Take tests away, add some, rename some, and now and then take a whole file away."""
    everything = [(file, name) for file in FILES for name in NAMES]
    kept = {test for test in sorted(here) if rng.random() < 0.88}
    renamed = {test for test in sorted(kept) if rng.random() < 0.05}
    kept = (kept - renamed) | {(file, rng.choice(NAMES)) for file, _ in sorted(renamed)}
    kept |= {test for test in everything if rng.random() < 0.08}
    if rng.random() < 0.12:
        gone = rng.choice(FILES)
        kept = {test for test in sorted(kept) if test[0] != gone}
    return kept
