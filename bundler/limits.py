"""How much of a stranger's recording is read: every limit by its name, and the account they share.

A refusal by a limit names it, and its hint says how to raise it: `--limit NAME=VALUE`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace

from bundler.errors import HostileRecording, UsageError


@dataclass(frozen=True, slots=True)
class Limits:
    """What one recording may ask of this machine. Sizes are bytes.

    entries           entries of an archive (a nested one included), or of a directory
    archive_bytes     an archive that comes through a pipe
    directory_bytes   the central directory of an archive
    name_bytes        the name of one entry, UTF-8
    member_bytes      one member, unpacked
    total_bytes       all members, unpacked; a nested archive counts, and so do its members
    whole_bytes       one member that is read into memory as a whole
    ratio             how many times its packed size a member, or all of them, may unpack to
    ratio_free_bytes  what may be unpacked at any ratio
    window_bytes      the window of a zstd frame
    log_bytes         a compressed log of events, unpacked, before `log_ratio` counts
    log_ratio         how many times its packed size a log may unpack to beyond that
    log_lines         lines of a log, before each must have 16 bytes, and one when packed
    damaged_lines     lines of a log that cannot be read
    results_bytes     what the results of a log take in memory, before `results_ratio` counts
    results_ratio     how many times the packed log its results may take beyond that
    """

    entries: int = 200_000
    archive_bytes: int = 4 << 30
    directory_bytes: int = 48 << 20
    name_bytes: int = 1024
    member_bytes: int = 2 << 30
    total_bytes: int = 8 << 30
    whole_bytes: int = 128 << 20
    ratio: int = 200
    ratio_free_bytes: int = 32 << 20
    window_bytes: int = 8 << 20
    log_bytes: int = 1 << 30
    log_ratio: int = 2000
    log_lines: int = 250_000
    damaged_lines: int = 100_000
    results_bytes: int = 96 << 20
    results_ratio: int = 32

    def check(self, limit: str, value: int, what: str) -> None:
        """Raise HostileRecording where `value` is over the limit of that name.

        `what` opens the message: what it is that has the value.
        """
        allowed: int = getattr(self, limit)
        if value > allowed:
            raise over(limit, allowed, what, needed=value)

    def check_ratio(self, unpacked: int, packed: int, what: str) -> None:
        """Raise HostileRecording where so few bytes may not unpack to so many."""
        if unpacked > self.ratio_free_bytes:
            self.check("ratio", -(-unpacked // max(packed, 1)), what)


LINE_BYTES = 16
"""What a line has at least, on average: even the shortest event has five times as much."""

_chosen = Limits()


def in_force() -> Limits:
    """Return the limits of this process."""
    return _chosen


def put_in_force(limits: Limits) -> None:
    """Hold everything that is opened from now on to these limits."""
    global _chosen
    _chosen = limits


def parse_limits(words: Iterable[str]) -> Limits:
    """Return the default limits with some of them set, each word NAME=VALUE.

    Raises UsageError at an unknown name, or a value that is not a positive integer.
    """
    known = [field.name for field in fields(Limits)]
    chosen: dict[str, int] = {}
    for word in words:
        name, _, value = word.partition("=")
        if name not in known:
            raise UsageError(f"limit {name!r} is unknown", hint=f"One of: {', '.join(known)}.")
        if not (value.isascii() and value.isdigit() and 0 < int(value[:19]) < 1 << 62):
            raise UsageError(
                f"limit {name} is not a positive integer: {value!r}",
                hint=f"Write it as `{name}={getattr(Limits(), name)}`.",
            )
        chosen[name] = int(value)
    return replace(Limits(), **chosen)


def over(limit: str, allowed: int, what: str, *, needed: int | None = None) -> HostileRecording:
    """Return the refusal by a limit, saying how to raise it."""
    raised = str(needed) if needed is not None else "N"
    return HostileRecording(
        f"{what}: over the limit {limit}={allowed}",
        hint=f"If you trust this recording, raise the limit with `--limit {limit}={raised}`.",
    )


def check_lines(lines: int, size: int, packed: int | None, what: str) -> None:
    """Raise HostileRecording where so few bytes may not hold so many lines."""
    limits = in_force()
    most = min(size // LINE_BYTES, size if packed is None else packed)
    if lines > limits.log_lines + most:
        raise over("log_lines", limits.log_lines, f"{what} has over {lines} lines", needed=lines)


class Budget:
    """What is left of the limits that all archives of one recording share."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._entries = 0
        self._bytes = 0

    def claim_entries(self, count: int, what: str) -> None:
        """Count entries. Raises HostileRecording where they are too many."""
        self._entries += count
        self.limits.check("entries", self._entries, f"{what} has {self._entries} entries")

    def claim_bytes(self, count: int, what: str) -> None:
        """Count unpacked bytes. Raises HostileRecording where they are too many."""
        self._bytes += count
        self.limits.check("total_bytes", self._bytes, f"{what} unpacks to {self._bytes} bytes")
