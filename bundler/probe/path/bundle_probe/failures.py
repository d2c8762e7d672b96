"""From pytest's reports to failures, reasons and the names of exceptions."""

from __future__ import annotations

import re

from .text import clip, shown

TRACEBACK_BYTES = 256 * 1024

_EXCEPTION = re.compile(r"((?:[A-Za-z_]\w*|<locals>)(?:\.(?:\w+|<locals>))*)(?::|$)")
_TIMEOUT = re.compile(r"(Failed: )?Timeout (>|\(>)[0-9.]+s\)?")


def failure(report, phase, recorder):
    """Return the failure in a failed report, uncut: `{phase, type?, message, traceback?, …}`."""
    longrepr = report.longrepr
    try:
        kind, message, path, line = _crash(longrepr)
        traceback = shown(longrepr)
        if isinstance(longrepr, str) and traceback.strip() == message:
            traceback = None  # words alone; that of a worker's collection is a text, too
    except Exception as error:
        kind = path = line = traceback = None
        message = f"the failure cannot be shown: {type(error).__name__}: {shown(error)}"
    return {
        "phase": phase,
        "type": kind,
        "message": message,
        "traceback": traceback,
        "file": recorder.relative(path) if path else None,
        "line": line if isinstance(line, int) else None,
    }


def clipped(found, limit):
    """Return a failure with its long texts cut to about `limit` bytes, absent fields left out."""
    short = {key: value for key, value in found.items() if value is not None}
    for key in ("type", "message", "traceback", "file"):
        if key in short:
            short[key] = clip(short[key], limit if key == "traceback" else limit // 4)
    return short


def reason(report):
    """Return why a test was skipped, or is expected to fail, as pytest shows it; or None."""
    expected = getattr(report, "wasxfail", None)
    if expected is not None:
        return _without(shown(expected), "reason: ")
    longrepr = report.longrepr
    if isinstance(longrepr, tuple) and len(longrepr) == 3:
        words = shown(longrepr[2])
        return "" if words == "Skipped" else _without(words, "Skipped: ")
    return None if longrepr is None else shown(longrepr)


def is_timeout(found):
    """Whether pytest-timeout ended the test by raising in it."""
    return _TIMEOUT.match(found["message"]) is not None


def type_name(exception_type):
    """Return the name under which pytest shows an exception; None where it cannot be known."""
    try:
        module, name = exception_type.__module__, exception_type.__qualname__
    except Exception:
        return None
    return name if module in ("builtins", "__main__") else f"{module}.{name}"


def _crash(longrepr):
    """Return type, message, path and line of what went wrong."""
    crash = getattr(longrepr, "reprcrash", None)
    if crash is not None:
        message = shown(crash.message)
        return _type_in(message), message, crash.path, crash.lineno
    if hasattr(longrepr, "errorstring"):  # a fixture that is not there
        first = shown(longrepr.errorstring).strip().split("\n")[0]
        return "FixtureLookupError", first, longrepr.filename, longrepr.firstlineno + 1
    if getattr(longrepr, "reprlocation_lines", None):  # a doctest
        place, lines = longrepr.reprlocation_lines[0]
        expectation = _from(lines, ("Expected", "UNEXPECTED EXCEPTION", "Differences"))
        message = "\n".join(expectation) or shown(place.message)
        return shown(place.message), message, place.path, place.lineno
    message = "" if longrepr is None else _summary(shown(longrepr))
    return _type_in(message), message, None, None


def _summary(words):
    """Return the lines that pytest marked with E, or else all of them."""
    marked = [line[1:].strip() for line in words.split("\n") if line.startswith("E  ")]
    return "\n".join(marked) if marked else words.strip()


def _from(lines, beginnings):
    for index, line in enumerate(lines):
        if line.startswith(beginnings):
            return lines[index:]
    return []


def _type_in(message):
    """Return the name of the exception that pytest's words begin with.

    pytest leaves it out before what its own rewriting of `assert` says; a SyntaxError's comes last.
    """
    if message.startswith("assert "):
        return "AssertionError"
    lines = message.split("\n")
    match = _EXCEPTION.match(lines[0]) or _EXCEPTION.match(lines[-1])
    return match.group(1) if match else None


def _without(words, prefix):
    return words[len(prefix) :] if words.startswith(prefix) else words
