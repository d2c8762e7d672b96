"""`bundle run --junit` and `[tool.bundle.runners.NAME]`: commands that leave JUnit XML behind."""

from __future__ import annotations

import json
import os
import shlex
import sys
from pathlib import Path

import pytest
from command_line import Place, place

PYTHON = sys.executable
LEAVES = """
import os, sys
from pathlib import Path
Path("out").mkdir(exist_ok=True)
red = 0
for name in ("one", "two"):
    if len(sys.argv) > 1 and f"t::{name}" not in " ".join(sys.argv[1:]):
        continue
    failed = name == "two" and not Path("fixed").exists()
    red |= failed
    inner = "<failure message='no'/>" if failed else ""
    case = f"<testcase classname='t' name='{name}'>{inner}</testcase>"
    Path(f"out/{name}.xml").write_text(f"<testsuite name='t'>{case}</testsuite>")
print("ran")
sys.exit(red)
"""


@pytest.fixture
def here(tmp_path: Path) -> Place:
    made = place(tmp_path)
    made.file("leaves.py", LEAVES)
    return made


def run(here: Place, *words: str) -> tuple[int, str]:
    ended = here.bundle("run", *words, "--", PYTHON, "leaves.py")
    return ended.code, ended.stderr


def test_what_the_command_leaves_is_what_is_known_of_its_tests(here: Place) -> None:
    code, said = run(here, "--junit", "out/*.xml")
    assert code == 1
    assert here.verdicts() == {"t::one": "passed", "t::two": "failed"}
    assert "2 tests, 1 not passing" in said
    manifest = here.latest().manifest
    assert (manifest.command.runner, manifest.command.results) == ("junit", ["out/*.xml"])
    assert len({test.session for test in here.latest().results.tests}) == 2


def test_a_rerun_says_that_all_tests_run_and_ends_when_they_pass(here: Place) -> None:
    run(here, "--junit", "out/*.xml")
    ended = here.bundle("rerun")
    assert "all tests run: nobody has said how this command selects some of them" in ended.stderr
    assert ended.code == 1
    here.file("fixed", "")
    ended = here.bundle("rerun")
    assert (ended.code, "nothing is outstanding" in ended.stderr) == (0, True)
    last = here.latest().manifest.run_id
    assert here.bundle("rerun").code == 0
    assert here.latest().manifest.run_id == last


def test_a_report_of_an_earlier_run_is_left_out_and_said(here: Place) -> None:
    stale = here.file("out/stale.xml", "<testsuite><testcase name='old'/></testsuite>")
    _, said = run(here, "--junit", "out/*.xml")
    assert "1 file is of an earlier run and left out" in said
    assert sorted(here.verdicts()) == ["t::one", "t::two"]
    stale.unlink()


def test_a_file_that_was_written_again_with_the_same_content_is_of_this_run(here: Place) -> None:
    run(here, "--junit", "out/*.xml")
    _, said = run(here, "--junit", "out/*.xml")
    assert "earlier run" not in said
    assert len(here.verdicts()) == 2


def test_files_of_several_patterns_are_one_run_and_each_is_read_once(here: Place) -> None:
    run(here, "--junit", "out/one.xml", "--junit", "**/*.xml")
    assert sorted(test.test_id for test in here.latest().results.tests) == ["t::one", "t::two"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{}", "is not JUnit XML"),
        ("<testsuite><testcase name='x'>", "is not well-formed"),
        ('<!DOCTYPE a [<!ENTITY b "c">]><testsuite/>', "declares a document type"),
    ],
)
def test_what_is_no_report_is_said_and_the_others_are_read(
    here: Place, content: str, said: str
) -> None:
    script = f"{LEAVES}".replace(
        'print("ran")', f"Path('out/zz.xml').write_text({content!r}); print('ran')"
    )
    here.file("leaves.py", script)
    code, told = run(here, "--junit", "out/*.xml")
    assert code == 1
    assert {"t::one", "t::two"} <= here.verdicts().keys()
    assert f"zz.xml {said}" in told


def test_no_file_at_all_is_said(here: Place) -> None:
    code, said = run(here, "--junit", "nowhere/*.xml")
    assert code == 1
    assert "nowhere/*.xml matches no file that the run wrote" in said
    assert here.latest().results.tests == []


def test_tests_that_told_of_themselves_are_not_told_twice(here: Place) -> None:
    here.file("test_it.py", "def test_x(): pass\n")
    command = [PYTHON, "-m", "pytest", "--junitxml=out/p.xml", "-p", "no:cacheprovider"]
    ended = here.bundle("run", "--junit", "out/*.xml", "--", *command)
    assert "the tests told of themselves; the files of JUnit XML are left out" in ended.stderr
    assert here.verdicts() == {"test_it.py::test_x": "passed"}


def test_where_the_probe_cannot_reach_pytest_s_own_report_can(here: Place) -> None:
    here.file("test_it.py", "def test_x(): pass\ndef test_y(): assert 0\n")
    command = [PYTHON, "-I", "-m", "pytest", "--junitxml=out/p.xml", "-p", "no:cacheprovider"]
    here.bundle("run", "--junit", "out/*.xml", "--", *command)
    assert here.verdicts() == {"test_it::test_x": "passed", "test_it::test_y": "failed"}


def test_a_report_that_pytest_wrote_in_ci_is_rerun(here: Place) -> None:
    here.file("tests/test_it.py", "class TestA:\n    def test_x(self): pass\n")
    here.file("tests/test_b.py", "def test_y(): assert 0\ndef test_z(): pass\n")
    pytest_here = [PYTHON, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    assert here.run([*pytest_here, "--junitxml=results.xml"]).code == 1
    for words in (["run", "-R", "results.xml", "--"], ["rerun", "results.xml", "--"]):
        assert here.bundle(*words, *pytest_here).code == 1
        assert here.verdicts() == {"tests/test_b.py::test_y": "failed"}


# A project's own runner


def configure(here: Place, **table: str | list[str]) -> None:
    lines = [f"{key} = {json.dumps(value)}\n" for key, value in table.items()]
    here.file("pyproject.toml", "[tool.bundle.runners.leaves]\n" + "".join(lines))


def test_a_project_s_runner_is_recorded_and_rerun_by_its_table(here: Place) -> None:
    command = [PYTHON, "leaves.py"]
    configure(here, command=command, select=["--only={tests}"], results="out/*.xml")
    assert run(here)[0] == 1
    assert here.latest().manifest.command.runner == "leaves"
    (here.project / "out" / "one.xml").unlink()
    ended = here.bundle("rerun")
    assert ended.code == 1
    assert here.verdicts() == {"t::two": "failed"}
    assert "does not say whether order and values are kept" in ended.stderr
    here.file("fixed", "")
    ended = here.bundle("rerun")
    assert (ended.code, "nothing is outstanding" in ended.stderr) == (0, True)


def test_a_file_of_tests_is_handed_over_and_gone_afterwards(here: Place) -> None:
    reads = "sys.argv.append(Path(sys.argv[1]).read_text()) if sys.argv[1:] else None\n"
    script = LEAVES.replace("red = 0\n", f"{reads}red = 0\n")
    here.file("leaves.py", script.replace('print("ran")', "print(*sys.argv[1:2])"))
    configure(here, command=[PYTHON, "leaves.py"], select="{tests_file}", results="out/*.xml")
    run(here)
    ended = here.bundle("rerun")
    assert here.verdicts() == {"t::two": "failed"}
    assert not Path(ended.stdout.strip()).exists()


def test_a_fresh_file_for_results_and_an_imposed_seed_are_handed_over(here: Place) -> None:
    here.file(
        "leaves.py",
        "import sys, pathlib\n"
        "case = f\"<testcase classname='t' name='{sys.argv[1]}'/>\"\n"
        "pathlib.Path(sys.argv[-1]).write_text(f'<testsuite>{case}</testsuite>')\n",
    )
    leaves = [PYTHON, "leaves.py"]
    configure(here, command=leaves, seed="--seed={seed}", results=["--xml", "{results}"])
    assert run(here, "--seed", "7")[0] == 0
    assert here.verdicts() == {"t::--seed=7": "passed"}


def test_no_test_id_of_a_stranger_becomes_an_option_or_a_shell_s_word(here: Place) -> None:
    configure(here, command=[PYTHON, "show.py"], select=["{tests}"])
    here.file("show.py", "import sys; print(sys.argv[1:])")
    cases = ["--evil", "$(touch pwned)", "; touch pwned", "x y"]
    inner = "".join(f"<testcase name={json.dumps(one)}><failure/></testcase>" for one in cases)
    here.file("r.xml", f"<testsuite>{inner}</testsuite>")
    ended = here.bundle("run", "-R", "r.xml", "--", PYTHON, "show.py")
    assert ended.stdout.strip() == str(["$(touch pwned)", "; touch pwned", "x y"])
    assert "1 cannot be selected" in ended.stderr
    assert not (here.project / "pwned").exists()


# Any command


def test_a_command_is_a_test_that_is_rerun_until_it_passes(here: Place) -> None:
    words = ["sh", "-c", "echo said; test -e fixed"]
    name = shlex.join(words)
    assert here.bundle("run", "--", *words).code == 1
    assert here.verdicts() == {name: "failed"}
    [test] = here.latest().results.tests
    assert test.attempts[0].failures[0].message == "exit code 1"
    outputs = here.latest().outputs(test.attempts[0].output_offsets)
    assert b"".join(one.content for one in outputs) == b"said\n"
    assert any(one.startswith("tests/sh-") for one in here.latest().files)
    assert here.bundle("rerun").code == 1
    here.file("fixed", "")
    assert here.bundle("rerun").code == 0
    last = here.latest().manifest.run_id
    ended = here.bundle("rerun")
    assert (ended.code, "nothing is outstanding" in ended.stderr) == (0, True)
    assert here.latest().manifest.run_id == last


def test_a_command_that_dies_crashed(here: Place) -> None:
    words = [PYTHON, "-c", "import os; os.kill(os.getpid(), 9)"]
    here.bundle("run", "--", *words)
    assert list(here.verdicts().values()) == ["crashed"]


def test_a_command_with_tests_inside_is_no_test_itself(here: Place) -> None:
    here.file("test_it.py", "def test_x(): pass\n")
    inner = shlex.join([PYTHON, "-m", "pytest", "-q", "-p", "no:cacheprovider"])
    here.bundle("run", "--", "sh", "-c", inner)
    assert here.verdicts() == {"test_it.py::test_x": "passed"}


# What a recording came through


@pytest.mark.skipif(os.name == "nt", reason="a pipe with a path is POSIX")
def test_a_hint_names_only_what_can_be_opened_again(here: Place) -> None:
    here.bundle("run", "--", "false")
    here.bundle("pack", "-o", "x.zip")
    assert "bundle rerun x.zip" in here.bundle("replay", "x.zip").stdout
    script = 'exec "$0" -m bundler replay /dev/fd/3 3< <(cat x.zip)'
    told = here.run(["bash", "-c", script, PYTHON]).stdout
    assert "failed (exit code 1)" in told
    assert "bundle rerun" not in told
    os.mkfifo(here.project / "named.zip")
    script = 'cat x.zip > named.zip & exec "$0" -m bundler replay named.zip'
    assert "Rerun" not in here.run(["sh", "-c", script, PYTHON]).stdout
    assert "Rerun" not in here.run(["sh", "-c", f"cat x.zip | {PYTHON} -m bundler replay -"]).stdout
