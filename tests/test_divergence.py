"""Where two executions of a test part: the first event that differs, and not what always does."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Iterator

from builders import a_log, a_test, events_of, line

from bundler.divergence import Step, first_parting, parting_lines, steps
from bundler.events import Event


def course(*middle: bytes, outcome: str = "passed", ts_us: int = 0) -> list[Event]:
    """The events of an execution of `t` that did this between its start and its end."""
    start, end = a_test("t", outcome, call_us=ts_us)
    return events_of(a_log(start, *middle, end))


def own(event: str, ts_us: int = 0, **data: object) -> bytes:
    return line(event, "t", ts_us, **data)


def test_two_executions_that_did_the_same_never_part() -> None:
    left = course(own("Sent", 5, n=1), ts_us=3)
    right = course(own("Sent", 900, n=1), ts_us=77)
    assert first_parting(steps(left, "t"), steps(right, "t")) is None


def test_the_first_event_that_differs_is_named_with_what_stands_around_it() -> None:
    left = course(*(own("Sent", n=n) for n in (1, 2, 3, 4, 5)))
    right = course(*(own("Sent", n=n) for n in (1, 2, 9, 4, 5)))
    parting = first_parting(steps(left, "t"), steps(right, "t"), context=2)
    assert parting is not None
    assert [step.number for step in parting.before] == [1, 2]
    assert (parting.left[0].number, parting.left[0].event) == (3, "Sent")
    assert ("n=3" in parting.left[0].text, "n=9" in parting.right[0].text) == (True, True)
    assert len(parting.left) == 3


def test_an_execution_that_ends_earlier_parts_there() -> None:
    left, right = course(own("Sent", n=1)), course()[:-2]
    parting = first_parting(steps(left, "t"), steps(right, "t"))
    assert parting is not None
    assert parting.left[0].event == "Sent"
    assert parting.right == ()
    assert "(nothing more)" in "\n".join(parting_lines(parting, "a", "b"))


def test_other_tests_threads_and_generator_states_are_none_of_its_course() -> None:
    left = course(own("GeneratorState", states={"random": "x"}), line("Sent", "other", n=1))
    assert first_parting(steps(left, "t"), steps(course(), "t")) is None


def test_what_was_noted_beside_a_test_is_none_of_its_course() -> None:
    noted = [
        own("EntropyDrawn", source="uuid.uuid4", file="t.py", line=1),
        own("Warning", warning="NotSeeded", message="torch could not be seeded"),
    ]
    assert first_parting(steps(course(*noted), "t"), steps(course(), "t")) is None
    warned = own("Warning", warning="DeprecationWarning", message="old", line=1)
    assert first_parting(steps(course(warned), "t"), steps(course(), "t")) is not None


def test_threads_and_seeds_are_none_of_its_course() -> None:
    def course_of(**envelope: object) -> list[Event]:
        raw = json.loads(own("Sent", n=1))
        return course((json.dumps({**raw, **envelope}) + "\n").encode())

    left, right = course_of(thread_id=1, seed=1), course_of(thread_id=9, seed=2)
    assert first_parting(steps(left, "t"), steps(right, "t")) is None


def test_addresses_durations_and_identifiers_in_texts_are_passed_over() -> None:
    texts = [
        "<X at 0x7f0011aabb> took 1.5 s, 5e55a1b2-0000-4000-8000-00000000abcd 2026-01-02T03:04:05",
        "<X at 0x7fffff0000> took 22 s, 11111111-2222-4333-8444-555555555555 2027-11-12 13:14:15",
    ]
    left, right = (course(own("TestOutput", stream="stdout", text=text)) for text in texts)
    assert first_parting(steps(left, "t"), steps(right, "t")) is None
    other = course(own("TestOutput", stream="stdout", text=texts[0].replace("<X", "<Y")))
    assert first_parting(steps(left, "t"), steps(other, "t")) is not None


def test_one_attempt_is_compared_alone() -> None:
    both = events_of(
        a_log(a_test("t", "failed"), own("Sent", n=1), a_test("t", "passed", attempt=2))
    )
    second = [step.event for step in steps(both, "t", attempt=2)]
    assert second == ["TestStarted", "TestFinished"]


def test_many_equal_events_are_walked_in_little_memory() -> None:
    def long(last: str) -> Iterator[Step]:
        yield from (Step(n, "Sent", f"n={n}") for n in range(200_000))
        yield Step(200_000, "Sent", last)

    tracemalloc.start()
    parting = first_parting(long("a"), long("b"))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert parting is not None
    assert parting.left[0].number == 200_000
    assert peak < 200_000
