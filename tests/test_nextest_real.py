"""Against the real cargo-nextest: our reading of its recording, and what it says of the same run.

What it says: its libtest JSON while it runs, its JUnit report, and its own replay. The crate is
`fixtures/nextest/weather`; which cargo-nextest it is, `real_nextest` says.
"""

from __future__ import annotations

import json
import re
import shutil
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
from command_line import Place
from real_nextest import HERE, MISSING, REQUIRED, TOOLS, Nextest, named, nextest_at

from bundler.recording import Recording
from bundler.results import BAD, Attempt, TestResult, Verdict
from bundler.store import open_path

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not HERE and not REQUIRED, reason=MISSING)]


@pytest.fixture(scope="module", params=TOOLS, ids=named)
def nextest(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Nextest:
    return nextest_at(tmp_path_factory.mktemp("nextest"), request.param, "weather")


def by_name(recording: Recording) -> dict[str, TestResult]:
    return {test.test_id: test for test in recording.results.tests}


def seconds(attempt: Attempt) -> float:
    return attempt.duration_us / 1_000_000


def text(recording: Recording, attempt: Attempt, *streams: str) -> str:
    outputs = recording.outputs(attempt.output_offsets)
    whole = b"".join(one.content for one in outputs if one.stream in streams)
    return whole.decode("utf-8", "replace")


def without_controls(output: str) -> str:
    """nextest strips escapes from its reports, tabs among them, and what XML cannot hold."""
    output = re.sub(r"\x1b\[[0-9;]*m|\x1b\][^\x07]*\x07", "", output)
    return re.sub(r"[\x00-\x09\x0b-\x1f\ufffe\uffff]", "", output)


def test_what_its_junit_report_says_of_every_attempt(nextest: Nextest) -> None:
    done = nextest.run("run")
    assert done.returncode == 100, done.stderr
    recording = open_path(nextest.exported())
    tests = by_name(recording)
    cases = {
        f"{case.get('classname')} {case.get('name')}": case
        for case in nextest.junit().iter("testcase")
        if not str(case.get("classname")).startswith("@")
    }
    assert recording.problems == []
    assert cases.keys() == {name for name, test in tests.items() if test.verdict != "skipped"}
    for name, case in cases.items():
        agrees_with_junit(recording, tests[name], case)


def agrees_with_junit(recording: Recording, test: TestResult, case: ET.Element) -> None:
    """The report has one of the attempts as the case, the others as elements in it."""
    earlier = [one for one in case if one.tag.startswith(("flaky", "rerun"))]
    red = case.find("failure") is not None or case.find("error") is not None
    assert red == (test.verdict in BAD), test.test_id
    assert len(test.attempts) == 1 + len(earlier)
    # Of a flaky test the case is the last attempt, of one that failed the first.
    main, *others = test.attempts if red else [test.attempts[-1], *test.attempts[:-1]]
    for element, attempt in zip([case, *earlier], [main, *others], strict=True):
        assert float(element.get("time", "nan")) == pytest.approx(seconds(attempt), abs=0.0006)
        for tag, stream in (("system-out", "stdout"), ("system-err", "stderr")):
            reported = element.findtext(tag) or ""
            printed = without_controls(text(recording, attempt, stream))
            assert without_controls(reported).strip() == printed.strip(), (test.test_id, tag)


def test_what_its_libtest_json_says_of_every_test(nextest: Nextest) -> None:
    done = nextest.run("run", "--message-format", "libtest-json-plus")
    recording = open_path(nextest.exported())
    tests = by_name(recording)
    said: dict[str, dict[str, Any]] = {}
    for line in done.stdout.splitlines():
        event = json.loads(line)
        if event["type"] == "test" and event["event"] != "started":
            said[our_name(event["name"])] = event
    assert said.keys() == tests.keys()
    for name, event in said.items():
        test = tests[name]
        expected = "failed" if test.verdict in BAD else "ok"
        expected = "ignored" if test.verdict is Verdict.SKIPPED else expected
        assert event["event"] == expected, name
        if "exec_time" in event:
            assert event["exec_time"] == pytest.approx(seconds(test.attempts[-1]), abs=0.000002)
        if "stdout" in event:
            assert event["stdout"].strip() in text(recording, test.attempts[-1], "output")


def our_name(name: str) -> str:
    """`crate::binary$test#attempt`, where the binary of a library has the name of its crate."""
    binary, _, test = name.partition("$")
    crate, _, own = binary.partition("::")
    return f"{crate if own == crate else binary} {test.partition('#')[0]}"


def test_what_its_own_replay_shows(nextest: Nextest) -> None:
    nextest.run("run")
    archive = nextest.exported()
    words = ("--success-output", "immediate", "--no-output-indent", "--color", "never")
    shown = nextest.run("replay", "-R", str(archive), "--no-pager", *words)
    assert shown.returncode == 0, shown.stderr
    replayed = in_ascii(shown.stdout + shown.stderr)
    recording = open_path(archive)
    for test in recording.results.tests:
        for attempt in test.attempts:
            for output in recording.outputs(attempt.output_offsets):
                assert in_ascii(output.content) in replayed, test.test_id


def in_ascii(output: bytes) -> bytes:
    """Without colours and what else nextest keeps from a terminal."""
    return re.sub(rb"[^ -~\n]", b"", re.sub(rb"\x1b\[[0-9;]*m", b"", output)).strip()


def test_its_store_and_its_archive_are_one_recording(nextest: Nextest) -> None:
    nextest.run("run", "-E", "test(flaky) + test(freezing)")
    archived = open_path(nextest.exported())
    [stored] = Path(nextest.environment["NEXTEST_STATE_DIR"]).rglob(archived.manifest.run_id)
    ours = [line.content for line in open_path(stored).log.lines()]
    assert ours == [line.content for line in archived.log.lines()]


def test_a_stress_run_has_every_iteration(nextest: Nextest) -> None:
    nextest.run("run", "--stress-count", "4", "-E", "test(flaky) + test(boiling)")
    results = open_path(nextest.exported()).results
    assert results.counts == {"failed": 4, "flaky": 4, "skipped": 4}
    assert [one.occurrence for one in results.with_id("weather::storms flaky")] == [1, 2, 3, 4]


def a_place(nextest: Nextest, tmp_path: Path) -> tuple[Place, dict[str, str]]:
    """A project that is the crate, with a store of its own."""
    crate = tmp_path / "crate"
    shutil.copytree(nextest.crate, crate)
    kept = ("PATH", "XDG_CONFIG_HOME", "CARGO_TERM_COLOR")
    return Place(crate, tmp_path / "store"), {name: nextest.environment[name] for name in kept}


def test_bundle_run_records_the_tests_of_nextest(nextest: Nextest, tmp_path: Path) -> None:
    here, environment = a_place(nextest, tmp_path)
    words = ("cargo", "nextest", "run", "-E", "test(flaky) + test(boiling) + test(freezing)")
    environment["XDG_CONFIG_HOME"] = str(tmp_path)
    here.run(words, **environment)  # it is built once
    plain = here.run(words, **environment)
    done = here.bundle("run", "--", *words, **environment)
    assert (done.code, plain.code) == (100, 100)
    assert shown(done.stderr).issuperset(shown(plain.stderr))
    recording = here.latest()
    assert recording.manifest.command.runner == "nextest"
    assert recording.manifest.status.state == "failed"
    assert here.verdicts() == {
        "weather tests::boiling_is_wrong": "failed",
        "weather tests::freezing_is_zero": "passed",
        "weather tests::tides": "skipped",
        "weather::storms flaky": "flaky",
    }
    assert here.bundle("verify", "latest").code == 0


def shown(text: str) -> set[str]:
    """The lines of a run without what differs from one to the next."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", text)
    text = re.sub(r"[0-9]+\.[0-9]+s|[0-9a-f-]{36}|\(.*\)", "", text)
    return {line.strip() for line in text.splitlines() if "test(s)" not in line}


def test_bundle_rerun_runs_what_did_not_pass_until_nothing_is_left(
    nextest: Nextest, tmp_path: Path
) -> None:
    here, environment = a_place(nextest, tmp_path)
    wanted = "test(flaky) + test(boiling) + test(freezing)"
    nextest.run("run", "-E", wanted)
    archive = nextest.exported()
    first = here.bundle("rerun", str(archive), **environment)
    assert first.code == 100, first.stderr
    child = here.latest()
    assert child.manifest.parent is not None
    assert child.manifest.parent.run_id == open_path(archive).manifest.run_id
    assert child.results.counts["failed"] >= 1
    left_out = {one.test_id for one in child.results.deselected if one.reason == "passing"}
    assert {"weather tests::freezing_is_zero", "weather::storms flaky"} <= left_out
    source = here.project / "src" / "lib.rs"
    source.write_text(source.read_text().replace("99.0", "100.0"))
    second = here.bundle("rerun", "--argument=-E", "--argument", wanted, **environment)
    assert "weather tests::boiling_is_wrong" not in second.stderr.partition("outstanding:")[2]
    assert here.verdicts()["weather tests::boiling_is_wrong"] == "passed"
