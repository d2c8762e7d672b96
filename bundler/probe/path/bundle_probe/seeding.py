"""Seeds that are imposed: before each phase of each test every generator starts from its seed.

Only where the run was given a seed. Seeded is what is already imported, each time anew: `random`,
numpy's legacy generator (the seed's low 32 bits; numpy 2.4 imports it when it is first used, so it
is imported where numpy is), torch on all its devices, tensorflow, the
generators of Faker, factory_boy, model_bakery and polyfactory, and what the entry points of the
group `bundle.seeders` name: callables that take the seed, an int of 64 bits. Setup, call and
teardown begin alike, and so does every attempt. Outside of tests the generators go on as if no test
had drawn from them; tensorflow's and those of entry points cannot be put back.

Where pytest-randomly reseeds, it is left to it (with a seed made of ours, unless the user gave it
one): only what it does not know is seeded here.
"""

from __future__ import annotations

import contextlib
import importlib
import random
import sys

import pytest

from .text import clip, shown, test_id

GROUP = "bundle.seeders"
LOW = 0xFFFFFFFF
DEFAULT = "default:"
"""What pytest-random-order puts before a seed or bucket that nobody asked for."""

# Generators of the kind of `random`: the module, and where in it.
_LIKE_RANDOM = (
    ("faker.generator", "random"),
    ("factory.random", "randgen"),
    ("model_bakery.random_gen", "baker_random"),
    ("polyfactory.constants", "DEFAULT_RANDOM"),
)
_NUMPY = "numpy.random.mtrand"


class Imposing:
    """The plugin that seeds, where a seed was imposed."""

    def __init__(self, recorder, config):
        self.log = recorder.log
        self._recorder = recorder
        self._generators = recorder.generators
        self._seed_random = recorder.generators.seed_random
        self._seeds = recorder.seeds
        self._modules = sys.modules
        self._node_id = self._seed = None
        self._randomly = _reseeds(config)
        self._seeders = _entry_points()
        self._failed = set()

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item):
        """Keep what the generators were, for the time between two tests."""
        try:
            before = self._before()
        except Exception as error:
            self._warn(item, "the generators", error)
            before = ()
        yield
        for what, put_back in before:
            try:
                put_back()
            except Exception as error:
                self._warn(item, what, error)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item):
        """Seed, before the first fixture."""
        self._impose(item)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_call(self, item):
        """Seed anew."""
        self._impose(item)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_teardown(self, item):
        """Seed anew."""
        self._impose(item)

    def _impose(self, item):
        if item.nodeid != self._node_id:
            self._node_id, self._seed = item.nodeid, self._seeds.seed(test_id(item.nodeid))
        seed, modules = self._seed, self._modules
        if not self._randomly:
            self._seed_random(seed)
            if "numpy" in modules:
                self._try(item, "numpy", _seed_numpy, seed)
            for module, name in _LIKE_RANDOM:
                if module in modules:
                    self._try(item, module, _seed_like_random, module, name, seed)
        if "torch" in modules:
            self._try(item, "torch", _seed_torch, seed)
        if "tensorflow" in modules:
            self._try(item, "tensorflow", _seed_tensorflow, seed)
        for name, seeder in self._seeders:
            self._try(item, name, seeder, seed)

    def _try(self, item, what, seeder, *arguments):
        """Call one that may fail: that is one warning, and no test fails of it."""
        try:
            seeder(*arguments)
        except Exception as error:
            self._warn(item, what, error)

    def _warn(self, item, what, error):
        if what in self._failed:
            return
        self._failed.add(what)
        words = f"{what} could not be seeded: {type(error).__name__}: {shown(error)}"
        data = {"warning": "NotSeeded", "message": clip(words, 4096)}
        known = test_id(item.nodeid)
        try:
            self._recorder.event("Warning", "log", data["message"], data, "WARN", known)
        except Exception as broken:
            self.log.disarm(broken)

    def _before(self):
        """Return how to put every generator back that is here now."""
        generators, modules = self._generators, self._modules
        if self._randomly:
            return _of_torch() if "torch" in modules else ()
        if "numpy" in modules and _NUMPY not in modules:
            with contextlib.suppress(Exception):  # seeding it says so
                importlib.import_module(_NUMPY)
        state = generators.take_random()
        before = [("random", lambda: generators.set_random(state))]
        of_numpy = generators.take_numpy()
        if of_numpy is not None:
            before.append(("numpy", lambda: generators.set_numpy(of_numpy)))
        for module, name in _LIKE_RANDOM:
            one = getattr(modules.get(module), name, None)
            if isinstance(one, random.Random):
                before.append((module, _putting_back(one)))
        return before + _of_torch() if "torch" in modules else before


def begin(recorder, config):
    """Impose the seed of the run on this process."""
    config.pluginmanager.register(Imposing(recorder, config), "bundle_probe_seeding")


def seed_other_plugins(config, root_seed):
    """Give pytest-randomly a seed of ours, unless the user gave it one."""
    if getattr(config.option, "randomly_seed", None) == "default":
        config.option.randomly_seed = root_seed & LOW


def give_back(config, seeds):
    """Give plugins that shuffle the seeds of the run that is run again, unless the user did."""
    option = config.option
    if "randomly" in seeds and getattr(option, "randomly_seed", None) == "default":
        option.randomly_seed = int(seeds["randomly"])
    # As a default: a seed that was asked for would switch pytest-random-order on.
    given = str(getattr(option, "random_order_seed", ""))
    if "random_order" in seeds and given.startswith(DEFAULT):
        option.random_order_seed = f"{DEFAULT}{seeds['random_order']}"


def _reseeds(config):
    """Whether pytest-randomly reseeds before each phase itself."""
    return config.pluginmanager.hasplugin("randomly") and bool(
        getattr(config.option, "randomly_reset_seed", False)
    )


def _entry_points():
    """Return name and callable of every seeder that is installed, or what raises in its place."""
    try:
        from importlib.metadata import entry_points

        found = entry_points()
        chosen = found.select(group=GROUP) if hasattr(found, "select") else found.get(GROUP, ())
        return [(f"seeder {one.name}", _loading(one)) for one in chosen]
    except Exception:
        return []  # an environment that cannot be read has no seeders


def _loading(entry):
    """Return a seeder that is imported when it is first called."""
    loaded = []

    def seed(number):
        if not loaded:
            loaded.append(entry.load())
        loaded[0](number)

    return seed


def _seed_numpy(seed):
    (sys.modules.get(_NUMPY) or importlib.import_module(_NUMPY)).seed(seed & LOW)


def _seed_like_random(module, name, seed):
    one = getattr(sys.modules[module], name)
    if isinstance(one, random.Random):
        one.seed(seed)


def _seed_torch(seed):
    sys.modules["torch"].manual_seed(seed)


def _seed_tensorflow(seed):
    sys.modules["tensorflow"].random.set_seed(seed & LOW)


def _putting_back(generator):
    state = generator.getstate()
    return lambda: generator.setstate(state)


def _of_torch():
    torch = sys.modules["torch"]
    state = torch.get_rng_state()
    before = [("torch", lambda: torch.set_rng_state(state))]
    cuda = getattr(torch, "cuda", None)
    if cuda is not None and cuda.is_initialized():
        states = cuda.get_rng_state_all()
        before.append(("torch on its devices", lambda: cuda.set_rng_state_all(states)))
    return before
