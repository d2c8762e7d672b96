"""Random chains of reruns under `bundle` and pytest, and the same under the real cargo-nextest.

After every step the tests that ran and how they ended, the two sets that the step started from,
the printed count of what is outstanding and the exit code have to agree; what is meant to differ is
in the table of docs/rerun.md, and each of those differences is seen here too.

`BUNDLE_TEST_CHAINS` is how many chains to go through (50 are all). `CARGO_NEXTEST` names the
executable, or `BUNDLE_TEST_NEXTEST` does, else it is the one on the path; where
`BUNDLE_TEST_REQUIRE` has the word `nextest`, there has to be one.
"""

from __future__ import annotations

import itertools
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from chain_bundle import Suite
from chain_nextest import Crate, Outcome
from chain_steps import Start, Step, chain
from command_line import place

from bundler import rerun, scope

CHAINS = int(os.environ.get("BUNDLE_TEST_CHAINS", "4"))
NAMED = os.environ.get("CARGO_NEXTEST") or os.environ.get("BUNDLE_TEST_NEXTEST", "")
CARGO_NEXTEST = NAMED.split(os.pathsep)[0] or shutil.which("cargo-nextest")
REQUIRED = "nextest" in os.environ.get("BUNDLE_TEST_REQUIRE", "").replace(",", " ").split()
HERE = CARGO_NEXTEST is not None and shutil.which("cargo") is not None


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Crate:
    """One crate for all chains: its binaries are built once."""
    if not HERE and not REQUIRED:
        pytest.skip("cargo and cargo-nextest are not here")
    assert CARGO_NEXTEST and HERE, "BUNDLE_TEST_REQUIRE asks for nextest, and it is not here"
    crate = Crate(tmp_path_factory.mktemp("nextest") / "crate", CARGO_NEXTEST)
    crate.create()
    return crate


@pytest.fixture
def suite(tmp_path: Path) -> Suite:
    return Suite(place(tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize("number", range(CHAINS))
def test_a_chain_of_reruns_goes_as_it_goes_under_nextest(
    built: Crate, suite: Suite, number: int
) -> None:
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


RED, BLUE, NEW = ("p", "red_cat"), ("p", "blue_dog"), ("p", "blue_cat")


def both(built: Crate, suite: Suite, *steps: Step) -> tuple[Outcome, Outcome]:
    """Carry the steps out on both sides, each in its own order; return what the last came to."""
    return [(suite.run(step)[0], built.run(step, ())) for step in steps][-1]


@pytest.mark.slow
def test_a_test_that_would_leave_itself_out_is_outstanding_where_it_was_not_reached(
    built: Crate, suite: Suite
) -> None:
    tests = {BLUE: "fail", RED: "skip"}
    first = Step(tests, Start.RUN, max_fail=1)
    ours, theirs = both(built, suite, first, Step(tests, Start.RERUN_BY))
    assert theirs.outstanding == {BLUE}
    assert ours.outstanding == {BLUE, RED}


@pytest.mark.slow
def test_a_new_test_runs_last_where_nextest_runs_it_by_its_name(built: Crate, suite: Suite) -> None:
    first = Step({BLUE: "fail"}, Start.RUN)
    ours, theirs = both(built, suite, first, Step({NEW: "fail", BLUE: "fail"}, max_fail=1))
    assert theirs.ran == {NEW: "fail"}
    assert ours.ran == {BLUE: "fail"}


@pytest.mark.slow
def test_a_filter_of_the_first_run_is_repeated_where_nextest_drops_it(
    built: Crate, suite: Suite
) -> None:
    tests = {BLUE: "pass", RED: "pass"}
    ours, theirs = both(built, suite, Step(tests, Start.RUN, filter="blue"), Step(tests))
    assert theirs.ran == {RED: "pass"}
    assert ours.ran == {}


@pytest.mark.slow
def test_tests_that_leave_themselves_out_are_no_tests_only_for_nextest(
    built: Crate, suite: Suite
) -> None:
    ours, theirs = both(built, suite, Step({RED: "skip"}, Start.RUN))
    assert (ours.exit_code, theirs.exit_code) == (0, 4)


@pytest.mark.slow
def test_a_file_that_lost_all_its_tests_counts_as_absent_where_a_binary_does_not(
    built: Crate, suite: Suite
) -> None:
    other = {("q", "red_cow"): "pass"}
    first = Step({RED: "pass", **other}, Start.RUN)
    emptied = Step(other, emptied=("p",))
    ours, theirs = both(built, suite, first, emptied, Step(first.tests))
    assert theirs.ran == {RED: "pass"}
    assert ours.ran == {}


def test_the_tables_of_the_document_are_those_of_the_code() -> None:
    document = (Path(__file__).parent.parent / "docs" / "rerun.md").read_text(encoding="utf-8")
    for module, head in ((rerun, "| where the test stood"), (scope, "| option |")):
        assert table(document, head) == table(str(module.__doc__), head)


def table(text: str, head: str) -> list[str]:
    """The rows of the table whose first row begins so."""
    lines = text[text.index(head) :].splitlines()
    return list(itertools.takewhile(lambda line: line.startswith("|"), lines))
