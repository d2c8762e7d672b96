"""The zip writer: the same members, the same bytes, and always through our own gate."""

from __future__ import annotations

import io
import os
import zipfile
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bundler import zip_writer
from bundler.archive import open_zip, write_zip
from bundler.errors import DamagedRecording, HostileRecording

TREE: list[tuple[str, bytes | Path]] = [
    ("tests/b/manifest.json", b"{}"),
    ("summary.json", b'{"tests": []}' * 1000),
    ("manifest.json", b'{"format": {}}'),
    ("events.ndjson.zst", os.urandom(5000)),
    ("empty", b""),
    ("é.txt", b"beyond ascii"),
]


def packed(*members: tuple[str, bytes | Path]) -> bytes:
    target = io.BytesIO()
    write_zip(members, target)
    return target.getvalue()


def read(raw: bytes) -> dict[str, bytes]:
    with open_zip(raw, where="x.zip") as members:
        return dict(members)


def test_what_is_packed_is_read_back() -> None:
    assert read(packed(*TREE)) == dict(TREE)


def test_another_reader_reads_it_too() -> None:
    with zipfile.ZipFile(io.BytesIO(packed(*TREE))) as archive:
        assert archive.testzip() is None
        assert {name: archive.read(name) for name in archive.namelist()} == dict(TREE)


def test_packing_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    files = [(name, tmp_path / str(n)) for n, (name, _) in enumerate(TREE)]
    for (_, path), (_, content) in zip(files, TREE, strict=True):
        assert isinstance(content, bytes)
        path.write_bytes(content)
    once = packed(*TREE)
    for _, path in files:
        os.utime(path, (0, 0))
        path.chmod(0o400)
    assert packed(*reversed(TREE)) == once
    assert packed(*files) == once


def test_the_manifest_comes_first_and_the_rest_is_sorted() -> None:
    with zipfile.ZipFile(io.BytesIO(packed(*TREE))) as archive:
        assert archive.namelist() == [
            "manifest.json",
            "empty",
            "events.ndjson.zst",
            "summary.json",
            "tests/b/manifest.json",
            "é.txt",
        ]


def test_every_attribute_is_fixed() -> None:
    with zipfile.ZipFile(io.BytesIO(packed(*TREE))) as archive:
        for entry in archive.infolist():
            assert entry.date_time == (1980, 1, 1, 0, 0, 0)
            assert entry.external_attr == 0o100644 << 16
            assert entry.create_system == 3
            assert entry.extra == b""
            assert entry.flag_bits == (0 if entry.filename.isascii() else 1 << 11)


def test_what_is_packed_already_is_stored() -> None:
    with zipfile.ZipFile(io.BytesIO(packed(*TREE))) as archive:
        stored = {e.filename for e in archive.infolist() if e.compress_type == zipfile.ZIP_STORED}
    assert stored == {"events.ndjson.zst"}


def test_a_target_need_not_seek() -> None:
    class Forward(io.RawIOBase):
        written = b""

        def writable(self) -> bool:
            return True

        def write(self, chunk: bytes) -> int:  # type: ignore[override]
            self.written += chunk
            return len(chunk)

    target = Forward()
    write_zip(TREE, target)
    assert target.written == packed(*TREE)


def test_zip64_stands_where_a_number_needs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zip_writer, "_WIDE", 100)
    raw = packed(*TREE)
    assert raw.count(b"PK\6\6") == 1
    assert read(raw) == dict(TREE)
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == dict(TREE)


def test_more_entries_than_16_bits_count() -> None:
    raw = packed(*[(f"{n:05}", b"") for n in range(70_000)])
    with open_zip(raw, where="x.zip") as members:
        assert len(members) == 70_000
    assert zipfile.ZipFile(io.BytesIO(raw)).namelist()[-1] == "69999"
    assert b"PK\6\6" not in packed(*[(str(n), b"") for n in range(100)])


@pytest.mark.parametrize("name", ["../x", "/x", "a\\b", "", "a/", "C:x", "a\0", "x" * 1025])
def test_a_name_that_the_gate_would_refuse_is_not_written(name: str) -> None:
    with pytest.raises(HostileRecording, match="name"):
        packed((name, b""))


@pytest.mark.parametrize("names", [("a", "a"), ("a", "A"), ("é", "e\u0301"), ("A", "a/b")])
def test_names_that_the_gate_would_refuse_together_are_not_written(names: tuple[str, str]) -> None:
    with pytest.raises(HostileRecording, match=r"the archive to write: entry .* (twice|same|both)"):
        packed(*[(name, b"") for name in names])


def test_a_link_is_not_followed_into_an_archive(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/etc/passwd")
    os.mkfifo(tmp_path / "fifo")
    for name in ("link", "fifo"):
        with pytest.raises(HostileRecording, match="'a' is not a regular file"):
            packed(("a", tmp_path / name))


def test_a_stored_file_that_changes_while_it_is_packed_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.zst"
    path.write_bytes(b"before")
    real = zlib.crc32

    def changing(chunk: bytes, start: int = 0) -> int:
        path.write_bytes(b"afterw")
        return real(chunk, start)

    monkeypatch.setattr(zlib, "crc32", changing)
    with pytest.raises(DamagedRecording, match=r"'a\.zst' changed while it was packed"):
        packed(("a.zst", path))


def test_a_file_that_grows_while_it_is_packed_is_packed_up_to_where_it_was(tmp_path: Path) -> None:
    path = tmp_path / "a.zst"
    path.write_bytes(b"before")
    with zip_writer._packed("a.zst", path, 0) as (header, chunks):
        with path.open("ab") as file:
            file.write(b" and after")
        assert (header.size, b"".join(chunks)) == (6, b"before")


names = st.text(st.sampled_from("abAB./é-"), min_size=1, max_size=6)


@settings(deadline=None)
@given(st.dictionaries(names, st.binary(max_size=100), max_size=5))
def test_whatever_is_written_passes_the_gate(tree: dict[str, bytes]) -> None:
    try:
        raw = packed(*tree.items())
    except HostileRecording:
        return
    # One folder around everything is taken off, and a sole archive opened: put something beside it.
    assert read(packed(*tree.items(), ("zz", b""))) == {**tree, "zz": b""}
    assert packed(*tree.items()) == raw
