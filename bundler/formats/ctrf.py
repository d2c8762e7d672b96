"""CTRF, the Common Test Report Format: one JSON document a run, written.

The specification and its schema are at https://ctrf.io and in the npm package `ctrf`; a document
with a property that the schema does not know is refused, so what is ours is in `extra`, below
`seedbundle`.

    {reportFormat "CTRF", specVersion, reportId, timestamp, generatedBy,
     results {tool {name, version}, summary {tests, passed, failed, skipped, pending, other,
              flaky, start, stop, duration}, environment {healthy}, extra {seedbundle {…}},
       tests [{name, testId, status, rawStatus, duration, start, stop, suite?, message?, trace?,
               filePath?, line?, retries?, flaky?, threadId?, stdout [line…]?, stderr [line…]?,
               retryAttempts [{attempt, status, duration, message?, trace?, stdout?, stderr?}]?,
               extra {seedbundle {…}}}]}}

Times are milliseconds since 1970. A test tells of its last attempt; `retryAttempts` are those
before it, `retries` is how many they are.

Which verdict has which `status` stands in `bundler.formats.ctrf_statuses`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from bundler import __version__
from bundler.formats import Target
from bundler.formats.ctrf_statuses import NOT_COLLECTED, OURS, STATUS, STREAMS
from bundler.manifest import RunStatus
from bundler.recording import Recording
from bundler.results import (
    Attempt,
    CollectionProblem,
    Failure,
    Results,
    Status,
    TestResult,
    Verdict,
)
from bundler.seeds import show_seed
from bundler.times import epoch_microseconds, rfc3339

SPEC_VERSION = "0.0.0"
NO_NAME = "(without a name)"


def write(recording: Recording, target: Target) -> None:
    """Write a run as one CTRF document, a test at a time. Raises OSError."""
    for piece in document(recording):
        target.write(piece.encode("ascii"))


def document(recording: Recording) -> Iterator[str]:
    """Yield the document, a test at a time: the tests stand last in it."""
    started_us = epoch_microseconds(recording.manifest.created_at) or 0
    head = {
        "reportFormat": "CTRF",
        "specVersion": SPEC_VERSION,
        "reportId": recording.manifest.run_id,
        "timestamp": rfc3339(started_us + _duration_us(recording)),
        "generatedBy": f"seedbundle {__version__}",
    }
    results = {
        "tool": _tool(recording),
        "summary": _summary(recording, started_us),
        "environment": {"healthy": recording.manifest.status.state == Status.PASSED},
        "extra": {OURS: _about_run(recording)},
    }
    yield _json(head)[:-1] + ',"results":' + _json(results)[:-1] + ',"tests":['
    separator = "\n"
    for one in _tests(recording, started_us):
        yield separator + _json(one)
        separator = ",\n"
    yield "\n]}}\n"


def _json(value: dict[str, Any]) -> str:
    return json.dumps(value, separators=(",", ":"), allow_nan=False)


def _duration_us(recording: Recording) -> int:
    known = recording.manifest.duration_us
    return recording.results.last_ts_us if known is None else known


def _tool(recording: Recording) -> dict[str, Any]:
    info = next((one.info for one in recording.results.sessions), {})
    name = str(info.get("runner") or recording.manifest.command.runner)
    version = str(info.get("runner_version") or "")
    return {"name": name or "command"} | ({"version": version} if version else {})


def _summary(recording: Recording, started_us: int) -> dict[str, Any]:
    results, duration_us = recording.results, _duration_us(recording)
    counts = Counter(STATUS[test.verdict] for test in results.tests)
    counts["failed"] += len(_not_collected(results))
    statuses = ("passed", "failed", "skipped", "pending", "other")
    return {
        "tests": sum(counts.values()),
        **{status: counts[status] for status in statuses},
        "flaky": results.counts.get(Verdict.FLAKY, 0),
        "start": started_us // 1000,
        "stop": (started_us + duration_us) // 1000,
        "duration": _milliseconds(duration_us),
    }


def _about_run(recording: Recording) -> dict[str, Any]:
    manifest = recording.manifest
    status = {name: value for name, value in _builtins(manifest.status).items() if name != "state"}
    return {
        "run_id": manifest.run_id,
        "seed_hex": manifest.seed_hex,
        "status": manifest.status.state,
        "argv": manifest.command.argv,
        "duration_us": _duration_us(recording),
        **status,
    }


def _builtins(value: RunStatus) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.to_builtins(value)
    return found


def _not_collected(results: Results) -> list[CollectionProblem]:
    return [one for one in results.collection if one.outcome is Verdict.ERRORED]


def _tests(recording: Recording, started_us: int) -> Iterator[dict[str, Any]]:
    results = recording.results
    for problem in _not_collected(results):
        yield {
            "name": problem.node_id or NO_NAME,
            "status": "failed",
            "duration": 0,
            "rawStatus": NOT_COLLECTED,
            **_failed(problem.failures),
        }
    runners = {one.id: str(one.info.get("runner", "")) for one in results.sessions}
    for test in results.tests:
        yield _test(recording, test, started_us, runners.get(test.session, ""))


def _test(recording: Recording, test: TestResult, started_us: int, runner: str) -> dict[str, Any]:
    verdict = test.verdict
    last = test.attempts[-1] if test.attempts else None
    earlier = test.attempts[:-1]
    streams = _streams(recording, last)
    found: dict[str, Any] = {
        "name": test.test_id or NO_NAME,
        "status": STATUS[verdict],
        "duration": _milliseconds(last.duration_us) if last else 0,
        "rawStatus": verdict.value,
        **({"testId": test.test_id} if test.test_id else {}),
        **_suite(test.test_id, runner),
        **(_times(last, started_us) if last else {}),
        **(_failed(last.failures) if last else {}),
        **({"filePath": test.file} if test.file is not None else {}),
        **({"threadId": test.worker} if test.worker is not None else {}),
        **({"flaky": True} if verdict is Verdict.FLAKY else {}),
        **{name: _lines(streams.pop(name)) for name in STREAMS if name in streams},
    }
    if earlier:
        found["retries"] = len(earlier)
        found["retryAttempts"] = [_earlier(recording, one, started_us) for one in earlier]
    about: dict[str, Any] = {"occurrence": test.occurrence, "session": test.session}
    about |= {"seed_hex": show_seed(test.seed)} if test.seed is not None else {}
    if last and last.outcome is Verdict.XPASSED:
        about["outcome"] = last.outcome.value  # it may be hidden behind a flaky
    found["extra"] = {OURS: about | (_more(last, streams) if last else {})}
    return found


def _earlier(recording: Recording, attempt: Attempt, started_us: int) -> dict[str, Any]:
    outcome = attempt.outcome or Verdict.UNFINISHED
    streams = _streams(recording, attempt)
    return {
        "attempt": attempt.number,
        "status": STATUS[outcome],
        "duration": _milliseconds(attempt.duration_us),
        **_times(attempt, started_us),
        **{name: value for name, value in _failed(attempt.failures).items() if name != "filePath"},
        **{name: _lines(streams.pop(name)) for name in STREAMS if name in streams},
        "extra": {OURS: {"outcome": outcome.value, **_more(attempt, streams)}},
    }


def _more(attempt: Attempt, streams: dict[str, str]) -> dict[str, Any]:
    """What CTRF has no property for."""
    kinds = [one.type for one in attempt.failures if one.type]
    known = {
        "duration_us": attempt.duration_us,
        "reason": attempt.reason,
        "failure_type": kinds[0] if kinds else None,
        "properties": [list(pair) for pair in attempt.properties] or None,
        "streams": streams or None,
    }
    return {name: value for name, value in known.items() if value is not None}


def _times(attempt: Attempt, started_us: int) -> dict[str, int]:
    begin_us = started_us + attempt.started_us
    return {"start": begin_us // 1000, "stop": (begin_us + attempt.duration_us) // 1000}


def _failed(failures: Iterable[Failure]) -> dict[str, Any]:
    some = list(failures)
    if not some:
        return {}
    trace = "\n\n".join(one.traceback for one in some if one.traceback)
    found: dict[str, Any] = {"message": "\n\n".join(one.message for one in some)}
    found |= {"trace": trace} if trace else {}
    return found | ({"line": some[0].line} if some[0].line is not None else {})


def _suite(test_id: str, runner: str) -> dict[str, list[str]]:
    """What of a test id is not the test's own name."""
    if runner == "nextest":
        return {"suite": [test_id.partition(" ")[0]]}
    path, *names = test_id.partition("[")[0].split("::")
    return {"suite": [path, *names[:-1]]} if names else {}


def _streams(recording: Recording, attempt: Attempt | None) -> dict[str, str]:
    pieces: dict[str, list[bytes]] = {}
    for output in recording.outputs(attempt.output_offsets if attempt else []):
        cut = b"\n[%d bytes were not recorded]\n" % output.omitted_bytes
        pieces.setdefault(output.stream, []).append(cut if output.omitted_bytes else b"")
        pieces[output.stream].append(output.content)
    return {name: b"".join(some).decode("utf-8", "replace") for name, some in pieces.items()}


def _lines(text: str) -> list[str]:
    """The lines, without what ends them; a last one that is empty says that the text ended so."""
    return text.split("\n")


def _milliseconds(duration_us: int) -> int:
    return round(duration_us / 1000)
