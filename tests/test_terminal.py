"""Results on stdout, status on stderr, colour where it belongs, a pager where a person reads."""

from __future__ import annotations

import contextlib
import io
import os
import select
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from bundler.errors import OutputError
from bundler.look import ColourChoice, Look, Style, unique_prefix, wants_colour
from bundler.terminal import Ui

pty = pytest.importorskip("pty", reason="pseudo-terminals are POSIX")


def piped(encoding: str = "utf-8", **environment: str) -> tuple[Ui, io.BytesIO, io.BytesIO]:
    """A Ui whose streams are pipes, and what they carry."""
    out, err = io.BytesIO(), io.BytesIO()
    streams = [io.TextIOWrapper(raw, encoding=encoding) for raw in (out, err)]
    return Ui.from_environment(environment, None, *streams), out, err


@contextlib.contextmanager
def on_a_terminal(environment: Mapping[str, str]) -> Iterator[tuple[Ui, int]]:
    """A Ui whose streams are one terminal, and the other end of it."""
    master, slave = pty.openpty()
    with os.fdopen(slave, "w", encoding="utf-8") as file:
        yield Ui.from_environment(environment, None, file, file), master
    os.close(master)


def read(descriptor: int) -> str:
    """What the terminal was sent; the kernel hands it over a little later than it was written."""
    sent = b""
    while select.select([descriptor], [], [], 0.2)[0]:
        sent += os.read(descriptor, 1 << 16)
    return sent.decode().replace("\r\n", "\n")


def test_results_go_to_stdout_and_status_to_stderr() -> None:
    ui, out, err = piped()
    ui.result("the answer")
    ui.status("working")
    ui.error("run 'x' is not here", "Run `bundle list`.")
    ui.close()
    assert out.getvalue() == b"the answer\n"
    assert err.getvalue() == b"working\nerror: run 'x' is not here\n hint: Run `bundle list`.\n"


def test_a_pipe_gets_no_escape_whatever_is_printed() -> None:
    ui, out, err = piped()
    ui.result(ui.look.paint(Style.FAILED, "red") + "\x1b[2J\x1b]0;title\x07")
    ui.warning("id \x1b[2J\n::error::x")
    ui.close()
    assert out.getvalue() == b"red\\x1b[2J\\x1b]0;title\\x07\n"
    assert err.getvalue() == b"warning: id \\x1b[2J\\n::error::x\n"


def test_a_terminal_gets_styles_and_nothing_else() -> None:
    with on_a_terminal({"TERM": "xterm"}) as (ui, terminal):
        ui.result(ui.look.paint(Style.FAILED, "red") + "\x1b[2J")
        assert read(terminal) == "\x1b[31;1mred\x1b[0m\\x1b[2J\n"


@pytest.mark.parametrize("name", ["CI", "GITHUB_ACTIONS", "TF_BUILD", "TEAMCITY_VERSION"])
def test_in_ci_nothing_printed_is_a_workflow_command(name: str) -> None:
    ui, out, _ = piped(**{name: "true"})
    ui.result("::set-env name=PATH::/evil")
    ui.stdout.write_lines(["fine", "  ::add-mask::a", "x ##[group]"])
    ui.close()
    assert out.getvalue().decode().split("\n") == [
        "\\::set-env name=PATH::/evil",
        "fine",
        "  \\::add-mask::a",
        "x #\\#[group]",
        "",
    ]


def test_outside_ci_the_same_text_is_only_text() -> None:
    ui, out, _ = piped(CI="false")
    ui.result("::notice::x")
    ui.close()
    assert out.getvalue() == b"::notice::x\n"


def test_a_stream_without_unicode_gets_look_alikes() -> None:
    ui, out, _ = piped(encoding="ascii")
    ui.result("── é · tests/test_漢.py …")
    ui.close()
    assert out.getvalue() == b"-- \\xe9 - tests/test_\\u6f22.py ...\n"
    assert not ui.look.unicode


def test_bytes_are_written_as_they_are() -> None:
    ui, out, _ = piped(CI="true")
    ui.stdout.write_bytes(b"::x::\xff\x1b[2J")
    ui.close()
    assert out.getvalue() == b"::x::\xff\x1b[2J"


@pytest.mark.parametrize(
    ("environment", "terminal", "choice", "colour"),
    [
        ({}, True, "auto", True),
        ({}, False, "auto", False),
        ({}, False, "always", True),
        ({}, True, "never", False),
        ({"NO_COLOR": "1"}, True, "auto", False),
        ({"NO_COLOR": ""}, True, "auto", True),
        ({"NO_COLOR": "1"}, True, "always", True),
        ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, True, "auto", False),
        ({"FORCE_COLOR": "1"}, False, "auto", True),
        ({"FORCE_COLOR": "0"}, False, "auto", False),
        ({"CLICOLOR_FORCE": "1"}, False, "auto", True),
        ({"CLICOLOR_FORCE": "1", "TERM": "dumb"}, False, "auto", True),
        ({"TERM": "dumb"}, True, "auto", False),
        ({"CLICOLOR": "0"}, True, "auto", False),
    ],
)
def test_who_gets_colour(
    environment: dict[str, str], terminal: bool, choice: str, colour: bool
) -> None:
    known = {"WT_SESSION": "1"} | environment
    assert wants_colour(known, terminal, ColourChoice(choice)) is colour


def test_color_always_holds_for_both_streams() -> None:
    ui, _, err = piped()
    ui.choose_colour(ColourChoice.ALWAYS)
    ui.warning("x")
    assert ui.look.paint(Style.NAME, "n") == "\x1b[34;1mn\x1b[0m"
    assert err.getvalue() == b"\x1b[33;1mwarning\x1b[0m: x\n"


def test_the_width_is_that_of_the_terminal_unless_columns_says_so() -> None:
    assert piped()[0].look.width == 80
    assert piped(COLUMNS="60")[0].look.width == 60
    assert piped(COLUMNS="wide")[0].look.width == 80
    with on_a_terminal({}) as (_, terminal):
        import termios

        termios.tcsetwinsize(terminal, (40, 132))
        with os.fdopen(os.dup(terminal), "w") as file:
            assert Ui.from_environment({}, None, file, None).look.width == 132


def test_a_run_id_shows_the_digits_that_tell_it_from_the_others() -> None:
    ids = ["3f2a9c81-aa", "3f2b0000-bb", "77770000-cc"]
    assert [unique_prefix(one, ids) for one in ids] == [4, 4, 1]
    assert unique_prefix("3f2a9c81-aa", []) == 1
    look = Look(colour=True)
    assert look.run_id(ids[0], ids) == "\x1b[35;1m3f2a\x1b[0m\x1b[90m9c81\x1b[0m"
    assert Look().run_id(ids[0], ids) == "3f2a9c81"
    assert Look().run_id("3f2a9c81-aa", ["3f2a9c81-ab"]) == "3f2a9c81-aa"


def test_a_test_id_is_one_line_with_its_parts_told_apart() -> None:
    assert Look().test_id("a.py::B::c[\x1b\n]") == "a.py::B::c[\\x1b\\n]"
    painted = Look(colour=True).test_id("a.py::B::c")
    assert painted.replace("\x1b[0m", "").split("\x1b[")[1:] == [
        "35;1ma.py",
        "36m::",
        "36mB",
        "36m::",
        "34;1mc",
    ]


SCRIPT = """
import os, sys
from bundler.terminal import Ui
ui = Ui.from_environment(os.environ, sys.stdin, sys.stdout, sys.stderr)
ui.stdout.write_lines(f"line {number}" for number in range(200_000))
ui.close()
sys.exit(7)
"""


def script(command: str) -> subprocess.CompletedProcess[str]:
    known = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    return subprocess.run(
        ["bash", "-c", command],
        capture_output=True,
        text=True,
        timeout=60,
        env={**known, "PYTHONPATH": str(Path(__file__).parents[1]), "SCRIPT": SCRIPT},
    )


def test_a_reader_that_stops_ends_it_quietly() -> None:
    ended = script(f'"{sys.executable}" -c "$SCRIPT" | head -n 2; echo "${{PIPESTATUS[0]}}"')
    assert ended.stdout == "line 0\nline 1\n7\n"
    assert ended.stderr == ""


def test_a_stdout_that_was_closed_is_no_error() -> None:
    ended = script(f'"{sys.executable}" -c "$SCRIPT" >&-; echo $?')
    assert (ended.stdout, ended.stderr) == ("7\n", "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is of Linux")
def test_a_full_disk_is_an_error_that_names_stdout() -> None:
    with Path("/dev/full").open("w") as full:
        ui = Ui.from_environment({}, None, full, None)
        ui.result("x")
        with pytest.raises(OutputError, match="stdout cannot be written: No space left"):
            ui.close()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is of Linux")
def test_a_stderr_that_refuses_is_not_talked_about() -> None:
    with Path("/dev/full").open("w") as full:
        ui = Ui.from_environment({}, None, None, full)
        ui.status("x")
        assert ui.stderr.stopped


def paging(tmp_path: Path, pager: str, **environment: str) -> tuple[str, str]:
    """What the terminal and the pager got of a result of two lines."""
    kept = tmp_path / "kept"
    known = {"PATH": os.environ["PATH"], "KEPT": str(kept), "TERM": "xterm"}
    with on_a_terminal({**known, "PAGER": pager, **environment}) as (ui, terminal):
        with ui.paged():
            ui.result("one")
        ui.result("two")
        return read(terminal), kept.read_text() if kept.exists() else ""


def test_on_a_terminal_the_result_goes_through_the_pager(tmp_path: Path) -> None:
    assert paging(tmp_path, "sh -c 'cat > $KEPT'") == ("two\n", "one\n")


def test_bundle_pager_comes_before_pager(tmp_path: Path) -> None:
    chosen = "sh -c 'tr a-z A-Z > $KEPT'"
    assert paging(tmp_path, "false", BUNDLE_PAGER=chosen) == ("two\n", "ONE\n")


@pytest.mark.parametrize("pager", ["", "cat", "no-such-pager-anywhere", "'unclosed"])
def test_no_pager_or_a_missing_one_is_done_without(tmp_path: Path, pager: str) -> None:
    assert paging(tmp_path, pager) == ("one\ntwo\n", "")


def test_a_dumb_terminal_gets_no_pager(tmp_path: Path) -> None:
    assert paging(tmp_path, "sh -c 'cat > $KEPT'", TERM="dumb") == ("one\ntwo\n", "")


def test_a_pager_that_is_left_early_is_no_error() -> None:
    known = {"PATH": os.environ["PATH"], "PAGER": "true"}
    with on_a_terminal(known) as (ui, terminal):
        with ui.paged():
            ui.stdout.write_lines(f"line {number}" for number in range(100_000))
            assert ui.stdout.stopped
        ui.result("after")
        assert read(terminal) == "after\n"


def test_less_is_told_to_leave_where_all_fits_and_to_pass_styles(tmp_path: Path) -> None:
    assert paging(tmp_path, "sh -c 'echo $LESS > $KEPT; cat'")[1] == "FRX\n"
    assert paging(tmp_path, "sh -c 'echo $LESS > $KEPT; cat'", LESS="S")[1] == "S\n"


def test_a_pipe_gets_no_pager() -> None:
    ui, out, _ = piped(PAGER="false", PATH=os.environ["PATH"])
    with ui.paged():
        ui.result("one")
    assert out.getvalue() == b"one\n"


def test_paging_can_be_switched_off() -> None:
    with on_a_terminal({"PATH": os.environ["PATH"], "PAGER": "false"}) as (ui, terminal):
        with ui.paged(enabled=False):
            ui.result("one")
        assert read(terminal) == "one\n"
