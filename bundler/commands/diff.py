"""`bundle diff`: what changed between two runs."""

from __future__ import annotations

import itertools
from array import array
from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated, Any

import typer

from bundler.about import count, damage, environment_of, seconds
from bundler.comparison import BAD_NEWS, SLOWER_FACTOR, Change, ChangeKind, changes
from bundler.divergence import CONTEXT, Parting, first_parting, parting_lines, steps
from bundler.environment_difference import (
    COSMETIC,
    Difference,
    differences,
    moment_difference,
    ranked,
)
from bundler.errors import RunNotFound
from bundler.escapes import json_text, one_line
from bundler.eventlog import Excerpt
from bundler.look import Look, Style
from bundler.manifest import encode_document
from bundler.own_events import course
from bundler.recording import Recording
from bundler.results import BAD, RED, Results
from bundler.runners import called, own_results
from bundler.sighting import failures_of, words_of
from bundler.store import current_directory, open_recording, project_of
from bundler.terminal import Ui

_STYLES = {
    ChangeKind.REGRESSION: Style.FAILED,
    ChangeKind.NEW_FAILURE: Style.FAILED,
    ChangeKind.FIXED: Style.PASSED,
    ChangeKind.FLAKY: Style.FLAKY,
}
_MOST_TOLD = 20
_OF_LITTLE_WEIGHT = frozenset({ChangeKind.SLOWER, ChangeKind.NEW, ChangeKind.GONE})
_MOST_DIFFERENCES = 20


def command(
    context: typer.Context,
    before: Annotated[
        str, typer.Argument(metavar="A", help="A prefix of a run id, latest, a path, or -.")
    ],
    after: Annotated[str, typer.Argument(metavar="[B]", help="The other run.")] = "latest",
    events: Annotated[
        bool, typer.Option("--events", help="Where each test that changed takes another course.")
    ] = False,
    test: Annotated[
        str | None, typer.Option(metavar="ID", help="With --events: this test, changed or not.")
    ] = None,
    around: Annotated[
        int, typer.Option(metavar="N", min=0, help="With --events: how many events to show around.")
    ] = CONTEXT,
    slower: Annotated[
        float, typer.Option(metavar="FACTOR", min=1, help="What counts as slower.")
    ] = SLOWER_FACTOR,
    as_json: Annotated[bool, typer.Option("--json", help="The same as JSON.")] = False,
) -> int:
    """Say what changed from run A to run B, regressions first, and where their environments differ.

    Exits with 1 if there are regressions.

    Examples:

        bundle diff 3f2a                     from that run to the last one

        bundle diff ci.zip latest --events   and the first event at which a test goes another way
    """
    ui: Ui = context.obj
    a, b = open_recording(before), open_recording(after)
    for one, other in ((a, b), (b, a)):
        runner = called(other.manifest.command.runner)
        one.results = own_results(one, runner, project_of(current_directory()))
    found = changes(a.results, b.results, slower)
    text = "\n".join(_failure_texts(a.results, found) + _failure_texts(b.results, found))
    environment = differences(environment_of(a), environment_of(b), text)
    moments = (a.manifest.created_at, b.manifest.created_at)
    environment = ranked([*environment, *moment_difference(*moments, text)])
    partings = dict(_partings(a, b, _compared(a, b, found, test), around)) if events else {}
    if as_json:
        document = _document(a, b, found, environment, partings if events else None)
        ui.stdout.write_bytes(json_text(encode_document(document), in_ci=ui.stdout.in_ci))
    else:
        ui.stdout.write_lines(_lines(a, b, found, environment, partings, ui.look))
    for recording in (a, b):
        for sentence in damage(recording):
            ui.warning(f"{recording.manifest.run_id[:8]}: {sentence}")
    return 1 if any(change.kind in BAD_NEWS for change in found) else 0


def _compared(a: Recording, b: Recording, found: list[Change], test: str | None) -> list[str]:
    if test is None:
        both = (change for change in found if change.before and change.after)
        return [change.test_id for change in both if change.kind is not ChangeKind.SLOWER]
    for recording in (a, b):
        if not recording.results.with_id(test):
            short = recording.manifest.run_id[:8]
            raise RunNotFound(
                f"run {short} has no test {test!r}",
                hint=f"`bundle replay {short} --status-level all` shows its tests.",
            )
    return [test]


def _partings(
    a: Recording, b: Recording, test_ids: list[str], around: int
) -> Iterator[tuple[str, Parting]]:
    mine, theirs = _excerpts(a, test_ids), _excerpts(b, test_ids)
    for test_id in test_ids:
        left, right = (steps(course(one[test_id], test_id), test_id) for one in (mine, theirs))
        parting = first_parting(left, right, around)
        if parting is not None:
            yield test_id, parting


def _excerpts(recording: Recording, test_ids: list[str]) -> dict[str, Recording]:
    """The recording as far as it is of each test: the log is read once for all of them."""
    offsets = {test_id: array("Q") for test_id in test_ids}
    for offset, event in recording.events():
        if (mine := offsets.get(event.test_id or "")) is not None:
            mine.append(offset)
    log = recording.log
    return {name: replace(recording, log=Excerpt(log, some)) for name, some in offsets.items()}


def _lines(
    a: Recording,
    b: Recording,
    found: list[Change],
    environment: list[Difference],
    partings: dict[str, Parting],
    look: Look,
) -> Iterator[str]:
    names = [recording.manifest.run_id[:8] for recording in (a, b)]
    yield f"From {names[0]} ({_totals(a)}) to {names[1]} ({_totals(b)})"
    why = _reasons(b.results, {change.test_id for change in found if change.after in RED})
    for kind, some in itertools.groupby(found, lambda change: change.kind):
        changed = list(some)
        most = _MOST_TOLD if kind in _OF_LITTLE_WEIGHT else len(changed)
        for change in changed[:most]:
            yield _change_line(change, look)
            if change.after in RED:
                yield f"             {one_line(why.get(change.test_id, ''))}"
            if change.test_id in partings:
                yield from _parting_lines(partings[change.test_id], names)
        if more := changed[most:]:
            yield f"             and {len(more):,} more {kind} (--json)"
    told = {change.test_id for change in found}
    for test_id, parting in partings.items():
        if test_id not in told:
            yield f"  {one_line(test_id)}"
            yield from _parting_lines(parting, names)
    if not found:
        yield "No test changed."
    yield from _environment_lines(environment, look)


def _parting_lines(parting: Parting, names: list[str]) -> Iterator[str]:
    yield from (f"  {one_line(line)}" for line in parting_lines(parting, *names))


def _totals(recording: Recording) -> str:
    counts = recording.results.counts
    words = [f"{number} {verdict.replace('_', ' ')}" for verdict, number in counts.items()]
    return ", ".join(words) or recording.manifest.status.state


def _change_line(change: Change, look: Look) -> str:
    word = change.kind.value.replace("_", " ").upper()
    style = _STYLES.get(change.kind, Style.STRONG)
    detail = f"{change.before or 'absent'} → {change.after or 'absent'}"
    if change.kind is ChangeKind.SLOWER:
        detail = f"{seconds(change.before_us)} → {seconds(change.after_us)}"
    return f"{look.paint(style, f'{word:>11}')}  {one_line(change.test_id)}  {detail}"


def _reasons(results: Results, test_ids: set[str]) -> dict[str, str]:
    """Why tests went badly, by their ids: the last attempt of the first of a name that did."""
    found: dict[str, str] = {}
    for test in results.tests:
        if test.test_id in test_ids and test.test_id not in found:
            bad = [one for one in test.attempts if one.outcome in BAD or one.outcome is None]
            if bad:
                found[test.test_id] = words_of(bad[-1])
    return found


def _failure_texts(results: Results, found: list[Change]) -> list[str]:
    changed = {change.test_id for change in found}
    return [
        f"{failure.type}: {failure.message}\n{failure.traceback or ''}"
        for test in results.tests
        if test.test_id in changed
        for attempt in test.attempts
        for failure in failures_of(attempt)
    ]


def _environment_lines(environment: list[Difference], look: Look) -> Iterator[str]:
    large = [one for one in environment if one.weight >= COSMETIC]
    if large:
        yield look.paint(Style.STRONG, "Where they ran differs, the likeliest reason first:")
    for one in large[:_MOST_DIFFERENCES]:
        yield f"  {one_line(f'{one.what}: {one.recorded} → {one.here}')}"
    rest = len(environment) - min(len(large), _MOST_DIFFERENCES)
    if rest:
        less = f"{count(rest, 'difference')} that {'matters' if rest == 1 else 'matter'} less"
        yield f"  {'and ' if large else ''}{less} (--json)"


def _document(
    a: Recording,
    b: Recording,
    found: list[Change],
    environment: list[Difference],
    partings: dict[str, Parting] | None,
) -> dict[str, Any]:
    counts = {kind.value: sum(change.kind is kind for change in found) for kind in ChangeKind}
    document: dict[str, Any] = {
        "before": a.manifest.run_id,
        "after": b.manifest.run_id,
        "regressions": sum(change.kind in BAD_NEWS for change in found),
        "counts": counts,
        "changes": [change.to_document() for change in found],
        "environment": [one.to_document() for one in environment],
    }
    if partings is not None:
        document["partings"] = {test_id: one.to_document() for test_id, one in partings.items()}
    return document
