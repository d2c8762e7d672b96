"""Which values of the environment are secret, and what each looks like where it is written.

A variable is secret by its name; its value counts where it is eight characters or more. What is
harmless although its name looks secret: words that stand everywhere, who and where somebody is
(the user name, the home directory), an address without a password (a CI URL), a file that is
there, the name of another variable.

A value of several lines is a secret line by line: a terminal ends its lines otherwise, and a
traceback writes something before each.
"""

from __future__ import annotations

import base64
import html
import json
import os
import re
from urllib.parse import quote, quote_plus

SHORTEST = 8
LONGEST = 2048

_SECRET_NAME = re.compile(
    r"token(?!iz)|secret|passw|passphrase|credential|api_?key|private|auth(?!or(?!iz))|cookie"
    r"|session|(?:^|_)(?:dsn|pass)(?:_|$)|_(?:key|pat|pwd)(?:_|$)"
)
_HARMLESS_NAME = re.compile(r"xdg_|dbus_|desktop_session|gdmsession|session_manager|xauthority")
# The words that everybody tries first hide nothing, and stand in every log.
_HARMLESS = frozenset((
    "disabled", "optional", "required", "anonymous", "password", "username", "postgres", "changeme",
))  # fmt: skip
_WHO_AND_WHERE = (
    "USER", "LOGNAME", "USERNAME", "HOME", "USERPROFILE", "HOSTNAME", "COMPUTERNAME", "PWD",
    "SHELL", "TMPDIR", "TEMP", "LANG", "TERM", "PATH",
)  # fmt: skip
_ADDRESS = re.compile(r"https?://[^\s@]*")
_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9_]")


def secrets_of_environment(environment):
    """Return `{value: rule}` for the secrets of an environment; the rule is `$` and the name."""
    harmless = {environment.get(name) for name in _WHO_AND_WHERE}
    return {
        value: rule_of(name)
        for name, value in sorted(environment.items(), reverse=True)
        if is_secret_name(name)
        and is_worth_hiding(value)
        and value not in harmless
        and value not in environment
        and not _is_address(name, value)
    }


def rule_of(name):
    """Return the rule that masks the value of a variable, as it stands in a mark."""
    return "$" + _NOT_IN_A_NAME.sub("_", name)[:100]


def is_secret_name(name):
    """Whether the name of a variable says that its value is secret."""
    name = name.lower()
    return _SECRET_NAME.search(name) is not None and not _HARMLESS_NAME.match(name)


def is_worth_hiding(value):
    """Whether a value is long enough for a secret, and more than a word that stands everywhere."""
    return len(value) >= SHORTEST and value.lower() not in _HARMLESS


def forms(value):
    """Return every way in which a value is looked for, as bytes of at least eight each."""
    found = set()
    for line in value.splitlines():
        for begin in range(0, len(line), LONGEST):
            piece = line[begin : begin + LONGEST].strip()
            if len(piece) >= SHORTEST:
                found.update(_written(piece))
    return {form for form in found if len(form) >= SHORTEST}


def _is_address(name, value):
    """Whether a value says where something is: a URL without a password, a file that is there."""
    if name.lower().endswith(("url", "uri")) and _ADDRESS.fullmatch(value):
        return True
    return os.path.isabs(value) and os.path.exists(value)


def _written(text):
    """Yield a text as it is, and as URLs, JSON, Python, HTML and base64 have it."""
    raw = text.encode("utf-8", "surrogateescape")
    texts = {text}
    for _ in range(2):  # JSON inside JSON
        texts.update({json.dumps(one)[1:-1] for one in texts})
        texts.update({json.dumps(one, ensure_ascii=False)[1:-1] for one in texts})
    texts.add(repr(text)[1:-1])
    texts.add(repr(raw)[2:-1])
    texts.add(html.escape(text))
    texts.add(html.escape(text, quote=False))
    for safe in ("", "/"):
        texts.add(quote(raw, safe=safe))
    texts.add(quote_plus(raw))
    texts.update({re.sub("%..", lambda found: found[0].lower(), one) for one in texts})
    yield from (one.encode("utf-8", "surrogateescape") for one in texts)
    for alignment in range(3):
        inner = _base64(raw, alignment)
        yield inner
        yield inner.translate(bytes.maketrans(b"+/", b"-_"))


def _base64(raw, alignment):
    """Return the characters of base64 that the bytes alone decide, so many bytes before them."""
    begin = (0, 2, 3)[alignment]
    end = (alignment + len(raw)) * 8 // 6
    return base64.b64encode(bytes(alignment) + raw)[begin:end]
