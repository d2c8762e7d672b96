"""No text of a stranger orders a terminal or a CI runner about."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bundler.escapes import (
    MAX_LINE_BYTES,
    guarded,
    json_text,
    one_line,
    output_lines,
    text_lines,
    without_commands,
)

SGR = re.compile(r"\x1b\[[0-9;:]*m")
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
NASTY = st.lists(
    st.one_of(
        st.sampled_from(
            [
                b"\x1b",
                b"\x1b[31m",
                b"\x1b[0m",
                b"\x1b[2J",
                b"\x1b]0;t\x07",
                b"\xc2\x9b31m",
                b"\r",
                b"\r\n",
                b"[",
                b"m",
                b"\xe2\x80\xae",
                b"\xff",
                b"::error::x",
                b"##[group]",
            ]
        ),
        st.binary(max_size=8),
        st.text(max_size=8).map(lambda text: text.encode("utf-8", "surrogatepass")),
    ),
    max_size=12,
)


def plain(*chunks: bytes) -> list[str]:
    return list(output_lines(chunks, colour=False))


def coloured(*chunks: bytes) -> list[str]:
    return list(output_lines(chunks, colour=True))


@given(NASTY)
@example([b"\x1b\x1b[0m[31m"])
def test_without_colour_no_control_character_passes(chunks: list[bytes]) -> None:
    for line in plain(*chunks):
        assert not CONTROL.search(line)
        assert "\n" not in line


@given(NASTY)
def test_with_colour_styles_are_all_that_passes(chunks: list[bytes]) -> None:
    for line in coloured(*chunks):
        assert not CONTROL.search(SGR.sub("", line))


@given(NASTY)
def test_a_style_never_leaves_its_line(chunks: list[bytes]) -> None:
    for line in coloured(*chunks):
        styles = SGR.findall(line)
        assert not styles or re.fullmatch(r"\x1b\[(.*;)?0*m", styles[-1])


@given(st.binary(max_size=40), st.integers(1, 7))
def test_where_the_chunks_are_cut_makes_no_difference(content: bytes, size: int) -> None:
    pieces = [content[i : i + size] for i in range(0, len(content), size)]
    assert coloured(*pieces) == coloured(content)


@given(st.text(max_size=40))
def test_the_last_gate_changes_nothing_that_was_cleaned(text: str) -> None:
    lines = "\n".join(text_lines(text, colour=True))
    assert guarded(lines, colour=True) == lines


@given(st.text(max_size=40))
def test_an_id_is_one_line_whatever_it_holds(text: str) -> None:
    assert not re.search(r"[\n\t]", one_line(text))
    assert not CONTROL.search(one_line(text))


def test_colour_passes_on_a_colour_stream_and_vanishes_on_another() -> None:
    assert coloured(b"\x1b[31mred\x1b[0m\n") == ["\x1b[31mred\x1b[0m"]
    assert plain(b"\x1b[31mred\x1b[0m\n") == ["red"]


@pytest.mark.parametrize(
    ("order", "shown"),
    [
        (b"\x1b]0;title\x07", r"\x1b]0;title\x07"),
        (b"\x1b[2J", r"\x1b[2J"),
        (b"\x1b]52;c;aGk=\x07", r"\x1b]52;c;aGk=\x07"),
        (b"\x1b[>4;1m", r"\x1b[>4;1m"),
        (b"\xc2\x9b31m", r"\x9b31m"),
        (b"a\x08b", r"a\x08b"),
        (b"\x00\x7f", r"\x00\x7f"),
        ("\u202egnp.exe\u2066".encode(), r"\u202egnp.exe\u2066"),
        (b"\xff\xfe", r"\xff\xfe"),
    ],
)
def test_every_other_order_is_shown(order: bytes, shown: str) -> None:
    assert plain(order) == [shown]
    assert coloured(order) == [shown]


def test_what_only_looks_odd_stays_as_it_is() -> None:
    text = "tab\there, é, 漢字, 👩‍👩‍👧, a\u00a0b, \u05d0"
    assert plain(text.encode()) == [text]


def test_a_lone_carriage_return_is_a_newline() -> None:
    assert plain(b"10%\r20%\r\ndone\r\n") == ["10%", "20%", "done"]
    assert plain(b"a\r\r\n\r\nb") == ["a", "", "b"]


def test_an_empty_output_has_no_line() -> None:
    assert plain() == plain(b"") == []
    assert list(text_lines("", colour=False)) == []


def test_a_style_left_open_is_closed_and_taken_up_again() -> None:
    assert coloured(b"\x1b[1m\x1b[31ma\nb\x1b[0mc\nd") == [
        "\x1b[1m\x1b[31ma\x1b[0m",
        "\x1b[1m\x1b[31mb\x1b[0mc",
        "d",
    ]
    assert coloured(b"\x1b[38;5;0mblack\nstill") == [
        "\x1b[38;5;0mblack\x1b[0m",
        "\x1b[38;5;0mstill\x1b[0m",
    ]


def test_styles_that_pile_up_do_not_make_each_line_longer() -> None:
    lines = coloured(b"\x1b[31mx\n" * 2000)
    assert max(map(len, lines)) < 100


def test_of_many_styles_the_last_eight_are_taken_up_again() -> None:
    styles = [f"\x1b[3{number}m" for number in range(8)] + ["\x1b[1m", "\x1b[2m"]
    lines = coloured("".join(styles).encode() + b"x\ny")
    assert lines[1] == "".join(styles[-8:]) + "y\x1b[0m"


def test_a_character_cut_between_two_chunks_is_whole() -> None:
    assert plain("é".encode()[:1], "é".encode()[1:]) == ["é"]


def test_a_line_without_end_is_broken() -> None:
    lines = plain(*[b"x" * 500_000] * 5)
    assert sum(map(len, lines)) == 2_500_000
    assert max(map(len, lines)) <= 1_600_000


def test_a_line_as_long_as_the_limit_is_whole() -> None:
    assert plain(b"x" * MAX_LINE_BYTES, b"y\nz") == ["x" * MAX_LINE_BYTES + "y", "z"]


def test_a_line_that_is_broken_at_its_very_end_is_followed_by_none() -> None:
    assert plain(b"x" * (MAX_LINE_BYTES + 1)) == ["x" * (MAX_LINE_BYTES + 1)]


@pytest.mark.parametrize(
    "line",
    [
        "::error::x",
        "  ::set-env name=A::b",
        "\t::group::",
        "\u00a0::x::",
        "\u200b::x::",
        "\u00ad::x::",
        ":\u00ad:x::",
        "\x1b[31m::error::x",
        "text ##[group]x",
        "##vso[task.setvariable]x",
        "##teamcity[testFailed]",
        "###[group]",
        "#\u200b#[group]",
    ],
)
def test_in_ci_a_workflow_command_is_none(line: str) -> None:
    safe = without_commands(f"before\n{line}\nafter")
    assert safe.count("\\") == 1
    for shown in safe.split("\n"):
        visible = re.sub(r"[^\x21-\x7e]", "", SGR.sub("", shown))
        assert not visible.startswith("::")
        assert not re.search(r"##\w*\[", visible)


def test_in_ci_a_test_id_is_left_alone() -> None:
    text = "        PASS [   0.001s] tests/test_a.py::TestB::test_c\n#1 ##2 [x]\n"
    assert without_commands(text) == text


@given(NASTY)
def test_disarming_a_command_only_adds_a_backslash(chunks: list[bytes]) -> None:
    text = "\n".join(plain(*chunks))
    assert without_commands(text).replace("\\", "") == text.replace("\\", "")


def test_what_moves_a_line_is_shown_by_its_short_name() -> None:
    assert one_line("a\tb\nc\rd") == r"a\tb\nc\rd"


@pytest.mark.parametrize("text", ["##[group]x", "::error::", "é", "\x7f", "\u2028", "plain"])
def test_json_means_the_same_and_is_ascii(text: str) -> None:
    for document in (json.dumps({text: [text]}), json.dumps({text: [text]}, ensure_ascii=False)):
        raw = document.encode()
        for in_ci in (False, True):
            shown = json_text(raw, in_ci=in_ci)
            assert json.loads(shown) == {text: [text]}
            assert shown.isascii() and b"\x7f" not in shown
            assert not (in_ci and b"##" in shown)
    assert json_text(b'{"a": "##[x]"}', in_ci=False) == b'{"a": "##[x]"}'


def test_bytes_that_are_no_text_are_shown_wherever_a_line_is_broken() -> None:
    long = b"\xff" * (MAX_LINE_BYTES + 1)
    assert "".join(plain(long, b"\xfe\n", b"\xfd")) == r"\xff" * len(long) + r"\xfe\xfd"


def test_a_colour_that_ends_in_a_zero_is_none_that_resets() -> None:
    assert coloured(b"\x1b[1;0m\x1b[48;5;0ma\nb") == [
        "\x1b[1;0m\x1b[48;5;0ma\x1b[0m",
        "\x1b[48;5;0mb\x1b[0m",
    ]
    assert coloured(b"\x1b[38;2;1;2;0ma\nb")[1] == "\x1b[38;2;1;2;0mb\x1b[0m"


def test_a_character_is_shown_by_two_digits_or_by_four() -> None:
    assert one_line("\xff\u0100".replace("\xff", "\x9f")) == "\\x9f\u0100"
    assert one_line("\u2066") == r"\u2066"


def test_a_text_has_the_lines_that_it_has() -> None:
    assert list(text_lines("a\n\nb\n", colour=False)) == ["a", "", "b"]
    assert list(text_lines("a", colour=False)) == ["a"]
    assert list(text_lines("\n", colour=False)) == [""]
