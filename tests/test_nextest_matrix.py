"""Every kind of recording that cargo-nextest makes: what its own replay shows, line for line.

The crate is `fixtures/nextest/gale`: names that are odd, attempts that end in different ways, a
binary that vanishes, benchmarks; a run that is repeated, stopped early, paused. Where our replay
differs from nextest's stands in docs/formats.md, and in the tables of this file.
"""

from __future__ import annotations

import io
import json
import re
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass
from pathlib import Path
from zipfile import ZipFile

import pytest
from command_line import BUNDLE
from real_nextest import HERE, MISSING, REQUIRED, TOOLS, Nextest, named, nextest_at
from test_nextest_real import agrees_with_junit, by_name, seconds, text

from bundler.json_lines import json_object
from bundler.opening import read_stream
from bundler.recording import Recording
from bundler.results import BAD, Verdict, fold
from bundler.store import open_path

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not HERE and not REQUIRED, reason=MISSING)]


@dataclass(frozen=True)
class Made:
    """A recording: where it lies, and what nextest printed on stdout while it made it."""

    path: Path
    said: bytes

    @property
    def recording(self) -> Recording:
        """What we read of it."""
        return open_path(self.path)


def run(nextest: Nextest, *words: str, **environment: str) -> Made:
    done = nextest.run(*words, **environment)
    assert done.returncode in (0, 100), done.stderr.decode()
    return Made(nextest.exported(), done.stdout)


def everything(nextest: Nextest) -> Made:
    return run(nextest, "run")


def told_as_json(nextest: Nextest) -> Made:
    return run(nextest, "run", "--message-format", "libtest-json-plus")


def stress(nextest: Nextest) -> Made:
    wanted = "test(crashes) + test(many_lines) + test(spaces) + test(ignored)"
    return run(nextest, "run", "--stress-count", "3", "-E", wanted)


def fail_fast(nextest: Nextest) -> Made:
    return run(nextest, "run", "--profile", "stop", "-j1")


def rerun(nextest: Nextest) -> Made:
    nextest.run("run", "-E", "binary(odd)")
    return run(nextest, "run", "-R", "latest")


def benchmarks(nextest: Nextest) -> Made:
    return run(nextest, "bench")


def not_captured(nextest: Nextest) -> Made:
    return run(nextest, "run", "--no-capture", "-E", "test(streams) + test(spaces)")


def truncated(nextest: Nextest) -> Made:
    configuration = str(nextest.crate.parent / "truncating")
    return run(nextest, "run", "-E", "test(large)", XDG_CONFIG_HOME=configuration)


def not_started(nextest: Nextest) -> Made:
    return run(nextest, "run", "-E", "binary(vanishes)", NEXTEST_DOUBLE_SPAWN="0")


def paused(nextest: Nextest) -> Made:
    process = nextest.start("run", "-E", "test(leaks) + test(takes)")
    assert process.stderr is not None
    while b"Starting" not in process.stderr.readline():
        assert process.poll() is None
    for number in (signal.SIGTSTP, signal.SIGCONT):
        process.send_signal(number)
        time.sleep(0.4)
    said, _ = process.communicate(timeout=60)
    return Made(nextest.exported(), said)


RECORDINGS: dict[str, Callable[[Nextest], Made]] = {
    made.__name__: made
    for made in (
        everything,
        told_as_json,
        stress,
        fail_fast,
        rerun,
        benchmarks,
        not_captured,
        truncated,
        not_started,
        paused,
    )
}


@pytest.fixture(scope="module", params=TOOLS, ids=named)
def nextest(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Nextest:
    made = nextest_at(tmp_path_factory.mktemp("nextest"), request.param, "gale")
    built = made.run("run", "--no-run")
    assert built.returncode == 0, built.stderr.decode()
    return made


@pytest.fixture(scope="module")
def recordings(nextest: Nextest) -> dict[str, Made]:
    """Each is made once; a test that vanished is built again."""
    found = {}
    for name, made in RECORDINGS.items():
        (nextest.crate / "tests" / "vanishes.rs").touch()
        found[name] = made(nextest)
    return found


# Its replay and ours, line for line

STATUS = re.compile(
    r"^ *(?P<word>[A-Z][A-Z0-9+/ -]*?) \[[ >]*(?P<time>[0-9.]*)s?\] "
    r"(?:\[(?P<iteration>[0-9]+)/[^]]*\] )?"
    r"\((?P<place>[^)]*)\) (?:slot[0-9]+ | {2,})?(?P<test>.+)$"
)
OUR_REMARKS = re.compile(r"( #(?P<occurrence>[0-9]+))?( \(ignored\))?$")
NOT_SHOWN_HERE = ("SETUP", "SETUP PASS", "START", "SLOW", "NOT RUN")
WORDS = {
    "LEAK": "PASS",
    "LEAK-FAIL": "FAIL",
    "TIMEOUT-PASS": "PASS",
    "XFAIL": "ERROR",
    "ABRT": "CRASH",
    "SLOW": "PASS",
}
"""What nextest's words are in ours; those of a signal are `CRASH` too."""


@dataclass(frozen=True)
class Line:
    """A status line: the word, the seconds, the place among the finished, the test."""

    word: str
    seconds: float
    place: str
    test: str


def replayed(nextest: Nextest, path: Path) -> list[str]:
    words = ("--status-level", "all", "--final-status-level", "all", "--failure-output", "never")
    done = nextest.run("replay", "-R", str(path), "--no-pager", *words)
    assert done.returncode == 0, done.stderr.decode()
    return (done.stdout + done.stderr).decode().splitlines()


def here(nextest: Nextest, path: Path) -> list[str]:
    words = ("--status-level", "all", "--final-status-level", "all", "--failure-output", "never")
    done = subprocess.run(
        [*BUNDLE, "replay", str(path), "--no-pager", *words],
        cwd=nextest.crate,
        capture_output=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode().splitlines()


def status_lines(lines: list[str], *, ours: bool, counted: bool) -> Iterator[Line]:
    """The status lines up to the summary, or after it where it is the final ones that count."""
    for line in lines:
        found = STATUS.match(line)
        if found is None or found["word"] in NOT_SHOWN_HERE:
            continue
        occurrence, test = found["iteration"] or "1", found["test"]
        if ours:
            remarks = OUR_REMARKS.search(test)
            assert remarks
            occurrence, test = remarks["occurrence"] or "1", test[: remarks.start()]
        word = found["word"] if ours else our_word(found["word"])
        place = re.sub("[ ─]", "", found["place"]) if counted else ""
        yield Line(word, float(found["time"] or 0), place, f"{test} #{occurrence}")


def our_word(word: str) -> str:
    attempt, _, last = word.rpartition(" ") if word.startswith("TRY ") else ("", "", word)
    last = "CRASH" if last.startswith("SIG") else WORDS.get(re.split("[ +]", last)[0], last)
    return f"{attempt} {last}".strip()


def split_at_summary(lines: list[str]) -> tuple[list[str], list[str]]:
    [at] = [number for number, line in enumerate(lines) if line.startswith("     Summary [")]
    return lines[:at], lines[at + 1 :]


@pytest.mark.parametrize("name", RECORDINGS)
def test_our_replay_shows_the_lines_of_nextest_s(
    nextest: Nextest, recordings: dict[str, Made], name: str
) -> None:
    path = recordings[name].path
    counted = name != "stress"  # ours counts through all iterations
    theirs, _ = split_at_summary(replayed(nextest, path))
    ours, _ = split_at_summary(here(nextest, path))
    left_out = {one.test_id for one in open_path(path).results.deselected}
    expected = [
        line
        for line in status_lines(theirs, ours=False, counted=counted)
        if line.word != "SKIP" or line.test.rpartition(" #")[0] not in left_out
    ]
    found = list(status_lines(ours, ours=True, counted=counted))
    assert [without_time(line) for line in found] == [without_time(line) for line in expected]
    for mine, its in zip(found, expected, strict=True):
        assert mine.seconds == pytest.approx(its.seconds, abs=0.0011)
    assert expected


def without_time(line: Line) -> tuple[str, str, str]:
    return line.word, line.place, line.test


@pytest.mark.parametrize("name", RECORDINGS)
def test_our_final_statuses_are_those_of_nextest(
    nextest: Nextest, recordings: dict[str, Made], name: str
) -> None:
    path = recordings[name].path
    (_, theirs), (_, ours) = map(split_at_summary, (replayed(nextest, path), here(nextest, path)))
    left_out = {one.test_id for one in open_path(path).results.deselected}
    expected = {
        (final_word(line.word), line.test)
        for line in status_lines(theirs, ours=False, counted=False)
        if line.test.rpartition(" #")[0] not in left_out
    }
    found = status_lines(ours, ours=True, counted=False)
    assert {(final_word(line.word), line.test) for line in found} == expected


def final_word(word: str) -> str:
    """`FLAKY 2/3` is of three that were allowed, `FLAKY 2/2` of two that there were."""
    return "FLAKY" if word.startswith("FLAKY") else word


# What it says elsewhere


def test_its_junit_report_has_our_attempts(nextest: Nextest) -> None:
    (nextest.crate / "tests" / "vanishes.rs").touch()
    made = everything(nextest)
    tests = by_name(made.recording)
    cases = [
        case
        for case in nextest.junit().iter("testcase")
        if not str(case.get("classname")).startswith("@")
    ]
    names = {f"{case.get('classname')} {case.get('name')}": case for case in cases}
    assert names.keys() == {name for name, test in tests.items() if test.verdict != "skipped"}
    for test_id, case in names.items():
        agrees_with_junit(made.recording, tests[test_id], case)


UNESCAPED = frozenset('"\\\\')
"""What nextest writes into its JSON as it is: a line with such a name is no JSON."""


def test_its_libtest_json_has_our_results(recordings: dict[str, Made]) -> None:
    made = recordings["told_as_json"]
    tests = by_name(made.recording)
    lines = [one for line in made.said.splitlines() if (one := json_object(line))]
    told = {
        our_name(line["name"], tests): line
        for line in lines
        if line["type"] == "test" and line["event"] != "started"
    }
    assert told.keys() == {test_id for test_id in tests if not UNESCAPED.intersection(test_id)}
    for test_id, line in told.items():
        test = tests[test_id]
        expected = "failed" if test.verdict in BAD else "ok"
        expected = "ignored" if test.verdict is Verdict.SKIPPED else expected
        assert line["event"] == expected, test_id
        if "exec_time" in line:
            assert line["exec_time"] == pytest.approx(seconds(test.attempts[-1]), abs=0.000002)
        printed = text(made.recording, test.attempts[-1], "output")
        assert without_escapes(line.get("stdout", "")) in without_escapes(printed), test_id


def our_name(name: str, known: Container[str]) -> str:
    """`crate::binary$test#attempt`; a library's binary has the name of its crate."""
    binary, _, test = name.partition("$")
    crate, _, own = binary.partition("::")
    whole = f"{crate if own == crate else binary} {test}"
    return whole if whole in known else whole.rpartition("#")[0]


def without_escapes(printed: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m|[\x00-\x08\x0b-\x1f]", "", printed).strip()


def test_the_libtest_json_that_nextest_prints_is_read_as_its_recording(
    recordings: dict[str, Made],
) -> None:
    made = recordings["told_as_json"]
    theirs = read_stream(io.BytesIO(made.said), where="stdout").results
    ours = made.recording.results
    narrowed = {"crashed": "failed", "errored": "failed"}
    expected = {
        (one.test_id.partition(" ")[2], narrowed.get(one.verdict, one.verdict.value))
        for one in ours.tests
        if not UNESCAPED.intersection(one.test_id)
    }
    assert {(one.test_id.partition("$")[2], one.verdict.value) for one in theirs.tests} == expected


def test_what_was_printed_arrives_byte_by_byte(recordings: dict[str, Made]) -> None:
    recording = recordings["everything"].recording
    [large] = by_name(recording)["gale::storms large_output"].attempts
    numbers = range(2000)
    expected = [f"line {number} {number * 2654435761 % 2**32:08x}" for number in numbers]
    lines = text(recording, large, "stdout").splitlines()
    assert [line for line in lines if line.startswith("line ")] == expected
    assert text(recording, large, "stderr") == "." * 20_000
    [colours] = by_name(recording)["gale::storms colours_and_controls"].attempts
    printed = "\x1b[31mred\x1b[0m \x07 \x1b]0;title\x07 \r\n\ttab \u2028 end\n"
    assert printed in text(recording, colours, "stdout")


def test_what_was_cut_out_is_counted(recordings: dict[str, Made]) -> None:
    whole = recordings["everything"].recording
    cut = recordings["truncated"].recording
    for stream in ("stdout", "stderr"):
        sizes = []
        for recording in (whole, cut):
            [attempt] = by_name(recording)["gale::storms large_output"].attempts
            outputs = [
                one for one in recording.outputs(attempt.output_offsets) if one.stream == stream
            ]
            sizes.append(sum(len(one.content) + one.omitted_bytes for one in outputs))
        assert abs(sizes[0] - sizes[1]) < 20  # the time that libtest prints


def test_streams_that_were_one_stay_in_their_order(recordings: dict[str, Made]) -> None:
    recording = recordings["told_as_json"].recording
    [attempt] = by_name(recording)["gale::storms both_streams_in_turn"].attempts
    printed = text(recording, attempt, "output").splitlines()
    expected = [f"{name} {number}" for number in range(50) for name in ("out", "err")]
    assert [line for line in printed if re.fullmatch("(out|err) [0-9]+", line)] == expected


def test_every_attempt_ended_in_its_own_way(recordings: dict[str, Made]) -> None:
    test = by_name(recordings["everything"].recording)["gale::storms fails_in_every_way"]
    outcomes = [one.outcome for one in test.attempts]
    assert outcomes == ["failed", "crashed", "timed_out", "failed"]
    properties = [dict(one.properties) for one in test.attempts]
    assert [one.get("nextest.delay_us") for one in properties] == [None, "10000", "20000", "20000"]
    assert properties[3]["nextest.exit_code"] == "9"


def test_a_pause_is_in_the_recording(recordings: dict[str, Made]) -> None:
    recording = recordings["paused"].recording
    names = [event.event for _, event in recording.events() if event.category == "nextest"]
    assert names.index("RunPaused") < names.index("RunContinued")
    assert recording.results.counts == {"passed": 2, "skipped": 1}


def test_benchmarks_and_their_captures_are_said(recordings: dict[str, Made]) -> None:
    results = recordings["benchmarks"].recording.results
    [session] = results.sessions
    assert (session.info["run_mode"], session.info["capture"]) == ("benchmark", "no")
    assert {one.test_id: one.verdict for one in results.tests} == {
        "gale::bench/wind gust": "passed",
        "gale::bench/wind squall": "failed",
    }
    assert {one.reason for one in results.deselected} == {"not-benchmark"}


def test_a_test_that_could_not_be_started_is_an_error(recordings: dict[str, Made]) -> None:
    recording = recordings["not_started"].recording
    [test] = recording.results.tests
    assert test.verdict is Verdict.ERRORED
    assert "No such file or directory" in (test.attempts[0].failures[0].traceback or "")


@pytest.mark.parametrize("name", RECORDINGS)
def test_nothing_is_unknown_to_the_reader(recordings: dict[str, Made], name: str) -> None:
    recording = recordings[name].recording
    assert recording.problems == []
    assert recording.results.complete
    assert fold(recording.events()) == recording.results


@pytest.mark.parametrize("name", RECORDINGS)
def test_nextest_counts_what_we_count(recordings: dict[str, Made], name: str) -> None:
    path = recordings[name].path
    with ZipFile(path) as archive:
        status = json.loads(archive.read("manifest.json"))["run"]["status"]
    counts = Counter(test.verdict.value for test in open_path(path).results.tests)
    if status["status"] == "completed":
        assert status["passed"] == counts["passed"] + counts["flaky"]
        assert status["failed"] == sum(counts[verdict.value] for verdict in BAD)
    else:
        assert status["status"] == "stress-completed"
        failed = sum(counts[verdict.value] for verdict in BAD)
        assert (status["failed-count"], failed) == (3, 3)
