"""Who a test is: its id, its seed, the part of the system and the invariant that it is about."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from bundler import seeds
from bundler.errors import UsageError
from bundler.testing.json_documents import Fields, is_u64


@dataclass(frozen=True, kw_only=True, slots=True)
class TestContext:
    """Who a test is. Everything that it logs, and its repro manifest, say so.

    test_id          the exact name of the test, any text
    seed             unsigned 64-bit; whatever is random in the test derives from it
    subsystem        the part of the system under test
    invariant        the invariant that matters most to the test
    adapter          what runs it, such as `live.current_thread`
    replay_metadata  what the adapter needs to run it again
    seed_lineage     where the seed came from

    Raises UsageError where the seed is not an unsigned 64-bit number.

        >>> context = TestContext(test_id="cancel_drain", seed=0xDEADBEEF, subsystem="scheduler")
        >>> f"{context.component_seed('scheduler'):016x}"
        'c0bf322e448e27d0'
    """

    __test__: ClassVar[bool] = False  # pytest: not a class of tests

    test_id: str
    seed: int
    subsystem: str | None = None
    invariant: str | None = None
    adapter: str | None = None
    replay_metadata: Mapping[str, Any] | None = None
    seed_lineage: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        if not is_u64(self.seed):
            raise UsageError(f"seed {self.seed!r} is not an unsigned 64-bit number")

    @classmethod
    def from_environment(
        cls, test_id: str, *, subsystem: str | None = None, invariant: str | None = None
    ) -> Self:
        """Return the context of a test under the seed that the environment has for it.

        Under a root seed (`BUNDLE_RUN_SEED`, which `bundle run` sets, else `BUNDLE_SEED`) the test
        has the scenario seed of its id. `ASUPERSYNC_SEED` is the test's own seed. Without any of
        them it is random. Raises UsageError where the variable holds no seed.
        """
        return cls(
            test_id=test_id,
            seed=_seed_of(test_id, os.environ),
            subsystem=subsystem,
            invariant=invariant,
        )

    def component_seed(self, name: str) -> int:
        """Return the seed of one component of the test, such as `scheduler`."""
        return seeds.component_seed(self.seed, name)

    def scenario_seed(self, name: str) -> int:
        """Return the seed of one scenario of the test."""
        return seeds.scenario_seed(self.seed, name)

    def entropy_seed(self, index: int) -> int:
        """Return the seed of the `index`-th source of entropy."""
        return seeds.entropy_seed(self.seed, index)

    @property
    def execution_instance_id(self) -> str | None:
        """Which execution it is, where `replay_metadata` tells: family, kind, seed and index."""
        instance = (self.replay_metadata or {}).get("instance")
        if not isinstance(instance, Mapping):
            return None
        seed = instance.get("effective_seed", self.seed)
        family, kind = instance.get("family_id"), instance.get("runtime_kind")
        return f"{family}:{kind}:0x{seed:X}:{instance.get('run_index')}"

    def __str__(self) -> str:
        """Return one line for people: `test_id=… seed=0x… subsystem=…`, `-` for what is absent."""
        family = (self.replay_metadata or {}).get("family")
        family = family if isinstance(family, Mapping) else {}
        words = {
            "test_id": self.test_id,
            "seed": f"0x{self.seed:X}",
            "subsystem": self.subsystem,
            "invariant": self.invariant,
            "surface": family.get("surface_id"),
            "contract": family.get("surface_contract_version"),
            "adapter": self.adapter,
        }
        return " ".join(
            f"{name}={'-' if value is None else value}" for name, value in words.items()
        )

    def to_document(self) -> dict[str, Any]:
        """Return it as `context` of a summary: subsystem and invariant are there even if null."""
        document: dict[str, Any] = {
            "test_id": self.test_id,
            "seed": self.seed,
            "subsystem": self.subsystem,
            "invariant": self.invariant,
        }
        for name in ("adapter", "replay_metadata", "seed_lineage"):
            value = getattr(self, name)
            if value is not None:
                document[name] = value
        return document

    @classmethod
    def from_document(cls, document: Mapping[str, Any], what: str = "context") -> Self:
        """Return the context of such a document. Raises DamagedRecording."""
        fields = Fields(document, what)
        return cls(
            test_id=fields.text("test_id"),
            seed=fields.u64("seed"),
            subsystem=fields.optional_text("subsystem"),
            invariant=fields.optional_text("invariant"),
            adapter=fields.optional_text("adapter"),
            replay_metadata=fields.optional_object("replay_metadata"),
            seed_lineage=fields.optional_object("seed_lineage"),
        )


def _seed_of(test_id: str, environment: Mapping[str, str]) -> int:
    for name in ("BUNDLE_RUN_SEED", "BUNDLE_SEED"):
        if root := environment.get(name):
            return seeds.scenario_seed(seeds.parse_seed(root), test_id)
    own = environment.get("ASUPERSYNC_SEED")
    return seeds.parse_seed(own) if own else seeds.random_seed()
