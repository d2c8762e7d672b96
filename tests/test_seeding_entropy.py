"""Asked to watch, the probe notes where tests draw what no seed reaches, and puts it all back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from command_line import place
from probe_driver import PYTHON, Ran, Workshop, unmet

from bundler.schema import validator

NO_RANDOMLY = ("-p", "no:randomly", "-p", "no:cacheprovider")

SOURCE = """
import logging, os, random, secrets, time, uuid
import helper

def test_urandom(): os.urandom(4)
def test_uuid(): uuid.uuid4()
def test_secrets(): secrets.token_bytes(4)
def test_choice(): secrets.choice([1, 2])
def test_system(): random.SystemRandom().random()
def test_unseeded(): random.Random()
def test_seeded(): random.Random(1); random.Random(x=2)
def test_clock(): time.time(); time.time_ns()
def test_logging(): logging.getLogger().warning("x")
def test_helper(): helper.draw()
def test_many():
    for _ in range(100): os.urandom(1)
def test_nothing(): random.random()
"""
HELPER = "import os\n\n\ndef draw():\n    return os.urandom(4)\n"


@pytest.fixture
def shop(tmp_path: Path) -> Workshop:
    """A place with the suite in it."""
    shop = Workshop(tmp_path)
    shop.lay({"test_it.py": SOURCE, "helper.py": HELPER})
    return shop


def drawn(ran: Ran) -> dict[str, list[Any]]:
    """What each test drew from, and where."""
    found: dict[str, list[Any]] = {}
    for _, event in ran.events:
        if event.event == "EntropyDrawn":
            data = event.payload()
            name = str(event.test_id).partition("::test_")[2]
            found.setdefault(name, []).append((data["source"], data["file"], data["line"]))
    return found


WORKERS = [(), ("-n2",)] if not unmet(("xdist",)) else [()]


@pytest.mark.parametrize("args", WORKERS)
def test_every_source_is_noted_with_its_place(shop: Workshop, args: tuple[str, ...]) -> None:
    ran = shop.probed(*NO_RANDOMLY, *args, watch_entropy=True)
    assert ran.exit_code == 0
    lines = {text.split("(")[0][9:]: n for n, text in enumerate(SOURCE.splitlines(), start=1)}
    sources = {
        "urandom": ["os.urandom"],
        "uuid": ["uuid.uuid4"],
        "secrets": ["random.SystemRandom"],
        "choice": ["random.SystemRandom"],
        "system": ["random.SystemRandom"],
        "unseeded": ["random.Random()"],
        "clock": ["time.time", "time.time_ns"],
    }
    expected = {
        name: [(source, "test_it.py", lines[name]) for source in found]
        for name, found in sources.items()
    }
    expected["helper"] = [("os.urandom", "helper.py", 5)]
    expected["many"] = [("os.urandom", "test_it.py", lines["many"] + 1)]
    assert drawn(ran) == expected
    for one in ran.lines[1:]:
        validator("event.v1").validate(json.loads(one.content))


def test_nobody_is_watched_unasked(shop: Workshop) -> None:
    conftest = "import os, time\nBEFORE = os.urandom, time.time\n"
    check = "def test_x(): assert (os.urandom, time.time) == conftest.BEFORE\n"
    shop.lay({"conftest.py": conftest, "test_it.py": "import conftest, os, time\n" + check})
    ran = shop.probed(*NO_RANDOMLY)
    assert ran.verdicts() == {"test_it.py::test_x": "passed"}
    assert drawn(ran) == {}


def test_everything_is_put_back_at_the_end(shop: Workshop) -> None:
    names = "os.urandom, time.time, uuid.uuid4, random.SystemRandom.random, random.Random.__init__"
    plugin = f"import os, random, time, uuid\nBEFORE = ({names})\n"
    plugin += f"def pytest_unconfigure(): print('<same:', BEFORE == ({names}), '>')\n"
    shop.lay({"early.py": plugin, "test_it.py": "def test_x(): pass\n"})
    env = {"PYTHONPATH": str(shop.suite)}
    ran = shop.probed(*NO_RANDOMLY, "-p", "early", env=env, watch_entropy=True)
    assert "<same: True >" in ran.stdout


def test_a_test_that_draws_in_many_places_is_bounded(shop: Workshop) -> None:
    body = "".join(f"    os.urandom({n})\n" for n in range(80))
    shop.lay({"test_it.py": f"import os\ndef test_x():\n{body}"})
    assert len(drawn(shop.probed(*NO_RANDOMLY, watch_entropy=True))["x"]) == 50


@pytest.mark.skipif(unmet(("numpy",)) != [], reason=f"{PYTHON} has no numpy")
def test_an_unseeded_generator_of_numpy_is_noted(shop: Workshop) -> None:
    source = "import numpy as np\ndef test_a(): np.random.default_rng()\n"
    source += "def test_b(): np.random.default_rng(1); np.random.default_rng(seed=1)\n"
    shop.lay({"test_it.py": source, "conftest.py": "import numpy.random\n"})
    ran = shop.probed(*NO_RANDOMLY, watch_entropy=True)
    assert drawn(ran) == {"a": [("numpy default_rng()", "test_it.py", 2)]}


def test_the_option_of_the_program_switches_it_on(tmp_path: Path) -> None:
    here = place(tmp_path)
    here.file("test_it.py", "import os\ndef test_x(): os.urandom(1)\n")
    command = (PYTHON, "-m", "pytest", "-q", *NO_RANDOMLY)
    counts = []
    for words in (("run", "--"), ("run", "--watch-entropy", "--")):
        assert here.bundle(*words, *command).code == 0
        counts.append(sum(e.event == "EntropyDrawn" for _, e in here.latest().events()))
    assert counts == [0, 1]
