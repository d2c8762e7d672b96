"""What people see: results on stdout, status on stderr, and the pager.

A `Ui` is made once, from the environment and the standard streams, and passed to everything that
prints.

Whatever a stream is given goes through `bundler.escapes` last, so no text of a stranger can order a
terminal or a CI runner about, whoever printed it and however. Only `Stream.write_bytes` is raw.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterable, Iterator, Mapping

from bundler import pager
from bundler.errors import OutputError
from bundler.escapes import guarded, one_line, without_commands
from bundler.look import ENCODING_ERRORS, ColourChoice, Look, Style, wants_colour

TYPE_CHECKING = False  # as in typing, whose import a short command can do without
if TYPE_CHECKING:
    from typing import IO, TextIO

_BATCH_CHARACTERS = 64 * 1024


class Unread(Exception):
    """Nobody reads on."""


class Target:
    """A stream as the writer of a document sees it."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream

    def write(self, content: bytes) -> int:
        """Take a piece, and return its size. Raises Unread where nobody reads on."""
        self.stream.write_bytes(content)
        if self.stream.stopped:
            raise Unread
        return len(content)


class Stream:
    """One of the streams that a command writes to.

    A reader that stops reading (`| head`, a pager that was left) is no error: what follows is
    dropped, and `stopped` tells. Where stdout refuses (a full disk) that is an OutputError; where
    stderr does there is nowhere left to say so.
    """

    def __init__(self, file: TextIO | None, name: str, look: Look, *, in_ci: bool = False) -> None:
        self.name = name
        self.look = look
        self.stopped = file is None  # closed before we started: `>&-`
        self.terminal = file is not None and file.isatty()
        self.in_ci = in_ci
        self._encoding = getattr(file, "encoding", None) or "utf-8"
        self._text = file  # held, because it closes its buffer when it goes
        self._file: IO[bytes] | None = file.buffer if file is not None else None

    def write_lines(self, lines: Iterable[str]) -> None:
        """Write lines, each given without its newline, as they come."""
        batch: list[str] = []
        size = 0
        for line in lines:
            batch.append(line)
            size += len(line) + 1
            if size >= _BATCH_CHARACTERS:
                self.write("\n".join(batch) + "\n")
                batch, size = [], 0
                if self.stopped:
                    return
        if batch:
            self.write("\n".join(batch) + "\n")

    def write(self, text: str) -> None:
        """Write whole lines of text."""
        text = guarded(text, colour=self.look.colour)
        if self.in_ci:
            text = without_commands(text)
        self.write_bytes(text.encode(self._encoding, ENCODING_ERRORS))

    def write_bytes(self, content: bytes) -> None:
        """Write bytes as they are: for documents and recorded bytes, never for a terminal."""
        if self._file is not None and not self.stopped:
            with self._minding_the_reader():
                self._file.write(content)

    @contextlib.contextmanager
    def as_target(self) -> Iterator[Target]:
        """Give the stream to the writer of a document, which ends where nobody reads on."""
        target = Target(self)
        with contextlib.suppress(Unread):
            yield target
            self.flush()

    def flush(self) -> None:
        """Hand over what is still held back."""
        if self._file is not None and not self.stopped:
            with self._minding_the_reader():
                self._file.flush()

    def close(self) -> None:
        """Hand over everything, also what was printed past us (a command's help)."""
        if self._text is not None and not self.stopped:
            with self._minding_the_reader():
                self._text.flush()

    @contextlib.contextmanager
    def diverted(self, file: IO[bytes]) -> Iterator[None]:
        """Write into another file meanwhile."""
        self.flush()
        before = self._file, self.stopped
        self._file = file
        try:
            yield
            self.flush()
        finally:
            self._file, self.stopped = before

    def abandon(self) -> None:
        """Write no more; the interpreter's own flush at exit will find nothing to complain of."""
        self.stopped = True
        if self._file is None:
            return
        with contextlib.suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._file.fileno())
            os.close(nowhere)

    @contextlib.contextmanager
    def _minding_the_reader(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:
            self.abandon()
        except OSError as error:
            self.abandon()
            # EINVAL is how Windows says that the other end of a pipe is closed.
            if self.name == "stderr" or (os.name == "nt" and error.errno == errno.EINVAL):
                return
            raise OutputError(f"{self.name} cannot be written: {error.strerror}") from None


class Ui:
    """Where a command writes, and what it may know of who reads it."""

    def __init__(
        self, stdin: TextIO | None, stdout: Stream, stderr: Stream, environment: Mapping[str, str]
    ) -> None:
        self.stdin = stdin
        self.stdout = stdout
        self.stderr = stderr
        self.environment = environment

    @classmethod
    def from_environment(
        cls,
        environment: Mapping[str, str],
        stdin: TextIO | None,
        stdout: TextIO | None,
        stderr: TextIO | None,
    ) -> Ui:
        """Return the Ui of this process; a stream that is None was closed by whoever started it."""
        in_ci = _in_ci(environment)
        out = Stream(stdout, "stdout", _look(environment, stdout), in_ci=in_ci)
        err = Stream(stderr, "stderr", _look(environment, stderr), in_ci=in_ci)
        return cls(stdin, out, err, environment)

    @property
    def look(self) -> Look:
        """What stdout can show."""
        return self.stdout.look

    def choose_colour(self, choice: ColourChoice) -> None:
        """Follow `--color` on both streams."""
        for stream in (self.stdout, self.stderr):
            stream.look.colour = wants_colour(self.environment, stream.terminal, choice)

    def know_runs(self, ids: Iterable[str]) -> None:
        """Let the shortest unique prefix of a run id stand out, now that the others are known."""
        known = tuple(ids)
        for stream in (self.stdout, self.stderr):
            stream.look.runs = known

    def result(self, text: str = "") -> None:
        """Write what was asked for, a line or several, to stdout."""
        self.stdout.write(text + "\n")
        if self.stdout.terminal:
            self.stdout.flush()

    def status(self, text: str) -> None:
        """Write what is going on to stderr."""
        self.stdout.flush()
        self.stderr.write(text + "\n")
        self.stderr.flush()

    def warning(self, message: str) -> None:
        """Write to stderr what the reader should know before trusting the result."""
        self.status(f"{self.stderr.look.paint(Style.WARNING, 'warning')}: {one_line(message)}")

    def error(self, message: str, hint: str = "") -> None:
        """Write to stderr why there is no result, and what to do about it."""
        look = self.stderr.look
        with contextlib.suppress(OutputError):  # there is an error to tell of already
            self.stdout.flush()
        self.status(f"{look.paint(Style.FAILED, 'error')}: {one_line(message)}")
        if hint:
            self.status(f" {look.paint(Style.HEADING, 'hint')}: {one_line(hint)}")

    def close(self) -> None:
        """Hand over everything; the last thing that a command does."""
        self.stdout.close()
        self.stderr.close()

    def abandon_stdout(self) -> None:
        """Write no more to stdout: whoever read it has left."""
        self.stdout.abandon()

    @contextlib.contextmanager
    def paged(self, *, enabled: bool = True, configured: str | None = None) -> Iterator[None]:
        """Show what goes to stdout in the reader's pager, where stdout is a terminal.

        A pager that is missing is done without; one that is left early is no error.
        """
        words = pager.chosen(self.environment, configured) if self.stdout.terminal else []
        with pager.running(words if enabled else [], self.environment) as file:
            if file is None:
                yield
            else:
                with self.stdout.diverted(file):
                    yield


def _in_ci(environment: Mapping[str, str]) -> bool:
    runners = ("GITHUB_ACTIONS", "TF_BUILD", "TEAMCITY_VERSION")
    said = environment.get("CI", "").lower() not in ("", "0", "false")
    return said or any(environment.get(name) for name in runners)


def _look(environment: Mapping[str, str], file: TextIO | None) -> Look:
    terminal = file is not None and file.isatty()
    return Look(
        colour=wants_colour(environment, terminal, ColourChoice.AUTO),
        unicode=_can_encode(getattr(file, "encoding", None) or "utf-8", "─"),
        width=_width(environment, file if terminal else None),
    )


def _can_encode(encoding: str, text: str) -> bool:
    try:
        text.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def _width(environment: Mapping[str, str], terminal: TextIO | None) -> int:
    with contextlib.suppress(ValueError):
        if (columns := int(environment.get("COLUMNS", ""))) > 0:
            return columns
    with contextlib.suppress(OSError, ValueError):
        if terminal is not None and (columns := os.get_terminal_size(terminal.fileno()).columns):
            return columns
    return 80
