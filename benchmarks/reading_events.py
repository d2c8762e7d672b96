"""What it costs to look at a million events of one test: time, and the most memory at once.

    python benchmarks/reading_events.py [EVENTS]

The test logs with `bundler.testing.NdjsonLogger` into its bundle in a run, which is replayed with
a filter and without, shown, followed while it is still being recorded, and packed; then the test
bundle is read as an artifacts directory of its own. Each is a process of its own; the memory is
the largest resident set that the system saw.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bundler import bundle, live_bundle
from bundler.manifest import Command, Format, RunManifest, RunStatus
from bundler.seeds import show_seed
from bundler.testing import NdjsonLogger, ReproManifest, TestContext

TEST = "cancel_drain"
SEED = 0xDEADBEEF
KINDS = (("IoRead", "io", "DEBUG"), ("TaskPoll", "task", "TRACE"), ("TimerFired", "timer", "TRACE"))
SESSION = "5e551011"


def main() -> None:
    events = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    with tempfile.TemporaryDirectory() as temporary:
        run = Path(temporary) / "run"
        live = begun(run)
        began = time.monotonic()
        alone = logged(run / "tests", events)
        took = time.monotonic() - began
        size = (alone / "events.ndjson").stat().st_size / 1e6
        print(f"{events:,} events, {size:.0f} MB, logged in {took:.1f} s")
        follow = ["replay", f"{run}/", "--events", "--follow", "--category", "none"]
        follower = subprocess.Popen(command(follow), stdout=subprocess.DEVNULL)
        time.sleep(1)
        sealed(run, live)
        report(follow[2:], *waited(follower))
        filtered = ["--events", "--level", "DEBUG", "--category", "io"]
        for words in (
            ["replay", f"{run}/", *filtered],
            ["replay", f"{run}/", TEST, *filtered],
            ["replay", f"{run}/", TEST],
            ["replay", f"{run}/", "--events", "--json"],
            ["show", f"{run}/", TEST],
            ["verify", f"{run}/"],
            ["pack", f"{run}/", "-o", f"{temporary}/run.zip"],
            ["replay", f"{temporary}/run.zip", *filtered],
            ["replay", str(run / "tests"), *filtered],
            ["show", str(run / "tests"), TEST],
            ["export", str(run / "tests"), "--to", "junit", "-o", "-"],
        ):
            report(words, *measured(words))


def begun(directory: Path) -> live_bundle.LiveBundle:
    directory.mkdir()
    manifest = RunManifest(
        format=Format(),
        run_id="0f4c1a52-8d0e-4f7b-9a86-1f2d3c4b5a69",
        seed=SEED,
        seed_hex=show_seed(SEED),
        created_at="2026-01-02T03:04:05.000006Z",
        command=Command(argv=["pytest"], cwd="/p", runner="pytest"),
        status=RunStatus("running"),
    )
    live = live_bundle.begin(directory, manifest, started_ns=time.monotonic_ns())
    data = {"session": SESSION, "attempt": 1}
    live.append("TestStarted", category="test", message="", test_id=TEST, seed=SEED, data=data)
    return live


def logged(base: Path, events: int) -> Path:
    context = TestContext(test_id=TEST, seed=SEED, subsystem="scheduler")
    directory = base / TEST / show_seed(SEED)
    directory.mkdir(parents=True)
    with NdjsonLogger(context, path=directory / "events.ndjson") as logger:
        for number in range(events):
            event, category, level = KINDS[number % 3]
            logger.log(event, "token 17", level=level, category=category, number=number)
    ReproManifest.from_context(context, passed=True).write(directory)
    return directory


def sealed(directory: Path, live: live_bundle.LiveBundle) -> None:
    data = {"session": SESSION, "attempt": 1, "outcome": "passed", "failures": []}
    live.append("TestFinished", category="test", message="", test_id=TEST, seed=SEED, data=data)
    results = bundle.read_directory(directory).results
    live.finish(RunStatus("passed", exit_code=0), "2026-01-02T03:04:06Z", results)


def command(words: list[str]) -> list[str]:
    return [sys.executable, "-m", "bundler", *words]


def measured(words: list[str]) -> tuple[float, float]:
    return waited(subprocess.Popen(command(words), stdout=subprocess.DEVNULL))


def waited(process: subprocess.Popen[bytes]) -> tuple[float, float]:
    """Seconds of processor time, and MiB of memory."""
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"it failed with {process.returncode}")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def report(words: list[str], seconds: float, mebibytes: float) -> None:
    shown = " ".join(Path(word).name if "/" in word else word for word in words)
    print(f"{seconds:6.1f} s {mebibytes:6.0f} MiB  {shown}", flush=True)


if __name__ == "__main__":
    assert resource  # the unit of memory is that of Linux
    main()
