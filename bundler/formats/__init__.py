"""The formats of other tools: one file a format, that reads it, writes it, or both."""

from __future__ import annotations

from typing import Protocol

WRITERS = {
    "junit": "bundler.formats.junit",
}
"""Every format that a run can be exported to, and the module that writes it.

A module is imported only when its format is asked for. It has `write(recording, target)`, and where
the format has dialects: `DIALECTS`, the default first, and the keyword `dialect`.
"""


class Target(Protocol):
    """Where a document goes: a binary file, or what takes bytes as one does."""

    def write(self, content: bytes, /) -> object:
        """Take a piece of the document. Raises OSError."""
        ...
