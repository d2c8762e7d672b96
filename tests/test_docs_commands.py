"""Every command line that a document or a help shows is one that the program takes."""

from __future__ import annotations

import importlib
import inspect
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from bundler.commands import COMMANDS
from bundler.words import _after_dashes, _limits_first, program

ROOT = Path(__file__).parent.parent
DOCUMENTS = [ROOT / "README.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").glob("*.md"))]

WHOLE = re.compile(r"^ *(?:\$ )?((?:[A-Z_]+=\S+ )?bundle .*)$", re.MULTILINE)
INLINE = re.compile(r"(?:`|\| )((?:[A-Z_]+=\S+ )?bundle [^`|\n]+)")
END = re.compile(r"\s{2,}| [|&>#]|;|\.$")
PLACEHOLDERS = {"COMMAND", "exec"}
"""What stands for any command, and a command of Ruby's bundler."""


def command_lines() -> Iterator[tuple[str, str, bool]]:
    """Where each stands, the line, and whether it stands alone: all that it takes is in it then."""
    texts = {path.name: path.read_text(encoding="utf-8") for path in DOCUMENTS}
    for name in COMMANDS:
        command = importlib.import_module(f"bundler.commands.{name}").command
        texts[f"bundle {name} --help"] = inspect.getdoc(command) or ""
    for where, text in texts.items():
        for pattern in (WHOLE, INLINE):
            for found in pattern.findall(text):
                yield where, END.split(found)[0].strip(), pattern is WHOLE


def words_of(line: str) -> list[str]:
    """The words behind `bundle`; what stands in brackets is given."""
    words = shlex.split(re.sub(r"\[(\w+)\]", r"\1", line))
    return _limits_first(_after_dashes(words[words.index("bundle") + 1 :]))


LINES = sorted(set(command_lines()))


@pytest.mark.parametrize(("where", "line", "alone"), LINES)
def test_a_command_line_that_is_shown_is_taken(where: str, line: str, alone: bool) -> None:
    words = words_of(line)
    group = program()
    with group.make_context("bundle", list(words)) as context:
        if words[0].startswith("-") or words[0] in PLACEHOLDERS:
            return
        _, command, rest = group.resolve_command(context, words)
        try:
            command.make_context(words[0], list(rest), parent=context)
        except typer.TyperException as error:
            message = error.format_message()
            lacks = "Missing argument" in message or "requires an argument" in message
            assert lacks and not alone, f"{where}: {line}: {message}"


@pytest.mark.parametrize(
    "line",
    [
        ("rerun.md", "bundle rerun -- -x --pdb", True),
        ("bundle diff --help", "bundle diff 3f2a", True),
        ("formats.md", "bundle replay report.xml", False),
        ("README.md", "bundle pack -o bundle.zip", False),
    ],
)
def test_the_lines_are_found(line: tuple[str, str, bool]) -> None:
    assert line in LINES
