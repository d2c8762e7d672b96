"""Every recording of every tool, in every format that is written: it fits, and nothing turns green.

And every recording that can be thought of, written and read again: what a format can hold comes
back as it was.
"""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import sys
import zipfile
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import asupersync_samples
import ctrf_schema
import pytest
from builders import a_log, a_recording, a_test, line
from command_line import BUNDLE, Place, place
from full_size import examples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import etree
from test_every_reader import exported, read_bytes, reader_of, verdicts
from test_junit_schema import schema
from tools import cannot

from bundler.formats import WRITERS, junit, libtest
from bundler.manifest import Command
from bundler.opening import read_path
from bundler.recording import Recording
from bundler.results import BAD, Attempt, TestResult, Verdict, fold
from bundler.schema import event_validator
from bundler.seeds import show_seed

__all__ = ["schema"]

FIXTURES = Path(__file__).parent / "fixtures"


def of_asupersync(layout: str) -> Recording:
    return asupersync_samples.read(asupersync_samples.tree(layout))


STORED = FIXTURES / "nextest" / "store" / "750a018d-4f74-4e85-912b-bc050d2f1921"
PLAIN = [
    path
    for folder in ("ctrf", "go-test", "junit", "libtest", "nextest", "reportlog")
    for path in sorted((FIXTURES / folder).iterdir())
    if path.suffix in (".json", ".jsonl", ".xml", ".zip", ".gz")
]
LAYOUTS = ("layout1", "layout2", "layout34", "mixed")
WAYS: list[tuple[str, dict[str, str]]] = [
    ("ctrf", {}),
    ("ndjson", {}),
    *(("junit", {"dialect": one}) for one in junit.DIALECTS),
    *(("libtest", {"dialect": one}) for one in libtest.DIALECTS),
]
NARROWED = {  # what a writer says of a verdict that it has no word for
    "junit": {"xpassed": "passed"},
    "libtest": {"xpassed": "passed", "xfailed": "skipped"},
    "ctrf": {},
    "ndjson": {},
}


def test_every_format_that_is_written_is_held_to_something() -> None:
    assert {name for name, _ in WAYS} == NARROWED.keys() == WRITERS.keys()


SOURCES: dict[str, Callable[[], Recording]] = {
    **{f"{path.parent.name}/{path.name}": partial(read_path, path) for path in [*PLAIN, STORED]},
    **{name: partial(of_asupersync, name) for name in LAYOUTS},
}


@pytest.fixture(scope="module", params=SOURCES)
def source(request: pytest.FixtureRequest) -> Recording:
    return SOURCES[request.param]()


def test_no_verdict_is_lost_in_any_format(source: Recording) -> None:
    for name, options in WAYS:
        content = exported(source, name, **options)
        [reader] = reader_of(content)
        again = reader.read(io.BytesIO(content), where=name)
        assert again.problems == [], name
        expected = Counter(NARROWED[name].get(one, one) for one in verdicts(source))
        if name == "libtest":
            expected = as_libtest(source, expected)
        assert Counter(one.value for one in verdicts(again)) == expected, (name, options)


def as_libtest(recording: Recording, expected: Counter[str]) -> Counter[str]:
    """It has no word for a test that never ran; a file not collected is a test that failed."""
    del expected["not_run"]
    problems = [one for one in recording.results.collection if one.outcome is Verdict.ERRORED]
    failed = 0 if recording.manifest.command.runner == "nextest" else len(problems)
    return expected + Counter({"failed": failed})


def test_every_line_that_is_kept_of_it_is_an_event(source: Recording) -> None:
    assert fold(source.events()) == source.results
    assert source.damaged_lines == []
    for text in source.log.lines():
        document = json.loads(text.content)
        event_validator(document["event"]).validate(document)


# However it is packed, and wherever it comes from


def zipped(files: dict[str, bytes]) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return target.getvalue()


def files_of(kind: str) -> dict[str, bytes]:
    if kind == "asupersync":
        return asupersync_samples.tree("layout1")
    if kind == "nextest's store":
        return {path.name: path.read_bytes() for path in STORED.iterdir()}
    with zipfile.ZipFile(FIXTURES / "nextest" / "weather.zip") as archive:
        return {name: archive.read(name) for name in archive.namelist()}


KINDS = ("asupersync", "nextest", "nextest's store")
PACKED: dict[str, Callable[[dict[str, bytes]], bytes]] = {
    "a zip": zipped,
    "a zip with a folder": lambda files: zipped({f"top/{name}": files[name] for name in files}),
    "a zip in the zip that CI makes": lambda files: zipped({"run.zip": zipped(files)}),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_directory_and_every_zip_of_it_are_one_recording(kind: str, tmp_path: Path) -> None:
    files = files_of(kind)
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    plain = read_path(tmp_path)
    assert plain.results.tests
    for name, pack in PACKED.items():
        if kind == "asupersync" and name == "a zip with a folder":
            continue  # a folder of folders alone may be the name of a test: it is not taken off
        packed = read_bytes(pack(files))
        assert packed.results == plain.results, name
        assert packed.manifest.run_id == plain.manifest.run_id, name


LOGS = [FIXTURES / "reportlog" / "many.jsonl", FIXTURES / "libtest" / "nextest.json"]
LOGS += [FIXTURES / "ctrf" / "pytest-json-ctrf.json", FIXTURES / "junit" / "pytest-xunit2.xml"]


@pytest.mark.parametrize("path", LOGS, ids=lambda path: path.name)
@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_a_file_that_ci_packs_again_is_the_same_run(
    path: Path, pack: Callable[[bytes], bytes]
) -> None:
    plain = read_path(path)
    again = read_bytes(zipped({f"{path.name}.packed": pack(path.read_bytes())}))
    assert (again.results, again.manifest.run_id) == (plain.results, plain.manifest.run_id)


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return place(tmp_path_factory.mktemp("piped"))


PIPED = [*LOGS, FIXTURES / "nextest" / "weather.zip", FIXTURES / "go-test" / "go1.27-all.json"]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs a shell with process substitution")
@pytest.mark.parametrize("path", PIPED, ids=lambda path: path.name)
@pytest.mark.parametrize(
    "command", ["cat {0} | {1} replay -", "{1} replay - < {0}", "{1} replay <(cat {0})"]
)
def test_a_pipe_shows_what_the_file_shows(here: Place, path: Path, command: str) -> None:
    """Apart from the name that it is called by."""
    bundle = " ".join(BUNDLE)
    shown = here.run(["bash", "-c", command.format(path, bundle)])
    whole = here.run([*BUNDLE, "replay", str(path)])
    assert (shown.code, shown.stderr) == (0, "")
    expected = [one for one in whole.stdout.splitlines() if not one.startswith("       Rerun")]
    found = [one for one in shown.stdout.splitlines() if not one.startswith("       Rerun")]
    assert found == expected


# Whatever a run may hold


CHARACTERS = st.characters(
    exclude_categories=["Cs", "Cc"], include_characters="\n", exclude_characters="\ufffe\uffff"
)
TEXT = st.text(CHARACTERS, max_size=20)
"""What XML holds too; what it cannot hold is shown, as `test_junit.py` has it."""

NAMES = st.from_regex(r"[a-z]{1,3}::[A-Za-zäß_\[\]#@$ ]{1,8}", fullmatch=True)
FAILURES = st.lists(
    st.fixed_dictionaries(
        {"phase": st.just("call"), "message": TEXT.map(str.strip).filter(bool)},
        optional={"type": st.sampled_from(["ValueError", "panic"]), "traceback": TEXT},
    ),
    min_size=1,
    max_size=1,
)
SEEDS = st.sampled_from([0, 1, 2**53 + 1, 2**63, 2**64 - 1]) | st.integers(0, 2**64 - 1)


@st.composite
def attempts(draw: st.DrawFn, test_id: str) -> list[bytes]:
    """The lines of a test: attempts that went badly, then one that ended in any way, or never."""
    bad = draw(st.lists(st.sampled_from(sorted(BAD)), max_size=2))
    last = draw(st.sampled_from([None, *OUTCOMES]))
    lines = []
    for number, outcome in enumerate([*bad, last], 1):
        lines.append(line("TestStarted", test_id, attempt=number, order=0))
        if text := draw(TEXT):
            about: dict[str, Any] = {"stream": "stdout", "phase": "call", "text": text}
            lines.append(line("TestOutput", test_id, attempt=number, **about))
        if outcome is None:
            break
        failed = outcome in BAD
        ended: dict[str, Any] = {
            "outcome": outcome.value,
            "call_us": draw(st.integers(0, 10**9)),
            "failures": draw(FAILURES) if failed else [],
            "will_retry": number <= len(bad),
        }
        if outcome in (Verdict.SKIPPED, Verdict.XFAILED):
            ended["reason"] = draw(TEXT.map(str.strip).filter(bool))
        lines.append(line("TestFinished", test_id, attempt=number, **ended))
    return lines


OUTCOMES = [one for one in Verdict if one.value not in ("flaky", "unfinished", "not_run")]


@st.composite
def runs(draw: st.DrawFn) -> Recording:
    """Any run of a few tests, of any seed."""
    seed = draw(SEEDS)
    names = draw(st.lists(NAMES, min_size=1, max_size=4, unique=True))
    tests = [draw(attempts(name)) for name in names]
    return seeded(seed, line("SessionStarted", runner="tests"), *tests)


def seeded(seed: int, *lines: bytes | list[bytes]) -> Recording:
    """A run of another seed than that of the builders."""
    log = a_log(*lines, status="failed").replace(b'"seed":3735928559', b'"seed":%d' % seed)
    command = Command(["tests"], "/p", "tests")
    return a_recording(log, seed=seed, seed_hex=show_seed(seed), command=command)


ANY_RUN = settings(
    max_examples=examples(60), deadline=None, suppress_health_check=list(HealthCheck)
)


def again(recording: Recording, name: str, **options: str) -> Recording:
    content = exported(recording, name, **options)
    [reader] = reader_of(content)
    return reader.read(io.BytesIO(content), where=name)


def pairs(first: Recording, second: Recording) -> list[tuple[TestResult, TestResult]]:
    """Each test with what became of it; the order may be another."""
    found = {test.test_id: test for test in second.results.tests}
    assert found.keys() == {test.test_id for test in first.results.tests}
    return [(test, found[test.test_id]) for test in first.results.tests]


def printed(recording: Recording, attempt: Attempt) -> bytes:
    return b"".join(one.content for one in recording.outputs(attempt.output_offsets))


def messages(attempt: Attempt) -> list[str]:
    return [one.message for one in attempt.failures]


@ANY_RUN
@given(first=runs())
def test_any_run_comes_back_from_its_own_events(first: Recording) -> None:
    second = again(first, "ndjson")
    assert second.results == first.results
    assert second.manifest.seed == first.manifest.seed


@ANY_RUN
@given(first=runs())
def test_any_run_comes_back_from_ctrf(first: Recording) -> None:
    second = again(first, "ctrf")
    assert second.manifest.seed == first.manifest.seed
    for one, other in pairs(first, second):
        assert (other.verdict, other.seed) == (one.verdict, one.seed)
        for before, after in zip(one.attempts, other.attempts, strict=True):
            assert (after.number, after.outcome) == (before.number, before.outcome)
            assert (after.reason, messages(after)) == (before.reason, messages(before))
            assert printed(second, after) == printed(first, before)
            if before.outcome is not None:
                assert after.duration_us == before.duration_us


@ANY_RUN
@given(first=runs(), dialect=st.sampled_from(junit.DIALECTS))
def test_any_run_comes_back_from_junit(first: Recording, dialect: str) -> None:
    second = again(first, "junit", dialect=dialect)
    assert second.manifest.seed == first.manifest.seed
    for one, other in pairs(first, second):
        assert other.verdict == NARROWED["junit"].get(one.verdict, one.verdict)
        assert other.seed == one.seed
        for before, after in zip(one.attempts, other.attempts, strict=True):
            assert printed(second, after) == printed(first, before)
            assert messages(after) == messages(before)
        last, its = one.attempts[-1], other.attempts[-1]
        if last.outcome is not None:
            assert abs(its.duration_us - last.duration_us) <= 500


@pytest.mark.parametrize("traceback", ["", " ", "\xa0\n"])
def test_a_failure_whose_traceback_is_blank_keeps_its_message_in_junit(traceback: str) -> None:
    failure = {"phase": "call", "message": "m", "type": "T", "traceback": traceback}
    tried = a_test("t", "timed_out", failures=[failure], will_retry=True)
    second = again(seeded(7, tried, a_test("t", attempt=2)), "junit")
    assert messages(second.results.tests[0].attempts[0]) == ["m"]


@ANY_RUN
@given(first=runs(), dialect=st.sampled_from(libtest.DIALECTS))
def test_any_run_comes_back_from_libtest_json(first: Recording, dialect: str) -> None:
    second = again(first, "libtest", dialect=dialect)
    for one, other in pairs(first, second):
        narrowed = NARROWED["libtest"].get(one.verdict, one.verdict)
        if other.verdict is Verdict.FLAKY and narrowed == "passed":
            narrowed = "flaky"  # xpassed after it had failed
        assert other.verdict == narrowed
        last, its = one.attempts[-1], other.attempts[-1]
        assert printed(second, its) == (printed(first, last) if last.outcome else b"")
        if last.outcome and narrowed != "skipped":
            assert its.duration_us == last.duration_us


@pytest.mark.parametrize("seed", [0, 1, 2**53 + 1, 2**63 - 1, 2**63, 2**64 - 1])
def test_a_seed_survives_every_format_that_carries_one(seed: int) -> None:
    first = seeded(seed, line("SessionStarted", runner="tests"), a_test("t::t", "failed"))
    for name, options in WAYS:
        if name != "libtest":
            second = again(first, name, **options)
            assert (second.manifest.seed, second.results.tests[0].seed) == (seed, seed), name


@pytest.mark.parametrize("seed", [0, 1, 2**53 + 1, 2**63 - 1])
def test_a_seed_of_go_is_read(seed: int) -> None:
    lines = [
        {"Action": "start", "Package": "p"},
        {"Action": "output", "Package": "p", "Output": f"-test.shuffle {seed}\n"},
        {"Action": "run", "Package": "p", "Test": "T"},
        {"Action": "pass", "Package": "p", "Test": "T"},
        {"Action": "pass", "Package": "p"},
    ]
    recording = read_bytes("".join(f"{json.dumps(one)}\n" for one in lines).encode())
    assert (recording.manifest.seed, recording.results.tests[0].seed) == (seed, seed)


@pytest.mark.parametrize("seed", [0, 1, 2**53 + 1, 2**63, 2**64 - 1])
def test_a_seed_of_asupersync_is_read(seed: int) -> None:
    manifest: dict[str, Any] = {
        "schema_version": 1,
        "seed": seed,
        "scenario_id": "s",
        "invariant_ids": [],
    }
    manifest |= {"trace_fingerprint": "f", "replay_command": "r", "failure_class": "passed"}
    manifest |= {"artifact_paths": [], "passed": True}
    name = f"s/{seed:016x}/manifest.json"
    recording = asupersync_samples.read({name: json.dumps(manifest).encode()})
    assert [test.seed for test in recording.results.tests] == [seed]


# The schemas of others


@pytest.fixture(scope="session")
def of_ctrf(request: pytest.FixtureRequest) -> Any:
    found = ctrf_schema.validator(Path(request.config.cache.mkdir("ctrf-schema")))
    if found is None:
        cannot("CTRF's schema is not here: BUNDLE_TEST_CTRF_SCHEMA names none, npm has none")
    return found


@pytest.mark.slow
def test_every_ctrf_document_fits_its_schema(source: Recording, of_ctrf: Any) -> None:
    of_ctrf.validate(json.loads(exported(source, "ctrf")))


@pytest.mark.slow
@ANY_RUN
@given(first=runs())
def test_any_run_fits_the_schema_of_ctrf(first: Recording, of_ctrf: Any) -> None:
    of_ctrf.validate(json.loads(exported(first, "ctrf")))


@pytest.mark.slow
def test_every_report_for_jenkins_fits_its_schema(
    source: Recording, schema: etree.XMLSchema
) -> None:
    schema.assertValid(etree.fromstring(exported(source, "junit", dialect="jenkins")))
