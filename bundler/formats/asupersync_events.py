"""One test bundle of asupersync as the events of a run: started, what it did, how it ended."""

from __future__ import annotations

from typing import Any

from bundler.archive import Members
from bundler.errors import UnreadableRecording
from bundler.formats.asupersync_bundles import EVENT_LOG, TestBundle, name_of_directory
from bundler.formats.asupersync_lines import OwnEvents, entries
from bundler.probe.writer.media_types import media_type_of
from bundler.results import Failure, Verdict
from bundler.testing import AssertionRecord, ReproManifest, TestSummary
from bundler.testing.harness import sentence_of
from bundler.translation import Execution, Translation

_OUTPUT_BYTES = 64 * 1024
_MAX_TEST_ID = 16 * 1024
_MAX_TEXT = 2048
_MAX_FAILURES = 60


class BundleTranslation:
    """Translate bundles, one after another; `last_us` is the latest time in any of them.

    Without `own_events`, what a test itself logged is looked at, and not translated.
    """

    def __init__(
        self, translation: Translation, members: Members, session: str, *, own_events: bool = True
    ) -> None:
        self.last_us = 0
        self._out = translation
        self._members = members
        self._session = session
        self._own_events = own_events
        self._tests = 0
        self._occurrences: dict[str, int] = {}

    def take(self, bundle: TestBundle) -> None:
        """Say what one bundle has, and learn from its events what its documents lack."""
        own = OwnEvents(bundle, self._members)
        _identify(bundle, own)
        if (session := own.recorded_session()) is not None:
            self._take_recorded(bundle, own, session)
            return
        occurrence = self._occurrences[bundle.test_id] = (
            self._occurrences.get(bundle.test_id, 0) + 1
        )
        test = Execution(self._session, bundle.test_id, occurrence=occurrence, seed=bundle.seed)
        self._out.test_started(test, order=self._tests, ts_us=0)
        self._tests += 1
        for line in own.lines():
            if self._own_events:
                self._out.line(line)
        if self._own_events:
            if bundle.summary is not None and not own.has_phases:
                self._take_summary(bundle, bundle.summary)
            self._take_event_log(bundle, test)
        for path in bundle.files:
            self._take_file(bundle, path, own, test)
        self._finish(bundle, test, own.last_us)

    def _take_recorded(self, bundle: TestBundle, own: OwnEvents, session: str) -> None:
        """The test bundle of a run of ours: its events say it all, and its files are beside."""
        for line in own.lines():
            self._out.line(line)
        test = Execution(session, bundle.test_id, seed=bundle.seed)
        for path in bundle.files:
            self._take_file(bundle, path, own, test)
        self._tests += 1
        self.last_us = max(self.last_us, own.last_us)

    def _take_file(self, bundle: TestBundle, path: str, own: OwnEvents, test: Execution) -> None:
        relative = path.removeprefix(bundle.directory)
        said = own.attachments.get(relative, {})
        name = said.get("name", relative)
        data = {
            **test.key,
            "name": name,
            "path": path,
            "media_type": said.get("media_type", media_type_of(relative)),
            "size": self._members.size(path),
        }
        self._say(bundle, "Attachment", name, data, category="artifact")

    def _take_summary(self, bundle: TestBundle, summary: TestSummary) -> None:
        """What the harness of ours would have logged: phases and assertions."""
        path: list[str] = []
        for phase in summary.walk():
            path = [*path[: phase.depth], phase.name]
            where = {"name": phase.name, "path": " > ".join(path), "depth": phase.depth}
            self._say_phase(bundle, "PhaseStarted", where, phase.start_ms)
            for record in phase.assertions:
                self._say_assertion(bundle, record)
            if phase.end_ms is not None:
                where["duration_us"] = _us(phase.end_ms - phase.start_ms)
                self._say_phase(bundle, "PhaseFinished", where, phase.end_ms)
        for record in bundle.failed:
            if not record.phase_path:  # outside of all phases, so not in the tree
                self._say_assertion(bundle, record)

    def _say_phase(
        self, bundle: TestBundle, event: str, where: dict[str, Any], at_ms: float
    ) -> None:
        self._say(bundle, event, where["path"], where, category="phase", ts_us=_us(at_ms))

    def _say_assertion(self, bundle: TestBundle, record: AssertionRecord) -> None:
        self._say(
            bundle,
            "AssertionRecorded",
            record.description if record.passed else sentence_of(record),
            record.to_document(),
            category="assertion",
            level="DEBUG" if record.passed else "ERROR",
            ts_us=_us(record.elapsed_ms),
        )

    def _take_event_log(self, bundle: TestBundle, test: Execution) -> None:
        """The event log of layout 3 is text for people: it is output, and each entry an event."""
        name = bundle.document(EVENT_LOG)
        if name is None:
            return
        try:
            with self._members.open(name) as file:
                while piece := file.read(_OUTPUT_BYTES):
                    self._out.test_output(test, piece, stream="log", ts_us=0)
            with self._members.open(name) as file:
                for entry in entries(file):
                    self._say(bundle, "LogEntry", entry.pop("message"), {}, **entry)
        except UnreadableRecording as error:
            bundle.problems.append(error.message)

    def _finish(self, bundle: TestBundle, test: Execution, last_us: int) -> None:
        """Say how the test ended, where anything said it; else it stays unfinished."""
        duration = None if bundle.summary is None else _us(bundle.summary.duration_ms)
        end_us = max(last_us, duration or 0)
        self.last_us = max(self.last_us, end_us)
        if bundle.passed is not None:
            self._out.test_finished(
                test,
                Verdict.PASSED if bundle.passed else Verdict.FAILED,
                call_us=duration,
                failures=[] if bundle.passed else _failures(bundle),
                properties=_properties(bundle.manifest) if bundle.manifest else [],
                ts_us=end_us,
            )

    def _say(
        self,
        bundle: TestBundle,
        event: str,
        message: str,
        data: dict[str, Any],
        *,
        category: str,
        level: str = "INFO",
        ts_us: int = 0,
    ) -> None:
        self._out.event(
            event,
            message=message,
            category=category,
            level=level,
            test_id=bundle.test_id,
            seed=bundle.seed,
            data=data,
            ts_us=ts_us,
        )


def _identify(bundle: TestBundle, own: OwnEvents) -> None:
    """Who the test is, where its documents do not say it: what its events say, or its directory."""
    if not bundle.test_id:
        said = own.first_of_a_test()
        if said is not None:
            bundle.test_id = said.test_id or ""
            bundle.seed = said.seed if bundle.seed is None else bundle.seed
    if len(bundle.test_id) > _MAX_TEST_ID:
        bundle.problems.append(f"{bundle.where}: a test id of {len(bundle.test_id)} characters")
        bundle.test_id = ""
    bundle.test_id = bundle.test_id or name_of_directory(bundle.directory)


def _failures(bundle: TestBundle) -> list[Failure]:
    """Every failed assertion and every violation; else the reason, or at least the class."""
    manifest = bundle.manifest
    broken = manifest.failure_class if manifest else "assertion_failure"
    found = [("assertion_failure", sentence_of(one)) for one in bundle.failed]
    found += [("oracle_violation", one) for one in (manifest.oracle_violations if manifest else ())]
    reason = manifest.failure_reason if manifest else None
    if reason is not None and reason not in (message for _, message in found):
        found.insert(0, (broken, reason))
    if not found:
        found = [(broken, broken)]
    more = len(found) - _MAX_FAILURES
    if more > 0:
        found = [*found[:_MAX_FAILURES], (broken, f"and {more} more")]
    return [Failure("call", _cut(text), type=_cut(kind)) for kind, text in found]


def _properties(manifest: ReproManifest) -> list[tuple[str, str]]:
    """What else the manifest says, for a person to look at."""
    names = ["failure_class", "trace_fingerprint", "replay_command", "subsystem", "invariant"]
    names += ["adapter", "config_hash", "input_digest", "entropy_seed", "trace_file", "input_file"]
    values = ((name, getattr(manifest, name)) for name in names)
    return [(name, _cut(str(value))) for name, value in values if value is not None]


def _us(milliseconds: float) -> int:
    """Microseconds, within what an event can hold; a stranger's number may be anything."""
    return int(min(max(milliseconds * 1000, 0), 1 << 62))


def _cut(text: str) -> str:
    return text if len(text) <= _MAX_TEXT else f"{text[:_MAX_TEXT]}…"
