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
_PLAIN = re.compile(r"[A-Za-z0-9_.~-]+")
"""What is written like this in JSON, Python, HTML and URLs alike."""

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
    found = {form for piece in _pieces(value) for form in _written(piece)}
    return {form for form in found if len(form) >= SHORTEST}


def shown_forms(value):
    """Return a value as a test runner shows it: as it is, and as its repr."""
    texts = [piece.decode("utf-8", "surrogateescape") for piece in _pieces(value)]
    shown = {form for text in texts for form in (text, _python(text), _python(text, "'"))}
    return set(map(_encoded, shown))


def _pieces(value):
    """Return the parts of a value that are secrets, each by itself, as bytes."""
    lines = (line.strip() for line in value.splitlines())
    parts = (line[at : at + LONGEST] for line in lines for at in range(0, len(line), LONGEST))
    return [_encoded(part) for part in parts if len(part) >= SHORTEST]


def _encoded(text):
    """Return the bytes of a text of the system; of any other, what `surrogatepass` makes of it."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")


def _is_address(name, value):
    """Whether a value says where something is: a URL without a password, a file that is there."""
    if name.lower().endswith(("url", "uri")) and _ADDRESS.fullmatch(value):
        return True
    return os.path.isabs(value) and os.path.exists(value)


def _written(raw):
    """Yield a piece as it is, and as JSON, Python, URLs, HTML and base64 have it."""
    yield from _in_base64(raw)
    text = raw.decode("utf-8", "surrogateescape")
    if _PLAIN.fullmatch(text):
        yield raw
        return
    texts = {text}
    for _ in range(_NESTED):
        texts.update([escaped(one) for one in texts for escaped in _ESCAPED])
    texts.update([html.escape(text), html.escape(text, quote=False), repr(raw)[2:-1]])
    urls = {quote(raw, safe=""), quote(raw, safe="/"), quote_plus(raw)}
    texts.update(urls, [re.sub("%..", lambda escape: escape[0].lower(), one) for one in urls])
    yield from map(_encoded, texts)


_URL_SAFE = bytes.maketrans(b"+/", b"-_")


def _in_base64(raw):
    for alignment in range(3):
        inner = _base64(raw, alignment)
        yield inner
        yield inner.translate(_URL_SAFE)


def _python(text, quote_mark=""):
    """Return a text as `repr` shows it between quotes of that kind."""
    shown = (one if one in "'\"" else repr(one)[1:-1] for one in text)
    inner = "".join(shown)
    return inner.replace(quote_mark, "\\" + quote_mark) if quote_mark else inner


_NESTED = 3
"""A log is JSON; what a test prints may be JSON that holds the repr of something."""

_ESCAPED = (
    lambda text: json.dumps(text)[1:-1],
    lambda text: json.dumps(text, ensure_ascii=False)[1:-1],
    lambda text: _python(text, "'"),
    _python,
    lambda text: text.encode("unicode_escape", "surrogatepass").decode("ascii"),
)


def _base64(raw, alignment):
    """Return the characters of base64 that the bytes alone decide, so many bytes before them."""
    begin = (0, 2, 3)[alignment]
    end = (alignment + len(raw)) * 8 // 6
    return base64.b64encode(bytes(alignment) + raw)[begin:end]
