"""docs/testing.md is true: its examples run as they stand."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from command_line import place

TEXT = (Path(__file__).parent.parent / "docs" / "testing.md").read_text(encoding="utf-8")
IN_PYTEST, IN_A_PROGRAM = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)


def test_the_test_runs_and_says_what_it_says(tmp_path: Path) -> None:
    here = place(tmp_path)
    here.file("test_it.py", IN_PYTEST)
    ended = here.bundle("run", "--", sys.executable, "-m", "pytest", "-q")
    assert ended.code == 0, ended.stdout
    names = {name.rpartition("/")[2] for name in here.latest().files if "/" in name}
    shown = set(re.findall(r"^        ([\w.]+)(?: …)?  ", TEXT, re.MULTILINE))
    assert names == shown - {"failed_assertions.json", "run_events.ndjson"}


def test_the_program_runs_and_its_bundle_is_a_test_of_the_run(tmp_path: Path) -> None:
    here = place(tmp_path)
    here.file("program.py", IN_A_PROGRAM)
    assert here.bundle("run", "--", sys.executable, "program.py").code == 0
    assert here.verdicts() == {"cancel_drain": "passed"}


def test_every_method_that_it_names_is_there() -> None:
    from bundler.probe.writer.fixture import Identity, TestBundle

    bundle = TestBundle(Identity("x", 1), "unused", replay_command="x")
    named = re.findall(r"`(?:with )?bundle\.(\w+)", TEXT)
    assert named
    assert [name for name in named if not hasattr(type(bundle), name)] == ["seed", "test_id"]
    assert (bundle.seed, bundle.test_id) == (1, "x")
