"""Choosing tests by their id: a text in it, a pattern, or a regular expression.

| filter | chooses the tests whose id |
|---|---|
| `text` | holds the text |
| `tests/*::test_?`, with a `*` or `?` | fits the pattern from end to end; `[` is only a bracket |
| `/expression/` | the regular expression is found in |
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from bundler.errors import UsageError

Filter = Callable[[str], bool]


def any_of(texts: Sequence[str]) -> Filter:
    """Return whether an id fits any of these filters; without filters every id does.

    Raises UsageError at a regular expression that is none.
    """
    filters = [parse(text) for text in texts]
    return lambda test_id: not filters or any(fits(test_id) for fits in filters)


def parse(text: str) -> Filter:
    """Return the filter that a person wrote. Raises UsageError."""
    if len(text) > 2 and text.startswith("/") and text.endswith("/"):
        try:
            expression = re.compile(text[1:-1])
        except re.error as error:
            raise UsageError(
                f"filter {text!r} is not a regular expression: {error}",
                hint="Write it without the slashes to look for the text itself.",
            ) from None
        return lambda test_id: expression.search(test_id) is not None
    if "*" in text or "?" in text:
        pattern = re.compile(_expression_of(text), re.DOTALL)
        return lambda test_id: pattern.fullmatch(test_id) is not None
    return lambda test_id: text in test_id


def _expression_of(pattern: str) -> str:
    """What a pattern means; the groups never try again, so a stranger's id costs no time."""
    first, *rest = ["".join("." if c == "?" else re.escape(c) for c in part)
                    for part in pattern.split("*")]  # fmt: skip
    if not rest:
        return first
    return first + "".join(f"(?>.*?{part})" for part in rest[:-1]) + f".*{rest[-1]}"
