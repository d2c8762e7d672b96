"""The tests of one recording, one a line: how each ended, and how much it said of itself."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from bundler.about import count, count_words, damage
from bundler.blocks import test_name, verdict_word
from bundler.look import Look
from bundler.own_events import is_own, own_events
from bundler.recording import Recording
from bundler.results import TestResult
from bundler.seeds import show_seed
from bundler.terminal import Ui


@dataclass(slots=True)
class Said:
    """How much one test said of itself."""

    events: int = 0
    phases: int = 0
    assertions: int = 0
    failed_assertions: int = 0


def show_tests(ui: Ui, recording: Recording, *, as_json: bool = False) -> int:
    """Show the tests of a recording; return the exit code."""
    problems: list[str] = []
    said = _said(recording, problems)
    rows = [(test, said.get(_key(test), Said())) for test in recording.results.tests]
    if as_json:
        ui.result(json.dumps([_document(test, told) for test, told in rows], indent=2))
    else:
        ui.stdout.write_lines(_lines(rows, ui.look))
        ui.status(count_words(recording, recording.results.counts, ui.stderr.look))
    for sentence in [*damage(recording), *problems]:
        ui.warning(sentence)
    return 0


def _key(test: TestResult) -> tuple[str, str, int]:
    return test.test_id, test.session, test.occurrence


def _said(recording: Recording, problems: list[str]) -> dict[tuple[str, str, int], Said]:
    """By test id, session and occurrence."""
    told: dict[tuple[str, str, int], Said] = {}
    for own in own_events(recording, problems=problems):
        if own.attempt is None or own.event.test_id is None or not is_own(own.event):
            continue
        said = told.setdefault((own.event.test_id, *own.attempt[:2]), Said())
        said.events += 1
        said.phases += own.event.event == "PhaseStarted"
        if own.event.event == "AssertionRecorded":
            said.assertions += 1
            said.failed_assertions += own.event.level == "ERROR"
    return told


def _lines(rows: list[tuple[TestResult, Said]], look: Look) -> Iterator[str]:
    words = _told_columns([_words(said) for _, said in rows])
    widths = [max(map(len, column), default=0) for column in zip(*words, strict=True)]
    for (test, _), cells in zip(rows, words, strict=True):
        word, style = verdict_word(test)
        seed = show_seed(test.seed) if test.seed is not None else "-" * 16
        facts = "".join(f"{cell:>{width}}  " for cell, width in zip(cells, widths, strict=True))
        yield f"{look.paint(style, f'{word:>12}')} {seed}  {facts}{test_name(look, test)}"


def _told_columns(words: list[tuple[str, ...]]) -> list[list[str]]:
    """Leave out the columns in which no test of the run has anything."""
    told = [
        any(not cell.startswith("0 ") for cell in column) for column in zip(*words, strict=True)
    ]
    return [list(itertools.compress(cells, told)) for cells in words]


def _words(said: Said) -> tuple[str, ...]:
    assertions = count(said.assertions, "assertion")
    if said.failed_assertions:
        assertions = f"{said.failed_assertions:,} of {assertions} failed"
    return count(said.events, "event"), count(said.phases, "phase"), assertions


def _document(test: TestResult, said: Said) -> dict[str, Any]:
    return {
        "test_id": test.test_id,
        "session": test.session,
        "occurrence": test.occurrence,
        "verdict": test.verdict.value,
        "seed": test.seed,
        "seed_hex": None if test.seed is None else show_seed(test.seed),
        "duration_us": test.duration_us,
        "attempts": len(test.attempts),
        "own_events": said.events,
        "phases": said.phases,
        "assertions": said.assertions,
        "failed_assertions": said.failed_assertions,
    }
