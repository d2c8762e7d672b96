"""What the gate lets through: every honest way in which archives and directories are made."""

from __future__ import annotations

import errno
import io
import os
import re
import tempfile
import threading
import zipfile
from pathlib import Path
from typing import IO

import pytest
from zip_builder import (
    DEFLATE,
    FULL,
    STORED,
    ZSTD,
    Made,
    build,
    deflate,
    folder,
    streamed,
    zip64_extra,
)

from bundler.archive import Limits, Members, open_directory, open_zip, spool
from bundler.errors import DamagedRecording, HostileRecording, NotARecording, OutputError

ARCHIVES = Path(__file__).parent / "fixtures" / "archives"
MANIFEST = b'{"format": {"major": 1, "minor": 0}}'


def contents(members: Members) -> dict[str, bytes]:
    with members:
        return dict(members)


def read(raw: bytes) -> dict[str, bytes]:
    return contents(open_zip(raw, where="x.zip"))


@pytest.mark.parametrize("method", [STORED, DEFLATE, ZSTD])
def test_a_member_is_read_whole_by_its_exact_name(method: int) -> None:
    content = b"some content " * 50_000
    assert read(build(Made("tests/a.txt", content, method), Made("b"))) == {
        "tests/a.txt": content,
        "b": b"content",
    }


def test_a_member_is_streamed() -> None:
    content = bytes(range(256)) * 4096
    with (
        open_zip(build(Made("a", content, DEFLATE)), where="x.zip") as members,
        members.open("a") as first,
        members.open("a") as second,
    ):
        assert first.read(1000) == content[:1000]
        assert second.read() == content
        assert first.read() == content[1000:]
        assert first.read() == first.read(1) == b""
        assert members.size("a") == len(content)


def test_an_unknown_member_is_a_key_error() -> None:
    with open_zip(build(Made("a")), where="x.zip") as members:
        assert "b" not in members
        assert members.get("b") is None
        for ask in (members.__getitem__, members.open, members.size):
            with pytest.raises(KeyError):
                ask("b")


def test_membership_reads_nothing() -> None:
    broken = build(Made("a", central={"crc": 1}, local={"crc": 1}))
    with open_zip(broken, where="x.zip") as members:
        assert "a" in members


def test_an_empty_archive_has_no_members() -> None:
    assert read(build()) == {}


def test_directory_entries_are_ignored() -> None:
    assert read(build(Made("a"), folder("sub/"), Made("sub/b"))) == {
        "a": b"content",
        "sub/b": b"content",
    }


def test_a_comment_is_no_junk() -> None:
    assert read(build(Made("a", central={"comment": b"of a"}), comment=b"of all")) == {
        "a": b"content"
    }


def test_names_beyond_ascii_are_utf8_with_and_without_the_flag() -> None:
    assert set(read(build(Made("é", flags=1 << 11), Made("ü")))) == {"é", "ü"}


def test_unknown_extra_fields_are_skipped() -> None:
    made = Made("a", local={"extra": b"UT\x01\x00x"}, central={"extra": b"\0\0\0"})
    assert read(build(made)) == {"a": b"content"}


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("signed", [False, True])
def test_a_streamed_entry_is_accepted(signed: bool, wide: bool) -> None:
    """A CI service zips an upload while it streams it: bit 3, and sizes only behind the data."""
    first = streamed("a", b"hello " * 100, signed=signed, wide=wide)
    last = streamed("b", b"", signed=signed, wide=wide)
    assert read(build(first, last)) == {"a": b"hello " * 100, "b": b""}


def test_a_streamed_entry_may_announce_zip64_sizes() -> None:
    made = streamed("a", b"hello", wide=True)
    made.local |= {"packed": FULL, "size": FULL, "extra": zip64_extra(0, 0)}
    assert read(build(made)) == {"a": b"hello"}


def test_zip64_numbers_are_accepted_wherever_they_may_stand() -> None:
    wide = {"packed": FULL, "size": FULL, "extra": zip64_extra(7, 7)}
    central = wide | {"offset": FULL, "extra": zip64_extra(7, 7, 0)}
    assert read(build(Made("a", local=wide, central=central), zip64=b"")) == {"a": b"content"}
    assert read(build(Made("a", local=wide), zip64=b"extensible")) == {"a": b"content"}
    assert read(build(Made("a"), zip64=b"", records=1)) == {"a": b"content"}


@pytest.mark.parametrize("path", sorted(ARCHIVES.glob("*.zip")), ids=lambda path: path.stem)
def test_what_real_tools_write_is_read(path: Path) -> None:
    assert contents(open_zip(path, where=path.name)) == {
        "manifest.json": MANIFEST + b"\n",
        "tests/empty": b"",
        "tests/é.txt": b"hello hello hello hello hello\n",
    }


def test_what_the_standard_library_writes_is_read() -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as writing:
        writing.writestr("a", b"a" * 5000)
        with writing.open("b", "w", force_zip64=True) as member:
            member.write(b"b" * 5000)
    with zipfile.ZipFile(file, "a") as appending:
        appending.writestr("c", b"c")
    assert read(file.getvalue()) == {"a": b"a" * 5000, "b": b"b" * 5000, "c": b"c"}


# What is wrapped around


def test_a_sole_zip_is_opened_in_its_place() -> None:
    inner = build(Made("manifest.json", MANIFEST))
    assert read(build(streamed("run.zip", inner))) == {"manifest.json": MANIFEST}
    assert read(build(folder("up/"), Made("up/run.ZIP", inner))) == {"manifest.json": MANIFEST}


def test_a_zip_that_is_not_alone_stays_a_member() -> None:
    inner = build(Made("a"))
    assert set(read(build(Made("manifest.json"), Made("store.zip", inner)))) == {
        "manifest.json",
        "store.zip",
    }


def test_a_sole_member_of_another_kind_stays_as_it_is() -> None:
    assert set(read(build(Made("report.xml")))) == {"report.xml"}


def test_a_single_top_folder_is_taken_off() -> None:
    raw = build(Made("run/manifest.json", MANIFEST), Made("run/tests/a"))
    assert set(read(raw)) == {"manifest.json", "tests/a"}
    assert set(read(build(Made("run.zip", raw)))) == {"manifest.json", "tests/a"}


def test_a_top_folder_that_holds_no_file_itself_stays() -> None:
    names = {"test_a/000000000000002a/manifest.json", "test_a/000000000000002a/events.ndjson"}
    assert set(read(build(*[Made(name) for name in sorted(names)]))) == names


def test_two_top_folders_stay() -> None:
    assert set(read(build(Made("a/x"), Made("b/x")))) == {"a/x", "b/x"}
    assert set(read(build(Made("a/x"), Made("b")))) == {"a/x", "b"}


def test_a_member_archive_is_opened_when_asked_for_by_name() -> None:
    store = build(Made("meta/a", method=ZSTD), Made("out/b"))
    portable = build(Made("manifest.json"), Made("store.zip", store))
    with (
        open_zip(build(Made("wrapped.zip", portable)), where="x.zip") as members,
        members.nested("store.zip") as nested,
    ):
        assert nested["meta/a"] == b"content"
        assert nested.where == "x.zip: 'wrapped.zip': 'store.zip'"


def test_a_folder_in_an_archive_that_was_asked_for_by_name_is_no_wrapper() -> None:
    store = build(Made("meta/a"), Made("meta/b"))
    with (
        open_zip(build(Made("manifest.json"), Made("store.zip", store)), where="x.zip") as members,
        members.nested("store.zip") as nested,
    ):
        assert list(nested) == ["meta/a", "meta/b"]


def test_a_member_takes_what_it_has_packed_in_however_many_archives(tmp_path: Path) -> None:
    content = b"content " * 1000
    packed = len(deflate(content))
    inner = build(Made("a", content, DEFLATE), Made("b", bytes(9000)))
    outer = len(deflate(inner))
    with open_zip(inner, where="x.zip") as members:
        assert (members.packed("a"), members.packed("b")) == (packed, 9000)
    with open_zip(build(Made("y.zip", inner, DEFLATE)), where="x.zip") as members:
        assert members.packed("b") == int(9000 * (outer / len(inner))) < 1000
    beside = build(Made("y.zip", inner, DEFLATE), Made("beside"))
    with open_zip(beside, where="x.zip") as members, members.nested("y.zip") as nested:
        assert nested.packed("b") == int(9000 * (outer / len(inner)))
    (tmp_path / "a").write_bytes(content)
    with open_directory(tmp_path) as members:
        assert members.packed("a") == len(content)


# Where it comes from


def test_a_path_is_opened_and_closed(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    path.write_bytes(build(Made("a")))
    with open_zip(path, where="x.zip") as members:
        assert members["a"] == b"content"
    with pytest.raises(ValueError, match="closed"):
        members["a"]


def test_forgotten_members_close_their_file(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    path.write_bytes(build(Made("a")))
    file = path.open("rb")
    with pytest.MonkeyPatch.context() as patching:
        patching.setattr(Path, "open", lambda *_: file)
        members = open_zip(path, where="x.zip")
    assert members["a"] == b"content" and not file.closed
    del members
    assert file.closed


def test_a_stream_stays_its_owners_to_close() -> None:
    stream = io.BytesIO(build(Made("a")))
    with open_zip(stream, where="x.zip") as members:
        assert members["a"] == b"content"
    assert not stream.closed


def test_a_pipe_is_spooled() -> None:
    raw = build(Made("a", b"content" * 100_000))
    assert contents(open_zip(Pipe(raw), where="-")) == {"a": b"content" * 100_000}


def test_a_named_pipe_is_spooled(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    writer = threading.Thread(target=fifo.write_bytes, args=(build(Made("a")),))
    writer.start()
    assert contents(open_zip(fifo, where="fifo")) == {"a": b"content"}
    writer.join()


def test_a_pipe_of_something_else_is_not_spooled() -> None:
    pipe = Pipe(b"x" * 100_000)
    with pytest.raises(NotARecording, match=r"^- is not a zip file$"):
        open_zip(pipe, where="-")
    assert pipe.tell() == 4


def test_a_pipe_is_spooled_up_to_a_limit() -> None:
    with pytest.raises(HostileRecording, match="archive_bytes=1000"):
        open_zip(Pipe(build(Made("a", b"x" * 2000))), where="-", limits=Limits(archive_bytes=1000))
    with pytest.raises(HostileRecording, match="archive_bytes=1000") as caught:
        spool(io.BytesIO(b"x" * 1001), Limits(archive_bytes=1000))
    assert "--limit archive_bytes=" in caught.value.hint
    with spool(io.BytesIO(b"x" * 1000), Limits(archive_bytes=1000)) as file:
        assert len(file.read()) == 1000


def test_what_is_spooled_stays_in_memory_up_to_8_mib_and_no_further() -> None:
    with spool(io.BytesIO(bytes(8 << 20)), Limits()) as file:
        assert file.name is None
    with spool(io.BytesIO(bytes((8 << 20) + 1)), Limits()) as file:
        assert file.name is not None


@pytest.mark.parametrize("raw", [b"", b"PK", b"hello", b"\x7fELF" + bytes(1000)])
def test_no_zip_is_not_a_recording(raw: bytes) -> None:
    with pytest.raises(NotARecording, match=r"x\.zip is not a zip file"):
        open_zip(raw, where="x.zip")


def test_no_file_is_not_a_recording(tmp_path: Path) -> None:
    for path in (tmp_path / "absent.zip", tmp_path):
        with pytest.raises(NotARecording, match="cannot be opened"):
            open_zip(path, where="x.zip")


def test_a_file_that_shrinks_while_it_is_read_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    path.write_bytes(build(Made("a", b"content" * 100_000)))
    with open_zip(path, where="x.zip") as members:
        os.truncate(path, 1000)
        with pytest.raises(DamagedRecording, match="unpacks to"):
            members["a"]


class Failing(io.BytesIO):
    """A file on a disk that fails."""

    failing = False

    def read(self, size: int | None = -1) -> bytes:
        if self.failing:
            raise OSError(errno.EIO, "Input/output error")
        return super().read(size)


def test_a_disk_that_fails_is_damage() -> None:
    file = Failing(build(Made("a")))
    with open_zip(file, where="x.zip") as members:
        file.failing = True
        with pytest.raises(
            DamagedRecording, match=r"x\.zip: 'a' cannot be read: Input/output error"
        ):
            members["a"]
        with pytest.raises(DamagedRecording, match=r"x\.zip cannot be read: Input/output error"):
            open_zip(file, where="x.zip")


def test_what_is_nested_too_deep_leaves_no_temporary_file(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[IO[bytes]] = []

    def noted(max_size: int) -> IO[bytes]:
        made.append(io.BytesIO())
        return made[-1]

    monkeypatch.setattr(tempfile, "SpooledTemporaryFile", noted)
    wrapped = build(Made("y.zip", build(Made("z.zip", build(Made("a"))))))
    with pytest.raises(HostileRecording) as caught:
        open_zip(wrapped, where="x.zip")
    assert [file.closed for file in made] == [True], caught.value


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is full")
def test_a_full_temporary_directory_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(max_size: int) -> IO[bytes]:
        return Path("/dev/full").open("r+b", buffering=0)

    monkeypatch.setattr(tempfile, "SpooledTemporaryFile", full)
    with pytest.raises(OutputError, match=r"- does not fit .*: No space left on device") as caught:
        open_zip(Pipe(build(Made("a"))), where="-")
    assert "TMPDIR" in caught.value.hint


# Directories


def test_a_directory_is_read_by_relative_name(tmp_path: Path) -> None:
    (tmp_path / "tests" / "a").mkdir(parents=True)
    (tmp_path / "manifest.json").write_bytes(MANIFEST)
    (tmp_path / "tests" / "a" / "é.txt").write_bytes(b"hello")
    with open_directory(tmp_path) as members:
        assert dict(members) == {"manifest.json": MANIFEST, "tests/a/é.txt": b"hello"}
        assert members.size("tests/a/é.txt") == 5
        with members.open("tests/a/é.txt") as stream:
            assert stream.read(2) == b"he"
        with pytest.raises(KeyError):
            members.open("tests/a")


def test_a_directory_is_taken_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "top").mkdir()
    (tmp_path / "top" / "x.zip").write_bytes(build(Made("a")))
    assert list(open_directory(tmp_path)) == ["top/x.zip"]


def test_a_link_to_the_directory_itself_is_the_users_own(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "a").write_bytes(b"a")
    (tmp_path / "latest").symlink_to("run")
    assert contents(open_directory(tmp_path / "latest")) == {"a": b"a"}


def test_locks_and_temporary_files_are_ignored(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    for name in ("run.lock", "manifest.json.abc.tmp", "sub/x.tmp", "sub/run.lock", "tmp", "a.lock"):
        (tmp_path / name).write_bytes(b"")
    assert list(open_directory(tmp_path)) == ["a.lock", "tmp"]


def test_a_directory_may_grow_while_it_is_read(tmp_path: Path) -> None:
    log = tmp_path / "events.ndjson"
    log.write_bytes(b"one\n")
    with open_directory(tmp_path, limits=Limits(total_bytes=8)) as members:
        for content in (b"one\n", b"one\ntwo\n", b"one\ntwo\n", b"one\ntwo\n"):
            log.write_bytes(content)
            (tmp_path / "later").write_bytes(b"")
            assert members["events.ndjson"] == content
        assert list(members) == ["events.ndjson"]
        log.write_bytes(b"x" * 9)
        with pytest.raises(HostileRecording, match="total_bytes=8"):
            members["events.ndjson"]


def test_a_member_that_is_gone_is_damage(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"")
    with open_directory(tmp_path, where="run") as members:
        (tmp_path / "a").unlink()
        with pytest.raises(DamagedRecording, match="run: 'a' cannot be read: No such file"):
            members["a"]


def test_no_directory_is_not_a_recording(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for name in ("absent", "file"):
        with pytest.raises(NotARecording, match="is not a directory"):
            open_directory(tmp_path / name)


class Pipe(io.BytesIO):
    """A stream that only goes forward."""

    def seekable(self) -> bool:
        return False

    def seek(self, *_: int) -> int:
        raise OSError(errno.ESPIPE, "Illegal seek")


class Dripping(io.RawIOBase):
    """A pipe from which one byte comes at a time."""

    def __init__(self, content: bytes) -> None:
        self._content = io.BytesIO(content)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        piece = self._content.read(1)
        buffer[: len(piece)] = piece
        return len(piece)


def test_a_pipe_that_comes_in_single_bytes_is_read_whole() -> None:
    content = build(Made("a", b"content"))
    with open_zip(Dripping(content), where="x.zip") as members:  # type: ignore[arg-type]
        assert members["a"] == b"content"
    with pytest.raises(NotARecording, match="is not a zip file"):
        open_zip(Dripping(b"PK\3"), where="x.zip")  # type: ignore[arg-type]


def test_a_member_archive_of_a_directory_is_opened_once_and_no_deeper(tmp_path: Path) -> None:
    inner = build(Made("b.zip", build(Made("c"))))
    (tmp_path / "a.zip").write_bytes(build(Made("in.zip", inner), Made("beside")))
    with open_directory(tmp_path) as members, members.nested("a.zip") as nested:
        assert nested.where == f"{tmp_path}: 'a.zip'"
        with pytest.raises(HostileRecording) as caught:
            nested.nested("in.zip")
        assert caught.value.message == f"{nested.where}: 'in.zip' is an archive nested too deep"


def test_a_message_opens_with_where_it_is(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * 20)
    limits = Limits(archive_bytes=10)
    with pytest.raises(HostileRecording, match=f"^{re.escape(str(tmp_path))}: 'a' "):
        open_directory(tmp_path, limits=Limits(member_bytes=10))
    with pytest.raises(HostileRecording, match=r"^the stream: over the limit archive_bytes"):
        spool(io.BytesIO(b"x" * 20), limits)
    with pytest.raises(HostileRecording, match=r"^x\.zip: 'y\.zip': over the limit archive_bytes"):
        open_zip(build(Made("y.zip", build(Made("a")))), where="x.zip", limits=limits)
    wrapped = build(Made("y.zip", build(Made("z.zip", build(Made("a"))))))
    with pytest.raises(HostileRecording, match=r"^x.zip: 'y.zip': 'z.zip' is an archive nested"):
        open_zip(wrapped, where="x.zip")


def test_what_is_refused_in_a_member_is_told_in_full(tmp_path: Path) -> None:
    limits = Limits(whole_bytes=3)
    with open_zip(build(Made("a", b"long")), where="x.zip", limits=limits) as members:
        with pytest.raises(HostileRecording) as caught:
            members["a"]
        whole = "x.zip: 'a', read into memory as a whole: over the limit whole_bytes=3"
        assert caught.value.message == whole
    nested = build(Made("in.zip", build(Made("../a"))), Made("beside"))
    with open_zip(nested, where="x.zip") as members:
        with pytest.raises(HostileRecording, match=r"^x\.zip: 'in\.zip': "):
            members.nested("in.zip")
        assert members.where == "x.zip"
