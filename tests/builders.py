"""Small recordings, built in a few words: the lines of a log, a manifest, a recording."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bundler.archive import Members
from bundler.eventlog import PlainLog
from bundler.events import Event, encode_line
from bundler.limits import Budget, Limits
from bundler.manifest import Command, Format, RunManifest, RunStatus, to_document
from bundler.recording import Recording
from bundler.results import Results, fold
from bundler.seeds import show_seed

SESSION = "5e551011"
RUN_ID = "0f4c1a52-8d0e-4f7b-9a86-1f2d3c4b5a69"
SEED = 0xDEADBEEF


def line(event: str, test_id: str | None = None, ts_us: int = 0, **data: Any) -> bytes:
    """One line of a log; a test's event gets the session and attempt 1 where it names none."""
    if test_id is not None or event.startswith(("Tests", "Session", "Collection")):
        data = {"session": SESSION, **data}
    if event in ("TestStarted", "TestOutput", "TestFinished", "SubtestFinished"):
        data = {"attempt": 1, **data}
    return encode_line(
        event, ts_us=ts_us, category="test", message="", test_id=test_id, seed=SEED, data=data
    )


def a_test(test_id: str, outcome: str = "passed", *, attempt: int = 1, **data: Any) -> list[bytes]:
    """The two lines of one attempt that finished."""
    finished = {"failures": [], "call_us": 1000, **data}
    return [
        line("TestStarted", test_id, attempt=attempt, order=0),
        line("TestFinished", test_id, attempt=attempt, outcome=outcome, **finished),
    ]


def a_log(*lines: bytes | list[bytes], ended: bool = True, status: str = "passed") -> bytes:
    """A log that begins with RunStarted and, if it ended, ends with a RunFinished that agrees."""
    flat = [line("RunStarted", run_id=RUN_ID, argv=["pytest"], cwd="/p", started_at="")]
    for one in lines:
        flat += one if isinstance(one, list) else [one]
    if ended:
        flat.append(line("RunFinished", status=status, exit_code=0, events=len(flat)))
    return b"".join(flat)


def a_manifest(**changes: Any) -> RunManifest:
    """A manifest of a run that passed."""
    fields: dict[str, Any] = {
        "format": Format(),
        "run_id": RUN_ID,
        "seed": SEED,
        "seed_hex": show_seed(SEED),
        "created_at": "2026-01-02T03:04:05.000006Z",
        "command": Command(argv=["pytest"], cwd="/p", runner="pytest"),
        "status": RunStatus("passed", exit_code=0),
    }
    return RunManifest(**{**fields, **changes})


def a_recording(log: bytes, **changes: Any) -> Recording:
    """A recording in memory."""
    manifest = a_manifest(**changes)
    return Recording(manifest, to_document(manifest), PlainLog(log), {}, "memory")


def events_of(log: bytes) -> list[Event]:
    """The readable events of a log."""
    return [event for _, event in a_recording(log).events()]


def results_of(log: bytes) -> Results:
    """The fold of a log."""
    return fold(a_recording(log).events())


def a_tree(files: Mapping[str, bytes], where: str = "x") -> Members:
    """Members as the gate hands them over, of contents that are here already."""
    sizes = {name: len(content) for name, content in files.items()}
    return Members(sizes, lambda name: iter([files[name]]), where=where, budget=Budget(Limits()))
