"""The fold: what the events of a run say about its tests."""

import pytest
from builders import SESSION, a_log, a_test, line, results_of

from bundler.events import encode_line
from bundler.results import Status, Verdict
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


@pytest.mark.parametrize(
    "broken",
    [
        line("TestFinished", "t", outcome="no such outcome", failures=[]),
        line("TestFinished", "t", outcome="passed", failures=[3]),
        line("TestFinished", "t", outcome="passed", failures=7),
        line("TestFinished", "t", failures=[]),
        line("TestFinished", None, outcome="passed", failures=[]),
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
