"""The command line of Python: which module it starts, and whether it looks at the environment."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from pathlib import PurePath

_PYTHON = re.compile(r"(python|pypy)[0-9.]*w?(\.exe)?")
_TAKES_VALUE = frozenset({"-W", "-X", "--check-hash-based-pycs"})


def arguments_start(argv: Sequence[str], modules: Collection[str]) -> int | None:
    """Return where the arguments of `python … -m MODULE` begin, None where it is none of these."""
    if not argv or not _PYTHON.fullmatch(PurePath(argv[0]).name.lower()):
        return None
    index = 1
    while index < len(argv) and argv[index].startswith("-"):
        word = argv[index]
        if word == "-m" or (not word.startswith("--") and word.endswith("m")):
            return index + 2 if argv[index + 1 : index + 2] and argv[index + 1] in modules else None
        index += 2 if word in _TAKES_VALUE else 1
    return None


def isolated(argv: Sequence[str], start: int | None) -> bool:
    """Whether the interpreter is told to ignore PYTHONPATH (`-I` or `-E`)."""
    flags = [word for word in argv[1 : start or 1] if re.fullmatch(r"-[A-Za-z]+", word)]
    return any("I" in word or "E" in word for word in flags)
