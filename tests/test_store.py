"""The store: runs found by listing, named by latest, a prefix or a path."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from builders import a_manifest, a_test

from bundler import bundle, live_bundle, packing, pruning
from bundler.errors import AmbiguousRun, DamagedRecording, NotARecording, OutputError, RunNotFound
from bundler.manifest import RunStatus
from bundler.results import Status
from bundler.retention import DAY_US, Policy
from bundler.store import Store, is_path, open_recording, project_of, store_root

IDS = [f"{n:08x}-0000-4000-8000-000000000000" for n in (0xABCD0001, 0xABCE0002, 0x12340003)]


def store_with(tmp_path: Path, ids: list[str] = IDS) -> Store:
    store = Store(tmp_path / "store", tmp_path / "project")
    for run_id in ids:
        live = live_bundle.begin(
            store.new_run(run_id),
            a_manifest(run_id=run_id, status=RunStatus("running")),
            started_ns=time.monotonic_ns(),
        )
        with live.log.open("ab") as log:
            log.writelines(a_test("t"))
        results = bundle.read(live.directory).results
        live.finish(RunStatus("passed", exit_code=0), "2026-01-01T00:00:00Z", results)
    return store


def test_latest_is_the_last_of_the_sequence(tmp_path: Path) -> None:
    store = store_with(tmp_path)
    assert [run.run_id for run in store.runs()] == IDS
    assert store.find("latest").run_id == IDS[-1]


def test_a_unique_prefix_names_a_run(tmp_path: Path) -> None:
    assert store_with(tmp_path).find("abcd").run_id == IDS[0]


def test_a_prefix_of_two_runs_is_ambiguous_and_names_them(tmp_path: Path) -> None:
    with pytest.raises(AmbiguousRun, match=r"abcd0001.*abce0002"):
        store_with(tmp_path).find("abc")


@pytest.mark.parametrize("name", ["ffff", "", "no such"])
def test_no_such_run(tmp_path: Path, name: str) -> None:
    with pytest.raises(RunNotFound):
        store_with(tmp_path).find(name)


def test_an_empty_store_says_how_to_record(tmp_path: Path) -> None:
    with pytest.raises(RunNotFound) as caught:
        Store(tmp_path / "none", tmp_path).find("latest")
    assert "bundle run" in caught.value.hint


def test_a_damaged_run_disturbs_no_other(tmp_path: Path) -> None:
    store = store_with(tmp_path)
    (store.runs()[1].path / "manifest.json").write_text("{")
    states = [run.status.state for run in store.runs()]
    assert states == ["passed", "damaged", "passed"]


def test_a_run_whose_recorder_vanished_is_listed_as_interrupted(tmp_path: Path) -> None:
    store = Store(tmp_path / "store", tmp_path)
    live = live_bundle.begin(
        store.new_run(IDS[0]), a_manifest(status=RunStatus("running")), started_ns=0
    )
    assert store.find("latest").live
    live.close()
    assert store.find("latest").status.state == Status.INTERRUPTED


def test_the_store_says_who_owns_it(tmp_path: Path) -> None:
    store = store_with(tmp_path)
    assert "bundle" in (store.root / "README.txt").read_text()
    assert str(store.project) in (store.directory / "README.txt").read_text()


def test_a_store_that_is_a_file_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("")
    with pytest.raises(OutputError, match="cannot be read"):
        Store(tmp_path / "store", tmp_path).runs()


def test_projects_of_the_same_name_do_not_meet(tmp_path: Path) -> None:
    one, two = Store(tmp_path, Path("/a/app")), Store(tmp_path, Path("/b/app"))
    assert one.directory != two.directory


def test_the_project_is_where_its_marks_are(tmp_path: Path) -> None:
    inner = tmp_path / "project" / "src" / "deep"
    inner.mkdir(parents=True)
    (tmp_path / "project" / "pyproject.toml").touch()
    assert project_of(inner) == tmp_path / "project"


def test_the_environment_names_the_store(tmp_path: Path) -> None:
    assert store_root({"BUNDLE_STORE": str(tmp_path)}, tmp_path) == tmp_path


def test_the_configuration_names_the_store_where_the_environment_does_not(tmp_path: Path) -> None:
    stated = tmp_path / "stated"
    (tmp_path / "pyproject.toml").write_text(f"[tool.bundle]\nstore = '{stated.as_posix()}'\n")
    assert store_root({"BUNDLE_CONFIG": os.devnull}, tmp_path) == stated


@pytest.mark.parametrize("name", ["run.zip", "./run", "a/b", "report.xml", ".", f"x{os.sep}y"])
def test_what_is_a_path(name: str) -> None:
    assert is_path(name)


@pytest.mark.parametrize("name", ["latest", "abcd", "0f4c1a52-8d0e-4f7b-9a86-1f2d3c4b5a69"])
def test_what_is_no_path(name: str) -> None:
    assert not is_path(name)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this platform has no named pipes")
def test_a_pipe_is_read_as_the_file_is(tmp_path: Path) -> None:
    store = store_with(tmp_path)
    with (tmp_path / "run.zip").open("wb") as target:
        packing.pack(store.find("latest").path, target)
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    copy = "import sys; open(sys.argv[2], 'wb').write(open(sys.argv[1], 'rb').read())"
    words = [sys.executable, "-c", copy, str(tmp_path / "run.zip"), str(fifo)]
    writer = subprocess.Popen(words)
    recording = open_recording(str(fifo))
    assert writer.wait() == 0
    assert recording.manifest.run_id == IDS[-1]


def test_a_file_that_is_no_recording_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(NotARecording):
        open_recording(str(tmp_path / "notes.txt"))


def test_what_is_added_keeps_its_id_and_every_event(tmp_path: Path) -> None:
    store = store_with(tmp_path)
    with (tmp_path / "run.zip").open("wb") as target:
        packing.pack(store.find("abcd").path, target)
    here = Store(tmp_path / "store", tmp_path / "elsewhere")
    added = here.add(open_recording(str(tmp_path / "run.zip")), {"added_from": "run.zip"})
    recording = bundle.read(added.path)
    assert recording.manifest.run_id == IDS[0]
    assert recording.manifest.source == {"added_from": "run.zip"}
    assert recording.results == bundle.read(tmp_path / "run.zip").results
    assert [path.name for path in here.directory.iterdir() if path.is_dir()] == [added.path.name]


def test_adding_twice_changes_nothing(tmp_path: Path) -> None:
    store = store_with(tmp_path)
    recording = bundle.read(store.find("latest").path)
    before = [run.path for run in store.runs()]
    store.add(recording, {})
    assert [run.path for run in store.runs()] == before


def test_a_run_id_that_is_a_path_is_not_taken_in(tmp_path: Path) -> None:
    recording = bundle.read(store_with(tmp_path).find("latest").path)
    recording.manifest = a_manifest(run_id="../../etc")
    with pytest.raises(DamagedRecording):
        Store(tmp_path / "store", tmp_path / "elsewhere").add(recording, {})


def test_what_a_killed_add_left_behind_goes_with_a_prune_a_day_later(tmp_path: Path) -> None:
    store = store_with(tmp_path)
    left = store.directory / "adding-abc"
    left.mkdir()
    now_us = time.time_ns() // 1000
    pruning.carry_out(store, *pruning.planned(store, Policy(), now_us), now_us)
    assert left.exists(), "somebody may be adding this very moment"
    later_us = now_us + 2 * DAY_US
    pruning.carry_out(store, *pruning.planned(store, Policy(), later_us), later_us)
    assert not left.exists()
    assert len(store.runs()) == len(IDS)
