"""Imports point one way, the probe stands alone, and start-up pays for nothing it does not use."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "bundler"

# From the bottom to the top: a module imports from lines above its own, never from its own line or
# from below. This holds wherever the import stands, inside a function too. `x.*` is every module
# of the package `x`.
LAYERS: tuple[tuple[str, ...], ...] = (
    ("bundler",),  # the version alone
    ("errors", "escapes", "compiled_schema", "probe", "verdicts", "reporters"),
    ("schema", "documents", "names", "limits", "seeds", "times", "redaction"),
    ("events",),
    ("testing", "holding"),
    ("results",),
    ("manifest", "eventlog", "fingerprint", "spool"),
    ("status", "recording", "json_lines"),
    ("masked_log",),
    ("rerun", "tree", "retention", "delta_debugging"),  # pure decisions
    ("chain", "scope"),
    ("repro", "divergence", "environment_difference", "comparison"),
    ("sighting", "repro_progress"),
    ("zip_records", "directory_reader"),
    ("zip_reader", "zip_writer"),
    ("archive",),
    ("atomic",),
    ("git", "machine"),
    ("environment", "kinds", "dropped_files"),
    ("runner_tables",),
    ("configuration",),
    ("places",),
    ("listing_cache",),
    ("test_bundles", "generators", "masked_files"),
    ("bundle",),
    ("sealing",),
    ("live_bundle", "adoption", "packing"),
    ("masked_copy",),
    ("event_lines",),
    ("verification", "translation"),
    ("formats",),
    ("formats.rust_panics",),
    (
        "formats.ctrf_statuses",
        "formats.go_package",
        "formats.junit_cases",
        "formats.junit_elements",
        "formats.libtest_reasons",
        "formats.nextest_outputs",
        "formats.nextest_statuses",
        "formats.nextest_store",
        "formats.pytest_longrepr",
        "formats.asupersync_bundles",
        "formats.trace_events",
    ),
    ("formats.asupersync_lines", "formats.trace_frames"),
    ("formats.asupersync_events",),
    ("formats.junit_marks",),
    ("formats.*",),
    ("opening", "trace_view", "traces", "own_events", "suite_bundles"),
    ("scanning",),
    ("store",),
    ("pruning",),
    ("runners",),
    ("runners.process",),
    ("runners.cargo_binaries",),
    ("runners.lines", "runners.go_screen", "runners.cargo_output", "runners.result_files"),
    ("runners.python", "runners.report"),
    ("runners.javascript", "runners.java"),
    ("runners.*",),
    ("runners.configured",),
    ("look", "pager", "filters"),
    ("terminal", "blocks", "levels"),
    ("about", "event_view", "following", "story"),
    ("replay", "run_details", "test_details", "listing"),
    ("naming", "test_listing"),
    ("left_files", "command_as_test", "runner_events", "run_output"),
    ("recorder",),
    ("child_variables",),
    ("execution",),
    ("last_words",),
    ("rerun_start",),
    ("rerunning", "unseen"),
    ("reproduction",),
    ("circumstances",),
    ("repro_report",),
    ("commands", "arguments"),
    ("commands.*",),
    ("pytest_plugin",),
    ("words",),
    ("cli",),
    ("__main__",),
)

# Packages that are one thing to everybody else: what is inside may import what else is inside.
CLOSED = ("probe", "reporters", "runners.process", "testing")

# Libraries that take long to load are imported inside the functions that use them, but here.
SLOW = {"typer", "rich", "jsonschema", "junit_xml", "lz4", "filelock", "platformdirs"}
LOADED_AT_ONCE = {
    "words": {"typer"},  # nothing is taken apart without it
    "arguments": {"typer"},
    "commands.*": {"typer"},  # a command's arguments are its function's; loaded after the cli
    "formats.junit": {"junit_xml"},  # a format is imported when somebody asks for it
}


@dataclass(frozen=True)
class Import:
    """One import: by which module, of what, and whether it happens when that module is loaded."""

    importer: str
    target: str
    at_once: bool


def test_every_module_has_its_place_and_every_place_its_module() -> None:
    assert [name for name in modules() if place(name) is None] == []
    named = [name for layer in LAYERS for name in layer if "*" not in name]
    assert sorted(set(named)) == sorted(named)
    assert [name for name in named if name not in modules()] == []


def test_the_map_for_newcomers_has_every_module_once_and_in_this_order() -> None:
    guide = (PACKAGE.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([a-z_/]+?)(?:/|\.py)` \|", guide, re.MULTILINE)
    mapped = [row.replace("/", ".") for row in rows]
    covered = {name for name in modules() if any(is_in(name, one) for one in mapped)}
    assert sorted(modules().keys() - covered) == ["__main__", "bundler", "runners"]
    assert len(set(mapped)) == len(mapped)
    places = [place(name) or 0 for name in mapped]
    assert places == sorted(places)


def test_imports_point_one_way() -> None:
    assert list(violations(imports())) == []


def test_the_probe_is_the_standard_library_and_pytest() -> None:
    files = probe_files()
    found = {
        f"{file.name}: {name}"
        for file in files
        for name, level in written_imports(ast.parse(file.read_text(encoding="utf-8")))
        if level == 0 and root(name) not in sys.stdlib_module_names | {"pytest"}
    }
    assert found == set()


def test_the_probe_is_written_in_python_3_9() -> None:
    for file in probe_files():
        ast.parse(file.read_text(encoding="utf-8"), str(file), feature_version=(3, 9))


def test_nothing_but_its_own_package_names_the_probe_s_modules() -> None:
    assert [one for one in imports() if root(one.target) == "bundle_probe"] == []


def test_slow_libraries_are_imported_only_where_they_are_used() -> None:
    at_once = [one for one in imports() if one.at_once and root(one.target) in SLOW]
    assert [one for one in at_once if root(one.target) not in allowed(one.importer)] == []


def test_what_is_imported_is_declared() -> None:
    project = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text(encoding="utf-8"))
    declared = {
        re.split(r"[^A-Za-z0-9_-]", words)[0].replace("-", "_")
        for words in project["project"]["dependencies"]
    }
    used = {root(one.target) for one in imports()} - sys.stdlib_module_names - {"bundler"}
    # The plugin is imported by pytest itself.
    assert used - declared == {"pytest"}


@pytest.mark.parametrize("module", ["bundler.cli", "bundler.commands.run", "bundler.recorder"])
def test_recording_loads_no_slow_library_but_the_program_s_own(module: str) -> None:
    code = f"import sys, {module}; print(*sorted({SLOW - {'typer'}!r} & sys.modules.keys()))"
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, cwd=PACKAGE.parent, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.split() == []


# --- how it is seen ----------------------------------------------------------------------------

TWO_LAYERS = (("low", "beside"), ("high", "pack"), ("pack.*",))


@pytest.mark.parametrize(
    "source",
    [
        "import bundler.high",
        "import bundler.high as h",
        "from bundler import high",
        "from bundler.high import x",
        "from . import high",
        "from .high import x",
        "from bundler.pack.one import x",
        "def f():\n    from bundler.high import x",
        "if TYPE_CHECKING:\n    from bundler.high import x",
        "from bundler import beside",
        "try:\n    import bundler.high\nfinally:\n    pass",
    ],
)
def test_an_import_that_points_up_or_aside_is_seen(source: str) -> None:
    found = imports_in("low", source, known={"low", "beside", "high", "pack", "pack.one"})
    [message] = violations(found, TWO_LAYERS)
    assert message.startswith("low imports ")


@pytest.mark.parametrize(
    ("importer", "source"),
    [
        ("high", "from bundler import low, beside"),
        ("pack.one", "from bundler import pack"),
        ("pack.one", "from . import x"),
        ("low", "import json, low"),
        ("low", "from bundler import low"),
    ],
)
def test_an_import_that_points_down_is_not(importer: str, source: str) -> None:
    found = imports_in(importer, source, known={"low", "beside", "high", "pack", "pack.one"})
    assert list(violations(found, TWO_LAYERS)) == []


def test_an_import_inside_a_function_or_for_types_alone_is_not_at_once() -> None:
    source = "import a\nclass C:\n    import b\n    def f(self):\n        import c\n"
    source += "if TYPE_CHECKING:\n    import d\nelse:\n    import e\n"
    found = imports_in("low", source, known=set())
    assert {one.target for one in found if one.at_once} == {"a", "b", "e"}
    assert {one.target for one in found if not one.at_once} == {"c", "d"}


def violations(found: Sequence[Import], layers: Sequence[Sequence[str]] = LAYERS) -> Iterator[str]:
    """Say which imports do not point at a lower layer."""
    for one in found:
        if root(one.target) != "bundler":
            continue
        target = one.target.removeprefix("bundler.")
        mine, theirs = place(one.importer, layers), place(target, layers)
        if one.importer == target or closed(one.importer) == closed(target):
            continue
        if mine is not None and theirs is not None and mine <= theirs:
            where = "beside" if mine == theirs else "above"
            yield f"{one.importer} imports {target}, which is {where} it"


def place(name: str, layers: Sequence[Sequence[str]] = LAYERS) -> int | None:
    """The layer of a module; one that is named beats one that a pattern covers."""
    name = closed(name)
    for matches in (str.__eq__, fnmatch):
        for number, layer in enumerate(layers):
            if any(matches(name, one) for one in layer):
                return number
    return None


def closed(name: str) -> str:
    return next((one for one in CLOSED if is_in(name, one)), name)


def is_in(name: str, package: str) -> bool:
    """Whether a module is that package, or inside it."""
    return f"{name}.".startswith(f"{package}.")


def allowed(importer: str) -> set[str]:
    fitting = (names for pattern, names in LOADED_AT_ONCE.items() if fnmatch(importer, pattern))
    return set().union(*fitting)


def modules() -> Mapping[str, Path]:
    """Every module by its name inside the package; the probe's own are not of the package."""
    files = sorted(PACKAGE.rglob("*.py"))
    return {
        name_of(file): file for file in files if (PACKAGE / "probe" / "path") not in file.parents
    }


def probe_files() -> list[Path]:
    """What runs in environments that have never heard of bundler."""
    folders = [PACKAGE / "probe" / name for name in ("path", "writer")]
    files = [sorted(folder.rglob("*.py")) for folder in folders]
    assert all(files)
    return [file for part in files for file in part]


def name_of(file: Path) -> str:
    parts = file.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts) or "bundler"


def imports() -> list[Import]:
    known = set(modules())
    found = []
    for name, file in modules().items():
        source = file.read_text(encoding="utf-8")
        found += imports_in(name, source, known, is_package=file.name == "__init__.py")
    return found


def imports_in(name: str, source: str, known: set[str], is_package: bool = False) -> list[Import]:
    """Every import in a module's source; `from x import y` is of the module `x.y` if it is one."""
    tree = ast.parse(source)
    later = {
        id(inner) for node in ast.walk(tree) for part in put_off(node) for inner in ast.walk(part)
    }
    return [
        Import(name, target, id(node) not in later)
        for node in ast.walk(tree)
        for target in targets(node, name, known, is_package)
    ]


def put_off(node: ast.AST) -> Sequence[ast.AST]:
    """The parts of a statement that do not run when the module is loaded."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return node.body
    if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
        return node.body
    return ()


def targets(node: ast.AST, name: str, known: set[str], is_package: bool) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        base = node.module or ""
        if node.level:
            here = ["bundler", *(name.split(".") if name != "bundler" else ())]
            up = node.level - (1 if is_package else 0)
            base = ".".join([*here[: len(here) - up], *base.split(".")]).rstrip(".")
        for alias in node.names:
            inner = f"{base}.{alias.name}".removeprefix("bundler.")
            yield f"bundler.{inner}" if root(base) == "bundler" and inner in known else base


def written_imports(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Every import as it is written: the module, and how many dots stand before it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, 0) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or "", node.level


def root(name: str) -> str:
    return name.partition(".")[0]
