"""xdist: workers write what their tests do themselves; the controller writes the session.

The controller hands its settings to each worker in `workerinput`. A worker that records answers in
`workeroutput` with the token it was given, or with what stopped it.
"""

from __future__ import annotations

import json
import os

import pytest

from . import fixtures, seeding, selection
from .attempts import Attempts
from .collection import Collection
from .log import guarded
from .recorder import Recorder
from .settings import parse
from .text import clip, shown, test_id

KEY = "bundle_probe"


def input_of(config):
    """Return what the controller handed to this worker, or None."""
    handed = getattr(config, "workerinput", None)
    return handed.get(KEY) if isinstance(handed, dict) else None


class Controller:
    """The plugin of the process that leads the workers."""

    def __init__(self, recorder, troubles):
        self.log = recorder.log
        self._recorder = recorder
        self._token = os.urandom(8).hex()
        self._collected = False
        self._troubles = troubles

    @pytest.hookimpl(optionalhook=True)
    @guarded
    def pytest_configure_node(self, node):
        """Hand a worker what it needs."""
        settings = self._recorder.settings
        node.workerinput[KEY] = json.dumps(
            {
                "v": 1,
                "log": settings.log,
                "t0_ns": settings.t0_ns,
                "seed_hex": f"{settings.root_seed:016x}",
                "output_limit": settings.output_limit,
                "selection": settings.selection,
                "impose": settings.impose,
                "watch_entropy": settings.watch_entropy,
                "redact": settings.redact,
                "session": self._recorder.session,
                "token": self._token,
                "worker": node.workerinput["workerid"],
            }
        )

    @pytest.hookimpl(optionalhook=True)
    @guarded
    def pytest_xdist_node_collection_finished(self, node, ids):
        """Write what the first worker collected: all of them collect the same."""
        if not self._collected:
            self._collected = True
            self._recorder.collected("selected", ids)

    @pytest.hookimpl(tryfirst=True)
    @guarded
    def pytest_runtest_logreport(self, report):
        """Write the end of a test whose worker died; all other ends its worker has written."""
        if report.when != "???":
            return
        worker = report.node.gateway.id
        reason = clip(shown(report.longrepr), 4096)
        data = {
            "session": self._recorder.session,
            "worker": worker,
            "outcome": "crashed",
            "reason": reason,
            "failures": [{"phase": "call", "message": reason}],
        }
        if report.outcome == "rerun":
            data["will_retry"] = True
        known = test_id(report.nodeid)
        self._recorder.event("TestFinished", "test", "crashed", data, "ERROR", known)
        self.log.sync()

    @pytest.hookimpl(optionalhook=True)
    @guarded
    def pytest_testnodedown(self, node, error):
        """Say so where a worker died, or could not record."""
        worker = node.gateway.id
        if error:
            self._warn("WorkerDied", f"worker {worker}: {clip(shown(error), 4096)}")
            return
        answer = getattr(node, "workeroutput", {}).get(KEY)
        if answer != self._token:
            why = answer or "the probe did not reach it"
            self._warn("NotRecorded", f"the tests of worker {worker} are not recorded: {why}")
            self._troubles.append(f"worker {worker}: {why}")

    def _warn(self, warning, message):
        data = {"warning": warning, "message": message}
        self._recorder.event("Warning", "log", message, data, "WARN")


def begin(config, handed):
    """Register what records the tests of a worker, and obey the selection."""
    settings = parse(handed)
    recorder = Recorder(settings, config)
    worker = FirstWorker(recorder) if settings.worker == "gw0" else Worker(recorder)
    manager = config.pluginmanager
    if settings.selection is not None:
        chosen = selection.Selection(settings.selection, worker.deselecting)
        recorder.restore = chosen.restore
        manager.register(chosen, "bundle_probe_selection")
    recorder.log.open_or_disarm()
    run_tests_here(recorder, config)
    manager.register(worker, "bundle_probe_worker")


def run_tests_here(recorder, config):
    """Register what a process needs that runs tests: fixtures, seeding, recording."""
    manager = config.pluginmanager
    fixtures.register(manager, recorder.settings.root_seed)
    if recorder.settings.impose:
        seeding.begin(recorder, config)
    if recorder.settings.watch_entropy:
        from . import entropy  # it patches, and is not even loaded for anybody else

        entropy.begin(recorder, config)
    # Last, so that it is first: an attempt begins before it is seeded.
    manager.register(Attempts(recorder, config), "bundle_probe_attempts")


class Worker:
    """The plugin of a worker: it answers the controller."""

    def __init__(self, recorder):
        self.log = recorder.log
        self._token = recorder.settings.token

    def deselecting(self, why):
        """What is left out is the same in every worker; the first one writes it."""

    @pytest.hookimpl(tryfirst=True)
    @guarded
    def pytest_sessionfinish(self, session):
        """Answer with the token, or with what went wrong."""
        session.config.workeroutput[KEY] = self.log.problem or self._token

    @pytest.hookimpl(tryfirst=True)
    @guarded
    def pytest_unconfigure(self):
        """Let go of the log."""
        if self.log.is_ours():
            self.log.close()


class FirstWorker(Worker, Collection):
    """The plugin of the first worker: it also writes what only workers know of the collection."""

    def __init__(self, recorder):
        Collection.__init__(self, recorder)
        Worker.__init__(self, recorder)

    def deselecting(self, why):
        """Say why tests are left out from now on."""
        Collection.deselecting(self, why)

    @pytest.hookimpl(tryfirst=True)
    @guarded
    def pytest_collectreport(self, report):
        """The controller hears of it and writes it, once for all workers."""
        self._collecting = None

    @pytest.hookimpl(tryfirst=True)
    @guarded
    def pytest_collection_finish(self, session):
        """Write what was left out."""
        self.write_deselected()
