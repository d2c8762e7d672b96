"""A run with everything in it, written in a format and read again."""

from __future__ import annotations

import io
from types import ModuleType
from typing import Any

from builders import a_log, a_recording, a_test, line

from bundler.manifest import Command
from bundler.recording import Recording
from bundler.results import TestResult

FAILURE = {
    "phase": "call",
    "type": "AssertionError",
    "message": "assert 1 == 2",
    "traceback": "def test():\n>   assert 1 == 2\nE   assert 1 == 2",
    "line": 7,
}


def printing(test_id: str, text: str, *, attempt: int = 1, **data: Any) -> bytes:
    output: dict[str, Any] = {"stream": "stdout", "phase": "call", "text": text, **data}
    return line("TestOutput", test_id, attempt=attempt, **output)


def with_output(test_id: str, outcome: str, text: str, **data: Any) -> list[bytes]:
    started, finished = a_test(test_id, outcome, **data)
    return [started, printing(test_id, text, attempt=data.get("attempt", 1)), finished]


def everything(*, argv: str = "pytest", runner: str = "pytest") -> Recording:
    """A run with a test of every verdict."""
    session: dict[str, Any] = {"runner": runner, "runner_version": "9.2.0"}
    log = a_log(
        line("SessionStarted", **session),
        line("TestsCollected", selected=["t.py::never"]),
        with_output("t.py::passes", "passed", "fine ✓\n"),
        with_output("t.py::fails", "failed", "no\n\x1b[31mcolour\x1b[0m", failures=[FAILURE]),
        a_test("t.py::errs", "errored", failures=[{**FAILURE, "phase": "setup"}], call_us=12),
        a_test("t.py::skips", "skipped", reason="closed"),
        a_test("t.py::xfails", "xfailed", reason="known"),
        a_test("t.py::xpasses", "xpassed"),
        a_test("t.py::times_out", "timed_out", call_us=2_000_000),
        a_test("t.py::crashes", "crashed", reason="SIGSEGV"),
        with_output("t.py::flaky", "failed", "first", failures=[FAILURE], will_retry=True),
        with_output("t.py::flaky", "passed", "second", attempt=2, call_us=123_000),
        a_test("t.py::odd[\U0001f600#2 \"'<>&\\]", "passed"),
        line("TestStarted", "t.py::vanishes", order=0),
        status="failed",
    )
    return a_recording(log, command=Command(argv=[argv], cwd="/p", runner=runner))


def written(module: ModuleType, recording: Recording, **options: Any) -> bytes:
    target = io.BytesIO()
    module.write(recording, target, **options)
    return target.getvalue()


def again(
    writer: ModuleType, reader: ModuleType, recording: Recording, **options: Any
) -> Recording:
    """The run as it is read from what is written of it."""
    content = written(writer, recording, **options)
    assert reader.recognises(content[: 64 * 1024])
    read: Recording = reader.read(io.BytesIO(content), where="written")
    return read


def verdicts(recording: Recording) -> dict[str, str]:
    return {test.test_id: test.verdict.value for test in recording.results.tests}


def printed(recording: Recording, test: TestResult, attempt: int = -1) -> str:
    outputs = recording.outputs(test.attempts[attempt].output_offsets)
    return b"".join(one.content for one in outputs).decode()
