"""What the words [RUN] [TEST] of a command name: a recording, and a test of it.

A single word that names no run is looked for among the tests of the latest run.
"""

from __future__ import annotations

from collections.abc import Callable

from bundler.errors import AmbiguousRun, NotARecording, RunNotFound
from bundler.escapes import one_line
from bundler.recording import Recording
from bundler.results import Results, TestResult
from bundler.store import is_path, open_recording
from bundler.terminal import Ui

_CANDIDATES = 20


def _holds(recording: Recording, text: str) -> bool:
    return bool(matching_tests(recording.results, text))


def named(
    run: str | None, test: str | None, *, holds: Callable[[Recording, str], bool] = _holds
) -> tuple[Recording, str | None]:
    """Return the run, and the text that names a test of it; a single word may be either.

    `holds` says whether a text names something of a run; by default that is a test.
    Raises RunNotFound, AmbiguousRun, UnreadableRecording.
    """
    try:
        return open_recording(run or "latest"), test
    except AmbiguousRun:
        raise
    except (RunNotFound, NotARecording) as error:
        if run is None or test is not None or run == "latest":
            raise
        try:
            latest = open_recording("latest")
        except RunNotFound:
            raise error from None
        if not holds(latest, run):
            if is_path(run):
                raise error from None
            raise RunNotFound(
                f"{run!r} is neither a run nor a test of the latest run ({error.message})"
            ) from None
        return latest, run


def tests_named(ui: Ui, recording: Recording, text: str) -> list[TestResult]:
    """Return the occurrences of the one test that a text names; none where it names several.

    These are told. Raises RunNotFound where it names none.
    """
    found = matching_tests(recording.results, text)
    short = recording.manifest.run_id[:8]
    if not found:
        raise RunNotFound(
            f"run {short} has no test {text!r}",
            hint=f"`bundle replay {short} --status-level all` shows its tests.",
        )
    ids = sorted({test.test_id for test in found})
    if len(ids) == 1:
        return found
    ui.error(f"test {text!r} is one of {len(ids)} in run {short}:")
    for test_id in ids[:_CANDIDATES]:
        ui.status(f"    {one_line(test_id)}")
    if len(ids) > _CANDIDATES:
        ui.status(f"    and {len(ids) - _CANDIDATES} more")
    return []


def matching_tests(results: Results, text: str) -> list[TestResult]:
    """Return the tests whose id is the text, or else whose name is, or else whose id holds it."""
    holding = [test for test in results.tests if text in test.test_id]
    return (
        results.with_id(text)
        or [test for test in holding if _is_called(test.test_id, text)]
        or holding
    )


def _is_called(test_id: str, text: str) -> bool:
    """Whether a text is the last word of an id, with or without its parameters."""
    words = f"{test_id}["
    return any(f"{before}{text}[" in words for before in ("::", " "))
