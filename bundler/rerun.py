"""Reruns: what has to run again after a run, and what the run leaves for the next one to do.

Two sets of test ids travel along a chain of reruns: *passing* (last seen to pass) and *outstanding*
(still has to). The state before a run R and what R saw give the state after R; a child of R runs
everything that is not passing then, so tests that are new are run too. Both are empty before the
first run of a chain: what is in neither is unknown.

| where the test stood in run R | passing before R | outstanding | unknown |
|---|---|---|---|
| absent: its file was not there, or a filter left it out | passing | outstanding | unknown |
| gone: its file was there without it | unknown | outstanding | unknown |
| passed, or left out because it had passed | passing | passing | passing |
| not passed | outstanding | outstanding | outstanding |
| skipped by itself | passing | outstanding | unknown |
| deselected by the user | passing | outstanding | unknown |

Unknown after R is not tracked: it is in neither set. What R could not collect (a file that does not
import) did not pass, and neither did the tests that were known in it. Such a node is outstanding as
if it were a test, and leaves when a test in it is selected again.

A test that stands in several places (two sessions, repeated ids) stands in the worst one that says
something about it: not passed, then passed, then skipped, then deselected. A skip is no worse than
a pass: a test that one of two sessions always skips could never leave outstanding otherwise.

The same rules as nextest's (https://nexte.st/docs/design/architecture/recording-runs/), where a
file is a test binary; a test that skips itself is what nextest calls an explicit skip.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, IntEnum, StrEnum
from functools import cached_property
from typing import Any

from bundler.results import NOT_PASSING, Results, Verdict

FileOf = Callable[[str], str]
"""Which file a test id lies in, or whatever stands for a file at another runner."""


class Standing(IntEnum):
    """How a test stands between two runs; the number is its column of the table."""

    PASSING = 0
    OUTSTANDING = 1
    UNKNOWN = 2


class Place(Enum):
    """Where a test stood in a run; a row of the table."""

    ABSENT = "absent"
    GONE = "gone"
    PASSED = "passed"
    NOT_PASSED = "not passed"
    SKIPPED = "skipped"
    DESELECTED = "deselected"


_P, _O, _U = Standing

TABLE: dict[Place, tuple[Standing, Standing, Standing]] = {
    # before the run:   passing, outstanding, unknown
    Place.ABSENT:      (_P, _O, _U),
    Place.GONE:        (_U, _O, _U),
    Place.PASSED:      (_P, _P, _P),
    Place.NOT_PASSED:  (_O, _O, _O),
    Place.SKIPPED:     (_P, _O, _U),
    Place.DESELECTED:  (_P, _O, _U),
}  # fmt: skip

_WORST_FIRST = (Place.NOT_PASSED, Place.PASSED, Place.SKIPPED, Place.DESELECTED)


class Order(StrEnum):
    """What a rerun runs, and in which order."""

    FAILED = "failed"  # what is not passing, in the parent's order
    WORKER = "worker"  # before each outstanding test what its worker had run before it
    FULL = "full"  # everything, in the parent's order


@dataclass(frozen=True, slots=True)
class State:
    """The sets between two runs of a chain; `uncollected` are the outstanding that are no tests."""

    passing: frozenset[str] = frozenset()
    outstanding: frozenset[str] = frozenset()
    uncollected: frozenset[str] = frozenset()

    def standing(self, test_id: str) -> Standing:
        """Return the column of a test id."""
        if test_id in self.passing:
            return Standing.PASSING
        return Standing.OUTSTANDING if test_id in self.outstanding else Standing.UNKNOWN


@dataclass(frozen=True, slots=True)
class Plan:
    """What a child run leaves out, which outstanding ids it is expected to see, and the order.

    A test that is in neither `deselect` nor `order` is new: it runs after those in `order`.
    """

    deselect: tuple[str, ...]
    expected: tuple[str, ...]
    order: tuple[str, ...]


def pytest_file(test_id: str) -> str:
    """Return the file of a pytest node id: what stands before its first `::`."""
    return test_id.partition("::")[0]


def state_after(before: State, results: Results, file_of: FileOf = pytest_file) -> State:
    """Return the state after a run, by the table."""
    sight = _Sight(results, file_of)
    tests = before.passing | (before.outstanding - before.uncollected) | sight.seen.keys()
    after = {test_id: TABLE[sight.place(test_id)][before.standing(test_id)] for test_id in tests}
    uncollected = sight.failed | {
        node
        for node in before.uncollected
        if TABLE[sight.node_place(node)][Standing.OUTSTANDING] is Standing.OUTSTANDING
    }
    return State(
        passing=frozenset(one for one, standing in after.items() if standing is _P),
        outstanding=frozenset(one for one, standing in after.items() if standing is _O)
        | uncollected,
        uncollected=frozenset(uncollected),
    )


def plan(state: State, results: Results, order: Order = Order.FAILED) -> Plan:
    """Return the plan of a child run, from the state after its parent and the parent's results."""
    parents_order = _unique(test.test_id for test in results.tests)
    not_passing = [one for one in parents_order if one not in state.passing]
    match order:
        case Order.FAILED:
            chosen, deselect = not_passing, state.passing
        case Order.WORKER:
            sequences = worker_sequences(results, state.outstanding)
            chosen = [one for sequence in sequences for one in sequence] + not_passing
            deselect = state.passing.difference(chosen)
        case Order.FULL:
            chosen, deselect = list(parents_order), frozenset()
    known = [one for one in parents_order if one in state.outstanding]
    carried = sorted(state.outstanding.difference(known))
    return Plan(
        deselect=tuple(sorted(deselect)),
        expected=(*known, *carried),
        order=_unique([*chosen, *(one for one in carried if one not in state.uncollected)]),
    )


def worker_sequences(results: Results, wanted: Collection[str]) -> list[tuple[str, ...]]:
    """Return, for each worker that ran a wanted test, what it ran up to its last wanted one.

    Each sequence is one process's history. To see what the wanted tests saw, run each of them in a
    process of its own.
    """
    sequences = []
    for ids in histories(results):
        found = [index for index, one in enumerate(ids) if one in wanted]
        if found:
            sequences.append(_unique(ids[: found[-1] + 1]))
    return sequences


def histories(results: Results) -> list[list[str]]:
    """Return, for each process that ran tests, their ids in the order in which it ran them."""
    lanes: dict[tuple[str, str | None], list[tuple[float, int, str]]] = {}
    for test in results.tests:
        for attempt in test.attempts:
            order = math.inf if attempt.order is None else attempt.order
            place = (order, attempt.started_us, test.test_id)
            lanes.setdefault((test.session, attempt.worker), []).append(place)
    return [[place[-1] for place in sorted(lane)] for lane in lanes.values()]


def selection_document(
    plan: Plan,
    *,
    restore: Mapping[str, Any] | None = None,
    random_seeds: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Return what the probe is handed: ids to leave out, and the order of the others.

    `restore` are the states of the random generators that are set when a test starts, by test id;
    `random_seeds` the seeds that other plugins are given, by plugin.
    """
    document: dict[str, Any] = {
        "version": 1,
        "deselect": list(plan.deselect),
        "only": None,
        "order": list(plan.order) or None,
    }
    more = {"restore": dict(restore or {}), "random_seeds": dict(random_seeds or {})}
    return document | {key: value for key, value in more.items() if value}


def rerun_exit_code(child_code: int, outstanding: Collection[str], ran_anything: bool) -> int:
    """Return what `bundle rerun` exits with: the child's own code, with three exceptions.

    5 where the child passed and tests are still outstanding; 0 or 5 where it had nothing to run,
    which pytest ends with its own 5; and 1 where it ran tests and failed with a 5 of its own.
    """
    nothing_to_run = child_code == 5 and not ran_anything
    if child_code == 0 or nothing_to_run:
        return 5 if outstanding else 0
    return 1 if child_code == 5 else child_code


class _Sight:
    """What a run saw of each test id, and of the files around it."""

    def __init__(self, results: Results, file_of: FileOf) -> None:
        self.file_of = file_of
        self.seen = _seen(results)
        self.files = {file_of(test_id) for test_id in self.seen}
        self.failed = _nodes(results, Verdict.ERRORED)
        self.skipped = _nodes(results, Verdict.SKIPPED)
        self.narrowed = _narrowed(results)

    def place(self, test_id: str) -> Place:
        """Return the row of a test id."""
        if self.failed and not self.failed.isdisjoint(self._around(test_id)):
            return Place.NOT_PASSED
        if test_id in self.seen:
            return self.seen[test_id]
        if self.skipped and not self.skipped.isdisjoint(self._around(test_id)):
            return Place.SKIPPED
        file = self.file_of(test_id)
        whole = file in self.files and not any(_same_file(file, one) for one in self.narrowed)
        return Place.GONE if whole else Place.ABSENT

    def node_place(self, node: str) -> Place:
        """Return the row of a node that could not be collected before, and did not fail again."""
        # One that skips itself stays outstanding, as one that is absent does.
        return Place.PASSED if node in self.selected else Place.ABSENT

    @cached_property
    def selected(self) -> set[str]:
        """Every node in which a test was selected, or left out because it had passed."""
        selected = (one for one, place in self.seen.items() if place is not Place.DESELECTED)
        return {node for test_id in selected for node in self._around(test_id)}

    def _around(self, test_id: str) -> Iterator[str]:
        """Yield every node that a test could lie in, itself and the root of the tree included."""
        file = self.file_of(test_id)
        yield from ("", ".", test_id, file)
        yield from _cut_at(file, "/")
        yield from _cut_at(file, ".")  # a module or class of unittest's
        yield from _cut_at(test_id, "::")


def _seen(results: Results) -> dict[str, Place]:
    sightings = [
        *((test.test_id, _place_of(test.verdict)) for test in results.tests),
        *(
            (one.test_id, Place.PASSED if one.reason == "passing" else Place.DESELECTED)
            for one in results.deselected
        ),
    ]
    seen: dict[str, Place] = {}
    for test_id, place in sightings:
        seen[test_id] = min(seen.get(test_id, place), place, key=_WORST_FIRST.index)
    return seen


def _place_of(verdict: Verdict) -> Place:
    if verdict in NOT_PASSING:
        return Place.NOT_PASSED
    return Place.SKIPPED if verdict is Verdict.SKIPPED else Place.PASSED


def _nodes(results: Results, outcome: Verdict) -> set[str]:
    return {problem.node_id for problem in results.collection if problem.outcome is outcome}


def _narrowed(results: Results) -> set[str]:
    """The files of which the command line named single tests: the others were filtered out."""
    given = [session.info.get("args") for session in results.sessions]
    words = [word for words in given if isinstance(words, list) for word in words]
    named = [word for word in words if isinstance(word, str) and "::" in word]
    return {pytest_file(word).replace("\\", "/").removeprefix("./") for word in named}


def _same_file(file: str, named: str) -> bool:
    """Whether a file of the run is the one named, both relative to directories not known here."""
    return file == named or file.endswith(f"/{named}") or named.endswith(f"/{file}")


def _cut_at(text: str, separator: str) -> Iterator[str]:
    """Yield what stands before each separator of a text."""
    at = text.find(separator)
    while at >= 0:
        yield text[:at]
        at = text.find(separator, at + len(separator))


def _unique(ids: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(ids))
