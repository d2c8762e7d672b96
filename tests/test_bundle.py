"""A run bundle on disk: begun, appended to, finished, sealed, packed, read; killed in between."""

from __future__ import annotations

import hashlib
import io
import json
import os
import sys
import threading
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest
from builders import a_manifest, a_test, line

from bundler import bundle, limits, live_bundle, packing, sealing, zip_writer
from bundler.errors import DamagedRecording, HostileRecording, NotARecording, TooNewRecording
from bundler.limits import Limits
from bundler.manifest import RunStatus, encode_document, parse_manifest, to_document
from bundler.results import Status

RUNNING = RunStatus("running")
PASSED = RunStatus("passed", exit_code=0)


def begun(directory: Path) -> live_bundle.LiveBundle:
    directory.mkdir(parents=True, exist_ok=True)
    manifest = a_manifest(status=RUNNING)
    return live_bundle.begin(directory, manifest, started_ns=time.monotonic_ns())


def append_raw(live: live_bundle.LiveBundle, *lines: bytes) -> None:
    with live.log.open("ab") as log:
        log.writelines(lines)


def finished(directory: Path, *lines: bytes) -> Path:
    live = begun(directory)
    append_raw(live, *lines)
    results = bundle.read(directory).results
    live.finish(PASSED, "2026-01-02T03:04:06Z", results)
    return directory


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_a_live_bundle_reads_as_far_as_it_has_come(tmp_path: Path) -> None:
    live = begun(tmp_path / "run")
    append_raw(live, *a_test("t"))
    recording = bundle.read(tmp_path / "run")
    assert recording.live
    assert recording.manifest.status.state == Status.RUNNING
    assert [test.test_id for test in recording.results.tests] == ["t"]
    live.close()
    assert not bundle.read(tmp_path / "run").live


@pytest.mark.skipif(sys.platform == "win32", reason="there a lock needs a file open for writing")
def test_looking_opens_nothing_for_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = finished(tmp_path / "run", *a_test("t"))
    (run / "run.lock").write_text("a stranger's")
    flags: list[int] = []
    real = os.open

    def noting(path: str, given: int, *rest: Any, **more: Any) -> int:
        flags.append(given)
        return real(path, given, *rest, **more)

    monkeypatch.setattr(os, "open", noting)
    assert not bundle.read(run).live
    assert flags
    assert not any(given & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC) for given in flags)


@pytest.mark.skipif(sys.platform == "win32", reason="no links without rights")
def test_a_lock_that_is_a_link_is_neither_followed_nor_waited_for(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    runs = [tmp_path / name for name in ("link", "pipe", "folder")]
    for run in runs:
        run.mkdir()
    (runs[0] / "run.lock").symlink_to(victim)
    os.mkfifo(runs[1] / "run.lock")
    (runs[2] / "run.lock").mkdir()
    assert [bundle.is_live(run) for run in runs] == [False] * 3
    assert victim.read_text() == "precious"


def test_the_end_is_a_line_of_its_own_behind_a_torn_one(tmp_path: Path) -> None:
    run = finished(tmp_path / "run", *a_test("t"), b'{"v":1,"ts_us":12,"lev')
    results = bundle.read(run).results
    assert results.finished is not None
    assert results.counts == {"passed": 1}


def test_a_finished_bundle_is_sealed_whole(tmp_path: Path) -> None:
    finished(tmp_path / "run", *a_test("t"))
    assert names(tmp_path / "run") == ["events.ndjson.zst", "manifest.json", "summary.json"]
    recording = bundle.read(tmp_path / "run")
    assert recording.manifest.status == PASSED
    assert recording.manifest.counts == {"passed": 1}
    assert recording.manifest.log.complete and recording.results.complete
    assert recording.problems == []


def test_the_manifest_holds_the_digest_of_every_member(tmp_path: Path) -> None:
    run = finished(tmp_path / "run", *a_test("t"))
    manifest = bundle.read(run).manifest
    assert {member.name for member in manifest.members} == {"events.ndjson.zst", "summary.json"}
    for member in manifest.members:
        content = (run / member.name).read_bytes()
        assert (member.size, member.sha256) == (
            len(content),
            hashlib.sha256(content).hexdigest(),
        )


def test_a_run_whose_recorder_vanished_is_interrupted(tmp_path: Path) -> None:
    live = begun(tmp_path / "run")
    append_raw(live, line("TestStarted", "t", order=0), b'{"v":1,"ts_us":12,"lev')
    live.close()
    recording = bundle.read(tmp_path / "run")
    assert recording.manifest.status.state == Status.INTERRUPTED
    assert recording.manifest.counts == {"unfinished": 1}
    assert [one.why for one in recording.damaged_lines] == ["torn"]


@pytest.mark.parametrize("written", range(4))
def test_sealing_again_after_a_kill_anywhere_gives_the_same_run(
    tmp_path: Path, written: int
) -> None:
    whole = finished(tmp_path / "whole", *a_test("t"))
    live = begun(tmp_path / "run")
    append_raw(live, *a_test("t"))
    raw = b"".join(one.content + b"\n" for one in bundle.read(whole).log.lines())
    live.close()
    live.log.write_bytes(raw)
    for name in ["events.ndjson.zst", "summary.json", "manifest.json"][:written]:
        (tmp_path / "run" / name).write_bytes((whole / name).read_bytes())
    assert bundle.read(tmp_path / "run").manifest.status.state == Status.PASSED
    sealing.seal_abandoned(tmp_path / "run")
    assert names(tmp_path / "run") == ["events.ndjson.zst", "manifest.json", "summary.json"]
    assert bundle.read(tmp_path / "run").manifest.status.state == Status.PASSED


def test_packing_twice_gives_identical_bytes(tmp_path: Path) -> None:
    run = finished(tmp_path / "run", *a_test("t"))
    first, second = io.BytesIO(), io.BytesIO()
    packing.pack(run, first)
    (run / "summary.json").touch()
    packing.pack(run, second)
    assert first.getvalue() == second.getvalue()


def test_a_zip_reads_as_the_directory_does(tmp_path: Path) -> None:
    run = finished(tmp_path / "run", *a_test("t", "failed"))
    with (tmp_path / "run.zip").open("wb") as target:
        packing.pack(run, target)
    packed, plain = bundle.read(tmp_path / "run.zip"), bundle.read(run)
    assert packed.manifest == plain.manifest
    assert packed.results == plain.results
    assert zipfile.ZipFile(tmp_path / "run.zip").namelist()[0] == "manifest.json"


@pytest.mark.skipif(sys.platform == "win32", reason="looking takes no lock there")
def test_whoever_looks_just_now_keeps_no_run_from_being_recorded(tmp_path: Path) -> None:
    import fcntl

    (tmp_path / "run").mkdir()
    with (tmp_path / "run" / bundle.LOCK).open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        looked = threading.Timer(0.1, fcntl.flock, (lock.fileno(), fcntl.LOCK_UN))
        looked.start()
        begun(tmp_path / "run").close()
        looked.join()


@pytest.mark.parametrize("name", ["large.txt", "large.png"])
def test_a_zip_with_a_member_too_large_for_memory_is_packed_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (tmp_path / "run" / "tests").mkdir(parents=True)
    (tmp_path / "run" / "tests" / name).write_bytes(os.urandom(1 << 20) + bytes(1 << 20))
    run = finished(tmp_path / "run", *a_test("t"))
    with (tmp_path / "run.zip").open("wb") as target:
        packing.pack(run, target)
    monkeypatch.setattr(limits, "_chosen", Limits(whole_bytes=1 << 20))
    again = io.BytesIO()
    packing.pack(tmp_path / "run.zip", again)
    assert again.getvalue() == (tmp_path / "run.zip").read_bytes()


@pytest.mark.skipif(sys.platform == "win32", reason="no links without rights")
def test_packing_takes_nothing_from_behind_a_folder_that_became_a_link(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    (run / "tests").mkdir(parents=True)
    (run / "tests" / "secret").write_text("harmless")
    finished(run, *a_test("t"))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "secret").write_text("somebody else's")
    real = zip_writer.write_zip

    def swapped_just_before(members: Any, target: Any) -> None:
        (run / "tests" / "secret").unlink()
        (run / "tests").rmdir()
        (run / "tests").symlink_to(elsewhere)
        real(members, target)

    monkeypatch.setattr(packing, "write_zip", swapped_just_before)
    target = io.BytesIO()
    with pytest.raises(HostileRecording, match="link"):
        packing.pack(run, target)
    assert b"somebody" not in target.getvalue()


def test_packing_a_killed_run_seals_it_first(tmp_path: Path) -> None:
    live = begun(tmp_path / "run")
    append_raw(live, line("TestStarted", "t", order=0))
    live.close()
    with (tmp_path / "run.zip").open("wb") as target:
        manifest = packing.pack(tmp_path / "run", target).manifest
    assert manifest.status.state == Status.INTERRUPTED
    assert bundle.read(tmp_path / "run.zip").manifest.status.state == Status.INTERRUPTED


def test_packing_a_live_run_leaves_it_live(tmp_path: Path) -> None:
    live = begun(tmp_path / "run")
    append_raw(live, *a_test("t"))
    with (tmp_path / "run.zip").open("wb") as target:
        packing.pack(tmp_path / "run", target)
    assert live.log.exists()
    assert [t.test_id for t in bundle.read(tmp_path / "run.zip").results.tests] == ["t"]
    live.close()


def test_an_unknown_field_of_a_newer_minor_survives_sealing(tmp_path: Path) -> None:
    live = begun(tmp_path / "run")
    path = tmp_path / "run" / "manifest.json"
    document = json.loads(path.read_bytes())
    document["weather"] = "fine"
    document["command"]["shell"] = "zsh"
    document["format"]["minor"] = 7
    path.write_bytes(encode_document(document))
    live.close()
    sealing.seal_abandoned(tmp_path / "run")
    kept = json.loads(path.read_bytes())
    assert (kept["weather"], kept["command"]["shell"], kept["format"]["minor"]) == (
        "fine",
        "zsh",
        7,
    )


def test_another_major_version_is_refused_with_the_cure() -> None:
    document = to_document(a_manifest())
    document["format"] = {"major": 2, "minor": 0}
    with pytest.raises(TooNewRecording) as caught:
        parse_manifest(encode_document(document))
    assert "seedbundle 2" in caught.value.hint


@pytest.mark.parametrize(
    ("field", "value"),
    [("seed", -1), ("seed", 2**64), ("seed", True), ("seed", 1.0), ("run_id", 7), ("format", 1)],
)
def test_a_manifest_of_the_wrong_shape_is_damaged(field: str, value: object) -> None:
    document = to_document(a_manifest())
    document[field] = value
    with pytest.raises(DamagedRecording):
        parse_manifest(encode_document(document))


def test_a_directory_without_a_manifest_is_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(NotARecording):
        bundle.read(tmp_path)


@pytest.mark.parametrize("missing", ["events.ndjson.zst", "summary.json"])
def test_a_missing_member_is_said(tmp_path: Path, missing: str) -> None:
    run = finished(tmp_path / "run", *a_test("t"))
    (run / missing).unlink()
    recording = bundle.read(run)
    assert any("missing" in problem for problem in recording.problems)


@pytest.mark.parametrize("where", range(8))
def test_a_member_with_another_digest_is_said_and_the_rest_is_read(
    tmp_path: Path, where: int
) -> None:
    run = finished(tmp_path / "run", *a_test("t"))
    log = bytearray((run / "events.ndjson.zst").read_bytes())
    log[len(log) * (where + 1) // 9] ^= 0xFF
    (run / "events.ndjson.zst").write_bytes(log)
    recording = bundle.read(run)
    assert any("digest" in problem for problem in recording.problems)
    assert not recording.results.complete  # the checksum of its frame tells
