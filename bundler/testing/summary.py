"""What a test did: its phases as a tree, its assertions, counts of its events. summary.json.

Times are milliseconds since the test started, as floats, because the format has them so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from bundler.errors import DamagedRecording
from bundler.probe.writer.json_text import pretty
from bundler.testing.context import TestContext
from bundler.testing.json_documents import Fields


@dataclass(frozen=True, kw_only=True, slots=True)
class AssertionRecord:
    """One assertion that a test made.

    `expected` and `actual` are texts; `phase_path` names the phases around it, outermost first,
    empty outside of all; `elapsed_ms` is when it was made.
    """

    description: str
    passed: bool
    expected: str
    actual: str
    phase_path: str
    elapsed_ms: float

    def to_document(self) -> dict[str, Any]:
        """Return it as it is written."""
        return {name: getattr(self, name) for name in self.__slots__}

    @classmethod
    def from_document(cls, document: Mapping[str, Any], what: str = "assertion") -> Self:
        """Return the assertion of a document; only what failed, and that it did, must be there.

        Raises DamagedRecording.
        """
        given = Fields(document, what)
        return cls(
            description=given.text("description"),
            passed=given.flag("passed"),
            expected=given.optional_text("expected") or "",
            actual=given.optional_text("actual") or "",
            phase_path=given.optional_text("phase_path") or "",
            elapsed_ms=given.number("elapsed_ms") if "elapsed_ms" in document else 0.0,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class PhaseNode:
    """One phase of a test: its name, how deep it lies (0 at the top), what was inside it."""

    name: str
    depth: int
    start_ms: float
    end_ms: float | None
    assertions: tuple[AssertionRecord, ...] = ()
    children: tuple[PhaseNode, ...] = ()

    @property
    def duration_ms(self) -> float | None:
        """How long it took, or None where it did not end."""
        return None if self.end_ms is None else self.end_ms - self.start_ms

    def to_document(self) -> dict[str, Any]:
        """Return it as it is written."""
        document = {name: getattr(self, name) for name in ("name", "depth", "start_ms", "end_ms")}
        document["assertions"] = [one.to_document() for one in self.assertions]
        document["children"] = [one.to_document() for one in self.children]
        return document

    @classmethod
    def from_document(
        cls, document: Mapping[str, Any], what: str = "phase", levels: int = 64
    ) -> Self:
        """Return the phase of a document. Raises DamagedRecording, also over 64 levels."""
        if not levels:
            raise DamagedRecording(f"{what}: phases lie over 64 levels deep")
        given = Fields(document, what)
        return cls(
            name=given.text("name"),
            depth=given.u64("depth"),
            start_ms=given.number("start_ms"),
            end_ms=None if document.get("end_ms") is None else given.number("end_ms"),
            assertions=tuple(
                AssertionRecord.from_document(one, what) for one in given.objects("assertions")
            ),
            children=tuple(
                cls.from_document(one, what, levels - 1) for one in given.objects("children")
            ),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class EventStats:
    """How many events a test logged, and of some kinds how many."""

    total_events: int = 0
    task_spawns: int = 0
    task_completions: int = 0
    reactor_polls: int = 0
    errors: int = 0
    warnings: int = 0

    def to_document(self) -> dict[str, int]:
        """Return it as it is written."""
        return {name: getattr(self, name) for name in self.__slots__}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        """Return the counts of a document. Raises DamagedRecording."""
        given = Fields(document, "event_stats")
        return cls(**{name: given.u64(name) for name in cls.__slots__})


@dataclass(frozen=True, kw_only=True, slots=True)
class TestSummary:
    """What a test did. `failure_artifacts` are the files that a failed test left.

    >>> summary = TestSummary(test_name="cancel_drain", passed=True, duration_ms=1.5)
    >>> TestSummary.from_document(summary.to_document()) == summary
    True
    """

    __test__: ClassVar[bool] = False  # pytest: not a class of tests

    test_name: str
    passed: bool
    total_assertions: int = 0
    passed_assertions: int = 0
    failed_assertions: int = 0
    duration_ms: float = 0.0
    phases: tuple[PhaseNode, ...] = ()
    failure_artifacts: tuple[str, ...] = ()
    event_stats: EventStats = EventStats()
    context: TestContext | None = None

    def walk(self) -> Iterator[PhaseNode]:
        """Yield every phase, a phase before those inside it."""
        waiting = list(reversed(self.phases))
        while waiting:
            phase = waiting.pop()
            yield phase
            waiting += reversed(phase.children)

    def assertions(self) -> Iterator[AssertionRecord]:
        """Yield every assertion that was made in a phase."""
        for phase in self.walk():
            yield from phase.assertions

    def to_document(self) -> dict[str, Any]:
        """Return it as it is written; a context that is None is left out."""
        document: dict[str, Any] = {
            "test_name": self.test_name,
            "passed": self.passed,
            "total_assertions": self.total_assertions,
            "passed_assertions": self.passed_assertions,
            "failed_assertions": self.failed_assertions,
            "duration_ms": self.duration_ms,
            "phases": [phase.to_document() for phase in self.phases],
            "failure_artifacts": self.failure_artifacts,
            "event_stats": self.event_stats.to_document(),
        }
        if self.context is not None:
            document["context"] = self.context.to_document()
        return document

    def to_json(self) -> bytes:
        """Return summary.json in bytes."""
        return pretty(self.to_document())

    @classmethod
    def from_document(cls, document: Mapping[str, Any], what: str = "summary.json") -> Self:
        """Return the summary of a document. Raises DamagedRecording, naming the field."""
        given = Fields(document, what)
        context = given.optional_object("context")
        return cls(
            test_name=given.text("test_name"),
            passed=given.flag("passed"),
            total_assertions=given.u64("total_assertions"),
            passed_assertions=given.u64("passed_assertions"),
            failed_assertions=given.u64("failed_assertions"),
            duration_ms=given.number("duration_ms"),
            phases=tuple(PhaseNode.from_document(one, what) for one in given.objects("phases")),
            failure_artifacts=given.texts("failure_artifacts"),
            event_stats=EventStats.from_document(given.object("event_stats")),
            context=None if context is None else TestContext.from_document(context, what),
        )
