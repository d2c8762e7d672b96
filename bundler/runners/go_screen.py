"""What `go test` would have printed, from the lines of `go test -json`.

| `go test` | shows |
|---|---|
| `-v` | everything, a package at a time |
| of the package here (none is named), or `-bench` | what tests print and what failed, as it comes |
| of packages that are named | the same where the package failed, else its last line |

With `-v` Go 1.20 and later name the test again where the one that logs is another than before
(`=== NAME`): `-json` leaves these lines out, so they are put in again. Not known is the `exit
status` that go shows of a package that ended without a word. Before Go 1.20 no package says that it
starts, so they are shown in the order in which they first spoke.

What a test logs is shown where the test failed, below it; what it prints is shown at once. In the
stream both are lines: one of four spaces, a file and a line is a log, and so are those below it
that are further in. A test's print that looks like a log is therefore taken for one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

_FRAME = re.compile(r"=== (?:RUN|PAUSE|CONT|NAME) +\S")
_END = re.compile(r"--- (PASS|FAIL|SKIP|BENCH): (\S+) \([0-9.]+s\)\n?$")
_LOG = re.compile(r"    \S.*?\.go:[0-9]+: ")
_LAST = re.compile(r"(?:ok  |\?   |FAIL|---)\t")
_BENCHMARK = re.compile(r"Benchmark\S*\n?")
_NOT_BUILT = re.compile(rb"FAIL\t\S+ \[(?:build|setup) failed\]")
_LONGEST = 2000  # of a line that is looked at: the patterns take time that grows with it


@dataclass
class _Test:
    """One test: what it logged, and where between that its subtests began."""

    name: str
    items: list[str | _Test] = field(default_factory=list)
    paused: bool = False
    failed: str = ""
    logging: bool = False


@dataclass
class _Package:
    """One package: what is to be shown of it, and its tests that go on."""

    name: str
    shown: list[str] = field(default_factory=list)
    last: str = ""
    speaking: str = ""
    tests: dict[str, _Test] = field(default_factory=dict)
    reporting: _Test | None = None
    failed: bool = False
    over: bool = False


class Screen:
    """What is shown of each line; a package that is not streamed is shown when it has ended.

    `verbose` is `-v`; `streams` whether go would not wait for the package's end; `raw` whether the
    lines themselves are what the person asked for.
    """

    def __init__(self, *, verbose: bool, streams: bool, raw: bool = False) -> None:
        self._verbose = verbose
        self._streams = streams
        self._raw = raw
        self._packages: dict[str, _Package] = {}
        self._failed = False
        self._names = False

    def show(self, line: dict[str, Any]) -> bytes | None:
        """Return what is shown in place of one line of the stream; None is the line itself."""
        if self._raw:
            return None
        name, test, output = (line.get(key) for key in ("Package", "Test", "Output"))
        action = line.get("Action")
        if action in ("build-output", "build-fail"):
            return _bytes(output if isinstance(output, str) else "")
        self._names = self._names or action == "start"
        package = self._package(str(name or ""))
        if action == "output" and isinstance(output, str):
            self._output(package, str(test) if test else None, output)
        elif action == "run" and isinstance(test, str) and not self._verbose:
            _start(package, test)
        elif action == "pause" and isinstance(test, str) and test in package.tests:
            package.tests[test].paused = True
        elif action in ("pass", "fail", "skip") and not test:
            self._end(package, failed=action == "fail")
        return _bytes(self._ready())

    def note(self, line: bytes) -> None:
        """Take a line that is not of the stream: before Go 1.24 a build fails in plain words."""
        self._failed = self._failed or bool(_NOT_BUILT.match(line))

    def end(self) -> bytes:
        """Return what is left at the end of the stream."""
        for package in self._packages.values():
            _report(package)
            package.over = package.failed = True
        rest = self._ready()
        last = "FAIL\n" if self._failed and not self._streams and not self._raw else ""
        return _bytes(rest + last)

    def _package(self, name: str) -> _Package:
        if name not in self._packages:
            self._packages[name] = _Package(name)
        return self._packages[name]

    def _output(self, package: _Package, test: str | None, output: str) -> None:
        if self._verbose:
            package.shown.append(self._named_again(package, test, output) + output)
        elif len(output) > _LONGEST:
            package.shown.append(output)
        elif test is None and _BENCHMARK.fullmatch(output):
            return
        elif test is None:
            _report(package)
            package.shown.append(output)
        else:
            _of_test(package, test, output)
        if test is None and _LAST.match(output):
            package.last = output

    def _named_again(self, package: _Package, test: str | None, output: str) -> str:
        logs = len(output) < _LONGEST and _LOG.match(output)
        before = package.speaking
        if test is not None and (
            logs or output.startswith("=== ") or _END.match(output[:_LONGEST].lstrip(" "))
        ):
            package.speaking = test
        return f"=== NAME  {test}\n" if self._names and logs and before != test else ""

    def _end(self, package: _Package, *, failed: bool) -> None:
        _report(package)
        package.over, package.failed = True, failed
        self._failed = self._failed or failed

    def _ready(self) -> str:
        """What can be shown: packages follow one another as they were started."""
        shown = ""
        for package in list(self._packages.values()):
            if package.over and not (package.failed or self._streams or self._verbose):
                package.shown = [package.last]
            if package.over or self._streams or (self._verbose and len(self._packages) == 1):
                shown += "".join(package.shown)
                package.shown.clear()
            if not package.over:
                break
            del self._packages[package.name]
        return shown


def _start(package: _Package, name: str) -> None:
    test = _Test(name)
    above = _above(package, name)
    if above is not None:
        above.items.append(test)
    package.tests[name] = test


def _above(package: _Package, name: str) -> _Test | None:
    """The test that a subtest is of: its own name may hold a slash too."""
    while "/" in name:
        name = name.rpartition("/")[0]
        if name in package.tests:
            return package.tests[name]
    return None


def _of_test(package: _Package, name: str, output: str) -> None:
    """Take what a test printed, of what `-v` adds only what belongs to a failure."""
    if _FRAME.match(output) or _BENCHMARK.fullmatch(output):
        return
    if (found := _END.search(output)) and found[2] == name:
        before = output[: found.start()]
        if before.strip(" "):  # printed without the end of its line
            _report(package)
            package.shown.append(before)
        _ended(package, name, found[0], failed=found[1] == "FAIL")
        return
    test = package.tests.get(name)
    if test is not None and not name.startswith("Benchmark") and _logs(test, output):
        test.items.append(output[4:])
        return
    _report(package)
    package.shown.append(output)


def _logs(test: _Test, output: str) -> bool:
    test.logging = bool(_LOG.match(output)) or (test.logging and output.startswith("        "))
    return test.logging


def _ended(package: _Package, name: str, line: str, *, failed: bool) -> None:
    """A test is over; what is below it follows in the stream, so it is shown a little later."""
    test = package.tests.get(name)
    if test is None:
        return
    test.failed = line if failed else ""
    above = _above(package, name)
    if above is None:
        _report(package)
        package.reporting = test if failed else None
    elif test.paused and test in above.items:
        above.items.remove(test)  # it went on when the test above it was through
        above.items.append(test)


def _report(package: _Package) -> None:
    """Show the test that failed last, with all that belongs to it."""
    test, package.reporting = package.reporting, None
    if test is not None:
        package.shown.append(_told(test))


def _told(test: _Test) -> str:
    below = "".join(
        item if isinstance(item, str) else _told(item) if item.failed else "" for item in test.items
    )
    return test.failed + "".join(f"    {line}" for line in below.splitlines(keepends=True))


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
