"""What a hostile recording may cost: under 256 MiB and 5 seconds of CPU, in a process of its own.

The peak is read from /proc (VmHWM), so this runs on Linux alone: `ru_maxrss` counts what the parent
had before the exec.
"""

from __future__ import annotations

import json
import struct
import subprocess
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from zip_builder import DEFLATE, FULL, ZSTD, Made, build, zip64_extra

from bundler.archive import write_zip

MAX_SECONDS = 5.0
MAX_BYTES = 256 << 20

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads the peak from /proc")

READER = r"""
import json, re, resource, sys, time
from pathlib import Path
resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))
resource.setrlimit(resource.RLIMIT_CPU, (30, 30))
from bundler.archive import open_directory, open_zip
from bundler.documents import load_document
from bundler.errors import UnreadableRecording

def read(kind, path):
    if kind == "document":
        load_document(path.read_bytes(), "summary.json")
        return
    with open_directory(path) if kind == "directory" else open_zip(path, where="x.zip") as members:
        for name in members:
            if kind == "stream":
                with members.open(name) as stream:
                    while stream.read(1 << 16):
                        pass
            else:
                members[name]

began, said = time.process_time(), ""
try:
    read(sys.argv[1], Path(sys.argv[2]))
except UnreadableRecording as error:
    said = f"{type(error).__name__}: {error}"
print(json.dumps({
    "seconds": time.process_time() - began,
    "bytes": int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1]) << 10,
    "said": said,
}))
"""


def cost(path: Path, kind: str = "whole") -> str:
    """Read a recording in another process, assert what it cost, and return what it was told."""
    command = [sys.executable, "-c", READER, kind, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    measured = json.loads(done.stdout)
    print(f"{measured['seconds']:.2f} s, {measured['bytes'] >> 20} MiB: {measured['said']}")
    assert measured["seconds"] < MAX_SECONDS
    assert measured["bytes"] < MAX_BYTES
    return str(measured["said"])


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    return tmp_path / "x.zip"


# Many entries


def test_a_hundred_thousand_entries_are_read(sample: Path) -> None:
    with sample.open("wb") as file:
        names = (f"tests/test-module-{n % 99}-test-name-{n:016x}/out" for n in range(100_000))
        write_zip(((name, b"x") for name in names), file)
    assert cost(sample) == ""


def test_two_hundred_thousand_entries_of_long_names_are_read(sample: Path) -> None:
    entries = [Made(f"{n}-{'n' * 180}", b"") for n in range(200_000)]
    sample.write_bytes(build(*entries, zip64=b""))
    assert cost(sample) == ""


def test_names_that_grow_when_they_are_normalised_are_bounded(sample: Path) -> None:
    grows = "\U0001d160" * 200
    entries = [Made(f"{n}{grows}", b"", flags=1 << 11) for n in range(55_000)]
    sample.write_bytes(build(*entries))
    assert cost(sample) == ""


def test_millions_of_entries_are_refused_at_once(sample: Path) -> None:
    record = build(Made("a", b""))[31:-22]
    many = record * 2_000_000
    for records in (2_000_000, 100_000, 5):
        raw = build(Made("a", b""))[:31] + many
        numbers = struct.pack(
            "<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, records, records, len(many), 31
        )
        raw += numbers + struct.pack("<4sLQL", b"PK\6\7", 0, len(raw), 1)
        sample.write_bytes(
            raw + struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, *[0xFFFF] * 2, FULL, FULL, 0)
        )
        assert "over the limit" in cost(sample)


# Bombs


def zeros(size: int) -> Iterator[bytes]:
    """Yield the deflated form of `size` zeros (whole MiB), without deflating each anew."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packer.compress(bytes(1 << 20))
    packer.flush(zlib.Z_FULL_FLUSH)
    block = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    yield block * (size >> 20)
    yield packer.flush()


def bomb(size: int, declared: int) -> bytes:
    wide = {"size": FULL, "extra": zip64_extra(declared)}
    return build(Made("a", b"", DEFLATE, packed=b"".join(zeros(size)), local=wide, central=wide))


@pytest.mark.parametrize("kind", ["whole", "stream"])
@pytest.mark.parametrize(
    ("declared", "said"),
    [
        (10 << 30, "over the limit member_bytes="),
        (64 << 30, "over the limit member_bytes="),
        (2 << 30, "over the limit ratio="),
        (32 << 20, "unpacks to more than the 33554432 bytes declared"),
        (100, "unpacks to more than the 100 bytes declared"),
    ],
)
def test_ten_gib_of_zeros_are_refused(sample: Path, kind: str, declared: int, said: str) -> None:
    sample.write_bytes(bomb(10 << 30, declared))
    assert said in cost(sample, kind)


def test_a_bomb_of_many_small_members_is_refused(sample: Path) -> None:
    data = b"".join(zeros(31 << 20))
    lie = {"size": 31 << 20}
    made = [Made(str(n), b"", DEFLATE, packed=data, local=lie, central=lie) for n in range(200)]
    sample.write_bytes(build(*made))
    assert "over the limit ratio=" in cost(sample)


def test_a_bomb_of_overlapping_entries_is_refused(sample: Path) -> None:
    """One kernel, and thousands of entries whose data is the headers and kernel behind them."""
    kernel = b"".join(zeros(21 << 20))
    made = [
        Made("0", b"", DEFLATE, packed=kernel, local={"size": 21 << 20}, central={"size": 21 << 20})
    ]
    lie = {"packed": len(kernel)}
    made += [Made(str(n), b"", DEFLATE, packed=b"", local=lie, central=lie) for n in range(1, 3000)]
    sample.write_bytes(build(*made))
    assert "overlaps what stands behind it" in cost(sample)


def test_a_nested_bomb_is_refused(sample: Path) -> None:
    inner = bomb(1 << 30, 1 << 30)
    sample.write_bytes(build(Made("x.zip", inner, DEFLATE)))
    assert "over the limit ratio=" in cost(sample)


def rle(size: int, *, window: int = 0x38) -> bytes:
    """Return a zstd frame of `size` zeros (whole 128 KiB) in run-length blocks."""
    block = struct.pack("<L", 1 << 1 | (128 << 10) << 3)[:3] + b"\0"
    last = struct.pack("<L", 1 | 1 << 1 | 1 << 3)[:3] + b"\0"
    return b"\x28\xb5\x2f\xfd\0" + bytes([window]) + block * (size >> 17) + last


@pytest.mark.parametrize(
    ("declared", "said"),
    [
        (10 << 30, "over the limit member_bytes="),
        (1 << 30, "over the limit ratio="),
        (32 << 20, "unpacks to more than the 33554432 bytes declared"),
    ],
)
def test_ten_gib_of_zeros_in_zstd_are_refused(sample: Path, declared: int, said: str) -> None:
    wide = {"size": FULL, "extra": zip64_extra(declared)}
    sample.write_bytes(build(Made("a", b"", ZSTD, packed=rle(10 << 30), local=wide, central=wide)))
    assert said in cost(sample, "stream")


def test_many_empty_zstd_frames_are_bounded(sample: Path) -> None:
    frame = b"\x28\xb5\x2f\xfd\x20\0\1\0\0"
    sample.write_bytes(build(Made("a", b"", ZSTD, packed=frame * 1_000_000)))
    assert cost(sample) == ""


# Directories


def test_a_sparse_giant_in_a_directory_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "giant").open("wb") as file:
        file.truncate(64 << 30)
    assert "over the limit member_bytes=" in cost(tmp_path, "directory")


# Documents


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b'{"a":[' + b"[]," * 620_000 + b"1]}", ""),
        (b'{"a":[' + b'{"a":1},' * 620_000 + b"1]}", ""),
        (b"{" + b",".join(b'"%d":1.5' % n for n in range(1_240_000)) + b"}", ""),
        (b'{"a":[' + b"[]," * 13_000_000 + b"1]}", "JSON values"),
        (b'{"a":' * 8_000_000, "JSON values"),
        (b'{"a":"\xf0\x9f\xa6\x80' + b"x" * (39 << 20) + b'"}', ""),
        (b'{"a":"\\u00e9' + b'\\"' * (19 << 20) + b'"}', ""),
        (b'{"a":"' + b"x" * (40 << 20) + b'"}', "over 41943040 bytes"),
        (b'{"a":[' + b"9" * 4000 + (b"," + b"9" * 4000) * 9_000 + b"]}", "over 20 digits"),
        (b'"' * (39 << 20), "not valid JSON"),
        (b"\\" * (39 << 20), "not valid JSON"),
    ],
)
def test_a_hostile_document_is_bounded(tmp_path: Path, raw: bytes, said: str) -> None:
    (tmp_path / "summary.json").write_bytes(raw)
    told = cost(tmp_path / "summary.json", "document")
    assert said in told and bool(said) == bool(told)
