"""Start a command and stand between it and the terminal, so that neither notices.

    exit_status   how it ended, and how to end likewise
    guest         the recorder, which may fail without disturbing anything
    launch        fork, descriptors, signal dispositions, exec
    signals       what reaches us is passed on, once
    streams       what it prints goes to our streams first, to the recorder second
    terminal      pseudo-terminals, and our own terminal while its keys are passed on
    wiring        which of our streams the command meets by a terminal, which by a pipe
    posix         the loop that sees to all of these
    windows       the same with two pipes and two threads

What the command sees and what our own reader sees are meant to be what they are without us. Known
to differ, because the operating system offers no way:

- SIGPIPE is at its default in the command even if it was ignored when we were started: Python
  ignores it before our first line, so what it was cannot be known.
- A grandchild that outlives the command and keeps its output open is waited for only while it
  prints, and two seconds at most; after that its output has no reader.
- Where the command gets a terminal with keys, it leads a session of its own: `kill -9` of our
  process group reaches it as a hang-up, and background jobs that it leaves behind get one when it
  ends. Typed ahead and not read by the command, keys are not left for the shell.
- Two streams that are different pipes or files are read in the order in which they are found
  ready: two writes within microseconds may swap.

Nothing here knows what a bundle is.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from bundler.runners.process.exit_status import Exit, exit_like, shell_code
from bundler.runners.process.guest import Guest
from bundler.runners.process.locale_coercion import undone

__all__ = ["Exit", "exit_like", "run", "shell_code"]


def run(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    cwd: Path | None,
    on_output: Callable[[str, bytes], None],
    on_idle: Callable[[], None] | None = None,
    show: Callable[[str, bytes], bytes] | None = None,
    stdin_fd: int = 0,
    stdout_fd: int = 1,
    stderr_fd: int = 2,
) -> Exit:
    """Run a command to its end and return how it ended. Call it from the main thread.

    `on_output` is given every piece of output after it was passed on, with the name of its stream:
    `terminal` where our stdout and stderr are one terminal, otherwise `stdout` or `stderr`; where
    both are one pipe or file, the command gets one pipe, so that the order is kept, and the name is
    `stdout`. What it is given is what the command wrote: no line discipline shows.
    `on_idle` is called about every quarter of a second. The first exception that either raises
    ends both, disturbs nothing and is in `Exit.recording_error`.
    `show` stands before our streams: it is given what the command wrote and returns what is passed
    on in its place, which is what `on_output` is then given. Nothing (`b""`) is the end of a
    stream, and what was held back comes out. Where it raises, everything is passed on from there.

    A command that cannot be started is no exception: see `Exit.started`.
    """
    if sys.platform == "win32":
        from bundler.runners.process.windows import run_with_threads

        start = run_with_threads
    else:
        from bundler.runners.process.posix import run_with_poll

        start = run_with_poll
    return start(
        argv,
        env=undone(env),
        cwd=cwd,
        guest=Guest(on_output, on_idle, show),
        streams=(stdin_fd, stdout_fd, stderr_fd),
    )
