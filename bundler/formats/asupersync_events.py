"""One test bundle of asupersync as the events of a run: started, what it did, how it ended."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from operator import itemgetter
from typing import Any

from bundler.archive import Members
from bundler.errors import UnreadableRecording
from bundler.formats.asupersync_bundles import EVENT_LOG, TestBundle, name_of_directory
from bundler.formats.asupersync_lines import OwnEvents, entries
from bundler.probe.writer.media_types import media_type_of
from bundler.probe.writer.phases import PATH_SEPARATOR
from bundler.results import Failure, Verdict
from bundler.testing import AssertionRecord, PhaseNode, ReproManifest
from bundler.testing.harness import sentence_of
from bundler.translation import Execution, Translation

DOCUMENT_LEVEL = "TRACE"
"""At which a document of a bundle is named, which is no file that the test itself left there."""

_OUTPUT_BYTES = 64 * 1024
_MAX_TEST_ID = 16 * 1024
_MAX_TEXT = 2048
_MAX_FAILURES = 60
_Timed = tuple[int, Any]
_time = itemgetter(0)


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
        said = sorted(_of_summary(bundle), key=_time)
        if said and own.logs_phases():
            said = []
        for _, one in heapq.merge(own.lines(), said, self._entries(bundle), key=_time):
            if not self._own_events:
                continue
            if isinstance(one, bytes):
                self._out.line(one)
            else:
                self._say(bundle, **one)
        self._finish(bundle, test, own)

    def _take_recorded(self, bundle: TestBundle, own: OwnEvents, session: str) -> None:
        """The test bundle of a run of ours: its events say it all, and its files are beside."""
        for _, line in own.lines():
            self._out.line(line)
        test = Execution(session, bundle.test_id, seed=bundle.seed)
        for path in bundle.names:
            self._take_file(bundle, path, own, test, own.last_us)
        self._tests += 1
        self.last_us = max(self.last_us, own.last_us)

    def _finish(self, bundle: TestBundle, test: Execution, own: OwnEvents) -> None:
        """Say what the test left, and how it ended where anything said it; else it is unfinished.

        The event log of layout 3 is text for people, without a time of its own: it is output.
        """
        duration = None if bundle.summary is None else _us(bundle.summary.duration_ms)
        end_us = max(own.last_us, duration or 0)
        self.last_us = max(self.last_us, end_us)
        for piece in self._pieces(bundle, EVENT_LOG) if self._own_events else ():
            self._out.test_output(test, piece, stream="log", ts_us=end_us)
        for path in bundle.names:
            self._take_file(bundle, path, own, test, end_us)
        if bundle.passed is not None:
            self._out.test_finished(
                test,
                Verdict.PASSED if bundle.passed else Verdict.FAILED,
                call_us=duration,
                failures=[] if bundle.passed else _failures(bundle),
                properties=_properties(bundle.manifest) if bundle.manifest else [],
                ts_us=end_us,
            )

    def _take_file(
        self, bundle: TestBundle, path: str, own: OwnEvents, test: Execution, ts_us: int
    ) -> None:
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
        level = "INFO" if path in bundle.files else DOCUMENT_LEVEL
        self._say(bundle, "Attachment", name, data, category="artifact", level=level, ts_us=ts_us)

    def _entries(self, bundle: TestBundle) -> Iterator[_Timed]:
        """The entries of the event log of layout 3."""
        name = bundle.document(EVENT_LOG)
        if name is None:
            return
        try:
            with self._members.open(name) as file:
                for entry in entries(file):
                    yield entry["ts_us"], {"event": "LogEntry", "data": {}, **entry}
        except UnreadableRecording:
            return  # reading it as output says why

    def _pieces(self, bundle: TestBundle, document: str) -> Iterator[bytes]:
        name = bundle.document(document)
        if name is None:
            return
        try:
            with self._members.open(name) as file:
                yield from iter(lambda: file.read(_OUTPUT_BYTES), b"")
        except UnreadableRecording as error:
            bundle.problems.append(error.message)

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


def _of_summary(bundle: TestBundle) -> Iterator[_Timed]:
    """What the harness of ours would have logged: phases and assertions."""
    for phase in bundle.summary.phases if bundle.summary else ():
        yield from _of_phase(phase, "")
    for record in bundle.failed:
        if not record.phase_path:  # outside of all phases, so not in the tree
            yield _of_assertion(record)


def _of_phase(phase: PhaseNode, around: str) -> Iterator[_Timed]:
    path = f"{around}{PATH_SEPARATOR}{phase.name}" if around else phase.name
    where = {"name": phase.name, "path": path, "depth": phase.depth}
    fields = {"message": path, "category": "phase"}
    start_us = _us(phase.start_ms)
    yield start_us, {"event": "PhaseStarted", **fields, "data": where, "ts_us": start_us}
    yield from map(_of_assertion, phase.assertions)
    for child in phase.children:
        yield from _of_phase(child, path)
    if phase.end_ms is not None:
        end_us, where = _us(phase.end_ms), {**where, "duration_us": _us(phase.duration_ms or 0)}
        yield end_us, {"event": "PhaseFinished", **fields, "data": where, "ts_us": end_us}


def _of_assertion(record: AssertionRecord) -> _Timed:
    fields = {
        "event": "AssertionRecorded",
        "message": record.description if record.passed else sentence_of(record),
        "category": "assertion",
        "level": "DEBUG" if record.passed else "ERROR",
        "data": record.to_document(),
        "ts_us": _us(record.elapsed_ms),
    }
    return _us(record.elapsed_ms), fields


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
