"""What a test is given as `bundle`: to say what it does, in a bundle of its own."""

from __future__ import annotations

import io
import os
from typing import Any

from .bundle_directory import base_in_environment
from .file_names import slug
from .harness import Harness
from .system import System
from .whole_file import TO_WRITE

__all__ = ["Identity", "TestBundle", "base_in_environment", "slug"]


class Identity:
    """Who a test is, as pytest knows it."""

    def __init__(
        self,
        test_id: str,
        seed: int,
        *,
        subsystem: str | None = None,
        invariant: str | None = None,
    ) -> None:
        self.test_id = test_id
        self.seed = seed
        self.subsystem = subsystem
        self.invariant = invariant
        self.adapter = "pytest"
        self.replay_metadata = None
        self.seed_lineage = None

    def to_document(self) -> dict[str, Any]:
        """Return it as `context` of a summary: subsystem and invariant are there even if null."""
        document = {
            "test_id": self.test_id,
            "seed": self.seed,
            "subsystem": self.subsystem,
            "invariant": self.invariant,
            "adapter": self.adapter,
        }
        always = ("subsystem", "invariant")
        return {k: value for k, value in document.items() if value is not None or k in always}


class TestBundle(Harness):
    """The bundle of the test that is running.

    def test_cancel_drain(bundle):
        with bundle.phase("setup"):
            bundle.log("TaskSpawn", task_id=3)
        bundle.check("losers drained", 4, drain())
        bundle.attach(screenshot, "screen.png")
        bundle.trace("cancel_drain").write(events)

    All of a test's checks are made; if one failed, the test fails at its end and shows them all.
    """

    __test__ = False  # pytest: not a class of tests

    def __init__(self, test: Identity, directory: str, **options: Any) -> None:
        super().__init__(test, directory, **options)
        self.test_id = test.test_id
        self.seed = test.seed
        self._files: list[io.FileIO] = []

    def exists(self) -> bool:
        """Whether anything was recorded."""
        return self._log is not None

    def trace(self, scenario: str) -> io.FileIO:
        """Return a file to write the trace of a scenario to, open and unbuffered.

        It is called `{subsystem}_{scenario}_{seed:016x}.trace`, or safely where that is not, and is
        closed at the end of the test at the latest. Asked for again, it is begun anew.
        """
        path = self.trace_path(scenario)
        try:
            # Unbuffered: a test that is killed leaves all of it, and a forked child nothing twice.
            file = io.FileIO(path, "w", opener=_opener)
        except OSError as error:
            self._directory.give_up(error)
            file = io.FileIO(os.devnull, "w")
        self._files.append(file)
        return file

    def _let_go(self) -> None:
        for file in self._files:
            file.close()
        super()._let_go()


def _opener(path: str, _flags: int) -> int:
    return System.open(path, TO_WRITE, 0o666)
