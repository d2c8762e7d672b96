"""What holds for every format that is read: with every writer, wrapped, of any content."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import importlib
import io
import json
import lzma
import subprocess
import sys
import time
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
import zstandard
from command_line import BUNDLE, Place, place
from full_size import examples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bundler.commands.export import writer_of
from bundler.errors import BundleError, HostileRecording, NotARecording
from bundler.formats import READERS, WRITERS, Reader
from bundler.opening import read_path, read_stream
from bundler.recording import Recording
from bundler.results import Verdict, fold

FIXTURES = Path(__file__).parent / "fixtures"
FILES = sorted(
    path
    for folder in ("go-test", "junit", "reportlog")
    for path in (FIXTURES / folder).iterdir()
    if path.suffix in (".json", ".jsonl", ".xml")
)
OF_EACH = [
    FIXTURES / "go-test" / "go1.27-all.json",
    FIXTURES / "junit" / "pytest-xunit1.xml",
    FIXTURES / "junit" / "nextest.xml",
    FIXTURES / "reportlog" / "many.jsonl",
    FIXTURES / "libtest" / "nextest-plus.json",
    FIXTURES / "ctrf" / "pytest-json-ctrf.json",
]
HELD = {  # what a writer says of a verdict that it has no word for
    "junit": {Verdict.XPASSED: Verdict.PASSED},
    "libtest": {Verdict.XPASSED: Verdict.PASSED, Verdict.XFAILED: Verdict.SKIPPED},
}


REGROUPED = ("node.xml",)
"""Cases stand between its suites: ours has all of one suite together."""


def named(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"


def reader_of(content: bytes) -> list[Reader]:
    modules = [cast(Reader, importlib.import_module(name)) for name in READERS]
    return [module for module in modules if module.recognises(content[: 64 * 1024])]


def exported(recording: Recording, to: str, **options: Any) -> bytes:
    target = io.BytesIO()
    writer_of(to).write(recording, target, **options)
    return target.getvalue()


def read_bytes(content: bytes) -> Recording:
    return read_stream(io.BytesIO(content), where="memory")


def verdicts(recording: Recording) -> list[Verdict]:
    return [test.verdict for test in recording.results.tests]


def attempts(recording: Recording) -> list[list[tuple[object, ...]]]:
    """What a report can hold of every attempt: outcome, time, failures, output."""
    return [
        [
            (
                one.outcome,
                # A report has milliseconds, and ours none of an earlier attempt.
                round(one.duration_us, -3) if one is test.attempts[-1] else None,
                [(failure.type, failure.message) for failure in one.failures],
                sorted((out.stream, out.content) for out in recording.outputs(one.output_offsets)),
            )
            for one in test.attempts
        ]
        for test in recording.results.tests
    ]


@pytest.mark.parametrize("path", FILES, ids=named)
def test_one_reader_recognises_a_file_by_its_content(path: Path) -> None:
    assert len(reader_of(path.read_bytes())) == 1


@pytest.mark.parametrize("to", WRITERS)
@pytest.mark.parametrize("path", FILES, ids=named)
def test_what_is_read_can_be_written_in_every_format(path: Path, to: str) -> None:
    recording = read_path(path)
    content = exported(recording, to)
    assert content
    if len(reader_of(content)) == 1:
        again = read_bytes(content)
        held = HELD.get(to, {})
        expected = [held.get(one, one) for one in verdicts(recording)]
        if to == "libtest":
            assert sorted(verdicts(again)) == sorted(as_libtest(recording, expected))
        elif path.name in REGROUPED:
            assert sorted(verdicts(again)) == sorted(expected)
        else:
            assert verdicts(again) == expected
        assert again.problems == []


def as_libtest(recording: Recording, expected: list[Verdict]) -> list[Verdict]:
    """It has no word for a test that never ran, and a file not collected is a test that failed."""
    problems = [one for one in recording.results.collection if one.outcome is Verdict.ERRORED]
    return [Verdict.FAILED for _ in problems] + [
        one for one in expected if one is not Verdict.NOT_RUN
    ]


@pytest.mark.parametrize("path", sorted((FIXTURES / "junit").glob("*.xml")), ids=named)
def test_a_report_through_ours_keeps_all_that_a_report_can_hold(path: Path) -> None:
    first = read_path(path)
    second = read_bytes(exported(first, "junit"))
    third = read_bytes(exported(second, "junit"))
    ids = [[one.test_id for one in each.results.tests] for each in (first, second)]
    if path.name in REGROUPED:
        by_id = [
            dict(zip(ids[at], attempts(one), strict=True)) for at, one in enumerate((first, second))
        ]
        assert by_id[0] == by_id[1]
    else:
        assert ids[0] == ids[1] or path.name == "pytest-xunit1.xml"
        assert verdicts(second) == verdicts(first)
        assert attempts(second) == attempts(first)
    runs = (second.manifest.run_id.encode(), third.manifest.run_id.encode())
    assert exported(third, "junit").replace(runs[1], runs[0]) == exported(second, "junit")


@pytest.mark.parametrize("path", OF_EACH, ids=named)
def test_ndjson_comes_back_as_the_same_run(path: Path) -> None:
    first = read_path(path)
    second = read_bytes(exported(first, "ndjson"))
    assert second.manifest.run_id == first.manifest.run_id
    assert second.manifest.status == first.manifest.status
    assert second.manifest.created_at == first.manifest.created_at
    assert second.results == first.results


def zipped(content: bytes) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("the report.txt", content)
    return target.getvalue()


WRAPPINGS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "two gzips": lambda content: gzip.compress(content[:1000]) + gzip.compress(content[1000:]),
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zstd": lambda content: zstandard.ZstdCompressor().compress(content),
    "zip": zipped,
    "gzip in a zip": lambda content: zipped(gzip.compress(content)),
}


@pytest.mark.parametrize("wrapping", WRAPPINGS)
@pytest.mark.parametrize("path", OF_EACH, ids=named)
def test_it_may_be_wrapped(path: Path, wrapping: str) -> None:
    plain = read_path(path)
    wrapped = read_bytes(WRAPPINGS[wrapping](path.read_bytes()))
    assert wrapped.manifest.run_id == plain.manifest.run_id
    assert wrapped.results == plain.results


@pytest.mark.parametrize("wrapping", ["gzip", "bzip2", "xz"])
def test_a_compressed_file_that_is_cut_is_read_as_far_as_it_goes(wrapping: str) -> None:
    digests = (hashlib.sha256(b"%d" % number).hexdigest() for number in range(25_000))
    lines = (b'{"Action":"run","Package":"p","Test":"T%s"}\n' % one.encode() for one in digests)
    packed = WRAPPINGS[wrapping](b"".join(lines))
    recording = read_bytes(packed[: len(packed) // 2])
    assert any("cut" in sentence for sentence in recording.problems)
    assert recording.manifest.status.state == "interrupted"
    assert recording.results.tests


@pytest.mark.parametrize("wrapping", ["gzip", "bzip2", "xz", "zstd"])
def test_a_bomb_is_refused(wrapping: str) -> None:
    head = b'{"Action":"run","Package":"p","Test":"T"}\n'
    with pytest.raises(HostileRecording, match="unpacks to"):
        read_bytes(WRAPPINGS[wrapping](head + b" " * (64 << 20)))


@pytest.mark.parametrize("content", [b"", b"hello\n", b"\0" * 1000, b"{}", b"[1]", b"<html/>"])
def test_a_file_of_no_known_format_is_refused_with_a_hint(content: bytes) -> None:
    with pytest.raises(NotARecording) as caught:
        read_bytes(content)
    assert "JUnit XML" in caught.value.hint


class Endless(io.RawIOBase):
    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        buffer[:] = b"y\n"[:1] * len(buffer)
        return len(buffer)


def test_an_endless_pipe_of_something_else_is_let_go() -> None:
    with pytest.raises(NotARecording):
        read_stream(io.BufferedReader(Endless()), where="a pipe")


MUTATIONS = settings(
    max_examples=examples(40), deadline=None, suppress_health_check=list(HealthCheck)
)


@pytest.mark.parametrize("path", [*OF_EACH, FIXTURES / "junit" / "gotestsum.xml"], ids=named)
@MUTATIONS
@given(data=st.data())
def test_no_change_of_bytes_makes_another_error_than_ours(path: Path, data: st.DataObject) -> None:
    content = bytearray(path.read_bytes()[:20_000])
    [reader] = reader_of(bytes(content))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content)))
        gone = data.draw(st.integers(0, 40))
        content[at : at + gone] = data.draw(st.binary(max_size=12))
    is_read_or_refused(reader, bytes(content))


def is_read_or_refused(reader: Reader, content: bytes) -> None:
    """Whatever the bytes are: an error of ours, or a sound recording that every format can say."""
    try:
        recording = reader.read(io.BytesIO(content), where="memory")
    except BundleError:
        return
    assert fold(recording.events()) == recording.results
    assert recording.damaged_lines == []
    for to in WRITERS:
        exported(recording, to)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 2**70) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
FIELDS: dict[str, dict[str, list[Any]]] = {
    "bundler.formats.go_test": {
        "Action": ["run", "output", "pass", "fail", "skip", "start", "build-output"],
        "Package": ["p", "q"],
        "Test": ["T", "T/u"],
        "Output": ["-test.shuffle 1\n", "panic: x\n", "--- FAIL: T (0.1s)\n"],
        "Elapsed": [0.1],
        "Time": ["2026-01-02T03:04:05.5Z"],
    },
    "bundler.formats.reportlog": {
        "$report_type": ["SessionStart", "TestReport", "CollectReport", "SubTestReport"],
        "nodeid": ["a.py::t", "a.py::u"],
        "when": ["setup", "call", "teardown", "???"],
        "outcome": ["passed", "failed", "skipped", "rerun"],
        "longrepr": [["a.py", 1, "Skipped: x"], {"reprcrash": {"message": "m"}}, "text"],
        "sections": [[["Captured stdout call", "x"]]],
        "start": [1e9],
        "context": [{"msg": "x", "kwargs": {}}],
    },
    "bundler.formats.libtest_reader": {
        "type": ["suite", "test", "bench", "report"],
        "event": ["started", "ok", "failed", "ignored", "timeout"],
        "name": ["a", "a#2", "c::b$a", "c::b@stress-1$a#3"],
        "exec_time": [0.5, "0.5s"],
        "stdout": ["x"],
        "message": ["m"],
        "reason": ["time limit exceeded"],
        "median": [1],
    },
}


@pytest.mark.parametrize("module", FIELDS)
@MUTATIONS
@given(data=st.data())
def test_no_type_of_a_field_makes_another_error_than_ours(module: str, data: st.DataObject) -> None:
    reader = cast(Reader, importlib.import_module(module))
    known = {name: st.sampled_from(values) | JSON for name, values in FIELDS[module].items()}
    lines = data.draw(st.lists(st.fixed_dictionaries({}, optional=known), max_size=6))
    content = "\n".join(json.dumps(one) for one in lines).encode()
    reader.recognises(content)
    is_read_or_refused(reader, content)


TESTS = 4_000


def a_long_report() -> Iterator[bytes]:
    yield b'<testsuites><testsuite name="s">'
    for number in range(TESTS):
        yield b'<testcase classname="some.class" name="test_%d" time="0.001">' % number
        yield b"<system-out>%s</system-out></testcase>" % (b"printed %d " % number * 800)
    yield b"</testsuite></testsuites>"


def a_long_go_log() -> Iterator[bytes]:
    for number in range(TESTS):
        head = b'"Package":"p","Test":"Test%d"' % number
        yield b'{"Action":"run",%s}\n' % head
        yield b'{"Action":"output",%s,"Output":"%s"}\n' % (head, b"printed %d " % number * 800)
        yield b'{"Action":"pass",%s,"Elapsed":0.1}\n' % head


def a_long_report_log() -> Iterator[bytes]:
    for number in range(TESTS):
        for when in (b"setup", b"call", b"teardown"):
            out = b"printed %d " % number * 800 if when == b"teardown" else b""
            yield (
                b'{"nodeid":"a.py::t%d","when":"%s","outcome":"passed","longrepr":null,'
                b'"sections":[["Captured stdout call","%s"]],"duration":0.1,'
                b'"$report_type":"TestReport"}\n' % (number, when, out)
            )


def a_long_libtest_log() -> Iterator[bytes]:
    yield b'{"type":"suite","event":"started","test_count":1}\n'
    for number in range(TESTS):
        name = b'"name":"tests::t%d"' % number
        yield b'{"type":"test","event":"started",%s}\n' % name
        printed = b"printed %d " % number * 800
        yield b'{"type":"test","event":"ok",%s,"exec_time":0.1,"stdout":"%s"}\n' % (name, printed)


@pytest.mark.parametrize(
    "lines", [a_long_report, a_long_go_log, a_long_report_log, a_long_libtest_log]
)
def test_memory_grows_with_the_tests_and_not_with_what_they_printed(
    lines: Callable[[], Iterator[bytes]], tmp_path: Path
) -> None:
    path = tmp_path / "long"
    with path.open("wb") as file:
        file.writelines(lines())
    assert path.stat().st_size > 32 << 20
    tracemalloc.start()
    try:
        recording = read_path(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(recording.results.tests) == TESTS
    # 8 MiB of the log stay in memory before it goes to a file; a test takes about a kilobyte.
    assert peak < (8 << 20) + TESTS * 1500 + (2 << 20)


SLOW_TEXTS = [
    "--- PASS: a (",
    "[[PROPERTY|a=b]]\n",
    "[[PROPERTY|bundle.",
    "---- a ----\n",
    " a.go:1: ",
]


@pytest.mark.parametrize("piece", SLOW_TEXTS)
def test_no_text_takes_time_that_grows_with_its_square(piece: str) -> None:
    text = piece * (1_500_000 // len(piece))
    event = {"Action": "output", "Package": "p", "Test": "T", "Output": text}
    report = {"nodeid": "a.py::t", "when": "call", "outcome": "failed", "longrepr": text}
    bundled = '<properties><property name="bundle.run_id" value="x"/></properties>'
    case = f'<testcase name="t"><failure/><system-out>{text}</system-out></testcase>'
    contents = [
        '{"Action":"start","Package":"p"}\n' + json.dumps(event),
        '{"$report_type":"SessionStart"}\n' + json.dumps({**report, "$report_type": "TestReport"}),
        f'<testsuite name="pytest">{bundled}{case}</testsuite>',
    ]
    started = time.process_time()
    for content in contents:
        assert read_bytes(content.encode()).results.tests
    assert time.process_time() - started < 5


@pytest.fixture
def here(tmp_path: Path) -> Place:
    return place(tmp_path)


REPORT = FIXTURES / "junit" / "pytest-xunit2.xml"


def test_replay_and_show_and_export_take_a_foreign_file(here: Place) -> None:
    shown = here.bundle("replay", str(REPORT))
    assert shown.code == 0, shown.stderr
    assert "test_many::test_fails" in shown.stdout
    assert "23 tests run" not in shown.stderr
    assert here.bundle("show", str(REPORT)).code == 0
    assert here.bundle("export", str(REPORT), "--to", "junit").stdout.startswith("<?xml")
    assert here.bundle("replay", str(REPORT), "--exit-code").code == 1


def test_a_pipe_is_taken_too(here: Place) -> None:
    with REPORT.open("rb") as file:
        done = subprocess.run(
            [*BUNDLE, "replay", "-"],
            stdin=file,
            capture_output=True,
            timeout=60,
            env=here.environment(),
            cwd=here.project,
        )
    assert done.returncode == 0, done.stderr
    assert b"test_many::test_fails" in done.stdout


@pytest.mark.skipif(sys.platform == "win32", reason="needs a shell with process substitution")
def test_a_process_substitution_is_taken_too(here: Place) -> None:
    command = f"{sys.executable} -m bundler replay <(cat {REPORT})"
    done = here.run(["bash", "-c", command])
    assert done.code == 0, done.stderr
    assert "test_many::test_fails" in done.stdout


@pytest.mark.parametrize("path", OF_EACH, ids=named)
def test_what_is_added_is_a_run_like_any(here: Place, path: Path) -> None:
    added = here.bundle("add", str(path))
    assert added.code == 0, added.stderr
    again = here.bundle("add", str(path))
    assert "was here already" in again.stderr
    kept = here.latest()
    assert kept.results == read_path(path).results
    assert kept.manifest.source is not None
    assert kept.manifest.source["added_from"] == path.name
    verified = here.bundle("verify")
    assert verified.code == 0, verified.stdout + verified.stderr
    assert here.bundle("replay").code == 0


def test_a_file_of_no_known_format_is_said(here: Place) -> None:
    notes = here.file("notes.json", "hello")
    ended = here.bundle("replay", str(notes))
    assert ended.code == 3
    assert "of no format that is known here" in ended.stderr
