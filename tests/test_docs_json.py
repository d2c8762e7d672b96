"""docs/json.md is true: each document has the keys that it names, and no others."""

from __future__ import annotations

import json
import re
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from command_line import Place, place

TEXT = (Path(__file__).parent.parent / "docs" / "json.md").read_text(encoding="utf-8")
ROWS = dict(re.findall(r"^\| `bundle ([^`]+) --json` \| [^|]+ \| ([^|]+) \|$", TEXT, re.MULTILINE))

SUITE = """
def test_it(bundle):
    bundle.log("Began")
    assert 0
"""


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Place:
    here = place(tmp_path_factory.mktemp("json"))
    here.file("test_it.py", SUITE)
    here.bundle("run", "--", sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider")
    here.file("secrets", "AKIA" + "IOSFODNN7" + "ABCDEFG")
    return here


def keys_named(words: str) -> set[str]:
    return set(re.findall(r"`(\w+)`", ROWS[words]))


def printed(recorded: Place, *words: str) -> Any:
    return json.loads(recorded.bundle(*words, "--json").stdout)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("list", ["list"]),
        ("list RUN", ["list", "latest"]),
        ("show RUN", ["show"]),
        ("show RUN TEST", ["show", "latest", "test_it"]),
        ("diff A B", ["diff", "latest", "latest", "--events"]),
        ("scan", ["scan", "secrets"]),
        pytest.param("repro", ["repro", "--repeat", "1"], marks=pytest.mark.slow),
    ],
)
def test_a_document_has_the_keys_that_are_named(
    recorded: Place, row: str, words: list[str]
) -> None:
    document = printed(recorded, *words)
    one = document[-1] if isinstance(document, list) else document
    assert set(one) == keys_named(row) - {"reason"}


def test_every_value_in_force_says_where_it_is_from(recorded: Place) -> None:
    document = printed(recorded, "config")
    assert {frozenset(one) for one in document.values()} == {frozenset(keys_named("config"))}


def test_an_event_a_line(recorded: Place) -> None:
    lines = recorded.bundle("replay", "--json").stdout.splitlines()
    events = [json.loads(line) for line in lines]
    assert set().union(*events) == keys_named("replay")


def test_what_is_damaged_is_a_finding_each(recorded: Place, tmp_path: Path) -> None:
    recorded.bundle("pack", "-o", str(tmp_path / "run.zip"))
    zipfile.ZipFile(tmp_path / "run.zip").extractall(tmp_path / "run")
    (tmp_path / "run" / "summary.json").write_text("{}")
    findings = printed(recorded, "verify", str(tmp_path / "run"))
    assert set(findings[0]) == keys_named("verify")
