"""A bundle of which any byte is wrong, any end is cut or any members are missing.

What is left is read; what is wrong is named; and no test is called better than it was.
"""

from __future__ import annotations

import io
import shutil
import time
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import pytest
from builders import a_manifest, a_test, a_tree, line
from full_size import FULL

from bundler import bundle, cli, live_bundle, packing
from bundler.errors import BundleError
from bundler.manifest import RunStatus
from bundler.opening import read_path, read_stream
from bundler.recording import Recording
from bundler.results import Status, Verdict
from bundler.verification import verify

MASKS = (*(1 << bit for bit in range(8)), 0xFF) if FULL else (0x01, 0x80, 0xFF)
GOOD = {Verdict.PASSED, Verdict.XFAILED, Verdict.SKIPPED}


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sealed bundle of a run of three tests, of which two did not pass."""
    directory = tmp_path_factory.mktemp("bundle") / "run"
    directory.mkdir()
    live = live_bundle.begin(
        directory, a_manifest(status=RunStatus("running")), started_ns=time.monotonic_ns()
    )
    lines = a_test("a") + a_test("b", "failed") + [line("TestStarted", "c", attempt=1, order=0)]
    (directory / "notes.txt").write_text("kept beside the log")
    with live.log.open("ab") as log:
        log.writelines(lines)
    results = bundle.read(directory).results
    live.finish(RunStatus("failed", exit_code=1), "2026-01-01T00:00:00Z", results)
    return directory


@pytest.fixture(scope="module")
def whole(sealed: Path) -> Recording:
    recording = bundle.read(sealed)
    assert verdicts(recording) == {"a": "passed", "b": "failed", "c": "unfinished"}
    assert verify(recording) == []
    return recording


def verdicts(recording: Recording) -> dict[str, str]:
    return {test.test_id: test.verdict.value for test in recording.results.tests}


def assert_sound(damaged: Recording, whole: Recording) -> None:
    """It reads as before, or verify names what is wrong; no test has become better."""
    same = verdicts(damaged) == verdicts(whole) and damaged.manifest.status == whole.manifest.status
    assert same or verify(damaged)
    before = {test.test_id: test.verdict for test in whole.results.tests}
    for test in damaged.results.tests:
        assert test.verdict not in GOOD or before.get(test.test_id, test.verdict) in GOOD


def damaged(content: bytes) -> Iterator[bytes]:
    """The content with one byte changed, or its end cut off."""
    for at in range(len(content)):
        for mask in MASKS:
            changed = bytearray(content)
            changed[at] ^= mask
            yield bytes(changed)
        yield content[:at]


def test_any_byte_of_any_member_may_be_wrong(sealed: Path, whole: Recording) -> None:
    files = {name: whole.files[name] for name in whole.files}
    assert {bundle.MANIFEST, bundle.SUMMARY, bundle.SEALED_LOG} <= files.keys()
    for name, content in files.items():
        for changed in damaged(content):
            try:
                recording = bundle.from_members(a_tree({**files, name: changed}), where="x")
                assert_sound(recording, whole)
            except BundleError:
                continue


def test_any_byte_of_a_packed_bundle_may_be_wrong(sealed: Path, whole: Recording) -> None:
    target = io.BytesIO()
    packing.pack(sealed, target)
    for changed in damaged(target.getvalue()):
        try:
            recording = read_stream(io.BytesIO(changed), where="x.zip")
            read = {name: recording.files[name] for name in recording.files}
        except BundleError:
            continue
        assert read == {name: whole.files[name] for name in whole.files}
        assert_sound(recording, whole)


def test_any_byte_of_a_live_log_may_be_wrong(sealed: Path, whole: Recording) -> None:
    """A plain log has no digest, only the rules of its lines; no test becomes better by that."""
    files = {name: whole.files[name] for name in (bundle.MANIFEST, bundle.SUMMARY)}
    log = b"".join(one.content + b"\n" for one in whole.log.lines())
    before = {test.test_id: test.verdict for test in whole.results.tests}
    for changed in damaged(log):
        recording = bundle.from_members(a_tree({**files, bundle.LOG: changed}), where="x")
        for test in recording.results.tests:
            assert test.verdict not in GOOD or before.get(test.test_id, test.verdict) in GOOD


def test_any_members_may_be_missing(
    sealed: Path, whole: Recording, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    names = sorted(path.name for path in sealed.iterdir())
    subsets = [set(some) for n in range(len(names)) for some in combinations(names, n)]
    assert len(subsets) == 2 ** len(names) - 1 >= 15
    for number, some in enumerate(subsets):
        copy = tmp_path / str(number)
        shutil.copytree(sealed, copy, ignore=lambda _, all_of: [n for n in all_of if n not in some])  # noqa: B023
        code = cli.run(["replay", str(copy)])
        said = capfd.readouterr()
        assert "Traceback" not in said.err
        if bundle.MANIFEST not in some:
            assert code == 3
            assert said.err.count("error: ") == 1
            continue
        recording = read_path(copy)
        assert code == 0
        assert recording.manifest.status.state in set(Status)
        missing = {f"{name} is missing" for name in set(names) - some - {bundle.SEALED_LOG}}
        assert missing <= set(recording.problems)
        assert verify(recording)
        if bundle.SEALED_LOG not in some:
            assert not recording.results.tests
            assert any("log is missing" in one for one in recording.problems)
