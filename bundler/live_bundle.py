"""A run bundle that is being recorded: begin, append, finish."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from bundler import atomic
from bundler.bundle import LOCK, LOG, MANIFEST, lock_of
from bundler.events import encode_line
from bundler.manifest import RunManifest, RunStatus, encode_document, to_document
from bundler.redaction import OFF, Masker
from bundler.results import Results
from bundler.sealing import seal
from bundler.status import run_finished

if TYPE_CHECKING:
    from filelock import BaseFileLock

_LOOKED_AT_S = 1.0
"""How long to wait for a lock that is free, but at which somebody looks just now."""


@dataclass
class LiveBundle:
    """A bundle that is being recorded: its directory, its lock, and its log open for appending.

    `begin` makes one. What is appended is masked. Times in the log are microseconds since
    `started_ns` (monotonic clock).
    """

    directory: Path
    manifest: RunManifest
    started_ns: int
    _descriptor: int
    _lock: BaseFileLock
    masker: Masker = OFF
    _closed: bool = field(default=False)

    @property
    def log(self) -> Path:
        """The plain log."""
        return self.directory / LOG

    def append(
        self,
        event: str,
        *,
        category: str,
        message: str,
        data: Mapping[str, Any],
        level: str = "INFO",
        test_id: str | None = None,
        seed: int | None = None,
        ts_us: int | None = None,
        masked: bool = False,
    ) -> None:
        """Append one event: one write of one whole line; it happens now. Raises OSError.

        `masked` where its secrets are masked by now, as in a stream that came in pieces.
        """
        now_us = (time.monotonic_ns() - self.started_ns) // 1000
        line = encode_line(
            event,
            ts_us=now_us if ts_us is None else ts_us,
            category=category,
            message=message,
            level=level,
            test_id=test_id,
            seed=seed,
            data=dict(data),
        )
        line = line if masked else self.masker.line(line)
        written = os.write(self._descriptor, line)
        if written != len(line):
            raise OSError(f"only {written} of {len(line)} bytes of an event were written")

    def warn(self, warning: str, message: str, **data: Any) -> None:
        """Append a Warning of the recorder's own. Raises OSError."""
        self.append(
            "Warning",
            category="log",
            level="WARN",
            message=message,
            data={"warning": warning, "message": message, **data},
        )

    def finish(self, status: RunStatus, finished_at: str, results: Results) -> RunManifest:
        """Write RunFinished, make the log durable, seal the bundle and let go of it."""
        self._end_torn_line()
        duration_us = (time.monotonic_ns() - self.started_ns) // 1000
        message, data = run_finished(status, duration_us, results)
        self.append(
            "RunFinished", category="run", message=message, seed=self.manifest.seed, data=data
        )
        os.fsync(self._descriptor)
        manifest = msgspec.structs.replace(
            self.manifest, status=status, finished_at=finished_at, duration_us=duration_us
        )
        results.events, results.complete = results.events + 1, True
        manifest = seal(self.directory, manifest, results)
        self.close()
        return manifest

    def _end_torn_line(self) -> None:
        """A writer that was killed, or ran out of disk, leaves a line without its end."""
        with self.log.open("rb") as log:
            size = log.seek(0, os.SEEK_END)
            log.seek(max(0, size - 1))
            if log.read(1) not in (b"\n", b""):
                os.write(self._descriptor, b"\n")

    def close(self) -> None:
        """Let go of the log and the lock; what is on disk stays as it is."""
        if not self._closed:
            self._closed = True
            os.close(self._descriptor)
            self._lock.release()
            (self.directory / LOCK).unlink(missing_ok=True)


def begin(
    directory: Path, manifest: RunManifest, *, started_ns: int, masker: Masker = OFF
) -> LiveBundle:
    """Begin a bundle in an empty directory: lock, manifest, log, first event. Raises OSError."""
    lock = lock_of(directory)
    lock.acquire(timeout=_LOOKED_AT_S)
    try:
        atomic.write(directory / MANIFEST, encode_document(to_document(manifest)))
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | getattr(os, "O_BINARY", 0)
        descriptor = os.open(directory / LOG, flags, 0o666)
    except OSError:
        lock.release()
        raise
    bundle = LiveBundle(directory, manifest, started_ns, descriptor, lock, masker)
    bundle.append(
        "RunStarted",
        category="run",
        message="run started",
        seed=manifest.seed,
        data={
            "run_id": manifest.run_id,
            "argv": manifest.command.argv,
            "cwd": manifest.command.cwd,
            "started_at": manifest.created_at,
        },
    )
    return bundle
