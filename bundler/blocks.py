"""How one test is shown: its status line, and the blocks of why it failed and what it printed.

The look is that of nextest's reporter, for people who know it:

            FAIL [   0.012s] ( 2/11) gw0 tests/test_a.py::test_x
      failure ───
        def test_x():
        >   assert f() == 2
        E   assert 1 == 2
      stdout ───
        out of the test
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from bundler.escapes import one_line, output_lines, text_lines
from bundler.look import Look, Style
from bundler.recording import Output, Recording
from bundler.results import BAD, Attempt, Failure, Session, Subtest, TestResult, Verdict

WORDS = {
    Verdict.PASSED: ("PASS", Style.PASSED),
    Verdict.FAILED: ("FAIL", Style.FAILED),
    Verdict.ERRORED: ("ERROR", Style.FAILED),
    Verdict.SKIPPED: ("SKIP", Style.SKIPPED),
    Verdict.XFAILED: ("XFAIL", Style.SKIPPED),
    Verdict.XPASSED: ("XPASS", Style.SKIPPED),
    Verdict.TIMED_OUT: ("TIMEOUT", Style.FAILED),
    Verdict.CRASHED: ("CRASH", Style.FAILED),
    Verdict.FLAKY: ("FLAKY", Style.FLAKY),
    Verdict.UNFINISHED: ("UNFINISHED", Style.FAILED),
    Verdict.NOT_RUN: ("NOT RUN", Style.SKIPPED),
}
RUNNING = ("RUNNING", Style.WARNING)
"""What is unfinished while the run is still being recorded."""

_WITH_REASON = frozenset({Verdict.SKIPPED, Verdict.XFAILED})
_SHORT_WORDS = {Verdict.TIMED_OUT: "TMT", Verdict.UNFINISHED: "UNF"}
_NOT_CAPTURED = {
    "pytest": "the suite ran with -s",
    "nextest": "the suite ran with --no-capture",
    "unittest": "the suite ran without --buffer",
}
_COLUMN = 12
_SOURCE = re.compile(r"(?:async )?def \w|@\w[\w.]*[(\n]")


@dataclass(frozen=True, slots=True)
class Layout:
    """How wide the columns of a run are, and whether output is set off by an indentation.

    `total` is what the tests are counted up to, `worker_width` the length of the longest worker's
    name.
    """

    look: Look
    total: int = 0
    worker_width: int = 0
    indent: bool = True

    def status(
        self,
        word: tuple[str, Style],
        name: str,
        *,
        duration_us: int | None = None,
        at_least: bool = False,
        number: int | None = None,
        worker: str | None = None,
        remark: str | None = None,
    ) -> str:
        """Return a status line; `name` is fit to print, `number` the place among the finished."""
        label = self.look.paint(word[1], f"{word[0]:>{_COLUMN}}")
        taken = " " * 9 if duration_us is None else f"{duration_us / 1e6:>8.3f}s"
        taken = f">{taken[1:]}" if at_least else taken
        after = f" {self.look.paint(Style.DIM, f'({one_line(remark)})')}" if remark else ""
        return f"{label} [{taken}] {self._counter(number)}{self._worker(worker)}{name}{after}"

    def labelled(self, label: str, text: str, style: Style = Style.HEADING) -> str:
        """Return a line of the head or the foot: what it is about in the first column."""
        return f"{self.look.paint(style, f'{label:>{_COLUMN}}')} {text}"

    def rule(self) -> str:
        """Return the line between the parts of a report."""
        return "─" * _COLUMN

    def heading(self, title: str, style: Style) -> str:
        """Return what stands over a block."""
        text = one_line(title)
        line = f"  {text} ───" if self.indent else f"── {text} ──"
        return self.look.paint(style, line)

    def body(self, lines: Iterable[str]) -> Iterator[str]:
        """Yield the lines of a block."""
        if not self.indent:
            return iter(lines)
        return (f"    {line}" if line else line for line in lines)

    def note(self, text: str) -> str:
        """Return a remark of ours beneath the blocks of a test."""
        return f"    {self.look.paint(Style.DIM, f'({one_line(text)})')}"

    def _counter(self, number: int | None) -> str:
        if not self.total:
            return ""
        width = len(str(self.total))
        if number is None:
            return f"({'─' * (2 * width + 1)}) "
        return f"({number:>{width}}/{self.total}) "

    def _worker(self, worker: str | None) -> str:
        if not self.worker_width:
            return ""
        return self.look.paint(Style.DIM, f"{one_line(worker or ''):<{self.worker_width}}") + " "


def attempt_word(test: TestResult, attempt: Attempt, *, live: bool = False) -> tuple[str, Style]:
    """Return the word of one attempt, numbered where there were several, and its style."""
    outcome = attempt.outcome or Verdict.UNFINISHED
    word, style = RUNNING if live and attempt.outcome is None else WORDS[outcome]
    last = attempt is test.attempts[-1]
    if len(test.attempts) == 1 or (last and attempt.outcome is None):
        return word, style
    if not last:
        style = Style.RETRIED
    elif outcome not in BAD:
        style = Style.FLAKY
    return f"TRY {attempt.number} {_SHORT_WORDS.get(outcome, word)}", style


def verdict_word(test: TestResult, *, live: bool = False) -> tuple[str, Style]:
    """Return the word of a test at the end of its run, and its style."""
    verdict = test.verdict
    if verdict is Verdict.FLAKY:
        return f"FLAKY {test.attempts[-1].number}/{test.attempts[-1].number}", Style.FLAKY
    if not test.attempts:
        return WORDS[verdict]
    return attempt_word(test, test.attempts[-1], live=live)


def attempt_remark(attempt: Attempt) -> str | None:
    """Return the reason that stands in the status line itself: why a test was skipped."""
    return attempt.reason if attempt.outcome in _WITH_REASON else None


def test_name(look: Look, test: TestResult) -> str:
    """Return a test's id fit to print; one that shares it with an earlier test is numbered."""
    name = look.test_id(test.test_id)
    return (
        name if test.occurrence == 1 else f"{name} {look.paint(Style.DIM, f'#{test.occurrence}')}"
    )


def attempt_blocks(
    recording: Recording,
    attempt: Attempt,
    layout: Layout,
    style: Style,
    *,
    uncaptured: str | None = None,
    every_subtest: bool = False,
    printed: Iterable[str] | None = None,
) -> Iterator[str]:
    """Yield all that is known of an attempt: failures, subtests, output, and remarks.

    `uncaptured` is what `why_not_captured` says of the session. Subtests that passed are only
    counted, unless every one is asked for. `printed` stands in place of the output. A failure
    that stands word by word in the output (a panic of Rust) is not shown twice.
    """
    told = [one for one in attempt.failures if not _is_printed(recording, attempt, one)]
    yield from failure_blocks(told, layout, style)
    yield from _subtests(attempt.subtests, layout, every=every_subtest)
    if printed is None:
        printed = _output_blocks(recording.outputs(attempt.output_offsets), layout, style)
    yield from printed
    if attempt.reason and not attempt_remark(attempt):
        known = {failure.message for failure in attempt.failures}
        yield from () if attempt.reason in known else (layout.note(attempt.reason),)
    if uncaptured:
        yield layout.note(f"output was not captured: {uncaptured}")


def why_not_captured(session: Session) -> str | None:
    """Return why nothing that tests print is theirs, in the words of their runner, if so."""
    info = session.info
    if info.get("capture") != "no":
        return None
    if info.get("run_mode") == "benchmark":
        return "nextest does not capture benchmarks"
    runner = str(info.get("runner", "its runner"))
    return _NOT_CAPTURED.get(runner) or f"{runner} leaves it where it is printed"


def _is_printed(recording: Recording, attempt: Attempt, failure: Failure) -> bool:
    text = failure.traceback
    if text is None and failure.file is not None:
        text = f"{failure.file}:{failure.line}: {failure.message}"
    words = (text or "").strip().encode("utf-8", "surrogatepass")
    outputs = recording.outputs(attempt.output_offsets) if words else ()
    return any(words in one.content for one in outputs)


def failure_blocks(failures: Iterable[Failure], layout: Layout, style: Style) -> Iterator[str]:
    """Yield why an attempt or a collection failed, the traceback where there is one."""
    for failure in failures:
        yield layout.heading(f"failure{in_phase(failure.phase)}", style)
        text = _indented(failure.traceback or _without_traceback(failure))
        lines = text_lines(text, colour=layout.look.colour)
        yield from layout.body(_errors_marked(lines, layout.look))


def _output_blocks(outputs: Iterable[Output], layout: Layout, style: Style) -> Iterator[str]:
    """Yield what a test printed, a block for each stream of each phase, in the order it came."""
    for (stream, phase), pieces in itertools.groupby(outputs, lambda one: (one.stream, one.phase)):
        yield layout.heading(f"{stream}{in_phase(phase)}", style)
        yield from printed_lines(pieces, layout)


def printed_lines(outputs: Iterable[Output], layout: Layout) -> Iterator[str]:
    """Yield the lines of output, and a remark where some of it was left out."""
    for (_, omitted), group in itertools.groupby(_by_gap(outputs), lambda pair: pair[0]):
        if omitted:
            yield layout.note(f"{omitted:,} bytes were not kept")
        chunks = (piece.content for _, piece in group)
        yield from layout.body(output_lines(chunks, colour=layout.look.colour))


def in_phase(phase: str) -> str:
    """Return what a heading says of a phase; nothing of the call, which is the test itself."""
    if phase in ("call", ""):
        return ""
    return f" in {'collection' if phase == 'collect' else phase}"


def _by_gap(outputs: Iterable[Output]) -> Iterator[tuple[tuple[int, int], Output]]:
    """Each piece with the number of the stretch without gaps it is in, and the gap before that."""
    number, omitted = 0, 0
    for output in outputs:
        if output.omitted_bytes > 0:
            number, omitted = number + 1, output.omitted_bytes
        yield (number, omitted), output


def _subtests(subtests: Iterable[Subtest], layout: Layout, *, every: bool) -> Iterator[str]:
    passed = 0
    for subtest in subtests:
        if subtest.outcome is Verdict.PASSED and not every:
            passed += 1
            continue
        word, style = WORDS[subtest.outcome]
        name = one_line(subtest.name)
        yield layout.status((f"SUB {word}", style), name, duration_us=subtest.duration_us)
        yield from failure_blocks(subtest.failures, layout, style)
    if passed:
        yield layout.note(f"{passed} {'subtest' if passed == 1 else 'subtests'} passed")


def _indented(traceback: str) -> str:
    """Give source that pytest shows its first indentation back: its reports have lost it."""
    return f"    {traceback}" if _SOURCE.match(traceback) else traceback


def _without_traceback(failure: Failure) -> str:
    what = failure.message
    if failure.type and not what.startswith(failure.type):
        what = f"{failure.type}: {what}"
    if failure.file is None:
        return what
    return f"{what}\nat {failure.file}" + (f":{failure.line}" if failure.line is not None else "")


def _errors_marked(lines: Iterable[str], look: Look) -> Iterator[str]:
    """The lines that pytest marks with an E stand out, unless they have colours of their own."""
    for line in lines:
        marked = line.startswith("E ") and "\x1b" not in line
        yield look.paint(Style.FAILED, line) if marked else line
