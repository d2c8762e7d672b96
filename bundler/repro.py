"""From a red run to a verdict: which executions to try, and what they prove. Nothing runs here.

A seed alone does not reproduce a failure, so a failed test climbs a ladder. Each rung is tried only
where no rung below it showed the same failure again:

| rung | what is executed |
|---|---|
| `alone` | the test |
| `file` | what its worker had run of its file before it, then the test |
| `worker` | everything that its worker had run before it, in that order, then the test |
| `full` | the whole run, with as many workers |

A rung that shows it is executed again, until it was seen `repeat` times or came out otherwise. One
with tests before the failing one is then bisected: delta debugging (Zeller and Hildebrandt,
"Simplifying and Isolating Failure-Inducing Input", 2002) finds a smallest set of them without any
one of which the failure stays away; each set counts only if the failure came back twice.

| seen | verdict |
|---|---|
| the same failure every time, on a rung without tests before it, or on `full` | `reproduced` |
| the same failure every time after other tests, and never alone | `order_dependent` |
| the same failure sometimes, on one and the same rung | `flaky` |
| only ever other failures | `fails_differently` |
| it ran and never failed | `not_reproduced` |
| no rung could be executed: it is gone, is not collected, no time was left | `could_not_run` |

`ladder` is a generator: it yields the next trial, and is sent what was seen. Whoever carries it out
throws `BudgetSpent` into it where the time is over; it then concludes from what it has.

A file that could not be collected has one rung, `collection`.
"""

from __future__ import annotations

import shlex
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

REPEAT = 3
CONFIRM = 2


class Rung(StrEnum):
    """What is executed."""

    COLLECTION = "collection"
    ALONE = "alone"
    FILE = "file"
    WORKER = "worker"
    FULL = "full"


class Seen(StrEnum):
    """What one execution showed of the failure."""

    SAME = "same"
    DIFFERENT = "different"
    PASSED = "passed"
    NOTHING = "nothing"  # it could not be executed; the reason is said
    GONE = "gone"  # it could, and the test is not there


class ReproVerdict(StrEnum):
    """What all executions together prove."""

    REPRODUCED = "reproduced"
    FAILS_DIFFERENTLY = "fails_differently"
    ORDER_DEPENDENT = "order_dependent"
    FLAKY = "flaky"
    NOT_REPRODUCED = "not_reproduced"
    COULD_NOT_RUN = "could_not_run"


SEEN_AGAIN = frozenset(
    {
        ReproVerdict.REPRODUCED,
        ReproVerdict.FAILS_DIFFERENTLY,
        ReproVerdict.ORDER_DEPENDENT,
        ReproVerdict.FLAKY,
    }
)


class BudgetSpent(Exception):
    """Thrown into the ladder where there is no time for another execution."""


@dataclass(frozen=True, slots=True)
class Target:
    """A failure to be seen again: its test, what ran before it, and everything that was to run.

    `collection` is True where it is a file or node that could not be collected.
    """

    test_id: str
    file_before: tuple[str, ...] = ()
    worker_before: tuple[str, ...] = ()
    full: tuple[str, ...] = ()
    collection: bool = False


@dataclass(frozen=True, slots=True)
class Trial:
    """One execution: the tests before the target, in order. `left` is about how many follow."""

    rung: Rung
    before: tuple[str, ...] = ()
    left: int = 0
    bisecting: bool = False


@dataclass(frozen=True, slots=True)
class Sight:
    """What a trial showed; `why` is the failure in a line, or why nothing was seen.

    `where` is the recording of the execution.
    """

    seen: Seen
    why: str = ""
    where: str | None = None
    duration_us: int = 0


@dataclass(frozen=True, slots=True)
class Conclusion:
    """The verdict on one failure, and everything that was tried for it."""

    target: Target
    verdict: ReproVerdict
    rung: Rung | None
    polluters: tuple[str, ...] = ()
    tried: tuple[tuple[Trial, Sight], ...] = ()
    budget_spent: bool = False
    minimal: bool = True

    @property
    def ran(self) -> list[tuple[Trial, Sight]]:
        """The trials in which the test was executed."""
        return [one for one in self.tried if one[1].seen not in (Seen.NOTHING, Seen.GONE)]

    @property
    def same_of(self) -> tuple[int, int]:
        """How often the same failure was seen, of how many executions of the verdict's rung."""
        on_rung = [s for t, s in self.ran if t.rung is self.rung and not t.bisecting]
        return sum(sight.seen is Seen.SAME for sight in on_rung), len(on_rung)

    def last(self, *seen: Seen) -> Sight | None:
        """Return the last sight of one of these kinds."""
        return next((s for _, s in reversed(self.tried) if s.seen in seen), None)


Climb = Generator[Trial, Sight, Conclusion]


def ladder(target: Target, repeat: int = REPEAT) -> Climb:
    """Yield one trial after the other, be sent what each showed, and return the conclusion."""
    climb = _Climb(target, repeat)
    try:
        yield from climb.up()
    except BudgetSpent:
        climb.budget_spent = True
    return climb.conclusion()


def rungs_of(target: Target) -> list[tuple[Rung, tuple[str, ...]]]:
    """Return the rungs that a target has; one that would repeat the one below it is left out."""
    if target.collection:
        return [(Rung.COLLECTION, ())]
    rungs: list[tuple[Rung, tuple[str, ...]]] = [(Rung.ALONE, ())]
    if target.file_before:
        rungs.append((Rung.FILE, target.file_before))
    if target.worker_before != target.file_before:
        rungs.append((Rung.WORKER, target.worker_before))
    if set(target.full) - {*target.worker_before, target.test_id}:
        rungs.append((Rung.FULL, target.full))
    return rungs


def ddmin(items: Sequence[str]) -> Generator[tuple[str, ...], bool, tuple[str, ...]]:
    """Yield sets to try, be sent whether each still shows it, and return a smallest that does.

    The whole is known to show it, and the empty set not to. The order is kept.
    """
    current, parts = tuple(items), 2
    while len(current) > 1:
        chunks = _split(current, parts)
        smaller = yield from _first_that_shows(chunks)
        if smaller is not None:
            current, parts = smaller, 2
            continue
        without = [_minus(current, chunk) for chunk in chunks] if parts > 2 else []
        smaller = yield from _first_that_shows(without)
        if smaller is not None:
            current, parts = smaller, max(parts - 1, 2)
        elif parts >= len(current):
            break
        else:
            parts = min(len(current), parts * 2)
    return current


def plain_line(test_ids: Sequence[str], variables: Mapping[str, str], more: Iterable[str]) -> str:
    """Return the same in the words of pytest alone, quoted for a POSIX shell."""
    sets = [f"{name}={shlex.quote(value)}" for name, value in variables.items()]
    ids = ["'" + one.replace("'", "'\"'\"'") + "'" for one in test_ids]
    dashes = ["--"] if any(one.startswith("-") for one in test_ids) else []
    return " ".join([*sets, "python -m pytest", *map(shlex.quote, more), *dashes, *ids])


@dataclass
class _Climb:
    """The state of one climb."""

    target: Target
    repeat: int
    tried: list[tuple[Trial, Sight]] = field(default_factory=list)
    budget_spent: bool = False
    shown: tuple[Rung, tuple[str, ...]] | None = None
    polluters: tuple[str, ...] | None = None
    minimal: bool = False

    def up(self) -> Generator[Trial, Sight, None]:
        rungs = rungs_of(self.target)
        for at, (rung, before) in enumerate(rungs):
            seen = yield from self.run(rung, before, left=len(rungs) - at - 1 + self.repeat - 1)
            if seen is Seen.GONE:
                return
            if seen is Seen.SAME:
                self.shown = rung, before
                yield from self.settle(rung, before)
                return
        yield from self.try_again(*rungs[0])

    def settle(self, rung: Rung, before: tuple[str, ...]) -> Generator[Trial, Sight, None]:
        """See whether a rung shows the failure every time; if so, and after others, after which."""
        if not (yield from self.always(rung, before)) or rung not in (Rung.FILE, Rung.WORKER):
            return
        yield from self.try_again(Rung.ALONE, ())
        if self.times(Rung.ALONE, Seen.SAME):
            self.shown = Rung.ALONE, ()
            return
        self.polluters = before
        yield from self.bisect(rung, before)

    def always(self, rung: Rung, before: tuple[str, ...]) -> Generator[Trial, Sight, bool]:
        for left in range(self.repeat - 2, -1, -1):
            seen = yield from self.run(rung, before, left)
            if seen in (Seen.PASSED, Seen.DIFFERENT):
                return False
        return True

    def try_again(self, rung: Rung, before: tuple[str, ...]) -> Generator[Trial, Sight, None]:
        """Execute a rung that did not show the failure as often as one that does."""
        for left in range(self.repeat - 2, -1, -1):
            seen = yield from self.run(rung, before, left)
            if seen is Seen.SAME:
                self.shown = rung, before
            if seen in (Seen.SAME, Seen.GONE, Seen.NOTHING):
                return

    def bisect(self, rung: Rung, before: tuple[str, ...]) -> Generator[Trial, Sight, None]:
        search = ddmin(before)
        try:
            candidate = next(search)
            while True:
                shows = yield from self.twice(rung, candidate)
                if shows:
                    self.polluters = candidate
                candidate = search.send(shows)
        except StopIteration:
            self.minimal = True

    def twice(self, rung: Rung, before: tuple[str, ...]) -> Generator[Trial, Sight, bool]:
        known = len(self.polluters or ())
        left = 2 * known.bit_length()
        for _ in range(CONFIRM):
            if (yield from self.run(rung, before, left, bisecting=True)) is not Seen.SAME:
                return False
        return True

    def run(
        self, rung: Rung, before: tuple[str, ...], left: int, *, bisecting: bool = False
    ) -> Generator[Trial, Sight, Seen]:
        trial = Trial(rung, before, left, bisecting)
        sight = yield trial
        self.tried.append((trial, sight))
        return sight.seen

    def times(self, rung: Rung, *seen: Seen) -> int:
        return sum(
            trial.rung is rung and not trial.bisecting and sight.seen in seen
            for trial, sight in self.tried
        )

    def conclusion(self) -> Conclusion:
        verdict, rung = self.verdict()
        return Conclusion(
            target=self.target,
            verdict=verdict,
            rung=rung,
            polluters=self.polluters or () if verdict is ReproVerdict.ORDER_DEPENDENT else (),
            tried=tuple(self.tried),
            budget_spent=self.budget_spent,
            minimal=self.minimal or verdict is not ReproVerdict.ORDER_DEPENDENT,
        )

    def verdict(self) -> tuple[ReproVerdict, Rung | None]:
        if self.shown is not None:
            rung = self.shown[0]
            if self.times(rung, Seen.PASSED, Seen.DIFFERENT):
                return ReproVerdict.FLAKY, rung
            after_others = rung in (Rung.FILE, Rung.WORKER)
            if not after_others or self.alone_was_not_executed():
                return ReproVerdict.REPRODUCED, rung
            self.polluters = self.polluters or self.shown[1]
            return ReproVerdict.ORDER_DEPENDENT, rung
        ran = [one for one in self.tried if one[1].seen in (Seen.PASSED, Seen.DIFFERENT)]
        if not ran:
            return ReproVerdict.COULD_NOT_RUN, None
        differed = [trial.rung for trial, sight in ran if sight.seen is Seen.DIFFERENT]
        if differed:
            return ReproVerdict.FAILS_DIFFERENTLY, differed[-1]
        return ReproVerdict.NOT_REPRODUCED, ran[-1][0].rung

    def alone_was_not_executed(self) -> bool:
        return not self.times(Rung.ALONE, Seen.PASSED, Seen.DIFFERENT)


def _split(items: tuple[str, ...], parts: int) -> list[tuple[str, ...]]:
    size, more = divmod(len(items), parts)
    chunks, start = [], 0
    for part in range(parts):
        end = start + size + (part < more)
        chunks.append(items[start:end])
        start = end
    return chunks


def _minus(items: tuple[str, ...], out: tuple[str, ...]) -> tuple[str, ...]:
    left_out = set(out)
    return tuple(one for one in items if one not in left_out)


def _first_that_shows(
    candidates: Sequence[tuple[str, ...]],
) -> Generator[tuple[str, ...], bool, tuple[str, ...] | None]:
    for candidate in candidates:
        if (yield candidate):
            return candidate
    return None
