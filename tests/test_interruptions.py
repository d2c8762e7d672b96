"""Interrupted at random, recorded twenty at a time, pruned while replayed: nothing is lost.

What was acknowledged is what stood on the screen. A few of each are tried; with `BUNDLE_TEST_FULL`
set, two hundred interruptions and a minute of pruning.
"""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from command_line import BUNDLE, Ended, Place, place
from full_size import FULL
from reliability import note

from bundler import bundle, sealing
from bundler.results import Verdict
from bundler.store import Store
from bundler.verification import verify

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.name == "nt", reason="signals are POSIX"),
]
INTERRUPTIONS = 200 if FULL else 12
RACING_S = 60.0 if FULL else 4.0
SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL]
SUITE = """
import time, pytest
@pytest.mark.parametrize("n", range(40))
def test_it(n):
    time.sleep(0.02)
    assert n != 7
"""
PYTEST = [sys.executable, "-m", "pytest", "-v", "-p", "no:cacheprovider"]
PASSED = re.compile(r"^(test_it\.py::test_it\[\d+\]) PASSED", re.MULTILINE)


@dataclass(frozen=True)
class Interrupted:
    """One run that was interrupted: with what, how it ended, and what was on the screen by then."""

    place: Place
    signals: tuple[signal.Signals, ...]
    whole_group: bool
    code: int
    screen: str


def interrupted(number: int, folder: Path) -> Interrupted:
    """Begin a run in a session of its own, and interrupt it once or twice, at random moments."""
    chance = random.Random(number)
    here = Place(folder / f"p{number:03}", folder / f"s{number:03}")
    here.project.mkdir()
    here.file("pyproject.toml", "")
    here.file("test_it.py", SUITE)
    screen = here.project / "screen"
    with screen.open("wb") as file:
        child = subprocess.Popen(
            [*BUNDLE, "run", "--", *PYTEST],
            cwd=here.project,
            env=here.environment(PYTHONUNBUFFERED="1"),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
    signals = tuple(chance.choice(SIGNALS) for _ in range(chance.choice([1, 1, 2])))
    whole_group = chance.random() < 0.3
    time.sleep(0.5 + chance.random() * 1.5)
    for one in signals:
        if child.poll() is None:
            (os.killpg if whole_group else os.kill)(child.pid, one)
            time.sleep(chance.random() * 0.3)
    code = child.wait(timeout=60)
    settle(screen)
    return Interrupted(here, signals, whole_group, code, screen.read_text())


def settle(screen: Path) -> None:
    """Wait for what a killed wrapper left behind: its child goes on until it prints again."""
    size = -1
    while size != (size := screen.stat().st_size):
        time.sleep(0.3)


def assert_nothing_is_lost(one: Interrupted) -> str:
    """Every test that stood on the screen is in the recording; return how the run is called."""
    runs = Store(one.place.store, one.place.project).runs()
    if not runs:
        assert not PASSED.search(one.screen)
        return "not begun"
    [run] = runs
    assert "bundler/cli.py" not in one.screen, "a traceback of ours"
    if run.manifest is None:
        assert not PASSED.search(one.screen)
        return "not begun"
    recording = bundle.read(run.path)
    verdicts = {test.test_id: test.verdict for test in recording.results.tests}
    shown = PASSED.findall(one.screen)
    lost = [name for name in shown[:-1] if verdicts.get(name) is not Verdict.PASSED]
    assert lost == [], (one.signals, one.screen)
    # The word is printed before the teardown: of the last one there may be no more than its start.
    assert all(verdicts[name] in (Verdict.PASSED, Verdict.UNFINISHED) for name in shown[-1:])
    if "bundle replay" in one.screen:
        assert recording.manifest.status.state in ("cancelled", "failed", "interrupted")
        assert verify(recording) == []
    else:
        sealing.seal_abandoned(run.path)
        assert verify(bundle.read(run.path)) == []
    return recording.manifest.status.state


def test_whenever_a_run_is_interrupted_what_was_shown_is_recorded(tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        ended = list(pool.map(lambda n: interrupted(n, tmp_path), range(INTERRUPTIONS)))
    states = [assert_nothing_is_lost(one) for one in ended]
    note("interruptions", {state: states.count(state) for state in sorted(set(states))})
    assert states.count("cancelled") + states.count("interrupted") > INTERRUPTIONS // 2


COMMANDS = [
    ["verify"], ["verify", "--repair"], ["replay"], ["show"], ["export", "--to", "junit"],
    ["pack", "-o", "out.zip"], ["add", "in.zip"], ["prune", "--keep-runs", "3"], ["list"],
]  # fmt: skip


def begun(here: Place, words: list[str]) -> subprocess.Popen[bytes]:
    """Start a command; before it is itself, it is the interpreter that is hit, and says so."""
    child = subprocess.Popen(
        [*BUNDLE, *words],
        cwd=here.project,
        env=here.environment(PYTHONPROFILEIMPORTTIME="1"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    assert child.stderr is not None
    while b" bundler.cli" not in (line := child.stderr.readline()):
        assert line, "it never began"
    return child


def duration_s(here: Place, words: list[str]) -> float:
    """How long a command takes on this machine once it is itself."""
    child, began = begun(here, words), time.monotonic()
    child.communicate(timeout=60)
    return time.monotonic() - began


def test_whatever_command_is_interrupted_says_nothing_and_breaks_nothing(tmp_path: Path) -> None:
    here = place(tmp_path)
    here.file("test_it.py", SUITE.replace("range(40)", "range(4)"))
    for _ in range(2):
        assert here.bundle("run", "--", *PYTEST).code == 0
    assert here.bundle("pack", "-o", "in.zip").code == 0
    before = len(Store(here.store, here.project).runs())
    lasts = [duration_s(here, words) for words in COMMANDS]
    chance = random.Random(1)
    codes = []
    for number in range(INTERRUPTIONS):
        words = COMMANDS[number % len(COMMANDS)]
        child = begun(here, words)
        time.sleep(chance.random() * lasts[number % len(COMMANDS)])
        child.send_signal(signal.SIGINT)
        said = child.communicate(timeout=60)[1]
        told = b"".join(
            line for line in said.splitlines(True) if not line.startswith(b"import time:")
        )
        # As a shell has it: killed by SIGINT, where it hit the interpreter on its way in or out.
        code = 130 if child.returncode == -signal.SIGINT else child.returncode
        assert code in (0, 130), (words, code, told)
        assert b"bundler/cli.py" not in told and b"error: " not in told, (words, told)
        codes.append(code)
    runs = Store(here.store, here.project).runs()
    assert len(runs) == before
    for run in runs:
        assert verify(bundle.read(run.path)) == []
    note("interrupted-commands", {"interrupted": codes.count(130), "ended": codes.count(0)})
    assert codes.count(130) > INTERRUPTIONS // 4


def test_twenty_recorders_that_start_at_once_are_twenty_runs(tmp_path: Path) -> None:
    here = place(tmp_path)
    script = "import sys; print('run', sys.argv[1])"

    def record(number: int) -> Ended:
        return here.bundle("run", "--", sys.executable, "-c", script, str(number))

    with ThreadPoolExecutor(20) as pool:
        ended = list(pool.map(record, range(20)))
    assert {one.code for one in ended} == {0}
    runs = Store(here.store, here.project).runs()
    # Those that begin in the same moment may share a place in the sequence, and no more than that.
    assert len({run.run_id for run in runs}) == 20
    printed = set()
    for run in runs:
        recording = bundle.read(run.path)
        assert verify(recording) == []
        outputs = recording.outputs(recording.results.run_output_offsets)
        printed.add(b"".join(one.content for one in outputs))
    assert printed == {f"run {number}\n".encode() for number in range(20)}


def test_a_prune_beside_recorders_and_replays_takes_nothing_from_them(tmp_path: Path) -> None:
    here = place(tmp_path)
    here.file("test_it.py", SUITE.replace("range(40)", "range(9)"))
    deadline = time.monotonic() + RACING_S

    def recorded() -> list[str]:
        seen = []
        while time.monotonic() < deadline:
            ended = here.bundle("run", "--", *PYTEST)
            assert ended.code == 1, ended.stderr
            found = re.search(r"run ([0-9a-f]{8,}), seed", ended.stderr)
            assert found, ended.stderr
            assert "incomplete" not in ended.stderr, ended.stderr
            seen.append(found[1])
        return seen

    def replayed() -> list[int]:
        codes = []
        while time.monotonic() < deadline:
            ended = here.bundle("replay")
            assert "Traceback" not in ended.stderr and ended.stderr.count("error: ") <= 1
            assert ended.code in (0, 3, 4), ended.stderr
            assert ended.code or "Replaying run" in ended.stdout
            codes.append(ended.code)
        return codes

    def pruned() -> int:
        number = 0
        while time.monotonic() < deadline:
            ended = here.bundle("prune", "--keep-runs", "1")
            assert (ended.code, "Traceback" in ended.stderr) == (0, False), ended.stderr
            number += 1
        return number

    with ThreadPoolExecutor(4) as pool:
        runs = [pool.submit(recorded), pool.submit(recorded)]
        replays, prunes = pool.submit(replayed), pool.submit(pruned)
    seen = {one for run in runs for one in run.result()}
    left = Store(here.store, here.project).runs()
    assert left and all(run.run_id[:8] in seen for run in left)
    for run in left:
        assert verify(bundle.read(run.path)) == []
    codes = replays.result()
    note("racing", {"recorded": len(seen), "replayed": len(codes), "pruned": prunes.result(),
                    "replays that met no run": len(codes) - codes.count(0)})  # fmt: skip
