"""A recorded run, shown again as nextest's reporter would show it."""

from __future__ import annotations

import dataclasses
import itertools
import re
import tracemalloc
from typing import Any

import pytest
from builders import a_log, line
from hypothesis import given
from hypothesis import strategies as st
from replay_golden import agrees, visible_styles
from replay_scenes import (
    BASKET,
    FAILURE,
    SCENES,
    attempt,
    collected,
    of_every_verdict,
    printed,
    recording,
    session,
    still_running,
)

from bundler.about import damage, seconds, status_sentence
from bundler.blocks import Layout, failure_blocks
from bundler.filters import any_of
from bundler.levels import LEVELS, FinalStatusLevel, Options, OutputWhen, StatusLevel
from bundler.look import Look, Style
from bundler.manifest import RunStatus
from bundler.recording import Recording
from bundler.replay import event_lines, replay
from bundler.results import Failure, Status, Verdict


def shown(made: Recording, *, colour: bool = False, **options: Any) -> str:
    chosen = dataclasses.replace(Options(), **options)
    lines = replay(made, chosen, Look(colour=colour), name=made.manifest.run_id[:8])
    return "".join(f"{line}\n" for line in lines)


def words(text: str) -> list[str]:
    """The first columns of the status lines, in their order."""
    return [match[1] for match in re.finditer(r"(?m)^ *([A-Z0-9 /]+?) \[", text)]


@pytest.mark.parametrize("scene", SCENES)
def test_every_kind_of_run_looks_as_it_should(scene: str) -> None:
    made = SCENES[scene]()
    text = shown(made) + "".join(f"warning: {sentence}\n" for sentence in damage(made))
    agrees(scene, text)


def test_colour_marks_what_things_mean() -> None:
    agrees("colour", shown(of_every_verdict(), colour=True), visible_styles)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("status-level-all", {"status_level": StatusLevel.ALL}),
        ("status-level-none", {"status_level": StatusLevel.NONE}),
        ("final-status-level-all", {"final_status_level": FinalStatusLevel.ALL}),
        ("failure-output-final", {"failure_output": OutputWhen.FINAL}),
        ("success-output-immediate", {"success_output": OutputWhen.IMMEDIATE}),
        ("no-indent", {"success_output": OutputWhen.IMMEDIATE, "indent": False}),
        ("failed", {"only_failed": True}),
        ("filter", {"filter": any_of(["test_cart.py"])}),
    ],
)
def test_every_option_looks_as_it_should(name: str, options: dict[str, Any]) -> None:
    agrees(f"option-{name}", shown(of_every_verdict(), **options))


def statuses(**options: Any) -> set[str]:
    """The status words shown of a run of every verdict, immediate ones only."""
    never = OutputWhen.NEVER
    text = shown(of_every_verdict(), failure_output=never, success_output=never, **options)
    return set(words(text.split("Summary")[0]))


def final_statuses(**options: Any) -> list[str]:
    never = OutputWhen.NEVER
    text = shown(of_every_verdict(), failure_output=never, success_output=never, **options)
    return words(text.split("Summary")[1].split("\n", 1)[1])


BAD_WORDS = {"FAIL", "ERROR", "TIMEOUT", "CRASH", "UNFINISHED"}
RETRIES = {"TRY 1 FAIL", "TRY 2 PASS"}


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        ("none", set()),
        ("fail", BAD_WORDS),
        ("retry", BAD_WORDS | RETRIES),
        ("slow", BAD_WORDS | RETRIES),
        ("leak", BAD_WORDS | RETRIES),
        ("pass", BAD_WORDS | RETRIES | {"PASS", "XFAIL", "XPASS"}),
        ("skip", BAD_WORDS | RETRIES | {"PASS", "XFAIL", "XPASS", "SKIP"}),
        ("all", BAD_WORDS | RETRIES | {"PASS", "XFAIL", "XPASS", "SKIP", "NOT RUN"}),
    ],
)
def test_each_status_level_includes_those_before_it(level: str, expected: set[str]) -> None:
    assert statuses(status_level=StatusLevel(level)) == expected


@pytest.mark.parametrize(
    ("level", "added"),
    [
        ("none", set()),
        ("fail", BAD_WORDS),
        ("flaky", {"FLAKY 2/2"}),
        ("slow", set()),
        ("skip", {"SKIP", "NOT RUN"}),
        ("leak", set()),
        ("pass", {"PASS", "XFAIL", "XPASS"}),
        ("all", set()),
    ],
)
def test_each_final_level_adds_to_those_before_it(level: str, added: set[str]) -> None:
    levels = list(FinalStatusLevel)
    place = levels.index(FinalStatusLevel(level))
    now = set(final_statuses(final_status_level=levels[place]))
    before = set(final_statuses(final_status_level=levels[place - 1])) if place else set()
    assert now - before == added
    assert before <= now


def test_every_verdict_has_its_levels() -> None:
    assert set(LEVELS) == set(Verdict)


def test_what_matters_most_comes_last() -> None:
    final = final_statuses(final_status_level=FinalStatusLevel.ALL)
    assert final[:3] == ["PASS", "XFAIL", "XPASS"]
    assert final[-5:] == ["FAIL", "ERROR", "TIMEOUT", "CRASH", "UNFINISHED"]


@pytest.mark.parametrize(
    ("when", "places"),
    [("immediate", [0]), ("final", [1]), ("immediate-final", [0, 1]), ("never", [])],
)
def test_output_is_shown_when_it_was_asked_for(when: str, places: list[int]) -> None:
    parts = shown(of_every_verdict(), failure_output=OutputWhen(when)).split("Summary")
    assert [place for place, part in enumerate(parts) if "makes 8?" in part] == places


def test_output_never_stands_without_the_name_of_its_test() -> None:
    text = shown(of_every_verdict(), status_level=StatusLevel.NONE)
    for before, heading in itertools.pairwise(text.split("\n")):
        if heading == "  failure ───":
            assert "tests/" in before


def test_tests_come_in_the_order_in_which_they_finished() -> None:
    first, second = f"{BASKET}::test_a", f"{BASKET}::test_b"
    log = a_log(
        session(),
        line("TestStarted", first, worker="gw0"),
        line("TestStarted", second, worker="gw1"),
        line("TestFinished", second, outcome="passed", failures=[]),
        line("TestFinished", first, outcome="passed", failures=[]),
    )
    text = shown(recording(log))
    assert text.index("(1/2) gw1") < text.index("(2/2) gw0")


def test_an_attempt_that_was_lost_stands_before_the_next_one() -> None:
    test_id = f"{BASKET}::test_a"
    log = a_log(
        session(),
        line("TestStarted", test_id),
        attempt(f"{BASKET}::test_b", "passed"),
        attempt(test_id, "passed", attempt=2),
    )
    assert words(shown(recording(log)))[:3] == ["PASS", "TRY 1 UNF", "TRY 2 PASS"]


def test_a_test_id_that_comes_twice_is_numbered() -> None:
    test_id = f"{BASKET}::test_a"
    log = a_log(session(), attempt(test_id, "passed"), attempt(test_id, "passed", occurrence=2))
    assert f"{test_id} #2\n" in shown(recording(log))


def test_a_run_that_is_still_going_on_says_so() -> None:
    text = shown(still_running())
    assert "still being recorded" in text
    assert "RUNNING [" in text
    assert "1 running" in text
    assert "unfinished" not in text.lower()
    assert "bundle rerun" not in text


def test_the_line_being_written_right_now_is_no_damage() -> None:
    made = still_running()
    shown(made)
    assert made.damaged_lines
    assert list(damage(made)) == []


def test_a_worker_without_a_name_keeps_the_columns() -> None:
    log = a_log(
        session(),
        attempt(f"{BASKET}::test_a", "passed", worker="gw10"),
        attempt(f"{BASKET}::test_b", "passed", worker="gw1"),
        attempt(f"{BASKET}::test_c", "passed"),
    )
    names = [at for at in shown(recording(log)).split("\n") if "::test_" in at]
    assert len({at.index(BASKET) for at in names}) == 1


def test_a_plain_command_shows_all_that_it_printed() -> None:
    log = a_log(*(line("RunOutput", stream="stdout", text=f"{n}\n") for n in range(500)))
    text = shown(recording(log))
    assert [at for at in text.split("\n") if at.strip().isdecimal()] == [
        f"    {n}" for n in range(500)
    ]
    assert "tests run" not in text


@pytest.mark.parametrize(
    ("state", "told"),
    [
        ("usage_error", True),
        ("no_tests", True),
        ("internal_error", True),
        ("interrupted", True),
        ("failed", True),  # and no test that did: a coverage threshold, a second command
        ("passed", False),
    ],
)
def test_where_no_test_tells_the_end_of_the_output_does(state: str, told: bool) -> None:
    log = a_log(
        session(),
        attempt(f"{BASKET}::test_a", "passed"),
        *(line("RunOutput", stream="stderr", text=f"line {n}\n") for n in range(100)),
    )
    text = shown(recording(log, status=RunStatus(state, exit_code=3)))
    assert ("line 99" in text) is told
    assert "line 1\n" not in text


def test_a_failed_test_tells_enough() -> None:
    log = a_log(
        session(),
        attempt(f"{BASKET}::test_a", "failed", failures=[FAILURE]),
        line("RunOutput", stream="stdout", text="bye\n"),
    )
    assert "bye" not in shown(recording(log, status=RunStatus("failed", exit_code=1)))


def test_the_end_of_an_interrupted_run_names_what_was_running() -> None:
    log = a_log(
        line("TestStarted", "a", worker="gw1"),
        line("TestStarted", "b", worker="gw0"),
        line("TestStarted", "c"),
    )
    made = recording(log, status=RunStatus("interrupted", signal="SIGKILL", reason="killed"))
    sentence = status_sentence(made.manifest, made.results)
    assert sentence == "interrupted: killed, while running a (gw1) and 2 other tests"


def test_every_status_has_words() -> None:
    for state in Status:
        made = recording(a_log(), status=RunStatus(state))
        assert "_" not in status_sentence(made.manifest, made.results)


def test_a_status_of_a_later_version_is_shown_as_it_is() -> None:
    made = recording(a_log(), status=RunStatus("evaporated"))
    assert status_sentence(made.manifest, made.results) == "evaporated"


def test_a_part_of_the_output_that_was_not_kept_is_counted() -> None:
    test_id = f"{BASKET}::test_a"
    output = [
        printed(test_id, "head"),
        printed(test_id, "tail", omitted_bytes=10_000_000),
        printed(test_id, " end\n"),
    ]
    log = a_log(session(), attempt(test_id, "failed", *output))
    text = shown(recording(log))
    assert "    head\n    (10,000,000 bytes were not kept)\n    tail end\n" in text


def test_the_reason_of_a_skip_is_shown() -> None:
    text = shown(of_every_verdict(), status_level=StatusLevel.SKIP)
    assert "test_windows (needs Windows)" in text


@pytest.mark.parametrize(
    ("us", "text"),
    [(0, "0.000s"), (59_999_999, "60.000s"), (61_000_000, "1m 01s"), (7_384_000_000, "2h 03m")],
)
def test_durations_are_as_people_read_them(us: int, text: str) -> None:
    assert seconds(us) == text


@pytest.mark.parametrize(
    ("texts", "chosen"),
    [
        (["test_a"], ["tests/test_a.py::test_x", "tests/test_a.py::test_y[1*]"]),
        (["*::test_x"], ["tests/test_a.py::test_x", "tests/test_b.py::test_x"]),
        (["test_a*"], []),  # a pattern fits the whole id
        (["*test_y[[]*"], []),  # a bracket is only a bracket
        (["*test_y[?*]"], ["tests/test_a.py::test_y[1*]"]),
        (["/_x$/"], ["tests/test_a.py::test_x", "tests/test_b.py::test_x"]),
        (["/test_y/", "test_b"], ["tests/test_a.py::test_y[1*]", "tests/test_b.py::test_x"]),
        (
            ["/"],
            ["tests/test_a.py::test_x", "tests/test_a.py::test_y[1*]", "tests/test_b.py::test_x"],
        ),
    ],
)
def test_a_filter_is_a_text_a_pattern_or_an_expression(texts: list[str], chosen: list[str]) -> None:
    ids = ["tests/test_a.py::test_x", "tests/test_a.py::test_y[1*]", "tests/test_b.py::test_x"]
    assert list(filter(any_of(texts), ids)) == chosen


def test_the_events_of_chosen_tests_are_those_and_no_others() -> None:
    made = of_every_verdict()
    assert b"\n".join([*event_lines(made, Options()), b""]) == b"".join(
        line.content + b"\n" for line in made.log.lines()
    )
    some = list(event_lines(made, Options(filter=any_of(["test_total"]))))
    assert len(some) == 6
    assert all(b"test_total" in one for one in some)


@pytest.mark.parametrize("first", ["def test_x():", "async def test_x():", "@mark\n    def f():"])
def test_source_has_its_first_indentation_back(first: str) -> None:
    traceback = f"{first}\n>       assert 0\nE       assert 0\n\ntest_it.py:2: AssertionError"
    [_, *lines] = failure_blocks([Failure("call", "m", traceback=traceback)], BARE, Style.FAILED)
    text = "\n".join(one.removeprefix("    ") for one in lines)
    assert text == f"    {traceback}"


@pytest.mark.parametrize("first", ["test_it.py:2: in test_x", "self = <T>", "> assert 0", "Error"])
def test_what_is_no_source_stays_where_it_is(first: str) -> None:
    lines = failure_blocks([Failure("call", "m", traceback=first)], BARE, Style.FAILED)
    assert list(lines)[1] == f"    {first}"


@pytest.mark.parametrize(
    ("message", "shown"),
    [("ValueError: 3", "ValueError: 3"), ("3", "ValueError: 3"), ("", "ValueError: ")],
)
def test_the_type_of_a_failure_is_said_once(message: str, shown: str) -> None:
    lines = failure_blocks([Failure("call", message, type="ValueError")], BARE, Style.FAILED)
    assert list(lines)[1:] == [f"    {shown}"]


PANIC = "thread 'bad' panicked at src/lib.rs:3:38:\nassertion failed\n"


@pytest.mark.parametrize(
    ("failure", "output", "twice"),
    [
        ({"message": "m", "traceback": PANIC}, f"out\n{PANIC}note", False),
        ({"message": "want 3", "file": "a_test.go", "line": 4}, "    a_test.go:4: want 3\n", False),
        ({"message": "m", "traceback": PANIC}, "assertion failed\n", True),
        ({"message": "want 3", "file": "a_test.go", "line": 4}, "want 3\n", True),
        ({"message": "out"}, "out\n", True),
    ],
)
def test_a_failure_that_stands_in_the_output_is_shown_once(
    failure: dict[str, Any], output: str, twice: bool
) -> None:
    failure = {"phase": "call", **failure}
    made = recording(
        a_log(session(), attempt("t", "failed", printed("t", output), failures=[failure]))
    )
    text = shown(made)
    assert ("failure ───" in text, "stdout ───" in text) == (twice, True)


BARE = Layout(Look())
HOSTILE = st.text(st.sampled_from("\x1b[2Jm\x9b\r\n\t\x00\u202e:#\ud800aé "), max_size=12)


@given(HOSTILE, HOSTILE, HOSTILE, st.booleans())
def test_nothing_a_stranger_wrote_gives_an_order(a: str, b: str, c: str, colour: bool) -> None:
    failure = {"phase": a, "type": b, "message": c, "traceback": a or None, "file": b, "line": 1}
    log = a_log(
        session(runner=a, runner_version=b, python=c),
        collected(a, b),
        line("CollectionFailed", a, failures=[failure], reason=b),
        line("TestStarted", c, worker=b),
        line("SubtestFinished", c, name=a, outcome="failed", duration_us=1, failures=[failure]),
        line("TestOutput", c, stream=a, phase=b, text=c),
        line("TestFinished", c, outcome="failed", reason=a, failures=[failure], worker=b),
        line("RunOutput", stream=a, text=b),
    )
    made = recording(log, status=RunStatus(a, reason=b), ci={"provider": c, "url": a})
    for text in replay(made, Options(), Look(colour=colour), name=a):
        plain = re.sub(r"\x1b\[[0-9;:]*m", "", text) if colour else text
        assert not re.search(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u202a-\u202e\ud800-\udfff]", plain)


def test_memory_does_not_grow_with_the_output() -> None:
    test_id = f"{BASKET}::test_a"
    chunk = ("x" * 99 + "\n") * 1000
    output = [printed(test_id, chunk) for _ in range(200)]
    made = recording(a_log(session(), attempt(test_id, "failed", *output)))
    _ = made.results
    tracemalloc.start()
    size = sum(len(text) for text in replay(made, Options(), Look(), name="x"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert size > 20_000_000
    assert peak < 3_000_000
