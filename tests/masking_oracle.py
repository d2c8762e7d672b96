"""What is to be masked, said slowly and plainly: every value at every place, one after the other.

Nothing here is shared with the masking but the list of ways in which a value is written.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Set

Span = tuple[int, int, str]

_TOKEN = re.compile(
    rb"(?P<github>gh[pousr]_\w{36,}|github_pat_\w{36,})"
    rb"|(?P<gitlab>gl(?:pat|ptt|dt|rt|cbt|soat|ft|agent|imt|oas)-[\w-]{20,})"
    rb"|(?P<slack>xox[abeoprs]-[A-Za-z0-9-]{15,}|xapp-[0-9]-[A-Za-z0-9-]{13,})"
    rb"|(?P<aws>A[KS]IA[A-Z0-9]{16})|(?P<google>AIza[\w-]{35}|GOCSPX-[\w-]{24,})"
    rb"|(?P<stripe>[sr]k_(?:live|test)_[A-Za-z0-9]{16,}|whsec_[A-Za-z0-9]{24,})"
    rb"|(?P<pypi>pypi-[\w-]{50,})"
)
_WEB_TOKEN = re.compile(rb"(?P<jwt>eyJ[\w-]{14,}(?:\.[\w-]+){2,4})")
_KEY = re.compile(rb"-----BEGIN [^\n]{0,29}?PRIVATE KEY")
_END = re.compile(rb"-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
_CUT = re.compile(rb"(?: BLOCK)?-----(?:(?:\s|\\+[nr])*[A-Za-z0-9+/=]{16,})*")
_ELLIPSIS = re.compile(r"\.\.\.|…|\n\[… | …\]\n".encode())


def places(
    data: bytes, written: Mapping[bytes, str], shown: Mapping[bytes, str], shortest_run: int
) -> list[tuple[int, int, Set[str]]]:
    """Return (begin, end, rules) of all that is to be masked, what overlaps as one.

    `written` are the values in every way that counts, `shown` as a test runner shows them before
    it cuts.
    """
    plain, origin = _without_colour(data)
    spans = [*_values(plain, written), *_parts(plain, shown), *_looks(plain, shortest_run)]
    placed = [(origin[begin], origin[end - 1] + 1, rule) for begin, end, rule in spans]
    merged: list[tuple[int, int, Set[str]]] = []
    for begin, end, rule in sorted(placed):
        if merged and begin < merged[-1][1]:
            first, last, rules = merged.pop()
            merged.append((first, max(end, last), {*rules, rule}))
        else:
            merged.append((begin, end, {rule}))
    return merged


def _without_colour(data: bytes) -> tuple[bytes, list[int]]:
    gone = {at for one in re.finditer(rb"\x1b\[[0-9;:]*m", data) for at in range(*one.span())}
    origin = [at for at in range(len(data)) if at not in gone]
    return bytes(data[at] for at in origin), origin


def _values(data: bytes, written: Mapping[bytes, str]) -> Iterator[Span]:
    for value, rule in written.items():
        for one in re.finditer(b"(?=%s)" % re.escape(value), data):
            yield one.start(), one.start() + len(value), rule


def _parts(data: bytes, shown: Mapping[bytes, str]) -> Iterator[Span]:
    for ellipsis in re.finditer(b"(?=(%s))" % _ELLIPSIS.pattern, data):
        begin, end = ellipsis.span(1)
        for value, rule in shown.items():
            for size in range(6, len(value) + 1):
                if data[:begin].endswith(value[:size]):
                    yield begin - size, begin, rule
                if data[end:].startswith(value[-size:]):
                    yield end, end + size, rule


def _looks(data: bytes, shortest_run: int) -> Iterator[Span]:
    in_runs = {at for run in re.finditer(rb"[A-Za-z0-9_-]{20,}", data) for at in range(*run.span())}
    yield from _one_after_the_other(_TOKEN, data, in_runs)
    yield from _one_after_the_other(_WEB_TOKEN, data, in_runs)
    if re.search(rb"[A-Za-z0-9_-]{%d}" % shortest_run, data):
        yield from _keys(data)
    for at in (one.start() for one in re.finditer(b"@", data)):
        for begin in (one.end() for one in re.finditer(b"://", data[:at])):
            if begin >= at - 509 and re.fullmatch(
                rb"[^\s/?#:@]*:(?!\*\*\*)[^\s/?#]+", data[begin:at]
            ):
                yield begin, at, "url"


def _one_after_the_other(pattern: re.Pattern[bytes], data: bytes, at: Set[int]) -> Iterator[Span]:
    done = 0
    for begin in sorted(at):
        token = pattern.match(data, begin) if begin >= done else None
        if token and token.lastgroup:
            yield begin, token.end(), token.lastgroup
            done = token.end()


def _keys(data: bytes) -> Iterator[Span]:
    done = 0
    for key in re.finditer(b"PRIVATE KEY", data):
        begin = data[: key.start()].rfind(b"-----BEGIN ")
        if key.start() <= done or begin < key.start() - 40 or begin < 0:
            continue
        ends = [one for one in _END.finditer(data) if key.start() <= one.start()]
        end = ends[0] if ends and ends[0].end() <= key.start() + 24 * 1024 else None
        last = end or _CUT.match(data, key.end())
        if last:
            yield begin, last.end(), "private-key"
            done = last.end() - 1
