"""Many suites run by pytest at once, plainly or recorded with a fault in the log."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from builders import a_manifest
from probe_driver import PYTHON, Ran, Workshop, clean_environment, probe_settings, settled
from probe_suites import Suite

from bundler import live_bundle
from bundler.manifest import RunStatus

DRIVER = Path(__file__).parent / "guest_driver.py"
SAID = re.compile(r"bundle: (?:recording stopped|not recording): [^\n]+\n\Z")


@dataclass(frozen=True)
class Guest:
    """One suite as it ran: what it did, what it said, and what was recorded of it."""

    suite: Suite
    directory: Path
    ran: Ran
    outcomes: str
    warned: str

    @property
    def seen(self) -> tuple[int, str, str, str]:
        """All that a person or a CI service sees of it."""
        steady = self.suite.same_output
        text = (self.ran.stdout, self.ran.stderr) if steady else ("", "")
        outcomes = self.outcomes if steady else "\n".join(sorted(self.outcomes.splitlines()))
        return (self.ran.exit_code, *text, outcomes)


def guests(
    suites: Sequence[Suite], place: Path, fault: str | None, workers: int = 2
) -> dict[str, Guest]:
    """Run every suite, recorded with this fault in the log, or plainly where it is None."""
    return _run([(suite, fault) for suite in suites], place, workers)


def with_faults(suite: Suite, place: Path, faults: Iterable[str | None]) -> dict[str, Guest]:
    """Run one suite with each of these faults."""
    return _run([(suite, fault) for fault in faults], place, 1)


def _run(wanted: Sequence[tuple[Suite, str | None]], place: Path, workers: int) -> dict[str, Guest]:
    shops = [Workshop(place / f"{number:03}") for number in range(len(wanted))]
    jobs = [_job(shop, *one) for shop, one in zip(shops, wanted, strict=True)]
    # One process forks them one by one, so that as many run at once as there are processes.
    drivers = [_start(jobs[n::workers]) for n in range(workers) if jobs[n::workers]]
    ends: list[int] = [0] * len(jobs)
    for n, driver in enumerate(drivers):
        said, _ = driver.communicate(timeout=1200)
        assert driver.returncode == 0, "the driver itself failed"
        ends[n::workers] = json.loads(said)
    read = [_read(*one) for one in zip(wanted, shops, ends, strict=True)]
    several = len({suite.name for suite, _ in wanted}) > 1
    names = [suite.name if several else str(fault) for suite, fault in wanted]
    return dict(zip(names, read, strict=True))


def _job(shop: Workshop, suite: Suite, fault: str | None) -> dict[str, object]:
    shop.lay(suite.files)
    started = time.monotonic_ns()
    vanished = a_manifest(status=RunStatus("running"))
    live_bundle.begin(shop.log.parent, vanished, started_ns=started).close()
    log = Path("/dev/full") if fault == "full" else shop.log
    if fault == "broken_pipe":
        shop.log.unlink()
        os.mkfifo(shop.log)
    return {
        "suite": str(shop.suite),
        "args": list(suite.args),
        "env": {**clean_environment(), **suite.env},
        "told": probe_settings(log, t0_ns=started) if fault is not None else "",
        "fault": fault or "none",
        "log": str(log),
        "interrupt": str(shop.suite / suite.interrupt) if suite.interrupt else "",
        **{name: str(shop.place / name) for name in ("out", "err", "outcomes")},
    }


def _start(jobs: list[dict[str, object]]) -> subprocess.Popen[bytes]:
    driver = subprocess.Popen(
        [PYTHON, str(DRIVER)],
        env=clean_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert driver.stdin is not None
    driver.stdin.write(json.dumps(jobs).encode())
    driver.stdin.close()
    driver.stdin = None
    return driver


def _read(wanted: tuple[Suite, str | None], shop: Workshop, code: int) -> Guest:
    out, err, outcomes = (
        _text(shop.place / name).replace(str(shop.suite), "SUITE")
        for name in ("out", "err", "outcomes")
    )
    warned = SAID.search(err)
    said = warned[0] if warned else ""
    ran = Ran(code, settled(out), settled(err.removesuffix(said)))
    if shop.log.is_file():
        ran = shop.read(ran)
    return Guest(wanted[0], shop.log.parent, ran, outcomes, said)


def _text(path: Path) -> str:
    return path.read_bytes().decode("utf-8", "backslashreplace") if path.exists() else ""
