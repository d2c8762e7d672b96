"""What looks like a secret whoever it belongs to: tokens, private keys, passwords in URLs.

Every token of these services holds a run (`runs.py`), so only the runs are looked at.
"""

from __future__ import annotations

import re

from . import runs
from .needles import Needles

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
    "jwt": rb"eyJ[A-Za-z0-9_-]{14,}(?:\.[A-Za-z0-9_-]+){2,4}",
}
_TOKEN = re.compile(b"|".join(b"(?P<%s>%s)" % (n.encode(), s) for n, s in _TOKENS.items()))
_START = re.compile(
    rb"gh[pousr]_|github_pat_|gl[a-z]{2,5}-|xox[abeoprs]-|xapp-|A[KS]IA|AIza|GOCSPX-"
    rb"|[sr]k_(?:live|test)_|whsec_|pypi-|eyJ"
)
_JWT = b"eyJ"
_PART = re.compile(rb"[A-Za-z0-9_-]*")
_STARTS = Needles(
    dict.fromkeys(
        [b"gh%c_" % c for c in b"pousr"]
        + [b"gl%s-" % w for w in (b"pat", b"ptt", b"dt", b"rt", b"cbt", b"soat", b"ft")]
        + [b"glagent-", b"glimt-", b"gloas-", b"xapp-", b"AKIA", b"ASIA", b"AIza", b"GOCSPX-"]
        + [b"xox%c-" % c for c in b"abeoprs"]
        + [b"%ck_%s_" % (c, w) for c in b"sr" for w in (b"live", b"test")]
        + [b"github_pat_", b"whsec_", b"pypi-", b"eyJ", b"://", b"-----BEGIN "]
    )
)
_BEGIN, _KEY = b"-----BEGIN ", b"PRIVATE KEY"
_KEY_END = re.compile(rb"-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
_KEY_CUT = re.compile(rb"(?: BLOCK)?-----(?:(?:\s|\\+[nr])*[A-Za-z0-9+/=]{16,})*")
_LONGEST_KEY = 24 * 1024

_LONGEST_USERINFO = 512
_USER_AND_WORD = re.compile(rb"[^\s/?#:@]*:(?!\*\*\*)[^\s/?#]+")
_OPEN_URL = re.compile(rb"[^\s/?#]*")

NAMES = (*_TOKENS, "private-key", "url")


def find(data, found_runs):
    """Return (begin, end, rule) for everything that looks like a secret, in no order."""
    found = []
    for begin, end in found_runs:
        if end - begin >= runs.LENGTH:
            found += _tokens(data, begin, end)
    if found_runs and _KEY in data:  # its body is one run after the other
        found += _keys(data)
    if b"@" in data:
        found += _userinfo(data)
    return found


def partial(data):
    """Return where something may begin of which the end is still to come; else the length."""
    tail = max(0, len(data) - MOST_HELD)
    run = tail + len(data[tail:].rstrip(runs.CHARACTERS + b"."))
    start = _START.search(data, run)
    held = start.start() if start else _STARTS.partial(data)
    url = data.rfind(b"://", max(0, len(data) - _LONGEST_USERINFO))
    if url >= 0 and _OPEN_URL.fullmatch(data, url + 3):
        held = min(held, url)
    key = data.rfind(_BEGIN, tail)
    if key >= 0 and not _KEY_END.search(data, key):
        head = data[key : key + 60]
        held = min(held, key) if _KEY in head or len(head) < 60 else held
    return held


def _tokens(data, begin, end):
    no_jwt_before = begin
    start = _START.search(data, begin, end)
    while start:
        at = start.start()
        is_jwt = start[0] == _JWT
        token = None if is_jwt and at < no_jwt_before else _TOKEN.match(data, at)
        if token:
            yield token.start(), token.end(), token.lastgroup
        elif is_jwt and at >= no_jwt_before:  # what follows its first part is what follows them all
            no_jwt_before = _PART.match(data, at).end()
        start = _START.search(data, token.end() if token else at + 1, end)


def _keys(data):
    at = data.find(_KEY)
    while at >= 0:
        begin = data.rfind(_BEGIN, max(0, at - 40), at)
        if begin >= 0:
            end = _KEY_END.search(data, at, at + _LONGEST_KEY)
            end = end or _KEY_CUT.match(data, at + len(_KEY))
            if end:
                yield begin, end.end(), "private-key"
                at = end.end() - 1
        at = data.find(_KEY, at + 1)


def _userinfo(data):
    at = data.find(b"@")
    while at >= 0:
        begin = data.rfind(b"://", max(0, at - _LONGEST_USERINFO), at) + 3
        if begin > 2 and _USER_AND_WORD.fullmatch(data, begin, at):
            yield begin, at, "url"
        at = data.find(b"@", at + 1)
