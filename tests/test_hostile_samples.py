"""Opening what a stranger made: under 256 MiB and five seconds, one sentence, and exit code 3.

Each is opened by two commands; with `BUNDLE_TEST_FULL` set, by all that open a recording.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from command_line import HERE
from full_size import FULL
from hostile_samples import REFUSED, SAMPLES, SHOWN, Sample

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="reads the peak from /proc"),
]
MAX_SECONDS = 5.0
MAX_BYTES = 256 << 20
EVERY = {
    "replay": ["replay", "SAMPLE"],
    "verify": ["verify", "SAMPLE"],
    "show": ["show", "SAMPLE"],
    "export": ["export", "SAMPLE", "--to", "junit"],
}
COMMANDS = EVERY if FULL else {name: EVERY[name] for name in ("replay", "verify")}
CONTROL = re.compile(rb"[\x00-\x08\x0b-\x1f\x7f]")


@dataclass(frozen=True)
class Opened:
    """What opening a sample came to."""

    code: int
    seconds: float
    peak: int
    out: bytes
    err: str


def opened(sample: Sample, place: Path) -> dict[str, Opened]:
    """Open a sample with every command."""
    path = sample.write(place)
    jobs = []
    for name, words in COMMANDS.items():
        (place / name).mkdir()
        (place / name / "pyproject.toml").touch()
        given = [str(path) if word == "SAMPLE" else word for word in words]
        environment = {"BUNDLE_STORE": str(place / name / "store"), "COLUMNS": "100"}
        jobs.append({"words": given, "place": str(place / name), "environment": environment})
    driver = Path(__file__).parent / "hostile_driver.py"
    done = subprocess.run(
        [sys.executable, str(driver)],
        input=json.dumps(jobs).encode(),
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": HERE, "PYTHONDONTWRITEBYTECODE": "1"},
        stdout=subprocess.PIPE,
        timeout=300,
        check=True,
    )
    ends = dict(zip(COMMANDS, json.loads(done.stdout), strict=True))
    return {
        name: Opened(
            **end,
            out=(place / name / "out").read_bytes(),
            err=(place / name / "err").read_text("utf-8", "replace"),
        )
        for name, end in ends.items()
    }


@pytest.mark.parametrize(
    "sample", SAMPLES, ids=lambda sample: sample.name.replace("\0", "NUL")[:60]
)
def test_a_hostile_sample_costs_little_and_ends_in_a_sentence(
    sample: Sample, tmp_path: Path
) -> None:
    for command, end in opened(sample, tmp_path).items():
        print(f"{command}: {end.code}, {end.seconds:.2f} s, {end.peak >> 20} MiB: {end.err[:200]}")
        assert "Traceback" not in end.err
        assert end.seconds < MAX_SECONDS, command
        assert end.peak < MAX_BYTES, command
        told = [one for one in end.err.splitlines() if one.startswith("error: ")]
        if sample.code == REFUSED:
            assert (end.code, len(told)) == (REFUSED, 1), (command, end.err)
        else:
            assert end.code in (SHOWN, 1 if command == "verify" else SHOWN), (command, end.err)
        assert not CONTROL.search(end.out + end.err.encode()), command
