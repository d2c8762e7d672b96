"""JUnit XML of a large run: what the export holds in memory does not grow with the run."""

from __future__ import annotations

import tracemalloc

from builders import a_log, a_recording, a_test, line

from bundler.formats import junit

OUTPUT = "a line of output & <more>\n" * 400


class Counting:
    """A target that keeps nothing."""

    size = 0

    def write(self, content: bytes, /) -> int:
        self.size += len(content)
        return len(content)


def peak_of(cases: int) -> tuple[int, int]:
    """The most bytes that an export held at once, and the size of its document."""
    lines = [line("SessionStarted", runner="pytest")]
    for number in range(cases):
        test_id = f"tests/test_a.py::test_{number}"
        start, end = a_test(test_id)
        output = line("TestOutput", test_id, stream="stdout", phase="call", text=OUTPUT)
        lines += [start, output, end]
    recording = a_recording(a_log(lines))
    assert len(recording.results.tests) == cases
    target = Counting()
    tracemalloc.start()
    try:
        junit.write(recording, target)
        return tracemalloc.get_traced_memory()[1], target.size
    finally:
        tracemalloc.stop()


def test_ten_times_the_cases_take_no_more_memory() -> None:
    peak_of(10)  # what is loaded once
    few, many = peak_of(200), peak_of(2000)
    assert many[1] > 9 * few[1] > 9 * len(OUTPUT) * 200
    # A list of the tests, by session: eight bytes a test.
    assert many[0] < few[0] + 100_000 < 2_000_000
