"""A command that is one test itself: its name, how it ended, and the events that say so."""

from __future__ import annotations

import shlex
import time
from collections.abc import Sequence
from typing import Any

from bundler.events import as_text
from bundler.live_bundle import LiveBundle
from bundler.redaction import redact_argv
from bundler.results import COMMAND_RUNNER, Verdict
from bundler.status import Ending, signal_name

SESSION = "00000001"


def tell(live: LiveBundle, ending: Ending) -> None:
    """Write the command into its log as a test: its id is its words, its output the run's."""
    session, name = {"session": SESSION}, _test_id(live.manifest.command.argv)
    now_us = (time.monotonic_ns() - live.started_ns) // 1000
    outcome, why = _outcome(ending)
    began = {**session, "runner": COMMAND_RUNNER}
    told: list[tuple[str, str | None, int, dict[str, Any]]] = [
        ("SessionStarted", None, 0, began),
        ("TestStarted", name, 0, {**session, "attempt": 1}),
    ]
    if outcome is not None:
        failures = [{"phase": "call", "message": why}] if why else []
        ended = {"outcome": outcome, "call_us": now_us, "failures": failures}
        told.append(("TestFinished", name, now_us, {**session, "attempt": 1, **ended}))
    told.append(("SessionFinished", None, now_us, {**session, "exit_status": ending.exit_code}))
    for event, test_id, ts_us, data in told:
        category = "test" if test_id else "run"
        live.append(event, category=category, message="", test_id=test_id, ts_us=ts_us, data=data)


def _test_id(argv: Sequence[str]) -> str:
    """The words of a command, as a shell takes them."""
    return shlex.join(as_text(word) for word in redact_argv(list(argv)))


def _outcome(ending: Ending) -> tuple[str | None, str]:
    """How the command ended as a test, and why; None where it was stopped before its end."""
    if ending.signal is not None:
        name = signal_name(ending.signal)
        return (None, "") if ending.forwarded else (Verdict.CRASHED, f"killed by {name}")
    if ending.exit_code == 0:
        return Verdict.PASSED, ""
    return Verdict.FAILED, f"exit code {ending.exit_code}"
