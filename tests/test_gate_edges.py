"""The edges of the gate: the last thing that is let in, and the first that is not."""

from __future__ import annotations

import contextlib
import io
import os
import stat
import struct
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from bundler import archive
from bundler.directory_reader import open_regular
from bundler.errors import DamagedRecording, HostileRecording, UnreadableRecording
from bundler.limits import Limits
from bundler.zip_records import looks_like_zip


def a_zip(**members: bytes) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as made:
        for name, content in members.items():
            made.writestr(name, content)
    return target.getvalue()


def opened(content: bytes) -> dict[str, bytes]:
    with archive.open_zip(io.BytesIO(content), where="it") as members:
        return {name: members[name] for name in members}


def refusal(content: bytes) -> UnreadableRecording:
    with pytest.raises(UnreadableRecording) as caught:
        opened(content)
    return caught.value


# --- zip ---------------------------------------------------------------------------------------


def test_a_zip_is_known_by_its_first_four_bytes() -> None:
    assert looks_like_zip(b"PK\3\4and more")
    assert looks_like_zip(b"PK\5\6and more")
    assert not looks_like_zip(b"PK\1\2")
    assert not looks_like_zip(b"PK")


def test_a_member_as_large_as_the_limit_is_read_whole() -> None:
    limits = Limits(whole_bytes=3)
    with archive.open_zip(a_zip(a=b"abc", b=b"abcd"), where="it", limits=limits) as members:
        assert members["a"] == b"abc"
        with pytest.raises(HostileRecording, match="whole_bytes=3"):
            members["b"]


@pytest.mark.parametrize("gone", range(1, 19))
def test_a_last_record_that_is_cut_is_no_last_record(gone: int) -> None:
    assert isinstance(refusal(a_zip(a=b"x")[:-gone]), UnreadableRecording)


@pytest.mark.parametrize("field", range(4))
def test_one_part_of_a_split_archive_is_refused(field: int) -> None:
    content = a_zip(a=b"x")
    numbers = list(struct.unpack("<4H", content[-18:-10]))
    numbers[field] += 1
    told = refusal(content[:-18] + struct.pack("<4H", *numbers) + content[-10:])
    assert isinstance(told, HostileRecording)
    assert "is one part of an archive that is split over several files" in told.message


def wide(content: bytes, sign: bytes = b"PK\6\6", moved: int = 0) -> bytes:
    """The same archive with a zip64 end record and its locator, as zip tools write them."""
    _, _, _, _, entries, length, offset, _ = struct.unpack("<4s4H2LH", content[-22:])
    at = len(content) - 22
    record = struct.pack("<4sQ2H2L4Q", sign, 44, 45, 45, 0, 0, entries, entries, length, offset)
    locator = struct.pack("<4sLQL", b"PK\6\7", 0, at + moved, 1)
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    return content[:at] + record + locator + end


def test_a_zip64_end_record_is_read_where_its_locator_says() -> None:
    assert opened(wide(a_zip(a=b"x"))) == {"a": b"x"}


@pytest.mark.parametrize(("sign", "moved"), [(b"PK\6\5", 0), (b"PK\6\6", 1), (b"PK\6\6", 1 << 40)])
def test_a_zip64_end_record_that_is_elsewhere_is_damage(sign: bytes, moved: int) -> None:
    told = refusal(wide(a_zip(a=b"x"), sign, moved))
    assert isinstance(told, DamagedRecording)
    assert told.message == "it: the zip64 end record is not where its locator says"


# --- directories -------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform != "linux", reason="flags that not every system has")
def test_nothing_is_opened_that_is_followed_waited_for_or_becomes_the_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "file").write_text("x")
    members = archive.open_directory(tmp_path)
    asked: dict[str, int] = {}
    real = os.open

    def noting(path: str, flags: int, dir_fd: int | None = None) -> int:
        asked[os.fspath(path)] = flags
        return real(path, flags, dir_fd=dir_fd)

    monkeypatch.setattr(os, "open", noting)
    assert members["sub/file"] == b"x"
    never = os.O_NONBLOCK | os.O_NOCTTY
    assert asked == {
        str(tmp_path): os.O_RDONLY | os.O_DIRECTORY | never,  # the way to it is the user's own
        "sub": os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | never,
        "file": os.O_RDONLY | os.O_NOFOLLOW | never,
    }


def test_as_many_entries_as_the_limit_are_let_in(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / name).write_text("x")
    assert len(archive.open_directory(tmp_path, limits=Limits(entries=3))) == 3
    with pytest.raises(HostileRecording, match="3 entries"):
        archive.open_directory(tmp_path, limits=Limits(entries=2))


def test_a_name_as_long_as_the_limit_is_let_in(tmp_path: Path) -> None:
    (tmp_path / "abcde").write_text("x")
    assert list(archive.open_directory(tmp_path, limits=Limits(name_bytes=5))) == ["abcde"]
    with pytest.raises(
        HostileRecording, match=r"'abcde' has a long name: over the limit name_bytes"
    ):
        archive.open_directory(tmp_path, limits=Limits(name_bytes=4))


@pytest.mark.parametrize(
    ("folder", "error", "told"),
    [
        ("shut", PermissionError(13, "Permission denied"), "it: 'shut/' cannot be listed: Per"),
        ("shut", FileNotFoundError(2, "No such file"), "it: 'shut/' cannot be listed: No such"),
        ("run", PermissionError(13, "Permission denied"), "it cannot be listed: Permission denied"),
    ],
)
def test_a_folder_that_cannot_be_listed_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str, error: OSError, told: str
) -> None:
    (tmp_path / "run" / "shut").mkdir(parents=True)
    real = os.scandir

    def refusing(path: Path) -> object:
        if Path(path).name == folder:
            raise error
        return real(path)

    monkeypatch.setattr(os, "scandir", refusing)
    with pytest.raises(DamagedRecording) as caught:
        archive.open_directory(tmp_path / "run", where="it")
    assert caught.value.message.startswith(told)


def test_what_would_be_refused_where_tests_are_at_work_is_passed_over_and_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tests" / "a" / "shut").mkdir(parents=True)
    (tmp_path / "tests" / "a" / "link").symlink_to("/")
    (tmp_path / "tests" / "a" / "shut" / "unseen").write_text("x")
    (tmp_path / "tests" / "b").write_text("abc")
    (tmp_path / "log").write_text("x")
    real = os.scandir

    def refusing(path: Path) -> object:
        if Path(path).name == "shut":
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", refusing)
    unsettled = archive.Unsettled("tests")
    members = archive.open_directory(tmp_path, where="it", unsettled=unsettled)
    assert dict(members) == {"log": b"x", "tests/b": b"abc"}
    ending = "; passed over while the run is recorded"
    assert unsettled.passed_over == [
        f"'tests/a/link' is a link, a device or another special file{ending}",
        f"'tests/a/shut/' cannot be listed: Permission denied{ending}",
    ]
    elsewhere = archive.Unsettled("tests/b")
    with pytest.raises(HostileRecording, match="'tests/a/link' is a link"):
        archive.open_directory(tmp_path, unsettled=elsewhere)
    assert elsewhere.passed_over == []


def test_the_folder_where_tests_are_at_work_may_itself_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "tests").symlink_to("/")
    unsettled = archive.Unsettled("tests")
    assert list(archive.open_directory(tmp_path, unsettled=unsettled)) == []
    assert len(unsettled.passed_over) == 1


def test_where_no_test_is_at_work_nothing_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "None").mkdir()
    (tmp_path / "None" / "link").symlink_to("/")
    with pytest.raises(HostileRecording, match="'None/link' is a link"):
        archive.open_directory(tmp_path)


def test_a_file_that_is_removed_while_its_folder_is_listed_is_no_member(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").write_text("x")
    (tmp_path / "removed").write_text("x")
    real = os.scandir

    @contextlib.contextmanager
    def removing(path: Path) -> Iterator[Iterator[os.DirEntry[str]]]:
        with real(path) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
            (tmp_path / "removed").unlink()
            yield iter(found)

    monkeypatch.setattr(os, "scandir", removing)
    assert list(archive.open_directory(tmp_path)) == ["here"]


def test_a_member_of_a_directory_as_large_as_the_limit_is_let_in(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("abc")
    assert archive.open_directory(tmp_path, limits=Limits(member_bytes=3))["a"] == b"abc"
    with pytest.raises(HostileRecording) as caught:
        archive.open_directory(tmp_path, where="it", limits=Limits(member_bytes=2))
    assert caught.value.message == "it: 'a' has 3 bytes: over the limit member_bytes=2"


def test_folders_and_ignored_files_are_not_held_to_the_limit_of_a_member(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a").write_text("abc")
    (tmp_path / "run.lock").write_text("x" * 10)
    assert list(archive.open_directory(tmp_path, limits=Limits(member_bytes=3))) == ["sub/a"]


def test_a_name_that_is_refused_in_a_directory_is_told_with_its_problem(tmp_path: Path) -> None:
    (tmp_path / "a\\b").write_text("x")
    with pytest.raises(HostileRecording) as caught:
        archive.open_directory(tmp_path, where="it")
    assert caught.value.message == r"it: 'a\\b' has a backslash in its name"


@pytest.mark.skipif(sys.platform != "linux", reason="open descriptors are counted in /proc")
def test_reading_leaves_no_descriptor_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "one" / "two").mkdir(parents=True)
    (tmp_path / "one" / "two" / "file").write_text("x")
    (tmp_path / "waits").write_text("x")
    regular = (tmp_path / "waits").stat()
    members = archive.open_directory(tmp_path)
    before = sorted(os.listdir("/proc/self/fd"))  # noqa: PTH208
    for _ in range(3):
        assert members["one/two/file"] == b"x"
    (tmp_path / "one" / "two" / "file").unlink()
    with pytest.raises(DamagedRecording):
        members["one/two/file"]
    (tmp_path / "waits").unlink()
    os.mkfifo(tmp_path / "waits")
    with monkeypatch.context() as patching:
        patching.setattr(os, "stat", lambda *_, **__: regular)
        with pytest.raises(HostileRecording, match="is not a regular file"):
            members["waits"]
    assert sorted(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


@pytest.mark.parametrize(("attributes", "is_plain"), [(0x21, True), (0x400, False), (0x421, False)])
def test_a_reparse_point_of_windows_is_no_regular_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, attributes: int, is_plain: bool
) -> None:
    (tmp_path / "file").write_text("x")
    info = SimpleNamespace(st_mode=stat.S_IFREG | 0o644, st_file_attributes=attributes)
    monkeypatch.setattr(os, "stat", lambda *_, **__: info)
    if is_plain:
        os.close(open_regular(tmp_path / "file", "it"))
        return
    with pytest.raises(HostileRecording, match=r"^it is not a regular file$"):
        open_regular(tmp_path / "file", "it")
