"""The log: split on newlines alone, bounded lines, the same bytes before and after sealing."""

import io

import pytest
from builders import a_log, a_test, line
from hypothesis import given
from hypothesis import strategies as st

from bundler.errors import DamagedRecording, HostileRecording
from bundler.eventlog import FramedLog, PlainLog, decompressed, seal_frames, split_lines


def sealed(raw: bytes) -> tuple[bytes, list[tuple[int, int]]]:
    target = io.BytesIO()
    frames = seal_frames((one + b"\n" for one in raw.split(b"\n")[:-1]), target)
    return target.getvalue(), frames


LOG = a_log(*[a_test(f"tests/test_{n}.py::test", longrepr="x" * 500) for n in range(400)])


def test_a_torn_last_line_is_told_from_a_whole_one() -> None:
    lines = list(split_lines([b"one\ntw", b"o\nthr"]))
    assert [(one.content, one.problem) for one in lines] == [
        (b"one", ""),
        (b"two", ""),
        (b"thr", "torn"),
    ]


def test_only_a_newline_ends_a_line() -> None:
    text = "a\u2028b\x0bc\rd\x85e".encode()
    assert [one.content for one in split_lines([text + b"\n"])] == [text]


@given(st.binary(max_size=300), st.integers(1, 40), st.integers(1, 50))
def test_lines_do_not_depend_on_how_the_bytes_arrive(raw: bytes, size: int, limit: int) -> None:
    chunks = [raw[i : i + size] for i in range(0, len(raw), size)]
    whole = [(one.offset, one.content, one.problem) for one in split_lines([raw], limit=limit)]
    assert [(o.offset, o.content, o.problem) for o in split_lines(chunks, limit=limit)] == whole


@given(st.lists(st.binary(max_size=60).filter(lambda one: b"\n" not in one)), st.integers(5, 50))
def test_a_line_over_the_limit_is_named_and_the_next_keeps_its_place(
    contents: list[bytes], limit: int
) -> None:
    raw = b"".join(one + b"\n" for one in contents)
    lines = list(split_lines([raw], limit=limit))
    assert len(lines) == len(contents)
    for found, content in zip(lines, contents, strict=True):
        if len(content) < limit:
            assert raw[found.offset :].startswith(content + b"\n")
            assert (found.content, found.problem) == (content, "")
        else:
            assert (found.content, found.problem) == (b"", "too long")


def test_sealing_keeps_every_line_and_its_offset() -> None:
    compressed, frames = sealed(LOG)
    assert len(frames) > 2
    assert list(FramedLog(compressed, frames).lines()) == list(PlainLog(LOG).lines())
    assert list(FramedLog(compressed).lines()) == list(PlainLog(LOG).lines())


def test_one_line_is_reached_without_the_rest() -> None:
    compressed, frames = sealed(LOG)
    log = FramedLog(compressed, frames)
    for one in list(PlainLog(LOG).lines())[::37]:
        assert log.line_at(one.offset) == one.content == PlainLog(LOG).line_at(one.offset)


def test_a_damaged_frame_costs_only_its_own_lines() -> None:
    compressed, frames = sealed(LOG)
    broken = bytearray(compressed)
    broken[frames[0][0] + 20] ^= 0xFF
    broken[frames[0][0] + 21] ^= 0xFF
    lines = list(FramedLog(bytes(broken), frames).lines())
    assert [one.problem for one in lines if one.problem] == ["in a damaged frame"]
    survivors = {one.content for one in lines}
    assert {one.content for one in PlainLog(LOG).lines() if one.offset < frames[0][1]} <= survivors
    assert line("RunFinished", status="passed", exit_code=0, events=801)[:-1] in survivors


def test_a_table_that_lies_is_not_used() -> None:
    compressed, frames = sealed(LOG)
    lying = [(frames[0][0] + 1, frames[0][1]), *frames[1:]]
    assert list(FramedLog(compressed, lying).lines()) == list(PlainLog(LOG).lines())


def test_more_bytes_than_the_limit_are_refused() -> None:
    compressed, _ = sealed(b"x" * 1000 + b"\n")
    with pytest.raises(HostileRecording, match="more than 100 bytes"):
        list(decompressed(io.BytesIO(compressed), limit=100))


def test_a_large_window_is_refused() -> None:
    import zstandard

    parameters = zstandard.ZstdCompressionParameters(window_log=27)
    compressor = zstandard.ZstdCompressor(compression_params=parameters)
    writer = compressor.compressobj()
    frame = writer.compress(b"x" * 100) + writer.flush()
    with pytest.raises(HostileRecording, match="window"):
        list(decompressed(io.BytesIO(frame), limit=1 << 20))


def test_what_is_no_zstd_is_damaged() -> None:
    with pytest.raises(DamagedRecording):
        list(decompressed(io.BytesIO(b"not a frame at all"), limit=100))
