"""Every error that a person can meet, in one tree, with its exit code and its hint.

    BundleError
    ├── UsageError                2   the words of the command are off
    │   └── OutputError           2   the place to write to refuses
    ├── UnreadableRecording       3   that recording cannot be read
    │   ├── NotARecording         3   no known format
    │   ├── DamagedRecording      3   known, but broken
    │   ├── HostileRecording      3   the gate refused it
    │   └── TooNewRecording       3   another major version
    └── RunNotFound               4   no such run, or more than one
        └── AmbiguousRun          4

A message is a lowercase fragment that starts with the thing; a hint is a whole sentence that
names what to do. `bundler.cli` prints both, in one place.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False  # as in typing, whose import a short command can do without
if TYPE_CHECKING:
    from typing import ClassVar


class BundleError(Exception):
    """Something a person has to be told; `exit_code` is what the command ends with."""

    exit_code: ClassVar[int] = 1
    default_hint: ClassVar[str] = ""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = self.default_hint if hint is None else hint


class UsageError(BundleError):
    """The words of the command are off."""

    exit_code = 2


class OutputError(UsageError):
    """A place that was to be written to refuses."""


class UnreadableRecording(BundleError):
    """That recording cannot be read."""

    exit_code = 3


class NotARecording(UnreadableRecording):
    """The file or directory is of no format that is known here."""

    default_hint = "Give a run bundle (a directory or a .zip); `bundle list` shows the stored runs."


class DamagedRecording(UnreadableRecording):
    """The format is known, and the recording is broken beyond reading."""

    default_hint = "Run `bundle verify` on it to see what is left."


class HostileRecording(UnreadableRecording):
    """The gate refused an archive or a document; the message names the member and the rule."""


class TooNewRecording(UnreadableRecording):
    """The recording has a major version that this program does not know."""


class RunNotFound(BundleError):
    """No run of that name is here."""

    exit_code = 4
    default_hint = "Run `bundle list` to see the stored runs."


class AmbiguousRun(RunNotFound):
    """More than one run has that prefix."""

    default_hint = "Give more digits of the run id."


def own_fault(error: Exception) -> str:
    """Return what a fault of bundler itself is called: `bundle itself failed: KeyError: 'x'`.

    Where BUNDLE_TRACEBACK is set, where it happened goes to stderr: it is not raised any further.
    """
    if os.environ.get("BUNDLE_TRACEBACK"):
        import traceback

        traceback.print_exception(error)
    words = ": ".join(filter(None, [type(error).__name__, str(error)]))
    return f"bundle itself failed: {words}"
