"""The builder that readers drive: what it says is what the fold finds."""

from __future__ import annotations

import io
import tempfile
from pathlib import Path
from typing import IO, Any

import pytest

from bundler import spool
from bundler.errors import HostileRecording, OutputError
from bundler.manifest import RunStatus
from bundler.recording import Recording
from bundler.results import Failure, Verdict, fold
from bundler.store import Store
from bundler.times import UNKNOWN_TIME, epoch_microseconds, microseconds, rfc3339
from bundler.translation import Execution, Translation


def a_translation(content: bytes = b"the file") -> Translation:
    return Translation(io.BytesIO(content), where="memory", format="a format", runner="some tests")


def one_test(outcome: Verdict = Verdict.PASSED, content: bytes = b"the file") -> Recording:
    translation = a_translation(content)
    session = translation.session_started("some tests")
    attempt = Execution(session, "a::b")
    translation.test_started(attempt, worker="w1", file="a.x", line=3, ts_us=10)
    translation.test_output(attempt, "hello", ts_us=12)
    failures = [Failure("call", "no", traceback="a\nb")] if outcome is Verdict.FAILED else []
    translation.test_finished(attempt, outcome, call_us=5, failures=failures, ts_us=15)
    translation.session_finished(session, exit_status=0)
    return translation.finished()


def test_what_a_reader_says_is_what_the_fold_finds() -> None:
    recording = one_test(Verdict.FAILED)
    [test] = recording.results.tests
    assert (test.test_id, test.verdict, test.file, test.line) == ("a::b", "failed", "a.x", 3)
    assert test.attempts[0].failures[0].traceback == "a\nb"
    outputs = recording.outputs(test.attempts[0].output_offsets)
    assert [output.content for output in outputs] == [b"hello"]
    assert recording.results.complete
    assert recording.manifest.source == {"format": "a format"}
    assert recording.manifest.counts == {"failed": 1}


def test_the_results_are_those_that_a_second_reading_finds() -> None:
    recording = one_test()
    kept = recording.results
    del recording.results
    assert recording.results == kept


def test_the_same_file_is_the_same_run_and_another_is_another() -> None:
    assert one_test().manifest.run_id == one_test().manifest.run_id
    assert one_test(content=b"else").manifest.run_id != one_test().manifest.run_id


def test_adding_it_twice_changes_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path / "store", tmp_path)
    first = store.add(one_test(), {})
    assert store.add(one_test(), {}) == first
    assert len(store.runs()) == 1


@pytest.mark.parametrize(
    ("outcome", "state"),
    [(Verdict.PASSED, "passed"), (Verdict.FAILED, "failed"), (Verdict.CRASHED, "failed")],
)
def test_the_status_follows_from_the_verdicts(outcome: Verdict, state: str) -> None:
    assert one_test(outcome).manifest.status == RunStatus(state)


def test_a_session_without_an_end_was_interrupted() -> None:
    translation = a_translation()
    attempt = Execution(translation.session_started("some tests"), "a::b")
    translation.test_started(attempt)
    recording = translation.finished(cut=True)
    assert recording.manifest.status.state == "interrupted"
    assert [test.verdict for test in recording.results.tests] == ["unfinished"]
    assert not recording.results.complete


def test_nothing_at_all_is_a_run_without_tests() -> None:
    recording = a_translation().finished()
    assert recording.manifest.status.state == "no_tests"
    assert recording.results.complete


def test_a_line_of_ours_passes_unchanged() -> None:
    translation = a_translation()
    line = b'{"v":1,"ts_us":7,"level":"INFO","category":"io","event":"IoRead","message":"x"}'
    translation.line(line)
    assert line in [one.content for one in translation.finished().log.lines()]
    with pytest.raises(ValueError):
        a_translation().line(b"{")


def test_texts_of_any_length_and_kind_make_readable_lines() -> None:
    translation = a_translation()
    attempt = Execution(translation.session_started("x"), "t\ud800")
    long = "\U0001f600" * 400_000
    translation.test_started(attempt)
    translation.test_output(attempt, long)
    translation.test_output(attempt, b"\xff" * 200_000)
    some = [Failure("call", long, traceback=long)] * 9
    properties = [("n", "v")] * 100_000
    translation.test_finished(
        attempt, Verdict.FAILED, reason=long, failures=some, properties=properties
    )
    recording = translation.finished()
    assert not recording.damaged_lines
    [test] = recording.results.tests
    assert test.test_id == "t\\ud800"
    assert test.verdict == "failed"
    content = b"".join(one.content for one in recording.outputs(test.attempts[0].output_offsets))
    assert content == long.encode() + b"\xff" * 200_000


def test_a_test_id_of_absurd_length_is_refused() -> None:
    translation = a_translation()
    attempt = Execution(translation.session_started("x"), "t" * 100_000)
    with pytest.raises(HostileRecording, match="a test id of 100000 characters"):
        translation.test_started(attempt)


def test_two_readings_of_a_log_do_not_disturb_each_other() -> None:
    recording = one_test()
    one, two = recording.log.lines(), recording.log.lines()
    pairs = list(zip(one, two, strict=True))
    assert len(pairs) == 7
    assert all(a == b for a, b in pairs)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0.25", 250_000),
        ("1,234.5", 1_234_500_000),
        ("0,5", 500_000),
        (3, 3_000_000),
        (0.0000004, 0),
    ],
)
def test_seconds(text: object, expected: int) -> None:
    assert microseconds(text) == expected


@pytest.mark.parametrize("bad", ["", "x", "-1", "nan", "inf", "1e99", None, True, [], "1.2.3"])
def test_what_is_no_duration(bad: object) -> None:
    assert microseconds(bad) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-01-02T03:04:05Z", "2026-01-02T03:04:05Z"),
        ("2026-01-02T03:04:05.123456789+02:00", "2026-01-02T01:04:05.123456Z"),
        ("2026-01-02T03:04:05.1", "2026-01-02T03:04:05.100000Z"),
        ("2026-01-02T03:04:05", "2026-01-02T03:04:05Z"),
    ],
)
def test_times(text: str, expected: str) -> None:
    epoch = epoch_microseconds(text)
    assert epoch is not None
    assert rfc3339(epoch) == expected


@pytest.mark.parametrize("text", ["", "now", "0001-01-01T00:00:00+14:00", None, 7, "9" * 40])
def test_what_is_no_time(text: object) -> None:
    assert epoch_microseconds(text) is None


@pytest.mark.parametrize("epoch_us", [-1, 1 << 62])
def test_a_time_out_of_range_is_unknown(epoch_us: int) -> None:
    assert rfc3339(epoch_us) == UNKNOWN_TIME


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
@pytest.mark.parametrize("pieces", [70, 400], ids=["when it ends", "while it is read"])
def test_a_temporary_directory_that_is_full_is_said(
    pieces: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(buffering: int) -> IO[bytes]:
        return Path("/dev/full").open("r+b", buffering=buffering)

    monkeypatch.setattr(spool, "_IN_MEMORY", 1 << 20)
    monkeypatch.setattr(spool, "_CHUNK", 5 << 20)
    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    translation = a_translation()
    attempt = Execution(translation.session_started("some tests"), "a::b")
    with pytest.raises(OutputError, match="memory does not fit into the temporary directory: No"):
        for _ in range(pieces):
            translation.test_output(attempt, "x" * 60_000)
        assert pieces == 70
        translation.finished()


@pytest.mark.parametrize("size", [10, 100_000], ids=["in memory", "on disk"])
def test_a_log_is_the_same_wherever_it_lies(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "_IN_MEMORY", 100_000)
    translation = a_translation()
    attempt = Execution(translation.session_started("some tests"), "a::b")
    texts = [f"{number} \N{CHECK MARK} {'x' * size}" for number in range(20)]
    for text in texts:
        translation.test_output(attempt, text)
    recording = translation.finished()
    [test] = recording.results.tests
    outputs = recording.outputs(test.attempts[0].output_offsets)
    assert "".join(one.content.decode() for one in outputs) == "".join(texts)
    assert fold(recording.events()) == recording.results


@pytest.mark.parametrize(
    "value",
    [
        2**70,
        1.5,
        "\ud800",
        "\N{CHECK MARK}",
        None,
        [{"a": "\udfff"}],
        {"\ud800": 1},
        "x" * (2 << 20),
    ],
    ids=repr,
)
def test_whatever_an_event_holds_is_folded_as_it_is_read_again(value: Any) -> None:
    """Most lines are encoded at once; those that are not so simple mean the same."""
    translation = a_translation()
    translation.event("Odd", message=str(value)[:50], data={"value": value})
    session = translation.session_started("some tests", value=value)
    attempt = Execution(session, f"a::{str(value)[:50]}")
    translation.test_finished(attempt, Verdict.FAILED, failures=[Failure("call", str(value))])
    recording = translation.finished()
    assert fold(recording.events()) == recording.results
    assert recording.damaged_lines == []
    assert all(line.content.isascii() for line in recording.log.lines())
