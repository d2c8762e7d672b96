"""rerun.json: where a rerun hangs in its chain, and the state that it started from.

It lies in the bundle of every rerun, so that the next one needs none of the runs before it: what a
run of CI left over is rerun here, and the rerun of that on a third machine.

    {
      "format": {"major": 1, "minor": 0},
      "parent_run_id": "…",
      "root_run_id": "…",
      "passing": {"tests/test_a.py::": ["test_x", "TestY::test_z"]},
      "outstanding": {"tests/test_b.py::": ["test_x"], "": ["tests/test_c.py"]},
      "uncollected": ["tests/test_c.py"]
    }

`passing` and `outstanding` have no id in common. An id is its group's name and its own text put
together; which group it is in means nothing and only saves writing the file again. `uncollected`
are those of `outstanding` that are no tests: files and nodes that could not be collected.

Deliberately absent: the state after the run. It follows from this one and the run's log, also where
the run was killed before it could have written it.

History: 1.0, first version.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from bundler.errors import DamagedRecording
from bundler.manifest import Format, check_format
from bundler.rerun import FileOf, State, pytest_file, state_after
from bundler.results import Results

NAME = "rerun.json"


@dataclass(frozen=True, slots=True)
class Chain:
    """A rerun's parent, the first run of its chain, and the state that it started from."""

    parent_run_id: str
    root_run_id: str
    state: State


def child_chain(
    run_id: str, chain: Chain | None, results: Results, file_of: FileOf = pytest_file
) -> Chain:
    """Return the chain of a rerun of this run; `chain` is the run's own, None where it has none."""
    before = chain.state if chain else State()
    return Chain(
        parent_run_id=run_id,
        root_run_id=chain.root_run_id if chain else run_id,
        state=state_after(before, results, file_of),
    )


def to_document(chain: Chain) -> dict[str, Any]:
    """Return rerun.json of a chain."""
    state = chain.state
    document: dict[str, Any] = msgspec.to_builtins(
        _Document(
            format=Format(),
            parent_run_id=chain.parent_run_id,
            root_run_id=chain.root_run_id,
            passing=_grouped(state.passing),
            outstanding=_grouped(state.outstanding),
            uncollected=sorted(state.uncollected),
        )
    )
    return document


def from_document(document: dict[str, Any]) -> Chain:
    """Return the chain of a rerun.json; fields that are not known here are passed over.

    Raises DamagedRecording where it does not fit or contradicts itself, TooNewRecording at another
    major version.
    """
    check_format(document, NAME)
    try:
        known = msgspec.convert(document, _Document)
    except msgspec.ValidationError as error:
        raise DamagedRecording(f"{NAME} does not fit its schema: {error}") from None
    state = State(
        passing=_ungrouped(known.passing),
        outstanding=_ungrouped(known.outstanding),
        uncollected=frozenset(known.uncollected),
    )
    if not state.passing.isdisjoint(state.outstanding):
        raise DamagedRecording(f"{NAME} has a test both passing and outstanding")
    if not state.uncollected <= state.outstanding:
        raise DamagedRecording(f"{NAME} has a node uncollected and not outstanding")
    return Chain(known.parent_run_id, known.root_run_id, state)


class _Document(msgspec.Struct, frozen=True):
    format: Format
    parent_run_id: str
    root_run_id: str
    passing: dict[str, list[str]]
    outstanding: dict[str, list[str]]
    uncollected: list[str] = []


def _grouped(ids: frozenset[str]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for test_id in sorted(ids):
        file, separator, name = test_id.partition("::")
        group, rest = (file + separator, name) if separator else ("", test_id)
        groups.setdefault(group, []).append(rest)
    return groups


def _ungrouped(groups: dict[str, list[str]]) -> frozenset[str]:
    return frozenset(group + rest for group, ids in groups.items() for rest in ids)
