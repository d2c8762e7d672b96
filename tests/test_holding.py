"""What the results of a log may take in memory: an account by the size of the log itself."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from builders import a_log, a_recording, a_test, line

from bundler import limits
from bundler.errors import HostileRecording
from bundler.eventlog import PlainLog
from bundler.holding import Holding, packed_size
from bundler.limits import Limits, put_in_force

LONG = "x" * 20_000


@pytest.fixture(autouse=True)
def ten_thousand_bytes() -> Iterator[None]:
    before = limits.in_force()
    put_in_force(Limits(results_bytes=10_000, results_ratio=2))
    yield
    put_in_force(before)


@pytest.mark.parametrize(
    "lines",
    [
        [line("TestsCollected", selected=[""] * 50)],
        [line("TestsCollected", deselected=[0] * 100)],
        [line("TestsCollected", selected=[f"t{n}" for n in range(15)])],
        [line("TestStarted", "t")] * 40,
        [line("TestOutput", "t", attempt=99)] * 40,
        a_test("t", "failed", failures=[{"message": LONG}]),
        a_test("t", "failed", failures=[{"traceback": LONG}]),
        a_test("t", "failed", failures=[{}] * 100),
        a_test("t", reason=LONG),
        a_test("t", properties=[["a", LONG]]),
        a_test("t", properties=[["a", "b"]] * 100),
        a_test("t", properties=[["", ""]] * 60),
        a_test(LONG),
        [line("TestStarted", "t", file=LONG)],
        [line("SubtestFinished", "t", name=LONG, outcome="passed")],
        [line("SubtestFinished", "t", outcome="passed")] * 100,
        [line("Warning", message=LONG)],
        [line("Warning", more=[[]] * 200)],
        [line("Warning", more={f"a{n}": 0 for n in range(200)})],
        [line("SessionStarted", runner=LONG)],
        [line("SessionStarted"), line("SessionFinished", reason=LONG)],
        [line("CollectionFailed", "f", failures=[{"message": LONG}])],
        [line("CollectionSkipped", "f", reason=LONG)],
        [line("RunStarted", argv=[LONG])],
        [line("RunFinished", reason=LONG)],
    ],
    ids=lambda lines: lines[0][60:140].decode(),
)
def test_whatever_is_kept_of_a_log_counts(lines: list[bytes]) -> None:
    recording = a_recording(b"")
    recording.log = PlainLog(a_log(lines, ended=False), packed=100)
    with pytest.raises(HostileRecording, match="results_bytes=10000"):
        _ = recording.results


def test_output_and_what_tests_log_themselves_are_not_kept() -> None:
    output = [line("TestOutput", "t", text=LONG)] * 9
    recording = a_recording(b"")
    recording.log = PlainLog(a_log(a_test("t"), output, [line("Own", "t", a=LONG)]), packed=100)
    assert recording.results.tests[0].own_events == 1


def test_a_larger_log_may_take_more() -> None:
    log = a_log(*(a_test(f"t{n}", "failed") for n in range(100)))
    recording = a_recording(b"")
    recording.log = PlainLog(log, packed=100_000)
    assert len(recording.results.tests) == 100


def test_a_log_of_nobody_takes_what_it_takes() -> None:
    Holding().keep(1 << 50)


def test_a_plain_log_counts_as_if_it_were_packed() -> None:
    log = a_log(a_test("t"))
    assert PlainLog(log).packed == packed_size(len(log)) == len(log) // 16
    assert PlainLog(log, packed=7).packed == 7


def test_an_attempt_is_found_by_its_number_alone() -> None:
    log = a_log(
        [line("TestStarted", "t", attempt=number) for number in (1, 2, 7)],
        line("TestFinished", "t", attempt=2, outcome="failed", failures=[]),
        line("TestFinished", "t", attempt="7", outcome="passed", failures=[]),
        line("TestFinished", "t", attempt=True, outcome="passed", failures=[]),
        ended=False,
    )
    attempts = a_recording(log).results.tests[0].attempts
    assert [(one.number, one.outcome) for one in attempts] == [(1, None), (2, "failed"), (7, None)]
