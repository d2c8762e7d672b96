"""`go test -json`: what test2json wrote, as a run.

The format (https://pkg.go.dev/cmd/test2json) is a line of JSON for each thing that happened:
`Time Action Package Test Elapsed Output`, and of a build `ImportPath`, `FailedBuild`. Actions:
`start run pause cont pass fail skip bench output build-output build-fail attr`.

| in the log | what it becomes |
|---|---|
| a package | a session; `-test.shuffle N` is the seed of its tests |
| a test or subtest | a test `package::Test/sub` |
| the same test again, its package still running (`-count`) | a further occurrence |
| a failed test again when its package starts again (gotestsum) | a further attempt |
| a test without an end in a package that passed | passed: a benchmark has no end |
| in one that failed | crashed if it panicked, timed out if the package did, else unfinished |
| a package that failed without a failed test | a `CollectionFailed`: a build, an `init` |
| a line that is no JSON | `RunOutput`: what a build printed in between |

Lines that only repeat the events (`=== RUN`, `--- PASS`) are left out of a test's output.
"""

from __future__ import annotations

import re
from typing import IO, Any

from bundler.archive import Members
from bundler.errors import DamagedRecording
from bundler.formats.go_package import Package, keep
from bundler.json_lines import first_objects, objects
from bundler.recording import Recording
from bundler.times import UNKNOWN_TIME, epoch_microseconds, rfc3339
from bundler.translation import Translation

NAME = "go test -json"

_ACTIONS = frozenset(
    {
        *("start", "run", "pause", "cont", "output", "attr", "build-output", "build-fail"),
        *("pass", "fail", "skip", "bench"),
    }
)
_BUILDS = re.compile(rb"# (\S{1,2000})(?: \[\S+\])?\s*$")
_BUILD_FAILED = re.compile(rb"FAIL\t(\S{1,2000}) \[(?:build|setup) failed\]\s*$")
_PATIENCE = 1000


def recognises(head: bytes) -> bool:
    """Whether these are the first bytes of such a log; a build may have printed before it."""
    return any(
        str(one.get("Action")) in _ACTIONS
        and ({"Package", "Test", "ImportPath", "Time"} & one.keys())
        for one in first_objects(head)
    )


def read(source: IO[bytes] | Members, *, where: str) -> Recording:
    """Read a log. Raises DamagedRecording where no line of it is an event."""
    assert not isinstance(source, Members)
    translation = Translation(source, where=where, format=NAME, runner="go test")
    reading = Reading(translation)
    for line in objects(source, translation.problems):
        reading.take(line)
    return reading.end()


class Reading:
    """One walk through a log: which package a line is of, and what was said of builds."""

    def __init__(self, translation: Translation) -> None:
        self.translation = translation
        self.packages: dict[str, Package] = {}
        self.builds: dict[str, list[str]] = {}
        self.building = ""
        self.origin_us: int | None = None
        self.waiting: list[dict[str, Any] | bytes] | None = []
        self.events = 0

    def take(self, line: dict[str, Any] | bytes) -> None:
        """Take the next line; a build, which has no times, waits for the first event that has."""
        if self.waiting is None:
            self._handle(line)
            return
        self.waiting.append(line)
        timed = isinstance(line, dict) and epoch_microseconds(line.get("Time")) is not None
        if timed or len(self.waiting) == _PATIENCE:
            self._stop_waiting()

    def _stop_waiting(self) -> None:
        lines, self.waiting = self.waiting or [], None
        last = lines[-1] if lines else b""
        epoch_us = None if isinstance(last, bytes) else epoch_microseconds(last.get("Time"))
        self.origin_us = epoch_us
        started_at = UNKNOWN_TIME if epoch_us is None else rfc3339(epoch_us)
        self.translation.run_started(started_at=started_at)
        for line in lines:
            self._handle(line)

    def _handle(self, line: dict[str, Any] | bytes) -> None:
        if isinstance(line, bytes):
            self.translation.run_output(line + b"\n")
            self._plain(line)
            return
        action, name, test = line.get("Action"), line.get("Package"), line.get("Test")
        if not isinstance(action, str) or action not in _ACTIONS:
            self.translation.event("Unknown", data=line)
            return
        self.events += 1
        now_us = self._now(line.get("Time"))
        if action in ("build-output", "build-fail"):
            self._build(line)
            return
        package = self._package(name if isinstance(name, str) else "")
        if isinstance(test, str) and test:
            package.take_of_test(test, action, line, now_us)
        else:
            built = self.builds.get(str(line.get("FailedBuild"))) or self.builds.get(package.name)
            package.take(action, line, now_us, built or [])

    def end(self) -> Recording:
        """Return what was read. Raises DamagedRecording where no line of it was an event."""
        if not self.stop():
            raise DamagedRecording(f"{self.translation.where} holds no event of go test")
        seeds = {one.seed for one in self.packages.values()}
        seed = seeds.pop() if len(seeds) == 1 else None
        cut = any(one.runs for one in self.packages.values())
        return self.translation.finished(seed=seed, cut=cut)

    def stop(self) -> int:
        """Nothing more comes: tell what waited, and return how many events there were."""
        if self.waiting is not None:
            self._stop_waiting()
        if self.events:
            for package in self.packages.values():
                if package.runs:
                    package.begin()
        return self.events

    def _now(self, time: object) -> int | None:
        """When an event happened, since the run started."""
        epoch_us = epoch_microseconds(time)
        return None if epoch_us is None or self.origin_us is None else epoch_us - self.origin_us

    def _plain(self, line: bytes) -> None:
        """A build speaks plainly before Go 1.24, and where it is told to."""
        if found := _BUILD_FAILED.match(line):
            package = self._package(found[1].decode("utf-8", "replace"))
            if not package.failed_to_build:
                said = found[0].decode("utf-8", "replace")
                package.did_not_build(self.builds.get(package.name) or [said], said)
                self.building = ""
        elif found := _BUILDS.match(line):
            self.building = found[1].decode("utf-8", "replace")
        elif line.startswith((b"FAIL", b"ok  ", b"?   ")):
            self.building = ""
        if self.building:
            text = line.decode("utf-8", "replace") + "\n"
            keep(self.builds.setdefault(self.building, []), text)

    def _build(self, line: dict[str, Any]) -> None:
        output = line.get("Output")
        if isinstance(output, str):
            self.translation.run_output(output, stream="stderr")
            keep(self.builds.setdefault(str(line.get("ImportPath", "")), []), output)

    def _package(self, name: str) -> Package:
        package = self.packages.get(name)
        if package is None:
            package = self.packages[name] = Package(self.translation, name)
        elif not package.runs:
            package.start_again()
        return package
