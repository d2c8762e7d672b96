"""How text looks: styles by what they mean, whether there is colour, characters to fall back on.

Whether a stream gets colour is decided in this order: `--color always` or `never`; `NO_COLOR`;
`CLICOLOR_FORCE` or `FORCE_COLOR`; `TERM=dumb` or `CLICOLOR=0`; whether it is a terminal.
"""

from __future__ import annotations

import codecs
import os
from collections.abc import Iterable, Mapping
from enum import StrEnum

from bundler.escapes import RESET, one_line

ENCODING_ERRORS = "bundler.visible"
"""The name of an encoding error handler: a character that a stream's encoding lacks is shown as a
plain one that looks like it, or by its number. It is registered when this module is imported."""

_PLAIN = {
    "─": "-",
    "│": "|",
    "├": "|",
    "└": "`",
    "·": "-",
    "…": "...",
    "→": "->",
    "×": "x",
    "✗": "x",
}
_FORCING = ("CLICOLOR_FORCE", "FORCE_COLOR")
_WINDOWS_TERMINALS = ("WT_SESSION", "TERM", "ANSICON", "ConEmuANSI")


class Style(StrEnum):
    """How a text looks, named by what it means; the value is the parameters of its SGR sequence."""

    PASSED = "32;1"
    FAILED = "31;1"
    SKIPPED = "33;1"
    FLAKY = "33;1"
    RETRIED = "35;1"
    HEADING = "32;1"
    WARNING = "33;1"
    STRONG = "1"
    DIM = "90"
    IDENTIFIER = "35;1"
    SCOPE = "36"
    NAME = "34;1"


class ColourChoice(StrEnum):
    """What `--color` takes."""

    AUTO = "auto"
    ALWAYS = "always"
    NEVER = "never"


class Look:
    """What one stream can show: colour, characters beyond ASCII, and how many columns.

    `runs` are the ids of the stored runs, where they are known: from them the shortest unique
    prefix of a run id follows, which stands out.
    """

    __slots__ = ("colour", "runs", "unicode", "width")

    def __init__(
        self,
        colour: bool = False,
        unicode: bool = True,
        width: int = 80,
        runs: tuple[str, ...] | None = None,
    ) -> None:
        self.colour = colour
        self.unicode = unicode
        self.width = width
        self.runs = runs

    def paint(self, style: Style, text: str) -> str:
        """Return text in a style, or as it is where there is no colour."""
        return f"\x1b[{style}m{text}{RESET}" if self.colour and text else text

    def test_id(self, test_id: str) -> str:
        """Return a test id on one line, its file, scope and name told apart by colour."""
        plain = one_line(test_id)
        if not self.colour:
            return plain
        *scopes, name = plain.split("::")
        painted = [self.paint(Style.IDENTIFIER, scope) for scope in scopes[:1]]
        painted += [self.paint(Style.SCOPE, scope) for scope in scopes[1:]]
        painted.append(self.paint(Style.NAME, name))
        return self.paint(Style.SCOPE, "::").join(painted)

    def run_id(self, run_id: str, others: Iterable[str] | None = None, *, digits: int = 8) -> str:
        """Return the first digits of a run id, as many as tell it from the others at least.

        Where the others are known (or `runs` are), those digits stand out from the rest.
        """
        others = self.runs if others is None else others
        needed = digits if others is None else unique_prefix(run_id, others)
        head, tail = run_id[:needed], run_id[needed : max(digits, needed)]
        return self.paint(Style.IDENTIFIER, one_line(head)) + self.paint(Style.DIM, one_line(tail))


def unique_prefix(run_id: str, others: Iterable[str]) -> int:
    """Return how many characters of a run id tell it from every other one."""
    return 1 + max((_common(run_id, other) for other in others if other != run_id), default=0)


def _common(one: str, other: str) -> int:
    pairs = enumerate(zip(one, other, strict=False))
    return next((index for index, (a, b) in pairs if a != b), min(len(one), len(other)))


def wants_colour(environment: Mapping[str, str], terminal: bool, choice: ColourChoice) -> bool:
    """Decide whether a stream gets colour."""
    if choice is not ColourChoice.AUTO:
        return choice is ColourChoice.ALWAYS
    if environment.get("NO_COLOR"):
        return False
    if any(environment.get(name, "0") not in ("", "0") for name in _FORCING):
        return True
    if environment.get("TERM") == "dumb" or environment.get("CLICOLOR") == "0":
        return False
    # An old Windows console shows escape sequences as text; these know them.
    knows_escapes = os.name != "nt" or any(name in environment for name in _WINDOWS_TERMINALS)
    return terminal and knows_escapes


def _visible(error: UnicodeError) -> tuple[str, int]:
    """Stand in for a character that the stream's encoding does not have."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    plain = "".join(_PLAIN.get(c) or c.encode("ascii", "backslashreplace").decode() for c in text)
    return plain, error.end


codecs.register_error(ENCODING_ERRORS, _visible)
