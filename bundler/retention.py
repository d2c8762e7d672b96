"""Retention: which runs of a project's store are deleted, and when it is time to look.

A project keeps at most 100 runs, 1 GB, and what was used in the last 30 days, unless told
otherwise. A rerun is a use of the run that it reruns and of all before that one.

Always kept are a live run, the five newest runs (fewer where fewer are to be kept, one at least),
and whatever a kept run is a rerun of, up to the first run of its chain.

| limit | what goes first |
|---|---|
| days | whatever was not used for so long |
| runs | what was used least recently |
| bytes | what passed, then what failed, each with the least recently used first |

Each limit is judged on its own, over all runs, and what any of them names is deleted. So a looser
limit never deletes more, and a plan that was carried out leaves nothing to delete. A run counts as
used and failed as its reruns are, so that a chain goes from its end and never falls apart.

# Which time it is

Clocks jump, and a store must lose neither everything nor keep everything for it. What is newest is
told by the sequence in which runs were recorded. The middle one of the five newest runs' times is
believed: time is taken to have gone on since then by a week at most, and not backwards. So a clock
that is ten years ahead deletes nothing that a week would not, and neither does coming back from a
long holiday: a project that rests keeps its runs. A run that was used later than that believed now
counts as used when the runs after it were recorded, the earliest of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import median_low

DAY_US = 86_400_000_000
ALWAYS_KEPT = 5
BELIEVED_US = 7 * DAY_US
"""How far time may have gone on since the newest runs."""


@dataclass(frozen=True, slots=True)
class Policy:
    """The limits of one project; None is no limit."""

    keep_runs: int | None = 100
    keep_bytes: int | None = 1_000_000_000
    keep_days: float | None = 30


@dataclass(frozen=True, slots=True)
class Run:
    """A run in the store. Times are microseconds since 1970; `used_us` is the last use."""

    run_id: str
    sequence: int
    created_us: int
    used_us: int
    size_bytes: int
    parent_run_id: str | None = None
    failed: bool = False
    live: bool = False


class Reason(StrEnum):
    """Which limit a run is deleted for."""

    DAYS = "not used for too long"
    RUNS = "too many runs"
    BYTES = "too many bytes"


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be deleted and why, and what is kept, both with the first recorded first.

    To be carried out from the last to the first: cut off in the middle, it leaves chains that lack
    their end, and none that lacks its beginning.
    """

    delete: tuple[tuple[Run, Reason], ...]
    keep: tuple[Run, ...]

    @property
    def freed_bytes(self) -> int:
        """How much room it makes."""
        return sum(run.size_bytes for run, _ in self.delete)


def plan(runs: Sequence[Run], policy: Policy, now_us: int) -> Plan:
    """Return which runs a policy deletes."""
    ordered = sorted(runs, key=lambda run: (run.sequence, run.run_id))
    chains = _Chains(ordered)
    now = believed_now(ordered, now_us)
    uses = _believed_uses(ordered, now)
    used = chains.spread(uses)
    failed = chains.spread([run.failed for run in ordered])
    sequence = chains.spread([run.sequence for run in ordered])
    recency = [
        (used[index], sequence[index], -len(chains.lineage(index))) for index in range(len(ordered))
    ]
    protected = _protected(ordered, policy, chains)
    free = [index for index in range(len(ordered)) if index not in protected]
    by_use = sorted(free, key=recency.__getitem__)
    by_worth = sorted(free, key=lambda index: (failed[index], recency[index]))
    reasons: dict[int, Reason] = {}
    if policy.keep_bytes is not None:
        sizes = [run.size_bytes for run in ordered]
        reasons |= dict.fromkeys(_excess(by_worth, sizes, policy.keep_bytes), Reason.BYTES)
    if policy.keep_runs is not None:
        ones = [1] * len(ordered)
        reasons |= dict.fromkeys(_excess(by_use, ones, policy.keep_runs), Reason.RUNS)
    if policy.keep_days is not None:
        oldest = now - policy.keep_days * DAY_US
        # A rerun that goes for another reason no longer says that what it reran is in use.
        left = chains.spread([0 if index in reasons else use for index, use in enumerate(uses)])
        unused = [one for one in free if left[one] < oldest]
        # What goes for another reason was not unused for so long, unless it was before that.
        aged = [one for one in unused if one not in reasons or used[one] < oldest]
        reasons |= dict.fromkeys(aged, Reason.DAYS)
    return Plan(
        delete=tuple((ordered[index], reasons[index]) for index in sorted(reasons)),
        keep=tuple(run for index, run in enumerate(ordered) if index not in reasons),
    )


def due(runs: Sequence[Run], policy: Policy, now_us: int, pruned_us: int | None) -> bool:
    """Whether it is time to prune: once a day, or half over a limit.

    `pruned_us` is when it was done last. A time ahead of now is a clock that jumped: due.
    """
    if pruned_us is None or not 0 <= now_us - pruned_us < DAY_US:
        return True
    size = sum(run.size_bytes for run in runs)
    return _half_over(len(runs), policy.keep_runs) or _half_over(size, policy.keep_bytes)


def believed_now(runs: Iterable[Run], now_us: int) -> int:
    """Return which time it is, as far as the newest runs bear it out."""
    newest = sorted(runs, key=lambda run: (run.sequence, run.run_id))[-ALWAYS_KEPT:]
    if not newest:
        return now_us
    witness = median_low([run.used_us for run in newest])
    return min(max(now_us, witness), witness + BELIEVED_US)


def _believed_uses(ordered: Sequence[Run], now: int) -> list[int]:
    uses = [run.used_us for run in ordered]
    ceiling = now
    for index in range(len(ordered) - 1, -1, -1):
        if uses[index] > now:
            uses[index] = ceiling
        ceiling = min(ceiling, ordered[index].created_us)
    return uses


def _protected(ordered: Sequence[Run], policy: Policy, chains: _Chains) -> set[int]:
    always = ALWAYS_KEPT
    if policy.keep_runs is not None:
        always = min(always, max(policy.keep_runs, 1))
    newest = set(range(max(len(ordered) - always, 0), len(ordered)))
    protected = newest | {index for index, run in enumerate(ordered) if run.live}
    return {before for index in protected for before in chains.lineage(index)}


def _excess(candidates: Sequence[int], weights: Sequence[int], limit: int) -> list[int]:
    """Return the first candidates, as many as have to go for the rest to be within the limit."""
    weight = sum(weights)
    for count, index in enumerate(candidates):
        if weight <= limit:
            return list(candidates[:count])
        weight -= weights[index]
    return list(candidates)


def _half_over(amount: int, limit: int | None) -> bool:
    return limit is not None and 2 * amount > 3 * limit


class _Chains:
    """Which run is whose rerun, by their places in a list; a circle of damaged data ends a walk."""

    def __init__(self, ordered: Sequence[Run]) -> None:
        places = {run.run_id: index for index, run in enumerate(ordered)}
        self.parents = [places.get(run.parent_run_id or "") for run in ordered]

    def spread(self, values: Sequence[int]) -> list[int]:
        """Return for each run the most of its own value and those of all its reruns."""
        spread = list(values)
        for index, value in enumerate(values):
            for before in self.lineage(index):
                spread[before] = max(spread[before], value)
        return spread

    def lineage(self, index: int) -> list[int]:
        """Return a run and those before it in its chain, the nearest first."""
        path: dict[int, None] = {}
        at: int | None = index
        while at is not None and at not in path:
            path[at] = None
            at = self.parents[at]
        return list(path)
