"""The real cargo-nextest, told to record, over a crate of the fixtures.

`CARGO_NEXTEST` or `BUNDLE_TEST_NEXTEST` names the executables to try (as PATH names directories),
else it is the one on the path; where `BUNDLE_TEST_REQUIRE` has the word `nextest`, there has to be
one.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path

FIXTURES = Path(__file__).parent / "fixtures" / "nextest"
REQUIRED = "nextest" in os.environ.get("BUNDLE_TEST_REQUIRE", "").replace(",", " ").split()
NAMED = os.environ.get("BUNDLE_TEST_NEXTEST") or os.environ.get("CARGO_NEXTEST")
TOOLS = (NAMED or shutil.which("cargo-nextest") or "").split(os.pathsep)
HERE = bool(TOOLS[0]) and shutil.which("cargo") is not None
MISSING = "cargo and cargo-nextest are not here"

RECORDED = "[experimental]\nrecord = true\n[record]\nenabled = true\n"
TRUNCATED = RECORDED + 'max-output-size = "2000B"\n'


def named(tool: str) -> str:
    """The name of an executable in the id of a test: the environment that it is in."""
    return Path(tool).parent.parent.name


@dataclass(frozen=True)
class Nextest:
    """One cargo-nextest, with a crate and a store of its own."""

    crate: Path
    environment: dict[str, str]

    def start(self, *words: str, **environment: str) -> subprocess.Popen[bytes]:
        """Start `cargo-nextest nextest` with these words; its own process gets the signals."""
        return subprocess.Popen(
            ["cargo-nextest", "nextest", *words],
            cwd=self.crate,
            env={**self.environment, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def run(self, *words: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
        """Run `cargo nextest` with these words."""
        return subprocess.run(
            ["cargo", "nextest", *words],
            cwd=self.crate,
            env={**self.environment, **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=300,
        )

    def exported(self, name: str = "latest") -> Path:
        """The portable recording of a run."""
        path = self.crate.parent / f"{name}-{len(list(self.crate.parent.iterdir()))}.zip"
        done = self.run("store", "export", name, "--archive-file", str(path))
        assert done.returncode == 0, done.stderr
        return path

    def junit(self) -> ET.Element:
        """The report of the last run."""
        return ET.parse(self.crate / "target" / "nextest" / "default" / "junit.xml").getroot()


def nextest_at(place: Path, tool: str, crate: str) -> Nextest:
    """Lay a crate of the fixtures down, and put this executable on its path."""
    assert HERE, f"BUNDLE_TEST_REQUIRE asks for nextest: {MISSING}"
    (place / "bin").mkdir()
    (place / "bin" / "cargo-nextest").symlink_to(tool)
    for name, text in (("config", RECORDED), ("truncating", TRUNCATED)):
        (place / name / "nextest").mkdir(parents=True)
        (place / name / "nextest" / "config.toml").write_text(text)
    shutil.copytree(FIXTURES / crate, place / "crate")
    kept = {key: value for key, value in os.environ.items() if not key.startswith("NEXTEST")}
    kept.pop("RUST_BACKTRACE", None)
    return Nextest(
        place / "crate",
        {
            **kept,
            "PATH": f"{place / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "XDG_CONFIG_HOME": str(place / "config"),
            "NEXTEST_STATE_DIR": str(place / "state"),
            "NEXTEST_CACHE_DIR": str(place / "state"),
            "NEXTEST_EXPERIMENTAL_LIBTEST_JSON": "1",
            "NEXTEST_EXPERIMENTAL_BENCHMARKS": "1",
            "CARGO_TERM_COLOR": "never",
        },
    )
