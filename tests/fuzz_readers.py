"""Any bytes for any reader, guided by what they reach: only errors of ours, and bounded.

    pip install atheris
    python tests/fuzz_readers.py TARGET [--seconds N]      # no TARGET: the list of them

A target ends at the first input that raises anything but a BundleError, takes five seconds or 256
MiB more than the program itself; it is written to `crash-…`, `timeout-…` or `oom-…`. What is found
becomes a sample of `hostile_samples.py`. It begins with the fixtures of its format. In ordinary CI
the same property is held by hypothesis (`test_every_reader.py`, `test_archive_fuzz.py`).
"""

from __future__ import annotations

import functools
import importlib
import io
import json
import resource
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
FIXTURES = ROOT / "tests" / "fixtures"

TEST_BUNDLE = "layout1/cancel_drain_001/0000000000000000"
RECORDED = (".zip", ".zst", ".gz", ".json", ".jsonl", ".xml", ".txt", ".trace")
LONGEST = 100_000
MANIFEST: bytes = b""
Target = Callable[[bytes], object]


def anything(data: bytes) -> object:
    """Whatever `bundle replay -` does with it."""
    from bundler.opening import read_stream

    return look_at(read_stream(io.BytesIO(data), where="fuzz"))


def look_at(recording: Any) -> object:
    """Do with a recording what the commands that open one do."""

    from bundler.commands.export import writer_of
    from bundler.formats import WRITERS
    from bundler.levels import Options
    from bundler.look import Look
    from bundler.replay import replay
    from bundler.rerun import Order, State, plan, state_after
    from bundler.run_details import run_lines
    from bundler.test_details import documents_of_tests, lines_of_tests
    from bundler.verification import verify

    look, results = Look(), recording.results
    verify(recording)
    drain(replay(recording, Options(), look, name="fuzz"))
    drain(run_lines(recording, look))
    for test in results.tests[:5]:
        drain(lines_of_tests(recording, [test], look))
        json.dumps(list(documents_of_tests(recording, [test])))
    for name in WRITERS:
        writer_of(name).write(recording, io.BytesIO())
    plan(state_after(State(), results), results, Order.WORKER)
    return recording


def drain(lines: Iterator[str]) -> None:
    """Go through all lines, as a terminal would."""
    for line in lines:
        line.encode("utf-8", "backslashreplace")


def bundle_with(name: str) -> Target:
    """A run bundle of which one member is these bytes."""

    def target(data: bytes) -> object:
        from builders import a_tree

        from bundler import bundle

        files = a_tree({"manifest.json": MANIFEST, name: data}, "fuzz")
        return look_at(bundle.from_members(files, where="fuzz"))

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


def nextest_with(name: str) -> Target:
    """A recording of nextest of which one member is these bytes, packed as nextest packs it."""

    def target(data: bytes) -> object:
        import zstandard
        from zip_builder import ZSTD, Made, build

        made = {"manifest.json": b"", "run.log.zst": b"", **dict(nextest_members())}
        if name in made:
            made[name] = zstandard.ZstdCompressor().compress(data) if name.endswith("zst") else data
        else:
            made["store.zip"] = build(Made(name, data, ZSTD))
        return anything(build(*(Made(name, content) for name, content in made.items())))

    return target


def test_bundle_with(name: str) -> Target:
    """A test bundle of asupersync of which one file is these bytes."""

    def target(data: bytes) -> object:
        from zip_builder import Made, build

        made = {**dict(asupersync_members()), f"{TEST_BUNDLE}/{name}": data}
        return anything(build(*(Made(name, content) for name, content in made.items())))

    return target


@functools.cache
def nextest_members() -> tuple[tuple[str, bytes], ...]:
    with zipfile.ZipFile(FIXTURES / "nextest" / "gale.zip") as archive:
        return tuple((name, archive.read(name)) for name in archive.namelist())


@functools.cache
def asupersync_members() -> tuple[tuple[str, bytes], ...]:
    with zipfile.ZipFile(FIXTURES / "asupersync" / "bundles.zip") as archive:
        names = [name for name in archive.namelist() if name.startswith(f"{TEST_BUNDLE}/")]
        return tuple((name, archive.read(name)) for name in names)


def fixtures(folder: str) -> Iterator[bytes]:
    for path in sorted((FIXTURES / folder).rglob("*")):
        if path.is_file() and path.stat().st_size < LONGEST and path.suffix in RECORDED:
            yield path.read_bytes()


def members(archives: str, ending: str) -> Iterator[bytes]:
    """Every member of fixtures whose name ends so; what zstd packed is unpacked."""
    import zstandard

    for path in sorted(FIXTURES.glob(archives)):
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                if name.endswith(ending) and archive.getinfo(name).file_size < LONGEST:
                    content = archive.read(name)
                    if ending.endswith(".zst"):
                        content = zstandard.ZstdDecompressor().decompressobj().decompress(content)
                    yield content


def test_lists() -> Iterator[bytes]:
    from bundler.archive import open_zip

    for store in members("nextest/*.zip", "store.zip"):
        with open_zip(store, where="a fixture") as kept:
            if "meta/test-list.json" in kept:
                yield kept["meta/test-list.json"]


def logs() -> Iterator[bytes]:
    from builders import a_log, a_test

    yield a_log(a_test("t"), a_test("u", "failed"))
    yield from members("../golden/bundles/*.zip", "events.ndjson.zst")


def sealed() -> Iterator[bytes]:
    import zstandard

    yield from (zstandard.ZstdCompressor().compress(one) for one in logs())


def documents(name: str) -> Callable[[], Iterator[bytes]]:
    """The documents of that name in the bundles that earlier versions wrote."""
    return lambda: members("../golden/bundles/*.zip", name)


TARGETS: dict[str, tuple[Target, Callable[[], Iterator[bytes]]]] = {
    "anything": (anything, lambda: fixtures(".")),
    "zip": (zip_of, lambda: fixtures("archives")),
    "document": (document, lambda: members("nextest/*.zip", "manifest.json")),
    "log": (bundle_with("events.ndjson"), logs),
    "sealed-log": (bundle_with("events.ndjson.zst"), sealed),
    "manifest": (bundle_with("manifest.json"), lambda: iter([MANIFEST])),
    "environment": (bundle_with("environment.json"), documents("environment.json")),
    "summary": (bundle_with("summary.json"), documents("summary.json")),
    "go-test": (reader("go_test"), lambda: fixtures("go-test")),
    "libtest": (reader("libtest_reader"), lambda: fixtures("libtest")),
    "reportlog": (reader("reportlog"), lambda: fixtures("reportlog")),
    "junit": (reader("junit_reader"), lambda: fixtures("junit")),
    "ctrf": (reader("ctrf_reader"), lambda: fixtures("ctrf")),
    "trace": (trace, lambda: members("asupersync/traces.zip", ".trace")),
    "asupersync-log": (
        test_bundle_with("events.ndjson"),
        lambda: members("asupersync/bundles.zip", "/events.ndjson"),
    ),
    "asupersync-manifest": (
        test_bundle_with("manifest.json"),
        lambda: members("asupersync/bundles.zip", "/manifest.json"),
    ),
    "asupersync-summary": (
        test_bundle_with("summary.json"),
        lambda: members("asupersync/bundles.zip", "/summary.json"),
    ),
    "nextest": (anything, lambda: fixtures("nextest")),
    "nextest-log": (nextest_with("run.log.zst"), lambda: members("nextest/*.zip", "run.log.zst")),
    "nextest-manifest": (
        nextest_with("manifest.json"),
        lambda: members("nextest/*.zip", "manifest.json"),
    ),
    "nextest-tests": (nextest_with("meta/test-list.json"), test_lists),
}


def main() -> None:
    """Fuzz one target."""
    if len(sys.argv) < 2 or sys.argv[1] not in TARGETS:
        raise SystemExit(f"one of: {', '.join(TARGETS)}")
    sys.path.insert(0, str(ROOT))
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
        words = [
            sys.argv[0],
            "-print_final_stats=1",
            *limits,
            f"-max_len={LONGEST}",
            "-verbosity=0",
        ]
        atheris.Setup([*words, corpus], one, enable_python_coverage=True)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
