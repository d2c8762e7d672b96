"""Which test binary is which: from the artifacts that cargo tells before it runs the first.

An id is nextest's: `package`, `package::it`, `package::bin/x`; documentation tests, which nextest
does not run, are `package::doc/library`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from bundler.results import TestResult

_TARGET = re.compile(r'(lib|bin|test|example|bench)(?: "([^"]+)")?(?: test)?$')


@dataclass(frozen=True)
class Binary:
    """What was announced: its id, and whether it may have a harness of its own."""

    id: str
    own_harness: bool = False


@dataclass(frozen=True)
class Announced:
    """A binary's file, or a library whose documentation tests run, as cargo announces it.

    Which binary that is, is asked when it speaks: the artifacts come on the other stream.
    """

    name: str
    is_doc: bool = False


class Binaries:
    """The binaries and libraries of one `cargo test`, as far as it has told of them."""

    def __init__(self) -> None:
        self._binaries: dict[str, Binary] = {}
        self._libraries: dict[str, str] = {}
        self._manifests: dict[str, dict[str, Any]] = {}

    def take(self, message: dict[str, Any]) -> None:
        """Take what cargo tells of a thing it built."""
        target = message.get("target")
        if message.get("reason") != "compiler-artifact" or not isinstance(target, dict):
            return
        manifest = self._manifest(str(message.get("manifest_path", "")))
        package = str(manifest.get("package", {}).get("name") or _package(message))
        name, kinds = str(target.get("name", "")), target.get("kind")
        kind = str(kinds[0]) if isinstance(kinds, list) and kinds else "lib"
        if target.get("doctest"):
            self._libraries[name] = package
        executable = message.get("executable")
        if isinstance(executable, str) and message.get("profile", {}).get("test"):
            own = _has_own_harness(manifest, kind, name)
            stem = PurePath(executable.replace("\\", "/")).name.removesuffix(".exe")
            self._binaries[stem] = Binary(_id(package, kind, name), own)

    def has(self, stem: str) -> bool:
        """Whether a file, without its ending, is a test binary."""
        return stem in self._binaries

    def has_library(self, name: str) -> bool:
        """Whether a name is that of a library with documentation tests."""
        return name in self._libraries

    def of(self, announced: Announced) -> Binary:
        """Return the binary that was announced; one of which nothing is known is called by it."""
        name = announced.name
        if announced.is_doc:
            return Binary(_id(self._libraries.get(name, name), "doc", name))
        return self._binaries.get(name) or Binary(_unknown(name))

    def chosen_by(self, words: Sequence[str]) -> str:
        """Return the id of the binary that cargo's words choose: `-p weather --test it`."""
        package = words[words.index("-p") + 1] if "-p" in words[:-1] else None
        kind = next((one[2:] for one in words if one.startswith("--")), "lib")
        name = words[-1]
        if package is not None:
            return _id(package, kind, name)
        known = [one.id for one in self._binaries.values()]
        wanted = [one for one in known if one.endswith(_id("", kind, name).removeprefix("::"))]
        return wanted[0] if len(wanted) == 1 else (known[0].partition("::")[0] if known else "")

    def _manifest(self, path: str) -> dict[str, Any]:
        import tomllib

        if path not in self._manifests:
            try:
                self._manifests[path] = tomllib.loads(Path(path).read_text(encoding="utf-8"))
            except (OSError, ValueError):
                self._manifests[path] = {}
        return self._manifests[path]


def target_id(package: str, target: str) -> str:
    """Return the id of a binary as a failed build names it: `lib test`, `test "it"`, `bin "x"`."""
    found = _TARGET.match(target)
    return _id(package, found[1], found[2] or package) if found else package


def of_test(test_id: str) -> str:
    """Return the binary that a test lies in: what a file is to pytest."""
    return test_id.partition(" ")[0]


def own_id(test: TestResult, _suite: str, _root: Path) -> str:
    """Return `binary name`: the class name of a JUnit report is the binary, as nextest has it."""
    binary, separator, name = test.test_id.partition("::")
    return test.test_id if " " in test.test_id or not separator else f"{binary} {name}"


def _id(package: str, kind: str, name: str) -> str:
    if kind in ("bin", "example", "bench", "doc"):
        return f"{package}::{kind}/{name}"
    return f"{package}::{name}" if kind == "test" else package


def _unknown(stem: str) -> str:
    """A binary that no artifact told of, by its file: `weather-206f0dc735f84649`."""
    return stem.rpartition("-")[0] or stem


def _package(message: dict[str, Any]) -> str:
    """The name in a package id: `path+file:///a/weather#0.1.0`, `…#name@0.1.0`, `name 0.1 (…)`."""
    text = str(message.get("package_id", ""))
    path, _, version = text.partition("#")
    if "@" in version:
        return version.partition("@")[0]
    return path.rpartition("/")[2] if version else text.partition(" ")[0]


def _has_own_harness(manifest: dict[str, Any], kind: str, name: str) -> bool:
    tables = manifest.get(kind, [])
    tables = tables if isinstance(tables, list) else [tables]
    return any(
        isinstance(one, dict) and one.get("harness") is False and one.get("name", name) == name
        for one in tables
    )
