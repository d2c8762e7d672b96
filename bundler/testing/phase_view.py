"""The phases of a test as a tree of lines, with how long each took and what failed in it."""

from __future__ import annotations

from collections.abc import Iterator

from bundler.testing.summary import AssertionRecord, PhaseNode, TestSummary


def phase_tree(summary: TestSummary) -> Iterator[str]:
    """Yield the phases of a test in lines of plain text, a phase under the one it lies in.

    Names and texts of the test's own are quoted and escaped as in Python.

        setup             0.015 ms
        exercise          0.598 ms
        ├── cancel        0.591 ms  1 of 3 assertions failed
        │   ✗ no leak: expected 'true', actual 'false'
        └── drain         0.577 ms
    """
    rows = list(_rows(summary.phases, "", outermost=True))
    width = max((len(left) for left, right in rows if right), default=0)
    for left, right in rows:
        yield f"{left:{width}}  {right}" if right else left


def _rows(
    phases: tuple[PhaseNode, ...], indent: str, *, outermost: bool = False
) -> Iterator[tuple[str, str]]:
    for phase in phases:
        last = phase is phases[-1]
        branch = "" if outermost else ("└── " if last else "├── ")
        below = "" if outermost else indent + ("    " if last else "│   ")
        yield f"{indent}{branch}{_shown(phase.name)}", _facts(phase)
        yield from ((f"{below}  ✗ {_said(one)}", "") for one in phase.assertions if not one.passed)
        yield from _rows(phase.children, below)


def _said(record: AssertionRecord) -> str:
    expected, actual = _shown(record.expected), _shown(record.actual)
    return f"{_shown(record.description)}: expected {expected}, actual {actual}"


def _facts(phase: PhaseNode) -> str:
    duration = "did not end" if phase.duration_ms is None else f"{phase.duration_ms:.3f} ms"
    made, failed = len(phase.assertions), sum(not one.passed for one in phase.assertions)
    if not made:
        return duration
    noun = "assertion" if made == 1 else "assertions"
    if failed:
        return f"{duration}  {failed} of {made} {noun} failed"
    return f"{duration}  {made} {noun}"


def _shown(text: str) -> str:
    return text if text.isprintable() else repr(text)
