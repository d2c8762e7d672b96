"""JUnit XML against pytest's own: one run, recorded and written by `--junitxml`, case by case.

What the export adds: properties named `bundle.…`, the types of exceptions, output where pytest was
not told to keep it. What it leaves out: the second copy of the output of a skipped test, and the
headings of output that is empty. What it says in other words: the messages of OWN_WORDS, where
pytest repeats the whole report, and the text of a `skipped`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from bundler.formats.junit_cases import shortened

PYTHON = os.environ.get("PROBE_PYTHON", sys.executable)
OWN_WORDS = ("test_a.f", "test_no_fixture")
OUTCOMES = ("failure", "error", "skipped")

OUTCOME_SUITE = """
import logging, sys, pytest

@pytest.fixture
def no_setup():
    print("in setup")
    raise RuntimeError('no "db" <here>')

@pytest.fixture
def no_teardown():
    yield
    print("in teardown")
    raise RuntimeError("torn")

def test_quiet(): pass

def test_loud():
    print("hello")
    print("err", file=sys.stderr)
    logging.getLogger("x").warning("logged")

def test_fails():
    print("\\x1b[31mred\\x1b[0m ]]> <a> \\x00")
    assert 1 == 2, "numbers & <such>"

def test_setup(no_setup): pass
def test_teardown(no_teardown): print("x")
def test_call_and_teardown(no_teardown, record_property):
    record_property("key", 1)
    print("out")
    assert 0

def test_skips(): print("before"); pytest.skip("because")
def test_skips_without_a_word(): pytest.skip()
@pytest.mark.skip(reason="marked")
def test_marked(): pass
@pytest.mark.skip
def test_marked_without_a_word(): pass
def test_skip_and_teardown(no_teardown): pytest.skip("first")

@pytest.mark.xfail(reason="known")
def test_xfails(): assert 0
@pytest.mark.xfail
def test_xfails_without_a_word(): assert 0
def test_xfails_by_call(): pytest.xfail("by call")
@pytest.mark.xfail(run=False, reason="not run")
def test_xfail_not_run(): assert 0
@pytest.mark.xfail(reason="r")
def test_xfails_in_setup(no_setup): assert 0
@pytest.mark.xfail(reason="known")
def test_xpasses(): pass
@pytest.mark.xfail(reason="known", strict=True)
def test_xpasses_strictly(): pass

def test_no_trace(): pytest.fail("no trace", pytrace=False)
def test_no_words(): raise ValueError
def test_control(): raise ValueError("\\x00\\x1b\\ufffe")
def test_no_fixture(nowhere): pass
def f():
    '''
    >>> 1 + 1
    3
    '''
"""

NAME_SUITE = """
import unittest, pytest

ODD = ["a/b", "a::b", "x[y]", "", "\\xe9", "\\x1b", "\\x00", "a.py", "x]", "["]
@pytest.mark.parametrize("a", ODD)
def test_odd(a): pass

@pytest.mark.parametrize("a", ["[a", "b]c", "c::d]e", "f g", "]["], ids=str)
def test_named(a): pass

class TestOuter:
    class TestInner:
        @pytest.mark.parametrize("a", ["q::r[s]"])
        def test_deep(self, a, record_property): record_property("p q", "\\xe9\\x07")

class TestUnit(unittest.TestCase):
    def test_fails(self): self.assertEqual(1, 2)
    @unittest.skip("us")
    def test_skips(self): pass
    @unittest.expectedFailure
    def test_xfails(self): assert 0
    @unittest.expectedFailure
    def test_xpasses(self): pass
"""

SUBTEST_SUITE = """
import pytest
def test_fails(subtests):
    for i in range(3):
        with subtests.test("sub", i=i): assert i != 1
def test_passes(subtests):
    for i in range(3):
        with subtests.test("sub", i=i): pass
def test_skips(subtests):
    for i in range(3):
        with subtests.test("sub", i=i):
            if i == 1: pytest.skip("why")
"""

COLLECTION = {
    "pkg/__init__.py": "",
    "pkg/test_broken.py": "import nothing_here\n",
    "pkg/test_skipped.py": 'import pytest\npytest.skip("whole file", allow_module_level=True)\n',
    "test_syntax.py": "def (\n",
    "test_class.py": "class TestA:\n    import pytest\n    def test(self): pass\n",
}

LONG_SUITE = """
def test_many_lines(): assert False, "\\n".join(f"line {i}" for i in range(200))
def test_long_line(): raise ValueError("x" * 600)
"""

FLAKY_SUITE = """
import pytest
tries = 0
@pytest.fixture
def broken(): raise RuntimeError("no")
def test_flaky(record_property):
    global tries
    tries += 1
    record_property("try", tries)
    assert tries == 3
def test_broken(): assert 0
def test_setup(broken): pass
"""

CRASH_SUITE = """
import os, pytest
def test_before(): print("printed")
def test_fails(): assert 0
def test_dies(): os._exit(3)
@pytest.mark.skip(reason="marked")
def test_skips(): pass
"""

Facts = tuple[Any, ...]


@pytest.fixture
def suite(tmp_path: Path) -> Suite:
    return Suite(tmp_path)


@dataclass
class Suite:
    """A place where suites are run by pytest under `bundle run`, in the interpreter PYTHON."""

    place: Path

    def run(
        self, files: dict[str, str], *args: str, logging: str = "all"
    ) -> tuple[list[ET.Element], list[ET.Element]]:
        """Pytest's cases and ours, of one run."""
        for name, content in files.items():
            path = self.place / "suite" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content, encoding="utf-8")
        theirs, ours = self.place / "theirs.xml", self.place / "ours.xml"
        keep = ("-p", "no:cacheprovider", "-o", f"junit_logging={logging}", f"--junitxml={theirs}")
        ended = self._bundle("run", "--", PYTHON, "-m", "pytest", *keep, *args)
        assert "bundle: " in ended.stderr, ended.stderr
        assert self._bundle("export", "--to", "junit", "-o", str(ours)).returncode == 0
        return _cases(theirs), _cases(ours)

    def _bundle(self, *words: str) -> subprocess.CompletedProcess[str]:
        env = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
        return subprocess.run(
            [sys.executable, "-m", "bundler", *words],
            cwd=self.place / "suite",
            env={**env, "BUNDLE_STORE": str(self.place / "store")},
            capture_output=True,
            text=True,
            timeout=120,
        )


def _cases(document: Path) -> list[ET.Element]:
    (suite,) = ET.parse(document).getroot()
    return suite.findall("testcase")


def has(module: str) -> bool:
    """Whether PYTHON can import a module."""
    code = f"import importlib.util, sys; sys.exit(importlib.util.find_spec({module!r}) is None)"
    return subprocess.run([PYTHON, "-c", code]).returncode == 0


def facts(case: ET.Element, *, output: bool = True) -> Facts:
    """What a case says, up to our additions."""
    name = case.attrib["name"]
    marks = [e for e in case if e.tag in OUTCOMES]
    return (
        case.get("classname"),
        name,
        sorted((e.tag, "" if name in OWN_WORDS else e.get("message")) for e in marks),
        [e.text for e in marks if e.tag != "skipped"],
        list(_own(case.iterfind("properties/property"))),
        list(_outputs(case)) if output else [],
    )


def _own(properties: Iterable[ET.Element]) -> Iterable[tuple[str, str]]:
    found = ((one.attrib["name"], one.attrib["value"]) for one in properties)
    return ((name, value) for name, value in found if not name.startswith("bundle."))


def _outputs(case: ET.Element) -> Iterable[tuple[str, str]]:
    """The last of each kind, unless there are headings alone in it."""
    last = {e.tag: e.text or "" for e in case if e.tag.startswith("system-")}
    lines = {tag: [one for one in text.split("\n") if one] for tag, text in last.items()}
    return ((tag, last[tag]) for tag in sorted(last) if not all(map(_is_heading, lines[tag])))


def _is_heading(line: str) -> bool:
    return line.startswith("-----") and line.endswith("-----")


def assert_same(theirs: list[ET.Element], ours: list[ET.Element], *, output: bool = True) -> None:
    told = [facts(case, output=output) for case in ours]
    assert told == [facts(case, output=output) for case in theirs]
    for one, other in zip(theirs, ours, strict=True):
        assert abs(float(one.attrib["time"]) - float(other.attrib["time"])) < 0.002


def test_every_outcome_is_as_pytest_writes_it(suite: Suite) -> None:
    theirs, ours = suite.run({"tests/test_a.py": OUTCOME_SUITE}, "--doctest-modules")
    assert len(ours) == 24
    assert_same(theirs, ours)


def test_without_logging_only_our_output_is_more(suite: Suite) -> None:
    theirs, ours = suite.run({"test_a.py": OUTCOME_SUITE}, logging="no")
    assert_same(theirs, ours, output=False)
    assert not any(case.find("system-out") is not None for case in theirs)
    assert sum(case.find("system-out") is not None for case in ours) == 8


def test_every_name_is_as_pytest_writes_it(suite: Suite) -> None:
    files = {"tests/deep/test_a.py": NAME_SUITE, "doc.txt": ">>> 1 + 1\n2\n"}
    theirs, ours = suite.run(files, "--doctest-glob=*.txt")
    assert len(ours) == 21
    assert_same(theirs, ours)


def test_what_was_not_collected_is_as_pytest_writes_it(suite: Suite) -> None:
    theirs, ours = suite.run(COLLECTION, "--continue-on-collection-errors")
    assert len(ours) == 4
    assert_same(theirs, ours)


def test_a_test_that_never_ran_is_a_case_more_than_pytest_has(suite: Suite) -> None:
    theirs, ours = suite.run(COLLECTION)
    *same, never = ours
    assert_same(theirs, same)
    assert facts(never)[:3] == (
        "test_class.TestA",
        "test",
        [("skipped", "not run: the run ended first")],
    )


def test_a_long_message_is_cut_where_pytest_cuts_it(suite: Suite) -> None:
    theirs, ours = suite.run({"test_a.py": LONG_SUITE})
    for one, other in zip(theirs, ours, strict=True):
        message, cut = (case.find("failure").get("message") for case in (one, other))  # type: ignore[union-attr]
        assert message is not None and cut is not None
        # Before 9.1 pytest kept them whole.
        assert cut in (message, shortened(message))
        assert cut.endswith("; full report in element text]")


@pytest.mark.skipif(not has("_pytest.subtests"), reason="pytest has subtests since 9.0")
def test_subtests_are_as_pytest_writes_them(suite: Suite) -> None:
    theirs, ours = suite.run({"test_a.py": SUBTEST_SUITE})
    kinds = {"test_fails": ["failure"] * 2, "test_passes": [], "test_skips": ["skipped"]}
    assert _kinds(theirs) == _kinds(ours) == kinds
    assert facts(ours[0]) == facts(theirs[0])


@pytest.mark.skipif(not has("xdist"), reason="pytest-xdist is not installed")
def test_the_cases_of_workers_are_as_pytest_writes_them(suite: Suite) -> None:
    files = {"test_a.py": OUTCOME_SUITE, "test_b.py": NAME_SUITE}
    theirs, ours = suite.run(files, "-n2")
    assert len(ours) == 23 + 20
    assert _counted(ours) == _counted(theirs)
    workers = {one.attrib["value"] for case in ours for one in _named(case, "bundle.worker")}
    assert workers == {"gw0", "gw1"}


@pytest.mark.skipif(not has("xdist"), reason="pytest-xdist is not installed")
def test_a_worker_that_died_is_an_error_in_both(suite: Suite) -> None:
    theirs, ours = suite.run({"test_a.py": CRASH_SUITE}, "-n1")
    died = [case for case in ours if case.get("name") == "test_dies"]
    assert [e.attrib for case in died for e in case.iter("error")] == [
        {
            "message": "worker 'gw0' crashed while running 'test_a.py::test_dies'",
            "type": "crashed",
        }
    ]
    kinds = (
        {str(facts(case)[1]): [t for t, _ in facts(case)[2]] for case in a} for a in (theirs, ours)
    )
    assert next(kinds) == next(kinds)


@pytest.mark.skipif(not has("pytest_rerunfailures"), reason="no pytest-rerunfailures")
def test_a_test_that_was_repeated_is_one_case_like_pytests_last(suite: Suite) -> None:
    theirs, ours = suite.run({"test_a.py": FLAKY_SUITE}, "--reruns", "2")
    assert len(ours) == 3
    last = {case.attrib["name"]: case for case in theirs}
    # Which attempts pytest's time and output are of depends on the version of the plugin.
    told = [facts(case, output=False) for case in ours]
    assert told == [facts(case, output=False) for case in last.values()]
    attempts = [[e.tag for e in case if e.tag.startswith(("flaky", "rerun"))] for case in ours]
    assert attempts == [["flakyFailure"] * 2, ["rerunFailure"] * 2, ["rerunError"] * 2]


def _named(case: ET.Element, name: str) -> Iterable[ET.Element]:
    return case.iterfind(f"properties/property[@name='{name}']")


def _kinds(cases: list[ET.Element]) -> dict[str, list[str]]:
    return {case.attrib["name"]: [e.tag for e in case if e.tag in OUTCOMES] for case in cases}


def _counted(cases: list[ET.Element]) -> Counter[str]:
    return Counter(repr(facts(case)) for case in cases)
