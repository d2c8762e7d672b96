"""`bundle scan`: what is found, where it looks, what it says and never says."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from builders import a_log, a_manifest, a_test, line
from command_line import Place, place

from bundler import bundle, sealing
from bundler.manifest import encode_document, to_document
from bundler.masked_copy import write_masked_copy
from bundler.recording import Recording
from bundler.redaction import masker_of
from bundler.scanning import Finding, scan

SECRET = "cnry-8Zq4_vX2kW9pLm3T"
HERE = {"API_TOKEN": SECRET}
TEXT = f"first\nsecond {SECRET}\n".encode()


def found(path: Path) -> list[Finding]:
    return list(scan(path, masker_of(HERE)))


def test_a_file_is_read_to_its_last_byte_and_the_place_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_bytes(b"x\n" * 2_000_000 + SECRET.encode())
    assert found(path) == [Finding("a.log", 4_000_000, 2_000_001, "$API_TOKEN", len(SECRET))]


@pytest.mark.parametrize("at", range(1, len(SECRET)))
def test_a_secret_across_the_border_of_two_reads_is_found(tmp_path: Path, at: int) -> None:
    path = tmp_path / "a.log"
    path.write_bytes(b" " * ((1 << 20) - at) + SECRET.encode())
    assert [one.offset for one in found(path)] == [(1 << 20) - at]


PACKED: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zst": zstandard.compress,
    "gz.zst": lambda content: zstandard.compress(gzip.compress(content)),
}


@pytest.mark.parametrize("ending", PACKED)
def test_what_is_compressed_is_looked_into(tmp_path: Path, ending: str) -> None:
    path = tmp_path / "inside" / f"a.{ending}"
    path.parent.mkdir()
    path.write_bytes(PACKED[ending](TEXT))
    expected = Finding(f"a.{ending}", 13, 2, "$API_TOKEN", len(SECRET))
    assert found(path) == [expected]
    assert found(path.parent) == [expected]


def test_an_archive_in_an_archive_is_looked_into(tmp_path: Path) -> None:
    inner = tmp_path / "inner.zip"
    with zipfile.ZipFile(inner, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.txt", TEXT)
        archive.writestr("b.txt", "clean")
    with zipfile.ZipFile(tmp_path / "outer.zip", "w") as archive:
        archive.write(inner, "kept/inner.zip")
        archive.writestr("clean.txt", "clean")
    [finding] = found(tmp_path / "outer.zip")
    assert (finding.member, finding.line) == ("kept/inner.zip/a.txt", 2)


def test_what_only_begins_like_an_archive_is_read_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "broken").mkdir()
    for name, head in (("a.zip", b"PK\3\4"), ("a.gz", b"\x1f\x8b"), ("a.zst", b"\x28\xb5\x2f\xfd")):
        (tmp_path / "broken" / name).write_bytes(head + TEXT)
    assert [one.member for one in found(tmp_path / "broken")] == ["a.gz", "a.zip", "a.zst"]


def test_a_secret_in_the_name_of_a_file_is_found_and_not_shown(tmp_path: Path) -> None:
    (tmp_path / f"of-{SECRET}.txt").write_text("clean")
    assert found(tmp_path) == [Finding("of-***$API_TOKEN***.txt", 0, 0, "$API_TOKEN", 0)]


def a_bundle(directory: Path, log: bytes) -> Recording:
    manifest = a_manifest()
    directory.mkdir()
    (directory / "manifest.json").write_bytes(encode_document(to_document(manifest)))
    (directory / "events.ndjson").write_bytes(log)
    sealing.seal(directory, manifest)
    return bundle.read(directory)


def split_over_two_pieces() -> bytes:
    started, finished = a_test("a::b")
    pieces = [
        line("TestOutput", "a::b", stream="stdout", phase="call", text=text)
        for text in (f"see {SECRET[:7]}", f"{SECRET[7:]} and {SECRET}\n")
    ]
    other = line("TestOutput", "a::b", stream="stderr", phase="call", text=SECRET[:9])
    return a_log(started, pieces[0], other, pieces[1], finished)


def test_a_secret_in_two_pieces_of_output_is_found(tmp_path: Path) -> None:
    a_bundle(tmp_path / "run", split_over_two_pieces())
    assert [(one.member, one.line, one.rule) for one in found(tmp_path / "run")] == [
        ("events.ndjson", 5, "$API_TOKEN"),
        ("events.ndjson", 5, "$API_TOKEN"),
    ]


def test_a_secret_in_two_pieces_of_output_is_masked_in_a_copy(tmp_path: Path) -> None:
    recording = a_bundle(tmp_path / "run", split_over_two_pieces())
    (tmp_path / "copy").mkdir()
    write_masked_copy(recording, tmp_path / "copy", masker_of(HERE))
    copy = bundle.read(tmp_path / "copy")
    offsets = copy.results.tests[0].attempts[0].output_offsets
    pieces = list(copy.outputs(offsets))
    assert [(one.stream, one.content) for one in pieces] == [
        ("stdout", b"see "),
        ("stderr", SECRET[:9].encode()),
        ("stdout", b"***$API_TOKEN*** and ***$API_TOKEN***\n"),
    ]
    assert copy.results.complete
    assert copy.manifest.redaction is not None
    assert copy.manifest.redaction.masked == {"$API_TOKEN": 2}


# --- as a command ------------------------------------------------------------------------------


@pytest.fixture
def here(tmp_path: Path) -> Place:
    return place(tmp_path)


def test_it_says_where_and_by_which_rule_and_exits_1(here: Place) -> None:
    here.file("logs/a.log", TEXT.decode() + "postgres://me:word@host/x\n")
    ended = here.bundle("scan", "./logs", **HERE)
    assert ended.code == 1
    assert ended.stdout.splitlines() == [
        "a.log:2: byte 13: the value of API_TOKEN (21 bytes)",
        "a.log:3: byte 46: a password in a URL (7 bytes)",
    ]
    assert ended.stderr == "./logs: 2 secrets\n"


def test_a_clean_directory_is_0_and_says_so(here: Place) -> None:
    here.file("logs/a.log", "nothing to see\n")
    ended = here.bundle("scan", "./logs", **HERE)
    assert (ended.code, ended.stdout, ended.stderr) == (0, "", "./logs: no secrets found\n")


def test_its_json_is_a_list_of_findings(here: Place) -> None:
    here.file("a.log", TEXT.decode())
    ended = here.bundle("scan", "--json", "a.log", **HERE)
    assert json.loads(ended.stdout) == [
        {"member": "a.log", "offset": 13, "line": 2, "rule": "$API_TOKEN", "size": 21}
    ]
    assert json.loads(here.bundle("scan", "--json", "a.log").stdout) == []


def test_a_wrong_name_is_4_and_what_the_gate_refuses_is_3(here: Place) -> None:
    assert here.bundle("scan", "./nowhere").code == 4
    assert here.bundle("scan", "0000").code == 4
    (here.project / "logs").mkdir()
    (here.project / "logs" / "link").symlink_to("/etc/passwd")
    refused = here.bundle("scan", "./logs")
    assert refused.code == 3
    assert "link" in refused.stderr
