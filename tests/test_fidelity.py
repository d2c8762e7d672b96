"""The recording says what pytest itself says of the same run; the comparison sees a difference."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import venv
from pathlib import Path

import pytest
from builders import a_log, a_recording, a_test, line
from fidelity import Told, check, compare_junit, compare_reports

EVERYTHING = """
import logging, sys, unittest, warnings
import pytest

def test_passes(capsys): print("out"); print("err", file=sys.stderr); logging.warning("logged")
def test_fails(): print("before"); assert {"a": 1} == {"a": 2}
def test_says_a_lot(): print("x" * 100_000)
@pytest.fixture
def broken_setup(): print("in setup"); raise RuntimeError("setup")
@pytest.fixture
def broken_teardown(): yield; raise RuntimeError("teardown")
def test_errors_before(broken_setup): pass
def test_errors_after(broken_teardown): pass
def test_fails_and_errors(broken_teardown): assert 0
def test_skips(): pytest.skip("not here")
@pytest.mark.xfail(reason="known")
def test_xfails(): assert 0
@pytest.mark.xfail
def test_xpasses(): pass
@pytest.mark.xfail(strict=True)
def test_xpasses_strictly(): pass
@pytest.mark.parametrize("value", ["", "a b", "a/b::c", "\\x1b[31m", "é", "x" * 300])
def test_odd_ids(value): print(value)
class TestInAClass:
    def test_method(self): pass
class TestUnit(unittest.TestCase):
    def test_unit(self): self.assertEqual(1, 1)
    def test_subtests(self):
        for number in range(3):
            with self.subTest(number=number):
                self.assertNotEqual(number, 1)
    @unittest.expectedFailure
    def test_expected(self): self.fail()
"""
BROKEN = "import no_such_module\n"
SKIPPED = "import pytest\npytest.skip('whole file', allow_module_level=True)\n"


@pytest.mark.parametrize(
    ("files", "arguments"),
    [
        ({"test_everything.py": EVERYTHING}, []),
        ({"test_everything.py": EVERYTHING}, ["-n", "2"]),
        ({"test_everything.py": EVERYTHING}, ["-s"]),
        ({"test_everything.py": EVERYTHING}, ["-x"]),
        ({"test_broken.py": BROKEN, "test_skipped.py": SKIPPED}, []),
        (
            {"test_broken.py": BROKEN, "test_skipped.py": SKIPPED, "test_all.py": EVERYTHING},
            ["--continue-on-collection-errors"],
        ),
    ],
)
def test_every_kind_of_test_is_recorded_as_pytest_reports_it(
    tmp_path: Path, files: dict[str, str], arguments: list[str]
) -> None:
    project, scratch = tmp_path / "project", tmp_path / "scratch"
    project.mkdir()
    scratch.mkdir()
    (project / "pyproject.toml").write_text("")
    for name, text in files.items():
        (project / name).write_text(text)
    compared = check(project, sys.executable, ["-p", "no:cacheprovider", *arguments], scratch)
    assert compared.differences == []


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [[], ["-n", "2"]])
def test_a_suite_from_the_package_index_is_recorded_as_pytest_reports_it(
    tmp_path: Path, environment_of_its_own: Path, arguments: list[str]
) -> None:
    """toolz 0.11.1: 179 tests, doctests among them, three of which fail on a Python of today."""
    download = ["download", "-q", "--no-deps", "--no-binary", ":all:", "toolz==0.11.1"]
    pip = [str(environment_of_its_own), "-m", "pip"]
    subprocess.run([*pip, *download, "-d", str(tmp_path)], check=True)
    with tarfile.open(tmp_path / "toolz-0.11.1.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    project = tmp_path / "toolz-0.11.1"
    compared = check(project, str(environment_of_its_own), arguments, scratch)
    assert compared.differences == []
    assert compared.tests > 150


@pytest.fixture(scope="module")
def environment_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter with pytest and its reporters, and without bundler."""
    root = tmp_path_factory.mktemp("environment")
    venv.create(root, with_pip=True)
    python = root / ("Scripts" if os.name == "nt" else "bin") / "python"
    needed = ["pytest", "pytest-xdist", "pytest-reportlog", "setuptools"]
    subprocess.run([python, "-m", "pip", "install", "-q", *needed], check=True)
    return python


def told(outcome: str, output: str = "") -> Told:
    sections = [["Captured stdout call", output]] if output else []
    report = {"outcome": outcome, "sections": sections}
    passed = {"outcome": "passed", "sections": sections}
    return Told([{"setup": passed, "call": report, "teardown": passed}])


def test_the_comparison_sees_another_verdict_another_output_and_a_missing_test() -> None:
    printed = line("TestOutput", "t", stream="stdout", phase="call", text="said")
    one = a_test("t")
    recording = a_recording(a_log(one[0], printed, one[1]))
    assert list(compare_reports(recording, {"t": told("passed", "said")})) == []
    assert list(compare_reports(recording, {"t": told("failed", "said")})) != []
    assert list(compare_reports(recording, {"t": told("passed", "else")})) != []
    assert list(compare_reports(recording, {})) != []
    both = {"t": told("passed", "said"), "u": told("passed")}
    assert list(compare_reports(recording, both)) != []


def test_the_comparison_sees_another_case(tmp_path: Path) -> None:
    case = "<testsuite><testcase classname='a' name='b'>{}</testcase></testsuite>"
    (tmp_path / "one.xml").write_text(case.format(""))
    (tmp_path / "two.xml").write_text(case.format("<failure/>"))
    assert list(compare_junit(tmp_path / "one.xml", tmp_path / "one.xml")) == []
    assert len(list(compare_junit(tmp_path / "one.xml", tmp_path / "two.xml"))) == 2


def test_the_documented_command_compares_a_project(tmp_path: Path) -> None:
    (tmp_path / "test_one.py").write_text("def test_one(): pass\n")
    script = Path(__file__).parent / "fidelity.py"
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(script.parent.parent)},
        capture_output=True,
    )
    assert done.stdout == b"tests: 1, exit code 0, differences: 0\n"
    assert done.returncode == 0
