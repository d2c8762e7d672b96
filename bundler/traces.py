"""Traces as a person names them, a file, or a file of a recording."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from bundler.errors import NotARecording
from bundler.limits import in_force
from bundler.recording import opened

if TYPE_CHECKING:  # the modules of traces are loaded when there is one
    from bundler.formats.trace import Trace

ENDING = ".trace"


def trace_at(name: str) -> Trace | None:
    """Return the trace in a file; None where it is none, and not called so either.

    A pipe is none: a trace is read twice. Raises UnreadableRecording.
    """
    path = Path(name)
    try:
        if not path.is_file() or not (path.suffix == ENDING or _begins_as_one(path)):
            return None
        size = path.stat().st_size
    except ValueError:  # a NUL in the name
        return None
    except OSError as error:
        raise NotARecording(f"{path} cannot be read: {error.strerror}") from None
    from bundler.formats.trace import read_trace

    in_force().check("member_bytes", size, f"{path} has {size} bytes")
    return read_trace(path, where=str(path))


def trace_in(files: Mapping[str, bytes], name: str) -> Trace:
    """Return the trace that a file of a recording is. Raises UnreadableRecording."""
    from bundler.formats.trace import read_trace

    return read_trace(lambda: opened(files, name), where=name)


def _begins_as_one(path: Path) -> bool:
    from bundler.formats.trace import recognises

    with path.open("rb") as file:
        return recognises(file.read(16))
