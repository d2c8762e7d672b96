"""A seed of 64 bits survives every format that carries it, and programs that round numbers."""

from __future__ import annotations

import importlib
import io
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from builders import a_log, a_recording, a_test
from command_line import place
from round_trip import written

from bundler.bundle import read
from bundler.events import decode_line, encode_line
from bundler.formats import WRITERS
from bundler.manifest import encode_document, parse_manifest, parse_own, to_document
from bundler.recording import Recording
from bundler.seeds import exact_seed, scenario_seed, show_seed
from bundler.testing import NdjsonEvent

SEEDS = [0, 1, 2**53 - 1, 2**53 + 1, 2**63, 2**64 - 1]
CARRIED = {"junit": "junit_reader", "ctrf": "ctrf_reader"}
"""The formats that have a place for a run's seed, and what reads them; NDJSON is our own log."""


def seeded(seed: int) -> Recording:
    """A run of one test under a seed."""
    lines = []
    for text in a_test("t.py::test"):
        event = json.loads(text)
        own = scenario_seed(seed, "t.py::test")
        event |= {"seed": own, "seed_hex": show_seed(own)}
        lines.append((json.dumps(event) + "\n").encode())
    return a_recording(a_log(lines), seed=seed, seed_hex=show_seed(seed))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", CARRIED)
def test_a_format_brings_the_seeds_back(name: str, seed: int) -> None:
    content = written(importlib.import_module(WRITERS[name]), seeded(seed))
    reader = importlib.import_module(f"bundler.formats.{CARRIED[name]}")
    back = reader.read(io.BytesIO(content), where="memory")
    assert (back.manifest.seed, back.manifest.seed_hex) == (seed, show_seed(seed))
    assert [test.seed for test in back.results.tests] == [scenario_seed(seed, "t.py::test")]


@pytest.mark.parametrize("seed", SEEDS)
def test_junit_has_the_seeds_as_properties_in_hex(seed: int) -> None:
    root = ElementTree.fromstring(written(importlib.import_module(WRITERS["junit"]), seeded(seed)))
    values = [p.get("value") for p in root.iter("property") if p.get("name") == "bundle.seed"]
    assert values == [show_seed(seed), show_seed(scenario_seed(seed, "t.py::test"))]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_line_and_a_manifest_bring_the_seed_back(seed: int) -> None:
    text = encode_line("Mine", ts_us=0, category="x", message="", seed=seed)
    assert decode_line(text).seed == seed
    raw = encode_document(to_document(seeded(seed).manifest))
    assert parse_manifest(raw)[0].seed == parse_own(raw).seed == seed


@pytest.mark.parametrize("seed", SEEDS)
def test_a_seed_that_was_rounded_is_read_as_the_hex_beside_it_says(seed: int) -> None:
    assert exact_seed(int(float(seed)), show_seed(seed)) == seed


@pytest.mark.parametrize(
    ("seed", "beside"), [(7, show_seed(8)), (7, "7"), (7, None), (2**64, None), (2**70, "f" * 16)]
)
def test_another_seed_is_not_made_of_what_stands_beside_it(seed: int, beside: object) -> None:
    assert exact_seed(seed, beside) == seed


@pytest.mark.parametrize("seed", SEEDS)
def test_the_seed_of_an_event_that_was_rounded_is_the_hex_beside_it(seed: int) -> None:
    text = encode_line("Mine", ts_us=0, category="x", message="", seed=seed)
    rounded = json.dumps({**json.loads(text), "seed": int(float(seed))}).encode()
    assert decode_line(rounded).seed == seed == NdjsonEvent.from_line(rounded).seed


@pytest.mark.parametrize("seed_hex", [show_seed(8), "7", "f" * 17, "", "x" * 16])
def test_the_seed_of_an_event_is_not_made_of_what_stands_beside_it(seed_hex: str) -> None:
    text = encode_line("Mine", ts_us=0, category="x", message="", seed=7)
    other = json.dumps({**json.loads(text), "seed_hex": seed_hex}).encode()
    assert decode_line(other).seed == 7 == NdjsonEvent.from_line(other).seed


# --- through JavaScript ------------------------------------------------------------------------

THROUGH = """
let text = require('fs').readFileSync(0, 'utf8');
let documents = JSON.parse(text).map(one => JSON.stringify(JSON.parse(one)));
process.stdout.write(JSON.stringify(documents));
"""


def through_javascript(documents: list[str]) -> list[str]:
    """Each document as node parses it and writes it again."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("there is no node here")
    done = subprocess.run(
        [node, "-e", THROUGH], input=json.dumps(documents).encode(), capture_output=True, check=True
    )
    back: list[str] = json.loads(done.stdout)
    return back


def seeds_in(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every `seed` of a document with the `seed_hex` beside it, at any depth."""
    if isinstance(value, dict):
        if "seed_hex" in value:
            yield value.get("seed"), value["seed_hex"]
        for one in value.values():
            yield from seeds_in(one)
    elif isinstance(value, list):
        for one in value:
            yield from seeds_in(one)


def test_every_document_of_ours_keeps_its_seeds_through_javascript(tmp_path: Path) -> None:
    here = place(tmp_path)
    here.file("test_it.py", "def test_fails(): assert 0\n")
    words = ("run", "--seed", str(2**64 - 1), "--", sys.executable, "-m", "pytest", "-q")
    assert here.bundle(*words, "-p", "no:cacheprovider").code == 1
    [run] = (path for path in here.store.glob("*/*") if path.is_dir())
    files = [path for path in run.rglob("*.json") if path.name != "environment.json"]
    documents = {str(path.relative_to(run)): path.read_text() for path in files}
    for shown in (
        ("list", "--json"),
        ("show", "--json"),
        ("show", "latest", "test_fails", "--json"),
        ("repro", "--json", "--repeat", "1"),
        ("export", "latest", "--to", "ctrf", "-o", "-"),
    ):
        documents[" ".join(shown)] = here.bundle(*shown).stdout
    back = dict(zip(documents, through_javascript(list(documents.values())), strict=True))
    with_seed = 0
    for name, text in documents.items():
        before, after = (list(seeds_in(json.loads(one))) for one in (text, back[name]))
        assert [beside for _, beside in before] == [beside for _, beside in after], name
        for seed, beside in before:
            assert seed is None or show_seed(seed) == beside, name
        with_seed += bool(before)
    assert with_seed >= 7
    manifest = json.loads(back["manifest.json"])
    assert manifest["seed"] == 2**64 + 384 != 2**64 - 1  # as JavaScript rounds and prints it
    (run / "manifest.json").write_text(back["manifest.json"])
    assert read(run).manifest.seed == 2**64 - 1


def test_every_event_with_a_seed_keeps_it_through_javascript(tmp_path: Path) -> None:
    """Of the run's log and of a test's own: what the probe, the wrapper and the tests write."""
    here = place(tmp_path)
    here.file("test_it.py", "def test_fails(bundle): bundle.log('Mine'); print('x'); assert 0\n")
    words = ("run", "--seed", str(2**64 - 1), "--", sys.executable, "-m", "pytest", "-q")
    assert here.bundle(*words, "-p", "no:cacheprovider").code == 1
    recording = here.latest()
    logs = [b"".join(line.content + b"\n" for line in recording.log.lines())]
    logs += [recording.files[name] for name in recording.files if name.endswith(".ndjson")]
    lines = [line for log in logs for line in log.splitlines() if b'"seed"' in line]
    back = through_javascript([line.decode() for line in lines])
    seeds = {decode_line(line).seed for line in lines}
    assert seeds == {2**64 - 1, scenario_seed(2**64 - 1, "test_it.py::test_fails")}
    for line, again in zip(lines, back, strict=True):
        assert json.loads(line)["seed_hex"] == show_seed(json.loads(line)["seed"])
        assert decode_line(again.encode()).seed == decode_line(line).seed
