"""What `cargo test` prints for people, as the events of its tests, while it prints it.

    stderr       Running tests/it.rs (target/debug/deps/it-82c4b2124299e431)
    stdout  running 2 tests
    stdout  test shared ... ok
    stdout  test fails ... FAILED
    stdout  failures:
    stdout  ---- fails stdout ----
    stdout  …
    stdout  test result: FAILED. 1 passed; 1 failed; …

Which binary is which is known from the artifacts (`bundler.runners.cargo_binaries`). Where stdout
and stderr are two streams, the k-th `running` is of the k-th `Running`; a target with a harness of
its own is passed over where the next one has been announced.

| in the output | what it becomes |
|---|---|
| a binary that runs | a session; its id is nextest's: `package`, `package::it`, `package::bin/x` |
| documentation tests | a session `package::doc/library` |
| `test NAME … ok` | a test `binary NAME`, with no time of its own: none is printed |
| a binary that says nothing of tests | a test of the binary's id: it failed if cargo says so |
| a binary without `test result` | a `CollectionFailed`; the test that it was in, if told, crashed |
| what could not be compiled | a `CollectionFailed` of the target |
| a failed test | finished when what it printed has been told, below all tests |

`-q` names only what failed: the others are counted in a warning.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

from bundler.formats.rust_panics import panic_in
from bundler.results import Failure, Verdict
from bundler.runners.cargo_binaries import Announced, Binaries, Binary, target_id
from bundler.times import rfc3339
from bundler.translation import Execution, Translation

LONGEST = 4000
"""Characters of a line that is looked at closely."""

_STYLE = re.compile(rb"\x1b\[[0-9;:?]*[A-Za-z]|\x1b[()][A-Z0-9]|[\x0e\x0f]")
"""How terminals are told to change colours and back, and to erase a line, by their terminfo."""

_RUNNING = re.compile(r"\s*Running (?:.*\()?([^()\s]+?)(?:\.exe)?\)?$")
_DOC_TESTS = re.compile(r"\s*Doc-tests (\S+)$")
_BEGINS = re.compile(r"running ([0-9]+) tests?$")
_ENDS = re.compile(r"test result: (ok|FAILED)\. ([0-9]+) passed; ")
_TEST = re.compile(
    r"test (?P<name>.+?)(?: - should panic| - compile fail| - compile)? \.\.\. (?P<rest>.*)$"
)
_RESULT = re.compile(r"(ok|FAILED|ignored|bench:)(?:, (.*)|\s.*)?$")
_QUIET_FAILURE = re.compile(r"(?P<name>\S.*?)(?: - should panic| - compile fail)? --- FAILED$")
_SECTION = re.compile(r"---- (?P<name>.+) (?P<stream>stdout|stderr) ----$")
_NOT_COMPILED = re.compile(r"error: could not compile `([^`]+)` \((.+?)\) due to")
_FAILED = re.compile(r"error: test failed, to rerun pass `(.+)`$")
_ENDED_BADLY = re.compile(r"\s*process didn't exit successfully: .* \((.+)\)$")
_VERDICTS = {
    "ok": Verdict.PASSED,
    "FAILED": Verdict.FAILED,
    "ignored": Verdict.SKIPPED,
    "bench:": Verdict.PASSED,
}


@dataclass
class _Block:
    """One binary that runs: from `running` to `test result`."""

    binary: Binary
    session: str
    expected: int
    order: int = 0
    passed: int = 0
    open: dict[str, Execution] = field(default_factory=dict)
    failed: dict[str, tuple[Execution, int]] = field(default_factory=dict)
    printed: dict[str, list[str]] = field(default_factory=dict)
    current: str | None = None
    section: str | None = None
    telling: bool = False


class CargoOutput:
    """The output of one `cargo test`, line by line; `end` when it is over."""

    def __init__(self, translation: Translation, runner: str) -> None:
        self._translation = translation
        self._runner = runner
        self._began_ns = time.monotonic_ns()
        self._binaries = Binaries()
        self._announced: list[Announced] = []
        self._waiting: list[list[str]] = []
        self._block: _Block | None = None
        self._why = ""
        self._silent: list[Announced] = []
        self._red: set[str] = set()
        self._told_failed: set[str] = set()
        self._broken: dict[str, list[str]] = {}
        self._said: list[str] = []
        translation.run_started(started_at=rfc3339(time.time_ns() // 1000))

    def artifact(self, message: dict[str, Any]) -> None:
        """Take what cargo tells of a thing it built."""
        self._binaries.take(message)

    def note(self, stream: str, line: bytes) -> None:
        """Take a whole line that was printed."""
        last = _STYLE.sub(b"", line).rstrip(b"\r").rpartition(b"\r")[2]  # behind a progress bar
        text = last.decode("utf-8", "replace")
        if len(text) > LONGEST:
            self._printed(text)
            return
        if stream != "stdout" and self._of_cargo(text, alone=stream == "stderr"):
            return
        if stream == "stdout" and self._of_cargo(text, alone=False, merged=True):
            return
        if stream != "stderr":
            self._of_binary(text)

    def end(self) -> None:
        """Nothing more comes."""
        while self._waiting:
            self._begin(Binary(""))
        self._close()
        for one in (*self._silent, *self._announced):
            self._tell_silent(self._binaries.of(one).id)
        for node, said in self._broken.items():
            session = self._session(node)
            message = next((one for one in said if one.startswith("error")), said[0])
            failure = Failure("collect", message, traceback="\n".join(said))
            self._translation.collection_failed(session, node, [failure], ts_us=self._now())
            self._translation.session_finished(session, exit_status=101, ts_us=self._now())

    def _tell_silent(self, node: str) -> None:
        """A binary with a harness of its own is one test."""
        session = self._session(node)
        execution = Execution(session, node)
        failed = node in self._told_failed and node not in self._red
        self._translation.test_started(execution, order=0, ts_us=self._now())
        self._translation.test_finished(
            execution,
            Verdict.FAILED if failed else Verdict.PASSED,
            failures=[Failure("call", "its own harness failed")] if failed else [],
            ts_us=self._now(),
        )
        self._translation.session_finished(session, exit_status=int(failed), ts_us=self._now())

    # What cargo says

    def _of_cargo(self, text: str, *, alone: bool, merged: bool = False) -> bool:
        """Take a line of cargo's own; `merged` where it can only be one if the streams are one.

        Then what a test prints might look like one, once a binary has been announced.
        """
        if found := _RUNNING.match(text):
            stem = PurePath(found[1].replace("\\", "/")).name
            if merged and not self._binaries.has(stem):
                return False
            self._announce(Announced(stem), alone=alone)
        elif found := _DOC_TESTS.match(text):
            if merged and not self._binaries.has_library(found[1]):
                return False
            self._announce(Announced(found[1], is_doc=True), alone=alone)
        elif merged and (self._announced or self._waiting or self._block):
            return False
        elif found := _FAILED.match(text):
            self._told_failed.add(self._binaries.chosen_by(found[1].split()))
        elif found := _ENDED_BADLY.match(text):
            self._why = found[1]
        elif found := _NOT_COMPILED.match(text):
            self._broken.setdefault(target_id(found[1], found[2]), [*self._said, text])
        else:
            self._said = [*self._said[-200:], text]
            return False
        return True

    def _announce(self, announced: Announced, *, alone: bool) -> None:
        if not alone:  # one stream: what was printed before is of the binary before
            self._close()
            self._silent += self._announced
            self._announced.clear()
        self._announced.append(announced)
        if self._waiting:
            self._begin(self._binaries.of(self._announced.pop(0)))

    # What a binary says

    def _of_binary(self, text: str) -> None:
        if _BEGINS.match(text):
            self._close()
            self._waiting.append([text])
            while len(self._announced) > 1 and self._binaries.of(self._announced[0]).own_harness:
                self._silent.append(self._announced.pop(0))
            if self._announced:
                self._begin(self._binaries.of(self._announced.pop(0)))
        elif self._waiting:
            self._waiting[-1].append(text)
        elif self._block is not None:
            self._in_block(self._block, text)

    def _begin(self, binary: Binary) -> None:
        """A binary runs, and which it is, is known: take what it has said so far."""
        self._close()
        lines = self._waiting.pop(0)
        found = _BEGINS.match(lines[0]) if lines else None
        self._block = _Block(binary, self._session(binary.id), int(found[1]) if found else 0)
        for line in lines[1:]:
            if self._block is not None:
                self._in_block(self._block, line)

    def _session(self, suite: str) -> str:
        return self._translation.session_started(
            self._runner, suite=suite or None, ts_us=self._now()
        )

    def _in_block(self, block: _Block, text: str) -> None:
        if found := _ENDS.match(text):
            self._finish(block, int(found[2]), failed=found[1] == "FAILED")
        elif block.telling:
            self._in_section(block, text)
        elif text in ("failures:", "successes:"):
            block.telling, block.section, block.current = True, None, None
        elif found := _TEST.match(text):
            self._test(block, found["name"], found["rest"])
        elif block.current is not None and text in _VERDICTS:
            self._settle(block, block.current, text)
        elif found := _QUIET_FAILURE.match(text):
            self._settle(block, found["name"], "FAILED")
        else:
            self._printed(text)

    def _test(self, block: _Block, name: str, rest: str) -> None:
        """A test that has ended, or, one at a time, one that has begun and prints."""
        self._start(block, name)
        if found := _RESULT.match(rest):
            self._settle(block, name, found[1], found[2])
        else:
            block.current = name
            self._printed(rest)

    def _start(self, block: _Block, name: str) -> Execution:
        if name not in block.open:
            test_id = f"{block.binary.id} {name}" if block.binary.id else name
            execution = block.open[name] = Execution(block.session, test_id)
            self._translation.test_started(execution, order=block.order, ts_us=self._now())
            block.order += 1
        return block.open[name]

    def _settle(self, block: _Block, name: str, word: str, reason: str | None = None) -> None:
        execution = self._start(block, name)
        del block.open[name]
        block.current = None
        verdict = _VERDICTS[word]
        if verdict is Verdict.FAILED:
            block.failed[name] = (execution, self._now())  # why comes below
            return
        block.passed += verdict is Verdict.PASSED
        self._translation.test_finished(execution, verdict, reason=reason, ts_us=self._now())

    def _printed(self, text: str) -> None:
        """Keep what a test prints as it goes, where it is known whose that is."""
        block = self._block
        if block is not None and block.section is not None:
            block.printed.setdefault(block.section, []).append(text)
        elif block is not None and block.current is not None and text:
            execution = block.open[block.current]
            self._translation.test_output(execution, text + "\n", ts_us=self._now())

    def _in_section(self, block: _Block, text: str) -> None:
        """Below all tests: what each printed, under its name, then their names once more."""
        if found := _SECTION.match(text):
            block.section = found["name"]
        elif text in ("failures:", "successes:"):
            block.section = None
        elif block.section is not None:
            self._printed(text)

    def _finish(self, block: _Block, passed: int, *, failed: bool) -> None:
        self._tell_failed(block)
        for name in list(block.open):
            self._settle(block, name, "ok")
        unnamed = passed - block.passed
        if unnamed > 0:
            message = f"{unnamed} tests passed of which only the number is told (-q)"
            self._translation.warning("UnnamedTests", message, ts_us=self._now())
        self._translation.session_finished(
            block.session, exit_status=101 if failed else 0, ts_us=self._now()
        )
        self._block = None

    def _tell_failed(self, block: _Block) -> None:
        for name, lines in block.printed.items():
            if name not in block.failed:
                self._output(Execution(block.session, _id(block, name)), lines)
        for name, (execution, at_us) in block.failed.items():
            lines = block.printed.get(name, [])
            self._output(execution, lines)
            text = "\n".join(lines)
            said = next((line for line in lines if line.strip()), "failed")
            failure = panic_in(text, kind="panic") or Failure("call", said)
            self._translation.test_finished(
                execution, Verdict.FAILED, failures=[failure], ts_us=at_us
            )
        self._red |= {block.binary.id} if block.failed else set()
        block.failed.clear()
        block.printed.clear()

    def _output(self, execution: Execution, lines: list[str]) -> None:
        text = "\n".join(lines).strip("\n")
        if text:
            self._translation.test_output(execution, text + "\n", ts_us=self._now())

    def _close(self) -> None:
        """The binary is over; one that said no result ended in the middle of its tests."""
        block, self._block = self._block, None
        if block is None:
            return
        self._tell_failed(block)
        why = self._why or "it ended"
        for name in list(block.open):
            self._translation.test_finished(
                block.open.pop(name),
                Verdict.CRASHED,
                failures=[Failure("call", why)],
                ts_us=self._now(),
            )
        message = f"{why} after {block.order} of {block.expected} tests"
        self._translation.collection_failed(
            block.session, block.binary.id, [Failure("collect", message)], ts_us=self._now()
        )
        self._translation.session_finished(block.session, exit_status=101, ts_us=self._now())
        self._why = ""

    def _now(self) -> int:
        return (time.monotonic_ns() - self._began_ns) // 1000


def _id(block: _Block, name: str) -> str:
    return f"{block.binary.id} {name}" if block.binary.id else name
