"""With a seed imposed, a test's values are its own: in every order, subset, worker and attempt."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from builders import a_manifest
from command_line import HERE
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from probe_driver import PYTHON, ROOT_SEED, Ran, Workshop, unmet

from bundler.eventlog import PlainLog
from bundler.recording import Recording
from bundler.seeds import scenario_seed
from bundler.test_bundles import write

NO_RANDOMLY = ("-p", "no:randomly", "-p", "no:cacheprovider", "-s")
has_xdist = not unmet(("xdist",))

SOURCE = """
import random, pytest

@pytest.fixture(scope="session")
def once(): return random.random()

@pytest.fixture
def each(): return random.gauss(0, 1)

def show(name, *values): print(f"<{name}: {values}>")

@pytest.mark.parametrize("n", range(3))
def test_values(n, each):
    show(f"test_it.py::test_values[{n}]", each, random.random(), random.gauss(0, 1))
    random.random()

def test_first(once):
    show("test_it.py::test_first", once)
"""


@pytest.fixture
def shop(tmp_path: Path) -> Workshop:
    """A place to run suites in."""
    return Workshop(tmp_path)


def imposed(shop: Workshop, *args: str, **settings: Any) -> Ran:
    """Run with the seed of the driver imposed."""
    return shop.probed(*NO_RANDOMLY, *args, impose=True, **settings)


def shown(ran: Ran) -> dict[str, str]:
    """What the tests showed, by id; with xdist it is in the log alone."""
    text = ran.stdout + "".join(one.get("text", "") for one in ran.named("TestOutput"))
    return dict(re.findall(r"<([^ ]+): (.*)>", text))


def test_the_values_are_the_same_in_every_order_subset_and_worker(shop: Workshop) -> None:
    shop.lay({"test_it.py": SOURCE})
    first = shown(imposed(shop))
    assert len(first) == 4
    order = shop.place / "selection.json"
    ids = list(first)
    for chosen in (ids[::-1], ids[2:]):
        document = {"version": 1, "only": chosen, "order": chosen}
        order.write_text(json.dumps(document))
        values = shown(imposed(shop, selection=str(order)))
        assert values == {one: first[one] for one in chosen}
    if has_xdist:
        assert shown(imposed(shop, "-n2", "--capture=sys", "-rA")) == first
    assert shown(imposed(shop, seed_hex="0000000000000001")) != first


LIGHT = ("-p", "no:hypothesispytest")
SOURCES = {
    "random": "__import__('random').gauss(0, 1)",
    "bundle_rng": "bundle_rng.random()",
    "bundle_seed": "bundle_seed",
}


@pytest.mark.slow
def test_every_source_has_its_values_in_any_order_subset_and_number_of_workers(
    shop: Workshop,
) -> None:
    """A property, over orders and subsets that are drawn, of every library that is there."""
    # model_bakery takes all of Django each time; it is seeded as factory_boy is.
    there = {n: code for n, code in OTHERS.items() if n != "model_bakery" and not unmet((n,))}
    sources = {**SOURCES, **there}
    source = "".join(f"{code}\n" for code in there.values())  # imports it
    shown_as = ", ".join(f"({name!r}, {code})" for name, code in sources.items())
    for number in range(6):
        name = f"test_it.py::test_{number}"
        source += f"def test_{number}(bundle_rng, bundle_seed):\n"
        source += f"    {OTHERS['numpy'] if 'numpy' in sources else '0'}\n" * number
        source += f"    print('<{name}: ' + repr([{shown_as}]) + '>')\n"
    shop.lay({"test_it.py": source})
    first = shown(imposed(shop))
    assert len(first) == len(set(first.values())) == 6
    selection = shop.place / "selection.json"

    @settings(
        max_examples=4, deadline=None, derandomize=True, database=None, phases=(Phase.generate,)
    )
    @given(
        st.permutations(sorted(first)),
        st.integers(1, 6),
        st.sampled_from([0, 1, 2] if has_xdist else [0]),
    )
    def holds(order: list[str], size: int, workers: int) -> None:
        chosen = order[:size]
        selection.write_text(json.dumps({"version": 1, "only": chosen, "order": chosen}))
        spread = (f"-n{workers}", "--capture=sys", "-rA") if workers else ()
        values = shown(imposed(shop, *LIGHT, *spread, selection=str(selection)))
        assert values == {one: first[one] for one in chosen}

    holds()


@pytest.mark.skipif(unmet(("numpy",)) != [], reason=f"{PYTHON} has no numpy")
def test_numpy_s_generator_is_seeded_before_it_is_first_used(shop: Workshop) -> None:
    # numpy 2.4 imports it then.
    source = "import numpy as np\n"
    for name in "ab":
        source += f"def test_{name}(): print('<{name}: ' + repr(np.random.random()) + '>')\n"
    shop.lay({"test_it.py": source})
    both = shown(imposed(shop, *LIGHT))
    assert shown(imposed(shop, *LIGHT)) == both
    assert shown(imposed(shop, *LIGHT, "-k", "test_b")) == {"b": both["b"]}


def test_each_phase_begins_as_random_seed_would(shop: Workshop) -> None:
    source = """
import random, pytest

def show(phase, request): print(f"<{phase}: {random.random()!r}>")

@pytest.fixture(autouse=True)
def phases(request):
    show("setup", request)
    yield
    show("teardown", request)

def test_it(request): show("call", request)
"""
    shop.lay({"test_it.py": source})
    import random

    value = repr(random.Random(scenario_seed(ROOT_SEED, "test_it.py::test_it")).random())
    assert shown(imposed(shop)) == dict.fromkeys(("setup", "call", "teardown"), value)


def test_nothing_leaks_out_of_the_tests(shop: Workshop) -> None:
    drawing = "import random\ndef test_a(): random.seed(1)\ndef test_b(): random.gauss(0, 1)\n"
    still = "def test_a(): pass\ndef test_b(): pass\n"
    end = "\ndef pytest_sessionfinish(): print(f'<end: {random.random()}>')\n"
    # Outside of tests the hooks of a session alone draw: what they get without any test's draws.
    shop.lay({"test_it.py": still, "conftest.py": "import random\nrandom.seed(5)\n" + end})
    expected = shown(shop.plain(*NO_RANDOMLY))
    shop.lay({"test_it.py": drawing, "conftest.py": "import random\nrandom.seed(5)\n" + end})
    assert shown(imposed(shop)) == expected != shown(shop.plain(*NO_RANDOMLY))


def test_a_session_that_is_stopped_inside_a_test_leaks_nothing(shop: Workshop) -> None:
    source = "import pytest, random\ndef test_a(): pytest.exit('enough')\n"
    end = "import random\nrandom.seed(5)\n"
    end += "def pytest_unconfigure(): print(f'<end: {random.random()}>')\n"
    shop.lay({"test_it.py": source, "conftest.py": end})
    assert shown(imposed(shop)) == shown(shop.plain(*NO_RANDOMLY))


@pytest.mark.skipif(unmet(("pytest_rerunfailures",)) != [], reason="no pytest-rerunfailures")
def test_each_attempt_begins_alike(shop: Workshop) -> None:
    shop.lay({"test_it.py": "import random\ndef test_it(): assert [random.random()] is None\n"})
    ran = imposed(shop, "--reruns=2")
    said = [one.failures[0].message for one in ran.results.tests[0].attempts]
    assert len(said) == 3
    assert len(set(said)) == 1


def test_no_state_is_kept_where_the_seed_says_it_all(shop: Workshop) -> None:
    shop.lay({"test_it.py": "def test_it(): assert False\n"})
    assert imposed(shop).named("GeneratorState") == []


OTHERS = {
    "numpy": "__import__('numpy.random').random.random()",
    "faker": "__import__('faker').Faker().name()",
    "factory": "__import__('factory.fuzzy').fuzzy.FuzzyInteger(0, 10**9).fuzz()",
    "model_bakery": (
        "(__import__('django.db.models'), __import__('model_bakery.random_gen'))[1]"
        ".random_gen.baker_random.random()"
    ),
    "polyfactory": "__import__('polyfactory.factories').factories.BaseFactory.__random__.random()",
}


@pytest.mark.parametrize("module", OTHERS)
def test_other_generators_are_seeded_where_they_are_imported(shop: Workshop, module: str) -> None:
    if unmet((module,)):
        pytest.skip(f"{PYTHON} has no {module}")
    source = f"__import__('{module}')\n{OTHERS[module]}\n"
    for name in "ab":
        source += f"def test_{name}(): print('<{name}: ' + repr({OTHERS[module]}) + '>')\n"
    outside = (
        f"{source}\ndef pytest_unconfigure(): print('<end: ' + repr({OTHERS[module]}) + '>')\n"
    )
    shop.lay({"test_it.py": source, "conftest.py": outside.replace("def test_", "def other_")})
    first, again, alone = (shown(imposed(shop, *args)) for args in ((), (), ("-k", "test_b")))
    assert (first["a"], first["b"]) == (again["a"], again["b"])
    assert alone["b"] == first["b"] != first["a"]
    assert first["end"] not in (first["a"], first["b"])


@pytest.mark.skipif(unmet(("pytest_randomly",)) != [], reason=f"{PYTHON} has no pytest-randomly")
def test_pytest_randomly_seeds_by_itself_with_a_seed_of_ours(shop: Workshop) -> None:
    # What it leaves behind between two tests shows whether somebody else was there too.
    end = "import random\ndef pytest_unconfigure(): print(f'<end: {random.random()}>')\n"
    shop.lay({"test_it.py": SOURCE, "conftest.py": end})
    args = ("-p", "no:cacheprovider", "-s")
    ran = shop.probed(*args, impose=True)
    by_itself = shop.plain(*args, "-p", "randomly", f"--randomly-seed={ROOT_SEED & 0xFFFFFFFF}")
    assert f"Using --randomly-seed={ROOT_SEED & 0xFFFFFFFF}" in ran.stdout
    assert shown(ran) == shown(by_itself)
    mine = shop.probed(*args, "--randomly-seed=3", impose=True)
    assert "Using --randomly-seed=3" in mine.stdout
    if has_xdist:
        spread = shop.probed(*args, "-n2", "--capture=sys", "-rA", impose=True)
        alone = shown(ran)
        # Drawn by whoever came first, and outside of every test.
        del alone["test_it.py::test_first"], alone["end"]
        assert alone.items() <= shown(spread).items()


@pytest.mark.skipif(unmet(("pytest_randomly",)) != [], reason=f"{PYTHON} has no pytest-randomly")
def test_pytest_randomly_is_given_back_its_seed(shop: Workshop) -> None:
    shop.lay({"test_it.py": SOURCE})
    file = shop.place / "selection.json"
    file.write_text(json.dumps({"version": 1, "random_seeds": {"randomly": 77}}))
    again = shop.probed(selection=str(file))
    assert "Using --randomly-seed=77" in again.stdout
    assert again.named("SessionStarted")[0]["random_seeds"]["randomly"] == "77"
    assert "--randomly-seed=3" in shop.probed("--randomly-seed=3", selection=str(file)).stdout


@pytest.mark.skipif(unmet(("random_order",)) != [], reason=f"{PYTHON} has no pytest-random-order")
def test_pytest_random_order_is_given_back_its_seed_and_is_not_switched_on(shop: Workshop) -> None:
    source = SOURCE + "def test_new(): pass\ndef test_newer(): pass\n"
    shop.lay({"test_it.py": source})
    file = shop.place / "selection.json"
    file.write_text(json.dumps({"version": 1, "random_seeds": {"random_order": "77"}}))
    again = shop.probed("-v", *NO_RANDOMLY, "--random-order", selection=str(file))
    assert "--random-order-seed=77" in again.stdout
    assert again.named("SessionStarted")[0]["random_seeds"] == {"random_order": "77"}
    mine = shop.probed(*NO_RANDOMLY, "--random-order-seed=3", selection=str(file))
    assert mine.named("SessionStarted")[0]["random_seeds"] == {"random_order": "3"}
    off = shop.probed(*NO_RANDOMLY, selection=str(file))
    assert "randomisation NOT enabled" in off.stdout
    assert "random_seeds" not in off.named("SessionStarted")[0]


DIST = {
    "more.dist-info/METADATA": "Metadata-Version: 2.1\nName: more\nVersion: 1\n",
    "more.dist-info/entry_points.txt": (
        "[bundle.seeders]\ngood = more:good\nbad = more:bad\ngone = gone:x\n"
    ),
    "more.py": "seeds = []\ngood = seeds.append\ndef bad(seed): raise ValueError('no')\n",
}


def test_an_entry_point_is_called_with_the_seed_and_may_fail(shop: Workshop) -> None:
    source = "import more\ndef test_a(): pass\n"
    source += "def test_b(): assert [more.seeds[0], more.seeds[-1]] is None\n"
    shop.lay({"test_it.py": source, **DIST})
    ran = imposed(shop, env={"PYTHONPATH": str(shop.suite)})
    seeds = [scenario_seed(ROOT_SEED, f"test_it.py::test_{name}") for name in "ab"]
    assert ran.verdicts() == {"test_it.py::test_a": "passed", "test_it.py::test_b": "failed"}
    assert str(seeds) in ran.results.tests[1].attempts[0].failures[0].message
    warned = [one["message"] for one in ran.named("Warning")]
    assert warned == [
        "seeder bad could not be seeded: ValueError: no",
        "seeder gone could not be seeded: ModuleNotFoundError: No module named 'gone'",
    ]


TORCH = """
import sys, types
torch = types.ModuleType("torch")
torch.calls = []
torch.manual_seed = lambda seed: torch.calls.append(("seed", seed))
torch.get_rng_state = lambda: torch.calls.append(("get",)) or "state"
torch.set_rng_state = lambda state: torch.calls.append(("set", state))
torch.cuda = types.SimpleNamespace(
    is_initialized=lambda: True,
    get_rng_state_all=lambda: ["cuda"],
    set_rng_state_all=lambda states: torch.calls.append(("set all", states)),
)
sys.modules["torch"] = torch
def pytest_unconfigure(): print(f"<calls: {torch.calls}>")
"""


def test_torch_is_seeded_and_put_back(shop: Workshop) -> None:
    # torch is too large to have here; these are the names of its documentation.
    shop.lay({"conftest.py": TORCH, "test_it.py": "def test_a(): pass\n"})
    seed = ("seed", scenario_seed(ROOT_SEED, "test_it.py::test_a"))
    calls = [("get",), seed, seed, seed, ("set", "state"), ("set all", ["cuda"])]
    assert shown(imposed(shop)) == {"calls": str(calls)}


FIXTURES = """
import random
def test_it(bundle_seed, bundle_rng):
    assert bundle_rng.random() == random.Random(bundle_seed).random()
    print(f"<seed: {bundle_seed}>")
"""


@pytest.mark.parametrize("impose", [False, True])
@pytest.mark.parametrize("args", [(), ("-n2", "--capture=sys", "-rA")] if has_xdist else [()])
def test_the_fixtures_give_the_test_s_seed_in_both_modes(
    shop: Workshop, impose: bool, args: tuple[str, ...]
) -> None:
    shop.lay({"test_it.py": FIXTURES})
    ran = shop.probed(*NO_RANDOMLY, *args, impose=impose)
    assert shown(ran) == {"seed": str(scenario_seed(ROOT_SEED, "test_it.py::test_it"))}


def test_the_fixture_for_numpy_is_there_where_numpy_is(shop: Workshop) -> None:
    source = "def test_it(bundle_numpy_rng): print(f'<n: {bundle_numpy_rng.random()}>')\n"
    shop.lay({"test_it.py": source})
    ran = shop.probed(*NO_RANDOMLY)
    if unmet(("numpy",)):
        assert ran.results.tests[0].attempts[0].failures[0].type == "FixtureLookupError"
    else:
        assert shown(ran) == shown(shop.probed(*NO_RANDOMLY))


@pytest.mark.skipif(unmet(("hypothesis",)) != [], reason=f"{PYTHON} has no hypothesis")
def test_the_profile_of_hypothesis_is_recorded_and_its_blob_is_found(shop: Workshop) -> None:
    profile = (
        "from hypothesis import settings\n"
        "settings.register_profile('mine', print_blob=True, database=None)\n"
        "settings.load_profile('mine')\n"
    )
    source = (
        "from hypothesis import given, strategies as st\n"
        "@given(st.integers())\ndef test_it(n): assert n < 100\n"
    )
    shop.lay({"conftest.py": profile, "test_it.py": source})
    ran = shop.probed(*NO_RANDOMLY)
    assert ran.named("SessionStarted")[0]["hypothesis_profile"] == "mine"
    log = PlainLog(lambda: shop.log.open("rb"))
    recording = Recording(a_manifest(), {}, log, {}, "memory")
    write(shop.place / "bundle", recording)
    [manifest] = (shop.place / "bundle").glob("tests/*/*/manifest.json")
    blob = json.loads(manifest.read_bytes())["execution"]["reproduce_failure"]
    assert re.fullmatch(r"@reproduce_failure\('[0-9.]+', b'[\w+/=]+'\)", blob)


def test_the_vector_of_the_specification_reaches_the_test(shop: Workshop) -> None:
    source = (
        "import pytest\n@pytest.mark.parametrize('x', ['x'])\n"
        "def test_\u00e9(x, bundle_seed): print(f'<seed: {bundle_seed:016x}>')\n"
    )
    shop.lay({"pytest.ini": "[pytest]\n", "tests/test_a.py": source})
    ran = imposed(shop, seed_hex="f" * 16)
    assert ran.results.tests[0].test_id == "tests/test_a.py::test_\u00e9[x]"
    assert shown(ran) == {"seed": "49264edaa99944a3"}
    assert ran.results.tests[0].seed == 0x49264EDAA99944A3


PLUGIN = ("-p", "no:bundle", "-p", "bundler.pytest_plugin")


def test_without_a_recording_the_fixtures_follow_the_variable_and_say_so(shop: Workshop) -> None:
    failing = FIXTURES + "\ndef test_fails(bundle_rng): assert False\n"
    shop.lay({"test_it.py": failing})
    env = {"PYTHONPATH": HERE, "BUNDLE_SEED": f"0x{ROOT_SEED:x}"}
    ran = shop.plain(*NO_RANDOMLY, *PLUGIN, env=env)
    assert shown(ran) == {"seed": str(scenario_seed(ROOT_SEED, "test_it.py::test_it"))}
    assert ran.stdout.count(f"BUNDLE_SEED=0x{ROOT_SEED:016x}") == 1
    fresh = [shown(shop.plain(*NO_RANDOMLY, *PLUGIN, env={"PYTHONPATH": HERE})) for _ in range(2)]
    assert fresh[0] != fresh[1]


def test_a_variable_that_is_no_seed_is_a_usage_error(shop: Workshop) -> None:
    shop.lay({"test_it.py": FIXTURES})
    ran = shop.plain(*PLUGIN, env={"PYTHONPATH": HERE, "BUNDLE_SEED": "seven"})
    assert ran.exit_code == 4
    assert "BUNDLE_SEED: seed 'seven' is not an unsigned 64-bit number" in ran.stderr


def test_the_plugin_beside_a_recording_leaves_the_fixtures_to_it(shop: Workshop) -> None:
    shop.lay({"test_it.py": FIXTURES})
    ran = shop.probed(*NO_RANDOMLY, *PLUGIN, env={"PYTHONPATH": HERE, "BUNDLE_SEED": "1"})
    assert shown(ran) == {"seed": str(scenario_seed(ROOT_SEED, "test_it.py::test_it"))}
