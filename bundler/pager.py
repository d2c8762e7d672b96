"""The reader's pager: `BUNDLE_PAGER`, what is configured, `PAGER`, or less."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

TYPE_CHECKING = False  # as in typing, whose import a short command can do without
if TYPE_CHECKING:
    import subprocess
    from typing import IO


def chosen(environment: Mapping[str, str], configured: str | None = None) -> list[str]:
    """Return the words of the pager's command; none where there is to be no pager."""
    if environment.get("TERM") == "dumb":
        return []
    command = environment.get("BUNDLE_PAGER", configured)
    if command is None:
        command = environment.get("PAGER", "less")
    import shlex

    try:
        words = shlex.split(command)
    except ValueError:  # a quote that is never closed
        words = command.split()
    return [] if words == ["cat"] else words


@contextlib.contextmanager
def running(words: list[str], environment: Mapping[str, str]) -> Iterator[IO[bytes] | None]:
    """Run a pager and yield what it reads from, or None where it cannot be started.

    Ends when the reader leaves it. As git does: less leaves at once where all fits, passes styles
    on, and does not clear the screen, unless the reader's own LESS says otherwise.
    """
    process = _start(words, {"LESS": "FRX", "LV": "-c"} | dict(environment))
    try:
        yield process.stdin if process else None
    finally:
        if process is not None:
            _wait(process)


def _start(words: list[str], environment: dict[str, str]) -> subprocess.Popen[bytes] | None:
    import shutil
    import subprocess

    program = shutil.which(words[0], path=environment.get("PATH")) if words else None
    if program is None:
        return None
    try:
        return subprocess.Popen([program, *words[1:]], stdin=subprocess.PIPE, env=environment)
    except OSError:
        return None


def _wait(process: subprocess.Popen[bytes]) -> None:
    """Wait until the reader leaves; Ctrl-C meanwhile is the pager's to answer."""
    if process.stdin is not None:
        with contextlib.suppress(OSError):
            process.stdin.close()
    while True:
        try:
            process.wait()
        except KeyboardInterrupt:
            continue
        return
