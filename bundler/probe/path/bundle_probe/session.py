"""One session: its start, what it collected, what it warned of, and how it ended."""

from __future__ import annotations

import os
import sys

import pytest

from . import failures, masking, packages, seeding, selection, workers
from .collection import WORDS, Collection
from .log import guarded
from .recorder import Recorder
from .seeding import DEFAULT
from .settings import parse
from .text import SECRETS, clip, shown, test_id

HASH_PROBE = "bundle_probe"
REFUSAL = pytest.UsageError
_WARNINGS = 5000


def begin(config, told):
    """Register what records a session that runs its tests itself, or that leads xdist workers."""
    try:
        settings = parse(told)
    except ValueError as error:
        say_not_recording(error)
        return
    recorder = Recorder(settings, config)
    session = Session(recorder, config)
    if settings.selection is not None:
        chosen = selection.Selection(settings.selection, session.deselecting)
        recorder.restore = chosen.restore
        seeding.give_back(config, chosen.random_seeds)
        config.pluginmanager.register(chosen, "bundle_probe_selection")
    if settings.impose:
        seeding.seed_other_plugins(config, settings.root_seed)
    recorder.log.open_or_disarm()
    config.pluginmanager.register(session, "bundle_probe_session")


def say_not_recording(error):
    """Say on the standard error that the process was started with why nothing is recorded."""
    try:
        os.write(2, f"bundle: not recording: {error}\n".encode("utf-8", "backslashreplace"))
    except OSError:
        pass  # nobody listens


class Session(Collection):
    """The plugin that records a session in the process that was started for it."""

    def __init__(self, recorder, config):
        super().__init__(recorder)
        self._config = config
        self._session = None
        self._reason = None
        self._warned = set()
        self._unwritten_warnings = 0
        self._troubles = []

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self, session):
        """Write SessionStarted; from here on it is known whether xdist's workers run the tests."""
        self._session = session
        try:
            self._start()
        except Exception as error:
            self.log.disarm(error)

    def _start(self):
        config, manager = self._config, self._config.pluginmanager
        leads = manager.hasplugin("dsession")
        if leads:
            part = workers.Controller(self._recorder, self._troubles)
            manager.register(part, "bundle_probe_controller")
        else:
            workers.run_tests_here(self._recorder, config)
        # Last: what a rerun asks for is done where nothing can be written, too.
        self._write_start(leads)

    def _write_start(self, leads):
        data = _description(self._config, self._recorder, leads)
        shorter = ({}, {"packages": {}}, {"packages": {}, "args": [], "plugins": {}})
        self._recorder.write_first_that_fits(
            self._recorder.line("SessionStarted", "run", "pytest", {**data, **less})
            for less in shorter
        )

    @pytest.hookimpl(tryfirst=True)
    @guarded
    def pytest_collection_finish(self, session):
        """Write which tests will run and which will not, in order."""
        self._recorder.learn_secrets()
        self.write_deselected()
        self._recorder.collected("selected", [item.nodeid for item in session.items])

    @pytest.hookimpl(tryfirst=True)
    @guarded
    def pytest_warning_recorded(self, warning_message, when, nodeid, location):
        """Write a warning, each once and not without end."""
        kind = warning_message.category
        name = kind.__name__ if isinstance(kind, type) else shown(kind)
        words = clip(shown(warning_message.message), WORDS // 4)
        file = clip(self._recorder.relative(warning_message.filename), WORDS)
        same = hash((name, words, file, warning_message.lineno))
        if same in self._warned:
            return
        if len(self._warned) >= _WARNINGS:
            self._unwritten_warnings += 1
            return
        self._warned.add(same)
        data = {"warning": name, "message": words, "file": file, "when": shown(when)}
        if isinstance(warning_message.lineno, int):
            data["line"] = warning_message.lineno
        known = test_id(nodeid) if nodeid else None
        self._recorder.event("Warning", "log", f"{name}: {words}", data, "WARN", known)

    @pytest.hookimpl(tryfirst=True)
    @guarded
    def pytest_keyboard_interrupt(self, excinfo):
        """Remember what stopped the session: Ctrl-C, pytest.exit, or pytest itself."""
        if excinfo.type is KeyboardInterrupt:
            self._reason = "keyboard interrupt"
        elif isinstance(excinfo.value, pytest.exit.Exception):
            self._reason = f"pytest.exit: {shown(excinfo.value.msg)}"
        else:
            self._reason = shown(excinfo.value)

    @pytest.hookimpl(tryfirst=True)
    @guarded
    def pytest_internalerror(self, excrepr, excinfo):
        """Remember what broke pytest."""
        super().pytest_internalerror(excrepr, excinfo)
        name, words = failures.type_name(excinfo.type), shown(excinfo.value)
        self._reason = f"internal error: {name}: {words}"

    @pytest.hookimpl(tryfirst=True)
    def pytest_unconfigure(self):
        """Write SessionFinished, with the exit status that every other plugin has left."""
        try:
            self._finish()
        except Exception as error:
            self.log.disarm(error)
        troubles = self._troubles + ([self.log.problem] if self.log.problem else [])
        if troubles and self.log.is_ours():
            self.log.say(f"recording stopped: {troubles[0]}")

    def _finish(self):
        if self._session is not None:
            self.write_deselected()
            self._write_unwritten()
            self._write_end(self._session)
        self.log.sync(at_once=True)
        if self.log.is_ours():
            self.log.close()

    def _write_unwritten(self):
        if self._unwritten_warnings:
            message = f"{self._unwritten_warnings} further warnings were not recorded"
            data = {"warning": "NotRecorded", "message": message}
            self._recorder.event("Warning", "log", message, data, "WARN")

    def _write_end(self, session):
        status = int(session.exitstatus)
        data = {"session": self._recorder.session, "exit_status": status}
        reason = self._reason or session.shouldfail or session.shouldstop
        if reason:
            data["reason"] = clip(shown(reason), WORDS)
        self._recorder.event("SessionFinished", "run", f"exit status {status}", data)


def _description(config, recorder, leads):
    option = config.option
    version = sys.version_info
    data = {
        "session": recorder.session,
        "runner": "pytest",
        "runner_version": pytest.__version__,
        "python": f"{version.major}.{version.minor}.{version.micro}",
        "executable": sys.executable or "",
        "rootdir": str(config.rootpath),
        "args": [clip(one, WORDS) for one in _args(config, recorder)],
        "capture": shown(getattr(option, "capture", "")),
        "plugins": packages.plugins(config.pluginmanager),
        "packages": packages.installed(sys.path),
        "hash_probe": f"{hash(HASH_PROBE) & 0xFFFFFFFFFFFFFFFF:016x}",
    }
    if leads:
        data["workers"] = len(option.tx)
    data.update(_of_plugins(config))
    return data


def _args(config, recorder):
    args = [shown(one) for one in config.invocation_params.args]
    return masking.redact_argv(map(SECRETS.masker.text, args)) if recorder.settings.redact else args


def _of_plugins(config):
    """What other plugins decided that a rerun or a reader has to know."""
    seeds = random_seeds(config.option)
    data = {"random_seeds": seeds} if seeds else {}
    timeout = getattr(config, "_env_timeout", None)
    if config.pluginmanager.hasplugin("timeout") and timeout:
        data["timeout"] = shown(timeout)
    profile = _hypothesis_profile()
    if profile:
        data["hypothesis_profile"] = profile
    return data


def _hypothesis_profile():
    """Return the active profile of Hypothesis, where it is loaded by now."""
    settings = getattr(sys.modules.get("hypothesis"), "settings", None)
    asked = getattr(settings, "get_current_profile_name", None)
    name = asked() if callable(asked) else getattr(settings, "_current_profile", None)
    return name if isinstance(name, str) else None


def random_seeds(option):
    """Return the seeds by which pytest-randomly and pytest-random-order shuffle, where they do."""
    seeds = {}
    randomly = getattr(option, "randomly_seed", None)
    if isinstance(randomly, int):
        seeds["randomly"] = str(randomly)
    order = getattr(option, "random_order_seed", None)
    if isinstance(order, str) and _shuffles(option):
        seeds["random_order"] = shown(order[len(DEFAULT) :] if order.startswith(DEFAULT) else order)
    return seeds


def _shuffles(option):
    """Whether pytest-random-order is on: it marks a value that nobody asked for."""
    asked = ("random_order_seed", "random_order_bucket")
    return getattr(option, "random_order_enabled", False) or not all(
        str(getattr(option, name, DEFAULT)).startswith(DEFAULT) for name in asked
    )
