"""One test, attempt by attempt: TestStarted, TestOutput, SubtestFinished, TestFinished.

An attempt begins in the first hook that is given the item, `pytest_runtest_setup`, before any
fixture is set up, and ends with the report of its teardown, or with a report that says `rerun`.
There the states of the random generators are taken, and, at the first attempt, set where a rerun
says so; those of an attempt that does not pass are written before its end (GeneratorState).
"""

from __future__ import annotations

import pytest

from . import failures, output, subtests
from .log import guarded
from .text import as_json, clip, encode, quote, shown, test_id

_LIMITS = (failures.TRACEBACK_BYTES, 64 * 1024, 4 * 1024, 256)
_PROPERTIES = 1000
_RETRIED = ("rerun", "retried")
_BAD = ("failed", "errored", "timed_out")
_TestReport = pytest.TestReport


class Attempt:
    """One attempt that is going on, or the one before it while the test may yet be repeated."""

    __slots__ = (
        "durations",
        "failures",
        "fields",
        "inherits",
        "item",
        "key",
        "node_id",
        "number",
        "occurrence",
        "open",
        "order",
        "outcome",
        "reason",
        "sections",
        "started_us",
        "states",
        "subtest_failures",
        "used",
    )  # fmt: skip

    def __init__(self, item, node_id, number, occurrence, order):
        self.item = item
        self.node_id = node_id
        self.number = number
        self.occurrence = occurrence
        self.order = order
        self.fields = self.key = ""
        self.started_us = 0
        self.open = True
        self.outcome = "passed"
        self.reason = None
        self.durations = ""
        self.failures = []
        self.subtest_failures = 0
        self.sections = []
        self.states = None
        self.inherits = False
        self.used = {}


class Attempts:
    """The plugin that records the tests which this process runs."""

    def __init__(self, recorder, config):
        self.log = recorder.log
        self._recorder = recorder
        self._generators = recorder.generators
        self._going_on = {}
        self._last = None
        self._order = 0
        self._occurrences = {}
        self._files = {}
        worker = recorder.worker
        self._worker = f',"worker":{quote(worker)}' if worker else ""
        self._session = f'{{"session":"{recorder.session}"'
        manager = config.pluginmanager
        self._reruns = manager.hasplugin("rerunfailures")
        self._timeouts = manager.hasplugin("timeout")

    @pytest.hookimpl(tryfirst=True)
    @guarded
    def pytest_collection_finish(self, session):
        """Number the tests that share an id, as `--keep-duplicates` and masking make them."""
        self._recorder.learn_secrets()  # what was imported by now may have read an .env file
        seen = {}
        for item in session.items:
            known = test_id(item.nodeid)
            count = seen[known] = seen.get(known, 0) + 1
            if count > 1:
                self._occurrences[id(item)] = count

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item):
        """Begin an attempt."""
        try:
            attempt = self._going_on.get(item.nodeid)
            # What a rerun asks to restore is restored where nothing can be written, too.
            wanted = self.log.problem is None or self._recorder.restore
            if wanted and (attempt is None or not attempt.open):
                self._begin(item, item.nodeid)
        except Exception as error:
            self.log.disarm(error)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report):
        """Take one report of an attempt."""
        try:
            if self.log.problem is None:
                self._take(report)
        except Exception as error:
            self.log.disarm(error)

    def started_ns(self, node_id):
        """Return when the attempt that is going on began, on the monotonic clock, or None."""
        attempt = self._going_on.get(node_id)
        return self.log.at_ns(attempt.started_us) if attempt is not None else None

    def number(self, node_id):
        """Return the number of the attempt that is going on, 1 where none is."""
        attempt = self._going_on.get(node_id)
        return attempt.number if attempt is not None else 1

    def _begin(self, item, node_id):
        before = self._going_on.get(node_id) or self._last
        if before is not None and before.node_id == node_id and before.item is item:
            attempt = Attempt(item, node_id, before.number + 1, before.occurrence, before.order)
            attempt.sections = before.sections
            attempt.inherits = True
        else:
            occurrence = self._occurrences.get(id(item), 1)
            attempt = Attempt(item, node_id, 1, occurrence, self._order)
            self._order += 1
        if self._reruns:
            # After the death of a worker another one repeats the test, and only this tells.
            attempt.number = max(attempt.number, getattr(item, "execution_count", 0))
        self._going_on[node_id] = attempt
        if item is not None:
            # First, because it is obeyed where nothing can be recorded.
            self._take_states(attempt)
        self._write_start(attempt)
        return attempt

    def _take_states(self, attempt):
        if self._recorder.restore and attempt.number == 1:
            self._restore(test_id(attempt.node_id))
        if not self._recorder.settings.impose:
            attempt.states = self._generators.take()

    def _restore(self, known):
        states = self._recorder.restore.get(known)
        try:
            if states is not None:
                self._generators.set(states)
        except Exception as error:
            words = f"the generators could not be set: {type(error).__name__}: {shown(error)}"
            data = {"warning": "NotRestored", "message": clip(words, 4096)}
            self._recorder.event("Warning", "log", data["message"], data, "WARN", known)

    def _write_start(self, attempt):
        recorder, log = self._recorder, self.log
        known = test_id(attempt.node_id)
        fields = f',"test_id":{as_json(known)}{recorder.seeds.fields(known)},"thread_id":'
        occurrence = f',"occurrence":{attempt.occurrence}' if attempt.occurrence > 1 else ""
        key = f'{self._session}{occurrence},"attempt":{attempt.number}'
        attempt.fields, attempt.key = fields, key
        now_us = attempt.started_us = log.now_us()
        log.write(
            f'{{"v":1,"ts_us":{now_us},"level":"INFO","category":"test","event":"TestStarted"'
            f'{fields}{log.thread_id()},"message":"started","data":{key}{self._worker}'
            f',"order":{attempt.order}{self._place(attempt.item)}}}}}\n'
        )

    def _place(self, item):
        if item is None:
            return ""
        path, line, _ = item.location
        file = self._files.get(path)
        if file is None:
            relative = self._recorder.relative(path)
            file = self._files[path] = f',"file":{quote(clip(relative, 4096))}'
        return file if line is None else f'{file},"line":{line + 1}'

    def _take(self, report):
        attempt = self._going_on.get(report.nodeid)
        if attempt is None:
            # Its start was not seen: it was set up in a child process (pytest-forked).
            attempt = self._begin(None, report.nodeid)
        is_subtest = report.__class__ is not _TestReport and subtests.is_one(report)
        if report.sections or attempt.inherits:
            self._write_output(attempt, report, is_subtest)
        if is_subtest:
            self._take_subtest(attempt, report)
        elif attempt.open:
            when, outcome = report.when, report.outcome
            if when not in output.PHASES:
                self._crash(attempt, report)
                return
            attempt.durations += f',"{when}_us":{_microseconds(report.duration)}'
            if outcome != "passed" or hasattr(report, "wasxfail"):
                self._judge(attempt, report)
            if when == "teardown" or outcome in _RETRIED:
                self._finish(attempt, report, will_retry=outcome in _RETRIED)

    def _crash(self, attempt, report):
        """Take the report that pytest-forked makes of a child process that died."""
        attempt.outcome = "crashed"
        attempt.failures.append(failures.failure(report, "call", self._recorder))
        self._finish(attempt, report, will_retry=False)

    def _judge(self, attempt, report):
        outcome, when = report.outcome, report.when
        if outcome == "skipped":
            attempt.outcome = "xfailed" if hasattr(report, "wasxfail") else "skipped"
            attempt.reason = failures.reason(report)
        elif outcome == "passed":
            if when == "call":
                attempt.outcome = "xpassed"
                attempt.reason = failures.reason(report)
        else:
            if report.longrepr is None and attempt.subtest_failures:
                _fail_by_subtests(attempt)
                return
            found = failures.failure(report, when, self._recorder)
            attempt.failures.append(found)
            if self._timeouts and failures.is_timeout(found):
                attempt.outcome = "timed_out"
            elif when == "call":
                attempt.outcome = "failed"
            elif attempt.outcome not in ("failed", "timed_out"):
                attempt.outcome = "errored"

    def _finish(self, attempt, report, will_retry):
        attempt.open = False
        if not will_retry:
            del self._going_on[attempt.node_id]
            self._last = attempt
        if attempt.subtest_failures and attempt.outcome == "passed":
            _fail_by_subtests(attempt)
        if attempt.outcome in _BAD and attempt.states is not None:
            self._write_states(attempt)
        if attempt.outcome == "passed" and not report.user_properties:
            self.log.write(self._end(attempt, "INFO", "", will_retry))
            return
        lines = (self._long_end(attempt, report, will_retry, limit) for limit in _LIMITS)
        self._recorder.write_first_that_fits(lines)
        if attempt.failures:
            self.log.sync()

    def _write_states(self, attempt):
        log, states = self.log, self._generators.document(attempt.states)
        if states is not None:
            log.write(
                f'{{"v":1,"ts_us":{log.now_us()},"level":"INFO","category":"test"'
                f',"event":"GeneratorState"{attempt.fields}{log.thread_id()}'
                f',"message":"random generators at the start","data":{attempt.key}'
                f',"states":{states}}}}}\n'
            )

    def _long_end(self, attempt, report, will_retry, limit):
        found = encode([failures.clipped(one, limit) for one in attempt.failures])
        rest = ""
        if attempt.reason is not None:
            rest += f',"reason":{quote(clip(attempt.reason, limit // 4))}'
        if report.user_properties:
            rest += f',"properties":{_properties(report.user_properties, limit)}'
        level = "ERROR" if attempt.failures else "INFO"
        return self._end(attempt, level, rest, will_retry, found)

    def _end(self, attempt, level, rest, will_retry, found="[]"):
        log, outcome = self.log, attempt.outcome
        retry = ',"will_retry":true' if will_retry else ""
        return (
            f'{{"v":1,"ts_us":{log.now_us()},"level":"{level}","category":"test"'
            f',"event":"TestFinished"{attempt.fields}{log.thread_id()},"message":"{outcome}"'
            f',"data":{attempt.key}{self._worker},"order":{attempt.order},"outcome":"{outcome}"'
            f'{attempt.durations},"failures":{found}{rest}{retry}}}}}\n'
        )

    def _take_subtest(self, attempt, report):
        outcome = report.outcome
        if hasattr(report, "wasxfail"):
            outcome = "xfailed" if outcome == "skipped" else "xpassed"
        found = []
        if outcome not in ("passed", "skipped", "xfailed", "xpassed"):
            outcome = "failed"
            attempt.subtest_failures += 1
            found = [failures.failure(report, "call", self._recorder)]
        name = subtests.name(report)
        lines = (self._subtest(attempt, report, name, outcome, found, limit) for limit in _LIMITS)
        self._recorder.write_first_that_fits(lines)

    def _subtest(self, attempt, report, name, outcome, found, limit):
        log = self.log
        level = "ERROR" if found else "INFO"
        short = encode([failures.clipped(one, limit) for one in found])
        return (
            f'{{"v":1,"ts_us":{log.now_us()},"level":"{level}","category":"test"'
            f',"event":"SubtestFinished"{attempt.fields}{log.thread_id()},"message":"{outcome}"'
            f',"data":{attempt.key},"name":{quote(clip(name, limit // 4))},"outcome":"{outcome}"'
            f',"duration_us":{_microseconds(report.duration)},"failures":{short}}}}}\n'
        )

    def _write_output(self, attempt, report, is_subtest):
        if attempt.inherits and not output.has_all(report.sections, attempt.sections):
            attempt.sections = []  # they were of the attempt before, and are forgotten
        attempt.inherits = False
        new = output.without_known(report.sections, attempt.sections)
        if not is_subtest:
            attempt.sections = attempt.sections + new
        for title, content in new:
            stream, phase = output.place(shown(title), report.when)
            content = shown(content)
            used = attempt.used.get(stream, 0)
            attempt.used[stream] = used + output.size(content)
            room = max(0, self._recorder.settings.output_limit - used)
            for field, omitted in output.pieces(content, room):
                self._write_piece(attempt, stream, phase, field, omitted)

    def _write_piece(self, attempt, stream, phase, field, omitted):
        log = self.log
        cut = f',"omitted_bytes":{omitted}' if omitted else ""
        log.write(
            f'{{"v":1,"ts_us":{log.now_us()},"level":"INFO","category":"output"'
            f',"event":"TestOutput"{attempt.fields}{log.thread_id()},"message":""'
            f',"data":{attempt.key},"stream":{quote(clip(stream, 1024))},"phase":{quote(phase)}'
            f",{field}{cut}}}}}\n"
        )


def _fail_by_subtests(attempt):
    """pytest lets the test itself pass, or fails it only while it is being shown."""
    count = attempt.subtest_failures
    message = f"contains {count} failed subtest{'s' if count > 1 else ''}"
    attempt.outcome = "failed"
    attempt.failures.append({"phase": "call", "message": message})


def _properties(pairs, limit):
    bound = limit // 4
    return encode(
        [[clip(shown(name), bound), clip(shown(v), bound)] for name, v in pairs[:_PROPERTIES]]
    )


def _microseconds(seconds):
    """A test may have replaced the clock by which pytest measures."""
    try:
        return max(0, min(int(seconds * 1_000_000), 1 << 53))
    except (ArithmeticError, TypeError, ValueError):
        return 0
