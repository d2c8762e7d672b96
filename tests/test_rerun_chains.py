"""Random chains of reruns under `bundle` and pytest, and the same ones under the real cargo-nextest.

After every step the tests that ran and how they ended, the two sets that the step started from,
the printed count of what is outstanding and the exit code have to agree; what is meant to differ is
in the table of docs/rerun.md. `CARGO_NEXTEST` names the executable, else it is the one on the path;
`CHAINS` is how many chains to go through (50 are all). Where `BUNDLE_TEST_REQUIRE` has the word
`nextest`, there has to be one.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from chain_bundle import Suite
from chain_nextest import Crate, Outcome
from chain_steps import Start, Step, chain
from command_line import place

CHAINS = int(os.environ.get("CHAINS", "4"))
CARGO_NEXTEST = os.environ.get("CARGO_NEXTEST") or shutil.which("cargo-nextest")
REQUIRED = "nextest" in os.environ.get("BUNDLE_TEST_REQUIRE", "").replace(",", " ").split()
HERE = CARGO_NEXTEST is not None and shutil.which("cargo") is not None

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not HERE and not REQUIRED, reason="cargo and cargo-nextest are not here"),
]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Crate:
    """One crate for all chains: its binaries are built once."""
    assert CARGO_NEXTEST and HERE, "BUNDLE_TEST_REQUIRE asks for nextest, and it is not here"
    crate = Crate(tmp_path_factory.mktemp("nextest") / "crate", CARGO_NEXTEST)
    crate.create()
    return crate


@pytest.mark.parametrize("number", range(CHAINS))
def test_a_chain_of_reruns_goes_as_it_goes_under_nextest(
    built: Crate, tmp_path: Path, number: int
) -> None:
    suite = Suite(place(tmp_path))
    for at, step in enumerate(chain(number)):
        # Only the order differs where a run stops early, so nextest is told ours.
        ours, order = suite.run(step)
        theirs = built.run(step, order)
        assert ours == as_of_pytest(theirs, ours, step), f"step {at}: {step}"


def as_of_pytest(theirs: Outcome, ours: Outcome, step: Step) -> Outcome:
    """Return what nextest's outcome is here, by the table of docs/rerun.md."""
    return replace(
        theirs,
        exit_code=exit_code(theirs.exit_code, step),
        # nextest prints the count only where no test failed, and we only after a rerun.
        said_outstanding=ours.said_outstanding
        if theirs.said_outstanding is None
        else theirs.said_outstanding,
    )


def exit_code(theirs: int, step: Step) -> int:
    """100 is pytest's 1; 4, which only a run that is no rerun ends with, is its 5 for "no tests".

    A test that leaves itself out has run here, and was never one to run there.
    """
    if theirs == 100:
        return 1
    if theirs != 4:
        return theirs
    assert step.start is Start.RUN
    filtered = [test for test in step.tests if step.filter is None or step.filter in test[1]]
    return 0 if filtered else 5
