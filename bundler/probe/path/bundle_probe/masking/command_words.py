"""The words of a command: which values of options are secret; user-info in URLs.

By shape alone; whoever needs more keeps secrets off command lines.
"""

from __future__ import annotations

import re

from .secret_values import is_worth_hiding

MASK = "***"
OPTION = "option"

# Up to the last `@` before the path: a password may hold an `@` of its own.
_USERINFO = re.compile(r"://[^\s/?#]*@")
# `ssh://git@host` says nothing about anybody, and without it the command is another.
_USERINFO_OF_SOMEBODY = re.compile(r"://(?!git@)[^\s/?#]*@")

_ASSIGNMENT = re.compile(r"([A-Za-z0-9_.-]+)=(.*)", re.DOTALL)
_OPTION = re.compile(r"--?[A-Za-z][A-Za-z0-9_.-]*")
_VARIABLE = re.compile(r"\*\*\*\$[A-Za-z0-9_]+\*\*\*")

# `session` and `private` are left out on purpose: `--session-timeout 60` is no secret, and a
# command that is masked where it need not be cannot be run again from what was recorded.
_SECRET_WORDS = {"apikey", "auth", "authorization", "bearer", "cookie", "cookies", "credential"}
_SECRET_WORDS |= {"credentials", "dsn", "pat", "pwd"}
_SECRET_PAIR = re.compile(r"\b(?:api|access|private)-key\b")
_SECRET_PARTS = re.compile(r"token(?!iz)|secret|passw")

# White space, or a word as a shell has it (quoted parts belong to it), or a quote without its pair.
_PIECE = re.compile(r"""\s+|(?:'[^']*'|"[^"]*"|[^\s'"])+|.""")


def strip_userinfo(text):
    """Return the text with the user-info of every URL in it taken out.

    `https://me:word@host/x` becomes `https://host/x`. `git@host:path` is no URL and stays.
    """
    return _USERINFO.sub("://", text)


def redact_argv(argv):
    """Return the words of a command with secret-looking values masked, and user-info in URLs.

    Masked are the value in `--api-token=VALUE` and `NAME_TOKEN=VALUE`, and the word after
    `--api-token` unless it begins with a dash. A word with white space in it (the script of
    `sh -c`) is treated the same way, word by word. The mark of a variable stays: it says more.
    """
    opened = (redact_words(word) if re.search(r"\s", word) else word for word in argv)
    return [_mask_userinfo(word) for word in _masked(opened)]


def redact_words(text):
    """Return a text that holds words of a command (`PYTEST_ADDOPTS`), treated as `redact_argv`."""
    pieces = _PIECE.findall(text)
    words = _masked(piece for piece in pieces if not piece.isspace())
    return _mask_userinfo("".join(p if p.isspace() else next(words) for p in pieces))


def secrets_of_argv(argv):
    """Return `{value: rule}` for the values in a command that `redact_argv` masks."""
    words = []
    for word in argv:
        words += [p for p in _PIECE.findall(word) if not p.isspace()] + [word]
    hidden = [value.strip("'\"") for word in _followed(words) for value in _values(*word)]
    return {value: OPTION for value in hidden if is_worth_hiding(value)}


def _mask_userinfo(text):
    return _USERINFO_OF_SOMEBODY.sub(f"://{MASK}@", text)


def _masked(words):
    for word, follows in _followed(words):
        if follows and word[:1] not in ("", "-"):
            yield word if _VARIABLE.fullmatch(word) else MASK
        else:
            yield _without_value(word)


def _followed(words):
    """Yield every word, and whether it stands after an option whose value is secret."""
    follows = False
    for word in words:
        yield word, follows
        follows = bool(_OPTION.fullmatch(word)) and _is_secret(word)


def _values(word, follows):
    assignment = _ASSIGNMENT.fullmatch(word)
    if follows and word[:1] not in ("", "-"):
        yield word
    elif assignment and _is_secret(assignment[1]):
        yield assignment[2]


def _without_value(word):
    assignment = _ASSIGNMENT.fullmatch(word)
    if assignment and assignment[2] and _is_secret(assignment[1]):
        kept = _VARIABLE.fullmatch(assignment[2])
        return word if kept else f"{assignment[1]}={MASK}"
    return word


def _is_secret(name):
    """Whether the name of an option or variable says that its value is secret."""
    words = [word for word in re.split(r"[-_.]+", name.lower()) if word]
    if words[:1] == ["no"]:
        return False
    return (
        not _SECRET_WORDS.isdisjoint(words)
        or _SECRET_PAIR.search("-".join(words)) is not None
        or any(_SECRET_PARTS.search(word) for word in words)
    )
