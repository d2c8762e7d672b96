"""Every test that did not pass has a bundle of its own, derived from the log and bounded."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from builders import RUN_ID, SEED, a_log, a_recording, a_test, line
from command_line import Place, place

from bundler import test_bundles
from bundler.fingerprint import fingerprint
from bundler.manifest import FORMAT_MINOR
from bundler.names import slug
from bundler.schema import validator
from bundler.seeds import scenario_seed
from bundler.verification import repair, verify

ID = "test_a.py::test_x[it's]"
OF_A_FAILURE = (
    "events.ndjson",
    "failed_assertions.json",
    "generator_state.json",
    "manifest.json",
)
FAILURE = {
    "phase": "call",
    "type": "AssertionError",
    "message": "assert 1 == 2",
    "file": "test_a.py",
    "line": 3,
}


def written(directory: Path, *lines: bytes | list[bytes], **options: Any) -> list[str]:
    """Write the bundles of a log; return the names of their files."""
    test_bundles.write(directory, a_recording(a_log(*lines)), **options)
    return sorted(p.relative_to(directory).as_posix() for p in directory.rglob("*") if p.is_file())


def bundle_of(directory: Path, test_id: str = ID) -> Path:
    """Where the bundle of a test is; the logs of the builders give every test the root seed."""
    return directory / test_bundles.folder(test_id, SEED)


def manifest_of(directory: Path, test_id: str = ID) -> dict[str, Any]:
    """Its manifest, which fits its schema."""
    document: dict[str, Any] = json.loads(
        (bundle_of(directory, test_id) / "manifest.json").read_bytes()
    )
    validator("repro-manifest.v1").validate(document)
    return document


def test_a_run_that_passed_has_none(tmp_path: Path) -> None:
    kinds = ("passed", "skipped", "xfailed", "xpassed")
    flaky = [*a_test("f", "failed"), *a_test("f", "passed", attempt=2)]
    assert written(tmp_path, *(a_test(kind, kind) for kind in kinds), flaky) == []
    assert list(tmp_path.iterdir()) == []


def test_it_lies_under_slug_and_seed_and_has_these_files(tmp_path: Path) -> None:
    states = {"random": {"version": 3, "state": "eA==", "gauss_next": 0.5}}
    started, finished = a_test(ID, "failed", failures=[FAILURE])
    kept = line("GeneratorState", ID, attempt=1, states=states)
    names = written(tmp_path, started, kept, finished, a_test("other"))
    where = f"tests/{slug(ID)}/00000000deadbeef"
    assert names == [f"{where}/{name}" for name in OF_A_FAILURE]
    assert json.loads((tmp_path / where / "generator_state.json").read_bytes()) == states
    assert json.loads((tmp_path / where / "failed_assertions.json").read_bytes()) == [
        {
            "description": "assert 1 == 2",
            "passed": False,
            "phase_path": "call",
            "type": "AssertionError",
            "file": "test_a.py",
            "line": 3,
        }
    ]


def test_its_manifest_is_the_repro_manifest(tmp_path: Path) -> None:
    written(tmp_path, a_test(ID, "failed", failures=[FAILURE]))
    manifest = manifest_of(tmp_path)
    assert manifest.pop("execution") == {
        "root_seed_hex": "00000000deadbeef",
        "seed_imposed": False,
        "session": "5e551011",
        "occurrence": 1,
        "attempt": 1,
        "order": 0,
    }
    assert manifest == {
        "schema_version": 1,
        "seed": SEED,
        "scenario_id": ID,
        "invariant_ids": [],
        "trace_fingerprint": fingerprint("AssertionError", "test_a.py", "assert 1 == 2"),
        "replay_command": f"""bundle repro {RUN_ID[:8]} 'test_a.py::test_x[it'"'"'s]'""",
        "failure_class": "assertion_failure",
        "artifact_paths": ["events.ndjson", "failed_assertions.json"],
        "passed": False,
        "phases_executed": ["call"],
        "failure_reason": "assert 1 == 2",
        "adapter": "pytest",
        "seed_hex": "00000000deadbeef",
        "run_id": RUN_ID,
        "format": {"major": 1, "minor": FORMAT_MINOR},
    }


def test_its_events_are_its_own_and_count_from_its_start(tmp_path: Path) -> None:
    written(
        tmp_path,
        line("TestStarted", "other", 900, order=0),
        line("TestStarted", ID, 1000, order=1),
        line("TestOutput", "other", 1100, stream="stdout", phase="call", text="theirs"),
        line("Reactor\u00e9", ID, 1200, anything=[1, None, 2**64 - 1, 0.1]),
        line("TestFinished", ID, 1500, outcome="failed", failures=[FAILURE]),
        line("TestFinished", "other", 1600, outcome="passed", failures=[]),
    )
    events = [
        json.loads(one) for one in (bundle_of(tmp_path) / "events.ndjson").read_bytes().splitlines()
    ]
    assert [(e["ts_us"], e["event"]) for e in events] == [
        (0, "TestStarted"),
        (200, "Reactor\u00e9"),
        (500, "TestFinished"),
    ]
    assert events[1]["data"]["anything"] == [1, None, 2**64 - 1, 0.1]


def failed(kind: str | None, phase: str = "call") -> list[dict[str, Any]]:
    """The failures of a test that raised this."""
    return [{"phase": phase, "message": "m"} | ({"type": kind} if kind else {})]


@pytest.mark.parametrize(
    ("outcome", "failures", "named"),
    [
        ("failed", failed("AssertionError"), "assertion_failure"),
        ("failed", failed("Failed"), "assertion_failure"),
        ("failed", failed(None), "assertion_failure"),
        ("failed", failed("ValueError"), "exception"),
        ("failed", failed("package.Failed"), "assertion_failure"),
        ("failed", [*failed("AssertionError"), *failed("KeyError", "teardown")], "exception"),
        ("errored", failed("ValueError", "setup"), "setup_error"),
        ("errored", failed("ValueError", "teardown"), "teardown_error"),
        ("timed_out", failed(None), "timeout"),
        ("crashed", failed(None), "crash"),
    ],
)
def test_the_failure_has_a_class(
    tmp_path: Path, outcome: str, failures: list[dict[str, Any]], named: str
) -> None:
    written(tmp_path, a_test(ID, outcome, failures=failures))
    assert manifest_of(tmp_path)["failure_class"] == named


def test_a_test_that_never_finished_has_one_too(tmp_path: Path) -> None:
    written(tmp_path, line("TestStarted", ID, order=0), line("TestStarted", "b", order=1))
    manifest = manifest_of(tmp_path)
    assert (manifest["failure_class"], manifest["phases_executed"]) == ("unfinished", [])
    assert "failure_reason" not in manifest
    assert (bundle_of(tmp_path) / "failed_assertions.json").read_bytes() == b"[]\n"


def test_a_test_that_was_never_started_has_none(tmp_path: Path) -> None:
    assert written(tmp_path, line("TestsCollected", selected=[ID])) == []


def test_tests_that_share_an_id_share_a_bundle(tmp_path: Path) -> None:
    first = a_test(ID, "passed")
    start = line("TestStarted", ID, occurrence=2, order=1)
    end = line("TestFinished", ID, occurrence=2, outcome="failed", failures=[FAILURE])
    written(tmp_path, first, start, end)
    assert manifest_of(tmp_path)["execution"]["occurrence"] == 2
    assert len((bundle_of(tmp_path) / "events.ndjson").read_bytes().splitlines()) == 4


def test_a_failed_subtest_is_among_the_failed_assertions(tmp_path: Path) -> None:
    sub = line(
        "SubtestFinished", ID, name="[i=1]", outcome="failed", duration_us=1, failures=[FAILURE]
    )
    start, end = a_test(ID, "failed", failures=failed(None))
    written(tmp_path, start, sub, end)
    found = json.loads((bundle_of(tmp_path) / "failed_assertions.json").read_bytes())
    assert [one["phase_path"] for one in found] == ["call", "call > [i=1]"]


def test_what_hypothesis_prints_to_reproduce_is_lifted(tmp_path: Path) -> None:
    blob = "@reproduce_failure('6.100.0', b'AXicY2BgAAAABAAB')"
    text = f"You can reproduce this example by temporarily adding {blob} as a decorator"
    written(
        tmp_path,
        line("TestStarted", ID, order=0),
        line("TestFinished", ID, outcome="failed", failures=[{**FAILURE, "traceback": text}]),
    )
    assert manifest_of(tmp_path)["execution"]["reproduce_failure"] == blob


def test_what_only_looks_like_it_is_not(tmp_path: Path) -> None:
    text = "@reproduce_failure('6', b'A'); __import__('os')  @reproduce_failure(evil)"
    written(tmp_path, a_test(ID, "failed", failures=[{**FAILURE, "message": text}]))
    found = manifest_of(tmp_path)["execution"]["reproduce_failure"]
    assert found == "@reproduce_failure('6', b'A')"


def test_what_a_test_left_there_stays_and_is_named(tmp_path: Path) -> None:
    own = bundle_of(tmp_path) / "deep" / "x.trace"
    own.parent.mkdir(parents=True)
    own.write_bytes(b"own")
    (own.parent / "link").symlink_to("/etc/passwd")
    (bundle_of(tmp_path) / "events.ndjson").symlink_to(tmp_path / "elsewhere")
    written(tmp_path, a_test(ID, "failed", failures=[FAILURE]))
    assert manifest_of(tmp_path)["artifact_paths"] == [
        "deep/x.trace",
        "events.ndjson",
        "failed_assertions.json",
    ]
    assert own.read_bytes() == b"own"
    assert not (tmp_path / "elsewhere").exists()


def test_so_many_are_written_and_no_more(tmp_path: Path) -> None:
    tests = [a_test(f"t{n}", "failed", failures=[FAILURE]) for n in range(5)]
    recording = a_recording(a_log(*tests))
    assert test_bundles.write(tmp_path, recording, most=3) == 2
    assert sorted(p.name[:2] for p in (tmp_path / "tests").iterdir()) == ["t0", "t1", "t2"]


def test_the_events_of_one_test_and_of_all_are_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(test_bundles, "EVENT_BYTES", 1000)
    monkeypatch.setattr(test_bundles, "TOTAL_EVENT_BYTES", 1500)

    def noisy(test_id: str) -> list[bytes]:
        start, end = a_test(test_id, "failed", failures=[FAILURE])
        out = line("TestOutput", test_id, stream="stdout", phase="call", text="x" * 600)
        return [start, out, out, end]

    written(tmp_path, noisy(ID), noisy("b"))
    sizes = [(bundle_of(tmp_path, one) / "events.ndjson").stat().st_size for one in (ID, "b")]
    assert sizes[0] <= 1000
    assert sum(sizes) <= 1500
    assert manifest_of(tmp_path)["execution"]["events_left_out"] == 2


def test_damaged_lines_and_events_of_an_odd_shape_are_passed_over(tmp_path: Path) -> None:
    written(
        tmp_path,
        b"not json\n",
        b'{"v":1,"test_id":["x"],"ts_us":1}\n',
        b'{"v":1,"test_id":"x","ts_us":"1"}\n',
        a_test(ID, "failed", failures=[FAILURE]),
    )
    assert len((bundle_of(tmp_path) / "events.ndjson").read_bytes().splitlines()) == 2


# --- through the program -----------------------------------------------------------------------


@pytest.fixture
def here(tmp_path: Path) -> Place:
    """A project with one test that fails, recorded."""
    here = place(tmp_path)
    here.file("test_a.py", "def test_x():\n    print('out')\n    assert 1 == 2\n")
    pytest = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:randomly")
    assert here.bundle("run", "--", *pytest).code == 1
    return here


def test_a_recorded_run_has_them_sealed_and_verified(here: Place) -> None:
    recording = here.latest()
    seed = scenario_seed(recording.manifest.seed, "test_a.py::test_x")
    where = test_bundles.folder("test_a.py::test_x", seed)
    members = [one.name for one in recording.manifest.members if one.name.startswith("tests/")]
    assert members == [f"{where}/{name}" for name in OF_A_FAILURE]
    assert here.bundle("verify").code == 0


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("manifest.json", b"{}", "does not fit repro-manifest.v1"),
        ("manifest.json", b"[]", "manifest.json"),
        ("events.ndjson", b"", "has 0 bytes"),
        ("generator_state.json", None, "is missing"),
    ],
)
def test_what_is_wrong_with_one_is_found_and_repaired(
    here: Place, name: str, content: bytes | None, problem: str
) -> None:
    directory = Path(here.latest().where)
    [file] = directory.glob(f"tests/*/*/{name}")
    if content is None:
        file.unlink()
    else:
        file.write_bytes(content)
    findings = verify(here.latest())
    assert any(problem in f"{one.member} {one.problem}" for one in findings)
    assert all(one.derived for one in findings if one.member != "bundle")
    repair(directory)
    assert verify(here.latest()) == []


def test_a_place_that_cannot_be_written_costs_the_bundles_and_not_the_run(tmp_path: Path) -> None:
    here = place(tmp_path)
    name = slug("test_a.py::test_x")
    source = "import os, pathlib\ndef test_x(request):\n"
    source += f"    place = pathlib.Path(os.environ['BUNDLE_ARTIFACTS_DIR'], {name!r})\n"
    source += "    place.write_text('in the way')\n    assert 0\n"
    here.file("test_a.py", source)
    command = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider")
    ended = here.bundle("run", "--", *command)
    assert ended.code == 1
    assert "the recording is incomplete" in ended.stderr
    assert here.verdicts() == {"test_a.py::test_x": "failed"}
    assert here.latest().manifest.log.complete
