"""Which mistakes in a module its tests would see: small ones are made, one at a time.

    python tests/mutation.py [MODULE...] [--every N] [--list] [--update]

Each mutant is a comparison turned, a boundary moved by one, a condition negated or fixed, an `and`
made an `or`, a number or a text replaced, an operator exchanged, a statement left out, a result or
the condition of a comprehension dropped. The mutant's module is put in the place of the real one in
a fork of this process, which runs the module's own tests until the first that fails; those with
random examples take the same ones each time. A mutant that takes ten times as long as the tests
themselves counts as seen, and how many did is said. `--every N` tries each N-th; `--update` writes
the numbers for the documentation. Survivors are printed with their line: some are equal to the
original, and that is for people to say.
"""

from __future__ import annotations

import argparse
import ast
import copy
import importlib
import importlib.abc
import importlib.metadata
import importlib.util
import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).parent.parent
NUMBERS = Path(__file__).parent / "fixtures" / "reliability" / "mutation.json"

GATE = (
    "test_gate_edges.py",
    "test_archive.py",
    "test_archive_hostile.py",
    "test_archive_writer.py",
    "test_names.py",
)
MASKED = ("test_masking_rules.py", "test_masking.py", "test_redaction.py")
TESTS: dict[str, tuple[str, ...]] = {
    "archive": GATE,
    "zip_reader": GATE,
    "zip_records": GATE,
    "directory_reader": GATE,
    "limits": ("test_limits.py", *GATE, "test_eventlog.py"),
    "rerun": ("test_rerun.py", "test_rerun_chain.py"),
    "retention": ("test_retention.py", "test_pruning.py"),
    "results": ("test_results.py", "test_holding.py"),
    "escapes": ("test_terminal_escapes.py", "test_terminal.py"),
    "redaction": MASKED,
    **{
        f"masking.{name}": MASKED
        for name in (
            "beginnings",
            "command_words",
            "fragments",
            "masker",
            "needles",
            "pairs",
            "runs",
            "secret_values",
            "windows",
        )
    },
    "masking.shapes": MASKED,
}
MASKING = "probe/path/bundle_probe/masking"
"""Where the masking lies, which is loaded by its place and under a name of its own."""

TURNED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
}  # fmt: skip
EXCHANGED: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.FloorDiv, ast.FloorDiv: ast.Mult,
    ast.BitOr: ast.BitAnd, ast.BitAnd: ast.BitOr, ast.LShift: ast.RShift, ast.Mod: ast.Add,
}  # fmt: skip


@dataclass(frozen=True)
class Mutant:
    """One mistake: the line it is in, what it is, and the module with it."""

    line: int
    what: str
    source: str


class Site:
    """A place in the tree that can be replaced and put back."""

    def __init__(self, holder: Any, name: str, index: int | None) -> None:
        self.holder, self.name, self.index = holder, name, index

    def get(self) -> Any:
        value = getattr(self.holder, self.name)
        return value if self.index is None else value[self.index]

    def line(self) -> int:
        """Where it is; a comprehension's own clause is where the comprehension is."""
        line: int = getattr(self.get(), "lineno", None) or self.holder.lineno
        return line

    def put(self, node: Any) -> None:
        if self.index is None:
            setattr(self.holder, self.name, node)
        else:
            getattr(self.holder, self.name)[self.index] = node


def mutants(source: str) -> Iterator[Mutant]:
    """Yield every mutant of a module."""
    tree = ast.parse(source)
    for site in list(sites(tree)):
        original = site.get()
        for what, changed in changes(original):
            site.put(ast.copy_location(changed, original))
            yield Mutant(site.line(), what, ast.unparse(ast.fix_missing_locations(tree)))
            site.put(original)


def sites(node: ast.AST, inside: bool = False) -> Iterator[Site]:
    """Yield every expression and statement, but no annotation, no docstring, no import."""
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list", "type_params", "type_comment"):
            continue
        several = value if isinstance(value, list) else [value]
        for index, child in enumerate(several):
            if not isinstance(child, ast.expr | ast.stmt | ast.comprehension | ast.keyword):
                if isinstance(child, ast.AST):
                    yield from sites(child, inside)
                continue
            if _is_docstring(child) or ast.unparse(child).startswith(("import", "from", "__all__")):
                continue
            if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
                continue
            if not isinstance(child, ast.keyword):
                yield Site(node, name, index if isinstance(value, list) else None)
            yield from sites(child, inside)


def changes(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """Yield each way of getting a node wrong, with what it is called."""
    if isinstance(node, ast.Compare) and type(node.ops[0]) in TURNED:
        turned = copy.deepcopy(node)
        turned.ops[0] = TURNED[type(node.ops[0])]()
        yield f"`{ast.unparse(turned)}`", turned
    elif isinstance(node, ast.BoolOp):
        other = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        yield "and/or exchanged", ast.BoolOp(other, node.values)
        for left in range(len(node.values)):
            rest = [one for at, one in enumerate(node.values) if at != left]
            gone = ast.unparse(node.values[left])
            yield f"without `{gone}`", rest[0] if len(rest) == 1 else ast.BoolOp(node.op, rest)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield "without not", node.operand
    elif isinstance(node, ast.BinOp) and type(node.op) in EXCHANGED:
        yield "operator exchanged", ast.BinOp(node.left, EXCHANGED[type(node.op)](), node.right)
    elif isinstance(node, ast.Constant):
        yield from _constants(node)
    elif isinstance(node, ast.If | ast.While | ast.IfExp):
        changed = copy.copy(node)
        changed.test = ast.UnaryOp(ast.Not(), node.test)
        yield f"`{ast.unparse(node.test)}` negated", changed
    elif isinstance(node, ast.comprehension) and node.ifs:
        yield "condition left out", ast.comprehension(node.target, node.iter, [], node.is_async)
    elif isinstance(node, ast.Return) and node.value is not None:
        if not (isinstance(node.value, ast.Constant) and node.value.value is None):
            yield "None returned", ast.Return(ast.Constant(None))
    elif isinstance(
        node, ast.Expr | ast.AugAssign | ast.Raise | ast.Delete | ast.Continue | ast.Break
    ):
        yield f"`{ast.unparse(node)[:60]}` left out", ast.Pass()


def _constants(node: ast.Constant) -> Iterator[tuple[str, ast.AST]]:
    value = node.value
    if isinstance(value, bool):
        yield f"{value} turned", ast.Constant(not value)
    elif isinstance(value, int):
        yield f"{value} plus one", ast.Constant(value + 1)
    elif isinstance(value, bytes | str) and value:
        other = b"mutant" if isinstance(value, bytes) else "mutant"
        yield f"{value!r:.40} replaced", ast.Constant(other)


def _is_docstring(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


class Replacing(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds one module, and loads other source in its place."""

    def __init__(self, module: str, source: str) -> None:
        self.name, self.place, self.source = name_of(module), str(file_of(module)), source

    def find_spec(self, name: str, path: object = None, target: object = None) -> Any:
        if name != self.name:
            return None
        return importlib.util.spec_from_loader(name, self, origin=self.place)

    def exec_module(self, module: ModuleType) -> None:
        module.__file__ = self.place
        exec(compile(self.source, self.place, "exec"), vars(module))


def file_of(module: str) -> Path:
    """Return the file of a module of TESTS."""
    return ROOT / "bundler" / f"{module.replace('masking.', f'{MASKING}/')}.py"


def name_of(module: str) -> str:
    """Return the name under which a module of TESTS is imported."""
    if module.startswith("masking."):
        return f"bundle_probe_{module}"
    return f"bundler.{module}"


def passes(module: str, source: str, deadline_s: float) -> bool | None:
    """Whether the module's tests pass with this source in its place; None if they do not end."""
    pid = os.fork()
    if pid == 0:
        _test(module, source)
    began = time.monotonic()
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            code = os.waitstatus_to_exitcode(status)
            return None if code == -signal.SIGKILL else code == 0
        if time.monotonic() - began > deadline_s:
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)


def _test(module: str, source: str) -> None:
    null = os.open(os.devnull, os.O_RDWR)
    for number in range(3):
        os.dup2(null, number)
    sys.meta_path.insert(0, Replacing(module, source))
    code = 70
    try:
        # before pytest, whose finder comes first for whatever an installed plugin brings
        importlib.import_module("bundler.redaction" if "." in module else name_of(module))
        code = _run_tests(module)
    finally:
        os._exit(code)


def _run_tests(module: str) -> int:
    import pytest

    tests = [str(ROOT / "tests" / name) for name in TESTS[module]]
    quick = ["-x", "-q", "-m", "not slow", "-p", "no:cacheprovider", "-p", "no:randomly"]
    # hypothesis was imported before pytest could have looked at it
    quick += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
    return int(pytest.main([*tests, *quick]))


@dataclass(frozen=True)
class Score:
    """How many mutants of a module there were, and which were not seen."""

    tried: int
    survivors: list[Mutant]
    too_slow: int


def score(module: str, every: int) -> Score:
    """Try the mutants of a module."""
    source = file_of(module).read_text(encoding="utf-8")
    began = time.monotonic()
    if not passes(module, source, 600):
        raise SystemExit(f"{module}: its tests fail without any mistake in it")
    deadline = 10 * (time.monotonic() - began) + 5
    chosen = list(mutants(source))[::every]
    survivors, too_slow = [], 0
    for mutant in chosen:
        passed = passes(module, mutant.source, deadline)
        too_slow += passed is None
        if passed:
            survivors.append(mutant)
            print(f"  {module}.py:{mutant.line}: {mutant.what}", flush=True)
    return Score(len(chosen), survivors, too_slow)


def prepare() -> None:
    """Load once, before the forks, what each of them needs; no chance and no clock decides."""
    import hypothesis
    import pytest  # noqa: F401

    for plugin in importlib.metadata.entry_points(group="pytest11"):
        if not plugin.value.startswith("bundler"):
            plugin.load()
    settings = hypothesis.settings(derandomize=True, deadline=None, database=None)
    hypothesis.settings.register_profile("mutation", settings)
    hypothesis.settings.load_profile("mutation")


def main() -> None:
    """Try the modules that are named, or all."""
    parser = argparse.ArgumentParser()
    parser.add_argument("modules", nargs="*", default=list(TESTS), metavar="MODULE")
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--update", action="store_true")
    options = parser.parse_args()
    sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
    prepare()
    known: dict[str, Any] = json.loads(NUMBERS.read_text()) if NUMBERS.exists() else {}
    for module in options.modules:
        if options.list:
            found = mutants(file_of(module).read_text(encoding="utf-8"))
            print(module, len(list(found)))
            continue
        result = score(module, options.every)
        seen = result.tried - len(result.survivors)
        slow = f", {result.too_slow} by taking too long" if result.too_slow else ""
        print(f"{module}: {seen} of {result.tried} seen{slow}", flush=True)
        known[module] = {"tried": result.tried, "seen": seen, "every": options.every}
        if options.update:
            NUMBERS.parent.mkdir(parents=True, exist_ok=True)
            NUMBERS.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
