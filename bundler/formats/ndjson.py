"""NDJSON: the events of a run as they are, one a line, as `bundler.events` specifies them.

Nothing is lost on the way out, but the lines that are damaged. Such a file is
read back as the same run; what stood beside the log in the bundle is not in it.
"""

from __future__ import annotations

import uuid
from typing import IO, Any

import msgspec

from bundler.archive import Members
from bundler.errors import DamagedRecording
from bundler.eventlog import split_lines
from bundler.events import MAX_LINE_BYTES, decode_line
from bundler.formats import Target
from bundler.json_lines import first_objects
from bundler.manifest import RunStatus
from bundler.recording import Recording
from bundler.results import Status
from bundler.translation import Translation

NAME = "NDJSON events"

_CHUNK = 256 * 1024


def write(recording: Recording, target: Target) -> None:
    """Write every whole line of a run's log. Raises OSError."""
    for line in recording.log.lines():
        if not line.problem:
            target.write(line.content + b"\n")


def recognises(head: bytes) -> bool:
    """Whether these are the first bytes of a log of ours."""
    first = next(first_objects(head, 1), {})
    return first.get("v") == 1 and first.get("event") == "RunStarted"


def read(source: IO[bytes] | Members, *, where: str) -> Recording:
    """Read a log that stands alone: it has the id of its run. Raises DamagedRecording."""
    assert not isinstance(source, Members)
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
