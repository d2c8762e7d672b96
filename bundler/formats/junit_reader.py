"""JUnit XML, read: a report of whatever tool, as a run.

There is no specification; this is what the tools write that are met most.

| in the document | what it becomes |
|---|---|
| a suite with cases | a session; its name is `suite`, with the names of the suites around it |
| a case | a test `classname::name` (nextest: `binary name`; pytest with `file`: the node id) |
| a case twice in a suite | a further occurrence |
| `failure`, `error`, `skipped` | failed, errored, skipped; types that tell more are below |
| `flakyFailure flakyError` (Surefire, nextest) | attempts that failed before the one that passed |
| `rerunFailure rerunError` | attempts after the first; in a report of ours, before the last |
| no element, or `status="run"` | passed; `notrun disabled skipped` as a status: skipped |
| type `pytest.xfail`; `timed_out crashed unfinished not_run` | ours come back |
| of nextest `test timeout`, `test abort` | timed out, crashed |
| how node:test, JUnit 4, Jest, Vitest and Playwright say that a test took too long | timed out |
| `classname="test"` (node:test: of every case) | the suites that the case is in |
| message `failed on setup with "…"` (pytest) | the phase of a failure |
| a failed case and then its teardown as an error (pytest) | one test |
| `collection failure`, `collection skipped` (pytest) | `CollectionFailed`, `CollectionSkipped` |
| `system-out system-err` of a case | its output; pytest's headings tell streams apart |
| of a suite | `RunOutput` |
| properties `bundle.*` | the seed, the worker, how the run ended |
| the property `seed` of RSpec | the seed of the run |
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import IO

from bundler.archive import Members
from bundler.errors import DamagedRecording, UsageError
from bundler.formats.junit_cases import address_of
from bundler.formats.junit_elements import Broken, Element, SuiteBegins, SuiteEnds, Whole, pieces
from bundler.formats.junit_marks import (
    Told,
    earlier_outcomes,
    outcome_of,
    output_of,
    properties_of,
    seed_of,
    skip_place,
)
from bundler.manifest import RunStatus
from bundler.recording import Recording
from bundler.results import Status, Verdict
from bundler.seeds import parse_seed
from bundler.times import UNKNOWN_TIME, epoch_microseconds, microseconds, rfc3339
from bundler.translation import Execution, Translation

NAME = "JUnit XML"

_ROOT = re.compile(rb"<(?:\w+:)?testsuites?[\s/>]")
_BEFORE = ((b"<?", b"?>"), (b"<!--", b"-->"))
_DECLARED = re.compile(rb"<!DOCTYPE\b.*?<(?:\w+:)?testsuites?[\s/>]", re.DOTALL)
_RUNNERS = {"pytest tests": "pytest", "pytest": "pytest", "nextest-run": "nextest"}
_OURS = ("bundle.attempts", "bundle.seed", "bundle.worker")


def recognises(head: bytes) -> bool:
    """Whether these are the first bytes of a report, in whatever encoding."""
    if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        head = head[2:].replace(b"\0", b"")
    head = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    while ends := [end for begin, end in _BEFORE if head.startswith(begin)]:
        _, found, head = head.partition(ends[0])
        head = head.lstrip() if found else b""
    # One with a document type is recognised, so that it can be refused.
    return bool(_ROOT.match(head) or _DECLARED.match(head))


def read(source: IO[bytes] | Members, *, where: str) -> Recording:
    """Read a report. Raises DamagedRecording where it holds no suite, HostileRecording."""
    assert not isinstance(source, Members)
    reading = _Reading(Translation(source, where=where, format=NAME, runner="junit"))
    for piece in pieces(source, where):
        if isinstance(piece, SuiteBegins):
            reading.suite_begins(piece)
        elif isinstance(piece, SuiteEnds):
            reading.suite_ends()
        elif isinstance(piece, Whole):
            reading.element(piece.element)
        else:
            reading.broken(piece)
    return reading.end()


@dataclass(slots=True)
class _Suite:
    """A suite that is going on; it has a session once it has a case."""

    attributes: dict[str, str]
    tag: str
    name: str
    properties: list[tuple[str, str]] = field(default_factory=list)
    session: str = ""
    runner: str = "junit"
    begin_us: int = 0
    passed_us: int = 0
    end_us: int | None = None
    seen: dict[str, int] = field(default_factory=dict)
    last: Told | None = None

    @property
    def is_ours(self) -> bool:
        """Whether it is a suite of our own report."""
        return any(name == "bundle.run_id" for name, _ in self.properties)

    @property
    def now_us(self) -> int:
        """Cases are laid end to end, as far as the suite reaches."""
        now_us = self.begin_us + self.passed_us
        return now_us if self.end_us is None else min(now_us, self.end_us)


class _Reading:
    def __init__(self, translation: Translation) -> None:
        self.translation = translation
        self.suites: list[_Suite] = []
        self.any_suite = False
        self.broken_why = ""
        self.run: dict[str, str] = {}
        self.origin_us: int | None = None
        self.begun = False
        self.reason: str | None = None
        self.waiting: list[tuple[Execution, Told]] = []
        self.longest_us = 0
        self.root: dict[str, str] = {}

    def suite_begins(self, piece: SuiteBegins) -> None:
        self._flush()
        self.any_suite = True
        name = piece.attributes.get("name", "")
        if not self.suites:
            self.root = piece.attributes
        outer = self.suites[-1].name if self.suites and self.suites[-1].tag == "testsuite" else ""
        whole = f"{outer} > {name}" if outer and name else outer or name
        self.suites.append(_Suite(piece.attributes, piece.tag, whole))

    def suite_ends(self) -> None:
        self._flush()
        suite = self.suites.pop()
        if suite.session:
            end_us = suite.now_us if suite.end_us is None else suite.end_us
            self.longest_us = max(self.longest_us, end_us)
            self.translation.session_finished(suite.session, ts_us=end_us)

    def element(self, element: Element) -> None:
        """Take an element of a suite."""
        if element.tag == "testcase":
            self._case(element)
        elif element.tag == "properties":
            self._properties(element)
        elif element.tag in ("system-out", "system-err") and (text := output_of(element)):
            self._session()
            stream = "stdout" if element.tag == "system-out" else "stderr"
            self.translation.run_output(text, stream=stream)
        elif element.tag in ("error", "failure") and self.suites:
            session = self._session()
            failures = outcome_of(_around(element), "junit").failures
            self.translation.collection_failed(session.session, session.name, failures)

    def broken(self, piece: Broken) -> None:
        """Keep what stands before; the case that it breaks off in started, and no more is known."""
        self._flush()
        self.broken_why = piece.why
        if piece.element is not None and piece.element.tag == "testcase":
            suite = self._session()
            told = outcome_of(piece.element, suite.runner)
            self.translation.test_started(self._execution(suite, told), ts_us=suite.now_us)

    def end(self) -> Recording:
        """End the run as the document says that it ended, if that can be."""
        translation = self.translation
        if not self.any_suite:
            why = f": {self.broken_why}" if self.broken_why else ""
            raise DamagedRecording(f"{translation.where} holds no test suite{why}")
        self._begin()
        if self.broken_why:
            translation.problems.append(
                f"{translation.where} is not well-formed: {self.broken_why}; the rest is not known"
            )
        elif not self.suites:
            run_us = microseconds(self.root.get("time", ""))
            translation.clock_us = max(self.longest_us, run_us or 0)
        if "bundle.run_id" in self.run:
            translation.source["run_id"] = self.run["bundle.run_id"]
        return translation.finished(
            status=self._status,
            duration_us=translation.clock_us,
            cut=bool(self.broken_why),
        )

    def _status(self, inferred: RunStatus) -> RunStatus:
        """The status that our own report names, unless its cases contradict it."""
        state = self.run.get("bundle.status", "")
        if self.broken_why:
            return RunStatus(Status.INTERRUPTED, reason=f"the report breaks off: {self.broken_why}")
        if state not in set(Status) or state == Status.RUNNING:
            return inferred
        if state == Status.PASSED and inferred.state not in (Status.PASSED, Status.NO_TESTS):
            return inferred
        return RunStatus(state, reason=self.reason)

    # Suites

    def _properties(self, element: Element) -> None:
        found = properties_of(element)
        self.run |= {name: value for name, value in found if name.startswith("bundle.")}
        if self.suites:
            self.suites[-1].properties += found[:1000]

    def _begin(self) -> None:
        """Begin the run, at the first time that the document names."""
        if self.begun:
            return
        self.begun = True
        times = (epoch_microseconds(one.attributes.get("timestamp")) for one in self.suites)
        self.origin_us = next((one for one in times if one is not None), None)
        started_at = UNKNOWN_TIME if self.origin_us is None else rfc3339(self.origin_us)
        self.translation.run_started(started_at=started_at, seed=self._seed())

    def _seed(self) -> int | None:
        suite = self.suites[-1] if self.suites else None
        of_rspec = dict(suite.properties).get("seed", "") if suite and suite.name == "rspec" else ""
        try:
            return parse_seed(self.run.get("bundle.seed", of_rspec))
        except UsageError:
            return None

    def _session(self) -> _Suite:
        """The innermost suite, its session begun."""
        if not self.suites:
            self.suites.append(_Suite({}, "testsuite", ""))
        suite = self.suites[-1]
        if suite.session:
            return suite
        self._begin()
        suite.runner = self._runner(suite)
        if self.translation.runner == "junit":
            self.translation.runner = suite.runner
        time_us = epoch_microseconds(suite.attributes.get("timestamp"))
        known = time_us is not None and self.origin_us is not None and time_us >= self.origin_us
        suite.begin_us = (time_us or 0) - (self.origin_us or 0) if known else self.longest_us
        took_us = microseconds(suite.attributes.get("time", ""))
        suite.end_us = None if took_us is None else suite.begin_us + took_us
        own = [pair for pair in suite.properties if not pair[0].startswith("bundle.")]
        suite.session = self.translation.session_started(
            suite.runner,
            suite=suite.name if suite.name != suite.runner else None,
            hostname=suite.attributes.get("hostname") or None,
            properties=[list(pair) for pair in own] or None,
            ts_us=suite.begin_us,
        )
        return suite

    def _runner(self, suite: _Suite) -> str:
        if suite.is_ours and suite.name:
            return dict(suite.properties).get("bundle.runner", suite.name)
        if "uuid" in self.root and "name" in self.root:
            return "nextest"
        names = (suite.name, self.root.get("name", ""))
        return next((_RUNNERS[name] for name in names if name in _RUNNERS), "junit")

    # Cases

    def _case(self, element: Element) -> None:
        suite = self._session()
        told = outcome_of(element, suite.runner)
        if told.classname == "test" and not self.root:
            told = replace(told, classname=suite.name)
        if (suite.runner == "pytest" or suite.is_ours) and self._of_collection(suite, told):
            return
        if suite.is_ours and self._is_of_run(suite, told):
            self._of_run(told)
            return
        if self.waiting and told.ends_teardown and self._same(told):
            execution, before = self.waiting.pop()
            self.waiting.append((execution, before.with_teardown(told)))
            return
        self._flush()
        self.waiting.append((self._execution(suite, told), told))

    def _same(self, told: Told) -> bool:
        before = self.waiting[0][1]
        named = (before.classname, before.name) == (told.classname, told.name)
        return named and before.verdict is Verdict.FAILED

    def _execution(self, suite: _Suite, told: Told) -> Execution:
        test_id = told.test_id(suite.runner)
        occurrence = suite.seen.get(test_id, 0) + 1
        suite.seen[test_id] = occurrence
        seed = seed_of(told.properties)
        return Execution(suite.session, test_id, occurrence=occurrence, seed=seed)

    def _of_collection(self, suite: _Suite, told: Told) -> bool:
        message = told.failures[0].message if told.failures else told.message
        node = ".".join(filter(None, (told.classname, told.name)))
        if told.verdict is Verdict.ERRORED and message == "collection failure":
            self._flush()
            self.translation.collection_failed(
                suite.session, node, told.collection_failures, ts_us=suite.now_us
            )
        elif told.verdict is Verdict.SKIPPED and told.message == "collection skipped":
            self._flush()
            file, line, reason = skip_place(told.text)
            self.translation.collection_skipped(
                suite.session, node, reason, file=file, line=line, ts_us=suite.now_us
            )
        else:
            return False
        return True

    def _is_of_run(self, suite: _Suite, told: Told) -> bool:
        """Whether a case is the run's own: named after its runner, ended as the run did."""
        if told.classname != suite.runner or any(name in _OURS for name, _ in told.properties):
            return False
        return (told.kind or "passed") == self.run.get("bundle.status")

    def _of_run(self, told: Told) -> None:
        """The case that our own report has of the run itself."""
        self._flush()
        _state, _, reason = told.message.partition(": ")
        self.reason = reason or None
        for stream, text in told.outputs:
            self.translation.run_output(text, stream=stream)

    def _flush(self) -> None:
        for execution, told in self.waiting:
            self._write(self.suites[-1], execution, told)
        self.waiting.clear()

    def _write(self, suite: _Suite, execution: Execution, told: Told) -> None:
        translation = self.translation
        if told.never_ran:
            translation.tests_collected(suite.session, [execution.test_id])
            return
        attempts = earlier_outcomes(told, suite.runner, main_is_last=suite.is_ours)
        for number, one in enumerate(attempts, 1):
            attempt = Execution(
                execution.session,
                execution.test_id,
                number,
                execution.occurrence,
                execution.seed,
            )
            translation.test_started(
                attempt, worker=told.worker, file=told.file, line=told.line, ts_us=suite.now_us
            )
            for stream, text in one.outputs:
                translation.test_output(attempt, text, stream=stream)
            suite.passed_us += one.duration_us or 0
            if one.verdict is None:
                continue
            translation.test_finished(
                attempt,
                one.verdict,
                call_us=one.duration_us,
                teardown_us=one.teardown_us,
                reason=one.reason,
                failures=one.failures,
                will_retry=number < len(attempts),
                properties=self._case_properties(suite, execution, told),
                worker=told.worker,
                ts_us=suite.now_us,
            )
        self.longest_us = max(self.longest_us, suite.now_us)

    def _case_properties(
        self, suite: _Suite, execution: Execution, told: Told
    ) -> list[tuple[str, str]]:
        own = [pair for pair in told.properties if pair[0] not in _OURS]
        if address_of(execution.test_id, suite.runner) != (told.classname, told.name):
            own += [("bundle.classname", told.classname), ("bundle.name", told.name)]
        return own


def _around(element: Element) -> Element:
    return Element("testcase", {}, [element])
