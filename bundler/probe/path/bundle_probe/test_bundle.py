"""The fixture `bundle`: what a test says of itself, in a bundle of its own, as it says it.

Its bundle is `{base}/{slug of the test id}/{seed:016x}/`. `{base}` is BUNDLE_ARTIFACTS_DIR (which a
recording sets: then it lies in the bundle of the run), else ASUPERSYNC_TEST_ARTIFACTS_DIR, else a
temporary directory of pytest's, so that a test needs not know whether anybody records. A fixture
`bundle` of a suite's own, or of another plugin, wins.
"""

from __future__ import annotations

import importlib.util
import inspect
import os
import shlex
import sys

import pytest

from . import masking
from .text import SECRETS, Seeds, shown, test_id

_NAME = "bundle"
_MARK = "bundle(subsystem, invariant): the part under test, and what has to hold, for its bundle"
_ASSERTIONS = (AssertionError, pytest.fail.Exception)


def register(manager, root_seed):
    """Register the fixture, unless another plugin has one of that name."""
    if not any(_has_one(plugin) for plugin in manager.get_plugins()):
        manager.register(TestBundles(root_seed), "bundle_probe_test_bundle")


class TestBundles:
    """The plugin that has the fixture, and that fails a test whose checks failed."""

    def __init__(self, root_seed):
        self._root_seed = root_seed
        self._seeds = Seeds(root_seed)
        self._pid = os.getpid()
        self._open = {}
        self._broken = {}
        self._interrupted = False

    def pytest_configure(self, config):
        """Make the mark known."""
        config.addinivalue_line("markers", _MARK)

    @pytest.fixture(name=_NAME)
    def given(self, request):
        """The bundle of this test: log, phase, check, attach, trace."""
        item = request.node
        bundle = self._open[item.nodeid] = self._make(request)
        try:
            yield bundle
        finally:
            del self._open[item.nodeid]
            self._finish(item, bundle, self._broken.pop(item.nodeid, None))

    def pytest_collection_finish(self, session):
        """Load the writer before a test can patch anything, if a test asks for it."""
        try:
            if any(_NAME in getattr(item, "fixturenames", ()) for item in session.items):
                load_writer()
        except Exception:
            return  # the test that asks for it will meet it and say it

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_call(self, item):
        """Fail a test that has run to its end, but whose checks failed."""
        bundle = self._open.get(item.nodeid) if self._open else None
        if bundle is not None and bundle.is_ours():
            words = self._failure(item, bundle)
            if words:
                _fail_at(*bundle.first_failure(), words)

    def pytest_exception_interact(self, node, call, report):
        """Remember what broke a test."""
        try:
            if node.nodeid in self._open:
                self._broken[node.nodeid] = _what_broke(call.excinfo.value, report.when)
        except Exception as error:  # an exception whose own parts raise is one all the same
            self._broken[node.nodeid] = "exception", type(error).__name__

    @pytest.hookimpl(tryfirst=True)
    def pytest_keyboard_interrupt(self):
        """Remember that the test that is running has not come to its end."""
        self._interrupted = True

    def _make(self, request):
        item, config = request.node, request.config
        fixture = load_writer()
        known = test_id(item.nodeid)
        seed = self._seeds.seed(known)
        attempts = config.pluginmanager.get_plugin("bundle_probe_attempts")
        command = f"python -m pytest {shlex.quote(known)}"
        return fixture.TestBundle(
            fixture.Identity(known, seed, **_about(item)),
            os.path.join(self._base(request), fixture.slug(known), f"{seed:016x}"),
            replay_command=f"bundle run --seed {self._root_seed:016x} -- {command}",
            started_ns=attempts.started_ns(item.nodeid) if attempts is not None else None,
            attempt=attempts.number(item.nodeid) if attempts is not None else 1,
        )

    def _base(self, request):
        base = load_writer().base_in_environment()
        if base is not None and (os.getpid() == self._pid or _is_forked(request)):
            return base
        # Also in a forked child that fell through: it runs the tests of its parent once more.
        return str(request.getfixturevalue("tmp_path_factory").mktemp(_NAME))

    def _finish(self, item, bundle, broken):
        if self._interrupted and broken is None:
            broken = "unfinished", "interrupted"
        passed = broken is None
        kind, words = broken or (None, None)
        summary = bundle.conclude(passed, kind, words)
        if not summary["passed"]:
            failure = self._failure(item, bundle)
            if failure and failure not in (words or ""):
                item.add_report_section("teardown", "checks", failure)
            if "BUNDLE_RUN_ID" not in os.environ and bundle.exists():
                item.add_report_section("teardown", "bundle", str(bundle.directory))

    def _failure(self, item, bundle):
        return bundle.failure(os.path.join(str(item.config.rootpath), ""))


def load_writer():
    """Return the module that writes, which lies beside this plugin's folder and is no part of it.

    `bundler.testing` is built on the same files.
    """
    name = f"{__package__}.writer"
    if name not in sys.modules:
        here = os.path.dirname(os.path.abspath(__file__))
        folder = os.path.join(os.path.dirname(os.path.dirname(here)), "writer")
        found = importlib.util.spec_from_file_location(
            name, os.path.join(folder, "__init__.py"), submodule_search_locations=[folder]
        )
        module = importlib.util.module_from_spec(found)
        sys.modules[name] = module
        found.loader.exec_module(module)
    if SECRETS.masker is masking.OFF and "BUNDLE_NO_REDACT" not in os.environ:
        SECRETS.learn(dict(os.environ), ())  # nothing is recorded; what a test writes is masked
    importlib.import_module(f"{name}.masking").Masking.masker = SECRETS.masker
    return importlib.import_module(f"{name}.fixture")


def _fail_at(file, line, words):
    """Fail where the check stands, so that this is what the report and the summary name."""
    error = pytest.fail.Exception(words, pytrace=False)
    exec(compile("\n" * (line - 1) + "raise error", file, "exec"), {"error": error})


def _what_broke(error, when):
    kind = "exception" if when == "call" else f"{when}_error"
    if when == "call" and isinstance(error, _ASSERTIONS):
        kind = "assertion_failure"
    return kind, f"{type(error).__name__}: {shown(error)}"


def _about(item):
    """What the mark says; a suite may have a mark of that name for something else."""
    mark = item.get_closest_marker(_NAME)
    said = mark.kwargs if mark is not None else {}
    return {key: said[key] for key in ("subsystem", "invariant") if isinstance(said.get(key), str)}


def _has_one(plugin):
    """Whether a plugin has something of that name; what a conftest.py has wins by its place."""
    file = getattr(plugin, "__file__", None)
    is_conftest = isinstance(file, str) and os.path.basename(file) == "conftest.py"
    return not is_conftest and inspect.getattr_static(plugin, _NAME, None) is not None


def _is_forked(request):
    """Whether each test is meant to run in a process of its own (pytest-forked)."""
    asked = getattr(request.config.option, "forked", False)
    return asked or request.node.get_closest_marker("forked") is not None
