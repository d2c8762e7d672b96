"""The cases of a JUnit document: which there are, and what each of them says. Pure decisions.

`bundler.formats.junit` has the table of them, and writes them.
"""

from __future__ import annotations

import itertools
import shlex
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property

from bundler.recording import Recording
from bundler.results import (
    BAD,
    COMMAND_RUNNER,
    Attempt,
    CollectionProblem,
    Failure,
    Status,
    TestResult,
    Verdict,
)
from bundler.seeds import show_seed

MESSAGE_LIMIT = 500
"""Characters of a `message`, as pytest 9 cuts it; the text of the element is whole."""


@dataclass(frozen=True, slots=True)
class Mark:
    """One element that says what became of a case; its `tag` is failure, error or skipped."""

    tag: str
    message: str
    text: str = ""
    type: str | None = None
    phase: str = ""


@dataclass(frozen=True, slots=True)
class Case:
    """One testcase without its output: `outputs` and `earlier` tell where that is recorded.

    `headed` is whether its output stands under headings, as pytest writes it.
    """

    classname: str
    name: str
    duration_us: int = 0
    marks: tuple[Mark, ...] = ()
    properties: tuple[tuple[str, str], ...] = ()
    earlier: tuple[Attempt, ...] = ()
    flaky: bool = False
    outputs: list[int] = field(default_factory=list)
    headed: bool = False


@dataclass
class Suite:
    """One session of a test runner: what it could not collect, and its tests."""

    runner: str
    started_us: int = 0
    finished_us: int | None = None
    name: str = ""
    problems: dict[str, list[CollectionProblem]] = field(default_factory=dict)
    tests: list[TestResult] = field(default_factory=list)
    extra: tuple[Case, ...] = ()

    def cases(self) -> Iterator[Case]:
        """Yield the cases in pytest's order; each is made when it is asked for."""
        for node_id, problems in self.problems.items():
            yield _collection_case(node_id, problems)
        for test in self.tests:
            yield from _test_cases(test, self.runner)
        yield from self.extra

    def counts(self) -> Counter[str]:
        """How many cases it has (`tests`), and how many hold a failure, an error, a skipped."""
        return self._counts + _counted(case.marks for case in self.extra)

    @cached_property
    def _counts(self) -> Counter[str]:
        """Without making the cases: that takes longer."""
        lasts = (test.attempts[-1] if test.attempts else None for test in self.tests)
        counts = _counted(marks for last in lasts for _, marks in parts(last))
        problems = self.problems.values()
        return counts + _counted(tuple(map(_collection_mark, some)) for some in problems)

    def duration_us(self, run_us: int) -> int:
        """How long the session took; where it never finished, until the run ended."""
        end_us = run_us if self.finished_us is None else self.finished_us
        return end_us - self.started_us


def _counted(cases: Iterable[tuple[Mark, ...]]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for marks in cases:
        counts["tests"] += 1
        for tag in {mark.tag for mark in marks}:
            counts[tag] += 1
    return counts


def suites(recording: Recording) -> list[Suite]:
    """Return the suites of a run, one a session, and one where it had none."""
    runner = recording.manifest.command.runner
    found = list(_by_session(recording, runner).values()) or [Suite(runner)]
    if _speaks_for_itself(recording, found):
        found[-1].extra = (_command_case(recording),)
    return found


def _by_session(recording: Recording, runner: str) -> dict[str, Suite]:
    results = recording.results
    found = {
        one.id: Suite(
            str(one.info.get("runner", runner)),
            one.started_us,
            one.finished_us,
            name=str(one.info.get("suite", "")),
        )
        for one in results.sessions
    }
    for problem in results.collection:
        suite = found.setdefault(problem.session, Suite(runner))
        suite.problems.setdefault(problem.node_id, []).append(problem)
    for test in results.tests:
        found.setdefault(test.session, Suite(runner)).tests.append(test)
    return found


def _speaks_for_itself(recording: Recording, found: list[Suite]) -> bool:
    """Whether the run needs a case of its own: nothing else is there, or nothing else is red."""
    state = recording.manifest.status.state
    if state in (Status.RUNNING, Status.NO_TESTS):
        return False
    counts = sum((suite.counts() for suite in found), Counter())
    return not (counts["tests"] if state == Status.PASSED else counts["failure"] + counts["error"])


def _command_case(recording: Recording) -> Case:
    """Return the case of the run itself, named after its command, by how it ended."""
    manifest, status = recording.manifest, recording.manifest.status
    state = status.state.replace("_", " ")
    ended = f"killed by {status.signal}" if status.signal else f"exit code {status.exit_code}"
    tag = "failure" if status.state == Status.FAILED else "error"
    mark = Mark(tag, f"{state}: {status.reason or ended}", type=status.state)
    return Case(
        manifest.command.runner,
        shlex.join(manifest.command.argv),
        run_duration_us(recording),
        () if status.state == Status.PASSED else (mark,),
        outputs=recording.results.run_output_offsets,
    )


def run_duration_us(recording: Recording) -> int:
    """How long the run took, as far as it came."""
    known = recording.manifest.duration_us
    return recording.results.last_ts_us if known is None else known


def _collection_case(node_id: str, problems: Iterable[CollectionProblem]) -> Case:
    """Return the case of a file or class that was not collected; pytest may say why twice."""
    classname, name = address(node_id)
    return Case(classname, name, marks=tuple(map(_collection_mark, problems)))


def _collection_mark(problem: CollectionProblem) -> Mark:
    if problem.outcome is Verdict.SKIPPED:
        place = (problem.file, problem.line, f"Skipped: {problem.reason or ''}")
        return Mark("skipped", "collection skipped", str(place))
    return Mark("error", "collection failure", _text(problem.failures) or problem.reason or "")


def address(test_id: str) -> tuple[str, str]:
    """Return the classname and the name that pytest derives from a node id.

    The path and the classes become one dotted classname; what stands in the brackets of a
    parametrised test belongs to its name, also where it holds `/` or `::`.
    """
    path, separator, rest = test_id.partition("::")
    names, bracket, parameters = rest.partition("[")
    parts = [path.replace("/", ".").removesuffix(".py")]
    if separator:
        parts += names.split("::")
    if bracket:
        parts[-1] += f"[{parameters.removesuffix(']')}]"
    return ".".join(parts[:-1]), parts[-1]


def _test_cases(test: TestResult, runner: str = "pytest") -> Iterator[Case]:
    """Yield the one case of a test, or the two where its call failed and then its teardown."""
    is_pytest = runner == "pytest"
    last = test.attempts[-1] if test.attempts else None
    own = dict(last.properties) if last else {}
    known = address_of(test.test_id, runner)
    classname, name = (own.get(one, known[i]) for i, one in enumerate(ADDRESS))
    properties = _properties(test)
    *firsts, (final_us, final) = parts(last)
    for part_us, marks in firsts:
        yield Case(classname, name, part_us, marks, properties)
    # What is printed is complete only when the teardown has ended.
    yield Case(
        classname,
        name,
        final_us,
        final,
        properties,
        earlier=tuple(one for one in test.attempts[:-1] if one.outcome in BAD or not one.outcome),
        flaky=test.verdict is Verdict.FLAKY,
        outputs=last.output_offsets if last else [],
        headed=is_pytest,
    )


def parts(attempt: Attempt | None) -> list[tuple[int, tuple[Mark, ...]]]:
    """Return the time and the marks of each case that an attempt takes; None never started."""
    if attempt is None:
        return [(0, (Mark("skipped", "not run: the run ended first", type="not_run"),))]
    marks = attempt_marks(attempt)
    before = tuple(mark for mark in marks if mark.phase != "teardown")
    if len(before) == len(marks) or not any(mark.tag == "failure" for mark in before):
        return [(attempt.duration_us, marks)]
    after = tuple(mark for mark in marks if mark.phase == "teardown")
    teardown_us = attempt.teardown_us or 0
    return [(attempt.duration_us - teardown_us, before), (teardown_us, after)]


def _plain_address(test_id: str) -> tuple[str, str]:
    """Other runners have no path in the names of their tests."""
    classname, _, name = test_id.rpartition("::")
    return classname, name


def _nextest_address(test_id: str) -> tuple[str, str]:
    """nextest's own report has the binary and the test."""
    binary_id, _, name = test_id.partition(" ")
    return binary_id, name


def _command_address(test_id: str) -> tuple[str, str]:
    """A command that is one test has no place but itself."""
    return COMMAND_RUNNER, test_id


_ADDRESSES = {
    "pytest": address,
    "nextest": _nextest_address,
    "cargo test": _nextest_address,
    COMMAND_RUNNER: _command_address,
}

ADDRESS = ("bundle.classname", "bundle.name")
"""The properties in which a reader keeps the address of a test that its id alone does not tell."""


def address_of(test_id: str, runner: str) -> tuple[str, str]:
    """Return the classname and the name of a test in the report of a runner."""
    return _ADDRESSES.get(runner, _plain_address)(test_id)


def _properties(test: TestResult) -> tuple[tuple[str, str], ...]:
    properties = [("bundle.attempts", str(len(test.attempts)))]
    if test.seed is not None:
        properties.append(("bundle.seed", show_seed(test.seed)))
    if test.worker is not None:
        properties.append(("bundle.worker", test.worker))
    own = test.attempts[-1].properties if test.attempts else ()
    return (*properties, *(pair for pair in own if pair[0] not in ADDRESS))


def attempt_marks(attempt: Attempt) -> tuple[Mark, ...]:
    """Return what became of an attempt of a test, nothing where it went well."""
    marks = tuple(_outcome_marks(attempt))
    return (*_subtest_marks(attempt), *marks) if attempt.subtests else marks


def _outcome_marks(attempt: Attempt) -> Iterator[Mark]:
    outcome, reason = attempt.outcome, attempt.reason
    match outcome:
        case Verdict.PASSED | Verdict.XPASSED:
            return
        case Verdict.SKIPPED | Verdict.XFAILED:
            yield _skip_mark(reason or "", outcome)
        case Verdict.FAILED | Verdict.ERRORED:
            yield from _failure_marks(attempt, outcome)
        case Verdict.CRASHED | Verdict.TIMED_OUT:
            said = reason or next((one.message for one in attempt.failures), "")
            message = shortened(said) if said else f"the test {outcome.replace('_', ' ')}"
            yield Mark("error", message, _text(attempt.failures), outcome)
        case None:
            message = "unfinished: the run ended while this test was running"
            yield Mark("error", message, type="unfinished")


def _skip_mark(reason: str, outcome: Verdict = Verdict.SKIPPED) -> Mark:
    if outcome is Verdict.XFAILED:
        return Mark("skipped", reason, type="pytest.xfail")
    reason = reason or "Skipped"
    return Mark("skipped", reason, reason, "pytest.skip")


def _subtest_marks(attempt: Attempt) -> Iterator[Mark]:
    """pytest adds what became of its subtests to the case of a test."""
    for subtest in attempt.subtests:
        if subtest.outcome in (Verdict.SKIPPED, Verdict.XFAILED):
            yield _skip_mark(subtest.name, subtest.outcome)
        yield from (_failure_mark(one, "failure") for one in subtest.failures)


def _failure_marks(attempt: Attempt, outcome: Verdict) -> Iterator[Mark]:
    tag = "failure" if outcome is Verdict.FAILED else "error"
    if outcome is Verdict.ERRORED and attempt.reason is not None and attempt.failures:
        # It was skipped, and then its teardown failed.
        yield _skip_mark(attempt.reason)
    yield from (_failure_mark(one, tag) for one in attempt.failures)
    if not attempt.failures and not any(one.failures for one in attempt.subtests):
        yield Mark(tag, shortened(attempt.reason or outcome))


def _failure_mark(failure: Failure, tag: str) -> Mark:
    message, text = failure.message, _said(failure)
    if failure.phase in ("setup", "teardown"):
        tag, message = "error", f'failed on {failure.phase} with "{message}"'
    return Mark(tag, shortened(message), text, failure.type, failure.phase)


def _text(failures: Iterable[Failure]) -> str:
    return "\n\n".join(map(_said, failures))


def _said(failure: Failure) -> str:
    traceback = failure.traceback or ""
    return traceback if traceback.strip() else failure.message


def shortened(message: str, limit: int = MESSAGE_LIMIT) -> str:
    """Return the whole lines of a message that fit the limit, and a note on what was cut."""
    lines = message.splitlines() or [""]
    ends = itertools.accumulate(len(line) + 1 for line in lines)
    kept = max(1, sum(end <= limit for end in ends))
    text, left = "\n".join(lines[:kept]), len(lines) - kept
    if not left and len(text) <= limit:
        return message
    note = f"+{left} more line{'s' if left > 1 else ''}" if left else "truncated"
    dots = "..." if len(text) > limit else ""
    return f"{text[:limit]}{dots}\n[{note}; full report in element text]"
