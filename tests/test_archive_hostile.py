"""What the gate refuses: every lie an archive or a directory can tell, each made byte by byte."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from zip_builder import (
    DEFLATE,
    FULL,
    STREAMED,
    ZSTD,
    Made,
    build,
    deflate,
    descriptor,
    folder,
    streamed,
    zip64_extra,
)

from bundler import directory_reader
from bundler.archive import Limits, open_directory, open_zip
from bundler.errors import DamagedRecording, HostileRecording, UnreadableRecording, UsageError
from bundler.limits import parse_limits


def refused(
    raw: bytes,
    rule: str,
    error: type[UnreadableRecording] = HostileRecording,
    limits: Limits | None = None,
) -> str:
    """Open an archive and read all of it; assert that it is refused so, and return the hint."""
    with (
        pytest.raises(UnreadableRecording, match=rule) as caught,
        open_zip(raw, where="x.zip", limits=limits) as members,
    ):
        for name in members:
            _ = members[name]
    assert type(caught.value) is error
    assert caught.value.message.startswith("x.zip")
    return caught.value.hint


# Every byte belongs to exactly one thing


def test_overlapping_entries_are_refused() -> None:
    a, b = Made("a", b"x" * 100), Made("b", b"x" * 100)
    b.central["offset"] = 50
    refused(build(a, b), "'a' overlaps what stands behind it")


def test_one_entry_under_two_names_is_refused() -> None:
    refused(build(Made("a"), Made("b", central={"offset": 0})), "(another name|overlaps)")


def test_an_entry_inside_the_data_of_another_is_refused() -> None:
    """Quoting: the local header of each entry is data of the one before."""
    inner = build(Made("b", b"kernel"))[: 30 + 1 + 6]
    outer = Made("a", inner)
    record = Made("b", b"kernel", packed=b"kernel", central={"offset": 31})
    raw = build(outer, record)
    refused(raw, "'a' overlaps what stands behind it")


def test_an_entry_that_runs_into_the_directory_is_refused() -> None:
    # The first data is as long as it says only together with the directory.
    made = Made("a", b"x", local={"packed": 9, "size": 9}, central={"packed": 9, "size": 9})
    refused(build(made), "'a' overlaps what stands behind it")


def test_junk_before_the_archive_is_refused() -> None:
    raw = build(Made("a"))
    refused(b"#!/bin/sh\n" + raw, "stand before the archive")


def test_junk_before_the_first_entry_is_refused() -> None:
    refused(build(Made("a"), head=b"junk"), "'a' stands behind bytes that belong to no entry")


def test_junk_between_entries_is_refused() -> None:
    raw = build(Made("a"), Made("b", before=b"junk"))
    refused(raw, "'b' stands behind bytes that belong to no entry")


def test_junk_before_the_directory_is_refused() -> None:
    refused(build(Made("a"), before_directory=b"junk"), "stand before its directory")


def test_junk_in_the_directory_is_refused() -> None:
    refused(build(Made("a"), Made("b"), records=1), "holds more than the records it counts")


def test_junk_behind_the_archive_is_refused() -> None:
    refused(build(Made("a"), tail=b"junk"), "4 bytes stand behind the archive")


def test_junk_between_the_end_records_is_refused() -> None:
    raw = build(Made("a"), zip64=b"")
    at = raw.index(b"PK\6\7")
    refused(raw[:at] + b"junk" + raw[at:], "stand in its end records")


def test_junk_behind_the_data_of_an_entry_is_refused() -> None:
    made = Made("a", b"hello", DEFLATE, packed=deflate(b"hello") + b"junk")
    refused(build(made), "'a' hides bytes behind its data")


def test_two_archives_in_a_row_are_refused() -> None:
    refused(build(Made("a")) + build(Made("b")), "stand before the archive")


def test_an_archive_in_the_comment_of_another_is_refused() -> None:
    refused(build(Made("a"), comment=build(Made("b"))), "stand before the archive")


def test_a_hidden_archive_with_corrected_offsets_is_refused() -> None:
    refused(build(Made("b"), head=build(Made("a"))), "'b' stands behind bytes")


# Names


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("../x", "'..' in its name"),
        ("a/../../x", "'..' in its name"),
        ("a/..", "'..' in its name"),
        ("./x", "'.' in its name"),
        ("a//b", "'' in its name"),
        ("/abs", "an absolute name"),
        ("//server/share", "an absolute name"),
        ("C:x", "an absolute name"),
        ("c:/x", "an absolute name"),
        ("a\\b", "a backslash"),
        ("a\0b", "a control character"),
        ("a\x1b[2Jb", "a control character"),
        ("a\nb", "a control character"),
        ("a\x7f", "a control character"),
        ("a\x9bb", "a control character"),
        ("", "an empty name"),
        ("/", "an empty name"),
        ("../", "'..' in its name"),
        (b"\xff\xfe", "a name that is not UTF-8"),
        (b"\xed\xa0\x80", "a name that is not UTF-8"),
        ("é" * 600, "name_bytes=1024"),
    ],
)
def test_a_name_that_could_lead_elsewhere_is_refused(name: bytes | str, rule: str) -> None:
    refused(build(Made("ok"), Made(name)), rule)


def test_the_message_shows_a_name_without_its_escapes() -> None:
    with pytest.raises(HostileRecording) as caught:
        open_zip(build(Made("\x1b]0;title\x07\u202e" + "x" * 500)), where="x.zip")
    assert "'\\x1b]0;title\\x07\\u202exxx" in caught.value.message
    assert len(caught.value.message) < 200


def test_a_name_twice_is_refused() -> None:
    for name in ("a", "manifest.json"):
        refused(build(Made(name), Made(name, b"other")), f"'{name}' is there twice")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Manifest.json", "manifest.JSON"),
        ("tests/A/x", "tests/a/X"),
        ("\u00e9", "e\u0301"),
        ("\u00c9", "e\u0301"),
        ("stra\u00dfe", "STRASSE"),
        ("\u212a", "k"),
    ],
)
def test_names_that_are_one_on_some_file_systems_are_refused(one: str, other: str) -> None:
    refused(build(Made(one), Made(other)), "is the same name as")


def test_a_name_that_is_a_file_and_a_directory_is_refused() -> None:
    refused(build(Made("a"), Made("A/b/c")), "'a' is both a file and a directory")
    refused(build(Made("a"), folder("a/")), "'a/' is the same name as 'a'")


# A local header that disagrees


@pytest.mark.parametrize(
    ("lie", "rule"),
    [
        ({"name": b"b"}, "another name in its local header"),
        ({"name": b"aa"}, "another name in its local header"),
        ({"method": DEFLATE}, "contradicts its local header"),
        ({"flags": 1}, "contradicts its local header"),
        ({"flags": STREAMED}, "contradicts its local header"),
        ({"flags": 1 << 11}, "contradicts its local header"),
        ({"crc": 0}, "contradicts its local header"),
        ({"packed": 0}, "contradicts its local header"),
        ({"size": 8}, "contradicts its local header"),
        (
            {"packed": FULL, "size": FULL, "extra": zip64_extra(7, 8)},
            "contradicts its local header",
        ),
        (
            {"packed": FULL, "size": FULL, "extra": zip64_extra(7, 7) * 2},
            "zip64 field that can be read in two ways",
        ),
    ],
)
def test_a_local_header_that_disagrees_is_refused(lie: dict[str, object], rule: str) -> None:
    refused(build(Made("a", local=lie)), rule)


def test_a_data_descriptor_that_disagrees_is_refused() -> None:
    made = streamed("a", b"hello")
    made.descriptor = descriptor(b"jello", len(made.data))
    refused(build(made), "contradicts its data descriptor")


def test_a_data_descriptor_of_another_form_is_refused() -> None:
    for junk in (b"", b"PK\7\x08", b"XX\7\x08" + bytes(12), bytes(13)):
        made = streamed("a", b"hello")
        made.descriptor = junk
        refused(build(made), "no data descriptor")


def test_an_entry_without_a_local_header_is_damaged() -> None:
    raw = build(Made("a"))
    refused(b"PK\3\0" + raw[4:], "no local header", DamagedRecording)


# What an entry may be


@pytest.mark.parametrize("kind", [0o120000, 0o010000, 0o020000, 0o060000, 0o140000, 0o040000])
def test_a_link_or_a_device_is_refused(kind: int) -> None:
    made = Made("a", b"/etc/passwd", attributes=(kind | 0o644) << 16)
    refused(build(made), "'a' is a link, a device or another special file")


@pytest.mark.parametrize("attribute", [0x40, 0x400])
def test_a_link_or_a_device_of_windows_is_refused(attribute: int) -> None:
    refused(build(Made("a", attributes=attribute)), "is a link or a device of Windows")


def test_a_directory_that_holds_bytes_is_refused() -> None:
    refused(build(Made("a/", b"x", attributes=0)), "is a directory that holds bytes")


@pytest.mark.parametrize("bit", [0, 5, 6, 13])
def test_an_encrypted_entry_is_refused(bit: int) -> None:
    refused(build(Made("a", flags=1 << bit)), "is encrypted or patched")


@pytest.mark.parametrize("method", [1, 6, 9, 12, 14, 95, 99])
def test_another_method_is_refused(method: int) -> None:
    refused(build(Made("a", method=method)), f"is packed by method {method},")


def test_a_stored_entry_with_two_sizes_is_refused() -> None:
    lie = {"size": 8}
    refused(build(Made("a", local=lie, central=lie)), "declares two different sizes")


def test_a_split_archive_is_refused() -> None:
    refused(build(Made("a"), disk=1), "split over several files")
    refused(build(Made("a", central={"disk": 1})), "in another file of a split archive")
    raw = bytearray(build(Made("a"), zip64=b""))
    raw[raw.index(b"PK\6\7") + 16] = 2
    refused(bytes(raw), "split over several files")


def test_end_records_that_contradict_each_other_are_refused() -> None:
    refused(build(Made("a"), zip64=b"", records=7), "two end records contradict each other")


# Sizes


def test_a_member_that_unpacks_to_more_than_it_declares_is_refused() -> None:
    for method in (DEFLATE, ZSTD):
        lie = {"size": 10}
        made = Made("a", bytes(1 << 20), method, local=lie, central=lie)
        refused(build(made), "unpacks to more than the 10 bytes declared")


def test_a_member_that_unpacks_to_less_than_it_declares_is_damaged() -> None:
    for method in (DEFLATE, ZSTD):
        lie = {"size": 10}
        made = Made("a", b"short", method, local=lie, central=lie)
        refused(build(made), "unpacks to 5 bytes of 10", DamagedRecording)


def test_a_declared_size_over_the_limit_is_refused_before_anything_is_read() -> None:
    wide = {"size": FULL, "extra": zip64_extra(64 << 30)}
    raw = build(Made("a", method=DEFLATE, local=wide, central=wide))
    hint = refused(raw, "declares 68719476736 bytes: over the limit member_bytes=2147483648")
    assert "--limit member_bytes=68719476736" in hint


def test_a_member_over_its_limit_is_refused() -> None:
    refused(build(Made("a", b"x" * 11)), "member_bytes=10", limits=Limits(member_bytes=10))


def test_all_members_over_their_limit_are_refused() -> None:
    raw = build(Made("a", b"x" * 60), Made("b", b"x" * 60))
    hint = refused(raw, "total_bytes=100", limits=Limits(total_bytes=100))
    assert hint.endswith("raise the limit with `--limit total_bytes=120`.")


def test_too_large_a_member_is_streamed_or_refused() -> None:
    limits = Limits(whole_bytes=10)
    with open_zip(build(Made("a", b"x" * 11)), where="x.zip", limits=limits) as members:
        with pytest.raises(HostileRecording, match="whole_bytes=10"):
            members["a"]
        with members.open("a") as stream:
            assert stream.read() == b"x" * 11
    broken = build(Made("a", b"x" * 11, DEFLATE, packed=b"\xff" * 9))
    refused(broken, "whole_bytes=10", limits=limits)


def test_a_ratio_over_the_limit_is_refused() -> None:
    limits = Limits(ratio_free_bytes=1000)
    one = Made("a", bytes(100_000), DEFLATE)
    refused(build(one), r"'a' declares 100000 bytes: over the limit ratio=200", limits=limits)
    many = [Made(f"a{n}", bytes(1000), DEFLATE) for n in range(10)]
    refused(
        build(*many),
        "declares 10000 bytes: over the limit ratio=20",
        limits=Limits(20, ratio=20, ratio_free_bytes=1000),
    )
    refused_none = Limits(ratio_free_bytes=100_000)
    with open_zip(build(one), where="x.zip", limits=refused_none) as members:
        assert len(members["a"]) == 100_000


def test_too_many_entries_are_refused() -> None:
    raw = build(*[Made(str(n)) for n in range(11)])
    hint = refused(raw, "11 entries: over the limit entries=10", limits=Limits(entries=10))
    assert "--limit entries=11" in hint


def test_a_count_of_entries_that_lies_is_refused() -> None:
    raw = build(*[Made(str(n)) for n in range(11)], records=5)
    refused(raw, "holds more than the records it counts", limits=Limits(entries=10))
    refused(build(Made("a"), records=60_000), "fewer records than it counts", DamagedRecording)


def test_a_directory_over_its_limit_is_refused() -> None:
    made = Made("a", central={"comment": b"x" * 5000})
    refused(build(made), "directory_bytes=4000", limits=Limits(directory_bytes=4000))


def test_offsets_beyond_every_file_are_damage() -> None:
    wide = {"offset": FULL, "extra": zip64_extra((1 << 64) - 1)}
    refused(build(Made("a", central=wide)), "stands behind bytes")
    raw = bytearray(build(Made("a"), zip64=b""))
    at = raw.index(b"PK\6\7")
    raw[at + 8 : at + 16] = b"\xff" * 8
    refused(bytes(raw), "not where its locator says", DamagedRecording)


def test_missing_zip64_sizes_are_damage() -> None:
    refused(build(Made("a", central={"size": FULL})), "lacks its zip64 sizes", DamagedRecording)


# zstd


def test_a_zstd_window_over_the_limit_is_refused() -> None:
    parameters = zstandard.ZstdCompressionParameters.from_level(3, window_log=24)
    packer = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    content = os.urandom(100) * 100_000
    made = Made("a", content, ZSTD, packed=packer.compress(content) + packer.flush())
    refused(build(made), "asks for a zstd window: over the limit window_bytes=8388608")


def test_a_zstd_frame_that_declares_64_gib_is_refused() -> None:
    single_segment = struct.pack("<4sBQ", b"\x28\xb5\x2f\xfd", 0xE0, 64 << 30)
    made = Made("a", b"x" * 10, ZSTD, packed=single_segment + b"\x01\x00\x00")
    refused(build(made), "window_bytes")


def test_a_zstd_frame_that_needs_a_dictionary_is_refused() -> None:
    samples = [f"line {n} of output {n * n}\n".encode() * 20 for n in range(1000)]
    dictionary = zstandard.train_dictionary(4096, [*samples])
    packed = zstandard.ZstdCompressor(dict_data=dictionary).compress(samples[7])
    refused(build(Made("a", samples[7], ZSTD, packed=packed)), "asks for a zstd dictionary")


def test_a_cut_zstd_frame_is_damaged() -> None:
    content = os.urandom(1000)
    packed = zstandard.ZstdCompressor().compress(content)[:-500]
    refused(build(Made("a", content, ZSTD, packed=packed)), "of 1000", DamagedRecording)


def test_bytes_that_are_no_zstd_are_damaged() -> None:
    refused(build(Made("a", method=ZSTD, packed=b"junk" * 5)), "is damaged", DamagedRecording)


# Damage


def test_a_checksum_that_differs_is_damage() -> None:
    lie = {"crc": 1}
    made = Made("a", local=lie, central=lie)
    refused(build(made), "another checksum", DamagedRecording)
    with open_zip(build(made), where="x.zip") as members, members.open("a") as stream:
        assert stream.read(3) == b"con"
        with pytest.raises(DamagedRecording, match="another checksum"):
            stream.read()


def test_data_that_does_not_inflate_is_damage() -> None:
    refused(
        build(Made("a", b"x" * 50, DEFLATE, packed=b"\xff" * 9)), "is damaged", DamagedRecording
    )
    cut = deflate(b"x" * 50)[:-1]
    refused(build(Made("a", b"x" * 50, DEFLATE, packed=cut)), "is cut", DamagedRecording)


def test_a_cut_archive_is_damage() -> None:
    raw = build(Made("a", b"x" * 1000), comment=b"comment")
    refused(raw[:500], "its directory is missing", DamagedRecording)
    refused(raw[:-3], "cut inside its last record", DamagedRecording)
    refused(raw[500:], "its directory is not where its end says", DamagedRecording)


def test_a_broken_directory_is_damage() -> None:
    raw = build(Made("a"))
    refused(raw.replace(b"PK\1\2", b"PK\1\3"), "broken at byte 0", DamagedRecording)


# Nesting


def test_an_archive_in_an_archive_in_an_archive_is_refused() -> None:
    twice = build(Made("b.zip", build(Made("c.zip", build(Made("a"))))))
    refused(twice, "'c.zip' is an archive nested too deep")


def test_a_member_archive_is_nested_one_level() -> None:
    deep = build(Made("x"), Made("inner.zip", build(Made("y"), Made("z"))))
    with (
        open_zip(build(Made("x"), Made("store.zip", deep)), where="x.zip") as members,
        members.nested("store.zip") as nested,
        pytest.raises(HostileRecording, match=r"'inner\.zip' is an archive nested too deep"),
    ):
        nested.nested("inner.zip")


def test_a_nested_archive_is_on_the_same_budget() -> None:
    raw = build(Made("b.zip", build(Made("a", bytes(1000), DEFLATE))))
    refused(raw, r"x\.zip: 'b\.zip' unpacks to", limits=Limits(total_bytes=1000))
    many = build(Made("b.zip", build(*[Made(str(n)) for n in range(10)])))
    refused(many, r"x\.zip: 'b\.zip' has 11 entries", limits=Limits(entries=10))
    with (
        open_zip(
            build(Made("x"), Made("b.zip", raw)), where="x.zip", limits=Limits(entries=2)
        ) as m,
        pytest.raises(HostileRecording, match="3 entries"),
    ):
        m.nested("b.zip")


def test_a_nested_archive_that_is_none_is_no_recording() -> None:
    with pytest.raises(UnreadableRecording, match=r"x\.zip: 'b\.zip' is not a zip file"):
        open_zip(build(Made("b.zip", b"no zip")), where="x.zip")


# Directories


def refused_directory(path: Path, rule: str, limits: Limits | None = None) -> None:
    with pytest.raises(HostileRecording, match=rule):
        open_directory(path, where="run", limits=limits)


def test_a_symlink_below_a_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "link").symlink_to("/etc/passwd")
    refused_directory(tmp_path, "run: 'sub/link' is a link, a device or another special file")


def test_a_symlink_to_a_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "loop").symlink_to(tmp_path)
    refused_directory(tmp_path / "run", "'loop' is a link")


def test_a_link_is_refused_under_an_ignored_name_too(tmp_path: Path) -> None:
    (tmp_path / "x.tmp").symlink_to("/etc/passwd")
    refused_directory(tmp_path, r"'x\.tmp' is a link")


def test_a_fifo_is_refused_and_never_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    refused_directory(tmp_path, "'fifo' is a link, a device or another special file")


def test_a_socket_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket")
        refused_directory(tmp_path, "'socket' is a link, a device or another special file")


@pytest.mark.skipif(getattr(os, "geteuid", int)() != 0, reason="only root may make a device")
def test_a_device_is_refused(tmp_path: Path) -> None:
    try:
        os.mknod(tmp_path / "zero", 0o020644, os.makedev(1, 5))
    except PermissionError:
        pytest.skip("this container may not make a device")
    refused_directory(tmp_path, "'zero' is a link, a device or another special file")


@pytest.mark.parametrize("relative", [True, False])
def test_a_member_that_becomes_a_link_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, relative: bool
) -> None:
    monkeypatch.setattr(directory_reader, "_RELATIVE", relative)
    if not relative:
        monkeypatch.setattr(os, "open", open_by_path_alone)
    (tmp_path / "secret").write_bytes(b"secret")
    (tmp_path / "run" / "sub").mkdir(parents=True)
    for name in ("file", "fifo", "sub/secret"):
        (tmp_path / "run" / name).write_bytes(b"")
    with open_directory(tmp_path / "run") as members:
        assert members["sub/secret"] == b""
        (tmp_path / "run" / "file").unlink()
        (tmp_path / "run" / "file").symlink_to(tmp_path / "secret")
        (tmp_path / "run" / "fifo").unlink()
        os.mkfifo(tmp_path / "run" / "fifo")
        (tmp_path / "run" / "sub").rename(tmp_path / "run" / "elsewhere")
        (tmp_path / "run" / "sub").symlink_to(tmp_path)
        for name in ("file", "fifo"):
            with pytest.raises(HostileRecording, match="is not a regular file"):
                members[name]
        with pytest.raises(HostileRecording, match="is behind a link"):
            members["sub/secret"]


def open_by_path_alone(
    path: Path, flags: int, dir_fd: None = None, real: Callable[[Path, int], int] = os.open
) -> int:
    """Open as a system does that has no `openat`."""
    assert dir_fd is None
    return real(path, flags)


def test_a_member_that_becomes_a_link_after_it_was_checked_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "run").mkdir()
    for name in ("file", "fifo"):
        (tmp_path / "run" / name).write_bytes(b"")
    (tmp_path / "secret").write_bytes(b"secret")
    regular = (tmp_path / "secret").stat()
    with open_directory(tmp_path / "run") as members:
        for name in ("file", "fifo"):
            (tmp_path / "run" / name).unlink()
        (tmp_path / "run" / "file").symlink_to(tmp_path / "secret")
        os.mkfifo(tmp_path / "run" / "fifo")
        with monkeypatch.context() as patching:
            patching.setattr(os, "stat", lambda *_, **__: regular)
            with pytest.raises(HostileRecording, match="is behind a link"):
                members["file"]
            with pytest.raises(HostileRecording, match="is not a regular file"):
                members["fifo"]


@pytest.mark.parametrize("name", [b"a\\b", b"a\nb", b"C:x", b"\xff\xfe", b"a\x1bb"])
def test_a_name_in_a_directory_is_held_to_the_same_rules(tmp_path: Path, name: bytes) -> None:
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)).write_bytes(b"")
    refused_directory(tmp_path, "name")


def test_a_directory_is_held_to_the_limits(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / name).write_bytes(b"x" * 100)
    refused_directory(tmp_path, "entries=2", Limits(entries=2))
    refused_directory(tmp_path, "member_bytes=99", Limits(member_bytes=99))
    refused_directory(tmp_path, "total_bytes=299", Limits(total_bytes=299))
    (tmp_path / ("d" * 200)).mkdir()
    refused_directory(tmp_path, "name_bytes=100", Limits(name_bytes=100))


def test_a_member_that_grows_over_its_limit_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"")
    with open_directory(tmp_path, limits=Limits(member_bytes=100, whole_bytes=50)) as members:
        (tmp_path / "a").write_bytes(b"x" * 51)
        with pytest.raises(HostileRecording, match="whole_bytes=50"):
            members["a"]
        (tmp_path / "a").write_bytes(b"x" * 101)
        with pytest.raises(HostileRecording, match="member_bytes=100"), members.open("a") as file:
            file.read()


# The words for limits


def test_limits_are_raised_by_name() -> None:
    assert parse_limits([]) == Limits()
    assert parse_limits(["entries=5", "ratio=1000"]) == Limits(entries=5, ratio=1000)


@pytest.mark.parametrize("word", ["entries", "entries=", "entries=0", "entries=-1", "entries=x"])
def test_a_limit_that_is_no_number_is_a_usage_error(word: str) -> None:
    with pytest.raises(UsageError, match="entries is not a positive integer"):
        parse_limits([word])


def test_a_limit_that_is_enormous_or_unknown_is_a_usage_error() -> None:
    with pytest.raises(UsageError):
        parse_limits(["entries=" + "9" * 5000])
    with pytest.raises(UsageError, match="'entrys' is unknown") as caught:
        parse_limits(["entrys=1"])
    assert "entries, archive_bytes," in caught.value.hint
