"""What tests said of themselves in a recording: their own events, in the order of their time.

    the log                       whatever in it is no event of a run
    tests/…/<seed>/events.ndjson  in a run bundle: what a test logged into its own bundle

Times are microseconds since the run started. A test bundle counts from the start of its test, so
that is added. Its attempts stand one after another in it: the next one began at `AttemptStarted`
(whose data may say which, as `attempt`), else where the time of a thread goes back, or where the
attempt was over already. All of it is read as a stream, and of few files at a time, so memory does
not grow with the number of events.
"""

from __future__ import annotations

import heapq
import itertools
import json
import re
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from bundler.errors import UnreadableRecording
from bundler.eventlog import Line, split_lines
from bundler.events import LEVELS, RUN_EVENTS, Event, decode_line
from bundler.names import slug
from bundler.recording import Recording, opened
from bundler.results import Results

FOLDER = "tests/"
ATTEMPT_STARTED = "AttemptStarted"
EVENTS = "events.ndjson"
DOCUMENT_LEVEL = "TRACE"
"""At which the reader of test bundles names their documents."""

MOST_OPEN = 100
_READ_BYTES = 256 * 1024
_MOST_THREADS = 10_000
_RANKS = {level: rank for rank, level in enumerate(LEVELS)}
_TIME = re.compile(rb'\{"v":1,"ts_us":\d+,')

AttemptKey = tuple[str, int, int]
"""Session, occurrence, number: which attempt of its test it was."""


@dataclass(frozen=True, slots=True)
class OwnEvent:
    """One event: when it happened since the run started, and its line as it was recorded.

    `attempt` is the attempt in which it happened, None where that is not known.
    """

    ts_us: int
    event: Event
    content: bytes
    attempt: AttemptKey | None = None

    @property
    def line(self) -> bytes:
        """Its line with the time since the run started, all else as it was recorded."""
        if self.ts_us == self.event.ts_us:
            return self.content
        head = _TIME.match(self.content)
        if head is not None:
            return b'{"v":1,"ts_us":%d,' % self.ts_us + self.content[head.end() :]
        document = {**json.loads(self.content), "ts_us": self.ts_us}
        return json.dumps(document, separators=(",", ":")).encode("ascii")


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which events are shown: this level and the graver ones, these categories (none: all).

    A level that nobody knows counts as grave.
    """

    level: str = LEVELS[-1]
    categories: frozenset[str] = frozenset()

    def __call__(self, event: Event) -> bool:
        """Whether an event is shown."""
        if self.categories and event.category not in self.categories:
            return False
        return _RANKS.get(event.level, 0) <= _RANKS[self.level]


EVERYTHING = Wanted()


def own_events(
    recording: Recording,
    wanted: Wanted = EVERYTHING,
    *,
    tests: Container[str] | None = None,
    with_run: bool = False,
    problems: list[str] | None = None,
) -> Iterator[OwnEvent]:
    """Yield the events of these tests (None: of all, and of none in particular).

    `with_run` is for what the log says of them, too. What cannot be read is passed over; a sentence
    about it goes to `problems`.
    """
    log = _of_log(recording, with_run=with_run)
    files = _event_files(recording.files) if is_ours(recording) else []
    sources = [(0, lambda: _wanted(log, wanted, tests))]
    sources += _of_files(recording, files, wanted, tests, problems) if files else []
    return _merged(sources)


def course(recording: Recording, test_id: str) -> Iterator[Event]:
    """Yield what the run saw of one test and what the test said of itself, by time."""
    return (own.event for own in own_events(recording, tests={test_id}, with_run=True))


class Attempts:
    """The events of one test by attempt, what the log says of it among them: ask in their order.

    In a recording of another tool its occurrences may be many (one for each seed), and they follow
    one another in the log: then one pass does for all of them.
    """

    def __init__(
        self, recording: Recording, test_id: str, problems: list[str] | None = None
    ) -> None:
        self._recording, self._test_id, self._problems = recording, test_id, problems
        self._in_a_row = not is_ours(recording)
        self._groups = self._pass()

    def of(self, key: AttemptKey) -> Iterator[OwnEvent]:
        """Yield the events of one attempt."""
        for _ in range(2):  # the rest of this pass, then another one
            for found, events in self._groups:
                if found == key:
                    yield from events
                    if self._in_a_row:
                        return
            self._groups = self._pass()
            if not self._in_a_row:
                return

    def _pass(self) -> Iterator[tuple[AttemptKey | None, Iterator[OwnEvent]]]:
        tests = {self._test_id}
        events = own_events(self._recording, tests=tests, with_run=True, problems=self._problems)
        return itertools.groupby(events, lambda own: own.attempt)


def is_ours(recording: Recording) -> bool:
    """Whether it is a run bundle of our own, in which `tests/` has test bundles."""
    return "format" not in (recording.manifest.source or {})


def _event_files(files: Mapping[str, bytes]) -> list[str]:
    """Return the names of the logs of test bundles in a run bundle."""
    return [name for name in files if name.startswith(FOLDER) and name.endswith(f"/{EVENTS}")]


def folders_of(test_id: str) -> tuple[str, ...]:
    """Return the names that the folder of a test may have: its id as it stands, or a slug."""
    return (slug(test_id), test_id)


@dataclass(frozen=True, slots=True)
class Span:
    """An attempt: which, when it began, and when it ended, as far as that is known."""

    key: AttemptKey
    start_us: int
    end_us: int | None = None


def _spans_of(results: Results) -> dict[str, list[Span]]:
    """Return the attempts of each test that started, by test id, in order."""
    spans: dict[str, list[Span]] = {}
    for test in results.tests:
        for attempt in test.attempts:
            key = (test.session, test.occurrence, attempt.number)
            span = Span(key, attempt.started_us, attempt.finished_us)
            spans.setdefault(test.test_id, []).append(span)
    for some in spans.values():
        some.sort(key=lambda span: span.start_us)
    return spans


def key_of(event: Event) -> AttemptKey:
    """Return which attempt a TestStarted begins."""
    try:
        data = event.payload()
        return str(data["session"]), int(data.get("occurrence", 1)), int(data.get("attempt", 1))
    except (ValueError, KeyError, TypeError):
        return "", 1, 1


class Placement:
    """Where in the run the events of one test bundle happened: ask for one after another.

    `spans` are the attempts of its test; they may grow meanwhile.
    """

    def __init__(self, spans: Sequence[Span]) -> None:
        self._spans = spans
        self._attempt = 0
        self._told = self._seen = False
        self._threads: dict[int, int] = {}

    def of(self, event: Event) -> tuple[int, AttemptKey | None]:
        """Return when an event happened since the run started, and in which attempt."""
        if not self._spans:
            return event.ts_us, None
        if event.event == ATTEMPT_STARTED:
            self._go_to(self._number_of(event))
            self._told = True
        elif not self._told and self._is_over(event):
            self._go_to(self._attempt + 1)
        self._seen = True
        if len(self._threads) > _MOST_THREADS:
            self._threads.clear()
        self._threads[event.thread_id] = event.ts_us
        span = self._spans[self._attempt]
        return span.start_us + event.ts_us, span.key

    def _go_to(self, attempt: int) -> None:
        if 0 <= attempt < len(self._spans):
            self._attempt = attempt
        self._threads.clear()

    def _number_of(self, event: Event) -> int:
        """Which of the spans an attempt is: the one of that number, else the next."""
        try:
            number = event.payload().get("attempt")
        except ValueError:
            number = None
        after = self._attempt + 1 if self._seen else self._attempt
        found = (at for at in range(after, len(self._spans)) if self._spans[at].key[2] == number)
        return next(found, after)

    def _is_over(self, event: Event) -> bool:
        """Whether an event is of the next attempt: within one, a thread's time never goes back."""
        span = self._spans[self._attempt]
        ended = span.end_us is not None and span.start_us + event.ts_us > span.end_us
        return ended or event.ts_us < self._threads.get(event.thread_id, 0)


def is_own(event: Event) -> bool:
    """Whether a test said it itself: no event of a run, and no document of its bundle."""
    if event.event == "Attachment":
        return event.level != DOCUMENT_LEVEL
    return event.event not in RUN_EVENTS


def decoded(line: Line) -> Event | str:
    """Return the event of a line, or why it is none; the last may lack its newline."""
    if line.problem and line.problem != "torn":
        return f"it is {line.problem}"
    try:
        return decode_line(line.content)
    except ValueError as error:
        return str(error)


def _wanted(
    events: Iterator[OwnEvent], wanted: Wanted, tests: Container[str] | None
) -> Iterator[OwnEvent]:
    of_all = tests is None
    for own in events:
        if wanted(own.event) and (of_all or (own.event.test_id or "") in (tests or ())):
            yield own


def _of_log(recording: Recording, *, with_run: bool) -> Iterator[OwnEvent]:
    attempts: dict[str | None, AttemptKey] = {}
    for line in recording.log.lines():
        event = decoded(line)
        if isinstance(event, str):
            continue  # the fold has noted it
        if event.event == "TestStarted":
            attempts[event.test_id] = key_of(event)
        if with_run or is_own(event):
            yield OwnEvent(event.ts_us, event, line.content, attempts.get(event.test_id))


def _of_files(
    recording: Recording,
    names: Sequence[str],
    wanted: Wanted,
    tests: Container[str] | None,
    problems: list[str] | None,
) -> Iterator[tuple[int, Callable[[], Iterator[OwnEvent]]]]:
    spans = _spans_of(recording.results)
    logging = {test.test_id for test in recording.results.tests if test.own_events}
    folders = {name: test_id for test_id in spans for name in folders_of(test_id)}

    def reading(name: str, test_id: str | None) -> Callable[[], Iterator[OwnEvent]]:
        events = _of_file(recording, name, test_id, spans, logging, problems)
        return lambda: _wanted(events, wanted, tests)

    for name in names:
        test_id = folders.get(name.split("/")[1])
        if tests is None or test_id is None or test_id in tests:
            some = spans.get(test_id or "", ())
            yield some[0].start_us if some else 0, reading(name, test_id)


def _of_file(
    recording: Recording,
    name: str,
    test_id: str | None,
    spans: Mapping[str, Sequence[Span]],
    logging: Container[str],
    problems: list[str] | None,
) -> Iterator[OwnEvent]:
    """The events of one test bundle; one that was derived from the log has them from there."""
    damaged, first, placement = 0, "", None
    for number, line in enumerate(_lines(recording.files, name, problems), start=1):
        event = decoded(line)
        if isinstance(event, str):
            if line.content.strip() and not (recording.live and line.problem == "torn"):
                damaged += 1
                first = first or f"line {number}: {event}"
            continue
        if number == 1 and event.event == "TestStarted" and event.test_id in logging:
            return
        if not is_own(event):
            continue
        if event.test_id is None and test_id is not None:
            event = msgspec.structs.replace(event, test_id=test_id)
        if placement is None:
            placement = Placement(spans.get(event.test_id or "", ()))
        ts_us, attempt = placement.of(event)
        yield OwnEvent(ts_us, event, line.content.rstrip(b"\r"), attempt)
    if damaged and problems is not None:
        noun = "a line that is" if damaged == 1 else f"{damaged} lines that are"
        problems.append(f"{name} has {noun} no event ({first})")


def _lines(files: Mapping[str, bytes], name: str, problems: list[str] | None) -> Iterator[Line]:
    try:
        with opened(files, name) as file:
            yield from split_lines(iter(lambda: file.read(_READ_BYTES), b""))
    except UnreadableRecording as error:
        if problems is not None:
            problems.append(error.message)


def _merged(
    sources: Sequence[tuple[int, Callable[[], Iterator[OwnEvent]]]],
) -> Iterator[OwnEvent]:
    """Merge streams by time; each is begun when its start is reached, so few are open at once.

    Where more than `MOST_OPEN` would be, the others wait until one has ended.
    """
    waiting = sorted(sources, key=lambda one: one[0])[::-1]
    heap: list[tuple[int, int, OwnEvent, Iterator[OwnEvent]]] = []
    numbers = itertools.count()
    while waiting or heap:
        while waiting and len(heap) < MOST_OPEN and (not heap or waiting[-1][0] <= heap[0][0]):
            events = waiting.pop()[1]()
            if (first := next(events, None)) is not None:
                heapq.heappush(heap, (first.ts_us, next(numbers), first, events))
        if not heap:
            continue
        _, number, own, events = heap[0]
        yield own
        following = next(events, None)
        if following is None:
            heapq.heappop(heap)
        else:
            heapq.heapreplace(heap, (following.ts_us, number, following, events))
