"""What the probe must never do inside a stranger's test process, held to its source and tried."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from full_size import FULL
from guest import with_faults
from probe_driver import PYTHON, Workshop, unmet
from probe_suites import Suite

from bundler.probe import PATH

FOLDER = PATH / "bundle_probe"
MODULES = {path.stem: ast.parse(path.read_text()) for path in sorted(FOLDER.glob("*.py"))}

SHOUTING = {"warnings", "logging", "threading", "signal", "atexit", "multiprocessing", "asyncio"}
"""`-W error` makes a warning a failure; handlers and threads are the suite's own business."""

NOT_GUARDED = {
    "entry.pytest_cmdline_main": "a selection that cannot be read is a usage error; no other is",
    "selection.Selection.pytest_collection_modifyitems": "a rerun of other tests would be a lie",
    "seeding.Imposing.pytest_runtest_setup": "`_impose` is guarded",
    "seeding.Imposing.pytest_runtest_call": "`_impose` is guarded",
    "seeding.Imposing.pytest_runtest_teardown": "`_impose` is guarded",
    "test_bundle.TestBundles.pytest_configure": "it makes a mark known, as every plugin does",
    "test_bundle.TestBundles.pytest_runtest_call": "a test that asked for checks fails by them",
}
"""The hooks that do not catch by themselves, and why."""


def hooks() -> Iterator[tuple[str, ast.FunctionDef]]:
    """Every hook of the probe by its full name."""
    for name, function in functions():
        if name.rpartition(".")[2].startswith("pytest_"):
            yield name, function


def functions() -> Iterator[tuple[str, ast.FunctionDef]]:
    """Every function and method of the probe, by module and name."""
    for module, tree in MODULES.items():
        for node in tree.body:
            if isinstance(node, ast.FunctionDef):
                yield f"{module}.{node.name}", node
            elif isinstance(node, ast.ClassDef):
                for inner in node.body:
                    if isinstance(inner, ast.FunctionDef):
                        yield f"{module}.{node.name}.{inner.name}", inner


def decorators(function: ast.FunctionDef) -> set[str]:
    return {ast.unparse(one).partition("(")[0] for one in function.decorator_list}


def catches(function: ast.FunctionDef) -> bool:
    """Whether all that a hook calls stands in a `try` that catches every Exception."""
    if "guarded" in decorators(function):
        return True
    tries = [one for one in ast.walk(function) if isinstance(one, ast.Try)]
    safe = {id(inner) for one in tries for stated in one.body for inner in ast.walk(stated)}
    safe |= {id(inner) for one in tries for inner in ast.walk(one.handlers[0])}
    caught = all(ast.unparse(one.handlers[0].type or one) == "Exception" for one in tries)
    calls = [one for one in ast.walk(function) if isinstance(one, ast.Call)]
    known = {"self.log.say", "self.log.is_ours", "set"}
    decorated = {id(inner) for one in function.decorator_list for inner in ast.walk(one)}
    return caught and all(
        id(call) in safe or id(call) in decorated or ast.unparse(call.func) in known
        for call in calls
    )


def test_every_hook_catches_what_goes_wrong_in_it() -> None:
    assert len(list(hooks())) > 20
    assert {name for name, function in hooks() if not catches(function)} == set(NOT_GUARDED)


def test_the_probe_imports_nothing_that_a_suite_may_notice() -> None:
    imported = set()
    for tree in MODULES.values():
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                imported.add(node.module.partition(".")[0])
    assert "pytest" in imported
    assert imported & SHOUTING == set()


REPORTS = """
import pytest
@pytest.hookimpl(trylast=True)
def pytest_runtest_logreport(report):
    kinds = sorted((name, type(value).__name__) for name, value in vars(report).items())
    open("kinds", "a").write(f"{report.nodeid} {report.when} {kinds}\\n")
"""


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_a_report_is_what_it_is_without_the_probe(tmp_path: Path, workers: int) -> None:
    """An attribute that xdist cannot send would lose its test without a word."""
    if workers and unmet(("xdist",)):
        pytest.skip(f"{PYTHON} has no xdist")
    seen = []
    for name in ("plain", "probed"):
        shop = Workshop(tmp_path / name)
        shop.lay({**SUITE.files, "conftest.py": REPORTS})
        run = shop.plain if name == "plain" else shop.probed
        assert run("-n", str(workers), *SUITE.args).exit_code == 1
        seen.append(sorted((shop.suite / "kinds").read_text().splitlines()))
    assert seen[0] == seen[1]
    assert len(seen[0]) > 15


SUITE = Suite(
    "mixed",
    {
        "test_it.py": """
import pytest, unittest, warnings
def test_passes(): print("said")
def test_fails(): assert 1 == 2
@pytest.mark.skip
def test_skips(): pass
@pytest.mark.xfail
def test_xfails(): raise ValueError("boom")
@pytest.fixture
def broken(): raise OSError("no")
def test_errors(broken): pass
def test_warns(): warnings.warn("old")
class TestUnit(unittest.TestCase):
    def test_unit(self): self.fail("so")
""",
        "test_bad.py": "1 / 0\n",
    },
    {},
    1,
    args=("--continue-on-collection-errors", "-k", "not nothing"),
)
# What runs before the plugin is loaded, or is itself what makes a defect harmless.
NOT_BROKEN = re.compile(
    r"__init__\.|entry\.|settings\.take_|settings\.leave_|log\.guarded|log\.Log\.(disarm|say|is_ours)"
    r"|text\.shown|entropy\.|selection\.|.*\.__|.*\.pytest_"
)


@pytest.mark.slow
def test_a_defect_anywhere_in_the_probe_changes_nothing(tmp_path: Path) -> None:
    names = [name for name, _ in functions() if not NOT_BROKEN.match(name)]
    assert len(names) > 100
    names = names if FULL else names[::3]
    [plain] = with_faults(SUITE, tmp_path / "plain", [None]).values()
    broken = with_faults(SUITE, tmp_path / "broken", [f"defect:{name}" for name in names])
    changed = {
        fault: (plain.seen, guest.seen)
        for fault, guest in broken.items()
        if guest.seen != plain.seen
    }
    assert changed == {}
    assert len([guest for guest in broken.values() if guest.warned]) > len(names) // 5
