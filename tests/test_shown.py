"""What a person sees in place of what a command writes: held back, replaced, passed on."""

from __future__ import annotations

import ast
import time
from pathlib import Path
from typing import Any

import pytest
from process_driver import ended, finish, start
from test_process_terminal import Screen, screen  # noqa: F401 - a fixture

from bundler.errors import DamagedRecording
from bundler.runners.lines import JsonLines

UPPER = """
held = {}
def show(stream, chunk):
    if not chunk:
        return held.pop(stream, b'') + b'[' + stream.encode() + b']'
    *lines, held[stream] = (held.get(stream, b'') + chunk).split(b'\\n')
    return b''.join(line.upper() + b'\\n' for line in lines)
settings['show'] = show
"""
BREAKING = """
def show(stream, chunk):
    if b'two' in chunk:
        raise ValueError('no')
    return b'<' + chunk.strip() + b'>'
settings['show'] = show
"""


def test_what_is_shown_is_what_is_kept(tmp_path: Path) -> None:
    process = start(tmp_path / "r", "printf", "one\\ntwo", prepare=UPPER)
    assert finish(process) == (b"ONE\ntwo[stdout]", b"[stderr]")
    assert (tmp_path / "r" / "stdout").read_bytes() == b"ONE\ntwo[stdout]"


ANNOUNCED = """
seen = []
def show(stream, chunk):
    seen.append((stream, chunk))
    return b'' if chunk else repr([one for one in seen if one[1]]).encode()
settings['show'] = show
"""


def test_what_was_written_to_stderr_first_is_seen_first(tmp_path: Path) -> None:
    script = "; ".join(f"echo e{n} >&2; echo o{n}" for n in range(300))
    process = start(tmp_path / "r", "sh", "-c", script, prepare=ANNOUNCED)
    time.sleep(0.3)
    out, _ = finish(process)
    told = {"stderr": "", "stdout": ""}
    for stream, chunk in ast.literal_eval(out.decode()):
        told[stream] += chunk.decode()
        if stream == "stdout":
            assert told["stderr"].count("\n") >= told["stdout"].count("\n")


def test_what_breaks_on_the_way_is_passed_on_from_there(tmp_path: Path) -> None:
    script = "echo one; sleep 0.2; echo two; sleep 0.2; echo three; exit 3"
    process = start(tmp_path / "r", "sh", "-c", script, prepare=BREAKING)
    assert finish(process)[0] == b"<one>two\nthree\n"
    assert (tmp_path / "r" / "stdout").read_bytes() == b"<one>two\nthree\n"
    assert ended(tmp_path / "r")["code"] == 3
    assert "no" in ended(tmp_path / "r")["recording_error"]


def test_what_is_held_back_comes_out_where_a_leftover_keeps_the_stream(tmp_path: Path) -> None:
    process = start(tmp_path / "r", "sh", "-c", "printf held; sleep 4 &", prepare=UPPER)
    assert finish(process)[0] == b"held[stdout]"


def test_a_slow_reader_gets_every_byte_of_it(tmp_path: Path) -> None:
    script = "yes abcdefg | head -100000"
    process = start(tmp_path / "r", "sh", "-c", script, prepare=UPPER)
    assert finish(process)[0] == b"ABCDEFG\n" * 100_000 + b"[stdout]"


def test_a_terminal_gets_its_lines_as_ever(screen: Screen) -> None:  # noqa: F811
    screen.start(*screen.wrapped("printf", "one\\ntwo\\n"), prepare=UPPER)
    screen.finish()
    assert screen.shown == b"ONE\r\nTWO\r\n[terminal]"
    assert screen.recorded("terminal") == b"ONE\nTWO\n[terminal]"


# Lines of JSON


def lines(taken: list[dict[str, Any]], noted: list[tuple[str, bytes]] | None = None) -> JsonLines:
    def show(value: dict[str, Any]) -> bytes | None:
        if value.get("a") == "bad":
            raise ValueError("no")
        taken.append(value)
        return None if "raw" in value else b"<%d>" % len(taken)

    def hear(stream: str, line: dict[str, Any] | bytes) -> None:
        if noted is not None and isinstance(line, bytes):
            noted.append((stream, line))
        elif isinstance(line, dict) and line.get("a") == "unheard":
            raise ValueError("deaf")

    return JsonLines(show, hear, lambda: b"end")


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        (b'{"a":1}\n{"a":2}\n', b"<1><2>end"),
        (b'plain\n{"a":1}\nmore', b"plain\n<1>moreend"),
        (b'{"raw":1}\n{not json}\n[1]\n', b'{"raw":1}\n{not json}\n[1]\nend'),
        (b'at once {"a":1}\n{"a":2}\n', b'at once {"a":1}\n<1>end'),
        (
            b'Building [=>] 1/2\r\x1b[K{"a":1}\n\x1b[K{"a":2}\n',
            b"Building [=>] 1/2\r\x1b[K<1>\x1b[K<2>end",
        ),
        (b'{"a":1}\r\n{"a":2}', b"<1><2>end"),
        (b'{"a":1', b'{"a":1end'),
    ],
)
@pytest.mark.parametrize("size", [1, 3, 1000])
def test_lines_are_taken_out_wherever_the_pieces_are_cut(
    written: bytes, shown: bytes, size: int
) -> None:
    show = lines([])
    pieces = [written[at : at + size] for at in range(0, len(written), size)]
    assert b"".join(show("stdout", one) for one in [*pieces, b""]) == shown


def test_what_may_still_become_a_line_waits_and_nothing_else() -> None:
    show = lines([])
    assert show("stdout", b"test a ... ") == b"test a ... "
    assert show("stdout", b'ok\n{"a"') == b"ok\n"
    assert show("stdout", b":1}\n") == b"<1>"
    assert show("stdout", b"{" + b"x" * (1 << 20)) == b"{" + b"x" * (1 << 20)


def test_stderr_is_passed_on_and_its_lines_are_noted() -> None:
    noted: list[tuple[str, bytes]] = []
    show = lines([], noted)
    assert show("stderr", b'{"a":1}\nhal') == b'{"a":1}\nhal'
    assert show("stdout", b"one\n") == b"one\n"
    assert show("stderr", b"f\n") == b"f\n"
    assert noted == [("stderr", b'{"a":1}'), ("stdout", b"one"), ("stderr", b"half")]


def test_a_mistake_in_hearing_is_not_seen() -> None:
    show = lines([])
    assert show("stdout", b'{"a":"unheard"}\n{"a":2}\n') + show("stdout", b"") == b"<1><2>end"
    with pytest.raises(DamagedRecording, match="a line of its output: ValueError: deaf"):
        show.end()


def test_a_mistake_ends_it_and_loses_nothing() -> None:
    show = lines([])
    written = b'{"a":1}\n{"a":"bad"}\n{"a":2}\nrest\n'
    assert show("stdout", written) + show("stdout", b"") == b'<1>{"a":"bad"}\n{"a":2}\nrest\nend'
    with pytest.raises(DamagedRecording, match="a line of its output: ValueError: no"):
        show.end()
