"""Collecting: what could not be collected, what skipped itself whole, what was left out."""

from __future__ import annotations

import pytest

from . import failures
from .log import guarded
from .text import clip, shown, test_id

WORDS = 16 * 1024
"""How long a sentence may be, in bytes."""


class Collection:
    """What went wrong or was left out while collecting; a plugin of every process that collects."""

    def __init__(self, recorder):
        self.log = recorder.log
        self._recorder = recorder
        self._collecting = None
        self._lines = {}
        self._reported = set()
        self._deselected = {}
        self._why = "deselected"

    def deselecting(self, why):
        """Say why the tests are left out that are deselected from now on."""
        self._why = why

    @pytest.hookimpl(tryfirst=True)
    @guarded
    def pytest_collectstart(self, collector):
        """Know where a collection stands, if nothing else is heard of it."""
        self._collecting = collector.nodeid

    @pytest.hookimpl(tryfirst=True)
    @guarded
    def pytest_exception_interact(self, node, call, report):
        """Find the line of a module that could not be imported: the report has only words."""
        if isinstance(report, pytest.CollectReport):
            self._lines[report.nodeid] = _line_in(node, call.excinfo.value)

    @pytest.hookimpl(tryfirst=True)
    @guarded
    def pytest_collectreport(self, report):
        """Write what could not be collected, or skipped itself whole, once."""
        self._collecting = None
        if report.outcome == "passed" or report.nodeid in self._reported:
            return
        self._reported.add(report.nodeid)
        if report.outcome == "skipped":
            self._write_skip(report)
        else:
            found = failures.failure(report, "collect", self._recorder)
            found["file"] = found["file"] or report.nodeid.split("::")[0]
            found["line"] = found["line"] or self._lines.get(report.nodeid)
            self._write_failure(report.nodeid, found)

    @pytest.hookimpl(tryfirst=True)
    @guarded
    def pytest_internalerror(self, excrepr, excinfo):
        """Name the file whose collection ended pytest itself (SystemExit in a module)."""
        if self._collecting is not None:
            found = {
                "phase": "collect",
                "type": failures.type_name(excinfo.type),
                "message": shown(excinfo.value),
                "traceback": shown(excrepr),
                "file": self._collecting.split("::")[0],
            }
            self._write_failure(self._collecting, found)
            self._collecting = None

    @pytest.hookimpl(tryfirst=True)
    @guarded
    def pytest_deselected(self, items):
        """Remember what is left out."""
        self._deselected.setdefault(self._why, []).extend(item.nodeid for item in items)

    def _write_skip(self, report):
        data = {"session": self._recorder.session, "reason": failures.reason(report) or ""}
        if isinstance(report.longrepr, tuple) and len(report.longrepr) == 3:
            path, line, _ = report.longrepr
            data["file"] = self._recorder.relative(path)
            if isinstance(line, int):
                data["line"] = line
        data = {k: clip(v, WORDS) if isinstance(v, str) else v for k, v in data.items()}
        node_id = test_id(report.nodeid)
        self._recorder.event("CollectionSkipped", "run", "skipped", data, test_id=node_id)

    def _write_failure(self, node_id, found):
        short = failures.clipped(found, failures.TRACEBACK_BYTES // 2)
        data = {"session": self._recorder.session, "failures": [short]}
        words = short["message"].split("\n", 1)[0]
        self._recorder.event("CollectionFailed", "run", words, data, "ERROR", test_id(node_id))
        self.log.sync()

    def write_deselected(self):
        """Write what was left out until now."""
        for why, ids in self._deselected.items():
            self._recorder.collected("deselected", ids, reason=why)
        self._deselected = {}


def _line_in(node, raised):
    """Return the line of the node's own file in which an import went wrong, or None."""
    cause = raised.__cause__ or raised
    if isinstance(cause, SyntaxError):
        return cause.lineno
    path, line, traceback = str(node.path), None, cause.__traceback__
    while traceback is not None:
        if traceback.tb_frame.f_code.co_filename == path:
            line = traceback.tb_lineno
        traceback = traceback.tb_next
    return line
