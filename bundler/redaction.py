"""What is never written: user-info in URLs, the values of secret-looking options and variables.

Best effort, by shape alone; whoever needs more keeps secrets off command lines.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Sequence

MASK = "***"

# Up to the last `@` before the path: a password may hold an `@` of its own.
_USERINFO = re.compile(r"://[^\s/?#]*@")

_ASSIGNMENT = re.compile(r"([A-Za-z0-9_.-]+)=(.*)", re.DOTALL)
_OPTION = re.compile(r"--?[A-Za-z][A-Za-z0-9_.-]*")

# `session` and `private` are left out on purpose: `--session-timeout 60` is no secret, and a
# command that is masked where it need not be cannot be run again from what was recorded.
_SECRET_WORDS = {"apikey", "auth", "authorization", "bearer", "cookie", "cookies", "credential"}
_SECRET_WORDS |= {"credentials", "dsn", "pat", "pwd"}
_SECRET_PAIRS = {("api", "key"), ("access", "key"), ("private", "key")}
_SECRET_PARTS = re.compile(r"token(?!iz)|secret|passw")

# White space, or a word as a shell has it (quoted parts belong to it), or a quote without its pair.
_PIECE = re.compile(r"""\s+|(?:'[^']*'|"[^"]*"|[^\s'"])+|.""")


def strip_userinfo(text: str) -> str:
    """Return the text with the user-info of every URL in it taken out.

    `https://me:word@host/x` becomes `https://host/x`. `git@host:path` is no URL and stays.
    """
    return _USERINFO.sub("://", text)


def redact_argv(argv: Sequence[str]) -> list[str]:
    """Return the words of a command with secret-looking values masked, and user-info stripped.

    Masked are the value in `--api-token=VALUE` and `NAME_TOKEN=VALUE`, and the word after
    `--api-token` unless it begins with a dash. A word with white space in it (the script of
    `sh -c`) is treated the same way, word by word.
    """
    opened = (redact_words(word) if re.search(r"\s", word) else word for word in argv)
    return [strip_userinfo(word) for word in _masked(opened)]


def redact_words(text: str) -> str:
    """Return a text that holds words of a command (`PYTEST_ADDOPTS`), treated as `redact_argv`."""
    pieces = _PIECE.findall(text)
    words = _masked(piece for piece in pieces if not piece.isspace())
    return strip_userinfo("".join(p if p.isspace() else next(words) for p in pieces))


def _masked(words: Iterable[str]) -> Iterator[str]:
    value_follows = False
    for word in words:
        yield MASK if value_follows and word[:1] not in ("", "-") else _without_value(word)
        value_follows = bool(_OPTION.fullmatch(word)) and _is_secret(word)


def _without_value(word: str) -> str:
    assignment = _ASSIGNMENT.fullmatch(word)
    if assignment and assignment[2] and _is_secret(assignment[1]):
        return f"{assignment[1]}={MASK}"
    return word


def _is_secret(name: str) -> bool:
    """Whether the name of an option or variable says that its value is secret."""
    words = [word for word in re.split(r"[-_.]+", name.lower()) if word]
    if words[:1] == ["no"]:
        return False
    return (
        not _SECRET_WORDS.isdisjoint(words)
        or not _SECRET_PAIRS.isdisjoint(itertools.pairwise(words))
        or any(_SECRET_PARTS.search(word) for word in words)
    )
