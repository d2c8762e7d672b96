"""The recorder around a command: begins a bundle, takes what the child prints, finishes the bundle.

The guest never breaks the host: the first error of the recording disarms it and is remembered as
one sentence; the child and its exit code are what they would have been.
"""

from __future__ import annotations

import json
import shlex
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from bundler import (
    __version__,
    archive,
    atomic,
    bundle,
    dropped_files,
    environment,
    test_bundles,
)
from bundler.errors import BundleError, UnreadableRecording
from bundler.events import Event, text_fields
from bundler.manifest import (
    Command,
    Format,
    Parent,
    Redaction,
    RunManifest,
    RunStatus,
    encode_document,
    parse_document,
)
from bundler.masked_files import files_below, mask_files, mask_names
from bundler.masked_log import MaskedOutputs
from bundler.probe.writer.bundle_directory import BASE_VARIABLES
from bundler.recording import Recording
from bundler.redaction import OFF, UNMASKED, Stream, masked_command, redact_argv
from bundler.results import COMMAND_RUNNER, Attempt, Results, fold
from bundler.seeds import hash_seed, show_seed
from bundler.status import Ending, judge, signal_name
from bundler.store import Store
from bundler.test_bundles import FOLDER
from bundler.times import UNKNOWN_TIME, epoch_microseconds

RUN_OUTPUT_LIMIT = 64 * 1024 * 1024
CHUNK = 128 * 1024
"""JSON can make six bytes of one: such a chunk stays under a line's 1 MiB whatever is in it."""

TIMEOUT_MARK = b"+++ Timeout +++"
TAIL_BYTES = 64 * 1024
RUN_OUTPUT_TAIL = 1024 * 1024
MOMENT_S = 0.2
NOT_REDACTED = (
    "WARNING: --no-redact: secrets are not masked; whoever gets this recording can read them"
)
NO_SESSION = "00000000"
COMMAND_SESSION = "00000001"
LEFT_OUT_AT_ONCE = 500
SELECTION = "selection.json"
MOST_CHANGES = 1000
MOST_REMARKS = 3


@dataclass(frozen=True)
class Request:
    """What is to be recorded: the command as given, where, under which seed, as whose rerun.

    `selected` are the commands that run a part of its tests, where it cannot select them itself,
    and `left_out` the tests that a rerun leaves out then; `lines` is what `{tests_file}` in them
    stands for. `results` are the patterns of the JUnit XML that the command leaves.
    """

    argv: Sequence[str]
    cwd: Path
    seed: int
    runner: str = "command"
    selected: Sequence[Sequence[str]] | None = None
    left_out: Sequence[str] = ()
    lines: Sequence[str] = ()
    results: Sequence[str] = ()
    seed_imposed: bool = False
    parent: str | None = None
    added: int = 0
    output_limit: int = 10_000_000
    watch_entropy: bool = False
    redact: bool = True


@dataclass(frozen=True)
class Recorded:
    """A finished run: its manifest and results, where it lies, and in which store."""

    store: Store
    directory: Path
    manifest: RunManifest
    results: Results


_OURS_TO_TELL = frozenset({"RunStarted", "RunOutput", "RunFinished"})
"""What the wrapper saw itself."""


class Recorder:
    """One run being recorded by the wrapper.

    `problem` says why it stopped recording, if it did; `remarks` are what else there is to say.
    """

    def __init__(
        self,
        request: Request,
        store: Store,
        live: bundle.LiveBundle,
        env: Mapping[str, str],
        documents: Iterable[str] = (),
    ) -> None:
        self.store = store
        self.live = live
        self.problem: str | None = None
        self.remarks: list[str] = []
        self.tail = b""
        self.request = request
        self._ours = bundle.DERIVED | {bundle.ENVIRONMENT, *documents}
        self._output = _BoundedOutput(live)
        self._timed_out = False
        self._told: RunStatus | None = None
        self._shift_us = 0
        self._lane = 0
        self._lane_is_used = False
        self._thread = threading.Thread(target=self._describe, args=(dict(env),), daemon=True)

    def start_describing(self) -> None:
        """Collect environment.json beside the running child: asking git takes a while."""
        self._thread.start()

    def output(self, stream: str, chunk: bytes) -> None:
        """Take what the child printed. Never raises."""
        window = self.tail + chunk
        self._timed_out = self._timed_out or TIMEOUT_MARK in window[-len(chunk) - 32 :]
        self.tail = window[-TAIL_BYTES:]
        if self.problem is None:
            try:
                self._output.take(stream, chunk)
            except (OSError, ValueError) as error:
                self.disarm(error)

    def idle(self) -> None:
        """Nothing was printed for a moment: write what is pending. Never raises."""
        if self.problem is None:
            try:
                self._output.rest()
            except (OSError, ValueError) as error:
                self.disarm(error)

    def begin_invocation(self, argv: Sequence[str]) -> None:
        """The command is started: once, or several times where its tests take that. Never raises.

        Words of ours that differ from the command's own are noted.
        """
        self._next_lane()
        if list(argv) != list(self.request.argv):
            words = [as_text(word) for word in argv]
            words = redact_argv(words) if self.request.redact else words
            self.note("Invoked", "started", {"argv": words})

    def leave_out(self, test_ids: Sequence[str]) -> None:
        """Note what a rerun leaves out because it passed. Never raises."""
        data = {"session": NO_SESSION, "reason": "passing"}
        for begin in range(0, len(test_ids), LEFT_OUT_AT_ONCE):
            some = list(test_ids[begin : begin + LEFT_OUT_AT_ONCE])
            self.note("TestsCollected", f"{len(some)} left out", {**data, "deselected": some})

    def note(self, event: str, message: str, data: Mapping[str, Any]) -> None:
        """Note what the wrapper knows of the run. Never raises."""
        if self.problem is None:
            try:
                self.live.append(event, category="run", message=message, data=data)
            except (OSError, ValueError) as error:
                self.disarm(error)

    def tell(self, event: Event) -> None:
        """Take in what the runner says of this run, as it says it. Never raises.

        Its RunStarted says when its own clock began.
        """
        if self.problem is None:
            try:
                if event.event == "RunStarted":
                    self._shift_us = self._since_begin(str(event.payload().get("started_at")))
                self._tell(event, event.payload())
            except (OSError, ValueError) as error:
                self.disarm(error)

    def _tell(self, event: Event, data: dict[str, Any]) -> None:
        if event.event in _OURS_TO_TELL:
            return
        if "session" in data:
            self._lane_is_used = True
            data["session"] = f"{self._lane:04x}{data['session'][-4:]}"
        self.live.append(
            event.event,
            category=event.category,
            message=event.message,
            level=event.level,
            test_id=event.test_id,
            seed=event.seed,
            ts_us=event.ts_us + self._shift_us,
            data=data,
        )

    def _next_lane(self) -> None:
        """What is told from here on numbers its sessions from 1 again."""
        self._lane += self._lane_is_used
        self._lane_is_used = False

    def sessions(self) -> int:
        """How many runners have told of themselves so far. Never raises."""
        try:
            with self.live.log.open("rb") as log:
                return sum(b'"event":"SessionStarted"' in line for line in log)
        except OSError:
            return 0

    def _since_begin(self, started_at: str) -> int:
        """When something began, in microseconds since this run did; now where nobody knows."""
        begin_us = epoch_microseconds(self.live.manifest.created_at) or 0
        at_us = epoch_microseconds(started_at)
        if started_at == UNKNOWN_TIME or at_us is None:
            return (time.monotonic_ns() - self.live.started_ns) // 1000
        return max(0, at_us - begin_us)

    def take_in(self, told: Recording) -> None:
        """Take in what the runner itself recorded of this run, and its files. Never raises."""
        if self.problem is None:
            try:
                self._output.flush()
                self._next_lane()
                self._take_in(told)
            except (OSError, ValueError, BundleError) as error:
                self.disarm(error)

    def _take_in(self, told: Recording) -> None:
        begin_us = epoch_microseconds(self.live.manifest.created_at) or 0
        self._shift_us = max(0, (epoch_microseconds(told.manifest.created_at) or 0) - begin_us)
        masked = MaskedOutputs(self.live.masker, told.events())
        for offset, event in told.events():
            self._tell(event, masked.data(offset, event))
        for name in told.files:
            bundle.keep(told.files, name, self.live.directory / "source" / name)
        self._told = told.manifest.status

    def _look_at_artifacts(self) -> None:
        """Make safe what the tests left, and say what had to be changed."""
        folder = self.live.directory / FOLDER
        try:
            changes = dropped_files.make_safe(folder)
        except OSError as error:
            changes = [dropped_files.Change(FOLDER, f"cannot be looked at: {error.strerror}")]
        if changes:
            words = _changed(changes)
            self.remarks.append(words)
            told = [{"name": as_text(one.name), "why": one.why} for one in changes[:MOST_CHANGES]]
            data = {"warning": "ArtifactsChanged", "message": words, "artifacts": told}
            self.live.append("Warning", category="log", level="WARN", message=words, data=data)

    def _take_suite_bundles(self, results: Results) -> bool:
        """Take in the tests that the suite recorded itself, where pytest did not tell of them."""
        folder = self.live.directory / FOLDER
        by_pytest = any(one.info.get("runner") == "pytest" for one in results.sessions)
        if by_pytest or not folder.is_dir() or not any(folder.iterdir()):
            return False
        from bundler import suite_bundles

        known = {test.test_id for test in results.tests}
        manifest = self.live.manifest
        try:
            members = archive.open_directory(self.live.directory)
            told = suite_bundles.recorded(
                members, FOLDER, known, started_at=manifest.created_at, seed=manifest.seed
            )
        except BundleError as error:
            self.remarks.append(f"the test bundles of the suite cannot be read: {error.message}")
            return False
        if told is None:
            return False
        self._next_lane()
        self._shift_us = 0
        for _, event in told.events():
            self._tell(event, event.payload())
        self.remarks += [f"{FOLDER}: {problem}" for problem in told.problems[:MOST_REMARKS]]
        return True

    def finish(self, ending: Ending, *, is_one_test: bool = False) -> Recorded | None:
        """Finish the bundle and return it, or None where the recording failed.

        `is_one_test`: the command itself is a test, unless there was one inside it.
        """
        try:
            if self._thread.is_alive():
                self._thread.join(timeout=5)
            return self._finish(ending, is_one_test=is_one_test)
        except (OSError, ValueError) as error:
            self.disarm(error)
        finally:
            self._close()
        return None

    def _finish(self, ending: Ending, *, is_one_test: bool) -> Recorded:
        self._output.flush()
        names = self._mask_names() if self.request.redact else 0
        self._look_at_artifacts()
        recording = Recording(
            self.live.manifest, {}, bundle.plain_log(self.live.log), {}, str(self.live.directory)
        )
        self._mask_files(names)
        results = fold(recording.events())
        if self._take_suite_bundles(results):
            results = fold(recording.events())
        if is_one_test and ending.started and not results.sessions:
            self._tell_command(ending)
            results = fold(recording.events())
        if self._timed_out and self._close_timed_out(results):
            results = fold(recording.events())
        if self._write_test_bundles(recording, results):
            results = fold(recording.events())
        _remove_if_empty(self.live.directory / FOLDER)
        status = self._status(ending) or judge(ending, results, runner=self.request.runner)
        if status.reason:
            reason = self.live.masker.text(status.reason)
            status = msgspec.structs.replace(status, reason=reason)
        _add_test_environment(self.live.directory / bundle.ENVIRONMENT, results)
        manifest = self.live.finish(status, _now(), results)
        return Recorded(self.store, self.live.directory, manifest, results)

    def _mask_names(self) -> int:
        """Mask the names of what the tests left, before they are made safe in another way."""
        try:
            return mask_names(self.live.directory, self.live.masker, self._ours)
        except OSError:
            self._look_at_artifacts()  # a tree that is too deep for any path has to go first
            return mask_names(self.live.directory, self.live.masker, self._ours)

    def _mask_files(self, names: int) -> None:
        """Mask what the tests left; where something packed holds a secret, say so."""
        if not self.request.redact:
            return
        live, ours = self.live, self._ours
        if not names and next(files_below(live.directory, ours), None) is None:
            return
        from bundler.scanning import is_packed, scan

        counts = mask_files(live.directory, live.masker, ours)
        counts += Counter(name=names)
        left = []
        for path in files_below(live.directory, ours):
            name = path.relative_to(live.directory).as_posix()
            try:
                if not is_packed(path) or not next(scan(path, live.masker), None):
                    continue
                left.append(name)
                self._warn(
                    "SecretLeft", f"{name} is packed and holds a secret, which is not masked"
                )
            except UnreadableRecording as error:  # the gate refuses what the tests are free to make
                self._warn("NotSearched", f"{name} is not searched for secrets: {error}")
        redaction = Redaction(masked_in_files=dict(sorted(counts.items())), left=left)
        live.manifest = msgspec.structs.replace(live.manifest, redaction=redaction)

    def _warn(self, kind: str, words: str) -> None:
        words = self.live.masker.text(words)
        data = {"warning": kind, "message": words}
        self.live.append("Warning", category="log", level="WARN", message=words, data=data)

    def _tell_command(self, ending: Ending) -> None:
        """The command as a test: its id is its words, its output the run's."""
        session, name = {"session": COMMAND_SESSION}, command_test(self.live.manifest.command.argv)
        now_us = (time.monotonic_ns() - self.live.started_ns) // 1000
        outcome, why = _outcome(ending)
        began = {**session, "runner": COMMAND_RUNNER}
        told: list[tuple[str, str | None, int, dict[str, Any]]] = [
            ("SessionStarted", None, 0, began),
            ("TestStarted", name, 0, {**session, "attempt": 1}),
        ]
        if outcome is not None:
            failures = [{"phase": "call", "message": why}] if why else []
            ended = {"outcome": outcome, "call_us": now_us, "failures": failures}
            told.append(("TestFinished", name, now_us, {**session, "attempt": 1, **ended}))
        told.append(("SessionFinished", None, now_us, {**session, "exit_status": ending.exit_code}))
        for event, test_id, ts_us, data in told:
            category = "test" if test_id else "run"
            self.live.append(
                event, category=category, message="", test_id=test_id, ts_us=ts_us, data=data
            )

    def _status(self, ending: Ending) -> RunStatus | None:
        """How the runner says that the run ended, unless it ended otherwise."""
        told = self._told
        as_told = told is not None and told.exit_code == ending.exit_code
        return told if as_told and not ending.forwarded and ending.signal is None else None

    def _write_test_bundles(self, recording: Recording, results: Results) -> bool:
        """Write the test bundles; where there are too many, say so in the log."""
        recording.results = results
        try:
            left_out = test_bundles.write(self.live.directory, recording)
        except OSError as error:
            self.disarm(error)
            return False  # the log has everything, and is sealed all the same
        if left_out:
            words = f"{left_out} more tests did not pass and have no bundle of their own"
            data = {"warning": "TestBundlesLeftOut", "message": words}
            self.live.append("Warning", category="log", level="WARN", message=words, data=data)
        return left_out > 0

    def _close_timed_out(self, results: Results) -> bool:
        """pytest-timeout's thread method kills the process; what was running had timed out."""
        running = [test for test in results.tests if test.attempts and _is_open(test.attempts[-1])]
        for test in running:
            self.live.append(
                "TestFinished",
                category="test",
                level="ERROR",
                message="timed out",
                test_id=test.test_id,
                seed=test.seed,
                data={
                    "session": test.session,
                    "occurrence": test.occurrence,
                    "outcome": "timed_out",
                    "reason": "pytest-timeout ended the process",
                    "failures": [],
                },
            )
        return bool(running)

    def _describe(self, env: dict[str, str]) -> None:
        try:
            document = self.live.masker.value(environment.collect(env, self.request.cwd))
            path = self.live.directory / bundle.ENVIRONMENT
            atomic.write(path, encode_document(document))
        except (OSError, ValueError) as error:
            self.disarm(error)

    def disarm(self, error: Exception) -> None:
        """Record no more; the first reason is kept."""
        if self.problem is None:
            self.problem = getattr(error, "strerror", None) or str(error) or type(error).__name__

    def _close(self) -> None:
        try:
            self.live.close()
        except OSError as error:
            self.disarm(error)


def command_test(argv: Sequence[str]) -> str:
    """Return the id of a command that is one test: its words, as a shell takes them."""
    return shlex.join(as_text(word) for word in redact_argv(list(argv)))


def _outcome(ending: Ending) -> tuple[str | None, str]:
    """How the command ended as a test, and why; None where it was stopped before its end."""
    if ending.signal is not None:
        name = signal_name(ending.signal)
        return (None, "") if ending.forwarded else ("crashed", f"killed by {name}")
    if ending.exit_code == 0:
        return "passed", ""
    return "failed", f"exit code {ending.exit_code}"


def begin(
    request: Request, store: Store, env: Mapping[str, str], documents: Mapping[str, bytes]
) -> Recorder:
    """Begin to record a run in the store, with these documents in its bundle.

    Raises OSError where the store refuses.
    """
    run_id = str(uuid.uuid4())
    argv = [as_text(word) for word in request.argv]
    argv, masker = masked_command(argv, env) if request.redact else (argv, OFF)
    manifest = RunManifest(
        format=Format(),
        run_id=run_id,
        seed=request.seed,
        seed_hex=show_seed(request.seed),
        seed_imposed=request.seed_imposed,
        created_at=_now(),
        command=Command(
            argv=argv,
            cwd=masker.text(as_text(str(request.cwd))),
            runner=request.runner,
            project=masker.text(as_text(str(store.project))),
            added=request.added,
            results=list(request.results),
        ),
        status=RunStatus("running"),
        parent=Parent(request.parent) if request.parent else None,
        recorder={"name": "seedbundle", "version": __version__},
        ci=masker.value(environment.ci_coordinates(env)),
        redaction=Redaction(on=request.redact),
    )
    directory = store.new_run(run_id)
    for name, content in documents.items():
        atomic.write(directory / name, content)
    live = bundle.begin(directory, manifest, started_ns=time.monotonic_ns(), masker=masker)
    (directory / FOLDER).mkdir(exist_ok=True)
    return Recorder(request, store, live, env, documents)


def probe_settings(recorder: Recorder, probe_path: Path) -> str:
    """Return the value of BUNDLE_PROBE: what the probe in the test process needs to know."""
    live = recorder.live
    selection = live.directory / SELECTION
    return json.dumps(
        {
            "v": 1,
            "run_id": live.manifest.run_id,
            "directory": str(live.directory),
            "log": str(live.log),
            "t0_ns": live.started_ns,
            "seed_hex": live.manifest.seed_hex,
            "path": str(probe_path),
            "output_limit": recorder.request.output_limit,
            "selection": str(selection) if selection.exists() else None,
            "impose": live.manifest.seed_imposed,
            "watch_entropy": recorder.request.watch_entropy,
            "redact": recorder.request.redact,
        }
    )


def as_text(word: str) -> str:
    """Return a word of the system as text: bytes that are not UTF-8 are shown as escapes."""
    return word.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


class _BoundedOutput:
    """What the command prints, as RunOutput events: the head as it comes, a tail kept for the end.

    It is masked before it is cut; what may be the beginning of a secret waits for what follows. A
    test runner prints a character a test, so what comes within a moment is one event.
    """

    def __init__(self, live: bundle.LiveBundle) -> None:
        self._live = live
        self._pending = bytearray()
        self._stream = ""
        self._since = 0.0
        self._written = 0
        self._tail: list[tuple[str, bytes]] = []
        self._tail_bytes = 0
        self._omitted = 0
        self._masked: dict[str, Stream] = {}

    def take(self, stream: str, chunk: bytes) -> None:
        now = time.monotonic()
        if stream != self._stream:
            self._pass_on()
            self._stream = stream
        if not self._pending:
            self._since = now
        self._pending += chunk
        if len(self._pending) >= CHUNK or now - self._since > MOMENT_S:
            self._pass_on()

    def rest(self) -> None:
        """Write what is pending: nothing more may come for a while."""
        if self._pending and time.monotonic() - self._since > MOMENT_S:
            self._pass_on()

    def flush(self) -> None:
        """Write what is pending and the tail that was kept back, the cut counted on its start."""
        self._pass_on()
        for stream, masked in self._masked.items():
            self._bound(stream, masked.flush())
        omitted, self._omitted = self._omitted, 0
        for stream, piece in self._tail:
            self._append(stream, piece, omitted)
            omitted = 0
        self._tail = []

    def _pass_on(self) -> None:
        pending, self._pending = bytes(self._pending), bytearray()
        if pending:
            stream = self._masked.setdefault(self._stream, self._live.masker.stream())
            self._bound(self._stream, stream.feed(pending))

    def _bound(self, stream: str, content: bytes) -> None:
        for begin in range(0, len(content), CHUNK):
            piece = content[begin : begin + CHUNK]
            if self._written + len(piece) <= RUN_OUTPUT_LIMIT and not self._tail:
                self._written += len(piece)
                self._append(stream, piece, 0)
            else:
                self._keep(stream, piece)

    def _keep(self, stream: str, piece: bytes) -> None:
        self._tail.append((stream, piece))
        self._tail_bytes += len(piece)
        while self._tail_bytes - len(self._tail[0][1]) > RUN_OUTPUT_TAIL:
            dropped = self._tail.pop(0)[1]
            self._tail_bytes -= len(dropped)
            self._omitted += len(dropped)

    def _append(self, stream: str, piece: bytes, omitted: int) -> None:
        data: dict[str, object] = {"stream": stream, **text_fields(piece)}
        if omitted:
            data["omitted_bytes"] = omitted
        self._live.append("RunOutput", category="output", message="", data=data, masked=True)


def _changed(changes: Sequence[dropped_files.Change]) -> str:
    more = len(changes) - MOST_REMARKS
    count = "1 file" if len(changes) == 1 else f"{len(changes)} files"
    shown = "; ".join(map(str, changes[:MOST_REMARKS])) + (f"; {more} more" if more > 0 else "")
    return f"{count} that the tests left had to be renamed or removed: {shown}"


def _remove_if_empty(folder: Path) -> None:
    try:
        folder.rmdir()
    except OSError:
        pass  # there is something in it, which is why it is there


def _is_open(attempt: Attempt) -> bool:
    return attempt.outcome is None


def _add_test_environment(path: Path, results: Results) -> None:
    """Put what the probe saw of the test interpreter beside what the wrapper saw of the machine."""
    if not results.sessions or not path.exists():
        return
    document = parse_document(path.read_bytes(), path.name)
    kept = ("runner", "runner_version", "python", "executable", "plugins", "packages", "hash_probe")
    document["sessions"] = [
        {"session": session.id, **{key: session.info[key] for key in kept if key in session.info}}
        for session in results.sessions
    ]
    atomic.write(path, encode_document(document))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


SEED_VARIABLES = ("TEST_RANDOM_SEED", "PROPTEST_RNG_SEED", "MADSIM_TEST_SEED", "ASUPERSYNC_SEED")
"""What other runners take their seed from; set only where a seed is imposed."""


def child_variables(
    recorder: Recorder, env: Mapping[str, str], *, fix_hash: bool
) -> dict[str, str]:
    """Return what a child process is given beside its environment."""
    manifest = recorder.live.manifest
    fixes = fix_hash and "PYTHONHASHSEED" not in env
    hashing = {"PYTHONHASHSEED": str(hash_seed(manifest.seed))} if fixes else {}
    imposed = {name: str(manifest.seed) for name in SEED_VARIABLES if name not in env}
    unmasked = {} if recorder.request.redact else {UNMASKED: "1"}
    return {
        **unmasked,
        "BUNDLE_RUN_ID": manifest.run_id,
        "BUNDLE_RUN_SEED": manifest.seed_hex,
        **hashing,
        **(imposed if manifest.seed_imposed else {}),
        **artifact_variables(recorder, env),
    }


def artifact_variables(recorder: Recorder, env: Mapping[str, str]) -> dict[str, str]:
    """Return where a suite finds the place for its artifacts: in the bundle of this run.

    What a user set stays; what a recording around this one set does not.
    """
    around = env.get("BUNDLE_RUN_ID")
    place = str((recorder.live.directory / FOLDER).absolute())
    theirs = {name for name in BASE_VARIABLES if env.get(name, "").strip()}
    ours = {name for name in theirs if around and around in env[name]}
    return {name: place for name in BASE_VARIABLES if name not in theirs - ours}
