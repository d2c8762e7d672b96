"""What the probe is told, and taking that out of the process's environment again.

BUNDLE_PROBE is JSON: `v` (1), `run_id`, `directory`, `log` (absolute path of events.ndjson),
`t0_ns` (the monotonic clock at the start of the run), `seed_hex` (the root seed), `path` (what was
put on PYTHONPATH), `output_limit` (bytes a stream of a test), `selection` (a file, or null),
`impose` (whether every test is seeded), `watch_entropy` (whether it is noted what no seed reaches),
`redact` (false where secrets are not masked).
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass

OUTPUT_LIMIT = 10 * 1024 * 1024


@dataclass(frozen=True)
class Settings:
    """The settings that are used; a worker also has the session it belongs to, and its own name."""

    log: str
    t0_ns: int
    root_seed: int
    output_limit: int
    selection: str | None
    impose: bool = False
    watch_entropy: bool = False
    redact: bool = True
    session: str | None = None
    token: str | None = None
    worker: str | None = None


def parse(told) -> Settings:
    """Return the settings in a JSON text or a dict. Raises ValueError where they are not usable."""
    document = told if isinstance(told, dict) else json.loads(told)
    if not isinstance(document, dict) or document.get("v") != 1:
        raise ValueError("BUNDLE_PROBE is not of version 1")
    try:
        return Settings(
            log=str(document["log"]),
            t0_ns=int(document["t0_ns"]),
            root_seed=int(document["seed_hex"], 16),
            output_limit=int(document.get("output_limit", OUTPUT_LIMIT)),
            selection=document.get("selection"),
            impose=document.get("impose") is True,
            watch_entropy=document.get("watch_entropy") is True,
            redact=document.get("redact") is not False,
            session=document.get("session"),
            token=document.get("token"),
            worker=document.get("worker"),
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"BUNDLE_PROBE has no usable {error}") from None


def take_from_environment():
    """Return BUNDLE_PROBE and remove it, and its part of PYTHONPATH: a nested pytest is its own."""
    told = os.environ.pop("BUNDLE_PROBE", None)
    try:
        path = json.loads(told)["path"]
    except (TypeError, ValueError, KeyError):
        return told
    parts = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    if path in parts:
        parts.remove(path)
        if parts:
            os.environ["PYTHONPATH"] = os.pathsep.join(parts)
        else:
            del os.environ["PYTHONPATH"]
    return told


def leave_path() -> None:
    """Take this folder out of `sys.path`: xdist has copied it for its workers by now."""
    folder = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    sys.path[:] = [entry for entry in sys.path if entry != folder]
