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
with tests before the failing one is then bisected: `bundler.delta_debugging` finds a smallest set
of them without any one of which the failure stays away; each set counts only if the failure came
back twice.

One that comes back alone, every time, is executed without what was given of the recorded run: the
random numbers, the order of hashes, the time zone and locale. Where it then passed twice, and with
them failed once more, each is left out by itself: one without which it passed twice is what the
failure takes.

| seen | verdict |
|---|---|
| the same failure every time, on a rung without tests before it, or on `full` | `reproduced` |
| the same failure every time after other tests, and never alone | `order_dependent` |
| the same failure sometimes, on one and the same rung | `flaky` |
| only ever other failures | `fails_differently` |
| it ran on every rung that could be executed, and never failed | `not_reproduced` |
| none could be executed (it is gone, is not collected), or not all in the time | `could_not_run` |

`ladder` is a generator: it yields the next trial, and is sent what was seen. Whoever carries it out
throws `BudgetSpent` into it where the time is over; it then concludes from what it has.

A file that could not be collected has one rung, `collection`.
"""

from __future__ import annotations

import shlex
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from bundler.delta_debugging import ddmin

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


class Chance(StrEnum):
    """What an execution is given of the recorded run, and may do without."""

    NUMBERS = "random_numbers"
    HASHES = "order_of_hashes"
    PLACE = "time_zone_and_locale"


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
    """One execution: the tests before the target, in order, and what of the recorded run it lacks.

    `left` is about how many executions follow.
    """

    rung: Rung
    before: tuple[str, ...] = ()
    left: int = 0
    bisecting: bool = False
    without: frozenset[Chance] = frozenset()

    @property
    def counts(self) -> bool:
        """Whether it is an execution of its rung, as all of the verdict are."""
        return not self.bisecting and not self.without


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

    test_id: str
    verdict: ReproVerdict
    rung: Rung | None
    polluters: tuple[str, ...] = ()
    takes: tuple[Chance, ...] = ()
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
        on_rung = [s for t, s in self.ran if t.rung is self.rung and t.counts]
        return sum(sight.seen is Seen.SAME for sight in on_rung), len(on_rung)

    def last(self, *seen: Seen) -> Sight | None:
        """Return the last sight of one of these kinds, as the recorded run had it."""
        found = (s for t, s in reversed(self.tried) if s.seen in seen and not t.without)
        return next(found, None)

    def without(self, chance: Chance) -> tuple[int, int]:
        """How often the test passed without one chance, of how many executions."""
        sights = [s for t, s in self.ran if t.without == {chance}]
        return sum(sight.seen is Seen.PASSED for sight in sights), len(sights)


Climb = Generator[Trial, Sight, Conclusion]


def ladder(target: Target, repeat: int = REPEAT, chances: Iterable[Chance] = ()) -> Climb:
    """Yield one trial after the other, be sent what each showed, and return the conclusion.

    `chances` are those that an execution is given of the recorded run.
    """
    climb = _Climb(target, repeat, tuple(chances))
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
    chances: tuple[Chance, ...] = ()
    tried: list[tuple[Trial, Sight]] = field(default_factory=list)
    budget_spent: bool = False
    shown: tuple[Rung, tuple[str, ...]] | None = None
    polluters: tuple[str, ...] | None = None
    takes: tuple[Chance, ...] = ()
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
        """See whether a rung shows the failure every time; if so, what it takes."""
        if not (yield from self.always(rung, before)):
            return
        if rung is Rung.ALONE:
            yield from self.look_for_chances()
        if rung not in (Rung.FILE, Rung.WORKER):
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

    def look_for_chances(self) -> Generator[Trial, Sight, None]:
        """See without which of the chances the failure stays away, if without all of them."""
        if not self.chances or not (yield from self.stays_away(frozenset(self.chances))):
            return
        # Did it stay away for want of them, or of itself?
        if (yield from self.run(Rung.ALONE, (), 0)) is not Seen.SAME:
            return
        for one in self.chances:
            if len(self.chances) == 1 or (yield from self.stays_away(frozenset({one}))):
                self.takes += (one,)

    def stays_away(self, without: frozenset[Chance]) -> Generator[Trial, Sight, bool]:
        for left in range(CONFIRM - 1, -1, -1):
            seen = yield from self.run(Rung.ALONE, (), left, without=without)
            if seen is not Seen.PASSED:
                return False
        return True

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
        self,
        rung: Rung,
        before: tuple[str, ...],
        left: int,
        *,
        bisecting: bool = False,
        without: frozenset[Chance] = frozenset(),
    ) -> Generator[Trial, Sight, Seen]:
        trial = Trial(rung, before, left, bisecting, without)
        sight = yield trial
        self.tried.append((trial, sight))
        return sight.seen

    def times(self, rung: Rung, *seen: Seen) -> int:
        return sum(
            trial.rung is rung and trial.counts and sight.seen in seen
            for trial, sight in self.tried
        )

    def conclusion(self) -> Conclusion:
        verdict, rung = self.verdict()
        return Conclusion(
            test_id=self.target.test_id,
            verdict=verdict,
            rung=rung,
            polluters=self.polluters or () if verdict is ReproVerdict.ORDER_DEPENDENT else (),
            takes=self.takes if verdict is ReproVerdict.REPRODUCED else (),
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
        executed = {trial.rung for trial, _ in ran}
        if self.budget_spent and executed != {rung for rung, _ in rungs_of(self.target)}:
            return ReproVerdict.COULD_NOT_RUN, None
        return ReproVerdict.NOT_REPRODUCED, ran[-1][0].rung

    def alone_was_not_executed(self) -> bool:
        return not self.times(Rung.ALONE, Seen.PASSED, Seen.DIFFERENT)
