"""Jest, Vitest, node:test, RSpec, unittest under `bundle run` and `bundle rerun`: the same rules.

`BUNDLE_TEST_NODE` names the folder that has Jest and Vitest in its `node_modules`, else it is
`tests/node`; where `BUNDLE_TEST_REQUIRE` names a runner, it has to be here.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import Ended, Place
from command_line import place as new_place
from foreign_suites import ODD, SUITES, UNITTEST, Suite, other_pythons

from bundler import reporters, runners
from bundler.runners import Invocation

_DEFINED = re.compile(r"^ *(?:test\(|it\(|def test_)", re.MULTILINE)
SLOW = pytest.mark.slow


def cases() -> Iterator[object]:
    for suite in SUITES:
        missing = not suite.is_here and not suite.is_required
        skip = pytest.mark.skipif(missing, reason=f"{suite.tool} is not here")
        marks = [skip] if suite.name == "unittest" else [skip, SLOW]
        yield pytest.param(suite, id=suite.name, marks=marks)


every_runner = pytest.mark.parametrize("suite", list(cases()))


@pytest.fixture
def place(tmp_path: Path, suite: Suite) -> Place:
    place = new_place(tmp_path)
    suite.lay_out(place)
    return place


def run(place: Place, suite: Suite, *words: str, **environment: str) -> Ended:
    """Run `bundle` with the environment of a suite."""
    return place.bundle(*words, **suite.environment, **environment)


def outputs(place: Place, test_id: str) -> str:
    recording = place.latest()
    (test,) = recording.results.with_id(test_id)
    pieces = recording.outputs([at for one in test.attempts for at in one.output_offsets])
    return b"".join(one.content for one in pieces).decode()


def ran(place: Place) -> set[str]:
    return {test.test_id for test in place.latest().results.tests if test.attempts}


@every_runner
def test_what_is_shown_is_what_would_have_been(place: Place, suite: Suite) -> None:
    plain = place.run(suite.command, **suite.environment)
    ended = run(place, suite, "run", "--", *suite.command)
    assert ended.code == plain.code != 0
    assert suite.shown(ended.stdout) == suite.shown(plain.stdout)
    assert suite.shown(ended.stderr) == suite.shown(plain.stderr)


@every_runner
def test_every_test_is_recorded_and_a_rerun_runs_what_has_not_passed(
    place: Place, suite: Suite
) -> None:
    run(place, suite, "run", "--", *suite.command)
    results = place.latest().results
    assert place.latest().manifest.command.runner == suite.name
    assert place.verdicts() == suite.verdicts
    assert tuple(sorted(one.node_id for one in results.collection)) == suite.broken
    for test in results.tests:
        for attempt in test.attempts:
            bad = attempt.outcome in ("failed", "errored", "timed_out")
            assert all(one.message for one in attempt.failures)
            assert bool(attempt.failures) == bad, test
    if suite.output:
        assert outputs(place, suite.output[0]) == suite.output[1]

    again = run(place, suite, "rerun")
    assert again.code != 0
    assert ran(place) == suite.again - {
        one for one, how in suite.verdicts.items() if how == "not_run"
    }

    place.file("fixed", "")
    for name, text in suite.mended.items():
        place.file(name, text)
    again = run(place, suite, "rerun")
    assert again.code == 0, again
    assert "nothing is outstanding" in again.stderr
    mended = ran(place) - suite.again
    assert len(mended) == len(suite.mended), mended


@every_runner
def test_a_process_that_is_killed_has_said_what_it_was_at(place: Place, suite: Suite) -> None:
    for name in suite.files:
        (place.project / name).unlink()
    suite.lay_out(place, suite.deadly)
    ended = run(place, suite, "run", "--", *suite.command)
    assert ended.code not in (0, 1), ended
    verdicts = place.verdicts()
    assert place.latest().manifest.status.state == "interrupted"
    if suite.died:
        assert verdicts.pop(suite.died) == "unfinished"
        assert suite.died in ended.stderr
    assert set(verdicts.values()) <= {"passed", "not_run"}


@every_runner
def test_a_reporter_that_cannot_report_changes_nothing(place: Place, suite: Suite) -> None:
    plain = place.run(suite.command, **suite.environment)
    for told in ("", "[]", '{"stream": "/dev/full"}'):
        ended = with_reporter(place, suite, told)
        assert ended.code == plain.code, told
        assert suite.shown(ended.stdout) == suite.shown(plain.stdout), told
        assert suite.shown(ended.stderr) == suite.shown(plain.stderr), told


BREAK = {
    "stream.cjs": ("write(line) {", 'if (line.e === "done") throw new RangeError("on purpose");'),
    "rspec.rb": ("def example_finished!(example)", "raise RangeError, 'on purpose'"),
    "python/bundle_unittest.py": (
        'whatever is written."""',
        '        if line["e"] == "done":\n            raise IndexError("on purpose")',
    ),
}


@every_runner
def test_an_error_inside_a_reporter_ends_its_recording_and_nothing_else(
    place: Place, suite: Suite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "reporters"
    shutil.copytree(reporters.FOLDER, copy)
    for name, (after, breaking) in BREAK.items():
        text = (copy / name).read_text()
        assert after in text
        (copy / name).write_text(text.replace(after, f"{after}\n{breaking}"))
    monkeypatch.setattr(reporters, "FOLDER", copy)
    monkeypatch.setattr(reporters, "PYTHON", copy / "python")
    plain = place.run(suite.command, **suite.environment)
    stream = place.file("stream.ndjson", "")
    ended = with_reporter(place, suite, json.dumps({"stream": str(stream)}))
    assert ended.code == plain.code
    assert suite.shown(ended.stdout) == suite.shown(plain.stdout)
    assert suite.shown(ended.stderr) == suite.shown(plain.stderr)
    last = json.loads(stream.read_text().splitlines()[-1])
    assert last["e"] == "failed"
    assert "on purpose" in last["why"]


@every_runner
def test_odd_names_and_odd_failures_are_recorded_all_the_same(place: Place, suite: Suite) -> None:
    for name in suite.files:
        (place.project / name).unlink()
    suite.lay_out(place, ODD[suite.name])
    plain = place.run(suite.command, **suite.environment)
    ended = run(place, suite, "run", "--", *suite.command)
    assert ended.code == plain.code
    assert suite.shown(ended.stdout) == suite.shown(plain.stdout)
    assert "cannot be read" not in ended.stderr
    assert "interrupted" not in ended.stderr
    tests = place.latest().results.tests
    assert len(tests) == sum(len(_DEFINED.findall(text)) for text in ODD[suite.name].values())
    passed = [one.test_id for one in tests if one.verdict == "passed"]
    assert any("environment" in one for one in passed)
    assert len(passed) == 2


@SLOW
def test_unittest_under_other_pythons(tmp_path: Path) -> None:
    pythons = other_pythons()
    if not pythons:
        pytest.skip("no other Python is here, and BUNDLE_TEST_PYTHONS names none")
    for number, python in enumerate(pythons):
        (tmp_path / str(number)).mkdir()
        place = new_place(tmp_path / str(number))
        UNITTEST.lay_out(place)
        command = (python, *UNITTEST.command[1:])
        plain = place.run(command)
        ended = place.bundle("run", "--", *command)
        assert ended.code == plain.code == 1, python
        assert UNITTEST.shown(ended.stdout) == UNITTEST.shown(plain.stdout), python
        assert UNITTEST.shown(ended.stderr) == UNITTEST.shown(plain.stderr), python
        assert place.verdicts() == UNITTEST.verdicts, python
        assert place.bundle("rerun").code == 1, python
        assert ran(place) == {one for one in UNITTEST.again if not one.endswith("test_b")}, python


def with_reporter(place: Place, suite: Suite, told: str) -> Ended:
    """Start the command as it is started under recording, its reporter told what is given."""
    runner = runners.runner_of(suite.command)
    assert runner is not None
    environment = place.environment(**suite.environment)
    invocation = Invocation(suite.command, environment, place.project, lambda event: None)
    with runner.inside(invocation) as inside:
        assert inside is not None
        done = subprocess.run(
            inside.argv,
            cwd=place.project,
            env={**inside.env, "BUNDLE_REPORT": told},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=120,
        )
    return Ended(done.returncode, done.stdout.decode(), done.stderr.decode())
