"""What reading costs: `bundle replay` of a file of every format, of as many tests as asked for.

    python benchmarks/reading.py [--tests 100000] [--rounds 5] [--only nextest,junit]

nextest's recording is a real one multiplied: one test of a fixture, with an output of its own, as
often as asked for under other names. `cargo-nextest nextest replay` shows the same file in the same
round, and `gotestsum` the log of `go test`, where they are on the path. The other formats are
written as their tools write them: each test passes, takes a millisecond and prints 200 bytes.

Every round runs each way once, in an order that rotates. Prints the medians of the seconds by the
clock and of processor time, and the peak memory of the process.
"""

from __future__ import annotations

import argparse
import io
import json
import multiprocessing
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import zstandard

import bundler
from bundler import archive

WEATHER = Path(__file__).parent.parent / "tests" / "fixtures" / "nextest" / "weather.zip"
PRINTED = "running 1 test, line 1 of 10\n" * 7


def nextest(tests: int) -> bytes:
    """A recording of nextest, one of its tests multiplied."""
    with archive.open_zip(WEATHER, where="weather.zip") as members:
        log = zstandard.ZstdDecompressor().decompressobj().decompress(members["run.log.zst"])
        with members.nested("store.zip") as store:
            meta = {name: store[name] for name in store if name.startswith("meta/")}
        manifest = members["manifest.json"]
    lines = log.splitlines()
    first, last = lines[0], lines[-1]
    ours = [line for line in lines if b"freezing_is_zero" in line]
    started = json.loads(next(line for line in ours if b'"test-started"' in line))
    finished = json.loads(next(line for line in ours if b'"test-finished"' in line))
    names = [f"tests::test_{number:06}" for number in range(tests)]
    outputs = finished["kind"]["run-statuses"]["statuses"][0]["output"]["output"]
    outputs["stderr"] = {"status": "empty"}
    log_lines = [first]
    for number, name in enumerate(names):
        for event in (started, finished):
            event["kind"]["test-instance"]["name"] = name
            event["elapsed"] = {"secs": number // 1000, "nanos": number % 1000 * 1_000_000}
        outputs["stdout"]["file-name"] = f"{number:016x}-stdout"
        log_lines += [json.dumps(started).encode(), json.dumps(finished).encode()]
    packed = zstandard.ZstdCompressor().compress(b"\n".join([*log_lines, last]) + b"\n")
    stored = {"manifest.json": manifest, "run.log.zst": packed}
    return zipped({**stored, "store.zip": zipped(_store(meta, names))})


def _store(meta: dict[str, bytes], names: list[str]) -> dict[str, bytes]:
    tests = json.loads(meta["meta/test-list.json"])
    suite = tests["rust-suites"]["weather"]
    case = next(iter(suite["testcases"].values()))
    tests["rust-suites"] = {"weather": {**suite, "testcases": dict.fromkeys(names, case)}}
    dictionary = zstandard.ZstdCompressionDict(meta["meta/stdout.dict"])
    compressor = zstandard.ZstdCompressor(dict_data=dictionary, write_content_size=False)
    made = {**meta, "meta/test-list.json": json.dumps(tests).encode()}
    for number in range(len(names)):
        printed = f"{number}\n{PRINTED}".encode()
        made[f"out/{number:016x}-stdout"] = compressor.compress(printed)
    return made


def zipped(members: dict[str, bytes]) -> bytes:
    """A zip file that stores its members."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as made:
        for name, content in members.items():
            made.writestr(name, content)
    return target.getvalue()


def lines(objects: Iterable[dict[str, Any]]) -> bytes:
    """JSON lines."""
    return b"".join(json.dumps(one).encode() + b"\n" for one in objects)


def junit(tests: int) -> bytes:
    """A report as pytest writes it."""
    cases = (
        f'<testcase classname="tests.test_{number // 100}" name="test_{number}" time="0.001">'
        f"<system-out>{PRINTED}</system-out></testcase>\n"
        for number in range(tests)
    )
    return (
        f'<testsuites><testsuite name="pytest">{"".join(cases)}</testsuite></testsuites>'.encode()
    )


def go_test(tests: int) -> bytes:
    """What `go test -json` prints."""

    def events() -> Iterator[dict[str, Any]]:
        about = {"Time": "2026-01-02T03:04:05.5Z", "Package": "example.com/p"}
        for number in range(tests):
            test = {**about, "Test": f"Test{number}"}
            yield {"Action": "run", **test}
            yield {"Action": "output", **test, "Output": PRINTED}
            yield {"Action": "pass", **test, "Elapsed": 0.001}
        yield {"Action": "pass", **about, "Elapsed": 1.0}

    return lines(events())


def reportlog(tests: int) -> bytes:
    """What pytest-reportlog writes."""

    def reports() -> Iterator[dict[str, Any]]:
        yield {"pytest_version": "9.2.0", "$report_type": "SessionStart"}
        for number in range(tests):
            for when in ("setup", "call", "teardown"):
                report: dict[str, Any] = {
                    "nodeid": f"tests/test_{number // 100}.py::test_{number}",
                    "when": when,
                }
                printed = [["Captured stdout call", PRINTED]] if when == "teardown" else []
                report |= {"outcome": "passed", "longrepr": None, "duration": 0.0003}
                yield {**report, "sections": printed, "$report_type": "TestReport"}
        yield {"exitstatus": 0, "$report_type": "SessionFinish"}

    return lines(reports())


def libtest(tests: int) -> bytes:
    """What `cargo test -- --format json --show-output` prints."""

    def events() -> Iterator[dict[str, Any]]:
        yield {"type": "suite", "event": "started", "test_count": tests}
        for number in range(tests):
            name = f"tests::test_{number}"
            yield {"type": "test", "event": "started", "name": name}
            ended = {"event": "ok", "name": name, "exec_time": 0.001, "stdout": PRINTED}
            yield {"type": "test", **ended}
        yield {"type": "suite", "event": "ok", "passed": tests, "failed": 0}

    return lines(events())


def ctrf(tests: int) -> bytes:
    """A CTRF document."""
    found = [
        {
            "name": f"t.py::test_{n}",
            "status": "passed",
            "duration": 1,
            "stdout": PRINTED.split("\n"),
        }
        for n in range(tests)
    ]
    results = {"tool": {"name": "pytest"}, "summary": {"tests": tests}, "tests": found}
    return json.dumps({"reportFormat": "CTRF", "specVersion": "0.0.0", "results": results}).encode()


def asupersync(tests: int) -> bytes:
    """A zip of summaries, one a test."""
    summary: dict[str, Any] = {
        "passed": True,
        "total_assertions": 1,
        "passed_assertions": 1,
        "duration_ms": 1,
    }
    summary |= {"failed_assertions": 0, "phases": [], "failure_artifacts": [], "event_stats": {}}
    return zipped(
        {
            f"test_{number}_summary.json": json.dumps(
                {"test_name": f"test_{number}", **summary}
            ).encode()
            for number in range(tests)
        }
    )


FORMATS: dict[str, tuple[Callable[[int], bytes], str]] = {
    "nextest": (nextest, "zip"),
    "junit": (junit, "xml"),
    "go test": (go_test, "json"),
    "reportlog": (reportlog, "jsonl"),
    "libtest": (libtest, "json"),
    "ctrf": (ctrf, "json"),
    "asupersync": (asupersync, "zip"),
}


def ways(files: dict[str, Path]) -> dict[str, tuple[str, list[str]]]:
    """The commands to compare by name, each with the format that it reads."""
    replay = [sys.executable, "-m", "bundler", "replay", "--no-pager"]
    found = {name: (name, [*replay, str(path)]) for name, path in files.items()}
    cargo_nextest = os.environ.get("CARGO_NEXTEST") or shutil.which("cargo-nextest")
    if "nextest" in files and cargo_nextest:
        theirs = [cargo_nextest, "nextest", "replay", "--no-pager", "-R", str(files["nextest"])]
        found["nextest, by nextest"] = ("nextest", theirs)
    gotestsum = shutil.which("gotestsum")
    if "go test" in files and gotestsum:
        theirs = [gotestsum, "--format", "standard-verbose", "--raw-command", "--"]
        found["go test, by gotestsum"] = ("go test", [*theirs, "cat", str(files["go test"])])
    return found


def write(name: str, path: Path, tests: int) -> None:
    """Write a file of a format."""
    path.write_bytes(FORMATS[name][0](tests))


def measure(command: list[str], folder: Path) -> tuple[float, float, float]:
    """Seconds by the clock, of processor time, and the peak of memory in MiB."""
    began = time.perf_counter()
    here = str(Path(bundler.__file__).parent.parent)
    env = {
        **os.environ,
        "PYTHONPATH": here,
        "XDG_CONFIG_HOME": str(folder),
        "BUNDLE_STORE": str(folder / "store"),
    }
    process = subprocess.Popen(
        command, cwd=folder, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, command
    taken = time.perf_counter() - began
    return taken, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tests", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default=",".join(FORMATS))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder, files = Path(name), {}
        (folder / "nextest").mkdir()
        (folder / "nextest" / "config.toml").write_text("[experimental]\nrecord = true\n")
        for number, one in enumerate(options.only.split(",")):
            files[one] = folder / f"{number}.{FORMATS[one][1]}"
            # In a process of its own: a child starts with the peak of the memory of its parent.
            writing = multiprocessing.Process(target=write, args=(one, files[one], options.tests))
            writing.start()
            writing.join()
        commands = ways(files)
        times: dict[str, list[tuple[float, float, float]]] = {way: [] for way in commands}
        for number in range(options.rounds + 1):
            names = list(commands)
            for way in names[number % len(names) :] + names[: number % len(names)]:
                taken = measure(commands[way][1], folder)
                if number:  # the first round warms the caches
                    times[way].append(taken)
        print(f"{options.tests:,} tests, {options.rounds} rounds, medians")
        for way, (read, _) in commands.items():
            clock, processor, memory = (
                statistics.median(one[index] for one in times[way]) for index in range(3)
            )
            ratio = clock / statistics.median(one[0] for one in times[read])
            size = files[read].stat().st_size / (1 << 20)
            print(
                f"{way:22} {clock:6.2f} s  {processor:6.2f} s of processor  {memory:5.0f} MiB"
                f"  of {size:4.0f} MiB  {ratio:5.2f} of ours"
            )


if __name__ == "__main__":
    main()
