"""What Python puts into its own environment is not handed on to the command.

Where no locale is set, Python sets LC_CTYPE for itself and for everything that it starts (PEP 538).
Ruby, sort or perl would then do other things under us than without us.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

_NAME = "LC_CTYPE"
_COERCED = ("C.UTF-8", "C.utf8", "UTF-8")
_GIVEN = Path("/proc/self/environ")  # as this process was given it; where there is none, it stays


def undone(env: Mapping[str, str], given: Path = _GIVEN) -> Mapping[str, str]:
    """Return the environment without the locale that Python chose, if it was Python that did."""
    if env.get(_NAME) not in _COERCED:
        return env
    try:
        names = [one.partition(b"=")[0] for one in given.read_bytes().split(b"\0")]
    except OSError:
        return env
    if _NAME.encode() in names:
        return env
    return {name: value for name, value in env.items() if name != _NAME}
