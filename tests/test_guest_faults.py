"""Whatever becomes of the log, every kind of suite ends, prints and comes out as without it.

Forty suites are tried with each fault; with `BUNDLE_TEST_FULL` set all of them are.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from full_size import FULL
from guest import Guest, guests
from probe_driver import unmet
from probe_suites import SUITES, Suite

pytestmark = pytest.mark.slow
AT_LEAST = 40

WARNED = {
    "full": "No space left on device",
    "fills": "No space left on device",
    "read_only": "Read-only file system",
    "vanishes": "No such file or directory",
    "closed": "",
    "broken_pipe": "Broken pipe",
    "descriptors": "Too many open files",
}
"""Each fault, and what the one line says; a closed descriptor is opened anew, and nothing said."""


HERE = [suite for suite in SUITES if unmet(suite.needs) == []]
QUICK = [
    suite
    for suite in HERE
    if not suite.name.startswith("timeout") and not any(w.startswith("-n") for w in suite.args)
]
WITH_WORKERS = [suite for suite in HERE if "-n2" in suite.args]


def chosen(fault: str) -> list[Suite]:
    """Every suite, or as many as are affordable."""
    if FULL:
        return HERE if fault != "broken_pipe" else QUICK  # a worker would wait for a reader
    few = [*QUICK[::2], *QUICK[1::2]][:AT_LEAST]
    return [*few, *WITH_WORKERS[:2]] if fault == "fills" else few


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Guest]:
    """What every suite does without being recorded."""
    everything = {suite.name: suite for fault in WARNED for suite in chosen(fault)}
    return guests(list(everything.values()), tmp_path_factory.mktemp("plain"), None)


@pytest.mark.parametrize("fault", WARNED)
def test_no_fault_of_the_log_changes_what_any_suite_does(
    fault: str, plain: dict[str, Guest], tmp_path: Path
) -> None:
    suites = chosen(fault)
    assert len(suites) >= AT_LEAST
    faulty = guests(suites, tmp_path, fault)
    changed = {
        name: (plain[name].seen, guest.seen)
        for name, guest in faulty.items()
        if guest.seen != plain[name].seen
    }
    assert changed == {}
    said = {name: guest.warned for name, guest in faulty.items() if guest.warned}
    assert all(WARNED[fault] in line for line in said.values()), said
    # A process that is killed says nothing, and neither does one whose test ends it.
    assert bool(said) == bool(WARNED[fault])
