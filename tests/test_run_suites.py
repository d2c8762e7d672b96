"""Under `bundle run` every tiny suite ends and looks as it does without; the bundle is true."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from probe_driver import Ran, Workshop, settled, unmet
from probe_suites import SUITES, Suite

from bundler.recording import Recording
from bundler.verification import verify

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("suite", [pytest.param(suite, id=suite.name) for suite in SUITES])
def test_a_suite_is_what_it_is_without_recording(suite: Suite, tmp_path: Path) -> None:
    plain, recorded, recording = _run_both(suite, tmp_path)
    assert plain.exit_code == suite.exit_code
    assert recorded.exit_code == plain.exit_code
    if suite.same_output:
        assert recorded.stdout == plain.stdout
        assert list(_theirs(recorded.stderr)) == plain.stderr.splitlines()
    assert _verdicts(recording) == _seen_from_outside(suite)
    status = recording.manifest.status
    if not suite.interrupt:
        assert status.state == suite.status, status
    else:
        assert status.state == "cancelled", status
    assert verify(recording) == []


def _seen_from_outside(suite: Suite) -> dict[str, str]:
    """Only the wrapper sees that the process ended itself for a test that took too long."""
    verdicts = dict(suite.verdicts)
    if suite.name == "timeout_by_thread":
        verdicts["test_it.py::test_it"] = "timed_out"
    return verdicts


def _run_both(suite: Suite, tmp_path: Path) -> tuple[Ran, Ran, Recording]:
    if lacking := unmet(suite.needs):
        pytest.skip(f"this environment has no {', '.join(lacking)}")
    left, right = Workshop(tmp_path / "a"), Workshop(tmp_path / "b")
    left.lay(suite.files)
    right.lay(suite.files)
    with ThreadPoolExecutor() as pool:
        first = pool.submit(left.plain, *suite.args, env=suite.env, interrupt=suite.interrupt)
        then = pool.submit(right.recorded, *suite.args, env=suite.env, interrupt=suite.interrupt)
    plain, (recorded, recording) = first.result(), then.result()
    return _at(plain, left.suite), _at(recorded, right.suite), recording


def _at(ran: Ran, place: Path) -> Ran:
    stdout, stderr = (
        settled(text.replace(str(place), "SUITE")) for text in (ran.stdout, ran.stderr)
    )
    return Ran(ran.exit_code, stdout, stderr)


def _theirs(stderr: str) -> Iterator[str]:
    """The lines of stderr that are not ours."""
    return (line for line in stderr.splitlines() if not line.startswith("bundle: "))


def _verdicts(recording: Recording) -> dict[str, str]:
    return {
        test.test_id if test.occurrence == 1 else f"{test.test_id}#{test.occurrence}": str(
            test.verdict
        )
        for test in recording.results.tests
    }
