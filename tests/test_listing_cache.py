"""What is remembered of listed runs can be lost, stale or damaged: the list is the same."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
from builders import a_manifest
from command_line import Place, place

from bundler import listing_cache
from bundler.manifest import encode_document, to_document
from bundler.tree import Row


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in (1, 2, 3):
        run = tmp_path / f"{number:06}-{uuid.uuid4()}"
        run.mkdir()
        (run / "manifest.json").write_bytes(b"%d" % number)
    return tmp_path


class Reading:
    """Makes a row of whatever a manifest says, and remembers whom it was asked for."""

    def __init__(self, *, lasting: bool = True) -> None:
        self.lasting = lasting
        self.asked: list[int] = []

    def __call__(self, path: str, sequence: int, run_id: str) -> tuple[Row, bool]:
        self.asked.append(sequence)
        said = Path(path, "manifest.json").read_text()
        return Row(run_id, sequence, status=said, counts={"passed": 1}), self.lasting


def told(folder: Path, reading: Reading) -> list[tuple[int, str]]:
    return [(row.sequence, row.status) for row in listing_cache.rows(str(folder), reading)]


def test_a_run_is_read_once(folder: Path) -> None:
    first, second = Reading(), Reading()
    assert told(folder, first) == told(folder, second) == [(1, "1"), (2, "2"), (3, "3")]
    assert (first.asked, second.asked) == ([1, 2, 3], [])


def test_every_field_of_a_row_is_remembered(folder: Path) -> None:
    def read(path: str, sequence: int, run_id: str) -> tuple[Row, bool]:
        row = Row(run_id, sequence, "p", 1, 2, 3, "failed", {"failed": 4}, (1 << 64) - 1)
        return row, True

    rows = [listing_cache.rows(str(folder), read) for _ in range(2)]
    fields = [[[getattr(row, name) for name in Row.__slots__] for row in one] for one in rows]
    assert fields[0] == fields[1]


def test_what_may_still_change_is_read_every_time(folder: Path) -> None:
    told(folder, Reading(lasting=False))
    again = Reading(lasting=False)
    told(folder, again)
    assert again.asked == [1, 2, 3]


def rewritten(run: Path) -> None:
    (run / "manifest.json").write_text("another")


def replaced_by_one_of_the_same_size_and_time(run: Path) -> None:
    before = (run / "manifest.json").stat()
    (run / "new").write_text("x")
    os.utime(run / "new", ns=(before.st_atime_ns, before.st_mtime_ns))
    (run / "new").replace(run / "manifest.json")


def written_over_and_dated_back(run: Path) -> None:
    before = (run / "manifest.json").stat()
    (run / "manifest.json").write_text("x")
    os.utime(run / "manifest.json", ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize(
    "change",
    [rewritten, replaced_by_one_of_the_same_size_and_time, written_over_and_dated_back],
)
def test_a_manifest_that_changed_is_read_anew(folder: Path, change: Callable[[Path], None]) -> None:
    told(folder, Reading())
    changed = sorted(folder.glob("000002-*"))[0]
    change(changed)
    again = Reading()
    said = (changed / "manifest.json").read_text()
    assert told(folder, again) == [(1, "1"), (2, said), (3, "3")]
    assert again.asked == [2]


def test_a_run_that_is_gone_is_not_listed_and_not_remembered(folder: Path) -> None:
    told(folder, Reading())
    size = (folder / listing_cache.NAME).stat().st_size
    shutil.rmtree(sorted(folder.glob("000002-*"))[0])
    assert told(folder, Reading()) == [(1, "1"), (3, "3")]
    assert (folder / listing_cache.NAME).stat().st_size < size


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[:-1],
        lambda content: content.replace(b'"1"', b'"7"'),
        lambda content: b"00000000\n" + content[9:],
        lambda content: os.urandom(200),
    ],
)
def test_a_damaged_memory_is_done_without(folder: Path, damage: Callable[[bytes], bytes]) -> None:
    told(folder, Reading())
    cache = folder / listing_cache.NAME
    content = cache.read_bytes()
    cache.write_bytes(damage(content))
    assert told(folder, Reading()) == [(1, "1"), (2, "2"), (3, "3")]
    assert cache.read_bytes() == content


def test_where_nothing_can_be_written_everything_is_read(folder: Path) -> None:
    (folder / listing_cache.NAME).mkdir()
    told(folder, Reading())
    again = Reading()
    assert told(folder, again) == [(1, "1"), (2, "2"), (3, "3")]
    assert again.asked == [1, 2, 3]
    assert not list(folder.glob("*.tmp"))


def test_no_store_is_made_by_listing(tmp_path: Path) -> None:
    assert listing_cache.rows(str(tmp_path / "none"), Reading()) == []
    assert not (tmp_path / "none").exists()


def test_a_run_that_is_damaged_after_it_was_listed_is_shown_as_damaged(tmp_path: Path) -> None:
    here: Place = place(tmp_path)
    for word in ("0", "1"):
        here.bundle("run", "--", "sh", "-c", f"exit {word}")
    listed = here.bundle("list").stdout.splitlines()
    first = min(here.store.glob("*/0*"))
    (first / "manifest.json").write_bytes(b"{")
    again = here.bundle("list").stdout.splitlines()
    assert "damaged" in again[0]
    assert again[1].split() == listed[1].split()
    (first / "manifest.json").write_bytes(encode_document(to_document(a_manifest())))
    assert "damaged" not in here.bundle("list").stdout
