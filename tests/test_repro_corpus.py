"""The corpus of known truths: every verdict is right, and `docs/repro.md` shows what they are."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from repro_corpus import CASES, Case, record_red, reproduce, table

DOCUMENT = Path(__file__).parent.parent / "docs" / "repro.md"
UPDATE = "UPDATE_REPRO_TABLE"
TABLE = re.compile(r"(?<=<!-- verdicts -->\n).*?(?=<!-- end of verdicts -->)", re.DOTALL)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_verdict_is_the_truth(case: Case, tmp_path: Path) -> None:
    found = reproduce(record_red(case, tmp_path), tmp_path / "again")
    test = found.test
    assert test["verdict"] == case.verdict, (test, found.stderr)
    assert test["rung"] == case.rung, test
    assert tuple(test["polluters"]) == case.polluters
    assert tuple(test["takes"]) == case.takes
    assert found.code == {"not_reproduced": 0, "could_not_run": 2}.get(case.verdict, 1)
    if case.names_first:
        assert found.document["environment"][0]["what"] == case.names_first


def test_the_table_in_the_documentation_is_what_the_corpus_shows() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    fresh = TABLE.sub(lambda _: f"\n{table()}\n", text)
    if os.environ.get(UPDATE):
        DOCUMENT.write_text(fresh, encoding="utf-8")
        return
    assert fresh == text, f"set {UPDATE}=1 and run this test to write it anew"


def test_the_corpus_is_thirty_suites_and_no_name_is_there_twice() -> None:
    names = [case.name for case in CASES]
    assert len(names) == len(set(names)) >= 30
