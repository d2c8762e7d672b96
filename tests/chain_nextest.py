"""One side of a chain: a crate whose tests are read from a file, under the real cargo-nextest.

Its test binaries have a harness of their own that lists and runs what the file says, so that a test
comes and goes without a build. A binary is built once and leaves by leaving Cargo.toml.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import zstandard
from chain_steps import FILES, Start, Step, Test

PACKAGE = '[package]\nname = "chain"\nversion = "0.0.0"\nedition = "2021"\nautotests = false\n'
TARGET = '\n[[test]]\nname = "{0}"\npath = "{0}.rs"\nharness = false\n'
HARNESS = r"""
use std::{env, fs, process::exit};

fn main() {
    let words: Vec<String> = env::args().collect();
    let told = |word: &str| words.iter().any(|one| one == word);
    let text = fs::read_to_string(env::var("CHAIN_TESTS").unwrap()).unwrap();
    for line in text.lines() {
        let parts: Vec<&str> = line.split(' ').collect();
        let (file, name, outcome) = (parts[0], parts[1], parts[2]);
        if file != FILE {
            continue;
        }
        if told("--list") {
            if outcome == "skip" || !told("--ignored") {
                println!("{name}: test");
            }
        } else if told(name) {
            exit(if outcome == "fail" { 101 } else { 0 });
        }
    }
    exit(if told("--list") { 0 } else { 2 });
}
"""
RECORDED = "[experimental]\nrecord = true\n[record]\nenabled = true\n"
PRIORITY = (
    '[[profile.default.overrides]]\nfilter = "binary_id(=chain::{}) & test(={})"\npriority = {}\n'
)


@dataclass(frozen=True)
class Outcome:
    """What one step came to: what ran and how, the sets before it, the count that it printed."""

    ran: dict[Test, str]
    passing: set[Test]
    outstanding: set[Test]
    exit_code: int
    said_outstanding: int | None


@dataclass(frozen=True)
class Crate:
    """The crate, and the recordings that nextest makes of it."""

    root: Path
    cargo_nextest: str

    def create(self) -> None:
        """Lay the crate down, with all of its binaries."""
        for folder in ("src", "bin", ".config"):
            (self.root / folder).mkdir(parents=True)
        (self.root / "bin" / "cargo-nextest").symlink_to(self.cargo_nextest)
        (self.root / "src" / "lib.rs").touch()
        (self.root / "recorded.toml").write_text(RECORDED)
        (self.root / "harness.rs").write_text(HARNESS)
        for file in FILES:
            source = f'const FILE: &str = "{file}";\ninclude!("harness.rs");\n'
            (self.root / f"{file}.rs").write_text(source)

    def run(self, step: Step, order: Sequence[Test]) -> Outcome:
        """Carry a step out, its tests in this order as far as they are in it."""
        targets = "".join(TARGET.format(file) for file in step.files)
        (self.root / "Cargo.toml").write_text(PACKAGE + targets)
        tests = "".join(f"{file} {name} {how}\n" for (file, name), how in step.tests.items())
        (self.root / "tests.txt").write_text(tests)
        priorities = [PRIORITY.format(*test, 100 - at) for at, test in enumerate(order)]
        (self.root / ".config" / "nextest.toml").write_text("".join(priorities))
        done = self._nextest(words(step))
        said = done.stderr.decode()
        run_id = re.search(r"Nextest run ID (\S+)", said)
        assert run_id, said
        [directory] = (self.root / "state").rglob(run_id[1])
        info = _member(directory / "store.zip", "meta/rerun-info.json")
        return Outcome(
            ran=dict(_ran(directory / "run.log.zst")),
            passing=_set(info, "passing"),
            outstanding=_set(info, "outstanding"),
            exit_code=done.returncode,
            said_outstanding=_said(said),
        )

    def _nextest(self, words: Sequence[str]) -> subprocess.CompletedProcess[bytes]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith("NEXTEST")}
        return subprocess.run(
            ["cargo", "nextest", "run", "--user-config-file", "recorded.toml", "-j1", *words],
            cwd=self.root,
            env={
                **kept,
                "PATH": f"{self.root / 'bin'}{os.pathsep}{os.environ['PATH']}",
                "CHAIN_TESTS": str(self.root / "tests.txt"),
                "NEXTEST_STATE_DIR": str(self.root / "state"),
                "NEXTEST_CACHE_DIR": str(self.root / "state"),
                "CARGO_NET_OFFLINE": "true",
                "CARGO_TERM_COLOR": "never",
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=120,
        )


def words(step: Step) -> list[str]:
    """Return the words of a step's `cargo nextest run`."""
    rerun = [] if step.start is Start.RUN else ["-R", "latest"]
    limit = ["--max-fail", str(step.max_fail)] if step.max_fail else ["--no-fail-fast"]
    return [*rerun, *limit, *([step.filter] if step.filter else [])]


def _said(text: str) -> int | None:
    """The count of outstanding tests that it prints after a rerun without a failure."""
    if "no outstanding tests remain" in text:
        return 0
    found = re.search(r"(\d+) outstanding tests? (still )?remains?", text)
    return int(found[1]) if found else None


def _ran(log: Path) -> Iterator[tuple[Test, str]]:
    with log.open("rb") as file:
        text = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True).read()
    for line in text.splitlines():
        kind = json.loads(line)["kind"]
        if kind["kind"] == "test-finished":
            instance = kind["test-instance"]
            [status] = kind["run-statuses"]["statuses"]
            yield _test(instance["binary-id"], instance["name"]), status["result"]["status"]


def _member(archive: Path, name: str) -> dict[str, Any]:
    """One member of its store: zip method 93, which is zstd. Nothing of a run that is no rerun."""
    with ZipFile(archive) as opened:
        found = [one for one in opened.infolist() if one.filename == name]
    if not found:
        return {"test-suites": []}
    content = archive.read_bytes()[found[0].header_offset :]
    start = 30 + int.from_bytes(content[26:28], "little") + int.from_bytes(content[28:30], "little")
    packed = content[start : start + found[0].compress_size]
    document: dict[str, Any] = json.loads(
        zstandard.ZstdDecompressor().decompressobj().decompress(packed)
    )
    return document


def _set(info: dict[str, Any], which: str) -> set[Test]:
    return {_test(one["binary_id"], name) for one in info["test-suites"] for name in one[which]}


def _test(binary_id: str, name: str) -> Test:
    return binary_id.removeprefix("chain::"), name
