"""`bundle verify`: what is wrong with a bundle, and what a repair rebuilds."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import Place, place
from own_event_runs import Run, a_run

from bundler import bundle, limits, verification
from bundler.bundle import read
from bundler.errors import DamagedRecording
from bundler.eventlog import FramedLog, Line
from bundler.limits import Limits
from bundler.verification import repair, verify

SUITE = "def test_a(): print('said')\ndef test_b(): assert 0\n"


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of one real run."""
    here = place(tmp_path_factory.mktemp("verify"))
    here.file("test_it.py", SUITE)
    here.bundle("run", "--", sys.executable, "-m", "pytest", "-p", "no:cacheprovider")
    return Path(here.latest().where)


@pytest.fixture
def run(recorded: Path, tmp_path: Path) -> Path:
    """A copy of it to damage."""
    return Path(shutil.copytree(recorded, tmp_path / "run"))


def problems(run: Path) -> list[str]:
    return [f"{one.member}: {one.problem}" for one in verify(bundle.read(run))]


def test_a_real_run_is_whole_and_valid(run: Path) -> None:
    assert problems(run) == []


def test_a_summary_that_was_changed_is_named_and_rebuilt(run: Path) -> None:
    before = (run / "summary.json").read_bytes()
    (run / "summary.json").write_bytes(before.replace(b'"failed"', b'"passed"'))
    assert any("summary.json" in one for one in problems(run))
    repair(run)
    assert problems(run) == []
    assert (run / "summary.json").read_bytes() == before


def test_a_manifest_that_lies_about_the_counts_is_named_and_rebuilt(run: Path) -> None:
    document = json.loads((run / "manifest.json").read_bytes())
    document["counts"] = {"passed": 2}
    (run / "manifest.json").write_text(json.dumps(document))
    assert any("other counts than the log" in one for one in problems(run))
    repair(run)
    assert problems(run) == []


def test_a_manifest_that_lies_about_the_end_is_named_and_rebuilt(run: Path) -> None:
    document = json.loads((run / "manifest.json").read_bytes())
    document["status"]["exit_code"] = 0
    (run / "manifest.json").write_text(json.dumps(document))
    assert problems(run) == ["manifest.json: says another end of the run than the log"]
    repair(run)
    assert problems(run) == []
    assert bundle.read(run).manifest.status.exit_code == 1


@pytest.mark.parametrize("missing", ["summary.json", "environment.json", "events.ndjson.zst"])
def test_a_missing_member_is_named(run: Path, missing: str) -> None:
    (run / missing).unlink()
    assert any(missing in one or "event log" in one for one in problems(run))


def test_a_member_that_is_not_in_the_manifest_is_named(run: Path) -> None:
    (run / "extra.txt").write_text("hello")
    assert problems(run) == ["extra.txt: is not in the manifest"]
    repair(run)
    assert problems(run) == []


def test_a_damaged_log_is_named_and_a_repair_keeps_what_is_left(run: Path) -> None:
    log = bytearray((run / "events.ndjson.zst").read_bytes())
    log[-20] ^= 0xFF
    (run / "events.ndjson.zst").write_bytes(log)
    assert any("digest" in one or "SHA-256" in one for one in problems(run))
    manifest = repair(run)
    assert not manifest.log.complete
    assert all("lost" in one for one in problems(run))


def test_a_green_run_whose_events_are_lost_is_no_longer_called_green(
    tmp_path: Path,
) -> None:
    here = place(tmp_path)
    here.file("test_it.py", "def test_a(): pass\n")
    here.bundle("run", "--", sys.executable, "-m", "pytest", "-p", "no:cacheprovider")
    run = Path(here.latest().where)
    (run / "events.ndjson.zst").write_bytes(b"")
    assert repair(run).status.state == "interrupted"


def test_a_manifest_that_cannot_be_read_cannot_be_repaired(run: Path) -> None:
    (run / "manifest.json").write_text("{")
    with pytest.raises(DamagedRecording):
        repair(run)


def test_an_event_that_does_not_fit_its_schema_is_named(run: Path) -> None:
    raw = b"".join(line.content + b"\n" for line in bundle.read(run).log.lines())
    (run / "events.ndjson").write_bytes(raw.replace(b'"outcome":"failed"', b'"outcome":"fine"'))
    (run / "events.ndjson.zst").unlink()
    assert any("TestFinished does not fit" in one for one in problems(run))


MISFITS = {
    b'"data":null': "None is not of type 'object'",
    b'"ts_us":18446744073709551616': "greater than the maximum",
    b'"thread_id":-1': "less than the minimum",
    b'"data":{"x":1e400}': "out of range",
    b'"data":{"x":"\xff"}': "can't decode byte 0xff",
}


@pytest.mark.parametrize("field", MISFITS, ids=lambda one: str(one)[:40])
def test_a_test_s_own_event_that_does_not_fit_is_named(run: Path, field: bytes) -> None:
    raw = b"".join(line.content + b"\n" for line in bundle.read(run).log.lines())
    common = {b"v": b"1", b"ts_us": b"0", b"level": b'"INFO"', b"category": b'"x"'}
    fields = common | {b"event": b'"Own"', b"message": b'""'}
    fields.pop(field.split(b'"')[1], None)
    own = b"".join(b'"%s":%s,' % pair for pair in fields.items())
    (run / "events.ndjson").write_bytes(raw + b"{" + own + field + b"}\n")
    (run / "events.ndjson.zst").unlink()
    said = MISFITS[field]
    assert any("Own does not fit: " in one and said in one for one in problems(run))


def test_events_nested_as_deep_as_can_be_read_are_looked_at(run: Path) -> None:
    head = b'{"v":1,"ts_us":0,"level":"INFO","category":"x","event":"Own","message":"","data":{"x":'
    nested = (b"[" * depth + b"]" * depth for depth in range(700, 1000))
    (run / "events.ndjson").write_bytes(b"".join(head + one + b"}}\n" for one in nested))
    (run / "events.ndjson.zst").unlink()
    assert any("the log does not end" in one for one in problems(run))


def test_the_log_is_read_once(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[FramedLog] = []
    lines = FramedLog.lines

    def counted(log: FramedLog) -> Iterator[Line]:
        read.append(log)
        return lines(log)

    monkeypatch.setattr(FramedLog, "lines", counted)
    assert (problems(run), len(read)) == ([], 1)


def test_what_verify_folds_is_what_everybody_folds(run: Path) -> None:
    recording = bundle.read(run)
    assert verify(recording) == []
    assert recording.results == bundle.read(run).results


def test_a_valid_run_is_not_held_to_its_schemas_by_the_slow_validators(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(verification, "validator", asked.append)
    monkeypatch.setattr(verification, "event_validator", asked.append)
    assert (problems(run), asked) == ([], [])


def test_the_command_says_what_is_wrong_and_exits_1(recorded: Path, tmp_path: Path) -> None:
    here = Place(tmp_path, tmp_path / "store")
    copy = Path(shutil.copytree(recorded, tmp_path / "run"))
    assert here.bundle("verify", f"{copy}/").code == 0
    (copy / "summary.json").unlink()
    ended = here.bundle("verify", f"{copy}/")
    assert ended.code == 1
    assert "summary.json: is missing (`bundle verify --repair` rebuilds it)" in ended.stdout
    found = json.loads(here.bundle("verify", f"{copy}/", "--json").stdout)
    assert {"member": "summary.json", "problem": "is missing", "derived": True} in found
    assert here.bundle("verify", f"{copy}/", "--repair").code == 0


def test_a_repro_manifest_that_breaks_its_contract_is_named_by_the_clause(tmp_path: Path) -> None:
    run = a_run(tmp_path / "run")
    [manifest] = run.glob("tests/drain/*/manifest.json")
    document = json.loads(manifest.read_bytes())
    manifest.write_bytes(json.dumps({**document, "invariant_ids": ["b", "a"]}).encode())
    found = [one.problem for one in verify(read(run)) if one.member.startswith("tests/drain")]
    assert "invariant_ids must be sorted and deduplicated" in found


def test_a_file_that_is_larger_than_memory_allows_is_verified(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "_chosen", Limits(whole_bytes=20_000))
    run = Run(tmp_path / "run")
    with run.test("drain") as harness:
        harness.attach(b"x" * 50_000, "large.bin")
    assert verify(read(run.end())) == []
