"""The objects of a file of JSON lines that a stranger wrote, one at a time, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO, Any

import msgspec

from bundler.eventlog import split_lines

MAX_LINE_BYTES = 8 << 20
"""One report of pytest holds all that a test printed; ours are cut into pieces."""

_CHUNK = 256 * 1024


def objects(source: IO[bytes], problems: list[str]) -> Iterator[dict[str, Any] | bytes]:
    """Yield each line of a file: the object that it is, or its bytes where it is none.

    Empty lines are left out, and so are those that are too long or torn at the end of the file;
    a sentence about these goes to `problems`.
    """
    too_long = 0
    for line in split_lines(iter(lambda: source.read(_CHUNK), b""), limit=MAX_LINE_BYTES):
        too_long += line.problem == "too long"
        content = line.content.removesuffix(b"\r")
        value = json_object(content)
        if value is not None:
            yield value
        elif line.problem == "torn" and content.lstrip().startswith(b"{"):
            problems.append(f"the last line, at byte {line.offset:,}, is cut")
        elif content.strip():
            yield content
    if too_long:
        lines = "a line is" if too_long == 1 else f"{too_long:,} lines are"
        problems.append(f"{lines} longer than {MAX_LINE_BYTES:,} bytes and left out")


def json_object(line: bytes) -> dict[str, Any] | None:
    """Return the object that a line is, or None."""
    if not line.lstrip().removeprefix(b"\xef\xbb\xbf").startswith(b"{"):
        return None
    try:
        value = msgspec.json.decode(line.lstrip().removeprefix(b"\xef\xbb\xbf"))
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return None
    return value if isinstance(value, dict) else None


def first_objects(head: bytes, most: int = 50) -> Iterator[dict[str, Any]]:
    """Yield the objects among the first whole lines of a file, to recognise it by."""
    for line in head.split(b"\n")[:most]:
        value = json_object(line.removesuffix(b"\r"))
        if value is not None:
            yield value
