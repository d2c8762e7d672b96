"""Subtests, those of pytest 9 and those of pytest-subtests: which reports they are, their names."""

from __future__ import annotations

from .text import shown


def is_one(report):
    """Return whether a report is of a subtest."""
    return type(report).__name__.lower() == "subtestreport"


def name(report):
    """Return the name of a subtest as pytest shows it: its message, then its parameters."""
    context = report.context
    words = [] if context.msg is None else [f"[{shown(context.msg)}]"]
    if context.kwargs:
        pairs = ", ".join(f"{key}={_parameter(v)}" for key, v in context.kwargs.items())
        words.append(f"({pairs})")
    return " ".join(words) or "(<subtest>)"


def _parameter(value):
    """pytest 9 keeps the parameters as their repr, pytest-subtests as they are."""
    try:
        return value if isinstance(value, str) else repr(value)
    except (Exception, SystemExit) as error:
        return f"<{type(value).__name__}: {type(error).__name__}>"
