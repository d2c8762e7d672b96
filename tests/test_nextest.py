"""nextest's recordings as the real tool wrote them: `fixtures/nextest/record.sh`."""

from __future__ import annotations

import io
import json
import shutil
import tracemalloc
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard
from command_line import place
from full_size import examples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bundler import limits
from bundler.blocks import why_not_captured
from bundler.errors import BundleError, DamagedRecording, HostileRecording, TooNewRecording
from bundler.formats import junit
from bundler.formats.nextest_statuses import failure_of, outcome_of, run_status_of
from bundler.recording import Recording
from bundler.results import Attempt, TestResult, Verdict, fold
from bundler.store import open_path

FIXTURES = Path(__file__).parent / "fixtures" / "nextest"
FINISHED = "750a018d-4f74-4e85-912b-bc050d2f1921"
KILLED = "b6b235c7-34e8-44af-84a9-9966a655bb57"


def recorded(name: str) -> Recording:
    return open_path(FIXTURES / f"{name}.zip")


def the_test(recording: Recording, test_id: str) -> TestResult:
    [test] = recording.results.with_id(test_id)
    return test


def printed(recording: Recording, attempt: Attempt, stream: str) -> bytes:
    outputs = recording.outputs(attempt.output_offsets)
    return b"".join(one.content for one in outputs if one.stream == stream)


def failure(recording: Recording, test_id: str) -> Any:
    [found] = the_test(recording, test_id).attempts[-1].failures
    return found


def test_every_result_of_nextest_has_its_verdict() -> None:
    recording = recorded("weather")
    assert {test.test_id: test.verdict.value for test in recording.results.tests} == {
        "weather tests::boiling_is_wrong": "failed",
        "weather tests::freezing_is_zero": "passed",
        "weather tests::naïve_größe": "passed",
        "weather tests::prints_kilobytes": "passed",
        "weather tests::returns_an_error": "failed",
        "weather tests::should_panic_and_does": "passed",
        "weather tests::tides": "skipped",
        "weather::storms aborts": "crashed",
        "weather::storms always_fails": "failed",
        "weather::storms exits_with_seven": "failed",
        "weather::storms flaky": "flaky",
        "weather::storms leaks": "passed",
        "weather::storms leaks_and_fails": "failed",
        "weather::storms not_utf8": "failed",
        "weather::storms slow_but_passes": "passed",
        "weather::storms timeout_that_passes": "passed",
        "weather::storms times_out": "timed_out",
    }
    assert recording.problems == []
    assert recording.results.complete


def test_the_run_is_what_nextest_says_of_it() -> None:
    manifest = recorded("weather").manifest
    assert manifest.run_id == "54eda37f-c303-4d04-b834-7d96963b5531"
    assert (manifest.status.state, manifest.status.exit_code) == ("failed", 100)
    assert manifest.command.runner == "nextest"
    assert manifest.command.argv[1:] == ["nextest", "run", "--color", "never"]
    assert manifest.command.cwd == "/tmp/weather/crate"
    assert manifest.source == {"format": "nextest"}


def test_why_an_attempt_ended_so_is_its_reason() -> None:
    recording = recorded("weather")
    reasons = {
        test.test_id.split()[1]: test.attempts[-1].reason for test in recording.results.tests
    }
    assert {name: reason for name, reason in reasons.items() if reason} == {
        "aborts": "SIGABRT",
        "leaks": "leaky",
        "leaks_and_fails": "leaky",
        "tests::tides": "ignored",
        "timeout_that_passes": "timed out, which its profile takes for a pass",
        "times_out": "timed out",
    }


def test_every_attempt_has_its_own_output() -> None:
    recording = recorded("weather")
    attempts = the_test(recording, "weather::storms flaky").attempts
    assert [one.outcome for one in attempts] == ["failed", "failed", "passed"]
    assert [one.will_retry for one in attempts] == [True, True, False]
    for number, attempt in enumerate(attempts, 1):
        assert f"attempt {number}\n".encode() in printed(recording, attempt, "stdout")
    assert dict(attempts[1].properties)["nextest.delay_us"] == "10000"


def test_output_that_is_not_utf_8_keeps_its_bytes() -> None:
    recording = recorded("weather")
    attempt = the_test(recording, "weather::storms not_utf8").attempts[0]
    assert b"\xff\xfe raw \x00 bytes\n" in printed(recording, attempt, "stdout")
    assert b"with bytes" in printed(recording, attempt, "stderr")


def test_a_panic_has_its_place_and_its_words() -> None:
    panic = failure(recorded("weather"), "weather tests::boiling_is_wrong")
    assert (panic.file, panic.line) == ("src/lib.rs", 19)
    assert panic.message.startswith("assertion `left == right` failed: the sea level is")
    assert panic.type == "test failure with exit code 101"
    error = failure(recorded("weather"), "weather tests::returns_an_error")
    assert (error.message, error.file) == ('Error: "no wind"', None)


def test_kilobytes_arrive_whole() -> None:
    recording = recorded("weather")
    attempt = the_test(recording, "weather tests::prints_kilobytes").attempts[0]
    lines = printed(recording, attempt, "stdout").splitlines()
    assert [one for one in lines if one.startswith(b"line ")] == [
        b"line %d: the quick brown fox jumps over the lazy dog" % number for number in range(400)
    ]


def test_what_nextest_cut_out_is_counted() -> None:
    recording = recorded("truncated")
    attempt = the_test(recording, "weather tests::prints_kilobytes").attempts[0]
    head, tail = recording.outputs(attempt.output_offsets)
    assert b"truncated" not in head.content + tail.content
    whole = len(head.content) + tail.omitted_bytes + len(tail.content)
    assert (head.omitted_bytes, whole) == (0, 21638)


def test_streams_that_nextest_combined_are_one_stream() -> None:
    recording = recorded("combined")
    attempt = the_test(recording, "weather tests::freezing_is_zero").attempts[0]
    output = printed(recording, attempt, "output")
    assert output.index(b"measured on stdout") < output.index(b"measured on stderr")


def test_output_that_was_not_captured_is_said_so() -> None:
    recording = recorded("no-capture")
    assert recording.results.sessions[0].info["capture"] == "no"
    assert not any(test.attempts[0].output_offsets for test in recording.results.tests)
    assert why_not_captured(recording.results.sessions[0]) == "the suite ran with --no-capture"


def test_an_iteration_of_a_stress_run_is_an_occurrence() -> None:
    results = recorded("stress").results
    occurrences = [
        (one.occurrence, one.verdict) for one in results.with_id("weather::storms flaky")
    ]
    assert occurrences == [(1, "flaky"), (2, "flaky"), (3, "flaky")]
    assert results.counts == {"passed": 3, "failed": 3, "skipped": 3, "flaky": 3}
    assert len(results.deselected) == 13


def test_what_a_rerun_leaves_out_was_passing() -> None:
    recording = recorded("rerun")
    assert recording.manifest.parent is not None
    assert recording.manifest.parent.run_id == recorded("weather").manifest.run_id
    left_out = Counter(one.reason for one in recording.results.deselected)
    assert left_out == {"passing": 8}
    assert len(recording.results.tests) == 9


def test_what_a_filter_leaves_out_is_deselected() -> None:
    recording = recorded("passed")
    assert Counter(one.reason for one in recording.results.deselected) == {"expression": 15}
    assert recording.manifest.status.state == "passed"


def test_tests_that_a_failure_kept_from_running_were_not_run() -> None:
    recording = recorded("fail-fast")
    assert recording.results.counts == {"failed": 1, "skipped": 1, "not_run": 15}
    assert recording.manifest.status.state == "failed"


def test_a_setup_script_that_fails_is_a_collection_that_fails() -> None:
    recording = recorded("no-sea")
    [problem] = recording.results.collection
    assert problem.node_id == "@setup-script:no-such-program"
    assert problem.failures[0].message == "test failure with exit code 70"
    assert recording.manifest.status.state == "collection_failed"
    assert recording.manifest.status.exit_code == 105


def test_what_a_setup_script_prints_is_kept() -> None:
    recording = recorded("weather")
    outputs = list(recording.outputs(recording.results.run_output_offsets))
    assert [(one.stream, one.content) for one in outputs] == [("stdout", b"preparing the sea\n")]


def test_a_flaky_test_fails_where_its_profile_says_so() -> None:
    recording = recorded("flaky-fails")
    test = the_test(recording, "weather::storms flaky")
    assert test.verdict is Verdict.FAILED
    assert [one.outcome for one in test.attempts] == ["failed"] * 3
    assert test.attempts[-1].reason == "flaky, which its profile takes for a failure"


def test_a_run_over_its_time_was_cancelled() -> None:
    recording = recorded("global-timeout")
    assert recording.manifest.status.state == "cancelled"
    assert recording.manifest.status.reason == "the run was over its global timeout"
    assert the_test(recording, "weather::storms times_out").verdict is Verdict.CRASHED


def test_a_run_without_tests_is_no_failure() -> None:
    recording = recorded("no-tests")
    assert (recording.manifest.status.state, recording.manifest.status.exit_code) == ("no_tests", 4)


def test_what_has_no_place_passes_through_under_its_own_name() -> None:
    events = Counter(event.event for _, event in recorded("stress").events())
    own = ("SetupScriptStarted", "SetupScriptFinished", "StressSubRunStarted")
    assert [events[name] for name in own] == [3, 3, 3]
    cancel = [event for _, event in recorded("fail-fast").events() if event.category == "nextest"]
    assert cancel[-1].payload()["reason"] == "test-failure"


def test_names_that_rust_cannot_have_are_kept() -> None:
    odd = {
        test.test_id.removeprefix("gale::odd "): test.verdict.value
        for test in recorded("gale").results.tests
        if test.test_id.startswith("gale::odd ")
    }
    assert odd == {
        "a name with spaces": "passed",
        "a::b c::d": "passed",
        "quotes \"'` and <&>": "passed",
        "größe/über ✓ \N{BALLOON}": "passed",
        "[param-1]#2": "passed",
        "$dollar@stress-0$x": "passed",
        "back\\slash %20 %s {}": "passed",
        "-leading-dash": "passed",
        "comma,equals=star*": "passed",
        "ends with a bracket)": "passed",
        "fails & says so": "failed",
    }


def test_attempts_may_end_in_four_ways() -> None:
    recording = recorded("gale")
    test = the_test(recording, "gale::storms fails_in_every_way")
    assert [(one.outcome, one.reason) for one in test.attempts] == [
        ("failed", None),
        ("crashed", "SIGABRT"),
        ("timed_out", "timed out"),
        ("failed", None),
    ]
    assert the_test(recording, "gale::storms kills_itself").attempts[0].reason == "SIGKILL"
    assert the_test(recording, "gale::storms crashes_then_passes").verdict is Verdict.FLAKY
    slow = dict(the_test(recording, "gale::storms leaks_slowly").attempts[0].properties)
    assert slow == {"nextest.leaked": "true", "nextest.slow": "true"}


def test_the_streams_of_a_test_and_its_script_stay_apart() -> None:
    recording = recorded("gale")
    [large] = the_test(recording, "gale::storms large_output").attempts
    lines = [one for one in printed(recording, large, "stdout").splitlines() if b"line" in one]
    assert lines[::1999] == [b"line 0 00000000", b"line 1999 %08x" % (1999 * 2654435761 % 2**32)]
    assert printed(recording, large, "stderr") == b"." * 20_000
    outputs = list(recording.outputs(recording.results.run_output_offsets))
    assert [(one.stream, one.content) for one in outputs] == [
        ("stdout", b"to stdout\n"),
        ("stderr", b"to stderr\n"),
    ]


def test_benchmarks_are_tests_whose_output_is_not_captured() -> None:
    results = recorded("benchmarks").results
    assert results.counts == {"passed": 1, "failed": 1}
    assert (results.sessions[0].info["run_mode"], results.sessions[0].info["capture"]) == (
        "benchmark",
        "no",
    )
    assert why_not_captured(results.sessions[0]) == "nextest does not capture benchmarks"


def test_a_pause_passes_through_and_counts_for_no_test() -> None:
    recording = recorded("paused")
    events = [event.event for _, event in recording.events() if event.category == "nextest"]
    assert events[-2:] == ["RunPaused", "RunContinued"]
    [slow] = the_test(recording, "gale::storms leaks_slowly").attempts
    assert slow.duration_us < 400_000  # it sleeps for 600 ms, and nextest for 400 of them


def test_a_test_that_could_not_be_started_errored() -> None:
    found = failure(recorded("not-started"), "gale::vanishes cannot_be_started")
    assert (found.message, found.type) == ("error spawning child process", "execution failure")


def test_a_run_in_nextest_s_own_store_is_read_where_it_lies() -> None:
    recording = open_path(FIXTURES / "store" / FINISHED)
    assert recording.manifest.status.exit_code == 100
    assert recording.results.counts == {"passed": 1, "failed": 1, "skipped": 1}
    assert recording.problems == []


def test_a_run_that_the_index_has_forgotten_tells_by_itself(tmp_path: Path) -> None:
    shutil.copytree(FIXTURES / "store" / FINISHED, tmp_path / "run")
    recording = open_path(tmp_path / "run")
    assert recording.manifest.run_id == FINISHED
    assert (recording.manifest.status.state, recording.manifest.status.exit_code) == ("failed", 100)


def test_a_run_that_was_killed_is_interrupted() -> None:
    recording = open_path(FIXTURES / "store" / KILLED)
    assert recording.manifest.status.state == "interrupted"
    assert recording.manifest.command.argv[1:] == ["nextest", "run", "--no-fail-fast", "-j", "1"]
    assert not recording.results.complete
    assert "what the tests printed is not known" in recording.problems[0]


def test_junit_names_tests_as_nextest_does() -> None:
    target = io.BytesIO()
    junit.write(recorded("weather"), target)
    document = target.getvalue().decode()
    assert '<testcase classname="weather::storms" name="times_out"' in document
    assert '<testcase classname="weather" name="tests::freezing_is_zero"' in document


def test_a_recording_taken_into_the_store_is_the_same_and_keeps_nextest_s_files(
    tmp_path: Path,
) -> None:
    here = place(tmp_path)
    original = FIXTURES / "weather.zip"
    added = here.bundle("add", str(original))
    assert added.code == 0, added.stderr
    kept = here.latest()
    assert kept.results.counts == recorded("weather").results.counts
    assert here.bundle("verify", "latest").code == 0
    with zipfile.ZipFile(original) as archive:
        for name in ("manifest.json", "run.log.zst", "store.zip"):
            assert kept.files[f"source/nextest/{name}"] == archive.read(name)
    first = here.bundle("replay", str(original)).stdout
    assert here.bundle("replay").stdout == first.replace(str(original), kept.manifest.run_id[:8])


# What a stranger may have made of one


def changed(tmp_path: Path, change: Callable[[dict[str, bytes]], None]) -> Path:
    """A copy of a recording whose three members went through a change."""
    with zipfile.ZipFile(FIXTURES / "weather.zip") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    path = tmp_path / "changed.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def with_log(tmp_path: Path, change: Callable[[list[bytes]], list[bytes]]) -> Path:
    def rewrite(members: dict[str, bytes]) -> None:
        unpacked = zstandard.ZstdDecompressor().decompressobj().decompress(members["run.log.zst"])
        lines = change(unpacked.splitlines(keepends=True))
        members["run.log.zst"] = zstandard.ZstdCompressor().compress(b"".join(lines))

    return changed(tmp_path, rewrite)


def test_a_log_that_breaks_off_shows_what_it_has(tmp_path: Path) -> None:
    recording = open_path(with_log(tmp_path, lambda lines: [*lines[:6], lines[6][:50]]))
    assert not recording.results.complete
    assert recording.results.counts["unfinished"] == 1
    assert recording.results.counts["not_run"] > 1
    assert "torn" in recording.problems[0]


def test_a_log_whose_frame_is_cut_shows_what_it_has(tmp_path: Path) -> None:
    def cut(members: dict[str, bytes]) -> None:
        members["run.log.zst"] = members["run.log.zst"][:-200]

    recording = open_path(changed(tmp_path, cut))
    assert not recording.results.complete


def test_lines_of_another_shape_are_counted_and_passed_over(tmp_path: Path) -> None:
    strange = [
        b"{}\n",
        b"[]\n",
        b"nothing\n",
        b'{"elapsed":{"secs":1e999,"nanos":0},"kind":{"kind":"test-started"}}\n',
        b'{"elapsed":{"secs":1,"nanos":0},"kind":{"kind":"test-started","test-instance":[]}}\n',
        b'{"elapsed":{"secs":1,"nanos":0},"kind":{"kind":"test-finished"}}\n',
        b'{"elapsed":{"secs":1,"nanos":0},"kind":"x"}\n',
        b'{"elapsed":{"secs":1,"nanos":0},"kind":' + b"[" * 9000 + b"]" * 9000 + b"}\n",
    ]
    recording = open_path(with_log(tmp_path, lambda lines: lines[:1] + strange + lines[1:]))
    assert recording.results.counts == recorded("weather").results.counts
    assert recording.problems == ["8 lines of run.log.zst could not be read"]


STRANGE = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 2**70) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=4,
)


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every place in a document: what holds it, and under which key."""
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    found = []
    for key, one in inner:
        found.append((value, key))
        found += places(one) if isinstance(one, dict | list) else []
    return found


@settings(max_examples=examples(60), deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_no_value_in_a_log_makes_another_error_than_ours(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    def strange(lines: list[bytes]) -> list[bytes]:
        at = data.draw(st.integers(0, len(lines) - 1))
        line = json.loads(lines[at])
        holder, key = data.draw(st.sampled_from(places(line)))
        holder[key] = data.draw(STRANGE)
        return [*lines[:at], json.dumps(line).encode() + b"\n", *lines[at + 1 :]]

    path = with_log(tmp_path_factory.mktemp("strange"), strange)
    try:
        recording = open_path(path)
    except BundleError:
        return
    assert fold(recording.events()) == recording.results
    assert recording.damaged_lines == []


def test_memory_grows_with_the_tests_and_not_with_what_they_printed(tmp_path: Path) -> None:
    tests = 3000

    def many(lines: list[bytes]) -> list[bytes]:
        of_one = [line for line in lines if b"prints_kilobytes" in line]
        names = (b"test_%d" % number for number in range(tests))
        made = [line.replace(b"prints_kilobytes", name) for name in names for line in of_one]
        return [lines[0], *made, lines[-1]]

    path = with_log(tmp_path, many)
    tracemalloc.start()
    try:
        recording = open_path(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    ran = [test for test in recording.results.tests if test.attempts]
    size = sum(len(line.content) for line in recording.log.lines())
    assert (len(ran), size > 60 << 20) == (tests, True)
    # 8 MiB of the log stay in memory before it goes to a file; a test takes about a kilobyte.
    assert peak < (16 << 20) + tests * 1500 + (4 << 20)


def test_an_event_that_nextest_has_yet_to_think_of_passes_through(tmp_path: Path) -> None:
    new = b'{"elapsed":{"secs":0,"nanos":5000},"kind":{"kind":"test-dreamt","of":"sheep"}}\n'
    recording = open_path(with_log(tmp_path, lambda lines: [lines[0], new, *lines[1:]]))
    [event] = [event for _, event in recording.events() if event.event == "TestDreamt"]
    assert (event.payload(), event.ts_us) == ({"of": "sheep"}, 5)


def test_a_log_that_never_says_that_a_run_started_takes_the_manifest_s_word(
    tmp_path: Path,
) -> None:
    recording = open_path(with_log(tmp_path, lambda lines: []))
    assert recording.manifest.run_id == recorded("weather").manifest.run_id
    assert not recording.results.complete


def test_an_output_that_is_missing_is_said_once(tmp_path: Path) -> None:
    recording = open_path(
        with_log(tmp_path, lambda lines: [line.replace(b"-stdout", b"-gone") for line in lines])
    )
    [problem] = recording.problems
    assert "outputs could not be read" in problem
    assert recording.results.counts == recorded("weather").results.counts


def test_a_log_that_names_one_output_without_end_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def again(lines: list[bytes]) -> list[bytes]:
        [long] = [one for one in lines if b"prints_kilobytes" in one and b'"test-finished"' in one]
        return lines[:-1] + [long] * 12 + lines[-1:]

    monkeypatch.setattr(limits, "_chosen", limits.Limits(total_bytes=200_000))
    with pytest.raises(HostileRecording, match="the outputs of all tests: over the limit total"):
        open_path(with_log(tmp_path, again))


@pytest.mark.parametrize(
    ("field", "what"), [("format-version", "archive"), ("store-format-version", "store")]
)
def test_another_major_version_is_refused(tmp_path: Path, field: str, what: str) -> None:
    def newer(members: dict[str, bytes]) -> None:
        document = json.loads(members["manifest.json"])
        if what == "archive":
            document[field] = {"major": 2, "minor": 0}
        else:
            document["run"][field] = 3
        members["manifest.json"] = json.dumps(document).encode()

    with pytest.raises(TooNewRecording, match=f"is a nextest {what} of format"):
        open_path(changed(tmp_path, newer))


def test_a_manifest_that_is_not_nextest_s_is_refused(tmp_path: Path) -> None:
    def emptied(members: dict[str, bytes]) -> None:
        members["manifest.json"] = b'{"format-version": 7}'

    with pytest.raises(DamagedRecording, match=r"manifest\.json is not that of a nextest"):
        open_path(changed(tmp_path, emptied))


# The tables


@pytest.mark.parametrize(
    ("result", "outcome", "reason"),
    [
        ({"status": "pass"}, "passed", None),
        ({"status": "leak", "result": "pass"}, "passed", "leaky"),
        ({"status": "leak", "result": "fail"}, "failed", "leaky"),
        ({"status": "exec-fail"}, "errored", "could not be started"),
        ({"status": "timeout", "result": "fail"}, "timed_out", "timed out"),
        ({"status": "fail", "failure": {"kind": "exit-code", "code": 1}}, "failed", None),
        ({"status": "fail", "failure": {"kind": "abort"}}, "crashed", "aborted"),
        (
            {
                "status": "fail",
                "failure": {"kind": "abort", "abort": {"kind": "unix-signal", "signal": 9}},
            },
            "crashed",
            "signal 9",
        ),
        (
            {
                "status": "fail",
                "failure": {
                    "kind": "abort",
                    "abort": {"kind": "windows-nt-status", "code": -1073741819},
                },
            },
            "crashed",
            "aborted with 0xc0000005",
        ),
    ],
)
def test_the_table_of_results(result: dict[str, Any], outcome: str, reason: str | None) -> None:
    assert outcome_of(result) == (outcome, reason)


def test_a_result_that_is_not_known_is_none_of_ours() -> None:
    with pytest.raises(ValueError, match="'exploded' is not known"):
        outcome_of({"status": "exploded"})


def test_a_failure_without_a_summary_says_what_nextest_says() -> None:
    found = failure_of({"result": {"status": "timeout", "result": "fail"}, "error-summary": None})
    assert (found.type, found.message) == (None, "test timeout")


@pytest.mark.parametrize(
    ("code", "cancelled_by", "state"),
    [
        (0, None, "passed"),
        (5, None, "passed"),
        (4, None, "no_tests"),
        (100, None, "failed"),
        (100, "test-failure", "failed"),
        (100, "interrupt", "cancelled"),
        (100, "signal", "cancelled"),
        (105, "setup-script-failure", "collection_failed"),
        (110, None, "internal_error"),
    ],
)
def test_the_table_of_endings(code: int, cancelled_by: str | None, state: str) -> None:
    status = run_status_of({"status": {"status": "completed", "exit-code": code}}, cancelled_by)
    assert status is not None
    assert (status.state, status.exit_code) == (state, code)


def test_an_incomplete_run_has_no_ending() -> None:
    assert run_status_of({"status": {"status": "incomplete"}}, None) is None
