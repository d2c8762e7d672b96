"""What masks secrets in all that a test records of itself; whoever sets this package up gives it.

The rules are not here: `bundler.testing` and the probe have them, each in its own way.
"""

from __future__ import annotations

from typing import Protocol


class Stream(Protocol):
    """Masks bytes that come in pieces."""

    def feed(self, piece: bytes) -> bytes:
        """Return what can be written by now."""
        ...

    def flush(self) -> bytes:
        """Return the rest."""
        ...


class Masker(Protocol):
    """Masks lines of JSON, texts, and bytes in pieces."""

    def line(self, line: bytes) -> bytes:
        """Return JSON without its secrets."""
        ...

    def text(self, text: str) -> str:
        """Return a text without its secrets."""
        ...

    def stream(self, same_size: bool = False) -> Stream:
        """Return what masks bytes that come in pieces."""
        ...


class _Everything:
    """Lets everything pass."""

    def line(self, line: bytes) -> bytes:
        return line

    def text(self, text: str) -> str:
        return text

    def stream(self, same_size: bool = False) -> Stream:
        return self

    def feed(self, piece: bytes) -> bytes:
        return piece

    def flush(self) -> bytes:
        return b""


class Masking:
    """What masks in this process; a class, because tests patch the globals of modules."""

    masker: Masker = _Everything()
