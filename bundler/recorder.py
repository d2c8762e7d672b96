"""The recorder around a command: begins a bundle, takes what the child prints, finishes the bundle.

The guest never breaks the host: the first error of the recording disarms it and is remembered as
one sentence; the child and its exit code are what they would have been.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
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
    environment,
    left_files,
    live_bundle,
    test_bundles,
)
from bundler.errors import BundleError, own_fault
from bundler.events import Event, as_text
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
from bundler.recording import Recording
from bundler.redaction import OFF, masked_command, redact_argv
from bundler.results import Attempt, Results, fold
from bundler.run_output import RunOutput
from bundler.runner_events import RunnerEvents
from bundler.seeds import show_seed
from bundler.status import Ending, judge
from bundler.store import Store
from bundler.test_bundles import FOLDER

TIMEOUT_MARK = b"+++ Timeout +++"
TAIL_BYTES = 64 * 1024
NOT_REDACTED = (
    "WARNING: --no-redact: secrets are not masked; whoever gets this recording can read them"
)
NO_SESSION = "00000000"
LEFT_OUT_AT_ONCE = 500
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


class Recorder:
    """One run being recorded by the wrapper.

    `problem` says why it stopped recording, if it did; `remarks` are what else there is to say.
    """

    def __init__(
        self,
        request: Request,
        store: Store,
        live: live_bundle.LiveBundle,
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
        self._output = RunOutput(live)
        self._timed_out = False
        self._runners = RunnerEvents(live)
        self._told: RunStatus | None = None
        self._thread = threading.Thread(target=self._describe, args=(dict(env),), daemon=True)

    def start_describing(self) -> None:
        """Collect environment.json beside the running child: asking git takes a while."""
        self._thread.start()

    def output(self, stream: str, chunk: bytes) -> None:
        """Take what the child printed. Never raises."""
        window = self.tail + chunk
        self._timed_out = self._timed_out or TIMEOUT_MARK in window[-len(chunk) - 32 :]
        self.tail = window[-TAIL_BYTES:]
        self._unless_disarmed(self._output.take, stream, chunk)

    def idle(self) -> None:
        """Nothing was printed for a moment: write what is pending. Never raises."""
        self._unless_disarmed(self._output.rest)

    def begin_invocation(self, argv: Sequence[str]) -> None:
        """The command is started: once, or several times where its tests take that. Never raises.

        Words of ours that differ from the command's own are noted.
        """
        self._runners.next_runner()
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
        self._unless_disarmed(self.live.append, event, category="run", message=message, data=data)

    def tell(self, event: Event) -> None:
        """Take in what the runner says of this run, as it says it. Never raises.

        Its RunStarted says when its own clock began.
        """
        self._unless_disarmed(self._runners.take, event)

    def sessions(self) -> int:
        """How many runners have told of themselves so far. Never raises."""
        try:
            with self.live.log.open("rb") as log:
                return sum(b'"event":"SessionStarted"' in line for line in log)
        except OSError:
            return 0

    def take_in(self, told: Recording) -> None:
        """Take in what the runner itself recorded of this run, and its files. Never raises."""
        self._unless_disarmed(self._take_in, told)

    def _take_in(self, told: Recording) -> None:
        self._output.flush()
        self._runners.take_recording(told)
        self._told = told.manifest.status

    def _unless_disarmed(self, write: Callable[..., None], *arguments: Any, **options: Any) -> None:
        """Write as long as nothing has gone wrong; what goes wrong now disarms the recording."""
        if self.problem is None:
            try:
                write(*arguments, **options)
            except Exception as error:  # a fault of ours, too, is nothing to the command
                self.disarm(error)

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
        self._runners.take_suite(told)
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
        except Exception as error:  # a fault of ours, too: the command ends as it ended
            self.disarm(error)
        finally:
            self._close()
        return None

    def _finish(self, ending: Ending, *, is_one_test: bool) -> Recorded:
        self._output.flush()
        recording = Recording(
            self.live.manifest, {}, bundle.plain_log(self.live.log), {}, str(self.live.directory)
        )
        left_files.settle(self.live, self._ours, self.remarks.append, redact=self.request.redact)
        results = fold(recording.events())
        if self._take_suite_bundles(results):
            results = fold(recording.events())
        if is_one_test and ending.started and not results.sessions:
            from bundler import command_as_test

            command_as_test.tell(self.live, ending)
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
            self.live.warn("TestBundlesLeftOut", words)
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
            self.problem = _in_words(error)

    def _close(self) -> None:
        try:
            self.live.close()
        except OSError as error:
            self.disarm(error)


def _in_words(error: Exception) -> str:
    if not isinstance(error, OSError | ValueError | BundleError):
        return own_fault(error)
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


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
    live = live_bundle.begin(directory, manifest, started_ns=time.monotonic_ns(), masker=masker)
    (directory / FOLDER).mkdir(exist_ok=True)
    return Recorder(request, store, live, env, documents)


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
