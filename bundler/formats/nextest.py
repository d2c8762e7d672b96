"""cargo-nextest: a run that it recorded itself, portable or in its own store, read.

Where the bytes are stands in `bundler.formats.nextest_store`, what its words become in
`bundler.formats.nextest_statuses`. A line of the log is `{timestamp, elapsed {secs, nanos}, kind
{type: core | output, kind, …}}`:

| kind | becomes |
|---|---|
| `run-started` | RunStarted, SessionStarted, and TestsCollected by `meta/test-list.json` |
| `test-started`, `test-retry-started` | TestStarted |
| `test-attempt-failed-will-retry` | TestOutput, TestFinished that will be retried |
| `test-finished` | the same for each attempt that has not been told of yet |
| `test-skipped` | an attempt that was skipped, or TestsCollected with the reason |
| `setup-script-finished` | RunOutput; where it failed CollectionFailed |
| `run-finished` | SessionFinished, RunFinished |
| `stress-sub-run-started` | the tests once more: their next occurrence |

Every kind but those of tests and the whole run is passed on as an event of its own too, in category
`nextest`, its name in PascalCase: `TestSlow`, `SetupScriptFinished`, `RunBeginCancel`, `RunPaused`.

A test id is what nextest shows: `binary-id test_name`. The worker is the slot that it ran in. What
has no field of ours is a property of the attempt: `nextest.leaked`, `nextest.slow`,
`nextest.delay_us`, `nextest.exit_code`, `nextest.group`.

An occurrence is an iteration of a stress run. nextest has no seed.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import msgspec

from bundler.archive import Members
from bundler.directory_reader import open_regular
from bundler.errors import DamagedRecording, NotARecording, UnreadableRecording
from bundler.formats import nextest_store as stored
from bundler.formats.nextest_statuses import (
    PASSING,
    failure_of,
    outcome_of,
    run_status_of,
    status_of_log,
)
from bundler.manifest import RunStatus
from bundler.recording import Recording
from bundler.results import BAD, Status, Verdict
from bundler.translation import Execution, Translation

NAME = "cargo-nextest's recording"
INDEX = "runs.json.zst"
FILES = "nextest"
"""The folder in which a recording keeps the files that nextest wrote, for nextest to rerun."""

_TOLD_OTHERWISE = frozenset(
    {
        "run-started",
        "test-started",
        "test-retry-started",
        "test-attempt-failed-will-retry",
        "test-finished",
        "test-skipped",
        "run-finished",
    }
)
_NOT_CAPTURED = frozenset({"--no-capture", "--nocapture"})
_STREAMS = {"stdout": "stdout", "stderr": "stderr", "output": "output"}


def recognises(head: bytes) -> bool:
    """Never: a recording of nextest is an archive or a directory."""
    return False


def recognises_members(members: Members) -> bool:
    """Whether these are the members of one run."""
    return stored.is_recording(members)


def read(source: IO[bytes] | Members, *, where: str) -> Recording:
    """Read a run that nextest recorded.

    Raises DamagedRecording, HostileRecording, or TooNewRecording where nextest changed its format.
    """
    if not isinstance(source, Members):
        raise NotARecording(f"{where} is not an archive of nextest")
    problems: list[str] = []
    run = _run_of(source, where, problems)
    store = stored.open_store(source, problems)
    return _Reader(source, store, run, where, problems).read()


class Kept(Mapping[str, bytes]):
    """The files that nextest wrote, under a folder of their own, as they are in an archive of it.

    In nextest's own store there is no manifest; what it would say stands in the index.
    """

    def __init__(self, members: Members, run: dict[str, Any]) -> None:
        self._members = members
        self._made: dict[str, bytes] = {}
        if run and stored.MANIFEST not in members:
            self._made[stored.MANIFEST] = stored.manifest_of(run)
        names = [stored.MANIFEST, stored.LOG, stored.STORE]
        known = [name for name in names if name in members or name in self._made]
        self._names = {f"{FILES}/{name}": name for name in known}

    def __getitem__(self, name: str) -> bytes:
        inner = self._names[name]
        return self._made[inner] if inner in self._made else self._members[inner]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def open(self, name: str) -> IO[bytes]:
        """Return a stream of a file: it may be too large to be read as a whole."""
        if self._names[name] in self._made:
            return io.BytesIO(self[name])
        return self._members.open(self._names[name])


def _run_of(members: Members, where: str, problems: list[str]) -> dict[str, Any]:
    """What is said of the run beside its log: in its manifest, or in the index of the store."""
    if stored.MANIFEST in members:
        return stored.run_of_manifest(members)
    path = Path(where)
    try:
        index = open_regular(path.parent / INDEX, INDEX)
    except (OSError, UnreadableRecording):
        return {}
    with os.fdopen(index, "rb") as packed:
        try:
            run = stored.run_of_index(packed, path.name)
        except UnreadableRecording as error:
            problems.append(error.message)
            return {}
    stored.check_store_version(run, where)
    return run


class _Reader:
    """One walk through a log. `open` holds what is known of the tests that run right now."""

    def __init__(
        self,
        members: Members,
        store: stored.Store | None,
        run: dict[str, Any],
        where: str,
        problems: list[str],
    ) -> None:
        self.members, self.store, self.run, self.where = members, store, run, where
        self.problems = problems
        self.cancelled_by: str | None = None
        self.finished: dict[str, Any] = {}
        self.ended = False
        self.session = ""
        self.started: dict[tuple[str, int], int] = {}
        self.told: dict[tuple[str, int], int] = {}
        self.orders: dict[str, int] = {}
        self.slots: dict[tuple[str, int], tuple[str | None, int]] = {}
        self.selected: list[str] = []
        self.unreadable = 0
        self.missing: list[str] = []
        self.out: Translation

    def read(self) -> Recording:
        for line in stored.log_lines(self.members):
            if line.problem:
                self.problems.append(f"{stored.LOG} at byte {line.offset}: {line.problem}")
                continue
            self._take(line.content)
        if not self.session:
            self._never_said_it_started()
        return self._end()

    def _never_said_it_started(self) -> None:
        """nextest writes its log in blocks: of a run that was killed early there is only the rest.

        Raises DamagedRecording where nothing is known of the run.
        """
        if "run-id" not in self.run:
            raise DamagedRecording(f"{self.where}: {stored.LOG} does not say that a run started")
        self._run_started(self.run, "")

    def _take(self, line: bytes) -> None:
        """Take one line; what is not of the expected shape is counted and passed over."""
        try:
            entry = msgspec.json.decode(line)
            elapsed_us = _microseconds(entry["elapsed"])
            kind = entry["kind"]
            name = kind["kind"]
            if not self.session and name != "run-started":
                raise ValueError("an event before the run started")
            self._event(name, kind, elapsed_us, entry)
        except (
            msgspec.DecodeError,
            KeyError,
            TypeError,
            ValueError,
            AttributeError,
            RecursionError,
        ):
            self.unreadable += 1

    def _event(self, name: str, kind: dict[str, Any], ts_us: int, entry: dict[str, Any]) -> None:
        if name not in _TOLD_OTHERWISE:
            self._pass_on(name, kind, ts_us)
        if name == "run-started":
            self._run_started(kind, str(entry["timestamp"]))
        elif name in ("test-started", "test-retry-started"):
            self._test_started(kind, ts_us)
        elif name == "test-attempt-failed-will-retry":
            self._attempt(kind, kind["run-status"], ts_us, will_retry=True)
        elif name == "test-finished":
            self._test_finished(kind, ts_us)
        elif name == "test-skipped":
            self._test_skipped(kind, ts_us)
        elif name == "setup-script-finished":
            self._setup_script_finished(kind, ts_us)
        elif name == "stress-sub-run-started":
            self.out.tests_collected(self.session, self.selected)
        elif name == "run-begin-cancel":
            self.cancelled_by = str(kind["reason"])
        elif name == "run-finished":
            self.out.clock_us = ts_us
            self.finished, self.ended = kind, True

    def _run_started(self, kind: dict[str, Any], timestamp: str) -> None:
        if self.session:
            raise ValueError("a second start")
        words = [str(word) for word in kind.get("cli-args", ())]
        self.out = Translation(
            self.members,
            where=self.where,
            format="nextest",
            runner="nextest",
            run_id=str(kind["run-id"]).lower(),
            files=Kept(self.members, self.run),
        )
        workspace = self._document("cargo-metadata.json").get("workspace_root")
        started_at = self.run.get("started-at", timestamp)
        root = workspace if isinstance(workspace, str) else ""
        self.out.run_started(started_at=_rfc3339(str(started_at)), argv=words, cwd=root)
        version = self.run.get("nextest-version")
        self.session = self.out.session_started(
            "nextest", ts_us=0, **self._about(kind, words, root, version)
        )
        self._collect(stress=kind.get("stress-condition") is not None)

    def _about(
        self, kind: dict[str, Any], words: list[str], root: str, version: object
    ) -> dict[str, Any]:
        """What SessionStarted says; what is only known of a Python is left empty."""
        known = ("profile-name", "stress-condition")
        of_run = ("build-scope-args", "env-vars", "store-format-version")
        more = {name: kind[name] for name in known if kind.get(name) is not None}
        more |= {name: self.run[name] for name in of_run if self.run.get(name) is not None}
        mode = self._document("record-opts.json").get("run-mode")
        more |= {} if mode is None else {"run-mode": mode}
        return {
            "runner_version": version if isinstance(version, str) else "",
            "python": "",
            "executable": "",
            "rootdir": root,
            "args": words[2:] if words[1:2] == ["nextest"] else words[1:],
            "capture": "no" if _NOT_CAPTURED.intersection(words) else "yes",
            "plugins": {},
            "packages": {},
            **{name.replace("-", "_"): value for name, value in more.items()},
        }

    def _collect(self, *, stress: bool) -> None:
        """Name the tests that are to run, by nextest's list of them."""
        suites = self._document("test-list.json").get("rust-suites", {})
        try:
            for binary_id, suite in suites.items():
                for name, case in suite.get("testcases", {}).items():
                    if case["filter-match"]["status"] == "matches":
                        self.selected.append(_test_id(binary_id, name))
        except (KeyError, TypeError, AttributeError):
            self.problems.append("the list of tests is not understood: which never ran is unknown")
        if not stress:
            self.out.tests_collected(self.session, self.selected)

    def _document(self, name: str) -> dict[str, Any]:
        if self.store is None:
            return {}
        try:
            return self.store.document(name)
        except UnreadableRecording as error:
            self.problems.append(error.message)
            return {}

    # Tests

    def _test_started(self, kind: dict[str, Any], ts_us: int) -> None:
        key = _key(kind)
        attempt = kind["retry-data"]["attempt"] if "retry-data" in kind else 1
        slot = kind.get("slot-assignment") or {}
        worker = None if slot.get("global-slot") is None else f"slot{slot['global-slot']}"
        order = self.orders.get(worker or "", 0)
        self.orders[worker or ""] = order + 1
        self.slots[key] = (worker, order)
        self._start(key, attempt, ts_us)

    def _start(self, key: tuple[str, int], attempt: int, ts_us: int) -> None:
        worker, order = self.slots.get(key, (None, 0))
        self.started[key] = attempt
        execution = self._execution(key, attempt)
        self.out.test_started(execution, worker=worker, order=order, ts_us=ts_us)

    def _test_finished(self, kind: dict[str, Any], ts_us: int) -> None:
        key = _key(kind)
        statuses = kind["run-statuses"]["statuses"]
        flaky_fails = len(statuses) > 1 and kind["run-statuses"].get("flaky-result") == "fail"
        try:
            for index, status in enumerate(statuses):
                last = index == len(statuses) - 1
                if status["retry-data"]["attempt"] > self.told.get(key, 0):
                    self._attempt(
                        kind, status, ts_us, will_retry=not last, flaky_fails=last and flaky_fails
                    )
        finally:
            for known in (self.started, self.told, self.slots):
                known.pop(key, None)

    def _attempt(
        self,
        kind: dict[str, Any],
        status: dict[str, Any],
        ts_us: int,
        *,
        will_retry: bool,
        flaky_fails: bool = False,
    ) -> None:
        """Tell of one attempt: what it printed, and how it ended."""
        key, attempt = _key(kind), status["retry-data"]["attempt"]
        outcome, reason = outcome_of(status["result"])
        if flaky_fails and outcome is Verdict.PASSED:
            outcome, reason = Verdict.FAILED, "flaky, which its profile takes for a failure"
        call_us = _microseconds(status["time-taken"])
        properties = _properties(kind, status)
        if self.started.get(key) != attempt:
            self._start(key, attempt, ts_us - call_us)
        worker, order = self.slots.get(key, (None, 0))
        execution = self._execution(key, attempt)
        self.out.clock_us = ts_us
        self._output(status.get("output"), execution)
        self.out.test_finished(
            execution,
            outcome,
            call_us=call_us,
            reason=reason,
            failures=[failure_of(status)] if outcome in BAD and not flaky_fails else (),
            will_retry=will_retry,
            properties=properties,
            worker=worker,
            order=order,
            ts_us=ts_us,
        )
        self.told[key] = attempt

    def _test_skipped(self, kind: dict[str, Any], ts_us: int) -> None:
        key, reason = _key(kind), str(kind["reason"])
        if reason == "ignored":
            execution = self._execution(key, 1)
            self.out.test_started(execution, order=0, ts_us=ts_us)
            self.out.test_finished(
                execution, Verdict.SKIPPED, call_us=0, reason=reason, order=0, ts_us=ts_us
            )
        elif key[1] == 1:
            reason = PASSING if reason == "rerun-already-passed" else reason
            self.out.clock_us = ts_us
            self.out.tests_deselected(self.session, [key[0]], reason=reason)

    def _execution(self, key: tuple[str, int], attempt: int) -> Execution:
        return Execution(self.session, key[0], attempt=attempt, occurrence=key[1])

    # What is printed

    def _output(self, output: object, execution: Execution) -> None:
        for stream, file_name, whole_size in _streams(output):
            for chunk, omitted in self._content(file_name, whole_size):
                self.out.test_output(execution, chunk, stream=stream, omitted_bytes=omitted)

    def _content(self, file_name: str, whole_size: int | None) -> Iterator[tuple[bytes, int]]:
        """Yield an output in pieces, each with how much nextest cut out before it."""
        if self.store is None:
            return
        try:
            chunks = self.store.output(file_name)
            if whole_size is None:
                yield from ((chunk, 0) for chunk in chunks)
            else:
                yield from stored.around_the_cut(chunks, whole_size)
        except DamagedRecording as error:
            self.missing.append(error.message)

    # Everything else

    def _setup_script_finished(self, kind: dict[str, Any], ts_us: int) -> None:
        status = kind["run-status"]
        self.out.clock_us = ts_us
        for stream, file_name, whole_size in _streams(status.get("output")):
            for chunk, _omitted in self._content(file_name, whole_size):
                self.out.run_output(chunk, stream="terminal" if stream == "output" else stream)
        outcome, _reason = outcome_of(status["result"])
        if outcome in BAD:
            node = f"@setup-script:{kind['script-id']}"
            failure = failure_of(status, "setup")
            self.out.collection_failed(self.session, node, [failure], ts_us=ts_us)

    def _pass_on(self, name: str, kind: dict[str, Any], ts_us: int) -> None:
        data = {key: value for key, value in kind.items() if key not in ("type", "kind")}
        test_id = None
        if "test-instance" in kind:
            test_id, occurrence = _key(kind)
            data = {"session": self.session, **data}
            data |= {"occurrence": occurrence} if occurrence != 1 else {}
        event = "".join(word.capitalize() for word in name.split("-"))
        self.out.event(
            event, message=name, category="nextest", test_id=test_id, data=data, ts_us=ts_us
        )

    def _end(self) -> Recording:
        if self.unreadable:
            lines = "line" if self.unreadable == 1 else "lines"
            self.problems.append(f"{self.unreadable} {lines} of {stored.LOG} could not be read")
        self.problems += self._of_missing_output()
        status = self._status()
        if self.ended and status is not None:
            self.out.session_finished(
                self.session, exit_status=status.exit_code, reason=status.reason
            )
        self.out.problems += self.problems
        parent = self.run.get("parent-run-id")
        return self.out.finished(
            status=status or RunStatus(Status.INTERRUPTED, reason="nextest vanished in the middle"),
            duration_us=self._duration_us(),
            cut=status is None or not self.ended,
            parent=parent if isinstance(parent, str) else None,
        )

    def _status(self) -> RunStatus | None:
        try:
            known = run_status_of(self.run, self.cancelled_by)
        except ValueError:
            known = None
        return known or status_of_log(self.finished, self.cancelled_by)

    def _duration_us(self) -> int | None:
        try:
            return _microseconds(self.finished["elapsed"])
        except (KeyError, TypeError, ValueError):
            return None

    def _of_missing_output(self) -> Iterator[str]:
        if self.missing:
            yield f"{len(self.missing)} outputs could not be read: {self.missing[0]}"


def _key(kind: dict[str, Any]) -> tuple[str, int]:
    """The test that an event is of, and which of its occurrences."""
    instance, stress = kind["test-instance"], kind.get("stress-index")
    occurrence = 1 if stress is None else stress["current"] + 1
    if type(occurrence) is not int or occurrence < 1:
        raise ValueError("no occurrence")
    return _test_id(instance["binary-id"], instance["name"]), occurrence


def _test_id(binary_id: object, name: object) -> str:
    if not isinstance(binary_id, str) or not isinstance(name, str):
        raise TypeError("a test without a name")
    return f"{binary_id} {name}"


def _properties(kind: dict[str, Any], status: dict[str, Any]) -> list[tuple[str, str]]:
    result = status["result"]
    failure = result.get("failure") or {}
    group = (kind.get("slot-assignment") or {}).get("test-group", "@global")
    delay_us = _microseconds(status.get("delay-before-start") or {"secs": 0, "nanos": 0})
    found = {
        "nextest.leaked": "true" if result["status"] == "leak" or result.get("leaked") else "",
        "nextest.slow": "true" if status.get("is-slow") else "",
        "nextest.delay_us": str(delay_us) if delay_us else "",
        "nextest.exit_code": str(failure.get("code", "")),
        "nextest.group": "" if group == "@global" else str(group),
    }
    return [(name, value) for name, value in found.items() if value]


def _streams(output: object) -> Iterator[tuple[str, str, int | None]]:
    """Yield each stream that holds something: its name, its file, its size if it was cut."""
    inner = output.get("output", output) if isinstance(output, dict) else None
    if not isinstance(inner, dict):
        return
    for key, stream in _STREAMS.items():
        one = inner.get(key)
        if isinstance(one, dict) and isinstance(one.get("file-name"), str):
            size = one.get("original-size")
            yield stream, one["file-name"], size if type(size) is int else None


def _microseconds(duration: dict[str, Any]) -> int:
    seconds, nanos = duration["secs"], duration["nanos"]
    if type(seconds) is not int or type(nanos) is not int or not 0 <= seconds < 1 << 40:
        raise ValueError("not a duration")
    return seconds * 1_000_000 + nanos // 1000


def _rfc3339(text: str) -> str:
    from bundler.times import epoch_microseconds, rfc3339

    epoch_us = epoch_microseconds(text)
    return rfc3339(-1 if epoch_us is None else epoch_us)
