"""From a foreign recording to ours: what the reader of a format drives to say what it found.

A reader walks through the foreign file once and calls a method for each thing that happened; each
call is one event of ours, written to a temporary file that lives as long as the recording does. So
memory is bounded whatever the length of the file, and what comes out is a `Recording` as any other.

    translation = Translation(source, where=where, format="junit", runner="pytest")
    translation.run_started(started_at="2026-01-02T03:04:05Z")
    session = translation.session_started("pytest", runner_version="9.2.0")
    attempt = Execution(session, "tests/test_a.py::test_x")
    translation.test_started(attempt, ts_us=1200)
    translation.test_output(attempt, "hello", stream="stdout")
    translation.test_finished(attempt, Verdict.PASSED, call_us=350, ts_us=1550)
    translation.session_finished(session, exit_status=0)
    return translation.finished()

The run id is made of the digest of the foreign file (UUID version 5), so that the same file is the
same run wherever it is read. Times are microseconds since the run started; where a reader gives
none, an event happens when the one before it did.

What a reader module has: `NAME`, what a person calls the format; `recognises(head)`, whether the
first bytes of a file are of it; `read(source, where=…)`. One that reads archives or directories has
`recognises_members(members)` too. `bundler.formats.READERS` lists them.
"""

from __future__ import annotations

import hashlib
import io
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import IO, Any, NamedTuple

import msgspec

from bundler.archive import Members
from bundler.errors import HostileRecording
from bundler.event_lines import MAX_MESSAGE, MAX_TEST_ID, chunks, line_of, pieces
from bundler.eventlog import PlainLog
from bundler.events import VERSION, Event, decode_line
from bundler.holding import Holding, packed_size
from bundler.manifest import Command, Format, Log, Parent, RunManifest, RunStatus, to_document
from bundler.recording import Recording
from bundler.results import Failure, Folding, Verdict
from bundler.seeds import show_seed
from bundler.spool import Spool
from bundler.status import infer, run_finished
from bundler.times import UNKNOWN_TIME

RUN_IDS = uuid.UUID("6d1f0d0e-3f5c-5c1b-9a55-4f6b6f0c2b7d")
"""The name space of the run ids of foreign recordings."""

_CHUNK = 256 * 1024
_NO_MEMBERS: Mapping[str, bytes] = {}


class Execution(NamedTuple):
    """One attempt of one test: what each event about it names."""

    session: str
    test_id: str
    attempt: int = 1
    occurrence: int = 1
    seed: int | None = None

    @property
    def key(self) -> dict[str, Any]:
        """The KEY of `bundler.events`."""
        if self.occurrence == 1:
            return {"session": self.session, "attempt": self.attempt}
        return {"session": self.session, "occurrence": self.occurrence, "attempt": self.attempt}


class Translation:
    """A recording in the making. `source` is hashed for the run id, and left at its start.

    `run_id` is for a format that has one of its own; `files` are what the recording keeps beside
    its events. `tell` is given each event as it comes, in place of the file: of a run that is going
    on. Every method raises OutputError where there is no room for the events.
    """

    def __init__(
        self,
        source: IO[bytes] | Members,
        *,
        where: str,
        format: str,
        runner: str = "command",
        run_id: str | None = None,
        files: Mapping[str, bytes] = _NO_MEMBERS,
        tell: Callable[[Event], None] | None = None,
    ) -> None:
        self.where = where
        self.runner = runner
        self.run_id = run_id or str(uuid.uuid5(RUN_IDS, _digest_of(source)))
        self.source: dict[str, Any] = {"format": format}
        self.problems: list[str] = []
        self.clock_us = 0
        self._files = files
        self._tell = tell
        self._log = Spool(where)
        self._folding = Folding(_holding(source, where))
        self._sessions = 0
        self._started: dict[str, Any] = {}
        self._seed: int | None = None

    # The run

    def run_started(
        self,
        *,
        started_at: str = UNKNOWN_TIME,
        argv: Sequence[str] = (),
        cwd: str = "",
        seed: int | None = None,
    ) -> None:
        """Begin; a reader that does not know any of it may leave the call out."""
        fields = {"argv": list(argv), "cwd": cwd, "started_at": started_at}
        self._started, self._seed = fields, seed
        data = {"run_id": self.run_id, **fields}
        self._write("RunStarted", "run", "run started", data, seed=seed, ts_us=0)

    def session_started(self, runner: str, *, ts_us: int | None = None, **info: Any) -> str:
        """Begin a session and return its id; `info` is as `bundler.events` lists it.

        More may be in it; what is None is left out.
        """
        self._sessions += 1
        session = f"{self._sessions:08x}"
        data = {"session": session, "runner": runner, **_without_none(**info)}
        self._write("SessionStarted", "run", f"{runner} started", data, ts_us=ts_us)
        return session

    def session_finished(
        self,
        session: str,
        *,
        exit_status: int | None = None,
        reason: str | None = None,
        ts_us: int | None = None,
    ) -> None:
        """End a session; one that is never ended was interrupted."""
        data = _without_none(session=session, exit_status=exit_status, reason=reason)
        self._write("SessionFinished", "run", "session finished", data, ts_us=ts_us)

    def run_output(
        self,
        content: bytes | str,
        *,
        stream: str = "stdout",
        omitted_bytes: int = 0,
        ts_us: int | None = None,
    ) -> None:
        """Keep what was printed outside of any test."""
        omitted = {"omitted_bytes": omitted_bytes} if omitted_bytes > 0 else {}
        for fields in pieces(content):
            data = {"stream": stream, **fields, **omitted}
            self._write("RunOutput", "output", "", data, ts_us=ts_us)
            omitted = {}

    def warning(
        self, warning: str, message: str, *, ts_us: int | None = None, **where: Any
    ) -> None:
        """Note a warning of the runner; `where` is `file`, `line`, `when` as far as known."""
        data = {"warning": warning, "message": message, **_without_none(**where)}
        self._write("Warning", "log", message, data, level="WARN", ts_us=ts_us)

    # Collection

    def tests_collected(self, session: str, test_ids: Iterable[str]) -> None:
        """Name tests that were to run, in order. Those that never start become `not_run`."""
        for some in chunks(test_ids):
            data = {"session": session, "selected": some}
            self._write("TestsCollected", "run", f"{len(some)} selected", data)

    def tests_deselected(
        self, session: str, test_ids: Iterable[str], *, reason: str = "deselected"
    ) -> None:
        """Name tests that were found and left out."""
        for some in chunks(test_ids):
            data = {"session": session, "deselected": some, "reason": reason}
            self._write("TestsCollected", "run", f"{len(some)} deselected", data)

    def collection_failed(
        self, session: str, node_id: str, failures: Sequence[Failure], *, ts_us: int | None = None
    ) -> None:
        """Note a file, package or node whose tests could not be found out."""
        data = {"session": session, "failures": [_failure(one) for one in failures]}
        message = failures[0].message if failures else "collection failed"
        self._write(
            "CollectionFailed", "run", message, data, test_id=node_id, level="ERROR", ts_us=ts_us
        )

    def collection_skipped(
        self,
        session: str,
        node_id: str,
        reason: str,
        *,
        file: str | None = None,
        line: int | None = None,
        ts_us: int | None = None,
    ) -> None:
        """Note a file or node that skipped itself as a whole."""
        data = {"session": session, "reason": reason, **_without_none(file=file, line=line)}
        self._write("CollectionSkipped", "run", reason, data, test_id=node_id, ts_us=ts_us)

    # Tests

    def test_started(
        self,
        execution: Execution,
        *,
        worker: str | None = None,
        order: int | None = None,
        file: str | None = None,
        line: int | None = None,
        ts_us: int | None = None,
    ) -> None:
        """Begin an attempt; one that is never finished becomes `unfinished`."""
        more = _without_none(worker=worker, order=order, file=file, line=line)
        self._of_test("TestStarted", "test", "started", execution, more, ts_us)

    def test_output(
        self,
        execution: Execution,
        content: bytes | str,
        *,
        stream: str = "stdout",
        phase: str = "call",
        omitted_bytes: int = 0,
        ts_us: int | None = None,
    ) -> None:
        """Keep a piece of a test's output, of any length."""
        more: dict[str, Any] = {"stream": stream, "phase": phase}
        omitted = {"omitted_bytes": omitted_bytes} if omitted_bytes > 0 else {}
        for fields in pieces(content):
            self._of_test("TestOutput", "output", "", execution, more | fields | omitted, ts_us)
            omitted = {}

    def subtest_finished(
        self,
        execution: Execution,
        name: str,
        outcome: Verdict,
        *,
        duration_us: int = 0,
        failures: Sequence[Failure] = (),
        ts_us: int | None = None,
    ) -> None:
        """Note a subtest of an attempt that is still open."""
        some = [_failure(one) for one in failures]
        more = {"name": name, "outcome": outcome.value, "duration_us": duration_us}
        self._of_test(
            "SubtestFinished", "test", outcome.value, execution, {**more, "failures": some}, ts_us
        )

    def test_finished(
        self,
        execution: Execution,
        outcome: Verdict,
        *,
        setup_us: int | None = None,
        call_us: int | None = None,
        teardown_us: int | None = None,
        reason: str | None = None,
        failures: Sequence[Failure] = (),
        will_retry: bool = False,
        properties: Sequence[tuple[str, str]] = (),
        worker: str | None = None,
        order: int | None = None,
        ts_us: int | None = None,
    ) -> None:
        """End an attempt. The outcome is one of an attempt, none of a whole test (`flaky`)."""
        times = {"setup_us": setup_us, "call_us": call_us, "teardown_us": teardown_us}
        more = _without_none(
            worker=worker, order=order, outcome=outcome.value, **times, reason=reason
        )
        more["failures"] = [_failure(one) for one in failures]
        more |= {"will_retry": True} if will_retry else {}
        more |= {"properties": [list(pair) for pair in properties]} if properties else {}
        self._of_test("TestFinished", "test", outcome.value, execution, more, ts_us)

    # Anything else

    def event(
        self,
        event: str,
        *,
        message: str = "",
        category: str = "log",
        level: str = "INFO",
        test_id: str | None = None,
        seed: int | None = None,
        data: dict[str, Any] | None = None,
        ts_us: int | None = None,
    ) -> None:
        """Pass on an event that has no counterpart among ours, under its own name."""
        self._write(
            event,
            category,
            message,
            data or {},
            test_id=test_id,
            seed=seed,
            level=level,
            ts_us=ts_us,
        )

    def line(self, line: bytes) -> Event:
        """Pass on a line that is an event of ours already, byte by byte, and return the event.

        A `RunStarted` that comes first begins the run. Raises ValueError where it is no event.
        """
        event = decode_line(line)
        self.clock_us = event.ts_us
        if event.event == "RunStarted" and not self._started:
            data = event.payload()
            argv, cwd, started_at = (data.get(name) for name in ("argv", "cwd", "started_at"))
            words = [str(word) for word in argv] if isinstance(argv, list) else []
            self._started = {"argv": words, "cwd": str(cwd or ""), "started_at": str(started_at)}
            self._seed = event.seed
        self._begin()
        self._append(line.rstrip(b"\n") + b"\n", event)
        return event

    # The end

    def finished(
        self,
        *,
        status: RunStatus | Callable[[RunStatus], RunStatus] | None = None,
        seed: int | None = None,
        duration_us: int | None = None,
        finished_at: str | None = None,
        cut: bool = False,
        parent: str | None = None,
    ) -> Recording:
        """End the run and return its recording.

        Without a `status` it follows from the verdicts (`bundler.status.infer`); a function is
        given what follows, and has the last word. A file that is `cut` gets no RunFinished: nobody
        knows how the run ended.
        """
        self._begin()
        seed = self._seed if seed is None else seed
        results = self._folding.end()
        if not isinstance(status, RunStatus):
            status = infer(results) if status is None else status(infer(results))
        duration_us = results.last_ts_us if duration_us is None else duration_us
        if not cut:
            message, data = run_finished(status, duration_us, results)
            self._write("RunFinished", "run", message, data, seed=seed)
        manifest = msgspec.structs.replace(
            self._manifest(seed or 0),
            status=status,
            counts=results.counts,
            duration_us=duration_us,
            finished_at=finished_at,
            log=Log(events=results.events, complete=results.complete),
            parent=None if parent is None else Parent(parent),
        )
        self._log.end()
        log = PlainLog(self._log.view)
        recording = Recording(manifest, to_document(manifest), log, self._files, self.where)
        recording.results = results
        recording.problems += self.problems
        return recording

    def _manifest(self, seed: int) -> RunManifest:
        return RunManifest(
            format=Format(),
            run_id=self.run_id,
            seed=seed,
            seed_hex=show_seed(seed),
            created_at=self._started["started_at"],
            command=Command(self._started["argv"], self._started["cwd"], self.runner),
            status=RunStatus("running"),
            source=self.source,
        )

    def _begin(self) -> None:
        if not self._started:
            self.run_started()

    def _of_test(
        self,
        event: str,
        category: str,
        message: str,
        execution: Execution,
        more: dict[str, Any],
        ts_us: int | None,
    ) -> None:
        data = {**execution.key, **more}
        self._write(
            event,
            category,
            message,
            data,
            test_id=execution.test_id,
            seed=execution.seed,
            ts_us=ts_us,
        )

    def _write(
        self,
        event: str,
        category: str,
        message: str,
        data: dict[str, Any],
        *,
        test_id: str | None = None,
        seed: int | None = None,
        level: str = "INFO",
        ts_us: int | None = None,
    ) -> None:
        if event != "RunStarted":
            self._begin()
        if test_id is not None and len(test_id) > MAX_TEST_ID:
            raise HostileRecording(f"{self.where}: a test id of {len(test_id)} characters")
        self.clock_us = self.clock_us if ts_us is None else max(0, ts_us)
        line, known, data = line_of(
            Event(
                v=VERSION,
                ts_us=self.clock_us,
                level=level,
                category=category,
                event=event,
                message=message[:MAX_MESSAGE],
                test_id=test_id,
                seed=seed,
            ),
            data,
        )
        self._append(line, known, data)

    def _append(self, line: bytes, event: Event, data: dict[str, Any] | None = None) -> None:
        if self._tell is not None:
            self._tell(decode_line(line))
        else:
            self._folding.take(self._log.append(line), event, data)


def _digest_of(source: IO[bytes] | Members) -> str:
    """Return the SHA-256 of a foreign recording in hex: of a file, or of names and contents."""
    digest = hashlib.sha256()
    if not isinstance(source, Members):
        source.seek(0)
        while chunk := source.read(_CHUNK):
            digest.update(chunk)
        source.seek(0)
        return digest.hexdigest()
    for name in sorted(source):
        digest.update(f"{len(name)}:{name}:{source.size(name)}:".encode())
        with source.open(name) as member:
            while chunk := member.read(_CHUNK):
                digest.update(chunk)
    return digest.hexdigest()


def _holding(source: IO[bytes] | Members, where: str) -> Holding:
    """What may be kept of a file of that size; of a run that is going on there is none yet."""
    if isinstance(source, Members):
        size = sum(map(source.size, source))
    else:
        size = source.seek(0, io.SEEK_END)
        source.seek(0)
    return Holding(packed_size(size) if size else None, f"{where}: the results")


def _failure(failure: Failure) -> dict[str, Any]:
    return _without_none(
        phase=failure.phase,
        type=failure.type,
        message=failure.message,
        traceback=failure.traceback,
        file=failure.file,
        line=failure.line,
    )


def _without_none(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}
