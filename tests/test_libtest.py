"""libtest JSON: as cargo test and cargo-nextest wrote it, and as we write it."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from command_line import place
from round_trip import again, everything, printed, verdicts, written

from bundler.errors import DamagedRecording
from bundler.formats import libtest, libtest_reader
from bundler.recording import Recording
from bundler.results import TestResult
from bundler.store import open_path

FIXTURES = Path(__file__).parent / "fixtures"


def recorded(name: str) -> Recording:
    return open_path(FIXTURES / "libtest" / f"{name}.json")


def read(*lines: str | bytes) -> Recording:
    raw = b"\n".join(one if isinstance(one, bytes) else one.encode() for one in lines) + b"\n"
    return libtest_reader.read(io.BytesIO(raw), where="x.json")


def the_test(recording: Recording, test_id: str) -> TestResult:
    [test] = recording.results.with_id(test_id)
    return test


def test_cargo_test_s_lines_are_a_run() -> None:
    recording = recorded("cargo-test")
    assert verdicts(recording) == {
        "tests::boiling_is_wrong": "failed",
        "tests::freezing_is_zero": "passed",
        "tests::naïve_größe": "passed",
        "tests::prints_kilobytes": "passed",
        "tests::returns_an_error": "failed",
        "tests::should_panic_and_does": "passed",
        "tests::tides": "skipped",
        "always_fails": "failed",
        "flaky": "failed",
        "leaks": "passed",
        "leaks_and_fails": "passed",
        "slow_but_passes": "passed",
    }
    assert recording.manifest.status.state == "failed"
    assert the_test(recording, "tests::tides").attempts[0].reason == "needs the sea"


def test_each_binary_of_cargo_test_is_a_session() -> None:
    results = recorded("cargo-test").results
    assert len({test.session for test in results.tests}) == 2
    assert [session.exit_status for session in results.sessions] == [101, 101, 0]
    assert all(session.finished for session in results.sessions)


def test_a_panic_has_its_place_and_its_words() -> None:
    [panic] = the_test(recorded("cargo-test"), "always_fails").attempts[0].failures
    assert (panic.file, panic.line, panic.message) == ("tests/storms.rs", 58, "again")


@pytest.mark.parametrize("name", ["nextest", "nextest-plus"])
def test_nextest_s_lines_say_what_its_recording_says(name: str) -> None:
    """But for what they cannot say: that a test crashed."""
    theirs = {one.test_id.split("$")[1]: one.verdict.value for one in recorded(name).results.tests}
    whole = open_path(FIXTURES / "nextest" / "weather.zip").results.tests
    ours = {one.test_id.split(" ")[1]: one.verdict.value for one in whole}
    assert theirs == {**ours, "aborts": "failed"}


def test_attempts_that_nextest_does_not_tell_of_had_failed() -> None:
    flaky = the_test(recorded("nextest-plus"), "weather::storms$flaky")
    assert [one.outcome for one in flaky.attempts] == ["failed", "failed", "passed"]
    assert flaky.attempts[0].reason == libtest_reader.UNTOLD


def test_a_number_of_attempts_is_no_reason_to_make_so_many() -> None:
    recording = read(
        '{"type":"suite","event":"started"}',
        '{"type":"test","name":"a#9999","event":"ok"}',
        '{"type":"suite","event":"ok"}',
    )
    numbers = [one.number for one in the_test(recording, "a").attempts]
    assert numbers == [*range(1, 11), 9999]


def test_an_iteration_of_a_stress_run_is_an_occurrence() -> None:
    recording = recorded("nextest-stress")
    assert recording.results.counts == {"passed": 2, "skipped": 2, "flaky": 2}
    occurrences = recording.results.with_id("weather::storms$flaky")
    assert [one.occurrence for one in occurrences] == [1, 2]


def test_a_name_may_look_like_an_attempt_or_an_iteration() -> None:
    """A test that started under a name is of that name, whatever stands at its end."""
    recording = read(
        '{"type":"suite","event":"started"}',
        '{"type":"test","event":"started","name":"c::b$a#2"}',
        '{"type":"test","event":"ok","name":"c::b$a#2"}',
        '{"type":"test","event":"started","name":"c::b$x@stress-7$y"}',
        '{"type":"test","event":"ok","name":"c::b$x@stress-7$y#3"}',
        '{"type":"suite","event":"ok"}',
    )
    tests = recording.results.tests
    assert [(one.test_id, one.occurrence, len(one.attempts)) for one in tests] == [
        ("c::b$a#2", 1, 1),
        ("c::b$x@stress-7$y", 1, 3),
    ]


def test_a_suite_that_never_ends_was_interrupted() -> None:
    recording = read(
        '{"type":"suite","event":"started","test_count":2}',
        '{"type":"test","event":"started","name":"a"}',
        '{"type":"test","name":"a","event":"ok"}',
        '{"type":"test","event":"started","name":"b"}',
    )
    assert verdicts(recording) == {"a": "passed", "b": "unfinished"}
    assert recording.manifest.status.state == "interrupted"
    assert not recording.results.complete


def test_a_bench_has_its_figures() -> None:
    recording = read(
        '{"type":"suite","event":"started","test_count":1}',
        '{"type":"bench","name":"b","median":12.5,"deviation":1,"mib_per_second":3}',
        '{"type":"suite","event":"ok","passed":0,"failed":0,"measured":1}',
    )
    [attempt] = the_test(recording, "b").attempts
    assert dict(attempt.properties) == {
        "libtest.median": "12.5",
        "libtest.deviation": "1",
        "libtest.mib_per_second": "3",
    }


def test_a_timeout_only_says_that_a_test_is_slow() -> None:
    recording = read(
        '{"type":"suite","event":"started","test_count":1}',
        '{"type":"test","event":"started","name":"a"}',
        '{"type":"test","event":"timeout","name":"a"}',
        '{"type":"test","name":"a","event":"ok","exec_time":61.5}',
        '{"type":"suite","event":"ok"}',
    )
    test = the_test(recording, "a")
    assert (test.verdict, test.duration_us, test.own_events) == ("passed", 61_500_000, 1)


def test_what_is_no_json_was_printed() -> None:
    recording = read(
        '{"type":"suite","event":"started"}',
        b"\xff from a build script",
        '{"type":"suite","event":"ok"}',
    )
    [output] = recording.outputs(recording.results.run_output_offsets)
    assert output.content == b"\xff from a build script\n"


def test_an_older_version_wrote_the_time_as_text() -> None:
    recording = read(
        '{"type":"suite","event":"started"}',
        '{"type":"test","name":"a","event":"ok","exec_time":"0.250s"}',
        '{"type":"suite","event":"ok"}',
    )
    assert the_test(recording, "a").duration_us == 250_000


@pytest.mark.parametrize(
    "strange",
    [
        b'{"type":"test","event":"ok","name":7}',
        b'{"type":"test","event":"ok"}',
        b'{"type":["suite"],"event":{}}',
        b'{"type":"test","event":"ok","name":"a#99999999"}',
        b'{"type":"test","event":"failed","name":"a","stdout":[1],"exec_time":-1}',
        b'{"type":"test","event":"ignored","name":"","message":{}}',
        b'{"type":"test","event":"started","name":"\\ud800"}',
        b'{"type":"suite","event":"ok"}',
    ],
)
def test_no_line_breaks_the_reader(strange: bytes) -> None:
    recording = read('{"type":"suite","event":"started"}', strange, '{"type":"suite","event":"ok"}')
    assert recording.results.events > 2


def test_a_file_of_something_else_is_refused() -> None:
    with pytest.raises(DamagedRecording, match=r"x\.json holds no line of libtest JSON"):
        read('{"type":"report"}')
    assert not libtest_reader.recognises(b'{"Action":"run"}\n')
    assert not libtest_reader.recognises(b'{"type":"test","event":"dreamt","name":"a"}\n')


# Writing


def test_every_verdict_that_the_format_can_hold_comes_back() -> None:
    ours = verdicts(everything())
    narrowed = {"xpassed": "passed", "xfailed": "skipped"}
    expected = {name: narrowed.get(one, one) for name, one in ours.items() if one != "not_run"}
    assert verdicts(again(libtest, libtest_reader, everything())) == expected


def test_output_durations_and_reasons_come_back() -> None:
    before, after = everything(), again(libtest, libtest_reader, everything())
    for test in after.results.tests:
        [original] = before.results.with_id(test.test_id)
        assert printed(after, test) == printed(before, original)
        if test.verdict not in ("skipped", "unfinished"):
            assert test.attempts[-1].duration_us == original.attempts[-1].duration_us
    assert the_test(after, "t.py::skips").attempts[0].reason == "closed"
    [failure] = the_test(after, "t.py::fails").attempts[0].failures
    assert failure.traceback is not None and "assert 1 == 2" in failure.traceback


def test_what_is_written_twice_is_the_same() -> None:
    first = again(libtest, libtest_reader, everything())
    assert verdicts(again(libtest, libtest_reader, first)) == verdicts(first)


def test_a_nextest_recording_has_nextest_s_own_lines() -> None:
    """The same names, results and suites as nextest wrote of such a run, in whatever order."""
    recording = open_path(FIXTURES / "nextest" / "weather.zip")
    ours = written(libtest, recording, dialect="plus")
    assert told(ours) == told((FIXTURES / "libtest" / "nextest-plus.json").read_bytes())


def told(content: bytes) -> set[tuple[str, ...]]:
    lines = [json.loads(line) for line in content.splitlines()]
    tests = {(one["event"], one["name"]) for one in lines if one["type"] == "test"}
    suites = {
        (one["nextest"]["crate"], one["nextest"]["test_binary"], one["nextest"]["kind"])
        for one in lines
        if one["type"] == "suite"
    }
    return tests | suites


def test_bundle_export_writes_it(tmp_path: Path) -> None:
    here = place(tmp_path)
    words = ("export", str(FIXTURES / "nextest" / "stress.zip"), "--to", "libtest")
    done = here.bundle(*words, "-o", "out.json")
    assert done.code == 0, done.stderr
    counts = open_path(here.project / "out.json").results.counts
    assert counts == {"passed": 3, "failed": 3, "skipped": 3, "flaky": 3}
    assert here.bundle(*words, "--dialect", "plus").stdout.startswith('{"type":"suite"')
