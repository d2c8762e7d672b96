"""Where a test ran, and what it had at hand: environment.json of a test bundle."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from bundler.probe.writer.documents import environment_of
from bundler.probe.writer.json_text import pretty
from bundler.testing.context import TestContext
from bundler.testing.json_documents import Fields


@dataclass(frozen=True, kw_only=True, slots=True)
class Port:
    """A TCP or UDP port that a test was given, and for what."""

    label: str
    port: int


@dataclass(frozen=True, kw_only=True, slots=True)
class EnvironmentMetadata:
    """Where a test ran: system (`linux`, `macos`, `windows`), processor, bits of a pointer.

    `ports` and `services` are what the test was given to use.
    """

    os: str
    arch: str
    pointer_width: int
    test_id: str
    seed: int
    ports: tuple[Port, ...] = ()
    services: tuple[str, ...] = ()

    @classmethod
    def of_this_process(
        cls, context: TestContext, *, ports: Iterable[Port] = (), services: Iterable[str] = ()
    ) -> Self:
        """Return where this process runs."""
        known = environment_of(context) | {"ports": tuple(ports), "services": tuple(services)}
        return cls(**known)

    def to_document(self) -> dict[str, Any]:
        """Return it as it is written."""
        document = {name: getattr(self, name) for name in self.__slots__}
        document["ports"] = [{"label": one.label, "port": one.port} for one in self.ports]
        return document

    def to_json(self) -> bytes:
        """Return environment.json in bytes."""
        return pretty(self.to_document())

    @classmethod
    def from_document(cls, document: Mapping[str, Any], what: str = "environment.json") -> Self:
        """Return the environment of a document. Raises DamagedRecording, naming the field."""
        given = Fields(document, what)
        ports = [Fields(one, f"{what}: ports") for one in given.objects("ports")]
        return cls(
            os=given.text("os"),
            arch=given.text("arch"),
            pointer_width=given.u64("pointer_width"),
            test_id=given.text("test_id"),
            seed=given.u64("seed"),
            ports=tuple(Port(label=one.text("label"), port=one.u64("port")) for one in ports),
            services=given.texts("services"),
        )
