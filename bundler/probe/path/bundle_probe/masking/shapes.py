"""What looks like a secret whoever it belongs to: tokens, private keys, passwords in URLs.

Every token of these services holds a run (`runs.py`), so only where runs are is looked at.
"""

from __future__ import annotations

import re

from . import runs
from .beginnings import Beginnings
from .pairs import Pairs

MOST_HELD = 32 * 1024
"""How much of a stream is held back at most, because it may be the beginning of something."""

_TOKENS = {
    "github": rb"gh[pousr]_[A-Za-z0-9_]{36,}|github_pat_[A-Za-z0-9_]{36,}",
    "gitlab": rb"gl(?:pat|ptt|dt|rt|cbt|soat|ft|agent|imt|oas)-[A-Za-z0-9_-]{20,}",
    "slack": rb"xox[abeoprs]-[A-Za-z0-9-]{15,}|xapp-[0-9]-[A-Za-z0-9-]{13,}",
    "aws": rb"A[KS]IA[A-Z0-9]{16}",
    "google": rb"AIza[A-Za-z0-9_-]{35}|GOCSPX-[A-Za-z0-9_-]{24,}",
    "stripe": rb"[sr]k_(?:live|test)_[A-Za-z0-9]{16,}|whsec_[A-Za-z0-9]{24,}",
    "pypi": rb"pypi-[A-Za-z0-9_-]{50,}",
}
_TOKEN = re.compile(b"|".join(b"(?P<%s>%s)" % (n.encode(), s) for n, s in _TOKENS.items()))
_WEB_TOKEN = b"eyJ"
_START = re.compile(
    rb"gh[pousr]_|github_pat_|gl[a-z]{2,5}-|xox[abeoprs]-|xapp-|A[KS]IA|AIza|GOCSPX-"
    rb"|[sr]k_(?:live|test)_|whsec_|pypi-"
)
_START_OF_ANY = re.compile(_START.pattern + b"|" + _WEB_TOKEN)
_STARTS = frozenset(
    [b"gh%c_" % c for c in b"pousr"]
    + [b"gl%s-" % w for w in (b"pat", b"ptt", b"dt", b"rt", b"cbt", b"soat", b"ft")]
    + [b"glagent-", b"glimt-", b"gloas-", b"xapp-", b"AKIA", b"ASIA", b"AIza", b"GOCSPX-"]
    + [b"xox%c-" % c for c in b"abeoprs"]
    + [b"%ck_%s_" % (c, w) for c in b"sr" for w in (b"live", b"test")]
    + [b"github_pat_", b"whsec_", b"pypi-"]
)
_STARTS_IN_PAIRS = Pairs(2, _STARTS)
_LONG = 64
"""In less, a regular expression for what tokens begin with costs less."""

_ROW = re.compile(rb"[A-Za-z0-9_-]*")
_PARTS = re.compile(rb"(?:\.[A-Za-z0-9_-]+){2,4}")
_SHORTEST_HEAD = 17
_BEGINNINGS = Beginnings([*_STARTS, _WEB_TOKEN, b"://", b"-----BEGIN "])
_BEGIN, _KEY = b"-----BEGIN ", b"PRIVATE KEY"
_KEY_END = re.compile(rb"-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
_KEY_CUT = re.compile(rb"(?: BLOCK)?-----(?:(?:\s|\\+[nr])*[A-Za-z0-9+/=]{16,})*")
_LONGEST_KEY = 24 * 1024

_LONGEST_USERINFO = 512
_USER_AND_WORD = re.compile(rb"[^\s/?#:@]*:(?!\*\*\*)[^\s/?#]+@")
_OPEN_URL = re.compile(rb"[^\s/?#]*")

NAMES = (*_TOKENS, "jwt", "private-key", "url")


def find(data, stretches):
    """Return (begin, end, rule) for everything that looks like a secret, in no order."""
    found = []
    for begin, end in stretches:
        if end - begin >= runs.LENGTH:
            found += _tokens(data, begin, end)
            found += _web_tokens(data, begin, end)
    if stretches and _KEY in data:  # its body is one run after the other
        found += _keys(data)
    if b"@" in data:
        found += _userinfo(data)
    return found


def partial(data):
    """Return where something may begin of which the end is still to come; else the length."""
    tail = max(0, len(data) - MOST_HELD)
    run = tail + len(data[tail:].rstrip(runs.CHARACTERS + b"."))
    start = _START_OF_ANY.search(data, run)
    held = start.start() if start else _BEGINNINGS.partial(data)
    url = data.rfind(b"://", max(0, len(data) - _LONGEST_USERINFO))
    if url >= 0 and _OPEN_URL.fullmatch(data, url + 3):
        held = min(held, url)
    key = data.rfind(_BEGIN, tail)
    if key >= 0 and not _KEY_END.search(data, key):
        head = data[key : key + 60]
        held = min(held, key) if _KEY in head or len(head) < 60 else held
    return held


def _tokens(data, begin, end):
    for at in _starts(data, begin, end):
        token = _TOKEN.match(data, at) if at >= begin else None
        if token:
            yield token.start(), token.end(), token.lastgroup
            begin = token.end()


def _starts(data, begin, end):
    """Return where in a part a token may begin, in order."""
    spans = _STARTS_IN_PAIRS.find(data, begin, end) if end - begin > _LONG else None
    if spans is not None:
        return sorted(first for first, last in spans if data[first:last] in _STARTS)
    return _searched(data, begin, end)


def _searched(data, begin, end):
    start = _START.search(data, begin, end)
    while start:
        yield start.start()
        start = _START.search(data, start.start() + 1, end)


def _web_tokens(data, begin, end):
    """Of each row only its first `eyJ` can begin one: the head goes on until the row ends."""
    at = data.find(_WEB_TOKEN, begin, end)
    while at >= 0:
        head = _ROW.match(data, at).end()
        parts = _PARTS.match(data, head) if head - at >= _SHORTEST_HEAD else None
        before = data[max(0, at - runs.LENGTH) : at]
        if parts and head - at + len(before) - len(before.rstrip(runs.CHARACTERS)) >= runs.LENGTH:
            yield at, parts.end(), "jwt"
        at = data.find(_WEB_TOKEN, parts.end() if parts else head, end)


def _keys(data):
    at, ending = data.find(_KEY), None
    searched = 0
    while at >= 0:
        begin = data.rfind(_BEGIN, max(0, at - 40), at)
        if begin >= 0:
            if searched <= at:
                ending = _KEY_END.search(data, at)
                searched = ending.start() if ending else len(data)
            end = ending if ending and ending.end() <= at + _LONGEST_KEY else None
            end = end or _KEY_CUT.match(data, at + len(_KEY))
            if end:
                yield begin, end.end(), "private-key"
                at = end.end() - 1
        at = data.find(_KEY, at + 1)


def _userinfo(data):
    """Between `://` and `@` is no slash, so that each is looked at once, whatever stands there."""
    after, at = 0, data.find(b"@")
    while at >= 0:
        url = data.find(b"://", max(after, at - _LONGEST_USERINFO))
        if url < 0:
            return
        if url < at:
            begin = data.rfind(b"://", url, at) + 3
            word = _USER_AND_WORD.match(data, begin, begin + _LONGEST_USERINFO - 2)
            if word:
                yield begin, word.end() - 1, "url"
            after = word.end() if word else at + 1
        else:
            after = url
        at = data.find(b"@", after)
