"""`bundle export`: which format, where to, and what is said where it cannot be."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from builders import a_log, a_manifest, a_test, line

from bundler import packing
from bundler.cli import run as bundle_command
from bundler.formats import WRITERS, Target
from bundler.manifest import encode_document, to_document

SUITE = a_log(line("SessionStarted", runner="pytest"), a_test("a.py::t"), a_test("a.py::u"))


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    """The directory of a run bundle with two tests that passed."""
    directory = tmp_path / "run"
    directory.mkdir()
    (directory / "events.ndjson").write_bytes(SUITE)
    document = encode_document(to_document(a_manifest()))
    (directory / "manifest.json").write_bytes(document)
    return directory


def exported(*words: str | Path) -> int:
    return bundle_command(["export", *map(str, words)])


def names(document: bytes) -> list[str | None]:
    return [case.get("name") for case in ET.fromstring(document).iter("testcase")]


def test_a_run_goes_to_a_file(stored: Path, tmp_path: Path) -> None:
    assert exported(stored, "--to", "junit", "-o", tmp_path / "junit.xml") == 0
    assert names((tmp_path / "junit.xml").read_bytes()) == ["t", "u"]


@pytest.mark.parametrize("words", [(), ("-o", "-")])
def test_a_run_goes_to_stdout(
    stored: Path, capfdbinary: pytest.CaptureFixture[bytes], words: tuple[str, ...]
) -> None:
    command = [sys.executable, "-m", "bundler", "export", str(stored), "--to", "junit", *words]
    ended = subprocess.run(command, capture_output=True, timeout=60, check=True)
    assert names(ended.stdout) == ["t", "u"]
    assert ended.stderr == b""


def test_a_dialect_is_written(stored: Path, tmp_path: Path) -> None:
    target = tmp_path / "junit.xml"
    assert exported(stored, "--to", "junit", "--dialect", "jenkins", "-o", target) == 0
    assert b"[[PROPERTY|bundle.seed=" in target.read_bytes()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--to", "jnuit"], ["format 'jnuit' is not known; the formats are:", "mean junit?"]),
        (["--to", "JUnit"], ["format 'JUnit' is not known", "Did you mean junit?"]),
        ([], ["a format is missing", "`--to FORMAT`", "junit"]),
        (["--to", "zzz"], ["format 'zzz' is not known; the formats are:", "junit"]),
        (
            ["--to", "junit", "--dialect", "jenkin"],
            ["'jenkin' is not known; the dialects of junit are: pytest, jenkins", "mean jenkins?"],
        ),
        (["--to", "junit", "--dialect", ""], ["dialect '' is not known"]),
    ],
)  # fmt: skip
def test_an_unknown_word_is_answered_with_the_known_ones(
    stored: Path, capsys: pytest.CaptureFixture[str], words: list[str], expected: list[str]
) -> None:
    assert exported(stored, *words) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert [one for one in expected if one not in told.err] == []


def test_a_run_that_is_not_there_leaves_the_file_alone(tmp_path: Path) -> None:
    target = tmp_path / "junit.xml"
    target.write_text("before")
    assert exported(tmp_path / "nothing", "--to", "junit", "-o", target) == 4
    assert target.read_text() == "before"


def test_a_failure_half_way_leaves_the_old_file(
    stored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken:
        @staticmethod
        def write(recording: object, target: Target) -> None:
            target.write(b"<half")
            raise OSError(28, "No space left on device")

    monkeypatch.setitem(sys.modules, "broken_writer", Broken)
    monkeypatch.setitem(WRITERS, "broken", "broken_writer")
    target = tmp_path / "out" / "junit.xml"
    target.parent.mkdir()
    target.write_text("before")
    assert exported(stored, "--to", "broken", "-o", target) == 2
    assert target.read_text() == "before"
    assert list(target.parent.iterdir()) == [target]


def test_a_format_without_dialects_says_so(
    stored: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(WRITERS, "plain", "bundler.seeds")
    assert exported(stored, "--to", "plain", "--dialect", "any") == 2
    assert "format 'plain' has no dialects" in capsys.readouterr().err


@pytest.mark.parametrize("target", ["missing/junit.xml", "."])
def test_a_place_that_refuses_is_named(
    stored: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], target: str
) -> None:
    assert exported(stored, "--to", "junit", "-o", tmp_path / target) == 2
    told = capsys.readouterr().err
    assert f"{tmp_path / target} cannot be written: " in told
    assert "Traceback" not in told


@pytest.mark.skipif(os.name == "nt", reason="named pipes are POSIX")
def test_a_pipe_is_written_to_and_stays_a_pipe(stored: Path, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()), daemon=True)
    reader.start()
    assert exported(stored, "--to", "junit", "-o", pipe) == 0
    reader.join(timeout=10)
    assert names(read[0]) == ["t", "u"]
    assert pipe.is_fifo()


@pytest.mark.skipif(os.name == "nt", reason="symbolic links need a privilege there")
def test_a_link_is_written_through(stored: Path, tmp_path: Path) -> None:
    link = tmp_path / "latest.xml"
    link.symlink_to(tmp_path / "real.xml")
    assert exported(stored, "--to", "junit", "-o", link) == 0
    assert link.is_symlink()
    assert names((tmp_path / "real.xml").read_bytes()) == ["t", "u"]


def test_a_reader_that_stops_reading_is_no_error(tmp_path: Path) -> None:
    directory = tmp_path / "run"
    directory.mkdir()
    text = "x" * 100_000
    output = line("TestOutput", "a.py::t", stream="stdout", phase="call", text=text)
    log = a_log(a_test("a.py::t"), *([output] * 50))
    (directory / "events.ndjson").write_bytes(log)
    document = encode_document(to_document(a_manifest()))
    (directory / "manifest.json").write_bytes(document)
    command = [sys.executable, "-m", "bundler", "export", str(directory), "--to", "junit"]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert child.stdout is not None and child.stderr is not None
    child.stdout.read(10)
    child.stdout.close()
    assert child.stderr.read() == b""
    assert child.wait(timeout=60) == 0
    child.stderr.close()


def test_nothing_is_exported_for_a_reader_that_is_gone(
    stored: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Endless:
        @staticmethod
        def write(recording: object, target: Target) -> None:
            for _ in range(100):
                target.write(b"x" * 100_000)
            raise AssertionError("it wrote on")

    monkeypatch.setitem(sys.modules, "endless_writer", Endless)
    monkeypatch.setitem(WRITERS, "endless", "endless_writer")
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as stdout:
        monkeypatch.setattr(sys, "stdout", stdout)
        assert exported(stored, "--to", "endless") == 0


def test_a_packed_run_is_exported_like_its_directory(stored: Path, tmp_path: Path) -> None:
    with (tmp_path / "run.zip").open("wb") as file:
        packing.pack(stored, file)
    one, other = tmp_path / "one.xml", tmp_path / "other.xml"
    assert exported(tmp_path / "run.zip", "--to", "junit", "-o", one) == 0
    assert exported(stored, "--to", "junit", "-o", other) == 0
    assert one.read_bytes() == other.read_bytes()


def test_the_help_names_every_format(capsys: pytest.CaptureFixture[str]) -> None:
    assert exported("--help") == 0
    told = capsys.readouterr().out
    assert all(name in told for name in WRITERS)
    assert "bundle export --to junit -o junit.xml" in told


def test_no_format_is_html() -> None:
    """So no markup of a stranger is ever shown by a browser of ours."""
    assert sorted(WRITERS) == ["ctrf", "junit", "libtest", "ndjson"]
