"""The same three mishaps for cargo-nextest's recording and for ours: a kill, a bomb, and orders.

What both did is a table in `docs/reliability.md`; `BUNDLE_UPDATE_RELIABILITY=1` writes it anew. The
nextest is that of `BUNDLE_TEST_NEXTEST`, else the one on the path; where `BUNDLE_TEST_REQUIRE` has
the word `nextest`, there has to be one.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import zstandard
from command_line import BUNDLE, Place, place
from reliability import note

REQUIRED = "nextest" in os.environ.get("BUNDLE_TEST_REQUIRE", "").replace(",", " ").split()
TOOL = (os.environ.get("BUNDLE_TEST_NEXTEST") or shutil.which("cargo-nextest") or "").split(
    os.pathsep
)[0]
HERE = bool(TOOL) and shutil.which("cargo") is not None and sys.platform == "linux"
TESTS = 20
KILLED_AFTER = 8
ORDERS = {"a title": "\x1b]0;title\x07", "a clear-screen": "\x1b[2J", "a clipboard": "\x1b]52;c;"}
MEMORY = 8 << 30

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not HERE and not REQUIRED, reason="cargo and cargo-nextest are not here"),
]


@dataclass(frozen=True)
class Both:
    """A crate for nextest and a project for us, of the same tests."""

    crate: Path
    environment: dict[str, str]
    ours: Place
    version: str

    def nextest(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["cargo", "nextest", *words],
            cwd=self.crate,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
        )


SLEEP = "std::thread::sleep(std::time::Duration::from_millis(100));"
RUST = "    #[test]\n    fn t{n:02}() {{ " + SLEEP + " }}\n"
PYTHON = "import time\n" + "".join(f"def test_{n:02}(): time.sleep(0.1)\n" for n in range(TESTS))
PRINTED = "".join(ORDERS.values()) + "aGk=\x07"


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    assert HERE, "BUNDLE_TEST_REQUIRE asks for nextest, and it is not here"
    folder = tmp_path_factory.mktemp("beside")
    (folder / "bin").mkdir()
    (folder / "bin" / "cargo-nextest").symlink_to(TOOL)
    (folder / "config" / "nextest").mkdir(parents=True)
    recorded = "[experimental]\nrecord = true\n[record]\nenabled = true\n"
    (folder / "config" / "nextest" / "config.toml").write_text(recorded)
    crate = folder / "crate"
    (crate / "src").mkdir(parents=True)
    (crate / "Cargo.toml").write_text(
        '[package]\nname = "beside"\nversion = "0.1.0"\nedition = "2021"\n[lib]\n'
    )
    orders = f"    #[test]\n    fn orders() {{ print!({_rust(PRINTED)}); panic!(); }}\n"
    tests = "".join(RUST.format(n=n) for n in range(TESTS))
    (crate / "src" / "lib.rs").write_text(f"#[cfg(test)]\nmod tests {{\n{tests}{orders}}}\n")
    ours = place(folder)
    ours.file("test_it.py", PYTHON)
    ours.file("test_orders.py", f"def test_orders():\n    print({PRINTED!r})\n    assert 0\n")
    kept = {key: value for key, value in os.environ.items() if not key.startswith("NEXTEST")}
    environment = {
        **kept,
        "PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "XDG_CONFIG_HOME": str(folder / "config"),
        "NEXTEST_STATE_DIR": str(folder / "state"),
        "NEXTEST_CACHE_DIR": str(folder / "state"),
        "NEXTEST_EXPERIMENTAL_RECORD": "1",
    }
    environment.pop("RUST_BACKTRACE", None)
    said = subprocess.run(
        ["cargo", "nextest", "--version"], env=environment, capture_output=True, text=True
    )
    found = re.search(r"cargo-nextest (\S+)", said.stdout)
    assert found, said
    made = Both(crate, environment, ours, found[1])
    assert made.nextest("run", "--no-run").returncode == 0
    yield made


def _rust(text: str) -> str:
    return '"' + "".join(f"\\x{ord(one):02x}" for one in text) + '"'


def killed_after(command: list[str], cwd: Path, env: dict[str, str], seen: str) -> int:
    """Kill a run, all of it at once, when so many tests have passed on the screen."""
    out = cwd.parent / f"screen-of-{cwd.name}"
    with out.open("wb") as file:
        child = subprocess.Popen(
            command, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=file, stderr=file,
            start_new_session=True,
        )  # fmt: skip
    deadline = time.monotonic() + 60
    while out.read_text().count(seen) < KILLED_AFTER:
        assert time.monotonic() < deadline and child.poll() is None, out.read_text()
        time.sleep(0.01)
    time.sleep(0.05)  # into the middle of the next test
    os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    return out.read_text().count(seen)


def test_a_killed_run(both: Both) -> None:
    command = ["cargo", "nextest", "run", "-j1", "-E", "not test(orders)"]
    theirs_seen = killed_after(command, both.crate, both.environment, "PASS [")
    theirs = both.nextest("replay", "--no-pager")
    shown_by_theirs = (theirs.stdout + theirs.stderr).count("PASS [")
    words = [*BUNDLE, "run", "--", sys.executable, "-m", "pytest", "-v", "test_it.py"]
    ours_seen = killed_after(words, both.ours.project, both.ours.environment(), " PASSED")
    ours = both.ours.bundle("replay", "--status-level", "all")
    shown_by_ours = len(re.findall(r"\bPASS\b.*test_\d\d", ours.stdout))
    verdicts = list(both.ours.verdicts().values())
    note(
        "nextest",
        {
            "version": both.version,
            "killed": {
                "nextest": {
                    "passed on the screen": theirs_seen,
                    "shown by replay": shown_by_theirs,
                    "exit code of replay": theirs.returncode,
                    "running test named": "tests::t" in theirs.stdout,
                },
                "bundle": {
                    "passed on the screen": ours_seen,
                    "shown by replay": shown_by_ours,
                    "exit code of replay": ours.code,
                    "running test named": verdicts.count("unfinished") == 1,
                },
            },
        },
    )
    assert ours.code == 0
    assert verdicts.count("passed") >= ours_seen >= KILLED_AFTER
    assert shown_by_ours >= ours_seen
    [running] = [name for name, verdict in both.ours.verdicts().items() if verdict == "unfinished"]
    assert running in ours.stdout


def bomb(recording: Path, target: Path) -> None:
    """The recording with a line of one gigabyte behind its log."""
    with zipfile.ZipFile(recording) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "run.log.zst":
                log = zstandard.ZstdDecompressor().decompressobj().decompress(content)
                packer = zstandard.ZstdCompressor(level=19).compressobj()
                head = packer.compress(log + b'{"kind":"')
                body = b"".join(packer.compress(b"x" * (1 << 20)) for _ in range(1024))
                content = head + body + packer.compress(b'"}\n') + packer.flush()
            new.writestr(name, content)


MEASURE = """
import json, resource, subprocess, sys, time
resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[1]),) * 2)
began = time.monotonic()
done = subprocess.run(sys.argv[2:], stdin=subprocess.DEVNULL, capture_output=True, timeout=120)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps({"exit code": done.returncode, "MiB": used.ru_maxrss >> 10,
                  "seconds": round(time.monotonic() - began, 1),
                  "said": done.stderr.decode("utf-8", "replace")[-300:]}))
"""


def measured(command: list[str], cwd: Path, env: dict[str, str]) -> dict[str, object]:
    """How a command ends in a process of its own that may have 8 GiB, and what it took."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(MEMORY), *command],
        cwd=cwd, env=env, capture_output=True, text=True, timeout=180, check=True,
    )  # fmt: skip
    found: dict[str, object] = json.loads(done.stdout)
    return found


def test_a_line_without_end(both: Both, tmp_path: Path) -> None:
    assert both.nextest("run", "-E", "test(t01)").returncode == 0
    plain, hostile = tmp_path / "plain.zip", tmp_path / "bomb.zip"
    exported = both.nextest("store", "export", "latest", "--archive-file", str(plain))
    assert exported.returncode == 0, exported.stderr
    bomb(plain, hostile)
    size = hostile.stat().st_size
    assert size < 250_000
    theirs = measured(
        ["cargo-nextest", "nextest", "replay", "--no-pager", "-R", str(hostile)],
        both.crate, both.environment,
    )  # fmt: skip
    ours = measured([*BUNDLE, "replay", str(hostile)], tmp_path, both.ours.environment())
    told = {"nextest": theirs, "bundle": ours}
    for one in told.values():
        print(one.pop("said"))
    note("bomb", {"bytes of the recording": size, **told})
    assert ours["exit code"] in (0, 3)
    assert int(str(ours["MiB"])) < 256
    assert float(str(ours["seconds"])) < 10


def test_orders_for_the_terminal(both: Both) -> None:
    both.nextest("run", "-E", "test(orders)")
    theirs = both.nextest("replay", "--no-pager", "--color", "always")
    both.ours.bundle("run", "--", sys.executable, "-m", "pytest", "test_orders.py")
    ours = both.ours.bundle("replay", "--color", "always", "--no-pager")
    seen = {
        tool: {what: order in text for what, order in ORDERS.items()}
        for tool, text in {
            "nextest": theirs.stdout + theirs.stderr,
            "bundle": ours.stdout + ours.stderr,
        }.items()
    }
    note("orders", seen)
    assert "test_orders" in ours.stdout
    assert not any(seen["bundle"].values())
    assert r"\x1b]0;title\x07" in ours.stdout
