"""What a serialised report of pytest says of a failure: its `longrepr`, in the shapes that it has.

| shape | of |
|---|---|
| a text | `--tb=line`, collection errors, crashed workers |
| `[file, line, reason]` | a skip |
| `{reprcrash, reprtraceback, sections, chain}` | an exception, with the ones that led to it |

pytest makes it in `_pytest/reports.py`, `_report_to_json`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from bundler.results import Failure

_TYPE = re.compile(r"([A-Za-z_][\w.]*)(?::|$)")
_EXCEPTION_LINE = re.compile(r"E\s+(\S.*)")


def failure_of(longrepr: object, phase: str) -> Failure:
    """Return the failure that a longrepr describes, of any shape."""
    if isinstance(longrepr, dict):
        return _of_exception(longrepr, phase)
    text = "" if longrepr is None else _text(longrepr)
    errors = [found[1] for line in text.split("\n") if (found := _EXCEPTION_LINE.match(line))]
    message = errors[-1] if errors else _first_line(text)
    return Failure(phase, message, _type_in(message), text or None)


def skip_reason(longrepr: object) -> tuple[str | None, int | None, str | None]:
    """Return the file, the line and the reason of a skip, as far as it says them."""
    if not isinstance(longrepr, list) or len(longrepr) != 3:
        return None, None, None if longrepr is None else _first_line(_text(longrepr))
    file, line, reason = longrepr
    words = str(reason)
    return (
        file if isinstance(file, str) else None,
        line if type(line) is int else None,
        "" if words == "Skipped" else words.removeprefix("Skipped: "),
    )


def _of_exception(longrepr: dict[str, Any], phase: str) -> Failure:
    crash = longrepr.get("reprcrash")
    crash = crash if isinstance(crash, dict) else {}
    text = "\n".join(_chained(longrepr))
    message = str(crash["message"]) if crash.get("message") is not None else _last_error(text)
    path, line = crash.get("path"), crash.get("lineno")
    return Failure(
        phase,
        message,
        _type_in(message),
        text or None,
        path if isinstance(path, str) else None,
        line if type(line) is int else None,
    )


def _chained(longrepr: dict[str, Any]) -> Iterator[str]:
    """The lines of every exception in a chain, the first cause first, as pytest prints them."""
    chain = longrepr.get("chain")
    if not isinstance(chain, list) or not chain:
        chain = [[longrepr.get("reprtraceback"), None, None]]
    for traceback, _crash, description in (link for link in chain if len(link) == 3):
        yield from _traceback(traceback)
        if description:
            yield from ("", str(description), "")


def _traceback(traceback: object) -> Iterator[str]:
    if not isinstance(traceback, dict):
        return
    entries = traceback.get("reprentries") or []
    for number, entry in enumerate(entries):
        if number:
            yield "" if traceback.get("style") != "long" else "\n" + "_ " * 40 + "\n"
        yield from _entry(entry)
    if traceback.get("extraline"):
        yield str(traceback["extraline"])


def _entry(entry: object) -> Iterator[str]:
    data = entry.get("data") if isinstance(entry, dict) else None
    if not isinstance(data, dict):
        return
    arguments = data.get("reprfuncargs")
    if isinstance(arguments, dict):
        pairs = (arguments.get("args") or [])[:100]
        yield from (f"{pair[0]} = {pair[1]}" for pair in pairs)
        yield ""
    place = data.get("reprfileloc")
    place = place if isinstance(place, dict) else {}
    where = f"{place.get('path')}:{place.get('lineno')}: {place.get('message')}" if place else ""
    if where and data.get("style") == "short":
        yield where
    yield from map(str, data.get("lines") or [])
    local = data.get("reprlocals")
    if isinstance(local, dict):
        yield from ("", *map(str, local.get("lines") or []))
    if where and data.get("style") != "short":
        yield from ("", where)


def _text(longrepr: object) -> str:
    if isinstance(longrepr, list):
        return "\n".join(map(str, longrepr))
    return str(longrepr)


def _last_error(text: str) -> str:
    errors = [found[1] for line in text.split("\n") if (found := _EXCEPTION_LINE.match(line))]
    return errors[-1] if errors else _first_line(text)


def _first_line(text: str) -> str:
    return next((line.strip() for line in text.split("\n") if line.strip()), "")


def _type_in(message: str) -> str | None:
    """The exception's type where a message begins with one; an assertion is told by its word."""
    first = message.split("\n", 1)[0]
    if first.startswith("assert "):
        return "AssertionError"
    match = _TYPE.match(first)
    return match[1] if match and not match[1].islower() else None
