"""The power goes at any moment: what was there stays, and what was told as done is there.

On a real ext4 that is shut down in the middle, which takes root and a loop device.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import HERE
from fault_driver import KILLED, PROJECT
from full_size import FULL
from test_kill_everywhere import IDS, begin, ids, record, unsound, whole
from tools import cannot

from bundler import bundle, packing, sealing
from bundler.store import Store

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="ext4 on a loop device"),
]
DONE = 100


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty ext4 in a file, or a skip that is seen."""
    path = tmp_path_factory.mktemp("image") / "empty.img"
    with path.open("wb") as file:
        file.truncate(8 << 20)
    made = shutil.which("mkfs.ext4") and os.geteuid() == 0
    if not made or subprocess.run(["mkfs.ext4", "-q", str(path)]).returncode:
        cannot("no ext4 can be made here")
    point = path.with_name("point")
    point.mkdir()
    with mounted(path, point) as may:
        if not may:
            cannot("no loop device can be mounted here")
    return path


@contextlib.contextmanager
def mounted(image: Path, point: Path) -> Iterator[bool]:
    done = subprocess.run(["mount", "-o", "loop", str(image), str(point)], capture_output=True)
    try:
        yield not done.returncode
    finally:
        if not done.returncode:
            unmount(point)


def unmount(point: Path) -> None:
    """Let go of it, as soon as a command that lost its recorder has come to its end there."""
    for _ in range(50):
        if not subprocess.run(["umount", str(point)], capture_output=True).returncode:
            return
        time.sleep(0.1)
    raise TimeoutError(f"{point} is busy")


def after_a_cut(operation: str, start: Path, image: Path, k: int) -> Iterator[tuple[Path, int]]:
    """Do an operation on a copy of `start`, cut the power at its k-th touch, and mount anew."""
    disk = start.parent / "disk.img"
    point = start.parent / "point"
    point.mkdir(exist_ok=True)
    shutil.copyfile(image, disk)
    root = point / "root"
    driver = Path(__file__).parent / "fault_driver.py"
    with mounted(disk, point):
        shutil.copytree(start, root)
        subprocess.run(["sync", "-f", str(point)], check=True)
        done = subprocess.run(
            [sys.executable, str(driver), operation, "power", str(root), str(k)],
            env={**os.environ, "PYTHONPATH": HERE},
            capture_output=True,
            timeout=60,
        )
    assert done.returncode in (0, KILLED, DONE), done.stderr
    with mounted(disk, point):
        yield root, done.returncode


def cuts(operation: str, start: Path, image: Path) -> Iterator[tuple[Path, int]]:
    """Cut the power at every touch, or at some of them, and at the end of all."""
    k, code = 1, KILLED
    while code == KILLED:
        for root, code in after_a_cut(operation, start, image, k):
            yield root, code
        k += 1 if FULL else 8


def test_what_was_sealed_before_stays_and_what_is_sealed_now_is_whole(
    tmp_path: Path, image: Path
) -> None:
    start = begin(tmp_path, 1, finished=False)
    for root, code in cuts("seal", start, image):
        path = Store(root / "store", PROJECT).runs()[0].path
        whole(path, events=5)
        assert code == KILLED or (path / bundle.SEALED_LOG).exists()
        sealing.seal_abandoned(path)
        assert unsound(path) == []


def test_a_file_that_was_packed_is_whole_or_not_there(tmp_path: Path, image: Path) -> None:
    start = begin(tmp_path, 1)
    for root, code in cuts("pack", start, image):
        target = root / "packed.zip"
        assert code == KILLED or target.exists()
        if target.exists():
            whole(target, events=6)
        whole(Store(root / "store", PROJECT).runs()[0].path, events=6)


def test_a_run_that_was_added_is_whole_or_not_there(tmp_path: Path, image: Path) -> None:
    start = begin(tmp_path, 1)
    away = Store(start / "away", PROJECT)
    record(away, IDS[7], finished=True)
    with (start / "other.zip").open("wb") as file:
        packing.pack(away.runs()[0].path, file)
    for root, code in cuts("add", start, image):
        store = Store(root / "store", PROJECT)
        assert ids(store) in ([IDS[0]], [IDS[0], IDS[7]])
        assert code == KILLED or IDS[7] in ids(store)
        for run in store.runs():
            whole(run.path, events=6)
            assert unsound(run.path) == []


def test_a_run_that_was_recorded_is_whole_and_one_that_was_not_is_readable(
    tmp_path: Path, image: Path
) -> None:
    start = begin(tmp_path, 1)
    for root, code in cuts("run", start, image):
        first = Store(root / "store", PROJECT).runs()[0]
        whole(first.path, events=6)
        new = Store(root / "store", root / "project")
        for run in new.runs() if new.directory.is_dir() else []:
            if run.manifest is not None:
                recording = bundle.read(run.path)
                assert [line.why for line in recording.damaged_lines] in ([], ["torn"])
                assert code == KILLED or recording.results.complete
        assert code == KILLED or new.runs()[0].status.state == "failed"
