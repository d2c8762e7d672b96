"""Our own log, whatever type a field has: everything that shows a run ends in no other error."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Any

import pytest
from builders import SESSION, a_log, a_recording, a_test, line

from bundler import rerun
from bundler.commands.export import writer_of
from bundler.comparison import changes
from bundler.formats import WRITERS
from bundler.generators import random_seeds
from bundler.levels import FinalStatusLevel, Options, OutputWhen, StatusLevel
from bundler.look import Look
from bundler.own_events import Wanted, own_events
from bundler.recording import Recording
from bundler.replay import replay
from bundler.run_details import run_lines
from bundler.test_details import documents_of_tests, lines_of_tests

FAILURE: dict[str, Any] = {
    "phase": "call",
    "message": "m",
    "type": "T",
    "traceback": "x\n",
    "file": "f.py",
    "line": 3,
}
INFO: dict[str, Any] = {
    "runner": "pytest",
    "runner_version": "9",
    "python": "3",
    "executable": "p",
    "workers": 2,
}
MORE_INFO: dict[str, Any] = {
    "args": ["-x"],
    "capture": "fd",
    "plugins": {"a": "1"},
    "packages": {"a": "1"},
}
OUTPUT: dict[str, Any] = {
    "stream": "stdout",
    "phase": "call",
    "text": "printed",
    "omitted_bytes": 7,
}
PLACE: dict[str, Any] = {"file": "f.py", "line": 1}
LOG = a_log(
    line("SessionStarted", **INFO, **MORE_INFO, rootdir="/p", random_seeds={"randomly": 7}),
    line("TestsCollected", selected=["t", "never"]),
    line("TestsCollected", deselected=["u"], reason="passing"),
    line("CollectionFailed", "f.py", failures=[FAILURE]),
    line("CollectionSkipped", "g.py", reason="r", **PLACE),
    line("TestStarted", "t", worker="gw0", order=1, occurrence=1, **PLACE),
    line("TestOutput", "t", **OUTPUT),
    line("SubtestFinished", "t", name="s", outcome="failed", duration_us=5, failures=[FAILURE]),
    line("PhaseStarted", "t", phase="p", name="p", attempt=1),
    line("PhaseFinished", "t", phase="p", name="p", duration_us=5, attempt=1),
    line("AssertionRecorded", "t", description="d", passed=False, attempt=1),
    line("Attachment", "t", name="n", path="p", media_type="m", size=1, attempt=1),
    line("GeneratorState", "t", states={"random": {}}, attempt=1),
    line("EntropyDrawn", "t", source="os.urandom", **PLACE),
    line("TestFinished", "t", attempt=1, outcome="failed", failures=[FAILURE], will_retry=True),
    a_test("t", attempt=2, setup_us=1, teardown_us=1, reason="r", properties=[["a", "b"]]),
    line("RunOutput", **OUTPUT),
    line("Warning", warning="W", message="m", when="call", **PLACE),
    line("SessionFinished", exit_status=1, reason="r"),
    line("RunFinished", status="failed", exit_code=1, signal="SIGKILL", reason="r", duration_us=9),
    ended=False,
)
VALUES = [10**40, 1 << 64, -1, 1e308, True, None, "9" * 400, "x", [1], {"a": 1}]
SHOWN = Options(
    status_level=StatusLevel.ALL,
    final_status_level=FinalStatusLevel.ALL,
    failure_output=OutputWhen.IMMEDIATE_FINAL,
    success_output=OutputWhen.IMMEDIATE_FINAL,
)


def fields_of(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        yield from value
    for one in value.values() if isinstance(value, dict) else value if value else ():
        if isinstance(one, dict | list):
            yield from fields_of(one)


FIELDS = sorted({name for one in LOG.splitlines() for name in fields_of(json.loads(one)["data"])})


def changed(value: Any, field: str, to: object) -> Any:
    if isinstance(value, list):
        return [changed(one, field, to) for one in value]
    if not isinstance(value, dict):
        return value
    return {n: to if n == field else changed(one, field, to) for n, one in value.items()}


def everything_of(recording: Recording) -> None:
    look = Look()
    list(replay(recording, SHOWN, look, name="x"))
    list(run_lines(recording, look))
    for test in recording.results.tests:
        list(lines_of_tests(recording, [test], look))
        json.dumps(list(documents_of_tests(recording, [test])))
    for to in WRITERS:
        writer_of(to).write(recording, io.BytesIO())
    list(own_events(recording, Wanted("TRACE", frozenset())))
    changes(recording.results, recording.results)
    rerun.state_after(rerun.State(), recording.results)
    random_seeds(recording)


def test_as_it_is_there_is_all_of_it() -> None:
    recording = a_recording(LOG)
    everything_of(recording)
    assert [test.verdict for test in recording.results.tests] == ["flaky", "not_run"]
    assert SESSION.encode() in LOG


@pytest.mark.parametrize("field", FIELDS)
def test_no_type_of_a_field_makes_an_error(field: str) -> None:
    documents = [json.loads(one) for one in LOG.splitlines()]
    for value in VALUES:
        lines = [{**one, "data": changed(one["data"], field, value)} for one in documents]
        log = b"".join(json.dumps(one).encode() + b"\n" for one in lines)
        everything_of(a_recording(log))
