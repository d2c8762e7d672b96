"""What a reporter says inside a runner, told as events: any line, in any order."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from full_size import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from bundler.errors import BundleError, DamagedRecording
from bundler.events import Event
from bundler.results import Results, Verdict, fold
from bundler.runners import Inside, Invocation
from bundler.runners.report import VARIABLE, failure, reported, selection

BEGIN = {"e": "begin", "at": 1_700_000_000_000, "runner": "jest", "version": "30.0.0"}
END = {"e": "end", "at": 1_700_000_000_900}


def told(tmp_path: Path, *lines: object) -> list[Event]:
    """What is told of a stream of these lines: objects, or bytes as they are."""
    content = b"".join(
        one if isinstance(one, bytes) else json.dumps(one).encode() + b"\n" for one in lines
    )
    return told_in_pieces(tmp_path, [content])


def told_in_pieces(tmp_path: Path, pieces: Sequence[bytes]) -> list[Event]:
    events: list[Event] = []
    invocation = Invocation(["jest"], {}, tmp_path, events.append)
    with reported(invocation, lambda env: Inside(["jest"], env)) as inside:
        stream = Path(json.loads(inside.env[VARIABLE])["stream"])
        assert inside.poll is not None
        for piece in pieces:
            with stream.open("ab") as file:
                file.write(piece)
            inside.poll()
        assert inside.recording() is None
    assert not stream.exists()
    return events


def results(events: Sequence[Event]) -> Results:
    return fold(enumerate(events))


def verdicts(events: Sequence[Event]) -> dict[str, Verdict]:
    return {one.test_id: one.verdict for one in results(events).tests}


def test_what_is_said_is_told_before_the_command_has_ended(tmp_path: Path) -> None:
    events: list[Event] = []
    invocation = Invocation(["jest"], {"A": "b"}, tmp_path, events.append)
    with reported(invocation, lambda env: Inside(["jest", "--x"], env)) as inside:
        assert list(inside.argv) == ["jest", "--x"]
        assert inside.env["A"] == "b"
        stream = Path(json.loads(inside.env[VARIABLE])["stream"])
        stream.write_text(json.dumps(BEGIN) + '\n{"e": "test", "id": "a::b"}\n{"e": "do')
        assert inside.poll is not None
        inside.poll()
        assert [one.event for one in events] == ["RunStarted", "SessionStarted", "TestStarted"]


def test_attempts_count_up_and_a_repeated_id_is_another_test(tmp_path: Path) -> None:
    events = told(
        tmp_path,
        BEGIN,
        {"e": "test", "id": "a::flaky"},
        {"e": "done", "id": "a::flaky", "outcome": "failed", "retry": True},
        {"e": "test", "id": "a::flaky", "attempt": 2},
        {"e": "done", "id": "a::flaky", "attempt": 2, "outcome": "passed"},
        {"e": "test", "id": "a::flaky"},
        {"e": "done", "id": "a::flaky", "outcome": "failed"},
        {"e": "done", "id": "a::late", "outcome": "skipped", "reason": "todo"},
        END,
    )
    tests = results(events).tests
    assert [(one.test_id, one.occurrence, one.verdict) for one in tests] == [
        ("a::flaky", 1, Verdict.FLAKY),
        ("a::flaky", 2, Verdict.FAILED),
        ("a::late", 1, Verdict.SKIPPED),
    ]
    assert len(tests[0].attempts) == 2


def test_a_project_is_a_session_of_its_own(tmp_path: Path) -> None:
    done = {"e": "done", "id": "a::b", "outcome": "passed"}
    events = told(
        tmp_path, BEGIN, {**BEGIN, "s": "two", "suite": "two"}, done, {**done, "s": "two"}
    )
    tests = results(events).tests
    assert [one.occurrence for one in tests] == [1, 1]
    assert len({one.session for one in tests}) == 2


def test_a_seed_is_kept_for_a_rerun(tmp_path: Path) -> None:
    (session,) = results(told(tmp_path, {**BEGIN, "seed": -7, "shuffled": True})).sessions
    assert session.info["random_seeds"] == {"jest": "-7"}
    assert not session.finished


def test_what_does_not_run_and_what_is_broken(tmp_path: Path) -> None:
    events = told(
        tmp_path,
        BEGIN,
        {"e": "collected", "ids": ["a::b", "a::c", 7]},
        {"e": "collected", "left": "passing", "ids": ["a::d"]},
        {"e": "done", "id": "a::b", "outcome": "passed", "ms": 1.5},
        {"e": "broken", "id": "c.js", "failures": [{"text": "SyntaxError: no"}]},
        {"e": "skipped", "id": "d.js", "reason": "not here"},
        END,
    )
    found = results(events)
    assert verdicts(events) == {"a::b": Verdict.PASSED, "a::c": Verdict.NOT_RUN}
    assert found.tests[0].duration_us == 1500
    assert [(one.test_id, one.reason) for one in found.deselected] == [("a::d", "passing")]
    assert [(one.node_id, one.outcome) for one in found.collection] == [
        ("c.js", Verdict.ERRORED),
        ("d.js", Verdict.SKIPPED),
    ]


def test_output_and_parts_belong_to_their_test(tmp_path: Path) -> None:
    events = told(
        tmp_path,
        BEGIN,
        {"e": "test", "id": "a::b"},
        {"e": "out", "id": "a::b", "stream": "stderr", "text": "said"},
        {"e": "sub", "id": "a::b", "name": "(n=1)", "outcome": "failed", "failures": [{}]},
        {"e": "done", "id": "a::b", "outcome": "failed", "failures": [{"message": "in it"}]},
    )
    (test,) = results(events).tests
    assert [(one.name, one.outcome) for one in test.attempts[0].subtests] == [("(n=1)", "failed")]
    (output,) = [one.payload() for one in events if one.event == "TestOutput"]
    assert (output["stream"], output["text"]) == ("stderr", "said")


STACK = """\x1b[31mTypeError: bad\nsecond line\x1b[39m
    at inner (/project/node_modules/lib/x.js:1:2)
    at Object.<anonymous> (/project/src/a.test.js:12:7)
    at node:internal/main:5:9"""


def test_a_stack_trace_is_taken_apart() -> None:
    found = failure({"text": STACK}, "/project")
    assert (found.type, found.message) == ("TypeError", "bad\nsecond line")
    assert (found.file, found.line) == ("src/a.test.js", 12)
    assert found.traceback is not None and "\x1b" not in found.traceback


def test_what_the_runner_knows_goes_before_what_its_stack_says() -> None:
    found = failure({"text": "Error: x", "message": "y", "type": "Z", "file": "f", "line": 3})
    assert (found.type, found.message, found.file, found.line) == ("Z", "y", "f", 3)
    assert failure({"text": "Error: x"}).type == "Error"
    assert failure({}).message == ""


@pytest.mark.parametrize(
    "noise", ["\n" * 300_000, "\n at " * 80_000, " at (" * 80_000, "(" * 300_000]
)
def test_a_stack_trace_takes_time_by_its_length_alone(noise: str) -> None:
    failure({"text": f"Error: x{noise}"}, "/project")


def test_a_reporter_that_broke_says_so(tmp_path: Path) -> None:
    with pytest.raises(DamagedRecording, match="broke: RangeError: too long"):
        told(tmp_path, BEGIN, {"e": "failed", "why": "RangeError: too long"})


def test_lines_that_are_none_are_counted_and_the_rest_is_told(tmp_path: Path) -> None:
    events: list[Event] = []
    invocation = Invocation(["jest"], {}, tmp_path, events.append)
    with reported(invocation, lambda env: Inside([], env)) as inside:
        stream = Path(json.loads(inside.env[VARIABLE])["stream"])
        long = b'{"e": "out", "text": "' + b"x" * (9 << 20) + b'"}\n'
        done = b'{"e": "done", "id": "a::b", "outcome": "passed"}\n'
        stream.write_bytes(b"{\n\xff\n[]\n" + long + done)
        with pytest.raises(DamagedRecording, match="4 of the reporter's lines"):
            inside.recording()
    assert verdicts(events) == {"a::b": Verdict.PASSED}


def test_a_torn_last_line_is_left_out(tmp_path: Path) -> None:
    events = told(tmp_path, BEGIN, b'{"e": "done", "id": "a::b", "outc')
    assert [one.event for one in events] == ["RunStarted", "SessionStarted"]


def test_a_line_may_come_in_pieces(tmp_path: Path) -> None:
    line = json.dumps({"e": "done", "id": "ä::b", "outcome": "passed"}, ensure_ascii=False).encode()
    pieces = [bytes([one]) for one in line + b"\n"]
    assert verdicts(told_in_pieces(tmp_path, pieces)) == {"ä::b": Verdict.PASSED}


anything: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=8,
)
FIELDS = ("at", "s", "id", "ids", "left", "attempt", "file", "line", "stream", "text", "name", "ms")
MORE = (
    "outcome",
    "reason",
    "retry",
    "failures",
    "why",
    "runner",
    "seed",
    "version",
    "suite",
    "args",
)
KINDS = ("begin", "collected", "test", "out", "sub", "done", "broken", "skipped", "end", "failed")


@settings(max_examples=examples(80), deadline=None)
@given(
    st.lists(
        st.dictionaries(st.sampled_from(FIELDS + MORE), anything, max_size=8).flatmap(
            lambda one: st.sampled_from(KINDS).map(lambda kind: {"e": kind, **one})
        ),
        max_size=6,
    )
)
def test_whatever_is_said_only_our_errors_come(
    tmp_path_factory: pytest.TempPathFactory, lines: list[dict[str, Any]]
) -> None:
    try:
        results(told(tmp_path_factory.getbasetemp(), *lines))
    except BundleError as error:
        assert "Error:" not in error.message or "reporter inside broke" in error.message


def test_the_selection_of_a_run_is_that_of_its_probe(tmp_path: Path) -> None:
    path = tmp_path / "selection.json"
    path.write_text('{"deselect": ["a"], "order": ["b"], "random_seeds": {"jest": 5}}')
    chosen = selection({"BUNDLE_PROBE": json.dumps({"selection": str(path)})})
    assert chosen is not None
    assert (chosen.deselect, chosen.only, chosen.order) == (frozenset({"a"}), None, ("b",))
    assert chosen.seeds == {"jest": 5}
    assert selection({}) is None
    assert selection({"BUNDLE_PROBE": '{"selection": null}'}) is None
