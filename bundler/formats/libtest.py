"""libtest JSON: what Rust's test harness prints with `--format json`, written.

One JSON object a line, without a version; cargo-nextest writes the same with `--message-format
libtest-json` and, with `nextest {crate, test_binary, kind}` in the suites, `libtest-json-plus`
(https://doc.rust-lang.org/nightly/rustc/tests/index.html, https://nexte.st/docs/machine-readable/).

    {"type":"suite","event":"started","test_count":2}
    {"type":"test","event":"started","name":"tests::a"}
    {"type":"test","event":"ok","name":"tests::a","exec_time":0.001}
    {"type":"test","event":"failed","name":"tests::b","exec_time":0.002,"stdout":"…"}
    {"type":"suite","event":"failed","passed":1,"failed":1,"ignored":0,"measured":0,
     "filtered_out":0,"exec_time":0.003}

Written is one suite a session (of nextest's recordings: one a binary), with nextest's names; all
that a test printed is its `stdout`; bytes that are not UTF-8 are replaced. `message` has the
failure where the output does not. A file that was not collected is a test that failed. xpassed and
flaky are `ok`, xfailed is `ignored`, and what is red in any other way is `failed`. Of a test that
is unfinished there is only the start, and then its suite has no end either; of one that never ran
there is only a place in `test_count`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from bundler.formats import Target
from bundler.formats.libtest_reasons import REASONS, TIME_LIMIT
from bundler.recording import Recording
from bundler.results import Attempt, Failure, TestResult, Verdict

DIALECTS = ("libtest", "plus")

_OK = frozenset({Verdict.PASSED, Verdict.XPASSED, Verdict.FLAKY})
_IGNORED = frozenset({Verdict.SKIPPED, Verdict.XFAILED})


def write(recording: Recording, target: Target, *, dialect: str = "libtest") -> None:
    """Write a run as libtest JSON, of dialect `plus` as nextest's. Raises OSError."""
    nextest = recording.manifest.command.runner == "nextest"
    for name, tests in _suites(recording, nextest=nextest).items():
        for line in _suite(recording, name, tests, nextest=nextest, plus=dialect == "plus"):
            target.write(json.dumps(line, separators=(",", ":")).encode("ascii") + b"\n")


def _suites(recording: Recording, *, nextest: bool) -> dict[str, list[TestResult]]:
    """The tests of each suite: of a binary, or of a session."""
    suites: dict[str, list[TestResult]] = {}
    if not nextest:
        suites = {session.id: [] for session in recording.results.sessions}
    for test in recording.results.tests:
        name = test.test_id.partition(" ")[0] if nextest else test.session
        suites.setdefault(name, []).append(test)
    return suites


def _suite(
    recording: Recording, name: str, tests: list[TestResult], *, nextest: bool, plus: bool
) -> Iterator[dict[str, Any]]:
    results = recording.results
    problems = [one for one in results.collection if one.outcome is Verdict.ERRORED and not nextest]
    problems = [one for one in problems if one.session == name]
    count = len(tests) + len(problems)
    about = {"nextest": _binary(name)} if plus and nextest else {}
    yield {"type": "suite", "event": "started", "test_count": count, **about}
    counts = {"ok": 0, "failed": 0, "ignored": 0}
    for problem in problems:
        counts["failed"] += 1
        node = {"type": "test", "name": problem.node_id}
        yield {"type": "test", "event": "started", "name": problem.node_id}
        yield {**node, "event": "failed", "message": _said(problem.failures) or "not collected"}
    for test in tests:
        for line in _lines(recording, test, nextest=nextest):
            counts[line["event"]] = counts.get(line["event"], 0) + 1
            yield line
    if any(test.verdict is Verdict.UNFINISHED for test in tests):
        return
    prefix = f"{name} " if nextest else ""
    left_out = [one for one in results.deselected if one.test_id.startswith(prefix)]
    yield {
        "type": "suite",
        "event": "failed" if counts["failed"] else "ok",
        "passed": counts["ok"],
        "failed": counts["failed"],
        "ignored": counts["ignored"],
        "measured": 0,
        "filtered_out": sum(nextest or one.session == name for one in left_out),
        "exec_time": sum(test.duration_us for test in tests) / 1_000_000,
        **about,
    }


def _lines(recording: Recording, test: TestResult, *, nextest: bool) -> Iterator[dict[str, Any]]:
    if not test.attempts:
        return
    name = _nextest_name(test) if nextest else test.test_id
    yield {"type": "test", "event": "started", "name": name}
    last = test.attempts[-1]
    if last.outcome is None:
        return
    verdict = test.verdict
    event = "ok" if verdict in _OK else "ignored" if verdict in _IGNORED else "failed"
    name += f"#{last.number}" if len(test.attempts) > 1 else ""
    line: dict[str, Any] = {"type": "test", "event": event, "name": name}
    if event != "ignored":
        line["exec_time"] = last.duration_us / 1_000_000
    printed = _printed(recording, last)
    if printed:
        line["stdout"] = printed
    yield line | _reason(last, event, printed)


def _reason(attempt: Attempt, event: str, printed: str) -> dict[str, str]:
    """Why it failed, as far as its output does not say it, or why it was ignored."""
    if event == "ignored":
        return {"message": attempt.reason} if attempt.reason else {}
    if event == "ok":
        return {}
    if attempt.outcome is Verdict.TIMED_OUT:
        return {"reason": TIME_LIMIT}
    said = _said(attempt.failures) or attempt.reason or ""
    known = {"reason": str(attempt.outcome)} if attempt.outcome in REASONS.values() else {}
    return known | ({"message": said} if said and said not in printed else {})


def _said(failures: Iterable[Failure]) -> str:
    return "\n\n".join(one.traceback or one.message for one in failures)


def _printed(recording: Recording, attempt: Attempt) -> str:
    outputs = recording.outputs(attempt.output_offsets)
    return b"".join(one.content for one in outputs).decode("utf-8", "replace")


def _nextest_name(test: TestResult) -> str:
    """As nextest names it: `crate::binary$test`, of a library its crate's name twice."""
    binary_id, _, name = test.test_id.partition(" ")
    about = _binary(binary_id)
    stress = f"@stress-{test.occurrence - 1}" if test.occurrence > 1 else ""
    return f"{about['crate']}::{about['test_binary']}{stress}${name}"


def _binary(binary_id: str) -> dict[str, str]:
    crate, _, rest = binary_id.partition("::")
    kind, _, own = rest.rpartition("/")
    if not rest:
        return {"crate": crate, "test_binary": crate.replace("-", "_"), "kind": "lib"}
    return {"crate": crate, "test_binary": own, "kind": kind or "test"}
