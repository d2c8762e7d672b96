"""Observing changes nothing, and what it keeps of a test that failed shows that failure again."""

from __future__ import annotations

import base64
import json
import zlib
from pathlib import Path
from typing import Any

import pytest
from builders import a_log, a_recording, line
from command_line import place
from probe_driver import PYTHON, Ran, Workshop, settled, unmet

from bundler.generators import kept_states, random_seeds
from bundler.schema import validator

NO_RANDOMLY = ("-p", "no:randomly")
WORKERS = [(), ("-n2",)] if not unmet(("xdist",)) else [()]
needs_numpy = pytest.mark.skipif(unmet(("numpy",)) != [], reason=f"{PYTHON} has no numpy")

UNSEEDED = """
import random

def test_before():
    random.random()

def test_fails():
    assert (random.random(), random.gauss(0, 1), random.gauss(0, 1)) is None

def test_after():
    random.gauss(0, 1)
"""

SEEDED = """
import random, pytest

random.seed(20)
AT_IMPORT = random.random()

@pytest.fixture(scope="session")
def once():
    return random.random()

@pytest.fixture
def each():
    return random.gauss(0, 1)

@pytest.mark.parametrize("n", range(4))
def test_values(n, once, each):
    print(n, AT_IMPORT, once, each, random.random(), random.gauss(0, 1))

def test_the_values_are_those_of_the_seed(once):
    generator = random.Random(20)
    assert AT_IMPORT == generator.random()
    assert once == generator.random()

def test_fails():
    assert random.random() is None

def test_still_in_step():
    print(random.random())
    assert False
"""


@pytest.fixture
def shop(tmp_path: Path) -> Workshop:
    """A place to run suites in."""
    return Workshop(tmp_path)


def failures(ran: Ran) -> dict[str, str]:
    """What each failed test said."""
    return {
        test.test_id: test.attempts[-1].failures[0].message
        for test in ran.results.tests
        if test.attempts and test.attempts[-1].failures
    }


def states(ran: Ran) -> dict[str, Any]:
    """The kept states by test id, the last attempt's of each."""
    return {
        str(event.test_id): event.payload()["states"]
        for _, event in ran.events
        if event.event == "GeneratorState"
    }


def restoring(shop: Workshop, ran: Ran, *args: str, **selection: Any) -> Ran:
    """Run again with the kept states."""
    file = shop.place / "selection.json"
    document = {"version": 1, "deselect": [], "only": None, "order": None, "restore": states(ran)}
    file.write_text(json.dumps({**document, **selection}))
    return shop.probed(*NO_RANDOMLY, *args, selection=str(file))


def test_a_suite_that_seeds_itself_sees_its_own_values(shop: Workshop) -> None:
    shop.lay({"test_it.py": SEEDED})
    args = (*NO_RANDOMLY, "-v", "-rA", "-p", "no:cacheprovider")
    plain, probed = shop.plain(*args), shop.probed(*args)
    assert settled(probed.stdout) == settled(plain.stdout)
    assert (probed.exit_code, probed.stderr) == (plain.exit_code, plain.stderr)
    assert "test_the_values_are_those_of_the_seed PASSED" in probed.stdout


@pytest.mark.parametrize("args", WORKERS)
def test_a_failure_without_any_seed_is_seen_again_by_its_kept_state(
    shop: Workshop, args: tuple[str, ...]
) -> None:
    shop.lay({"test_it.py": UNSEEDED})
    first = shop.probed(*NO_RANDOMLY)
    alone = restoring(shop, first, *args, only=["test_it.py::test_fails"])
    other_order = restoring(
        shop, first, *args, order=["test_it.py::test_after", "test_it.py::test_fails"]
    )
    without = restoring(shop, first, *args, restore={})
    assert failures(alone) == failures(first) == failures(other_order) != failures(without)


def test_the_state_is_that_before_the_first_fixture(shop: Workshop) -> None:
    source = (
        "import random, pytest\n"
        "@pytest.fixture(autouse=True)\ndef early(): return random.random()\n"
        "def test_it(early): assert (early, random.random()) is None\n"
    )
    shop.lay({"test_it.py": source})
    first = shop.probed(*NO_RANDOMLY)
    assert failures(restoring(shop, first)) == failures(first)


@pytest.mark.parametrize("args", WORKERS)
def test_it_is_restored_where_nothing_can_be_recorded(
    shop: Workshop, args: tuple[str, ...]
) -> None:
    shop.lay({"test_it.py": UNSEEDED})
    first = shop.probed(*NO_RANDOMLY)
    file = shop.place / "selection.json"
    file.write_text(json.dumps({"version": 1, "restore": states(first)}))
    again = shop.probed(*NO_RANDOMLY, *args, log=Path("/dev/full"), selection=str(file))
    [message] = failures(first).values()
    assert message.split(" is None")[0] in again.stdout


def test_it_is_kept_of_every_kind_of_bad_end_before_the_end_and_of_no_other(
    shop: Workshop,
) -> None:
    source = """
import pytest

def test_passes(): pass
def test_skips(): pytest.skip("x")
@pytest.mark.xfail
def test_xfails(): assert False
@pytest.mark.xfail(strict=True)
def test_strict(): pass
def test_fails(): assert False
@pytest.fixture
def broken(): raise ValueError
def test_errors(broken): pass
@pytest.fixture
def late():
    yield
    raise ValueError
def test_errors_late(late): pass
"""
    shop.lay({"test_it.py": source})
    ran = shop.probed(*NO_RANDOMLY)
    bad = {"fails", "strict", "errors", "errors_late"}
    assert states(ran).keys() == {f"test_it.py::test_{name}" for name in bad}
    names = [event.event for _, event in ran.events]
    after = [names[at + 1] for at, name in enumerate(names) if name == "GeneratorState"]
    assert after == ["TestFinished"] * len(bad)
    for one in ran.lines[1:]:
        validator("event.v1").validate(json.loads(one.content))
    assert {test.own_events for test in ran.results.tests} == {0}


@pytest.mark.skipif(unmet(("pytest_rerunfailures",)) != [], reason="no pytest-rerunfailures")
def test_every_attempt_has_its_own_and_a_retry_goes_on_from_the_first(shop: Workshop) -> None:
    source = "import random\ndef test_it(): assert random.random() is None\n"
    shop.lay({"test_it.py": source})
    args = (*NO_RANDOMLY, "--reruns=2")
    first = shop.probed(*args)
    kept = [one.payload() for _, one in first.events if one.event == "GeneratorState"]
    assert [one["attempt"] for one in kept] == [1, 2, 3]
    assert len({json.dumps(one["states"]) for one in kept}) == 3
    again = restoring(shop, first, "--reruns=2", restore={"test_it.py::test_it": kept[0]["states"]})
    assert messages(again) == messages(first)


def messages(ran: Ran) -> list[str]:
    """What every attempt of the first test said, in its first line."""
    attempts = ran.results.tests[0].attempts
    return [attempt.failures[0].message.partition("\n")[0] for attempt in attempts]


@needs_numpy
def test_numpy_s_own_generator_is_kept_where_it_is_imported(shop: Workshop) -> None:
    source = (
        "import numpy as np\n"
        "def test_before(): np.random.normal()\n"
        "def test_fails(): assert (np.random.normal(), np.random.random()) is None\n"
    )
    shop.lay({"test_it.py": source})
    first = shop.probed(*NO_RANDOMLY)
    again = restoring(shop, first, only=["test_it.py::test_fails"])
    assert failures(again) == failures(first) != failures(shop.probed(*NO_RANDOMLY))
    assert states(first)["test_it.py::test_fails"].keys() == {"random", "numpy"}


@needs_numpy
def test_numpy_is_imported_for_nobody_but_a_state_that_asks_for_it(shop: Workshop) -> None:
    lazy = (
        "import sys\n"
        "def test_it(): assert len([m for m in sys.modules if m == 'numpy.random.mtrand']) > 1\n"
    )
    shop.lay({"test_it.py": lazy})
    first = shop.probed(*NO_RANDOMLY)
    assert states(first)["test_it.py::test_it"].keys() == {"random"}
    shop.lay({"test_it.py": lazy, "conftest.py": "import numpy.random\n"})
    eager = shop.probed(*NO_RANDOMLY)
    assert states(eager)["test_it.py::test_it"].keys() == {"random", "numpy"}
    shop.lay({"test_it.py": lazy})
    said = [failures(one)["test_it.py::test_it"].partition("\n")[0] for one in (first, eager)]
    again = failures(restoring(shop, eager))["test_it.py::test_it"].partition("\n")[0]
    assert said[0] != said[1] == again


@pytest.mark.parametrize("args", WORKERS)
@pytest.mark.parametrize("restore", [[], {"a": 1}, {"a": {"random": {"version": 3}}}], ids=repr)
def test_a_state_that_cannot_be_read_is_a_usage_error(
    shop: Workshop, restore: object, args: tuple[str, ...]
) -> None:
    shop.lay({"test_it.py": UNSEEDED})
    if restore == []:
        restore = [1]
    ran = restoring(shop, Ran(0, "", ""), *args, restore=restore)
    assert ran.exit_code == 4
    assert "bundle: the selection of this rerun cannot be read" in ran.stderr


# --- through the program -----------------------------------------------------------------------


def test_a_rerun_shows_the_failure_again_and_a_fresh_run_another(tmp_path: Path) -> None:
    here = place(tmp_path)
    here.file("test_it.py", UNSEEDED)
    command = (PYTHON, "-m", "pytest", "-q", "-p", "no:cacheprovider", *NO_RANDOMLY)

    def said(*words: str) -> str:
        assert here.bundle(*words).code == 1
        [bad] = [test for test in here.latest().results.tests if test.verdict == "failed"]
        return bad.attempts[-1].failures[0].message

    first = said("run", "--", *command)
    assert said("rerun") == first == said("rerun")
    assert said("run", "--", *command) != first


def test_a_run_with_a_seed_is_seen_again_by_its_seed(tmp_path: Path) -> None:
    here = place(tmp_path)
    here.file("test_it.py", UNSEEDED)
    command = (PYTHON, "-m", "pytest", "-q", "-p", "no:cacheprovider", *NO_RANDOMLY)
    values = set()
    for words in (("run", "--seed", "7", "--", *command), ("rerun",)):
        assert here.bundle(*words).code == 1
        recording = here.latest()
        assert recording.manifest.seed_imposed
        [bad] = [test for test in recording.results.tests if test.verdict == "failed"]
        values.add(bad.attempts[-1].failures[0].message)
    assert len(values) == 1


def a_state(**changes: Any) -> dict[str, Any]:
    """A state as the probe writes it, changed."""
    packed = base64.b64encode(zlib.compress(bytes(2500))).decode()
    return {"version": 3, "state": packed, "gauss_next": None} | changes


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"state": None},
        {"state": "%"},
        {"state": "AAAA"},
        {"state": base64.b64encode(zlib.compress(bytes(2499))).decode()},
        {"state": base64.b64encode(zlib.compress(bytes(1 << 20))).decode()},
        {"state": base64.b64encode(zlib.compress(b"\xff" * 2500)).decode()},
        {"gauss_next": "1"},
        {"gauss_next": True},
    ],
    ids=repr,
)
def test_a_damaged_state_of_a_bundle_is_passed_over(change: dict[str, Any]) -> None:
    lines = [
        line("GeneratorState", name, attempt=1, states={"random": state})
        for name, state in (("good", a_state()), ("bad", a_state(**change)))
    ]
    recording = a_recording(a_log(*lines, line("GeneratorState", "odd", attempt=1, states=[])))
    assert kept_states(recording, {"good", "bad", "odd"}) == {"good": {"random": a_state()}}
    assert kept_states(recording, {"odd"}) == {}


@pytest.mark.parametrize(
    ("seeds", "given"),
    [
        ([{"randomly": "7"}], {"randomly": "7"}),
        ([{"randomly": "7"}, {"randomly": "7"}], {"randomly": "7"}),
        ([{"randomly": "7"}, {"randomly": "8"}], {}),
        ([{"randomly": "7"}, None], {}),
        ([{"randomly": "-7"}], {}),
        ([{"randomly": 7}], {}),
        ([{"randomly": "9" * 21}], {}),
        ([{"random_order": "7"}], {"random_order": "7"}),
        ([{"random_order": "mine"}], {"random_order": "mine"}),
        ([{"random_order": "--flag x"}], {}),
        ([{"random_order": "7", "randomly": "8"}], {"random_order": "7", "randomly": "8"}),
        ([], {}),
    ],
)
def test_the_seed_of_a_plugin_that_shuffles_comes_back_where_it_is_one(
    seeds: list[Any], given: dict[str, str]
) -> None:
    sessions = [
        line("SessionStarted", session=f"5e55101{n}", random_seeds=one)
        for n, one in enumerate(seeds)
    ]
    assert random_seeds(a_recording(a_log(*sessions))) == given
