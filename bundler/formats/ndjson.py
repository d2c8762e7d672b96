"""NDJSON: the events of a run as they are, one a line, as `bundler.events` specifies them.

Nothing is lost on the way out, but the lines that are damaged. Such a file is
read back as the same run; what stood beside the log in the bundle is not in it.

A file that does not begin as a run does, but has events of tests in it, is read too: what tests
logged (`events.ndjson` of a test bundle), or streamed to stderr between other output. How these
tests ended is not in it, so they are `unfinished`; what is no event is output of the run.
"""

from __future__ import annotations

import uuid
from typing import IO, Any

import msgspec

from bundler.archive import Members
from bundler.errors import DamagedRecording
from bundler.event_lines import MAX_TEST_ID
from bundler.eventlog import split_lines
from bundler.events import MAX_LINE_BYTES, RUN_EVENTS, Event, decode_line
from bundler.formats import Target
from bundler.json_lines import first_objects
from bundler.manifest import RunStatus
from bundler.recording import Recording
from bundler.results import Status
from bundler.translation import Execution, Translation

NAME = "NDJSON events"

_CHUNK = 256 * 1024
_FIELDS = {"ts_us", "level", "category", "event", "message"}


def write(recording: Recording, target: Target) -> None:
    """Write every whole line of a run's log. Raises OSError."""
    for line in recording.log.lines():
        if not line.problem:
            target.write(line.content + b"\n")


def recognises(head: bytes) -> bool:
    """Whether these are the first bytes of a log of ours."""
    return any(one.get("v") == 1 and one.keys() >= _FIELDS for one in first_objects(head))


def read(source: IO[bytes] | Members, *, where: str) -> Recording:
    """Read a log that stands alone: it has the id of its run, or is of tests alone.

    Raises DamagedRecording.
    """
    assert not isinstance(source, Members)
    if not _begins_a_run(source):
        return _of_tests(source, where)
    translation = Translation(source, where=where, format=NAME, run_id=_run_id(source, where))
    finished: dict[str, Any] | None = None
    damaged = 0
    for line in split_lines(iter(lambda: source.read(_CHUNK), b"")):
        try:
            event = translation.line(line.content)
            if event.event == "RunFinished":
                finished = event.payload()
        except ValueError:
            damaged += 1
    if damaged:
        lines = "a line" if damaged == 1 else f"{damaged:,} lines"
        translation.problems.append(f"{lines} of {where} cannot be read")
    return translation.finished(status=lambda inferred: _status(finished, inferred), cut=True)


def _begins_a_run(source: IO[bytes]) -> bool:
    first = next(first_objects(source.readline(MAX_LINE_BYTES), 1), {})
    source.seek(0)
    return first.get("event") == "RunStarted"


def _of_tests(source: IO[bytes], where: str) -> Recording:
    """What tests logged, without the run around it."""
    translation = Translation(source, where=where, format=NAME, runner="tests")
    session = translation.session_started("tests")
    known: set[str] = set()
    for line in split_lines(iter(lambda: source.read(_CHUNK), b"")):
        if line.problem == "too long":
            translation.problems.append(f"a line at byte {line.offset:,} is too long to be read")
            continue
        event = _own_event(line.content)
        if event is None:
            translation.run_output(line.content + b"\n", stream="stderr")
            continue
        if event.test_id is not None and event.test_id not in known:
            known.add(event.test_id)
            test = Execution(session, event.test_id, seed=event.seed)
            translation.test_started(test, order=len(known) - 1, ts_us=event.ts_us)
        translation.line(line.content)
    reason = "these are events of tests; how the run ended is not among them"
    return translation.finished(status=RunStatus(Status.INTERRUPTED, reason=reason), cut=True)


def _own_event(content: bytes) -> Event | None:
    """An event of a test; one that is called like an event of a run tells nothing here."""
    try:
        event = decode_line(content.strip())
    except ValueError:
        return None
    if event.event in RUN_EVENTS or len(event.test_id or "") > MAX_TEST_ID:
        return None
    return event


def _run_id(source: IO[bytes], where: str) -> str:
    """The id in the first line, if it can be one."""
    try:
        event = decode_line(source.readline(MAX_LINE_BYTES))
        run_id = str(uuid.UUID(str(event.payload()["run_id"])))
    except (ValueError, KeyError):
        raise DamagedRecording(f"{where} does not begin as a log of events does") from None
    source.seek(0)
    return run_id


def _status(finished: dict[str, Any] | None, inferred: RunStatus) -> RunStatus:
    if finished is None:
        return RunStatus(Status.INTERRUPTED, reason="the log ends in the middle of the run")
    try:
        return msgspec.convert({**finished, "state": finished["status"]}, RunStatus)
    except (msgspec.ValidationError, KeyError):
        return inferred
