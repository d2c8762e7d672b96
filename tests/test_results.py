"""The fold: what the events of a run say about its tests."""

import gc
from dataclasses import asdict
from typing import Any

import pytest
from builders import SESSION, a_log, a_test, line, results_of

from bundler.events import encode_line
from bundler.results import Status, TestResult, Verdict, collector_paused, fold
from bundler.status import Ending, judge


def verdicts(log: bytes) -> dict[str, str]:
    return {test.test_id: test.verdict.value for test in results_of(log).tests}


def test_a_test_has_the_outcome_of_its_attempt() -> None:
    outcomes = ["passed", "failed", "errored", "skipped", "xfailed", "xpassed", "crashed"]
    log = a_log(*[a_test(f"t::{outcome}", outcome) for outcome in outcomes])
    assert verdicts(log) == {f"t::{outcome}": outcome for outcome in outcomes}


@pytest.mark.parametrize("first", ["failed", "errored", "crashed", "timed_out"])
def test_a_test_that_failed_and_then_passed_is_flaky(first: str) -> None:
    log = a_log(a_test("t", first, will_retry=True), a_test("t", "passed", attempt=2))
    assert verdicts(log) == {"t": "flaky"}


def test_a_test_that_failed_to_the_end_is_failed() -> None:
    log = a_log(a_test("t", "failed"), a_test("t", "failed", attempt=2))
    assert verdicts(log) == {"t": "failed"}
    assert [attempt.number for attempt in results_of(log).tests[0].attempts] == [1, 2]


def test_a_skip_after_a_failure_is_no_flake() -> None:
    assert verdicts(a_log(a_test("t", "failed"), a_test("t", "skipped", attempt=2))) == {
        "t": "skipped"
    }


def test_a_test_that_passes_after_it_was_left_open_is_flaky_and_after_a_skip_it_is_not() -> None:
    opened = line("TestStarted", "t", order=0)
    assert verdicts(a_log(opened, a_test("t", attempt=2))) == {"t": "flaky"}
    assert verdicts(a_log(a_test("t", "skipped"), a_test("t", attempt=2))) == {"t": "passed"}


def test_a_test_without_any_attempt_was_not_run() -> None:
    test = TestResult(SESSION, "t", 1)
    assert (test.verdict, test.attempts, test.own_events) == (Verdict.NOT_RUN, [], 0)


def test_started_and_never_finished_is_unfinished() -> None:
    log = a_log(line("TestStarted", "t", order=0), ended=False)
    assert verdicts(log) == {"t": "unfinished"}


def test_collected_and_never_started_is_not_run() -> None:
    log = a_log(line("TestsCollected", selected=["a", "b"]), a_test("a"))
    assert verdicts(log) == {"a": "passed", "b": "not_run"}


def test_a_repeated_id_is_a_further_occurrence() -> None:
    log = a_log(
        line("TestsCollected", selected=["a", "a"]),
        line("TestsCollected", selected=["a"]),
        a_test("a"),
        line("TestStarted", "a", order=1, occurrence=2),
        line("TestFinished", "a", occurrence=2, outcome="failed", failures=[]),
    )
    found = [(t.occurrence, t.verdict.value) for t in results_of(log).tests]
    assert found == [(1, "passed"), (2, "failed"), (3, "not_run")]


def test_the_same_id_in_two_sessions_is_two_tests() -> None:
    log = a_log(a_test("a"), a_test("a", "failed", session="0ther"))
    started = line("TestStarted", "a", session="0ther", order=0)
    log = log.replace(a_test("a", "failed", session="0ther")[0], started)
    assert sorted(t.session for t in results_of(log).tests) == ["0ther", "5e551011"]


def test_a_finish_without_an_attempt_closes_the_open_one() -> None:
    log = a_log(
        line("TestStarted", "t", order=0, worker="gw1"),
        line("TestFinished", "t", attempt=None, outcome="crashed", worker="gw1", failures=[]),
    )
    (test,) = results_of(log).tests
    assert (test.verdict, len(test.attempts), test.worker) == (Verdict.CRASHED, 1, "gw1")


def test_an_event_nobody_knows_disturbs_nothing() -> None:
    log = a_log(line("ReactorPoll", "t", x=1), a_test("t"), line("ReactorPoll", "t", x=2))
    (test,) = results_of(log).tests
    assert (test.verdict, test.own_events) == (Verdict.PASSED, 1)


def test_only_what_a_test_logged_itself_counts_as_its_own_event() -> None:
    own = line("TestLog", "t", text="x")
    observed = [line(one, "t") for one in ("Attachment", "GeneratorState", "EntropyDrawn")]
    log = a_log(a_test("t"), observed, own, line("TestLog", None), own)
    assert results_of(log).tests[0].own_events == 2


@pytest.mark.parametrize(
    "broken",
    [
        line("TestFinished", "t", outcome="no such outcome", failures=[]),
        line("TestFinished", "t", outcome="passed", failures=[3]),
        line("TestFinished", "t", outcome="passed", failures=7),
        line("TestFinished", "t", failures=[]),
        line("TestFinished", None, outcome="passed", failures=[]),
        line("TestFinished", None, session=SESSION, outcome="passed", failures=[]),
    ],
)
def test_an_event_of_the_wrong_shape_settles_nothing(broken: bytes) -> None:
    log = a_log(line("TestStarted", "t", order=0), broken)
    assert verdicts(log) == {"t": "unfinished"}


def test_a_log_is_complete_only_if_its_end_counts_right() -> None:
    log = a_log(a_test("t"))
    assert results_of(log).complete
    without_one = log.replace(a_test("t")[0], b"")
    assert not results_of(without_one).complete
    assert not results_of(a_log(a_test("t"), ended=False)).complete
    assert not results_of(log + line("RunOutput", stream="stdout", text="late")).complete


@pytest.mark.parametrize(
    ("ending", "session_exit", "reason", "status"),
    [
        (Ending(0), 0, None, Status.PASSED),
        (Ending(1), 1, None, Status.FAILED),
        (Ending(2), 2, "KeyboardInterrupt", Status.CANCELLED),
        (Ending(7), 7, "stop now", Status.CANCELLED),
        (Ending(3), 3, "INTERNALERROR", Status.INTERNAL_ERROR),
        (Ending(5), 5, None, Status.NO_TESTS),
        (Ending(1), 1, "stopping after 1 failures", Status.FAILED),
        (Ending(2), 2, "stopping after 1 failures", Status.FAILED),
        (Ending(2, forwarded=("SIGTERM",)), 2, None, Status.CANCELLED),
        (Ending(1, forwarded=("SIGINT",)), 1, None, Status.FAILED),
        (Ending(0, forwarded=("SIGINT",)), None, None, Status.CANCELLED),
        (Ending(130, forwarded=("SIGINT",)), "never", None, Status.CANCELLED),
        (Ending(0), None, None, Status.INTERRUPTED),
        (Ending(None, 9), None, None, Status.INTERRUPTED),
        (None, None, None, Status.INTERRUPTED),
        (Ending(127, started=False), "never", None, Status.NOT_STARTED),
        (Ending(0), "never", None, Status.PASSED),
        (Ending(4), "never", None, Status.USAGE_ERROR),
        (Ending(None, 11), "never", None, Status.INTERRUPTED),
        (Ending(2), 1, None, Status.FAILED),
    ],
)
def test_how_a_run_ended(
    ending: Ending | None, session_exit: int | str | None, reason: str | None, status: Status
) -> None:
    lines = [] if session_exit == "never" else [line("SessionStarted", runner="pytest")]
    if isinstance(session_exit, int):
        lines.append(line("SessionFinished", exit_status=session_exit, reason=reason))
    found = judge(ending, results_of(a_log(*lines, ended=False)), runner="pytest")
    assert found.state == status


def test_a_run_whose_collection_failed_says_so() -> None:
    log = a_log(
        line("SessionStarted", runner="pytest"),
        line(
            "CollectionFailed", "tests/test_a.py", failures=[{"phase": "collect", "message": "x"}]
        ),
        line("SessionFinished", exit_status=2, reason="Interrupted: 1 error during collection"),
    )
    assert judge(Ending(2), results_of(log)).state == Status.COLLECTION_FAILED


def test_a_signal_is_named() -> None:
    found = judge(Ending(None, 9), results_of(a_log(ended=False)))
    assert (found.signal, found.reason) == ("SIGKILL", "killed by SIGKILL")


@pytest.mark.parametrize(
    "field",
    [
        {"call_us": "12"},
        {"setup_us": 1.5},
        {"teardown_us": True},
        {"reason": 5},
        {"worker": ["gw0"]},
        {"properties": [["name"]]},
        {"failures": [{"message": "m", "type": 7}]},
        {"failures": [{"message": "m", "traceback": ["t"]}]},
    ],
)
def test_a_field_of_another_type_leaves_its_test_unfinished(field: dict[str, object]) -> None:
    start, _ = a_test("t")
    finished = {"outcome": "passed", "session": SESSION, "attempt": 1, **field}
    end = encode_line(
        "TestFinished", ts_us=1, category="test", message="", test_id="t", data=finished
    )
    assert verdicts(a_log([start, end])) == {"t": "unfinished"}
    assert results_of(a_log([start, end])).tests[0].duration_us >= 0


def test_a_text_that_comes_again_is_kept_once() -> None:
    """Every line is decoded by itself; a hundred thousand tests would hold as many copies."""
    ids = ["t.py::test_a", "t.py::test_b"]
    started = [line("TestStarted", one, file="/a/long/way/to/t.py") for one in ids]
    results = results_of(a_log(line("TestsCollected", selected=ids), *started))
    one, other = results.tests
    assert one.file is other.file
    assert one.session is other.session is results.collected[0][0]
    assert (one.test_id, one.test_id is results.collected[0][1]) == (ids[0], True)


def test_of_no_events_nothing_is_known() -> None:
    assert asdict(fold([])) == {
        "tests": [],
        "collected": [],
        "deselected": [],
        "collection": [],
        "sessions": [],
        "warnings": [],
        "run_output_offsets": [],
        "started": {},
        "finished": None,
        "events": 0,
        "last_ts_us": 0,
        "complete": False,
    }


def test_of_what_only_began_nothing_but_the_beginning_is_known() -> None:
    results = results_of(
        a_log(
            line("SessionStarted", ts_us=5, runner="pytest"),
            line("TestStarted", "t", ts_us=7, order=0),
            ended=False,
        )
    )
    (session,), (test,) = results.sessions, results.tests
    assert asdict(session) == {
        "id": SESSION,
        "info": {"session": SESSION, "runner": "pytest"},
        "started_us": 5,
        "finished": False,
        "exit_status": None,
        "reason": None,
        "finished_us": None,
    }
    (attempt,) = test.attempts
    known = {"number": 1, "started_us": 7, "order": 0, "will_retry": False}
    nothing: dict[str, object] = {"failures": (), "subtests": [], "properties": ()}
    nothing["output_offsets"] = []
    assert asdict(attempt) == dict.fromkeys(asdict(attempt)) | known | nothing
    assert (test.own_events, test.occurrence, test.duration_us) == (0, 1, 0)


def test_what_an_event_leaves_out_is_taken_as_the_usual() -> None:
    bare: dict[str, Any] = {"ts_us": 0, "category": "test", "message": "", "test_id": "t"}
    results = results_of(
        a_log(
            line("TestsCollected", deselected=["other"]),
            encode_line("TestStarted", **bare, data={"session": SESSION}),
            line("SubtestFinished", "t", outcome="passed"),
            line("TestFinished", "t", outcome="failed", failures=[{}]),
        )
    )
    (left_out,), (test,) = results.deselected, results.tests
    assert asdict(left_out) == {"session": SESSION, "test_id": "other", "reason": "deselected"}
    (attempt,) = test.attempts
    (failure,), (subtest,) = attempt.failures, attempt.subtests
    assert (test.occurrence, attempt.number, attempt.will_retry) == (1, 1, False)
    assert asdict(failure) == {**dict.fromkeys(asdict(failure)), "phase": "call", "message": ""}
    assert asdict(subtest) == {"name": "", "outcome": "passed", "duration_us": 0, "failures": ()}


def test_a_start_that_tells_no_attempt_is_the_first() -> None:
    start = encode_line(
        "TestStarted", ts_us=4, category="test", message="", test_id="t", data={"session": SESSION}
    )
    (attempt,) = results_of(a_log(start, ended=False)).tests[0].attempts
    assert (attempt.number, attempt.started_us, attempt.outcome) == (1, 4, None)


def test_an_attempt_is_what_its_events_say() -> None:
    failure = {"phase": "setup", "message": "m", "type": "E", "traceback": "tb"}
    where: dict[str, Any] = {"file": "a.py", "line": 3}
    (test,) = results_of(
        a_log(
            line("TestStarted", "t", order=0),
            line("SubtestFinished", "t", name="s", outcome="passed", duration_us=7),
            line(
                *("TestFinished", "t", 9),
                outcome="failed",
                failures=[{**failure, **where}],
                reason="why",
                worker="gw1",
                will_retry=True,
                properties=[["a", 1]],
            ),
        )
    ).tests
    (attempt,) = test.attempts
    (subtest,) = attempt.subtests
    assert asdict(attempt.failures[0]) == {**failure, **where}
    assert (subtest.name, subtest.outcome, subtest.duration_us) == ("s", "passed", 7)
    assert (attempt.reason, attempt.worker, attempt.will_retry) == ("why", "gw1", True)
    assert (attempt.properties, attempt.finished_us) == ((("a", "1"),), 9)


def test_what_is_told_of_an_attempt_that_never_began_is_no_other_attempt_s() -> None:
    log = a_log(
        line("TestStarted", "t", attempt=1, order=0),
        line("TestStarted", "t", attempt=3, order=0),
        line("TestFinished", "t", attempt=2, outcome="failed"),
        line("TestFinished", "t", attempt=1, outcome="passed"),
    )
    (test,) = results_of(log).tests
    assert [(one.number, one.outcome) for one in test.attempts] == [
        (1, "passed"),
        (3, None),
        (4, "failed"),
    ]


@pytest.mark.parametrize("ids", ["abc", {"a": 1}, 5])
def test_ids_that_are_no_list_collect_nothing(ids: object) -> None:
    results = results_of(a_log(line("TestsCollected", selected=ids, deselected=ids)))
    assert (results.collected, results.deselected) == ([], [])


def test_warnings_are_kept_in_their_order() -> None:
    results = results_of(a_log(line("Warning", text="one"), line("Warning", text="two")))
    assert [warning["text"] for warning in results.warnings] == ["one", "two"]


def test_why_a_test_was_left_out_is_known() -> None:
    (left_out,) = results_of(
        a_log(line("TestsCollected", deselected=["t"], reason="passing"))
    ).deselected
    assert (left_out.test_id, left_out.reason) == ("t", "passing")


def test_a_run_of_a_command_without_tests_is_plain_and_its_output_is_its_test_s() -> None:
    command = line("SessionStarted", runner="command")
    output = line("RunOutput", stream="stdout", text="hello")
    results = results_of(a_log(command, a_test("t"), output))
    assert results.is_plain_command
    assert results.tests[0].attempts[-1].output_offsets == results.run_output_offsets != []
    never = results_of(a_log(command, line("TestsCollected", selected=["t"]), output, ended=False))
    assert never.counts == {"not_run": 1}
    assert results_of(a_log()).is_plain_command
    of_pytest = results_of(a_log(line("SessionStarted", runner="pytest")))
    assert of_pytest.is_plain_command is False
    assert not results_of(a_log(a_test("t"))).is_plain_command
    assert not results_of(a_log(line("CollectionFailed", "a.py", failures=[]))).is_plain_command


def test_the_time_of_an_attempt_is_that_of_its_phases_or_else_between_its_events() -> None:
    def duration(**phases: int) -> int:
        start = line("TestStarted", "t", ts_us=10, order=0)
        end = line("TestFinished", "t", ts_us=25, outcome="passed", failures=[], **phases)
        (test,) = results_of(a_log(start, end)).tests
        return test.duration_us

    assert duration(setup_us=1, call_us=2, teardown_us=4) == 7
    assert duration(call_us=0) == 0
    assert duration() == 15


def test_a_test_has_the_time_worker_and_place_of_its_attempts() -> None:
    log = a_log(
        line("TestStarted", "t", order=3, worker="gw0"),
        line("TestFinished", "t", outcome="failed", failures=[], call_us=5),
        line("TestStarted", "t", attempt=2, order=4, worker="gw1"),
        line("TestFinished", "t", attempt=2, outcome="passed", failures=[], call_us=6),
        line("TestsCollected", selected=["never"]),
    )
    test, never = results_of(log).tests
    assert (test.duration_us, test.worker, test.order) == (11, "gw1", 4)
    assert (never.duration_us, never.worker, never.order) == (0, None, None)


def test_the_last_time_of_a_log_is_its_latest() -> None:
    log = a_log(line("Warning", ts_us=30), line("Warning", ts_us=20), ended=False)
    assert results_of(log).last_ts_us == 30


def test_what_could_not_be_collected_is_told_with_its_place() -> None:
    failed = line("CollectionFailed", "a.py", failures=[{}], file="a.py", line=3)
    skipped = line("CollectionSkipped", None, reason="no numpy")
    one, other = results_of(a_log(failed, skipped)).collection
    assert (one.node_id, one.outcome, one.reason) == ("a.py", "errored", None)
    assert (one.file, one.line, len(one.failures)) == ("a.py", 3, 1)
    assert (other.node_id, other.outcome, other.reason) == ("", "skipped", "no numpy")


def test_an_output_whose_start_was_lost_makes_its_attempt() -> None:
    log = a_log(line("TestOutput", "t", ts_us=9, attempt=None, worker="gw1", order=2, text="x"))
    (attempt,) = results_of(log).tests[0].attempts
    assert (attempt.number, attempt.started_us) == (1, 9)
    assert (attempt.worker, attempt.order, len(attempt.output_offsets)) == ("gw1", 2, 1)
    again = a_log(a_test("t", "failed"), line("TestFinished", "t", attempt=None, outcome="passed"))
    assert [attempt.number for attempt in results_of(again).tests[0].attempts] == [1, 2]


def test_a_test_keeps_its_place_where_a_later_attempt_does_not_tell_it() -> None:
    log = a_log(
        line("TestStarted", "t", order=0, file="a.py", line=7),
        line("TestStarted", "t", attempt=2, order=0),
        line("TestFinished", "t", attempt=2, outcome="passed"),
    )
    (test,) = results_of(log).tests
    assert (test.file, test.line, len(test.attempts)) == ("a.py", 7, 2)


def test_an_attempt_that_is_numbered_again_is_the_next() -> None:
    log = a_log(a_test("t", "failed"), a_test("t", "passed"))
    assert [attempt.number for attempt in results_of(log).tests[0].attempts] == [1, 2]


def test_the_collector_is_as_it_was_after_a_fold() -> None:
    assert gc.isenabled()
    with collector_paused():
        assert not gc.isenabled()
        with collector_paused():
            pass
        assert not gc.isenabled()
    assert gc.isenabled()


def test_results_are_counted_and_found_by_id() -> None:
    results = results_of(a_log(a_test("b", "failed"), a_test("a"), a_test("c")))
    assert results.counts == {"passed": 2, "failed": 1}
    assert [test.test_id for test in results.with_id("a")] == ["a"]


def test_an_attempt_left_open_is_found_among_the_last_hundred() -> None:
    for later, found in ((99, 1), (100, 102)):
        log = a_log(
            line("TestStarted", "t", order=0),
            [one for n in range(2, later + 2) for one in a_test("t", "failed", attempt=n)],
            line("TestFinished", "t", attempt=None, outcome="passed"),
        )
        (test,) = results_of(log).tests
        assert [one.number for one in test.attempts if one.outcome == "passed"] == [found]


@pytest.mark.parametrize("name", ["status", "signal", "reason", "exit_code", "duration_us"])
def test_an_end_with_a_field_of_another_type_ends_nothing(name: str) -> None:
    fields: dict[str, Any] = {"status": "failed", "signal": None, "reason": None, "exit_code": 1}
    ended = results_of(a_log(line("RunFinished", **fields, duration_us=9, events=1), ended=False))
    assert ended.finished and ended.complete
    odd = {**fields, "duration_us": 9, name: [1]}
    results = results_of(a_log(line("RunFinished", **odd, events=1), ended=False))
    assert (results.finished, results.complete) == (None, False)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_number_has_64_bits_at_most(sign: int) -> None:
    def numbered(order: int) -> str:
        return verdicts(a_log(line("TestStarted", "t", order=order * sign)))["t"]

    assert numbered((1 << 64) - 1) == "unfinished"
    with pytest.raises(KeyError, match="t"):
        numbered(1 << 64)
