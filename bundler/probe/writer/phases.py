"""The phases of a test while it runs: a tree, in which each thread and task knows its place."""

from __future__ import annotations

from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

PATH_SEPARATOR = " > "
MAX_PHASE_LEVELS = 24
"""How deep phases may lie in one another; a JSON document has at most 64 levels."""


class OpenPhase:
    """A phase that may still be running; the outermost one, nameless, is the test itself.

    Times are nanoseconds of the monotonic clock. Lists are only ever appended to, which threads may
    do at the same time.
    """

    __slots__ = ("assertions", "children", "depth", "end_ns", "name", "parent", "start_ns")

    def __init__(self, name: str, start_ns: int, parent: OpenPhase | None = None) -> None:
        self.name = name
        self.start_ns = start_ns
        self.parent = parent
        self.depth: int = -1 if parent is None else parent.depth + 1
        self.end_ns: int | None = None
        self.assertions: list[dict[str, Any]] = []
        self.children: list[OpenPhase] = []

    def open(self, name: str, start_ns: int, *, is_kept: bool = True) -> OpenPhase:
        """Begin a phase inside this one; one that would lie too deep lies beside the deepest.

        One that is not kept is in no tree: there are too many.
        """
        around = self
        while around.parent is not None and around.depth >= MAX_PHASE_LEVELS:
            around = around.parent
        phase = OpenPhase(name, start_ns, around)
        if is_kept:
            around.children.append(phase)
        return phase

    @property
    def path(self) -> str:
        """The names of the phases around it and its own, outermost first."""
        if self.parent is None:
            return ""
        above = self.parent.path
        return f"{above}{PATH_SEPARATOR}{self.name}" if above else self.name

    def root(self) -> OpenPhase:
        """The test itself."""
        return self if self.parent is None else self.parent.root()

    def running(self) -> Iterator[OpenPhase]:
        """Yield the phases inside this one that have not ended, an inner one before its outer."""
        for child in reversed(self.children):
            yield from child.running()
            if child.end_ns is None:
                yield child

    def closed(self, zero_ns: int, now_ns: int) -> dict[str, Any]:
        """Return it as it is written; nothing ends later than now, and what still runs ends now."""
        start_ns = min(self.start_ns, now_ns)
        end_ns = now_ns if self.end_ns is None else min(self.end_ns, now_ns)
        return {
            "name": self.name,
            "depth": max(self.depth, 0),
            "start_ms": (start_ns - zero_ns) / 1e6,
            "end_ms": (end_ns - zero_ns) / 1e6,
            "assertions": list(self.assertions),
            "children": [child.closed(zero_ns, now_ns) for child in list(self.children)],
        }


_here: ContextVar[OpenPhase | None] = ContextVar("bundle_phase", default=None)


def current(test: OpenPhase) -> OpenPhase:
    """Return the phase of this test in which the caller runs: the test itself outside of all.

    A task begins in the phase in which it was made; a thread begins outside of all.
    """
    phase = _here.get()
    return phase if phase is not None and phase.root() is test else test


def here() -> OpenPhase | None:
    """Return the phase in which the caller runs, of whatever test."""
    return _here.get()


def enter(phase: OpenPhase | None) -> None:
    """Make this the phase in which the caller runs."""
    _here.set(phase)
