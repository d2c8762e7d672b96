"""What the elements inside one `testcase` say became of it. Pure decisions.

`bundler.formats.junit_reader` has the table of them.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from bundler.errors import UsageError
from bundler.formats.junit_elements import Element
from bundler.results import Failure, Verdict
from bundler.seeds import parse_seed
from bundler.times import microseconds

OURS = {"timed_out": Verdict.TIMED_OUT, "crashed": Verdict.CRASHED}
NOT_RUN_STATUS = frozenset({"notrun", "disabled", "skipped", "ignored", "pending"})
EARLIER = frozenset({"flakyFailure", "flakyError", "rerunFailure", "rerunError"})

_LONG = 10_000
_PHASE = re.compile(r'failed on (setup|teardown) with "(.*)"', re.DOTALL)
_TIMED_OUT = re.compile(
    r"Test timed out in [0-9]+ms\.|Test timeout of [0-9]+ms exceeded\."
    r'|Error: thrown: "Exceeded timeout of [0-9]+ ms for a (?:test|hook)\.'
)
"""Vitest, Playwright, and Jest, which has no message but the first line of the text."""

_TIMEOUT_TYPES = frozenset({"testTimeoutFailure", "org.junit.runners.model.TestTimedOutException"})
_CRASHED_WORKER = re.compile(r"worker '.*' crashed while running '")
_HEADING = re.compile(r"^-+ (?P<title>.+?) -+$\n", re.MULTILINE)
_EMBEDDED = re.compile(r"\[\[PROPERTY\|([^=\]]+)=(.*)\]\]\n?")
_TITLES = {"Captured Out": "stdout", "Captured Err": "stderr", "Captured Log": "log"}

Outputs = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one attempt; `verdict` is None where it never finished."""

    verdict: Verdict | None
    duration_us: int | None = None
    teardown_us: int | None = None
    reason: str | None = None
    failures: tuple[Failure, ...] = ()
    outputs: Outputs = ()


@dataclass(frozen=True, slots=True)
class Told:
    """A case: its names, what it says of its last attempt, the elements of the earlier ones."""

    classname: str
    name: str
    outcome: Outcome
    file: str | None = None
    line: int | None = None
    kind: str = ""
    message: str = ""
    text: str = ""
    properties: tuple[tuple[str, str], ...] = ()
    earlier: tuple[Element, ...] = ()
    never_ran: bool = False

    @property
    def verdict(self) -> Verdict | None:
        """That of its last attempt."""
        return self.outcome.verdict

    @property
    def failures(self) -> tuple[Failure, ...]:
        """Those of its last attempt."""
        return self.outcome.failures

    @property
    def outputs(self) -> Outputs:
        """What its last attempt printed: a stream and a text each."""
        return self.outcome.outputs

    @property
    def worker(self) -> str | None:
        """The worker that our own report names."""
        return dict(self.properties).get("bundle.worker")

    @property
    def collection_failures(self) -> list[Failure]:
        """Its failures as those of a collection, which have no message of their own."""
        return [
            replace(one, phase="collect", message=_last_line(one.traceback or one.message))
            for one in self.failures
        ]

    @property
    def ends_teardown(self) -> bool:
        """Whether it only says that a teardown failed, as pytest says it after the failed test."""
        return bool(self.failures) and all(one.phase == "teardown" for one in self.failures)

    def with_teardown(self, told: Told) -> Told:
        """This failed case and the one that tells of its teardown, as one."""
        outcome = replace(
            self.outcome,
            teardown_us=told.outcome.duration_us,
            failures=self.failures + told.failures,
            outputs=self.outputs + told.outputs,
        )
        return replace(self, outcome=outcome)

    def test_id(self, runner: str) -> str:
        """The id of the test: what its runner would call it, as far as that can be known."""
        if runner == "nextest":
            return f"{self.classname} {self.name}"
        if runner == "pytest" and self.file and self.file.endswith(".py"):
            module = self.file.removesuffix(".py").replace("\\", "/").replace("/", ".")
            classes = self.classname.removeprefix(module)
            if classes != self.classname and classes[:1] in ("", "."):
                names = [*filter(None, classes.split(".")), self.name]
                return "::".join([self.file, *names])
        return f"{self.classname}::{self.name}" if self.classname else self.name


def outcome_of(case: Element, runner: str) -> Told:
    """Return what a case says."""
    properties = [pair for one in _children(case, "properties") for pair in properties_of(one)]
    outputs = _outputs_of(case, headed=runner == "pytest")
    if any(name == "bundle.run_id" for name, _ in properties) or "[[PROPERTY|bundle." in (
        outputs[0][1] if outputs else ""
    ):
        embedded, outputs = _embedded(outputs)
        properties += embedded
    marks = [one for one in case.children if one.tag in ("failure", "error", "skipped")]
    first = marks[0] if marks else None
    message = first.get("message") if first else ""
    outcome = _judged(case, marks, runner)
    line = case.get("line")
    return Told(
        classname=case.get("classname"),
        name=case.get("name"),
        outcome=replace(
            outcome, duration_us=microseconds(case.get("time")), outputs=tuple(outputs)
        ),
        file=case.get("file") or None,
        line=_line(line, runner),
        kind=first.get("type") if first else "",
        message=message,
        text=first.text if first else "",
        properties=tuple(properties),
        earlier=tuple(one for one in case.children if one.tag in EARLIER),
        never_ran=first is not None and first.tag == "skipped" and first.get("type") == "not_run",
    )


def earlier_outcomes(told: Told, runner: str, *, main_is_last: bool) -> list[Outcome]:
    """Return what became of every attempt, in their order.

    Attempts that failed before one that passed stand before it. Where none passed, Surefire and
    nextest tell of the first and then of its reruns; we tell of the last (`main_is_last`).
    """
    others = [_of_earlier(one, runner) for one in told.earlier]
    flaky = told.verdict in (Verdict.PASSED, Verdict.XPASSED)
    return [*others, told.outcome] if flaky or main_is_last else [told.outcome, *others]


def properties_of(element: Element) -> list[tuple[str, str]]:
    """Return the pairs in a `properties`; a value may be an attribute or the text."""
    return [
        (one.get("name"), one.attributes.get("value", one.text))
        for one in element.children
        if one.tag == "property" and one.get("name")
    ]


def seed_of(properties: Iterable[tuple[str, str]]) -> int | None:
    """Return the seed that our own report names."""
    for name, value in properties:
        if name == "bundle.seed":
            try:
                return parse_seed(value)
            except UsageError:
                return None
    return None


def _outputs_of(element: Element, *, headed: bool) -> list[tuple[str, str]]:
    """Return what is in the `system-out` and `system-err` of an element: a stream and a text each.

    `headed` is whether headings as pytest writes them tell more streams apart.
    """
    found: list[tuple[str, str]] = []
    for tag, stream in (("system-out", "stdout"), ("system-err", "stderr")):
        for child in _children(element, tag):
            text = output_of(child)
            found += _sections(text, stream) if headed else [(stream, text)]
    return [(stream, text) for stream, text in found if text]


def output_of(element: Element) -> str:
    """Return the text of an output element, and how much of it is not there."""
    note = f"\n[{element.omitted} characters were not read]\n" if element.omitted else ""
    return element.text + note


def skip_place(text: str) -> tuple[str | None, int | None, str]:
    """Return file, line and reason of what pytest writes where a whole file skipped itself."""
    try:
        file, line, reason = ast.literal_eval(text) if len(text) < _LONG else (None, None, text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None, None, text
    return (
        file if isinstance(file, str) else None,
        line if type(line) is int else None,
        str(reason).removeprefix("Skipped: "),
    )


def _judged(case: Element, marks: list[Element], runner: str) -> Outcome:
    failures = tuple(_failure(one) for one in marks if one.tag != "skipped")
    skipped = next((one for one in marks if one.tag == "skipped"), None)
    red = [one for one in marks if one.tag != "skipped"]
    if red:
        return _red(red, failures, runner, skipped)
    if skipped is not None:
        reason = skipped.get("message") or skipped.text.strip()
        expected = skipped.get("type") == "pytest.xfail"
        reason = "" if skipped.get("type") == "pytest.skip" and reason == "Skipped" else reason
        return Outcome(Verdict.XFAILED if expected else Verdict.SKIPPED, reason=reason)
    if case.get("status").lower() in NOT_RUN_STATUS:
        return Outcome(Verdict.SKIPPED, reason=case.get("status"))
    return Outcome(Verdict.PASSED)


def _red(
    marks: list[Element], failures: tuple[Failure, ...], runner: str, skipped: Element | None
) -> Outcome:
    first = marks[0]
    kind, message = first.get("type"), failures[0].message
    if kind == "unfinished" and first.tag == "error":
        return Outcome(None)
    verdict = OURS.get(kind) or _of_runner(runner, kind, message)
    if verdict is not None:
        # The verdict says what the type did.
        plain = tuple(replace(one, type=None) for one in failures)
        reason = message if first.get("message") else None
        return Outcome(verdict, reason=reason, failures=plain if first.text else ())
    failed = any(one.tag == "failure" for one in marks)
    reason = skipped.get("message") if skipped is not None else None
    return Outcome(Verdict.FAILED if failed else Verdict.ERRORED, None, None, reason, failures)


def _of_runner(runner: str, kind: str, message: str) -> Verdict | None:
    if runner == "nextest" and "timeout" in kind:
        return Verdict.TIMED_OUT
    if runner == "nextest" and "abort" in kind:
        return Verdict.CRASHED
    if runner == "pytest" and _CRASHED_WORKER.match(message):
        return Verdict.CRASHED
    if runner == "junit" and (kind in _TIMEOUT_TYPES or _TIMED_OUT.match(message)):
        return Verdict.TIMED_OUT
    return None


def _failure(mark: Element) -> Failure:
    message, kind, text = mark.get("message"), mark.get("type"), output_of(mark)
    phase = "call"
    if found := _PHASE.fullmatch(message):
        phase, message = found[1], found[2]
    return Failure(
        phase,
        message or _first_line(text) or mark.tag,
        kind if kind and kind != mark.tag else None,
        text if text.strip() else None,
    )


def _of_earlier(element: Element, runner: str) -> Outcome:
    """What Surefire's element says of an attempt; older ones hold the trace as their text."""
    trace = "".join(output_of(one) for one in _children(element, "stackTrace"))
    text = trace or element.text
    message, kind = element.get("message"), element.get("type")
    tag = "failure" if element.tag.endswith("Failure") else "error"
    found = _PHASE.fullmatch(message)
    phase, message = (found[1], found[2]) if found else ("call", message)
    verdict = OURS.get(kind) or _of_runner(runner, kind, message)
    failure = Failure(
        phase,
        message or _first_line(text) or tag,
        kind if kind and kind != tag and verdict is None else None,
        text if text.strip() else None,
    )
    return Outcome(
        verdict or (Verdict.FAILED if tag == "failure" else Verdict.ERRORED),
        duration_us=microseconds(element.get("time")),
        reason=message or None if verdict else None,
        failures=() if verdict and not text.strip() else (failure,),
        outputs=tuple(_outputs_of(element, headed=False)),
    )


def _sections(text: str, stream: str) -> list[tuple[str, str]]:
    """Split an output at headings that are exactly those that pytest writes."""
    found: list[tuple[str, str]] = []
    at, current, headed = 0, stream, False
    for heading in _HEADING.finditer(text):
        title = heading["title"]
        if f" {title} ".center(80, "-") + "\n" != heading[0]:
            continue
        found.append((current, _unheaded(text[at : heading.start()], headed)))
        at, headed = heading.end(), True
        current = _TITLES.get(title, title)
    return [*found, (current, _unheaded(text[at:], headed))]


def _unheaded(text: str, headed: bool) -> str:
    return text.removesuffix("\n") if headed else text


def _embedded(
    outputs: list[tuple[str, str]],
) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """The properties that open the output of a report for Jenkins, and the outputs without them."""
    (stream, text), *rest = outputs
    properties, at = [], 0
    while found := _EMBEDDED.match(text, at):
        properties.append((found[1], found[2]))
        at = found.end()
    text = text[at:]
    return properties, [*([(stream, text)] if text else []), *rest]


def _children(element: Element, tag: str) -> list[Element]:
    return [one for one in element.children if one.tag == tag]


def _line(text: str, runner: str) -> int | None:
    if not (text.isascii() and text.isdigit()) or len(text) > 9:
        return None
    return int(text) + (runner == "pytest")


def _first_line(text: str) -> str:
    return next((line.strip() for line in text.split("\n") if line.strip()), "")


def _last_line(text: str) -> str:
    """The line of pytest that says what was raised, else the first."""
    errors = [line[1:].strip() for line in text.split("\n") if line.startswith("E ")]
    return errors[-1] if errors else _first_line(text)
