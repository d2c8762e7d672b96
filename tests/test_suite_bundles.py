"""A suite with a harness of its own: its test bundles are in the run, and are tests of the run."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

import asupersync_samples as samples
import pytest
from command_line import Place, place

from bundler.recording import Recording
from bundler.results import Verdict
from bundler.verification import verify

COPY = """
import os, shutil, sys
for name in sys.argv[1:]:
    shutil.copytree(name, os.environ["ASUPERSYNC_TEST_ARTIFACTS_DIR"], dirs_exist_ok=True)
"""


def record_a_copy_of(tmp_path: Path, folder: str) -> tuple[Place, str]:
    """Record a command that leaves what asupersync itself once left."""
    here = place(tmp_path)
    samples.written(samples.tree(folder), here.project / "theirs")
    here.file("suite.py", COPY)
    ended = here.bundle("run", "--", sys.executable, "suite.py", "theirs")
    assert ended.code == 0
    return here, ended.stderr


def told(recording: Recording) -> list[tuple[str, int | None, str]]:
    return sorted((one.test_id, one.seed, one.verdict.value) for one in recording.results.tests)


@pytest.mark.skipif(os.name == "nt", reason="Windows cannot write some of these names")
@pytest.mark.parametrize("folder", ["layout1", "layout2", "layout34", "mixed"])
def test_every_bundle_that_asupersync_writes_is_a_test_of_the_run(
    tmp_path: Path, folder: str
) -> None:
    here, _ = record_a_copy_of(tmp_path, folder)
    run = here.latest()
    alone = samples.read(samples.tree(folder))
    assert told(run) == told(alone) != []
    failures = [[one.message for one in test.attempts[0].failures] for test in run.results.tests]
    assert any(failures) == any("failed" in one for one in told(run))
    assert run.manifest.status.state == "passed"  # the command says how the run ended
    assert verify(run) == []


def test_its_files_are_in_the_run_as_they_were(tmp_path: Path) -> None:
    here, said = record_a_copy_of(tmp_path, "layout1")
    files = here.latest().files
    theirs = samples.tree("layout1")
    kept = {files[name] for name in files if name.startswith("tests/")}
    assert kept == set(theirs.values())
    where = "cancel_drain_001/00000000deadbeef/events.ndjson"
    assert files[f"tests/{where}"] == theirs[where]
    assert "'suite::module::test with spaces' has a name that is not made of" in said


def test_what_a_test_logged_is_not_in_the_log_twice(tmp_path: Path) -> None:
    here, _ = record_a_copy_of(tmp_path, "layout1")
    run = here.latest()
    logged = {event.event for _, event in run.events() if event.test_id is not None}
    assert logged == {"TestStarted", "TestFinished", "Attachment"}
    paths = [e.payload()["path"] for _, e in run.events() if e.event == "Attachment"]
    assert paths and all(path in run.files for path in paths)


def test_a_damaged_bundle_is_said_and_the_others_are_read(tmp_path: Path) -> None:
    here = place(tmp_path)
    samples.written(samples.tree("layout2"), here.project / "theirs")
    samples.written({"bad/0000000000000001/manifest.json": b'{"scenario_id": "bad"'}, here.project)
    here.file("suite.py", COPY)
    shutil.move(here.project / "bad", here.project / "theirs" / "bad")
    ended = here.bundle("run", "--", sys.executable, "suite.py", "theirs")
    assert "bundle: tests: tests/bad/0000000000000001/manifest.json" in ended.stderr
    run = here.latest()
    [test] = run.results.with_id("tests/bad")
    assert test.verdict is Verdict.UNFINISHED
    assert len(run.results.tests) == 1 + len(samples.read(samples.tree("layout2")).results.tests)


HARNESS = """
from bundler.testing import ChecksFailed, TestContext, TestHarness

for name in ("passes", "fails", "../odd"):
    try:
        with TestHarness(TestContext.from_environment(name)) as bundle:
            bundle.log("X")
            bundle.check("drained", 4, 3 if name == "fails" else 4)
    except ChecksFailed:
        pass
"""


def test_any_program_with_the_harness_is_a_suite(tmp_path: Path) -> None:
    here = place(tmp_path)
    here.file("program.py", HARNESS)
    ended = here.bundle("run", "--", sys.executable, "program.py")
    assert ended.code == 0
    assert here.verdicts() == {"passes": "passed", "fails": "failed", "../odd": "passed"}
    [failed] = here.latest().results.with_id("fails")
    assert [one.message for one in failed.attempts[0].failures] == [
        "drained: expected=4, actual=3",
    ]
    folders = [one.name for one in (Path(here.latest().where) / "tests").iterdir()]
    assert len(folders) == 3  # and no second one for the test that failed


def test_what_pytest_told_of_is_not_told_twice(tmp_path: Path) -> None:
    here = place(tmp_path)
    here.file(
        "test_it.py", HARNESS.replace("\nfor", "\ndef test_x():\n  for").replace("    ", "     ")
    )
    here.bundle("run", "--", sys.executable, "-m", "pytest")
    assert here.verdicts() == {"test_it.py::test_x": "passed"}
    assert "tests/passes" in str(list(here.latest().files))


# --- a crate -----------------------------------------------------------------------------------

CRATE = r"""
use std::{env, fs, path::PathBuf};

/// Writes a test bundle as asupersync's `write_artifact_bundle` does.
pub fn write_bundle(test_id: &str, seed: u64, passed: bool) {
    let base = env::var("ASUPERSYNC_TEST_ARTIFACTS_DIR").unwrap_or("target/test-artifacts".into());
    let directory = PathBuf::from(base).join(test_id).join(format!("{seed:016x}"));
    fs::create_dir_all(&directory).unwrap();
    let class = if passed { "passed" } else { "assertion_failure" };
    let manifest = format!(
        "{{\n  \"schema_version\": 1,\n  \"seed\": {seed},\n  \"scenario_id\": \"{test_id}\",\n  \
         \"invariant_ids\": [],\n  \"trace_fingerprint\": \"pending:{test_id}:{seed:016x}\",\n  \
         \"replay_command\": \"ASUPERSYNC_SEED=0x{seed:X} cargo test {test_id}\",\n  \
         \"failure_class\": \"{class}\",\n  \"artifact_paths\": [],\n  \"passed\": {passed}\n}}"
    );
    let event = format!(
        "{{\"v\":1,\"ts_us\":5,\"level\":\"INFO\",\"category\":\"task\",\"event\":\"TaskSpawn\",\
         \"test_id\":\"{test_id}\",\"seed\":{seed},\"thread_id\":1,\"message\":\"spawned\",\
         \"data\":{{\"task_id\":3}}}}\n"
    );
    fs::write(directory.join("events.ndjson"), event).unwrap();
    fs::write(directory.join("manifest.json"), manifest).unwrap();
}

#[test]
fn cancel_drain() { write_bundle("cancel_drain", 0xDEADBEEF, true); }

#[test]
fn accept_loop() { write_bundle("net/tcp/accept_loop", 7, true); }

#[test]
fn leaks() { write_bundle("leaks", 1, false); panic!("leaked"); }
"""


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("cargo") is None, reason="cargo is not installed")
def test_the_bundles_of_a_crate_are_in_the_run(tmp_path: Path) -> None:
    here = place(tmp_path)
    here.file("Cargo.toml", '[package]\nname = "crate_with_bundles"\nversion = "0.1.0"\n')
    here.file("src/lib.rs", CRATE)
    ended = here.bundle("run", "--", "cargo", "test", "--offline", "-q")
    assert ended.code == 101
    run = here.latest()
    by_itself = {one.test_id: one.verdict.value for one in run.results.tests}
    wanted = {"cancel_drain": "passed", "net/tcp/accept_loop": "passed", "leaks": "failed"}
    assert wanted.items() <= by_itself.items()
    assert run.manifest.status.state == "failed"
    assert json.loads(run.files["tests/cancel_drain/00000000deadbeef/manifest.json"])["passed"]
    assert verify(run) == []
    assert not (here.project / "target" / "test-artifacts").exists()
