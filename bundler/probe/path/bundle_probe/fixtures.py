"""The fixtures that give a seeded value to whoever asks: in every mode, and without a recording.

A test's seed is the same in every order, subset, worker and attempt; only the run's root seed and
the test's own id make it.
"""

from __future__ import annotations

import random
from importlib.util import find_spec

import pytest

from . import test_bundle
from .text import Seeds, test_id


class Fixtures:
    """The plugin that has them; where `told`, the report of a test that fails has the root seed."""

    def __init__(self, root_seed, told=False):
        self._seeds = Seeds(root_seed)
        self._words = f"BUNDLE_SEED=0x{root_seed:016x}" if told else ""

    @pytest.fixture
    def bundle_seed(self, request):
        """The seed of this test: an unsigned 64-bit int."""
        if self._words:
            request.node.add_report_section("setup", "seed", self._words)
        return self._seeds.seed(test_id(request.node.nodeid))

    @pytest.fixture
    def bundle_rng(self, bundle_seed):
        """A random.Random of this test's seed."""
        return random.Random(bundle_seed)


class NumpyFixtures:
    """The plugin that has what needs numpy."""

    @pytest.fixture
    def bundle_numpy_rng(self, bundle_seed):
        """A numpy.random.Generator of this test's seed."""
        import importlib

        return importlib.import_module("numpy.random").default_rng(bundle_seed)


def register(manager, root_seed, told=False):
    """Register the fixtures, those for numpy where numpy is."""
    manager.register(Fixtures(root_seed, told), "bundle_probe_fixtures")
    test_bundle.register(manager, root_seed)
    if _is_there("numpy"):
        manager.register(NumpyFixtures(), "bundle_probe_numpy_fixtures")


def _is_there(module):
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):
        return False
