"""Runs as a tree of reruns: what `bundle list` draws, newest last.

    3c09aa51    2026-01-02 12:00     4.1s   81 kB  failed     2 failed, 1040 passed, 3 skipped
    └─b7701e02  2026-01-02 12:05     0.3s   12 kB  passed     2 passed
    9e41f7aa    2026-01-02 12:09  12m 04s  1.2 MB  failed     3 failed
    ├─17c2d0be  2026-01-02 12:30     0.4s   12 kB  failed     1 failed
    │ 5d003f91  2026-01-02 12:31     0.2s   999 B  passed     1 passed
    └─e8aa6b13  2026-01-02 12:40                   recording  *latest

A run that reruns another hangs below it. Where a run has one child, the chain goes straight down;
where it has several, each gets a branch. The newest run is in the last line, because every level is
ordered by the newest run below.

Order is by the sequence in which runs were recorded: a clock may jump. A run whose parent is not
here begins a tree and says whose rerun it is. Damaged data can make runs each other's parents: the
oldest of such a circle begins a tree.

Everything that is drawn is made here or is a known word: an id that a stranger wrote is shown only
where it looks like one.
"""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

from bundler.seeds import show_seed
from bundler.verdicts import Status, Verdict

Clock = Callable[[float], time.struct_time]

_LOOKS_LIKE_AN_ID = re.compile(r"[0-9A-Za-z_-]{1,64}").fullmatch

SHORT = 8
"""How many digits of a run id are shown, unless more are needed to tell it from the others."""


class Row:
    """One run to list. Times are microseconds, `created_us` since 1970; None is not known."""

    __slots__ = (
        *("run_id", "sequence", "parent_run_id", "created_us", "duration_us", "size_bytes"),
        *("status", "counts", "seed", "live"),
    )

    def __init__(
        self,
        run_id: str,
        sequence: int,
        parent_run_id: str | None = None,
        created_us: int | None = None,
        duration_us: int | None = None,
        size_bytes: int | None = None,
        status: str = "",
        counts: Mapping[str, int] | None = None,
        seed: int | None = None,
        live: bool = False,
    ) -> None:
        self.run_id = run_id
        self.sequence = sequence
        self.parent_run_id = parent_run_id
        self.created_us = created_us
        self.duration_us = duration_us
        self.size_bytes = size_bytes
        self.status = status
        self.counts = counts or {}
        self.seed = seed
        self.live = live


class Line:
    """One line of the tree: what is drawn before the run's id, the run, and what is said of it.

    `shown` is how many digits of the id are shown, the first `unique` of which tell it apart.
    """

    __slots__ = ("graph", "latest", "note", "row", "shown", "unique")

    def __init__(
        self, *, graph: str, row: Row, shown: int, unique: int, latest: bool, note: str = ""
    ) -> None:
        self.graph = graph
        self.row = row
        self.shown = shown
        self.unique = unique
        self.latest = latest
        self.note = note

    @property
    def name(self) -> str:
        """The digits of the run id that are shown."""
        return _show_id(self.row.run_id, self.shown)


def draw(rows: Sequence[Row], *, ascii_only: bool = False) -> list[Line]:
    """Return the lines of the tree, each run once, the newest last."""
    forest = _Forest(rows)
    unique = unique_prefixes(row.run_id for row in rows)
    newest = max(range(len(rows)), key=forest.ages.__getitem__, default=None)
    branch, corner, stem = ("|-", "\\-", "| ") if ascii_only else ("├─", "└─", "│ ")
    lines: list[Line] = []
    pending = [(root, "", "") for root in reversed(forest.roots)]
    while pending:
        index, graph, below = pending.pop()
        row = rows[index]
        length = unique[row.run_id]
        lines.append(
            Line(
                graph=graph,
                row=row,
                shown=max(SHORT, length),
                unique=length,
                latest=index == newest,
                note=forest.note(index),
            )
        )
        children = forest.children[index]
        if len(children) == 1 and graph:
            pending.append((children[0], below, below))
            continue
        for place, child in reversed(list(enumerate(children, start=1))):
            last = place == len(children)
            mark, under = (corner, "  ") if last else (branch, stem)
            pending.append((child, below + mark, below + under))
    return lines


def unique_prefixes(ids: Iterable[str], *, minimum: int = 1) -> dict[str, int]:
    """Return for each id how many of its first characters no other id begins with.

    At least `minimum`, at most all of them: an id that another one begins with needs all.
    """
    ordered = sorted(set(ids))
    shared = [_shared(left, right) for left, right in itertools.pairwise(ordered)]
    return {
        one: min(len(one), max(minimum, before + 1, after + 1))
        for one, before, after in zip(ordered, [0, *shared], [*shared, 0], strict=False)
    }


def text_lines(
    lines: Sequence[Line], clock: Clock = time.gmtime, *, with_seeds: bool = False
) -> list[str]:
    """Return the lines as text in columns, with times as a clock tells them, and the totals below.

    `clock` is `time.gmtime` or `time.localtime`.
    """
    if not lines:
        return []
    columns = zip(*[_cells(line, clock, with_seeds) for line in lines], strict=True)
    aligned = [_aligned(column, right=index in _RIGHT) for index, column in enumerate(columns)]
    drawn = ["  ".join(cells).rstrip() for cells in zip(*aligned, strict=True)]
    size = sum(line.row.size_bytes or 0 for line in lines)
    return [*drawn, "", f"{len(lines)} {'run' if len(lines) == 1 else 'runs'}, {show_size(size)}"]


def _show_id(run_id: str, length: int = SHORT) -> str:
    """Return the first digits of a run id, or a `?` where it cannot be one."""
    return run_id[:length] if _LOOKS_LIKE_AN_ID(run_id) else "?"


def show_size(size_bytes: int) -> str:
    """Return a size in bytes as people read it, in powers of 1000: `81 kB`, `1.2 GB`."""
    size = float(size_bytes)
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if size < 999.5 or unit == "TB":
            break
        size /= 1000
    digits = 1 if unit != "B" and size < 9.95 else 0
    return f"{size:.{digits}f} {unit}"


def show_duration(duration_us: int) -> str:
    """Return a duration as people read it: `0.3s`, `75.2s`, `12m 04s`, `3h 05m`."""
    seconds = duration_us / 1_000_000
    if seconds < 99.95:
        return f"{seconds:.1f}s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}m {rest:02}s"
    return f"{minutes // 60}h {minutes % 60:02}m"


def show_counts(counts: Mapping[str, int]) -> str:
    """Return how many tests have each verdict, what went badly first."""
    told = [(counts.get(verdict, 0), name) for verdict, name in _WORST_FIRST]
    return ", ".join(f"{count} {name}" for count, name in told if count) or "no tests"


_BAD_FIRST = (
    Verdict.FAILED,
    Verdict.ERRORED,
    Verdict.CRASHED,
    Verdict.TIMED_OUT,
    Verdict.UNFINISHED,
    Verdict.NOT_RUN,
    Verdict.FLAKY,
)

_WORST_FIRST = [
    (verdict.value, verdict.value.replace("_", " "))
    for verdict in (*_BAD_FIRST, *(one for one in Verdict if one not in _BAD_FIRST))
]

_RED = tuple(verdict.value for verdict in _BAD_FIRST if verdict is not Verdict.FLAKY)

_RIGHT = frozenset({2, 3})
"""The columns of numbers."""

_KNOWN_STATUSES = frozenset({*(status.value for status in Status), "damaged"})


class _Forest:
    """Which run hangs below which, by their places in the rows."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self.rows = rows
        self.ages = [(row.sequence, row.created_us or 0, row.run_id) for row in rows]
        """What runs are ordered by, oldest first."""
        places = {row.run_id: index for index, row in enumerate(rows)}
        self.parents = [places.get(row.parent_run_id or "") for row in rows]
        self.circles = self._break_circles()
        self.children: list[list[int]] = [[] for _ in rows]
        for index, parent in enumerate(self.parents):
            if parent is not None:
                self.children[parent].append(index)
        newest = self._newest_below()
        for children in self.children:
            children.sort(key=newest.__getitem__)
        self.roots = [index for index, parent in enumerate(self.parents) if parent is None]
        self.roots.sort(key=newest.__getitem__)

    def note(self, index: int) -> str:
        """Say whose rerun a run is, where the tree does not show it."""
        parent = self.rows[index].parent_run_id
        if parent is None or self.parents[index] is not None:
            return ""
        why = "in a circle" if index in self.circles else "not here"
        return f"(rerun of {_show_id(parent)}, {why})"

    def _break_circles(self) -> set[int]:
        """Take its parent from the oldest run of every circle; return those runs."""
        broken: set[int] = set()
        if not any(parent is not None for parent in self.parents):
            return broken
        done: set[int] = set()
        for start in sorted(range(len(self.rows)), key=self.ages.__getitem__):
            path: dict[int, None] = {}
            at: int | None = start
            while at is not None and at not in done and at not in path:
                path[at] = None
                at = self.parents[at]
            if at is not None and at in path:
                walked = list(path)
                oldest = min(walked[walked.index(at) :], key=self.ages.__getitem__)
                self.parents[oldest] = None
                broken.add(oldest)
            done |= path.keys()
        return broken

    def _newest_below(self) -> list[tuple[int, int, str]]:
        """Return for each run the newest of itself and all below it."""
        newest = list(self.ages)
        waiting = [len(children) for children in self.children]
        ready = [index for index, count in enumerate(waiting) if not count]
        while ready:
            index = ready.pop()
            parent = self.parents[index]
            if parent is not None:
                newest[parent] = max(newest[parent], newest[index])
                waiting[parent] -= 1
                if not waiting[parent]:
                    ready.append(parent)
        return newest


def _aligned(column: Sequence[str], *, right: bool) -> list[str]:
    width = max(map(len, column))
    return [cell.rjust(width) if right else cell.ljust(width) for cell in column]


def _cells(line: Line, clock: Clock, with_seeds: bool) -> list[str]:
    row = line.row
    counts = show_counts(row.counts) if row.counts else ""
    latest = "*latest" if line.latest else ""
    seed = [] if not with_seeds else [""] if row.seed is None else [show_seed(row.seed)]
    return [
        line.graph + line.name,
        "" if row.created_us is None else _show_time(row.created_us, clock),
        "" if row.duration_us is None else show_duration(row.duration_us),
        "" if row.size_bytes is None else show_size(row.size_bytes),
        *seed,
        _show_status(row),
        "  ".join(word for word in (counts, _yet(row), line.note, latest) if word),
    ]


def _show_status(row: Row) -> str:
    if row.live:
        return "recording"
    return row.status.replace("_", " ") if row.status in _KNOWN_STATUSES else "unknown"


def _yet(row: Row) -> str:
    """What a failed run has to say of its tests where none of them failed."""
    if row.status != Status.FAILED or not row.counts or any(map(row.counts.get, _RED)):
        return ""
    return "(no test of these failed)"


def _show_time(created_us: int, clock: Clock) -> str:
    try:
        moment = clock(created_us // 1_000_000)
    except (OverflowError, ValueError, OSError):
        return "?"
    return time.strftime("%Y-%m-%d %H:%M", moment) if 0 < moment.tm_year < 10_000 else "?"


def _shared(left: str, right: str) -> int:
    for length, (one, other) in enumerate(zip(left, right, strict=False)):
        if one != other:
            return length
    return min(len(left), len(right))
