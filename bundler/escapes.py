"""What a terminal and a CI log may be sent of text that a stranger wrote.

A terminal takes orders in its text: clear the screen, change the title, write to the clipboard. A
CI runner takes orders in its log: set a variable, hide the lines that follow. A recording holds
whatever its tests printed, so nothing of it is shown before it went through here:

| in the text | becomes |
|---|---|
| colour and style (SGR, `ESC [ … m`) | itself on a stream with colour, nothing on one without |
| any other control character: C0, DEL, C1 | visible: `\\x1b` |
| overrides of the writing direction (U+202A–202E, U+2066–2069) | visible: `\\u202e` |
| a byte that is not UTF-8, half a surrogate pair | visible: `\\xff`, `\\udc80` |
| `\\r\\n`, a lone `\\r` | a newline: a progress bar becomes one line a step |
| a newline or tab in what must be one line (an id, a name) | visible: `\\n`, `\\t` |
| in CI, `::` at the start of a line, and `##[`, `##word[` anywhere | with a backslash put into it |

GitHub's runner trims a line before it looks for `::`, and finds the older `##[` anywhere in it
(https://github.com/actions/runner/blob/main/src/Runner.Common/ActionCommand.cs); Azure Pipelines
reads `##vso[`, TeamCity `##teamcity[`.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterable, Iterator

RESET = "\x1b[0m"
MAX_LINE_BYTES = 1 << 20

_SGR = r"\x1b\[[0-9;:]{0,64}m"
_CONTROLS = r"\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff"
_STYLE = _SGR
_HAZARD = f"({_SGR})|[{_CONTROLS}]"
_HAZARD_IN_ONE_LINE = f"[\\t\\n{_CONTROLS}]"
# The runner compares by culture, which passes over invisible characters: any that is not ASCII may
# stand before and within a command.
_BEYOND_ASCII = r"\x7f-\U0010ffff"
_COMMAND = (
    rf"(?m)^((?:[\x00-\x09\x0b-\x1a\x1c-\x20{_BEYOND_ASCII}]|{_SGR})*):(?=[{_BEYOND_ASCII}]*:)"
    rf"|#(?=[{_BEYOND_ASCII}]*#[\w{_BEYOND_ASCII}]*\[)"
)
_SHORT = {"\t": "\\t", "\n": "\\n", "\r": "\\r"}
_REMEMBERED_STYLES = 8


@functools.cache
def _pattern(source: str) -> re.Pattern[str]:
    """Compile when first needed: these ranges take milliseconds, and most text is harmless."""
    return re.compile(source)


def output_lines(chunks: Iterable[bytes], *, colour: bool) -> Iterator[str]:
    """Yield the lines of output that came in chunks, fit for a terminal, without their newlines.

    A style that is open at the end of a line is closed there and opened again on the next line. A
    line over 1 MiB is broken.
    """
    return _styled(_decoded(chunks), colour=colour)


def text_lines(text: str, *, colour: bool) -> Iterator[str]:
    """Yield the lines of a text of many lines, as `output_lines` does."""
    return _styled(text.removesuffix("\n").split("\n") if text else (), colour=colour)


def one_line(text: str) -> str:
    """Return an id, a name or a message as one line without styles."""
    return text if text.isprintable() else _pattern(_HAZARD_IN_ONE_LINE).sub(_visible, text)


def guarded(text: str, *, colour: bool) -> str:
    """Return text of many lines in which at most styles are left: the last gate of a stream."""
    if text.replace("\n", "").replace("\t", "").isprintable():
        return text
    return _pattern(_HAZARD).sub(_visible_or_style if colour else _visible_or_nothing, text)


def without_commands(text: str) -> str:
    """Return whole lines in which a CI runner finds no command."""
    return _pattern(_COMMAND).sub(_disarmed, text)


def json_text(document: bytes, *, in_ci: bool) -> bytes:
    """Return JSON that means the same, in which neither a terminal nor a CI runner finds an order.

    JSON that was ASCII stays as it is, outside of CI.
    """
    if not document.isascii() or b"\x7f" in document:
        document = json.dumps(json.loads(document)).encode("ascii")
    return document.replace(b"##", b"#\\u0023") if in_ci else document


def _decoded(chunks: Iterable[bytes]) -> Iterator[str]:
    """Whole lines: neither a character nor an escape sequence is cut at a chunk's border."""
    pending: list[bytes] = []
    size = 0
    for chunk in chunks:
        *lines, rest = chunk.split(b"\n")
        for line in lines:
            yield b"".join([*pending, line]).decode("utf-8", "backslashreplace")
            pending, size = [], 0
        pending.append(rest)
        size += len(rest)
        if size > MAX_LINE_BYTES:
            yield b"".join(pending).decode("utf-8", "backslashreplace")
            pending, size = [], 0
    if size:
        yield b"".join(pending).decode("utf-8", "backslashreplace")


def _styled(lines: Iterable[str], *, colour: bool) -> Iterator[str]:
    still_open = ""
    for raw in lines:
        for part in _without_carriage_returns(raw):
            line = still_open + _clean(part, colour)
            if "\x1b" in line:
                still_open = _left_open(line)
                line += RESET if still_open else ""
            yield line


def _without_carriage_returns(line: str) -> list[str]:
    if "\r" not in line:
        return [line]
    return [part for part in line.split("\r") if part] or [""]


def _clean(line: str, colour: bool) -> str:
    # Every hazard is of a category that is not printable, and most lines have none.
    if line.isprintable():
        return line
    return _pattern(_HAZARD).sub(_visible_or_style if colour else _visible_or_nothing, line)


def _left_open(line: str) -> str:
    """The styles that a line leaves on; of very many the last few, so that no line grows on."""
    styles: list[str] = []
    for style in _pattern(_STYLE).findall(line):
        parameters = style[2:-1]
        # In 38;5;0 the zero is a colour.
        if not parameters.split(";")[-1].strip("0") and "8;" not in parameters:
            styles.clear()
        else:
            styles.append(style)
    return "".join(styles[-_REMEMBERED_STYLES:])


def _visible(match: re.Match[str]) -> str:
    character = match[0]
    code = ord(character)
    return _SHORT.get(character) or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}")


def _visible_or_style(match: re.Match[str]) -> str:
    return match[1] or _visible(match)


def _visible_or_nothing(match: re.Match[str]) -> str:
    return "" if match[1] else _visible(match)


def _disarmed(match: re.Match[str]) -> str:
    return "#\\" if match[1] is None else f"{match[1]}\\:"
