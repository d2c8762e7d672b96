"""Any bytes for any reader, guided by what they reach: only errors of ours, and bounded.

    pip install atheris
    python tests/fuzz_readers.py TARGET [--seconds N]      # no TARGET: the list of them

A target ends at the first input that raises anything but a BundleError, takes five seconds or 256
MiB more than the program itself; it is written to `crash-…`, `timeout-…` or `oom-…`. What is found
becomes a sample of `hostile_samples.py`. It begins with the fixtures of its format. In ordinary CI
the same property is held by hypothesis (`test_every_reader.py`, `test_archive_fuzz.py`).
"""

from __future__ import annotations

import importlib
import io
import resource
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
FIXTURES = ROOT / "tests" / "fixtures"
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

MANIFEST: bytes = b""
Target = Callable[[bytes], object]


def anything(data: bytes) -> object:
    """Whatever `bundle replay -` does with it."""
    from bundler.opening import read_stream

    return look_at(read_stream(io.BytesIO(data), where="fuzz"))


def look_at(recording: Any) -> object:
    """Fold, verify, replay and export a recording."""
    from bundler.formats import junit
    from bundler.levels import Options
    from bundler.look import Look
    from bundler.replay import replay
    from bundler.verification import verify

    assert recording.results is not None
    verify(recording)
    for _ in replay(recording, Options(), Look(), name="fuzz"):
        pass
    junit.write(recording, io.BytesIO())
    return recording


def bundle_with(name: str) -> Target:
    """A run bundle of which one member is these bytes."""

    def target(data: bytes) -> object:
        from bundler import bundle

        files = {"manifest.json": MANIFEST, name: data}
        return look_at(bundle.from_members(files, where="fuzz"))  # type: ignore[arg-type]

    return target


def reader(module: str) -> Target:
    """One reader of `bundler.formats`."""

    def target(data: bytes) -> object:
        known = importlib.import_module(f"bundler.formats.{module}")
        known.recognises(data)
        return look_at(known.read(io.BytesIO(data), where="fuzz"))

    return target


def trace(data: bytes) -> object:
    from bundler.formats.trace import read_trace

    found = read_trace(data)
    return list(found.events())


def zip_of(data: bytes) -> object:
    from bundler.archive import open_zip

    with open_zip(data, where="fuzz") as members:
        return dict(members)


def document(data: bytes) -> object:
    from bundler.documents import load_document

    return load_document(data, "fuzz")


def fixtures(folder: str) -> Iterator[bytes]:
    for path in sorted((FIXTURES / folder).rglob("*")):
        if path.is_file() and path.stat().st_size < 100_000 and path.suffix not in (".md", ".sh"):
            yield path.read_bytes()


def members(*names: str) -> Iterator[bytes]:
    for path in sorted((FIXTURES / "nextest").glob("*.zip")):
        with zipfile.ZipFile(path) as archive:
            yield from (archive.read(name) for name in archive.namelist() if name in names)


def logs() -> Iterator[bytes]:
    from builders import a_log, a_test

    yield a_log(a_test("t"), a_test("u", "failed"))


def sealed() -> Iterator[bytes]:
    import zstandard

    yield from (zstandard.ZstdCompressor().compress(one) for one in logs())


TARGETS: dict[str, tuple[Target, Callable[[], Iterator[bytes]]]] = {
    "anything": (anything, lambda: fixtures("archives")),
    "zip": (zip_of, lambda: fixtures("archives")),
    "document": (document, lambda: members("manifest.json")),
    "log": (bundle_with("events.ndjson"), logs),
    "sealed-log": (bundle_with("events.ndjson.zst"), sealed),
    "manifest": (bundle_with("manifest.json"), lambda: iter([MANIFEST])),
    "go-test": (reader("go_test"), lambda: fixtures("go-test")),
    "libtest": (reader("libtest_reader"), lambda: fixtures("libtest")),
    "reportlog": (reader("reportlog"), lambda: fixtures("reportlog")),
    "junit": (reader("junit_reader"), lambda: fixtures("junit")),
    "ctrf": (reader("ctrf_reader"), lambda: fixtures("ctrf")),
    "trace": (trace, lambda: fixtures("asupersync")),
    "nextest": (anything, lambda: fixtures("nextest")),
}


def main() -> None:
    """Fuzz one target."""
    if len(sys.argv) < 2 or sys.argv[1] not in TARGETS:
        raise SystemExit(f"one of: {', '.join(TARGETS)}")
    import atheris

    with atheris.instrument_imports(include=["bundler"]):
        for path in sorted((ROOT / "bundler").rglob("*.py")):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            if not name.startswith(("bundler.probe.path", "bundler.__", "bundler.pytest_plugin")):
                importlib.import_module(name.removesuffix(".__init__"))
    global MANIFEST
    from builders import a_manifest

    from bundler.errors import BundleError
    from bundler.manifest import encode_document, to_document

    MANIFEST = encode_document(to_document(a_manifest()))
    target, seeds = TARGETS[sys.argv[1]]
    seconds = sys.argv[sys.argv.index("--seconds") + 1] if "--seconds" in sys.argv else "60"

    def one(data: bytes) -> None:
        try:
            target(data)
        except BundleError:
            return

    with tempfile.TemporaryDirectory() as corpus:
        for number, seed in enumerate(seeds()):
            (Path(corpus) / str(number)).write_bytes(seed)
        begun = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
        limits = [f"-max_total_time={seconds}", "-timeout=5", f"-rss_limit_mb={begun + 256}"]
        words = [sys.argv[0], *limits, "-max_len=100000", "-verbosity=0", corpus]
        atheris.Setup(words, one, enable_python_coverage=True)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
