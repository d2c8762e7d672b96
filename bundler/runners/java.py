"""What Maven and Gradle have in common: where reports lie, and how they name a test."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from bundler.results import TestResult

_MODULES = ("", "*/", "*/*/", "*/*/*/")
_CLASS = re.compile(r"[^\W\d][\w$]*(\.[^\W\d][\w$]*)*")
_METHOD = re.compile(r"[^\W\d][\w$]*")


def reports(*patterns: str) -> tuple[str, ...]:
    """Return the patterns of what a run leaves, of modules up to three directories deep."""
    return tuple(f"{module}{pattern}" for module in _MODULES for pattern in patterns)


def by_class(test_ids: Sequence[str]) -> tuple[dict[str, list[str]], tuple[str, ...]]:
    """Return the methods that are asked for by class, none where all are, and what is no class.

    `Class::method(int)[1]` is one of the parameters of `method`; a display name is no method.
    """
    methods: dict[str, list[str]] = {}
    whole: set[str] = set()
    refused = []
    for test_id in test_ids:
        name, _, rest = test_id.partition("::")
        method = re.split(r"[(\[{]", rest, maxsplit=1)[0].strip()
        if not _CLASS.fullmatch(name):
            refused.append(test_id)
            continue
        some = methods.setdefault(name, [])
        if not _METHOD.fullmatch(method):
            whole.add(name)
        elif method not in some:
            some.append(method)
    return {name: [] if name in whole else some for name, some in methods.items()}, tuple(refused)


def own_id(test: TestResult, _suite: str, _root: Path) -> str:
    """Return `class::method`, as a report has it."""
    return test.test_id
