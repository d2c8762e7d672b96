"""What looks through a stranger's text or tests: nothing takes the square of their length."""

from __future__ import annotations

import io
import time
from collections.abc import Callable

import pytest
from builders import a_log, a_recording, line

from bundler import filters
from bundler.event_view import event_line
from bundler.formats.asupersync_lines import entries
from bundler.formats.rust_panics import panic_in
from bundler.look import Look
from bundler.opening import read_stream
from bundler.own_events import Wanted, own_events
from bundler.recording import Recording
from bundler.redaction import masker_of

MANY = 30_000
FAST = 1.0


def seconds(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


@pytest.mark.parametrize("pattern", ["*x*x*y", "x*x*x*y", "*?x*?x*y"])
def test_a_filter_reads_an_id_once(pattern: str) -> None:
    fits = filters.parse(pattern)
    assert seconds(lambda: fits("x" * MANY)) < FAST
    assert fits("x" * 100 + "y")


@pytest.mark.parametrize(
    ("pattern", "text", "fits"),
    [
        ("*", "", True),
        ("**", "a", True),
        ("a*", "a\nb", True),
        ("*ab", "aab", True),
        ("*ab*ab", "ab", False),
        ("*ab*ab", "abab", True),
        ("*a?*c", "aabc", True),
        ("a*b*c", "abbc", True),
        ("a*b*c", "abcd", False),
        ("?*?", "a", False),
        ("?*?", "ab", True),
    ],
)
def test_a_filter_finds_what_it_should(pattern: str, text: str, fits: bool) -> None:
    assert filters.parse(pattern)(text) is fits


def test_a_panic_is_looked_for_once_in_a_line() -> None:
    text = "panicked at " * MANY
    assert seconds(lambda: panic_in(text, kind="panic")) < FAST
    found = panic_in(f"{text}\nthread 'x' panicked at src/a.rs:3:5:\nno", kind="panic")
    assert found is not None
    assert (found.file, found.line, found.message) == ("src/a.rs", 3, "no")


def test_what_only_begins_like_a_token_costs_no_time() -> None:
    masker = masker_of({"A_TOKEN": "something-long"})
    assert seconds(lambda: masker.text("eyJ" * MANY * 3)) < FAST
    token = f"eyJ{'a' * 20}.{'b' * 20}.{'c' * 20}"
    for before in ("", "eyJ.", f"eyJ{'a' * 20}-eyJ {'eyJ' * 20} x.eyJ-"):
        assert token not in masker.text(f"{before} {token}")


def test_a_time_of_four_hundred_digits_is_none() -> None:
    log = a_log(line("TestStarted", "t"), line("PhaseFinished", "t", duration_us="9" * 400))
    said = list(own_events(a_recording(log), Wanted("TRACE", frozenset())))
    assert ["PhaseFinished" in event_line(own, Look()) for own in said] == [True]
    content = b"[%s.000ms] [INFO] a | said\n[1.000ms] [INFO] a | more\n" % (b"9" * 400)
    assert [one["message"] for one in entries(io.BytesIO(content))] == ["more"]


def test_reports_of_tests_that_nothing_begins_cost_a_pass() -> None:
    report = '{"$report_type":"TestReport","nodeid":"t%d","outcome":"passed","when":"call"}\n'
    content = "".join(report % number for number in range(20_000)).encode()
    found: list[Recording] = []
    read = lambda: found.append(read_stream(io.BytesIO(content), where="memory"))  # noqa: E731
    assert seconds(read) < 2.0
    assert len(found[0].results.tests) == 20_000
