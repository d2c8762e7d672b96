"""Small suites whose truth is known: each fails when it is recorded, and how is written here.

Each is recorded in one directory and environment, packed, and reproduced from the zip in another
directory, where the suite may have changed. `CASES` is the literal that `docs/repro.md` is made of.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from command_line import Place, place

from bundler.seeds import scenario_seed

HASH_OF_7 = subprocess.run(
    [sys.executable, "-c", "print(hash('x'), end='')"],
    env={**os.environ, "PYTHONHASHSEED": "7"},
    capture_output=True,
    text=True,
    check=True,
).stdout
BOMB_S = 8.0
"""How long a time bomb goes on failing after it was written."""


@dataclass(frozen=True)
class Case:
    """A suite, what its failure is, and the verdict that is right."""

    name: str
    truth: str
    verdict: str
    files: Mapping[str, str]
    test: str = "victim"
    rung: str | None = "alone"
    polluters: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    run: tuple[str, ...] = ()
    there: Mapping[str, str] = field(default_factory=dict)
    here: Mapping[str, str] = field(default_factory=dict)
    changed: Mapping[str, str | None] = field(default_factory=dict)
    repeat: int = 3
    names_first: str | None = None
    takes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Found:
    """What the reproduction of a case said."""

    code: int
    document: dict[str, Any]
    stderr: str

    @property
    def test(self) -> dict[str, Any]:
        """The one test that was asked for."""
        [test] = self.document["tests"]
        assert isinstance(test, dict)
        return test


def one(body: str, before: str = "") -> dict[str, str]:
    """A suite of one file."""
    return {"test_it.py": before + "\n" + body}


ALWAYS = "def test_victim():\n    assert 1 + 1 == 3\n"
OTHERS = "".join(f"def test_other_{number}(): pass\n" for number in range(4))
STATE = "LIST = []\n"
COUNTER = """
from pathlib import Path
def count():
    path = Path(__file__).with_name("counter")
    number = int(path.read_text()) if path.exists() else 0
    path.write_text(str(number + 1))
    return number
"""

PLAIN = [
    Case("plain", "always fails", "reproduced", one(ALWAYS)),
    Case("setup", "a fixture raises", "reproduced",
         one("import pytest\n@pytest.fixture\ndef broken(): raise OSError('no disk')\n"
             "def test_victim(broken): pass\n")),
    Case("teardown", "a fixture raises at its end", "reproduced",
         one("import pytest\n@pytest.fixture\ndef broken():\n    yield\n    raise OSError('full')\n"
             "def test_victim(broken): pass\n")),
    Case("subtest", "a unittest subtest fails", "reproduced",
         one("import unittest\nclass T(unittest.TestCase):\n  def test_victim(self):\n"
             "    for n in range(3):\n      with self.subTest(n=n): assert n != 1\n")),
    Case("strict_xfail", "passes where it must not", "reproduced",
         one("import pytest\n@pytest.mark.xfail(strict=True)\ndef test_victim(): pass\n")),
    Case("odd_id", "a parameter that a shell would read", "reproduced",
         one("import pytest\n@pytest.mark.parametrize('x', [\"a b'c$(x) é;\"])\n"
             "def test_victim(x): assert not x\n")),
    Case("died", "takes its process with it", "reproduced",
         one("import os\ndef test_other(): pass\ndef test_victim(): os._exit(3)\n")),
    Case("time_limit", "takes longer than it may", "reproduced",
         one("import pytest, time\n@pytest.mark.timeout(0.2)\ndef test_victim(): time.sleep(9)\n")),
    Case("collection", "its file does not import", "reproduced",
         {"test_it.py": "import module_that_is_nowhere\n", "test_b.py": OTHERS},
         test="test_it.py", rung="collection"),
]  # fmt: skip

SEEDS = [
    Case("seed_in_test", "draws from the generator", "reproduced",
         one("import random\ndef test_victim():\n    assert random.randrange(10**8) == -1\n")),
    Case("seed_after_others", "draws after others drew", "reproduced",
         one("import random\ndef test_other(): random.random()\n"
             "def test_victim():\n    assert [random.randrange(10**8) for _ in range(3)] == []\n")),
    Case("seed_set_by_other", "another test seeded the generator", "reproduced",
         one("import random\ndef test_other(): random.seed(3)\n"
             "def test_victim():\n"
             "    assert random.randrange(10**8) != random.Random(3).randrange(10**8)\n"),
         takes=("random_numbers",)),
    Case("seed_at_import", "drew when its file was imported", "fails_differently",
         one("import random\nDRAWN = random.randrange(10**8)\n"
             "def test_victim():\n    assert DRAWN == -1\n")),
    Case("seed_in_session_fixture", "a session fixture drew in another test", "fails_differently",
         one("import random, pytest\n@pytest.fixture(scope='session')\n"
             "def drawn(): return random.randrange(10**8)\n"
             "def test_other(drawn): pass\ndef test_victim(drawn):\n    assert drawn == -1\n")),
    Case("seed_in_first_session_fixture", "a session fixture drew in this test", "reproduced",
         one("import random, pytest\n@pytest.fixture(scope='session')\n"
             "def drawn(): return random.randrange(10**8)\n"
             "def test_victim(drawn):\n    assert drawn == -1\n")),
    Case("imposed_in_test", "draws, under a seed that was imposed", "reproduced",
         one("import random\ndef test_other(): random.random()\n"
             "def test_victim():\n    assert random.randrange(10**8) == -1\n"),
         run=("--seed", "7")),
    Case("imposed_at_import", "drew at import, which an imposed seed comes after",
         "fails_differently",
         one("import random\nDRAWN = random.randrange(10**8)\n"
             "def test_victim():\n    assert DRAWN == -1\n"), run=("--seed", "7")),
    Case("imposed_in_session_fixture", "a session fixture drew, under an imposed seed",
         "order_dependent",
         one("import random, pytest\n@pytest.fixture(scope='session')\n"
             "def drawn(): return random.randrange(10**8)\n" + OTHERS
             + "def test_first(drawn): pass\ndef test_victim(drawn):\n    assert drawn == -1\n"),
         run=("--seed", "7"), rung="file", polluters=("test_it.py::test_first",)),
    Case("seed_decides", "fails with one state of the generator in a million", "reproduced",
         {"test_it.py": "import random\ndef test_victim(): assert random.randrange(10**6) != "
          f"{random.Random(3).randrange(10**6)}\n",
          "conftest.py": "import os, random\n"
          "def pytest_collection_finish(): random.seed(3 if 'RED' in os.environ else None)\n"},
         there={"RED": "1"}, takes=("random_numbers",)),
    Case("imposed_seed_decides", "fails with one seed in a million", "reproduced",
         one("import random\ndef test_victim(): assert random.randrange(10**6) != "
             f"{random.Random(scenario_seed(7, 'test_it.py::test_victim')).randrange(10**6)}\n"),
         run=("--seed", "7"), takes=("random_numbers",)),
    Case("hash_seed_decides", "fails with one order of hashes", "reproduced",
         one(f"def test_victim(): assert hash('x') != {HASH_OF_7}, 'that order'\n"),
         run=("--seed", "7"), takes=("order_of_hashes",)),
    Case("hash_order", "takes the order of a set for granted", "reproduced",
         one("def test_victim():\n    words = {f'word{n}' for n in range(9)}\n"
             "    assert list(words) == sorted(words)\n")),
    Case("hash_order_of_user", "the same, with a hash seed of the user's", "reproduced",
         one("def test_victim():\n    words = {f'word{n}' for n in range(9)}\n"
             "    assert list(words) == sorted(words)\n"),
         there={"PYTHONHASHSEED": "77"}, here={"PYTHONHASHSEED": "5"}),
    Case("hash_order_not_fixed", "the same, with a hash seed that nobody knows",
         "fails_differently",
         one("def test_victim():\n    words = {f'word{n}' for n in range(9)}\n"
             "    assert list(words) == sorted(words)\n"),
         run=("--no-hash-seed",)),
    Case("entropy", "tosses a coin that no seed decides", "flaky",
         one("import os\ndef test_victim():\n    heads = os.urandom(1)[0] % 2\n"
             "    assert heads, 'tails'\n"), repeat=14),
    Case("every_other_time", "remembers on disk how often it ran", "flaky",
         one(COUNTER + "def test_victim():\n    assert count() % 2, 'odd one out'\n")),
]  # fmt: skip

ORDER = [
    Case("one_polluter", "one test before it leaves something behind", "order_dependent",
         one(STATE + OTHERS + "def test_polluter(): LIST.append(1)\ndef test_more(): pass\n"
             "def test_victim(): assert not LIST\n"),
         rung="file", polluters=("test_it.py::test_polluter",)),
    Case("polluter_elsewhere", "a test of another file does", "order_dependent",
         {"state.py": STATE,
          "test_a.py": "import state\n" + OTHERS + "def test_polluter(): state.LIST.append(1)\n",
          "test_b.py": "import state\n" + OTHERS + "def test_victim(): assert not state.LIST\n"},
         rung="worker", polluters=("test_a.py::test_polluter",)),
    Case("two_polluters", "two tests together do, each alone does not", "order_dependent",
         one(STATE + "def test_first(): LIST.append(1)\n" + OTHERS
             + "def test_second():\n    if LIST: LIST.append(2)\n"
             "def test_victim(): assert len(LIST) < 2\n"),
         rung="file", polluters=("test_it.py::test_first", "test_it.py::test_second")),
    Case("polluter_that_fails", "a failing test does", "order_dependent",
         one(STATE + OTHERS + "def test_polluter():\n    LIST.append(1)\n    assert 0\n"
             "def test_victim(): assert not LIST\n"),
         rung="file", polluters=("test_it.py::test_polluter",)),
    Case("environment_polluter", "a test sets a variable", "order_dependent",
         {"test_a.py": "import os\n" + OTHERS + "def test_polluter(): os.environ['MODE'] = 'x'\n",
          "test_b.py": "import os\ndef test_victim(): assert 'MODE' not in os.environ\n"},
         rung="worker", polluters=("test_a.py::test_polluter",)),
    Case("directory_polluter", "a test changes the directory", "order_dependent",
         {"test_a.py": "import os\ndef test_polluter(tmp_path): os.chdir(tmp_path)\n" + OTHERS,
          "test_b.py": "from pathlib import Path\n"
                       "def test_victim(): assert Path('test_b.py').exists()\n"},
         rung="worker", polluters=("test_a.py::test_polluter",)),
    Case("session_fixture_polluter", "a test changes what a session fixture gave",
         "order_dependent",
         one("import pytest\n@pytest.fixture(scope='session')\ndef shared(): return []\n" + OTHERS
             + "def test_polluter(shared): shared.append(1)\n"
             "def test_victim(shared): assert not shared\n"),
         rung="file", polluters=("test_it.py::test_polluter",)),
    Case("class_polluter", "a test changes its class", "order_dependent",
         one("class TestShop:\n    stock = 3\n    def test_a(self): pass\n"
             "    def test_sell(self): type(self).stock = 2\n"
             "    def test_victim(self): assert self.stock == 3\n"),
         rung="file", polluters=("test_it.py::TestShop::test_sell",)),
    Case("brittle", "fails alone, and passes after another test", "reproduced",
         one(STATE + "def test_setter(): LIST.append(1)\ndef test_victim(): assert LIST\n"),
         args=("-k", "victim")),
    Case("brittle_on_worker", "fails on a worker without that other test", "reproduced",
         {"state.py": STATE,
          "test_a.py": "import state\ndef test_setter(): state.LIST.append(1)\n",
          "test_b.py": "import state\ndef test_victim(): assert state.LIST\n"},
         args=("-n2", "--dist", "loadfile")),
    Case("worker_split", "its worker had run the polluter", "order_dependent",
         {"test_a.py": STATE + "def test_polluter(): LIST.append(1)\n"
                       "def test_victim(): assert not LIST\n",
          "test_b.py": OTHERS},
         args=("-n2", "--dist", "loadfile"),
         rung="file", polluters=("test_a.py::test_polluter",)),
    Case("only_on_workers", "fails in any worker, and nowhere else", "reproduced",
         one(OTHERS + "import os\n"
             "def test_victim():\n    on_worker = 'PYTEST_XDIST_WORKER' in os.environ\n"
             "    assert not on_worker\n"),
         args=("-n2",), rung="full"),
]  # fmt: skip

PLACES = [
    Case("zone_bomb", "the local hour is not that of UTC", "reproduced",
         one("import time\ndef test_victim(): assert time.localtime(0).tm_hour == 0\n"),
         there={"TZ": "Asia/Tokyo"}, here={"TZ": "UTC"}, takes=("time_zone_and_locale",)),
    Case("zone_bomb_here", "passed only in a zone that is the one here", "reproduced",
         one("import time\ndef test_victim(): assert time.localtime(0).tm_hour == 9\n"),
         there={"TZ": "UTC"}, here={"TZ": "Asia/Tokyo"}, takes=("time_zone_and_locale",)),
    Case("locale_bomb", "writes a letter that the locale lacks", "reproduced",
         one("def test_victim(tmp_path): (tmp_path / 'x').write_text('é')\n"),
         there={"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
         here={"LC_ALL": "C.UTF-8"}, takes=("time_zone_and_locale",)),
    Case("date_bomb", "a date that has passed", "reproduced",
         one("import datetime\n"
             "def test_victim(): assert datetime.date.today() < datetime.date(2020, 1, 1)\n")),
    Case("time_bomb", "failed until a moment that has passed since", "not_reproduced",
         one("import time\ndef test_victim(): assert time.time() > EXPLODES\n")),
    Case("variable", "a variable of the CI's", "not_reproduced",
         one("import os\ndef test_victim(): assert 'GITHUB_ACTIONS' not in os.environ\n"),
         there={"GITHUB_ACTIONS": "1"}, names_first="GITHUB_ACTIONS"),
    Case("package", "a package that is missing there and not here", "not_reproduced",
         {"test_it.py": "def test_victim(): import extra_package\n",
          "extra/extra_package.py": "", "extra/extra_package-1.0.dist-info/METADATA": ""},
         here={"EXTRA": "extra"}, names_first="package extra-package"),
    Case("fixed_since", "its code was mended", "not_reproduced",
         {"test_it.py": "import shop\ndef test_victim(): assert shop.total() == 3\n",
          "shop.py": "def total(): return 2\n"},
         changed={"shop.py": "def total(): return 3\n"}),
    Case("fails_differently_since", "its code was changed, and fails in another way",
         "fails_differently",
         {"test_it.py": "import shop\ndef test_victim(): assert shop.total() == 3\n",
          "shop.py": "def total(): return 2\n"},
         changed={"shop.py": "def total(): return {}['total']\n"}),
    Case("gone_since", "the test was deleted", "could_not_run",
         one(ALWAYS), changed={"test_it.py": OTHERS}, rung=None),
    Case("broken_since", "its file does not import any more", "could_not_run",
         one(ALWAYS), changed={"test_it.py": "import module_that_is_nowhere\n" + ALWAYS},
         rung=None),
    Case("skipped_since", "it skips itself now", "could_not_run",
         one(ALWAYS),
         changed={"test_it.py": "import pytest\npytestmark = pytest.mark.skip\n" + ALWAYS},
         rung=None),
    Case("collection_fixed_since", "its file imports again", "not_reproduced",
         {"test_it.py": "import later\ndef test_victim(): pass\n", "test_b.py": OTHERS},
         changed={"later.py": ""}, test="test_it.py", rung="collection"),
]  # fmt: skip

HYPOTHESIS = [
    Case("property", "a property with a smallest counterexample", "reproduced",
         one("from hypothesis import given, strategies as st\n"
             "@given(st.integers())\ndef test_victim(n): assert n < 1000\n")),
    Case("property_fixed_since", "a property that holds again", "not_reproduced",
         one("from hypothesis import given, strategies as st\n"
             "@given(st.integers())\ndef test_victim(n): assert n < 1000\n"),
         changed=one("from hypothesis import given, strategies as st\n"
                     "@given(st.integers())\ndef test_victim(n): assert n == n\n")),
    Case("property_after_other", "a property that another test spoils", "order_dependent",
         one("from hypothesis import given, strategies as st\n" + STATE
             + "def test_polluter(): LIST.append(1)\n"
             "@given(st.integers(0, 5))\ndef test_victim(n): assert n not in LIST\n"),
         rung="file", polluters=("test_it.py::test_polluter",)),
]  # fmt: skip

CASES = [*PLAIN, *SEEDS, *ORDER, *PLACES, *HYPOTHESIS]


@dataclass(frozen=True)
class Recorded:
    """A case that was recorded: its zip, and when its time bomb stops failing."""

    case: Case
    bundle: Path
    explodes: float


def record(case: Case, directory: Path) -> Recorded:
    """Write the suite, run it under recording, and pack the run."""
    directory.mkdir()
    there = place(directory)
    explodes = time.time() + BOMB_S
    for name, text in case.files.items():
        there.file(name, text.replace("EXPLODES", repr(explodes)))
    # Loading it takes as long as all the rest of pytest.
    faster = () if case in HYPOTHESIS else ("-p", "no:hypothesispytest")
    words = ["run", *case.run, "--", sys.executable, "-m", "pytest", "-q", *faster, *case.args]
    ran = there.bundle(*words, **{"TZ": "UTC", **case.there})
    packed = directory / "run.zip"
    done = there.bundle("pack", "-o", str(packed))
    assert done.code == 0, (case.name, ran.stdout, ran.stderr, done.stderr)
    return Recorded(case, packed, explodes)


def record_red(case: Case, directory: Path) -> Recorded:
    """Record a case; one that fails by chance, until it did."""
    from bundler.bundle import read
    from bundler.results import RED

    for number in range(20):
        recorded = record(case, directory / str(number))
        results = read(recorded.bundle).results
        if results.collection or any(
            test.verdict in RED and case.test in test.test_id for test in results.tests
        ):
            return recorded
        assert case.name == "entropy", f"{case.name} did not fail"
    raise AssertionError(f"{case.name} never failed")


def reproduce(recorded: Recorded, directory: Path, *words: str) -> Found:
    """Reproduce a recorded case in another directory, where the suite may have changed."""
    case = recorded.case
    directory.mkdir()
    here = place(directory)
    shutil.copy(recorded.bundle, here.project / "run.zip")
    for name, text in {**case.files, **case.changed}.items():
        if text is not None:
            here.file(name, text.replace("EXPLODES", repr(recorded.explodes)))
    if case.name == "time_bomb":
        time.sleep(max(0.0, recorded.explodes - time.time()))
    done = here.bundle(
        *("repro", "run.zip", case.test, "--json", "--repeat", str(case.repeat)),
        *words,
        **_environment(case, here),
    )
    assert done.stdout, (case.name, done.stderr)
    return Found(done.code, json.loads(done.stdout), done.stderr)


def _environment(case: Case, here: Place) -> dict[str, str]:
    given = dict(case.here)
    extra = given.pop("EXTRA", None)
    if extra is not None:
        known = here.environment()["PYTHONPATH"]
        given["PYTHONPATH"] = os.pathsep.join([known, str(here.project / extra)])
    return {"TZ": "UTC", **given}


def table() -> str:
    """The table of verdicts, as `docs/repro.md` has it; a test holds each row against a run."""
    rows = ["| suite | the truth | verdict | seen | takes |", "|---|---|---|---|---|"]
    for case in CASES:
        seen = case.rung or "–"
        if case.polluters:
            names = ", ".join(f"`{one.rpartition('::')[2]}`" for one in case.polluters)
            seen = f"{seen}, after {names}"
        takes = ", ".join(one.replace("_", " ") for one in case.takes)
        rows.append(f"| {case.name} | {case.truth} | {case.verdict} | {seen} | {takes} |")
    return "\n".join(rows) + "\n"
