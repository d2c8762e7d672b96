"""What is masked before anything is written: the one implementation, in the probe and outside it.

It stands alone (standard library, Python 3.9 and later, nothing of the rest of the probe), so that
`bundler.redaction` loads these very files. What is a secret, in this order:

    secret_values.py   the values of variables whose names look secret, in every encoding
    command_words.py   the values of options that look secret, user-info in URLs
    shapes.py          tokens of known services, private keys, JSON Web Tokens, `://user:word@`

    runs.py            where text reads like a token
    windows.py         which of many values may stand there, by a few bytes in every eight
    pairs.py           the same by the rarest two bytes of each
    needles.py         where any of many values stands in some bytes
    beginnings.py      whether some bytes end with the beginning of one
    fragments.py       what a test runner has left of a value that it cut
    masker.py          putting a mark in its place: bytes, text, JSON, a stream in pieces

A mark says which rule struck, and never the value: `***$API_TOKEN***` stood in that variable,
`***github***` looked like a token of GitHub, `***option***` was the value of an option; the value
of an option is `***` in the command itself.
"""

from __future__ import annotations

from .command_words import redact_argv, redact_words, secrets_of_argv, strip_userinfo
from .masker import MARK, OFF, Masker, counted
from .secret_values import rule_of, secrets_of_environment

__all__ = [
    "MARK",
    "OFF",
    "Masker",
    "counted",
    "masker_of",
    "redact_argv",
    "redact_words",
    "rule_of",
    "secrets_of",
    "strip_userinfo",
]


def secrets_of(environment, argv=()):
    """Return `{value: rule}` for the secrets of an environment and of the words of a command."""
    return {**secrets_of_argv(argv), **secrets_of_environment(environment)}


def masker_of(environment, argv=()):
    """Return what masks the secrets of an environment and of the words of a command."""
    return Masker(secrets_of(environment, argv))
