"""What is never written as it is: the implementation is the probe's, and this is the way to it.

The probe stands alone in the environment of the tests, and whatever it masks has to be masked in
the same way by the wrapper, the test's own recording, `bundle scan` and `bundle pack --redact`. So
the rules exist once, in `bundle_probe/masking/`, where they are described.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from bundler import probe

# A whole word, the value of an assignment, or the user-info of a URL.
_LOST = re.compile(r"(?:^|[\s=\"'])\*\*\*(?:$|[\s\"'])|://\*\*\*@")

_masking = probe.load_masking()
_MARK = re.compile(_masking.MARK.decode("ascii"))

UNMASKED = "BUNDLE_NO_REDACT"
"""The variable by which a test process knows that `--no-redact` was given."""


class Stream(Protocol):
    """Masks bytes that come in pieces.

    `found` has (offset, line, size, rule) of every secret so far; lines count from 1.
    """

    found: list[tuple[int, int, int, str]]

    def feed(self, piece: bytes) -> bytes:
        """Return what can be written by now; what may be part of a secret is held back."""
        ...

    def flush(self) -> bytes:
        """Return the rest: nothing comes after it."""
        ...


class Masker(Protocol):
    """Masks the secrets that it knows, and whatever has the shape of one."""

    secrets: Mapping[str, str]

    def find(self, data: bytes) -> Sequence[tuple[int, int, str]]:
        """Return (begin, end, rule) for every secret, in order, none overlapping."""
        ...

    def mask(self, data: bytes, same_size: bool = False) -> bytes:
        """Return bytes without their secrets; the same object where there are none."""
        ...

    def text(self, text: str) -> str:
        """Return a text without its secrets."""
        ...

    def value(self, value: Any) -> Any:
        """Return a value of JSON with every text in it masked, names too."""
        ...

    def line(self, line: bytes) -> bytes:
        """Return one line of JSON without its secrets."""
        ...

    def stream(self, same_size: bool = False) -> Stream:
        """Return what masks bytes that come in pieces."""
        ...


OPTION = "option"
"""The rule by which the value of an option is masked."""

OFF: Masker = _masking.OFF
"""Masks nothing."""


def masker_of(environment: Mapping[str, str], argv: Iterable[str] = ()) -> Masker:
    """Return what masks the secrets of an environment and of the words of a command."""
    masker: Masker = _masking.masker_of(environment, list(argv))
    return masker


def masker_of_this_process(environment: Mapping[str, str]) -> Masker:
    """Return what masks the secrets of the environment, unless it says that nothing is masked."""
    return OFF if environment.get(UNMASKED) else masker_of(environment)


def counted(data: bytes) -> dict[str, int]:
    """Return how often each rule has left its mark in some bytes."""
    return dict(_masking.counted(data))


def restored(argv: Sequence[str], environment: Mapping[str, str]) -> tuple[list[str], str | None]:
    """Return the words of a recorded command with the values of variables in place of their marks.

    And the first word with a mark whose value is not known, or None.
    """
    known = {_masking.rule_of(name): value for name, value in environment.items()}
    words, lost = [], None
    for word in argv:
        unknown = _MARK.sub(lambda mark: "" if mark[1] in known else mark[0], word)
        if lost is None and (_MARK.search(unknown) or holds_masked_option(unknown)):
            lost = word
        words.append(_MARK.sub(lambda mark: known.get(mark[1], mark[0]), word))
    return words, lost


def holds_masked_option(word: str) -> bool:
    """Whether a word of a recorded command is, or holds, the mark of a value that is lost."""
    return _LOST.search(word) is not None


def strip_userinfo(text: str) -> str:
    """Return the text with the user-info of every URL in it taken out."""
    stripped: str = _masking.strip_userinfo(text)
    return stripped


def masked_command(argv: Sequence[str], environment: Mapping[str, str]) -> tuple[list[str], Masker]:
    """Return the words of a command as they are recorded, and what masks its secrets elsewhere.

    What stands in a variable is marked with its name, so that a rerun can put it back.
    """
    known = masker = masker_of(environment)
    if _masking.secrets_of(environment, argv) != known.secrets:
        masker = masker_of(environment, argv)
    words = redact_argv(list(map(known.text, argv)))
    return list(map(masker.text, words)), masker


def redact_argv(argv: Sequence[str]) -> list[str]:
    """Return the words of a command with secret-looking values and user-info masked."""
    redacted: list[str] = _masking.redact_argv(argv)
    return redacted


def redact_words(text: str) -> str:
    """Return a text that holds words of a command, treated as `redact_argv` treats them."""
    redacted: str = _masking.redact_words(text)
    return redacted
