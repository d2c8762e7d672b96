"""`go test -json`: what Go wrote is what is read."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from bundler.errors import DamagedRecording
from bundler.formats import go_test
from bundler.opening import read_path
from bundler.recording import Recording

FIXTURES = Path(__file__).parent / "fixtures" / "go-test"
VERSIONS = ("1.19", "1.27")
SHOP = "example.com/shop/"


def fixture(version: str, name: str) -> Recording:
    return read_path(FIXTURES / f"go{version}-{name}.json")


def read(*events: dict[str, Any] | bytes) -> Recording:
    lines = [one if isinstance(one, bytes) else json.dumps(one).encode() for one in events]
    return go_test.read(io.BytesIO(b"\n".join(lines) + b"\n"), where="memory")


def event(action: str, test: str | None = None, package: str = "p", **more: Any) -> dict[str, Any]:
    named = {} if test is None else {"Test": test}
    return {"Action": action, "Package": package, **named, **more}


def verdicts(recording: Recording) -> dict[str, str]:
    return {test.test_id: test.verdict.value for test in recording.results.tests}


def printed(recording: Recording, test_id: str) -> bytes:
    [test] = recording.results.with_id(test_id)
    return b"".join(one.content for one in recording.outputs(test.attempts[-1].output_offsets))


@pytest.mark.parametrize("version", VERSIONS)
def test_verdicts(version: str) -> None:
    recording = fixture(version, "all")
    assert {name.removeprefix(SHOP): one for name, one in verdicts(recording).items()} == {
        "cart::TestPasses": "passed",
        "cart::TestFails": "failed",
        "cart::TestSkipped": "skipped",
        "cart::TestTable": "failed",
        "cart::TestTable/one": "passed",
        "cart::TestTable/two_words": "failed",
        "cart::TestTable/a::b": "passed",
        "cart::TestTable/é": "passed",
        "cart::TestParallelA": "passed",
        "cart::TestParallelB": "passed",
        "cart::TestPrintsWithoutNewline": "passed",
        "crash::TestBefore": "passed",
        "crash::TestWaits": "unfinished",
        "crash::TestPanics": "crashed",
        "exits::TestExits": "unfinished",
        "slow::TestSlow": "timed_out",
    }
    assert recording.manifest.status.state == "failed"
    assert recording.manifest.created_at.startswith("2026-11-22T04:5")
    assert recording.results.complete


def test_a_build_that_failed_is_a_package_that_was_not_collected() -> None:
    problems = {one.node_id: one.failures[0] for one in fixture("1.27", "all").results.collection}
    assert sorted(problems) == [f"{SHOP}broken", f"{SHOP}initpanic"]
    assert "undefined: undefined" in (problems[f"{SHOP}broken"].traceback or "")
    assert problems[f"{SHOP}initpanic"].message == "panic: no init"


def test_what_a_build_printed_before_the_first_event_is_kept() -> None:
    recording = fixture("1.19", "mixed")
    outputs = list(recording.outputs(recording.results.run_output_offsets))
    assert outputs[0].content.startswith(b"# example.com/shop/broken")
    assert verdicts(recording) == verdicts(fixture("1.19", "all"))


@pytest.mark.parametrize("version", VERSIONS)
def test_a_failure_is_what_the_test_said_last(version: str) -> None:
    recording = fixture(version, "all")
    [test] = recording.results.with_id(f"{SHOP}cart::TestFails")
    [failure] = test.attempts[0].failures
    assert (failure.message, failure.file, failure.line) == (
        "got 1, want 2",
        "cart_test.go",
        14,
    )


@pytest.mark.parametrize("version", VERSIONS)
def test_output_is_what_a_test_printed_and_no_frame(version: str) -> None:
    recording = fixture(version, "all")
    assert printed(recording, f"{SHOP}cart::TestPasses") == b"printed\n"
    assert printed(recording, f"{SHOP}cart::TestPrintsWithoutNewline") == b"no newline"


@pytest.mark.parametrize("version", VERSIONS)
def test_the_seed_of_a_shuffle_is_the_seed_of_its_tests(version: str) -> None:
    recording = fixture(version, "shuffle")
    assert {test.seed for test in recording.results.tests} == {42}
    assert recording.manifest.seed == 42
    assert recording.results.sessions[0].info["shuffle_seed"] == 42


def test_benchmarks_end_with_their_package() -> None:
    assert verdicts(fixture("1.27", "bench")) == {
        f"{SHOP}bench::BenchmarkAdd": "passed",
        f"{SHOP}bench::BenchmarkLogs": "passed",
    }


@pytest.mark.parametrize("version", VERSIONS)
def test_a_cached_result_says_so(version: str) -> None:
    recording = fixture(version, "cached")
    assert recording.results.sessions[0].reason == "cached"
    assert recording.manifest.status.state == "passed"


@pytest.mark.parametrize("version", VERSIONS)
def test_counted_tests_are_occurrences(version: str) -> None:
    tests = fixture(version, "count").results.tests
    assert [(one.test_id.partition("::")[2], one.occurrence) for one in tests] == [
        ("TestPasses", 1),
        ("TestFails", 1),
        ("TestPasses", 2),
        ("TestFails", 2),
    ]


def test_a_failed_test_in_a_package_that_starts_again_is_tried_again() -> None:
    first = [event("run", "T"), event("fail", "T"), event("run", "U"), event("pass", "U")]
    again = [event("run", "T"), event("pass", "T")]
    recording = read(*first, event("fail"), *again, event("pass"))
    assert verdicts(recording) == {"p::T": "flaky", "p::U": "passed"}
    assert recording.manifest.status.state == "passed"


def test_a_package_that_is_missing_is_no_obstacle() -> None:
    nameless: list[dict[str, Any]] = [
        {"Action": "run", "Test": "T"},
        {"Action": "output", "Test": "T", "Output": "x\n"},
        {"Action": "pass", "Test": "T", "Elapsed": 0.5},
        {"Action": "pass"},
    ]
    recording = read(*nameless)
    assert verdicts(recording) == {"T": "passed"}
    assert recording.results.tests[0].duration_us == 500_000


def test_a_log_that_is_cut_is_an_interrupted_run() -> None:
    recording = read(event("run", "T"), event("pass", "T"), event("run", "U"), b'{"Action":"pa')
    assert verdicts(recording) == {"p::T": "passed", "p::U": "unfinished"}
    assert recording.manifest.status.state == "interrupted"
    assert not recording.results.complete


def test_an_end_that_stands_in_the_output_counts() -> None:
    lost = event("output", "T", Output="text--- PASS: T (0.25s)\n")
    recording = read(event("run", "T"), lost, event("run", "U"), event("fail", "U"), event("fail"))
    assert verdicts(recording) == {"p::T": "passed", "p::U": "failed"}
    assert recording.results.tests[0].duration_us == 250_000


def test_a_time_that_is_none_and_a_field_of_another_type_are_passed_over() -> None:
    odd = {"Action": "output", "Package": 7, "Test": ["x"], "Output": None, "Time": "yesterday"}
    recording = read(odd, {"Action": ["run"]}, event("run", "T"), event("pass", "T", Elapsed="x"))
    assert verdicts(recording)["p::T"] == "passed"


def test_a_file_without_an_event_is_damaged() -> None:
    with pytest.raises(DamagedRecording):
        go_test.read(io.BytesIO(b"{}\n"), where="memory")


@pytest.mark.parametrize("head", [b"", b"{", b'{"Action":"run"}', b"<testsuite/>", b'{"type":1}'])
def test_other_files_are_not_taken_for_one(head: bytes) -> None:
    assert not go_test.recognises(head)
