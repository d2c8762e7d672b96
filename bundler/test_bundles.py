"""The test bundles of a run: one directory for each test that did not pass.

    tests/<slug>/<seed:016x>/
        manifest.json            the repro manifest (`bundler.manifest.ReproManifest`)
        events.ndjson            what the log says of that test, times since the test started
        failed_assertions.json   a list of what failed: {description, passed, phase_path, …}
        generator_state.json     the states of the random generators at the start, if they were kept

A test that recorded something itself (the fixture `bundle`) has such a directory too, also if it
passed, with a manifest.json, summary.json and environment.json of its own; then `events.ndjson` is
what the test logged, and what the log of the run says of it is `run_events.ndjson`. What the test
said of itself stays: the manifest is completed, the failed assertions are added to.

All of it is derived from the log, so nothing here is synced to the disk by itself: what a crash of
the machine loses is found by the digests in the run's manifest, and written again by a repair. A
run in which every test passed pays nothing; one in which everything fails is bounded by the limits
below, and what they leave out stands in the log as before.

Tests of one run that share an id share a bundle; its manifest tells of the first that did not pass.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from bundler.errors import UnreadableRecording
from bundler.fingerprint import fingerprint
from bundler.manifest import Format, ReproManifest, encode_document, to_document
from bundler.names import slug
from bundler.recording import Recording
from bundler.results import RED, Attempt, Failure, TestResult, Verdict
from bundler.seeds import scenario_seed, show_seed

FOLDER = "tests"
MANIFEST = "manifest.json"
EVENTS = "events.ndjson"
RUN_EVENTS = "run_events.ndjson"
FAILED_ASSERTIONS = "failed_assertions.json"
GENERATOR_STATE = "generator_state.json"

OF_THE_SUITE = "asupersync"
"""The runner of tests whose bundles the suite has written itself (`bundler.suite_bundles`)."""

MOST_BUNDLES = 1000
EVENT_BYTES = 1 << 20
"""How much of the events of one test is written."""

TOTAL_EVENT_BYTES = 64 << 20
"""How much of the events of all of them is written."""

REASON_CHARACTERS = 1000

_NAMES = (MANIFEST, EVENTS, RUN_EVENTS, FAILED_ASSERTIONS, GENERATOR_STATE)
_DERIVED = re.compile(
    rf"{FOLDER}/(?:[^/]*-)?[0-9a-f]{{16}}/[0-9a-f]{{16}}/"
    rf"({'|'.join(map(re.escape, _NAMES))})"
)
_MANIFEST = re.compile(rf"{FOLDER}/[^/]+/[0-9a-f]{{16}}/{re.escape(MANIFEST)}")
_OWN_FIELDS = (
    "invariant_ids", "entropy_seed", "config_hash", "input_digest", "oracle_violations",
    "subsystem", "invariant", "trace_file", "input_file", "env_snapshot", "phases_executed",
)  # fmt: skip
_SUMMED_UP = re.compile(r"Failed: \d+ of \d+ checks? failed\n")
"""How the fixture `bundle` fails a test: the checks themselves are there already."""

_LINE_BYTES = 1 << 20
_DOCUMENT_BYTES = 16 << 20
_HYPOTHESIS = re.compile(r"@reproduce_failure\('[\w.]{1,40}', b'[\w+/=\\-]{1,20000}'\)")


@dataclass(slots=True)
class _Kept:
    """What is kept of one test's events while the log is read."""

    started_us: int
    lines: list[bytes] = field(default_factory=list)
    size: int = 0
    left_out: int = 0
    states: Any = None
    reproduce: str | None = None


def folder(test_id: str, seed: int) -> str:
    """Return where in a run bundle the bundle of a test under a seed lies."""
    return f"{FOLDER}/{slug(test_id)}/{show_seed(seed)}"


def is_manifest(name: str) -> bool:
    """Whether a member of a run bundle is the manifest of a test bundle."""
    return _MANIFEST.fullmatch(name) is not None


def is_derived(name: str) -> bool:
    """Whether a member of a run bundle is written by `write`."""
    return _DERIVED.fullmatch(name) is not None


def write(directory: Path, recording: Recording, *, most: int = MOST_BUNDLES) -> int:
    """Write the bundle of every test that did not pass; return how many were one too many.

    Raises OSError.
    """
    chosen = _not_passing(recording)
    if not chosen:
        return 0
    tests = dict(list(chosen.items())[:most])
    kept = _read_events(recording, tests)
    for test_id, test in tests.items():
        _write_one(directory, recording, test, kept.get(test_id) or _Kept(0))
    return len(chosen) - len(tests)


def failure_class(test: TestResult) -> str:
    """Return what kind of failure a test's is, as the repro manifest names it."""
    verdict, found = test.verdict, _failures(test)
    if verdict is Verdict.FAILED:
        kinds = {(one.type or "").rpartition(".")[2] for one in found}
        return "assertion_failure" if kinds <= {"AssertionError", "Failed", ""} else "exception"
    if verdict is Verdict.ERRORED:
        return f"{found[0].phase}_error" if found else "setup_error"
    return {Verdict.TIMED_OUT: "timeout", Verdict.CRASHED: "crash"}.get(verdict, "unfinished")


def trace_fingerprint(test: TestResult) -> str:
    """Return the fingerprint of what a test failed with."""
    found = _failures(test)
    if found:
        first = found[0]
        return fingerprint(first.type, first.file or test.file, first.message)
    reason = _last(test).reason if test.attempts else None
    return fingerprint(test.verdict.value, test.file, reason or "")


def _not_passing(recording: Recording) -> dict[str, TestResult]:
    found: dict[str, TestResult] = {}
    sessions = recording.results.sessions
    elsewhere = {one.id for one in sessions if one.info.get("runner") == OF_THE_SUITE}
    for test in recording.results.tests:
        if test.attempts and test.verdict in RED and test.session not in elsewhere:
            found.setdefault(test.test_id, test)
    return found


def _read_events(recording: Recording, tests: Collection[str]) -> dict[str, _Kept]:
    kept: dict[str, _Kept] = {}
    total = 0
    for line in recording.log.lines():
        if line.problem:
            continue
        event = _decoded(line.content)
        test_id: str = event.get("test_id", "")
        if test_id not in tests:
            continue
        one = kept.setdefault(test_id, _Kept(event["ts_us"]))
        _look_at(one, event, line.content)
        event["ts_us"] = max(0, event["ts_us"] - one.started_us)
        raw = json.dumps(event, separators=(",", ":")).encode("ascii") + b"\n"
        if one.size + len(raw) > EVENT_BYTES or total + len(raw) > TOTAL_EVENT_BYTES:
            one.left_out += 1
            continue
        one.lines.append(raw)
        one.size += len(raw)
        total += len(raw)
    return kept


def _decoded(content: bytes) -> dict[str, Any]:
    try:
        event = msgspec.json.decode(content)
    except (msgspec.DecodeError, RecursionError):
        return {}
    whole = isinstance(event, dict) and isinstance(event.get("ts_us"), int)
    return event if whole and isinstance(event.get("test_id"), str) else {}


def _look_at(kept: _Kept, event: dict[str, Any], content: bytes) -> None:
    """Remember what the bundle says apart from its events."""
    data = event.get("data")
    if event.get("event") == "GeneratorState" and isinstance(data, dict):
        kept.states = data.get("states")
    if b"@reproduce_failure(" in content:
        found = _HYPOTHESIS.search("\n".join(_texts(data)))
        kept.reproduce = found[0] if found else kept.reproduce


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for one in value.values() if isinstance(value, dict) else value:
            yield from _texts(one)


def _write_one(directory: Path, recording: Recording, test: TestResult, kept: _Kept) -> None:
    seed = test.seed
    if seed is None:
        seed = scenario_seed(recording.manifest.seed, test.test_id)
    place = directory / folder(test.test_id, seed)
    place.mkdir(parents=True, exist_ok=True)
    name = RUN_EVENTS if _logged_itself(place / EVENTS) else EVENTS
    _write(place / name, b"".join(kept.lines))
    own = _own_assertions(place)
    seen = [one for one in _assertions(test) if not (own and _SUMMED_UP.match(one["description"]))]
    _write(place / FAILED_ASSERTIONS, _json([*own, *seen]))
    if kept.states is not None:
        _write(place / GENERATOR_STATE, _json(kept.states))
    manifest = _manifest(recording, test, seed, kept, _artifacts(place))
    manifest = msgspec.structs.replace(manifest, **_own_fields(place))
    _write(place / MANIFEST, encode_document(to_document(manifest)))


def _logged_itself(path: Path) -> bool:
    """Whether a test has logged events of its own, and not we what the run's log says of it."""
    try:
        with path.open("rb") as file:
            first = file.readline(_LINE_BYTES)
    except OSError:
        return False
    event = _decoded(first)
    ours = event.get("event") == "TestStarted" and "session" in (event.get("data") or ())
    return bool(first) and not ours


def _own_assertions(place: Path) -> list[dict[str, Any]]:
    """The checks that failed, as the test itself wrote them: it knows what it expected."""
    found = _own_document(place / FAILED_ASSERTIONS)
    rows = found if isinstance(found, list) else []
    return [row for row in rows if isinstance(row, dict) and "expected" in row]


def _own_fields(place: Path) -> dict[str, Any]:
    """What only the test itself could say in its manifest."""
    from bundler.testing import ReproManifest as OwnManifest

    found = _own_document(place / MANIFEST)
    try:
        own = OwnManifest.from_document(found) if isinstance(found, dict) else None
    except UnreadableRecording:
        own = None
    values = {name: getattr(own, name) for name in _OWN_FIELDS} if own else {}
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in values.items()
        if value
    }


def _own_document(path: Path) -> Any:
    try:
        if path.stat().st_size <= _DOCUMENT_BYTES:
            return msgspec.json.decode(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        pass  # a test was killed while it wrote it, or it is none: then it says nothing
    return None


def _manifest(
    recording: Recording, test: TestResult, seed: int, kept: _Kept, artifacts: Sequence[str]
) -> ReproManifest:
    run = recording.manifest
    command = ["bundle", "repro", run.run_id[:8], test.test_id]
    found, reason = _failures(test), _last(test).reason
    words = found[0].message if found else reason
    return ReproManifest(
        schema_version=1,
        seed=seed,
        scenario_id=test.test_id,
        invariant_ids=[],
        trace_fingerprint=trace_fingerprint(test),
        replay_command=shlex.join(command),
        failure_class=failure_class(test),
        artifact_paths=list(artifacts),
        passed=False,
        phases_executed=_phases(_last(test)),
        failure_reason=words[:REASON_CHARACTERS] if words else None,
        adapter=run.command.runner,
        seed_hex=show_seed(seed),
        run_id=run.run_id,
        format=Format(),
        execution=_execution(recording, test, kept),
    )


def _execution(recording: Recording, test: TestResult, kept: _Kept) -> dict[str, Any]:
    sessions = [one for one in recording.results.sessions if one.id == test.session]
    info = sessions[0].info if sessions else {}
    known = {
        "root_seed_hex": show_seed(recording.manifest.seed),
        "seed_imposed": recording.manifest.seed_imposed,
        "session": test.session,
        "occurrence": test.occurrence,
        "attempt": _last(test).number,
        "worker": test.worker,
        "order": test.order,
        "random_seeds": info.get("random_seeds"),
        "hypothesis_profile": info.get("hypothesis_profile"),
        "reproduce_failure": kept.reproduce,
        "events_left_out": kept.left_out or None,
    }
    return {key: value for key, value in known.items() if value is not None}


def _assertions(test: TestResult) -> list[dict[str, Any]]:
    attempt = _last(test)
    return [
        _without_none(
            description=one.message,
            passed=False,
            phase_path=path,
            type=one.type,
            file=one.file,
            line=one.line,
        )
        for path, one in [
            *((one.phase, one) for one in attempt.failures),
            *(
                (f"{one.phase} > {sub.name}", one)
                for sub in attempt.subtests
                for one in sub.failures
            ),
        ]
    ]


def _without_none(**fields: Any) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if value is not None}


def _phases(attempt: Attempt) -> list[str]:
    known = {"setup": attempt.setup_us, "call": attempt.call_us, "teardown": attempt.teardown_us}
    return [phase for phase, duration in known.items() if duration is not None]


def _failures(test: TestResult) -> Sequence[Failure]:
    return _last(test).failures if test.attempts else ()


def _last(test: TestResult) -> Attempt:
    return test.attempts[-1]


def _artifacts(place: Path) -> list[str]:
    """Everything beside the manifest, also what the test itself has put there."""
    found = (path for path in place.rglob("*") if path.is_file() and not path.is_symlink())
    names = {path.relative_to(place).as_posix() for path in found}
    return sorted(names - {MANIFEST})


def _json(value: object) -> bytes:
    return json.dumps(value, indent=2, allow_nan=False).encode("ascii") + b"\n"


def _write(path: Path, content: bytes) -> None:
    # Not through a link, and not into what was sealed before under this name.
    path.unlink(missing_ok=True)
    path.write_bytes(content)
