"""A secret that is put through every route, and the search for it in whatever came out.

The search is written in another style than the masking: it does not know how a secret may be
encoded, but takes off every encoding that it can see, and looks for pieces of the secret below.
"""

from __future__ import annotations

import base64
import binascii
import gzip
import io
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from urllib.parse import unquote_to_bytes

import zstandard

CANARY = "cnry-8Zq4_vX2kW9pLm3T"
ODD = "o\"ñ\\dd&8Zq4<X2'k+W=9%pL/m"
SECRETS = {"API_TOKEN": CANARY, "DB_PASSWORD": ODD}
PIECE = 10
"""A piece of a secret of so many characters is a leak: masking half of it does not count."""

_BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{12,}")
_ESCAPE = re.compile(rb"\\u([0-9a-fA-F]{4})|\\x([0-9a-fA-F]{2})|\\(.)", re.DOTALL)
_COLOUR = re.compile(rb"\x1b\[[0-9;]*m")
_DEEPEST = 4

SUITE = dedent(
    """
    import base64, gzip, glob, json, logging, os, random, subprocess, sys, urllib.parse, warnings
    import pytest
    from pathlib import Path

    CANARY, ODD = os.environ["API_TOKEN"], os.environ["DB_PASSWORD"]
    BOTH = [CANARY, ODD]

    def run_directory():
        run = os.environ.get("BUNDLE_RUN_ID", "none")
        found = glob.glob(os.path.join(os.environ["BUNDLE_STORE"], "*", f"*-{run}"))
        return Path(found[0]) if found else None

    @pytest.mark.parametrize("value", BOTH)
    def test_prints(value, record_property):
        print("out", value)
        print("err", value, file=sys.stderr)
        print(base64.b64encode(value.encode()), base64.b64encode(b"x" + value.encode() + b"y"),
              base64.b64encode(b"me" + value.encode()), base64.urlsafe_b64encode(value.encode()))
        print(urllib.parse.quote(value), urllib.parse.quote(value, safe=""))
        print(json.dumps({"password": value}), json.dumps(json.dumps([value])), repr(value))
        print("\\x1b[31m" + value[:6] + "\\x1b[32m" + value[6:] + "\\x1b[0m")
        print("https://me:" + urllib.parse.quote(value, safe="") + "@host/x")
        record_property("value", value)

    def test_prints_what_is_no_text(capfdbinary):
        pass

    @pytest.mark.parametrize("value", BOTH)
    def test_child(value):
        subprocess.run([sys.executable, "-c", "import os,sys; os.write(1, b'\\\\xff' + "
                        "os.environb[b'API_TOKEN'] + os.environb[b'DB_PASSWORD'])"], check=True)
        os.write(1, value.encode())

    def test_logs(caplog):
        logging.getLogger("app").error("cannot log in with %s and %s", *BOTH)
        assert False

    @pytest.mark.parametrize("value", BOTH)
    def test_asserts(value):
        local = {"value": value}
        assert local == {"value": "another"}

    def test_raises():
        raise RuntimeError("refused: " + CANARY + ODD)

    def test_says_more_than_is_kept():
        raise RuntimeError((CANARY + " ") * 20_000)

    def test_warns():
        warnings.warn("old: " + CANARY + " " + ODD)

    @pytest.fixture
    def broken():
        raise OSError("fixture " + CANARY)

    def test_errors(broken):
        pass

    def test_skips():
        pytest.skip("because of " + CANARY)

    @pytest.mark.xfail(reason="known " + CANARY)
    def test_xfails():
        assert 0

    def test_over_the_limit():
        print((CANARY + " ") * 4000)
        assert 0

    def test_generator():
        random.seed(CANARY)
        assert 0

    def test_files():
        place = run_directory()
        if place is None:
            return
        place = place / "artifacts" / ("of-" + CANARY)
        place.mkdir(parents=True, exist_ok=True)
        (place / "text.txt").write_text("a\\n" + CANARY + "\\n" + ODD)
        (place / "document.json").write_text(json.dumps({ODD: [CANARY]}, indent=1))
        (place / "lines.ndjson").write_text(json.dumps({"x": ODD}) + "\\n")
        (place / "binary.bin").write_bytes(b"\\0\\1" + CANARY.encode() + b"\\0" + ODD.encode())
        (place / ("named-" + CANARY + ".txt")).write_text("x")

    def test_fixture(bundle):
        bundle.log("Said", "message " + CANARY, odd=ODD)
        bundle.attach(("text " + CANARY).encode(), CANARY + ".txt")
        bundle.check("equal " + CANARY, CANARY, ODD)

    def test_harness():
        from bundler.testing import TestContext, TestHarness
        place = run_directory()
        context = TestContext(test_id="of " + CANARY, seed=1)
        with TestHarness(context, base=place and place / "harness") as harness:
            harness.log("Said", "message " + CANARY, data={"odd": ODD, CANARY: 1})
            harness.attach(("text " + CANARY).encode(), CANARY + ".txt")
            harness.attach(b"\\0" + CANARY.encode(), "frame.bin")
            try:
                harness.check("equal " + CANARY, CANARY, ODD)
            finally:
                pass
    """
)


def leaks(path: Path) -> list[str]:
    """Return where in a file, or in the files below a directory, pieces of a secret stand."""
    found = [str(path)] if holds(path.name.encode("utf-8", "surrogateescape")) else []
    if path.is_dir():
        return found + [leak for one in sorted(path.iterdir()) for leak in leaks(one)]
    return found + [f"{path}: {where}" for where in leaks_in(path.read_bytes())]


def leaks_in(content: bytes) -> list[str]:
    """Return where in some bytes, decompressed as deep as they go, pieces of a secret stand."""
    found = [name for name, one in decompressed(content, "content") if holds(name.encode() + one)]
    return sorted(set(found))


def decompressed(content: bytes, name: str) -> Iterator[tuple[str, bytes]]:
    """Yield some bytes, and what is packed in them."""
    yield name, content
    if content.startswith(b"PK\3\4"):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for member in archive.namelist():
                yield from decompressed(archive.read(member), f"{name}/{member}")
    elif content.startswith(b"\x28\xb5\x2f\xfd"):
        reader = zstandard.ZstdDecompressor().stream_reader(content, read_across_frames=True)
        yield from decompressed(reader.read(), f"{name} (zstd)")
    elif content.startswith(b"\x1f\x8b"):
        yield from decompressed(gzip.decompress(content), f"{name} (gzip)")


def holds(content: bytes) -> bool:
    """Whether a piece of a secret stands in some bytes, below any encodings."""
    return any(_holds_plainly(one) for one in _decoded(content, 0))


def _holds_plainly(content: bytes) -> bool:
    return any(piece in content for secret in SECRETS.values() for piece in _pieces(secret))


def _pieces(secret: str) -> Iterator[bytes]:
    raw = secret.encode()
    return (raw[at : at + PIECE] for at in range(len(raw) - PIECE + 1))


def _decoded(content: bytes, depth: int) -> Iterator[bytes]:
    yield content
    if depth == _DEEPEST:
        return
    unpacked = [_COLOUR.sub(b"", content), unquote_to_bytes(content), _unescaped(content)]
    for one in unpacked:
        if one != content:
            yield from _decoded(one, depth + 1)
    for run in _BASE64.findall(content) if depth < 3 else ():
        for at in range(4):
            yield from _from_base64(run[at:], depth)


def _from_base64(run: bytes, depth: int) -> Iterator[bytes]:
    run = run[: len(run) & ~3].translate(bytes.maketrans(b"-_", b"+/"))
    try:
        yield base64.b64decode(run)
    except binascii.Error:
        return


def _unescaped(content: bytes) -> bytes:
    def one(match: re.Match[bytes]) -> bytes:
        digits = match[1] or match[2]
        if match[1]:
            return chr(int(digits, 16)).encode("utf-8", "surrogatepass")
        return bytes([int(digits, 16)]) if digits else match[3]

    return _ESCAPE.sub(one, content)
