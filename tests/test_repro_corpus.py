"""The corpus of known truths: every verdict is right, and `docs/repro.md` shows what they are."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from repro_corpus import CASES, Case, Found, record_red, reproduce, table

DOCUMENT = Path(__file__).parent.parent / "docs" / "repro.md"
UPDATE = "UPDATE_REPRO_TABLE"
TABLE = re.compile(r"(?<=<!-- verdicts -->\n).*?(?=<!-- end of verdicts -->)", re.DOTALL)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Found]:
    """Every case, recorded in one directory and reproduced in another; two abreast."""
    root = tmp_path_factory.mktemp("corpus")
    with ThreadPoolExecutor(2) as pool:
        recorded = list(pool.map(lambda case: record_red(case, _made(root / case.name)), CASES))
        again = pool.map(lambda one: reproduce(one, root / one.case.name / "again"), recorded)
        return dict(zip((case.name for case in CASES), again, strict=True))


def _made(directory: Path) -> Path:
    directory.mkdir()
    return directory


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_verdict_is_the_truth(case: Case, corpus: Mapping[str, Found]) -> None:
    found = corpus[case.name]
    test = found.test
    assert test["verdict"] == case.verdict, (test, found.stderr)
    assert test["rung"] == case.rung, test
    assert tuple(test["polluters"]) == case.polluters
    if case.names_first:
        assert found.document["environment"][0]["what"] == case.names_first


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_exit_code_says_whether_a_failure_was_seen(
    case: Case, corpus: Mapping[str, Found]
) -> None:
    codes = {"not_reproduced": 0, "could_not_run": 2}
    assert corpus[case.name].code == codes.get(case.verdict, 1)


def test_the_table_in_the_documentation_is_what_was_found(corpus: Mapping[str, Found]) -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    fresh = TABLE.sub(lambda _: f"\n{table(corpus)}\n", text)
    if os.environ.get(UPDATE):
        DOCUMENT.write_text(fresh, encoding="utf-8")
        return
    assert fresh == text, f"set {UPDATE}=1 and run this test to write it anew"


def test_the_corpus_is_thirty_suites_and_no_name_is_there_twice() -> None:
    names = [case.name for case in CASES]
    assert len(names) == len(set(names)) >= 30
