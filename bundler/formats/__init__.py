"""The formats of other tools: one file a format, that reads it, writes it, or both."""

from __future__ import annotations

from typing import IO, Protocol

from bundler.archive import Members
from bundler.recording import Recording

WRITERS = {
    "junit": "bundler.formats.junit",
    "libtest": "bundler.formats.libtest",
    "ctrf": "bundler.formats.ctrf",
    "ndjson": "bundler.formats.ndjson",
}
"""Every format that a run can be exported to, and the module that writes it.

A module is imported only when its format is asked for. It has `write(recording, target)`, and where
the format has dialects: `DIALECTS`, the default first, and the keyword `dialect`.
"""

READERS: tuple[str, ...] = (
    "bundler.formats.junit_reader",
    "bundler.formats.nextest",
    "bundler.formats.asupersync",
    "bundler.formats.libtest_reader",
    "bundler.formats.ctrf_reader",
    "bundler.formats.go_test",
    "bundler.formats.reportlog",
    "bundler.formats.ndjson",
)
"""Every module that reads a foreign recording, in the order in which they are asked.

A module is imported only when a file is opened that is no run bundle. What it has is a `Reader`;
one that reads archives or directories has `recognises_members(members) -> bool` too.
"""

HEAD_BYTES = 64 * 1024
"""How many of the first bytes of a file a reader is shown to recognise it by."""


class Target(Protocol):
    """Where a document goes: a binary file, or what takes bytes as one does."""

    def write(self, content: bytes, /) -> object:
        """Take a piece of the document. Raises OSError."""
        ...


class Reader(Protocol):
    """A module of this package that reads."""

    NAME: str
    """What a person calls the format."""

    def recognises(self, head: bytes) -> bool:
        """Whether a file that begins so is of this format; by its content, never by its name."""
        ...

    def read(self, source: IO[bytes] | Members, *, where: str) -> Recording:
        """Read a file that can seek, or an archive or a directory.

        Raises DamagedRecording where it is broken beyond reading, HostileRecording where a rule or
        a limit refuses it, and no other error whatever its content.
        """
        ...
