"""The phases of a test while it runs: a tree, in which each thread and task knows its place."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass, field

from bundler.testing.summary import MAX_PHASE_LEVELS, PATH_SEPARATOR, AssertionRecord, PhaseNode


@dataclass(slots=True, eq=False)
class OpenPhase:
    """A phase that may still be running; the outermost one, nameless, is the test itself.

    Times are nanoseconds of the monotonic clock. Lists are only ever appended to, which threads may
    do at the same time.
    """

    name: str
    start_ns: int
    parent: OpenPhase | None = None
    end_ns: int | None = None
    assertions: list[AssertionRecord] = field(default_factory=list)
    children: list[OpenPhase] = field(default_factory=list)

    def open(self, name: str, start_ns: int) -> OpenPhase:
        """Begin a phase inside this one; one that would lie too deep lies beside the deepest."""
        around = self
        while around.parent is not None and around.depth >= MAX_PHASE_LEVELS:
            around = around.parent
        phase = OpenPhase(name, start_ns, around)
        around.children.append(phase)
        return phase

    @property
    def depth(self) -> int:
        """How deep it lies; 0 at the top, and -1 for the test itself."""
        return -1 if self.parent is None else self.parent.depth + 1

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

    def closed(self, zero_ns: int, now_ns: int) -> PhaseNode:
        """Return it as it is written; what still runs ends now."""
        end_ns = now_ns if self.end_ns is None else self.end_ns
        return PhaseNode(
            name=self.name,
            depth=max(self.depth, 0),
            start_ms=(self.start_ns - zero_ns) / 1e6,
            end_ms=(end_ns - zero_ns) / 1e6,
            assertions=tuple(self.assertions),
            children=tuple(child.closed(zero_ns, now_ns) for child in self.children),
        )


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
