"""The fingerprint of a failure: the same for the same failure, whatever run, machine or hour.

FNV-1a 64, as 16 hex digits, over the type of the exception, the file in which it was raised and
the message, each normalised by the table below and ended by a zero byte.

Not in it: the line, which moves with every edit above it, and the test id, so that one cause that
breaks a hundred tests is one fingerprint. Numbers that a test computed stay as they are: what
differs in them is not known to be the same failure.
"""

from __future__ import annotations

import re
from functools import cache

from bundler.seeds import fnv1a, show_seed

MESSAGE_CHARACTERS = 4096
"""How much of a message counts: its head, since that is what is kept when a message is cut."""

_HEX = "[0-9a-fA-F]"
_MOMENT = r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?:Z|[+-]\d\d:?\d\d\b)?"
_UNIT = "(?:ns|us|µs|ms|s|secs?|seconds?|min|minutes?)"

# Applied from the first to the last; nothing that one of them writes is matched by any other.
PATTERNS: tuple[tuple[str, str, str], ...] = (
    # what it is,     how it looks,                                                instead
    ("escapes",       r"\x1b\[[0-9;?]{0,32}[ -/]?[@-~]",                           ""),
    # all of a process's variables, which pytest shows where a test looks into os.environ
    ("environment",   r"\benviron\(\{(?s:.*?)(?:\}\)|\Z)",                         "<environment>"),
    ("uuid",          rf"\b{_HEX}{{8}}(?:-{_HEX}{{4}}){{3}}-{_HEX}{{12}}\b",       "<uuid>"),
    # pytest shows the head and the tail of a long value, and may cut an identifier in two
    ("half a uuid",   rf"(?<=\.\.\.){_HEX}{{0,8}}-(?:{_HEX}{{4}}-){{0,3}}{_HEX}{{12}}\b", "<uuid>"),
    ("its last part", rf"(?<=\.\.\.){_HEX}{{1,12}}(?=[/\\])",                      "<uuid>"),
    ("address",       rf"\bat 0x{_HEX}{{4,16}}\b|\b0x{_HEX}{{9,16}}\b",            "<address>"),
    ("digest",        r"\b(?=\d{0,63}[a-f])(?=[a-f]{0,63}\d)[0-9a-f]{16,64}\b",    "<digest>"),
    ("moment",        rf"\b{_MOMENT}",                                             "<time>"),
    ("date",          r"\b\d{4}-\d\d-\d\d\b",                                      "<date>"),
    ("time of day",   r"\b\d\d:\d\d:\d\d(?:[.,]\d+)?\b",                           "<time>"),
    ("duration",      rf"\b\d+(?:\.\d+)? ?{_UNIT}\b",                              "<duration>"),
    ("directories",   r"(?<![\w:/\\.<>])(?:[A-Za-z]:)?[/\\](?:[\w.+@~=-]+[/\\])+", "<path>/"),
    ("temporary",     r"\btmp[a-z0-9_]{8}\b",                                      "<tmp>"),
    ("numbered",      r"\bpytest-\d+\b",                                           "<tmp>"),
    ("line",          r"(\.py)(?::|\", line )\d+",                                 r"\1:<line>"),
    ("port",          r"(\blocalhost|\b\d{1,3}(?:\.\d{1,3}){3}):\d{2,5}\b",        r"\1:<port>"),
    ("process",       r"\b(?i:pid)[ =:]{0,2}\d+",                                  "pid <n>"),
    ("thread, task",  r"\b(Thread|Task|ForkPoolWorker|SpawnProcess)-\d+",          r"\1-<n>"),
    ("worker",        r"\bgw\d+\b",                                                "<worker>"),
    ("long number",   r"(?<![\w.])\d{9,}(?![\w.])",                                "<number>"),
    ("white space",   r"\s+",                                                      " "),
)  # fmt: skip


def fingerprint(kind: str | None, file: str | None, message: str) -> str:
    """Return the fingerprint of a failure: 16 hex digits."""
    value = fnv1a(b"")
    for part in (kind or "", file or "", message):
        value = fnv1a(normalised(part).encode("utf-8", "surrogatepass") + b"\0", value)
    return show_seed(value)


def normalised(text: str) -> str:
    """Return a text without what differs from one run to the next of the same failure."""
    text = text[:MESSAGE_CHARACTERS]
    for pattern, instead in _table():
        text = pattern.sub(instead, text)
    return text.strip()


@cache
def _table() -> list[tuple[re.Pattern[str], str]]:
    """The patterns, compiled when the first failure asks: a run that passed pays nothing."""
    return [(re.compile(pattern), instead) for _what, pattern, instead in PATTERNS]
