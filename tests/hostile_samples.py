"""Recordings as a stranger might make them: each a few lines that write it, and what it is."""

from __future__ import annotations

import gzip
import os
import socket
import struct
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import zstandard
from builders import a_log, a_manifest, a_test, line
from zip_builder import DEFLATE, FULL, STORED, Made, build, zip64_extra

from bundler.manifest import encode_document, to_document

GIB = 1 << 30
MANIFEST = encode_document(to_document(a_manifest()))
LOG = a_log(a_test("t"), a_test("u", "failed"))
GOOD = {"manifest.json": MANIFEST, "events.ndjson": LOG}

REFUSED, SHOWN = 3, 0


@dataclass(frozen=True)
class Sample:
    """A sample: how it is written below a directory, and whether it is refused or shown."""

    name: str
    write: Callable[[Path], Path]
    code: int = REFUSED


def zipped(*made: Made, **more: Any) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        (folder / "x.zip").write_bytes(build(*made, **more))
        return folder / "x.zip"

    return write


def good(*more: Made) -> list[Made]:
    return [*(Made(name, content, DEFLATE) for name, content in GOOD.items()), *more]


def bundle_of(**files: bytes | Iterable[bytes]) -> Callable[[Path], Path]:
    """A run bundle in a directory, of files that may be large."""

    def write(folder: Path) -> Path:
        directory = folder / "run"
        directory.mkdir()
        for name, content in {"manifest.json": MANIFEST, **files}.items():
            with (directory / name).open("wb") as file:
                file.writelines([content] if isinstance(content, bytes) else content)
        return directory

    return write


def sealed(chunks: Iterable[bytes], **settings: Any) -> Callable[[Path], Path]:
    """A bundle whose log is one zstd frame of these chunks."""

    def write(folder: Path) -> Path:
        directory = folder / "run"
        directory.mkdir()
        (directory / "manifest.json").write_bytes(MANIFEST)
        with (directory / "events.ndjson.zst").open("wb") as file:
            compressor = zstandard.ZstdCompressor(**{"level": 1, **settings})
            with compressor.stream_writer(file) as writer:
                for chunk in chunks:
                    writer.write(chunk)
        return directory

    return write


def gzipped(chunks: Iterable[bytes]) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        with gzip.open(folder / "x.gz", "wb", compresslevel=9) as file:
            file.writelines(chunks)
        return folder / "x.gz"

    return write


def with_file(make: Callable[[Path], None]) -> Callable[[Path], Path]:
    """A bundle directory in which something stands that is no file."""

    def write(folder: Path) -> Path:
        directory = bundle_of(**{"events.ndjson": LOG})(folder)
        make(directory)
        return directory

    return write


def raw(content: bytes, name: str = "x.zip") -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        (folder / name).write_bytes(content)
        return folder / name

    return write


def zeros(size: int) -> bytes:
    """The deflated form of so many zeros."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return b"".join([packer.compress(bytes(1 << 20)) for _ in range(size >> 20)]) + packer.flush()


def lazily(make: Callable[[], Callable[[Path], Path]]) -> Callable[[Path], Path]:
    """What takes long to make is made only when it is wanted."""
    return lambda folder: make()(folder)


def lying(size: int) -> Made:
    wide = {"size": FULL, "extra": zip64_extra(size)}
    return Made("events.ndjson", b"", DEFLATE, packed=zeros(1 << 28), local=wide, central=wide)


def a_socket(directory: Path) -> None:
    where = os.getcwd()  # noqa: PTH109 - a path longer than a socket's may be
    os.chdir(directory)
    try:
        with socket.socket(socket.AF_UNIX) as one:
            one.bind("socket")
    finally:
        os.chdir(where)


def a_pipe_for_a_manifest(directory: Path) -> None:
    (directory / "manifest.json").unlink()
    os.mkfifo(directory / "manifest.json")


def sparse(directory: Path) -> None:
    with (directory / "giant").open("wb") as file:
        file.truncate(64 * GIB)


def odd(text: str) -> bytes:
    """A log with a line in its middle that is not what JSON should be."""
    whole = LOG.splitlines(keepends=True)
    return b"".join([*whole[:3], text.encode("utf-8", "surrogatepass") + b"\n", *whole[3:]])


EVENT = '{"v":1,"ts_us":0,"level":"INFO","category":"log","event":"X","message":"","data":%s}'
ORDERS = "\x1b]0;title\x07\x1b[2J\x1b]52;c;aGk=\x07\x1b[31mred\x1b[0m \x9b31m \x07 \u202e"
INNER = build(*good())


def ids(count: int) -> bytes:
    chunks = [[f"t{n}" for n in range(begin, begin + 1000)] for begin in range(0, count, 1000)]
    return a_log(*[line("TestsCollected", selected=chunk) for chunk in chunks], ended=False)


def many(count: int, event: str, **data: Any) -> Callable[[Path], Path]:
    """A sealed log of one line over and over."""
    return sealed([a_log(ended=False), line(event, "t", **data) * count])


LONG = "x" * 1_000_000

SAMPLES = [
    # Archives
    Sample("entries that overlap", zipped(*good(Made("a", b"x" * 50), Made("b", central={"offset": 0})))),
    Sample("a name twice", zipped(*good(Made("manifest.json", b"{}")))),
    Sample("junk before the archive", zipped(*good(), head=b"junk")),
    Sample("junk between entries", zipped(*good(Made("a", before=b"junk")))),
    Sample("junk behind the archive", zipped(*good(), tail=b"junk")),
    Sample("two archives in a row", raw(INNER + INNER)),
    Sample("names that differ in case", zipped(*good(Made("A"), Made("a")))),
    Sample("names that differ in form", zipped(*good(Made("\u00e9"), Made("e\u0301")))),
    Sample("a local header that disagrees", zipped(*good(Made("a", local={"name": b"b"})))),
    *(
        Sample(f"the name {name!r}", zipped(*good(Made(name))))
        for name in ("../x", "/abs", "C:x", "a\\b", "a\0b", "", "a/../b", "x" * 2000)
    ),
    Sample("a symbolic link", zipped(*good(Made("a", attributes=0o120777 << 16)))),
    Sample("a named pipe", zipped(*good(Made("a", attributes=0o010644 << 16)))),
    Sample("a device", zipped(*good(Made("a", attributes=0o020644 << 16)))),
    Sample("an encrypted entry", zipped(*good(Made("a", flags=1)))),
    Sample("a method nobody knows", zipped(*good(Made("a", method=STORED, central={"method": 14})))),
    Sample("a cut archive", raw(INNER[: len(INNER) // 2])),
    Sample("an empty file", raw(b"")),
    Sample("archives four deep", zipped(Made("a.zip", build(Made("b.zip", build(Made("c.zip", INNER))))))),
    Sample("a hundred thousand entries too many", lazily(lambda: zipped(*(Made(f"f{n}", b"") for n in range(201_000)), zip64=b""))),
    Sample("256 MiB of zeros, declared as 64 GiB", lazily(lambda: zipped(Made("manifest.json", MANIFEST), lying(64 * GIB)))),
    Sample("256 MiB of zeros, declared as 100 bytes", lazily(lambda: zipped(Made("manifest.json", MANIFEST), lying(100)))),
    Sample("256 MiB of zeros, declared as they are", lazily(lambda: zipped(Made("manifest.json", MANIFEST), lying(1 << 28)))),
    Sample("32 MiB of newlines in a zip", lazily(lambda: zipped(Made("x.json", b'{"Action":"run","Package":"p","Test":"T"}\n' + b"\n" * (31 << 20), DEFLATE)))),
    # Directories
    Sample("a link in a directory", with_file(lambda d: (d / "a").symlink_to("/etc/passwd"))),
    Sample("a pipe in a directory", with_file(lambda d: os.mkfifo(d / "a"))),
    Sample("a socket in a directory", with_file(a_socket)),
    Sample("64 GiB of nothing", with_file(sparse)),
    Sample("a manifest that is a pipe", with_file(a_pipe_for_a_manifest)),
    # Manifests
    Sample("another major", bundle_of(**{"manifest.json": MANIFEST.replace(b'"major": 1', b'"major": 9')})),
    Sample("a manifest of brackets", bundle_of(**{"manifest.json": b"[" * 3_000_000})),
    Sample("a manifest without end", lazily(lambda: bundle_of(**{"manifest.json": b'{"a":"' + b"x" * (60 << 20)}))),
    Sample("a manifest with a key twice", bundle_of(**{"manifest.json": b'{"run_id":1,' + MANIFEST.lstrip()[1:]})),
    # Logs
    Sample("a line of 3 GiB", sealed([b'{"v":1,"a":"'] + [b"x" * (1 << 20)] * 3072)),
    Sample("a line of 1 GiB", sealed([LOG] + [b"x" * (1 << 20)] * 1000), SHOWN),
    Sample("a gigabyte of newlines", sealed([b"\n" * (1 << 20)] * 1024)),
    Sample("a gigabyte of empty objects", sealed([b"{}\n" * (1 << 19)] * 700)),
    Sample("a gigabyte of one event", sealed([((EVENT % "{}").encode() + b"\n") * 10_000] * 1000)),
    Sample("newlines in a plain log", bundle_of(**{"events.ndjson": [b"\n" * (1 << 20)] * 100})),
    Sample("a window of 128 MiB", sealed([b"x" * (1 << 20)] * 200, compression_params=zstandard.ZstdCompressionParameters(window_log=27))),
    Sample("a frame of 64 GiB that is cut", lazily(lambda: bundle_of(**{"events.ndjson.zst": b"\x28\xb5\x2f\xfd\xe0" + struct.pack("<Q", 64 * GIB) + b"\x03\0\0"}))),
    Sample("a dictionary", bundle_of(**{"events.ndjson.zst": b"\x28\xb5\x2f\xfd\x21\x07\x05\x29\0\0hello"}), SHOWN),
    Sample("no zstd at all", bundle_of(**{"events.ndjson.zst": b"not compressed"}), SHOWN),
    Sample("a million empty frames", lazily(lambda: bundle_of(**{"events.ndjson.zst": b"\x28\xb5\x2f\xfd\x20\0\1\0\0" * 1_000_000})), SHOWN),
    Sample("fifty thousand tests in a few lines", lazily(lambda: bundle_of(**{"events.ndjson": ids(50_000)})), SHOWN),
    Sample("a hundred thousand empty ids in a line", lazily(lambda: sealed([a_log(line("TestsCollected", selected=[""] * 200_000), ended=False)] * 5))),
    Sample("ids that are no list", lazily(lambda: sealed([a_log(line("TestsCollected", selected=LONG), ended=False)] * 50)), SHOWN),
    Sample("messages of a megabyte", lazily(lambda: many(600, "SubtestFinished", name="", outcome="failed", failures=[{"message": LONG}]))),
    Sample("warnings of a megabyte", lazily(lambda: many(600, "Warning", message=LONG))),
    Sample("attempts that have no number", lazily(lambda: many(200_000, "TestOutput", attempt="no", stream="stdout", text="")), SHOWN),
    Sample("attempts that nothing ends", lazily(lambda: many(200_000, "TestStarted")), SHOWN),
    Sample("output of the first of many attempts", lazily(lambda: sealed([a_log(ended=False), line("TestStarted", "t") * 50_000, line("TestOutput", "t", stream="stdout", text="") * 50_000])), SHOWN),
    Sample("thirty thousand failures", lazily(lambda: sealed([a_log(*(a_test(f"t{n}", "failed", order=n) for n in range(30_000)))])), SHOWN),
    Sample("a plain log of many tests in a zip", lazily(lambda: zipped(Made("manifest.json", MANIFEST), Made("events.ndjson", a_log(*(line("TestStarted", f"t{n}") for n in range(240_000)), ended=False), DEFLATE)))),
    Sample("a test that logs without end", lazily(lambda: bundle_of(**{"events.ndjson": a_log(*(a_test(f"t{n}") for n in range(4_000)), *([line("Own", "t0")] * 12_000))})), SHOWN),
    *(
        Sample(f"a line of {what}", bundle_of(**{"events.ndjson": odd(text)}), SHOWN)
        for what, text in {
            "NaN": EVENT % '{"a":NaN}',
            "1e999": EVENT % '{"a":1e999}',
            "5000 digits": EVENT % f'{{"a":{"9" * 5000}}}',
            "brackets": EVENT % ("[" * 400_000),
            "a key twice": EVENT % '{"a":1,"a":2}',
            "a lone surrogate": EVENT % '{"a":"\ud800"}',
            "an escaped surrogate": EVENT % '{"a":"\\ud800"}',
            "a byte order mark": "\ufeff" + EVENT % "{}",
            "a line separator": EVENT % '{"a":"\u2028"}',
            "another version": '{"v":2}',
            "nothing": "",
        }.items()
    ),
    Sample("orders for the terminal", bundle_of(**{"events.ndjson": a_log(a_test(ORDERS, "failed", failures=[{"message": ORDERS, "type": ORDERS, "traceback": ORDERS}]))}), SHOWN),
    # Other formats
    Sample("a gzip of newlines", gzipped([b'{"Action":"run","Package":"p","Test":"T"}\n'] + [b"\n" * (1 << 20)] * 200)),
    Sample("XML with a billion laughs", raw(b'<!DOCTYPE a [<!ENTITY b "' + b"ha" * 100 + b'"><!ENTITY c "' + b"&b;" * 100 + b'">]><testsuite><testcase name="&c;"/></testsuite>', "x.xml")),
    Sample("XML with an external entity", raw(b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><testsuite><testcase name="&b;"/></testsuite>', "x.xml")),
    Sample("XML a million deep", raw(b"<testsuite>" * 1_000_000, "x.xml")),
    Sample("a trace of nothing", raw(b"ASUPERTRACE\0" + b"\xff" * 100, "x.trace")),
    Sample("a CTRF document of brackets", raw(b'{"reportFormat":"CTRF","results":{"tool":{},"summary":{},"tests":' + b"[" * 1_000_000, "x.json")),
]  # fmt: skip
