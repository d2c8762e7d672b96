"""What is said of a run as a whole: which it is, where it ran, how it ended, its counts.

Everything that a stranger wrote into its documents leaves here fit to print.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from bundler.blocks import Layout
from bundler.errors import DamagedRecording
from bundler.escapes import one_line
from bundler.look import Look, Style
from bundler.manifest import RunManifest, parse_document
from bundler.recording import Recording
from bundler.results import NOT_PASSING, Results, Status, Verdict
from bundler.runners import called
from bundler.seeds import show_seed

STATUS_WORDS = {
    Status.RUNNING: "still running",
    Status.PASSED: "passed",
    Status.FAILED: "failed",
    Status.NO_TESTS: "no tests ran",
    Status.COLLECTION_FAILED: "collection failed",
    Status.USAGE_ERROR: "usage error",
    Status.INTERNAL_ERROR: "internal error",
    Status.NOT_STARTED: "the command could not be started",
    Status.CANCELLED: "cancelled",
    Status.INTERRUPTED: "interrupted",
}

_COUNTED = (
    (Verdict.FAILED, "failed", Style.FAILED),
    (Verdict.ERRORED, "errored", Style.FAILED),
    (Verdict.TIMED_OUT, "timed out", Style.FAILED),
    (Verdict.CRASHED, "crashed", Style.FAILED),
    (Verdict.UNFINISHED, "unfinished", Style.FAILED),
    (Verdict.XFAILED, "xfailed", Style.SKIPPED),
    (Verdict.XPASSED, "xpassed", Style.SKIPPED),
    (Verdict.SKIPPED, "skipped", Style.SKIPPED),
    (Verdict.NOT_RUN, "not run", Style.SKIPPED),
)


def head_lines(recording: Recording, layout: Layout) -> Iterator[str]:
    """Yield which run this is, when and how it ran, and where."""
    manifest, look = recording.manifest, layout.look
    parent = f", a rerun of {look.run_id(manifest.parent.run_id)}" if manifest.parent else ""
    run = f"run {look.run_id(manifest.run_id)} with {_seed_words(manifest)}{parent}"
    yield layout.labelled("Replaying", run)
    ended = look.paint(status_style(manifest), status_word(manifest))
    took = f" after {seconds(manifest.duration_us)}" if manifest.duration_us is not None else ""
    yield layout.labelled("Started", f"{time_words(manifest.created_at)}, {ended}{took}")
    if manifest.command.argv:
        yield layout.labelled("Command", one_line(shlex.join(manifest.command.argv)))
    if place := ", ".join(place_words(recording)):
        yield layout.labelled("On", place)
    if manifest.ci:
        yield layout.labelled("In", ci_words(manifest.ci))
        if "url" in manifest.ci:
            yield layout.labelled("At", one_line(manifest.ci["url"]))
    if recording.live:
        yield layout.labelled("Live", "still being recorded; this is how far it is", Style.WARNING)


def foot_lines(
    recording: Recording, layout: Layout, counts: Mapping[str, int], *, name: str
) -> Iterator[str]:
    """Yield how the run ended, and the command that runs again what did not pass.

    Without a `name` it cannot be read once more, so there is none.
    """
    manifest, results = recording.manifest, recording.results
    style = status_style(manifest)
    yield layout.labelled("Status", status_sentence(manifest, results), style)
    outstanding = results.collection or any(verdict in NOT_PASSING for verdict in counts)
    if outstanding and not recording.live and name:
        quoted = one_line(shlex.quote(name))
        starts = manifest.source is None or called(manifest.command.runner) is not None
        again = f"bundle rerun {quoted}" if starts else f"bundle run -R {quoted} -- COMMAND"
        yield layout.labelled("Rerun", again, Style.DIM)


def summary_line(recording: Recording, layout: Layout, counts: Mapping[str, int]) -> str:
    """Return the line of counts at the end of a run, as nextest writes it."""
    manifest, results = recording.manifest, recording.results
    took = manifest.duration_us if manifest.duration_us is not None else results.last_ts_us
    text = f"[{took / 1e6:>8.3f}s] {count_words(recording, counts, layout.look)}"
    return layout.labelled("Summary", text, status_style(manifest))


def count_words(recording: Recording, counts: Mapping[str, int], look: Look) -> str:
    """Return how many tests ran and how they went; what was skipped or not run did not run."""
    total = sum(counts.values()) - counts.get(Verdict.SKIPPED, 0)
    ran = total - counts.get(Verdict.NOT_RUN, 0)
    of_all = look.paint(Style.STRONG, f"{ran:,}" if ran == total else f"{ran:,}/{total:,}")
    parts = [_passed(look, counts)]
    parts += [
        f"{look.paint(Style.STRONG, f'{counts[verdict]:,}')} {look.paint(style, word)}"
        for verdict, word, style in _counted(recording.live)
        if counts.get(verdict)
    ]
    outcomes = [problem.outcome for problem in recording.results.collection]
    for outcome, word, style in _OF_FILES:
        if files := outcomes.count(outcome):
            number = look.paint(Style.STRONG, count(files, "file"))
            parts.append(f"{number} {look.paint(style, word)}")
    return f"{of_all} {'test' if total == 1 else 'tests'} run: {', '.join(parts)}"


_OF_FILES = (
    (Verdict.SKIPPED, "skipped", Style.SKIPPED),
    (Verdict.ERRORED, "not collected", Style.FAILED),
)


def _counted(live: bool) -> Iterator[tuple[Verdict, str, Style]]:
    for verdict, word, style in _COUNTED:
        running = live and verdict is Verdict.UNFINISHED
        yield (verdict, "running", Style.WARNING) if running else (verdict, word, style)


def _passed(look: Look, counts: Mapping[str, int]) -> str:
    flaky = counts.get(Verdict.FLAKY, 0)
    passed = counts.get(Verdict.PASSED, 0) + flaky
    text = f"{look.paint(Style.STRONG, f'{passed:,}')} {look.paint(Style.PASSED, 'passed')}"
    if not flaky:
        return text
    return f"{text} ({look.paint(Style.STRONG, f'{flaky:,}')} {look.paint(Style.FLAKY, 'flaky')})"


def status_word(manifest: RunManifest) -> str:
    """Return how the run ended in a word or two."""
    state = manifest.status.state
    return STATUS_WORDS[Status(state)] if state in set(Status) else one_line(state)


def status_style(manifest: RunManifest) -> Style:
    """Return the style of how the run ended."""
    if manifest.status.state == Status.PASSED:
        return Style.PASSED
    undecided = (Status.RUNNING, Status.NO_TESTS)
    return Style.WARNING if manifest.status.state in undecided else Style.FAILED


def status_sentence(manifest: RunManifest, results: Results) -> str:
    """Return how the run ended, why, and what was running if it ended in the middle."""
    status = manifest.status
    text = status_word(manifest)
    if status.reason:
        text += f": {one_line(status.reason)}"
    if status.exit_code is not None and status.signal is None:
        text += f" (exit code {status.exit_code})"
    running = [test for test in results.tests if test.attempts and not test.attempts[-1].outcome]
    if not running:
        return text
    worker = f" ({one_line(running[0].worker)})" if running[0].worker else ""
    more = f" and {count(len(running) - 1, 'other test')}" if len(running) > 1 else ""
    joint = ": " if status.state == Status.RUNNING else ", while running "
    return f"{text}{joint}{one_line(running[0].test_id)}{worker}{more}"


def _seed_words(manifest: RunManifest) -> str:
    """Return the root seed, and whether it was imposed on the tests or only observed."""
    return f"{'imposed ' if manifest.seed_imposed else ''}seed {show_seed(manifest.seed)}"


def time_words(rfc3339: str) -> str:
    """Return a time of a manifest to the second: `2026-01-02 03:04:05 UTC`."""
    text = one_line(rfc3339)
    day, separator, clock = text.partition("T")
    return f"{day} {clock[:8]} UTC" if separator and clock.endswith("Z") else text


def place_words(recording: Recording) -> Iterator[str]:
    """Yield the system, the interpreter and the runner that a run had, as far as they are known."""
    platform = _object(environment_of(recording).get("platform"))
    if system := _joined(platform, ("os", "release", "machine")):
        yield system
    for session in recording.results.sessions[:1]:
        if python := _joined(session.info, ("python",)):
            yield f"Python {python}"
        if runner := _joined(session.info, ("runner", "runner_version")):
            yield runner


def ci_words(ci: dict[str, str]) -> str:
    """Return the coordinates of a run in continuous integration, its URL aside."""
    named = ("run", "attempt", "job", "matrix", "shard")
    words = [ci[key] for key in ("provider", "repository") if key in ci]
    words += [f"{key} {ci[key]}" for key in named if key in ci]
    return one_line(", ".join(words))


def seconds(duration_us: int) -> str:
    """Return a duration as people read it: `4.218s`, `3m 04s`, `2h 07m`."""
    whole = duration_us // 1_000_000
    if whole < 60:
        return f"{duration_us / 1e6:.3f}s"
    if whole < 3600:
        return f"{whole // 60}m {whole % 60:02}s"
    return f"{whole // 3600}h {whole % 3600 // 60:02}m"


def count(number: int, noun: str) -> str:
    """Return a number and its noun: `1 test`, `2 tests`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def environment_of(recording: Recording) -> dict[str, Any]:
    """Return environment.json, empty where there is none that can be read."""
    try:
        return parse_document(recording.files["environment.json"], "environment.json")
    except (KeyError, DamagedRecording):
        return {}


def damage(recording: Recording) -> Iterator[str]:
    """Yield a sentence about each thing that is wrong with the recording itself."""
    yield from recording.problems
    lines = recording.damaged_lines
    if recording.live and lines and lines[-1].why == "torn":
        lines = lines[:-1]  # the event that is being written right now
    if lines:
        first = f"the first at byte {lines[0].offset:,}: {lines[0].why}"
        yield f"{count(len(lines), 'line')} of the event log cannot be read ({first})"


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _joined(fields: dict[str, Any], keys: Iterable[str]) -> str:
    return one_line(" ".join(str(fields[key]) for key in keys if fields.get(key)))
