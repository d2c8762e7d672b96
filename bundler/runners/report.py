"""What a reporter says inside a runner (`bundler.reporters`), told as events of ours as it comes.

The stream is a file of ours, but what stands in it was said inside a process of the tests': a line
that is none is passed over and counted, what is too long is cut, and whatever is in it, nothing but
a BundleError is raised.
"""

from __future__ import annotations

import io
import json
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bundler.errors import DamagedRecording
from bundler.json_lines import MAX_LINE_BYTES, json_object
from bundler.recording import Recording
from bundler.results import Failure, Verdict
from bundler.runners import Inside, Invocation
from bundler.times import microseconds, rfc3339
from bundler.translation import Execution, Translation

VARIABLE = "BUNDLE_REPORT"

_OUTCOMES = {one.value: one for one in Verdict} | {"flaky": Verdict.PASSED}
_INFO = ("version", "suite", "rootdir", "args", "workers", "python", "executable", "capture")
_ESCAPES = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_TYPE = re.compile(r"(?:Uncaught )?([A-Za-z_$][\w$.]*(?:Error|Exception|Failure))(?: \[\w+\])?: ")
_FRAME = re.compile(r"\n[ \t]+at ")
_PLACE = re.compile(r"(?:\(|at |file://)((?:[A-Za-z]:)?[^():\n]{1,1000}):([0-9]{1,9}):[0-9]")
_CHUNK = 1 << 20


@contextmanager
def reported(
    invocation: Invocation,
    start: Callable[[Mapping[str, str]], Inside],
    *,
    choice: Mapping[str, Any] | None = None,
    **more: object,
) -> Iterator[Inside]:
    """Give a command a stream to report to, and tell what it says as it says it. Raises OSError.

    `start` makes the invocation from an environment that names the stream; `choice` is for a
    file that its reporter is told of, as it is told what is in `more`. The stream is gone when the
    context ends.
    """
    with tempfile.TemporaryDirectory(prefix="bundle-report-") as folder:
        path = Path(folder) / "stream.ndjson"
        path.touch()
        told = {"stream": str(path), "selection": _selection_path(invocation.env), **more}
        if choice is not None:
            chosen = Path(folder) / "choice.json"
            chosen.write_text(json.dumps(choice), encoding="utf-8")
            told["choice"] = str(chosen)
        inside = start({**invocation.env, VARIABLE: json.dumps(told)})
        with path.open("rb") as source:
            stream = _Stream(source, invocation)
            yield replace(inside, poll=stream.poll, recording=stream.end)


def _selection_path(env: Mapping[str, str]) -> str | None:
    """Return the `selection.json` of the run that is about to start, where it has one."""
    try:
        path = json.loads(env.get("BUNDLE_PROBE", ""))["selection"]
    except (ValueError, KeyError, TypeError):
        return None
    return path if isinstance(path, str) else None


@dataclass(frozen=True)
class Chosen:
    """What a rerun runs: all but `deselect`, or where it is not None `only`."""

    deselect: frozenset[str] = frozenset()
    only: frozenset[str] | None = None
    order: tuple[str, ...] = ()
    seeds: Mapping[str, int] = field(default_factory=dict)


def selection(env: Mapping[str, str]) -> Chosen | None:
    """Return what the run that is about to start is to run, None where that is everything."""
    path = _selection_path(env)
    if path is None:
        return None
    document = json.loads(Path(path).read_text(encoding="utf-8"))
    only = document.get("only")
    return Chosen(
        frozenset(document.get("deselect") or ()),
        None if only is None else frozenset(only),
        tuple(document.get("order") or ()),
        document.get("random_seeds") or {},
    )


class _Stream:
    """The stream of one invocation, read to where it has been written."""

    def __init__(self, source: io.BufferedReader, invocation: Invocation) -> None:
        self._source = source
        self._held = b""
        self._too_long = False
        self._reading = Reading(invocation)
        self._error: Exception | None = None

    def poll(self) -> None:
        """Tell what has been said since the last time. Never raises; `end` says what went wrong."""
        try:
            if self._error is None:
                self._poll()
        except Exception as error:
            self._error = error

    def _poll(self) -> None:
        while chunk := self._source.read(_CHUNK):
            *lines, rest = (self._held + chunk).split(b"\n")
            for line in lines:
                self._line(line)
            self._held = rest
            if len(rest) > MAX_LINE_BYTES:
                self._held, self._too_long = b"", True

    def end(self) -> Recording | None:
        """Tell the rest. Raises DamagedRecording where something was not understood."""
        self.poll()
        if self._error is not None:
            why = f"what the reporter said: {type(self._error).__name__}: {self._error}"
            raise DamagedRecording(why) from self._error
        self._reading.end()
        return None

    def _line(self, line: bytes) -> None:
        value = None if self._too_long else json_object(line)
        self._too_long = False
        if value is None:
            self._reading.damaged += 1
        else:
            self._reading.take(value)


@dataclass
class _Session:
    id: str
    runner: str
    ended: bool = False


@dataclass
class _Test:
    """The last execution of a test id in a session."""

    execution: Execution
    ended: bool = False


class Reading:
    """Takes the lines of a stream one by one, and tells what they say."""

    def __init__(self, invocation: Invocation) -> None:
        self.damaged = 0
        self._why: str | None = None
        self._origin_us: int | None = None
        self._last_us = 0
        self._root = ""
        self._sessions: dict[str, _Session] = {}
        self._tests: dict[tuple[str, str], _Test] = {}
        self._translation = Translation(
            io.BytesIO(), where="what a reporter said", format="report", tell=invocation.tell
        )
        self._handlers: dict[str, Callable[[dict[str, Any], int], None]] = {
            "begin": self._begin,
            "collected": self._collected,
            "test": self._started,
            "out": self._output,
            "sub": self._part,
            "done": self._done,
            "broken": self._broken,
            "skipped": self._skipped,
            "end": self._end,
        }

    def take(self, line: dict[str, Any]) -> None:
        """Take the next line."""
        if line.get("e") == "failed":
            self._why = self._why or _text(line.get("why")) or "it does not say why"
            return
        handler = self._handlers.get(str(line.get("e")))
        if handler is not None:
            handler(line, self._now(line.get("at")))

    def end(self) -> None:
        """Nothing more comes. Raises DamagedRecording where something was not understood."""
        if self._why is not None:
            raise DamagedRecording(f"the reporter inside broke: {self._why[:500]}")
        if self.damaged:
            raise DamagedRecording(f"{self.damaged} of the reporter's lines are damaged")

    def _now(self, at: object) -> int:
        """Microseconds since the first line; never backwards."""
        if isinstance(at, int | float) and not isinstance(at, bool) and 0 < at < 1e14:
            if self._origin_us is None:
                self._origin_us = int(at * 1000)
                self._translation.run_started(started_at=rfc3339(self._origin_us))
            self._last_us = max(self._last_us, int(at * 1000) - self._origin_us)
        return self._last_us

    def _begin(self, line: dict[str, Any], now_us: int) -> None:
        runner = _text(line.get("runner")) or "command"
        info = {name: line[name] for name in _INFO if line.get(name) is not None}
        info["runner_version"] = info.pop("version", None)
        seed = line.get("seed")
        if isinstance(seed, int) and not isinstance(seed, bool) and abs(seed) < 1 << 64:
            info["random_seeds"] = {runner: str(seed)}
            info["shuffled"] = line.get("shuffled") is True
        self._root = _text(line.get("rootdir")) or self._root
        session = self._translation.session_started(runner, ts_us=now_us, **info)
        self._sessions[str(line.get("s", ""))] = _Session(session, runner)

    def _session(self, line: dict[str, Any], now_us: int) -> _Session:
        name = str(line.get("s", ""))
        if name not in self._sessions:
            self._begin({"s": name}, now_us)
        return self._sessions[name]

    def _collected(self, line: dict[str, Any], now_us: int) -> None:
        session = self._session(line, now_us).id
        given = line.get("ids")
        ids = [one for one in given if isinstance(one, str)] if isinstance(given, list) else []
        left = line.get("left")
        if left is None:
            self._translation.tests_collected(session, ids)
        else:
            self._translation.tests_deselected(session, ids, reason=str(left))

    def _started(self, line: dict[str, Any], now_us: int) -> None:
        self._test(line, now_us)

    def _test(self, line: dict[str, Any], now_us: int) -> _Test:
        session = self._session(line, now_us).id
        known = _text(line.get("id")) or ""
        before = self._tests.get((session, known))
        attempt = line.get("attempt")
        attempt = attempt if isinstance(attempt, int) and 1 < attempt < 10_000 else 1
        occurrence = 1
        if before is not None:
            occurrence = before.execution.occurrence + (attempt == 1)
        test = _Test(Execution(session, known, attempt, occurrence))
        self._tests[session, known] = test
        file, line_number = _text(line.get("file")), line.get("line")
        number = line_number if isinstance(line_number, int) and line_number > 0 else None
        self._translation.test_started(test.execution, file=file, line=number, ts_us=now_us)
        return test

    def _going_on(self, line: dict[str, Any], now_us: int) -> _Test:
        """The test that a line is about, started where nobody said that it was."""
        session = self._session(line, now_us).id
        return self._tests.get((session, str(line.get("id")))) or self._test(line, now_us)

    def _output(self, line: dict[str, Any], now_us: int) -> None:
        execution = self._going_on(line, now_us).execution
        text, stream = _text(line.get("text")) or "", _text(line.get("stream")) or "stdout"
        self._translation.test_output(execution, text, stream=stream, ts_us=now_us)

    def _part(self, line: dict[str, Any], now_us: int) -> None:
        self._translation.subtest_finished(
            self._going_on(line, now_us).execution,
            _text(line.get("name")) or "",
            _outcome(line),
            duration_us=_milliseconds(line.get("ms")) or 0,
            failures=self._failures(line),
            ts_us=now_us,
        )

    def _done(self, line: dict[str, Any], now_us: int) -> None:
        test = self._going_on(line, now_us)
        if test.ended or (
            line.get("attempt", 1) != test.execution.attempt and test.execution.attempt == 1
        ):
            test = self._test(line, now_us)
        test.ended = True
        self._translation.test_finished(
            test.execution,
            _outcome(line),
            call_us=_milliseconds(line.get("ms")),
            reason=_text(line.get("reason")),
            failures=self._failures(line),
            will_retry=line.get("retry") is True,
            ts_us=now_us,
        )

    def _broken(self, line: dict[str, Any], now_us: int) -> None:
        session, node = self._session(line, now_us).id, _text(line.get("id")) or ""
        found = [replace(one, phase="collect") for one in self._failures(line)]
        self._translation.collection_failed(session, node, found, ts_us=now_us)

    def _skipped(self, line: dict[str, Any], now_us: int) -> None:
        session, node = self._session(line, now_us).id, _text(line.get("id")) or ""
        reason = _text(line.get("reason")) or ""
        self._translation.collection_skipped(session, node, reason, ts_us=now_us)

    def _end(self, line: dict[str, Any], now_us: int) -> None:
        session = self._session(line, now_us)
        if not session.ended:
            session.ended = True
            reason = _text(line.get("reason"))
            self._translation.session_finished(session.id, reason=reason, ts_us=now_us)

    def _failures(self, line: dict[str, Any]) -> list[Failure]:
        given = line.get("failures")
        found = [one for one in given if isinstance(one, dict)] if isinstance(given, list) else []
        return [failure(one, self._root) for one in found]


def failure(told: Mapping[str, Any], root: str = "") -> Failure:
    """Return a failure from what a reporter says of it; a stack trace is taken apart."""
    text = told.get("text")
    found = _stack(text, root) if isinstance(text, str) else Failure("call", "")
    number = told.get("line")
    return Failure(
        _text(told.get("phase")) or found.phase,
        _ESCAPES.sub("", _text(told.get("message")) or found.message).strip(),
        type=_text(told.get("type")) or found.type,
        traceback=_text(told.get("traceback")) or found.traceback,
        file=_text(told.get("file")) or found.file,
        line=number if isinstance(number, int) and number > 0 else found.line,
    )


def _stack(text: str, root: str) -> Failure:
    """Return the failure that a stack trace of JavaScript's tells of.

    Its place is the first that lies below the root, and in no package of others.
    """
    plain = _ESCAPES.sub("", text)
    frames = _FRAME.search(plain)
    head = plain[: frames.start()] if frames else plain
    kind = _TYPE.match(head)
    named = kind[1] if kind else "Error" if head.startswith("Error: ") else None
    message = head[kind.end() :] if kind else head.removeprefix("Error: ")
    file, line = _own_place(plain[frames.start() :], root) if frames else (None, None)
    return Failure("call", message.strip(), type=named, traceback=plain, file=file, line=line)


def _own_place(frames: str, root: str) -> tuple[str | None, int | None]:
    inside = root.replace("\\", "/").rstrip("/") + "/"
    for found in _PLACE.finditer(frames):
        path = found[1].replace("\\", "/").removeprefix("file://")
        if path.startswith(inside) and "/node_modules/" not in path:
            return path.removeprefix(inside), int(found[2])
    return None, None


def _outcome(line: Mapping[str, Any]) -> Verdict:
    found = _OUTCOMES.get(str(line.get("outcome")))
    return Verdict.ERRORED if found in (None, Verdict.UNFINISHED, Verdict.NOT_RUN) else found


def _milliseconds(value: object) -> int | None:
    return microseconds(value / 1000) if isinstance(value, int | float) else None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
