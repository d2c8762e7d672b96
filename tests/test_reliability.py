"""`docs/reliability.md` is what the tests hold: every row has tests, and every test is there."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from probe_suites import SUITES
from reliability import UPDATE, UPDATES, noted
from reliability_rows import SECTIONS, Row

ROOT = Path(__file__).parent.parent
DOCUMENT = ROOT / "docs" / "reliability.md"
ROWS = [row for rows in SECTIONS.values() for row in rows]
NAMED = re.compile(r"(test_\w+\.py)::(test_\w+)(?:\[(\w+)\])?")

HEAD = """# Reliability

What bundler promises when things go wrong, and the tests that hold it. This file is written by
`tests/test_reliability.py` from `tests/reliability_rows.py` and from what the tests measured:
`BUNDLE_UPDATE_RELIABILITY=1 pytest tests/test_reliability.py` writes it anew. Tests marked `slow`
try a part of what they could; with `BUNDLE_TEST_FULL=1` they try all of it.
"""


@functools.cache
def functions_of(file: str) -> frozenset[str]:
    tree = ast.parse((ROOT / "tests" / file).read_text(encoding="utf-8"))
    return frozenset(one.name for one in ast.walk(tree) if isinstance(one, ast.FunctionDef))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.what[:40])
def test_a_promise_has_its_tests(row: Row) -> None:
    assert row.tests
    for test in row.tests:
        named = NAMED.fullmatch(test)
        assert named, test
        assert named[2] in functions_of(named[1]), test
        assert named[3] is None or named[3] in {suite.name for suite in SUITES}, test


def test_no_promise_is_there_twice() -> None:
    assert len({row.what for row in ROWS}) == len(ROWS)


def test_the_document_says_what_the_tests_hold() -> None:
    fresh = "\n".join(document()) + "\n"
    if UPDATES:
        DOCUMENT.write_text(fresh, encoding="utf-8")
    assert DOCUMENT.read_text(encoding="utf-8") == fresh, f"set {UPDATE}=1 to write it anew"


def document() -> Iterator[str]:
    yield HEAD
    for title, rows in SECTIONS.items():
        yield f"## {title}\n"
        yield "| what happens | what holds | tests |"
        yield "|---|---|---|"
        for row in rows:
            cells = (row.what, row.holds, "<br>".join(shown(row.tests)))
            yield "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"
        yield ""
    yield from interruptions()
    yield from beside()
    yield from mutation()


def shown(tests: tuple[str, ...]) -> Iterator[str]:
    """The tests by file and name; the tiny suites in one line."""
    suites = []
    for test in tests:
        named = NAMED.fullmatch(test)
        assert named
        if named[3]:
            suites.append(f"`{named[3]}`")
        else:
            yield f"`{named[1]}` {named[2].removeprefix('test_').replace('_', ' ')}"
    if suites:
        yield f"`test_run_suites.py`: {', '.join(suites)}"


def interruptions() -> Iterator[str]:
    runs, commands, racing = (
        noted(name) for name in ("interruptions", "interrupted-commands", "racing")
    )
    yield "## Measured: interrupted at random\n"
    states = ", ".join(f"{count} {state}" for state, count in runs.items())
    yield f"{sum(runs.values())} runs interrupted at random moments, once or twice, by SIGINT,"
    yield f"SIGTERM, SIGHUP or SIGKILL: {states}. Nothing that stood on the screen was lost."
    yield f"{sum(commands.values())} other commands interrupted: {commands['interrupted']} ended"
    yield f"as interrupted, {commands['ended']} had ended; none said anything or broke anything."
    yield "Two recorders, a replay and a prune on one store for a minute, on a busy machine:"
    yield f"{racing['recorded']} runs, {racing['replayed']} replays, {racing['pruned']} prunes;"
    yield f"{racing['replays that met no run']} replays met a run that was just being deleted.\n"


def beside() -> Iterator[str]:
    nextest, bomb, orders = (noted(name) for name in ("nextest", "bomb", "orders"))
    killed = nextest["killed"]
    yield "## Measured: beside cargo-nextest\n"
    yield f"The recordings of cargo-nextest {nextest['version']} and ours, in the same mishaps.\n"
    yield "| mishap | | nextest | bundler |"
    yield "|---|---|---|---|"
    for key in ("passed on the screen", "shown by replay", "running test named"):
        words = (yes(killed[tool][key]) for tool in ("nextest", "bundle"))
        yield f"| killed in the middle of a run | {key} | {' | '.join(words)} |"
    size = f"a line of 1 GiB in {bomb['bytes of the recording'] // 1000} kB"
    for key in ("MiB", "seconds", "exit code"):
        yield f"| {size} | {key} | {bomb['nextest'][key]} | {bomb['bundle'][key]} |"
    for order in orders["bundle"]:
        words = (yes(orders[tool][order]) for tool in ("nextest", "bundle"))
        yield f"| replay gives the terminal an order | {order} | {' | '.join(words)} |"
    yield ""


def yes(value: object) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def mutation() -> Iterator[str]:
    yield "## Measured: which mistakes the tests would see\n"
    yield "`python tests/mutation.py` makes small mistakes in a module, one at a time, and runs the"
    yield "module's own tests. Those that are not seen were looked at, and a test was written where"
    yield "one was lacking: of a module that was tried whole, what is left changes nothing that can"
    yield "be told from outside (the size of a buffer, a short cut, a default that nobody leaves"
    yield "out). `needles`, `windows`, `beginnings` and `fragments` choose the cheapest way to"
    yield "search: what is not seen there changes what a search costs, and not its result."
    yield ""
    yield "| module | mistakes tried | seen | |"
    yield "|---|---|---|---|"
    for module, found in sorted(noted("mutation").items()):
        share = f"{found['seen'] / found['tried']:.0%}"
        every = "" if found["every"] == 1 else f", one in {found['every']} tried"
        yield f"| `{module}.py` | {found['tried']}{every} | {found['seen']} | {share} |"
    yield ""
