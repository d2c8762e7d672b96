"""Which arguments of a stranger's command come back: only what the grammar makes, only in here."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bundler.scope import applicable_scope, is_expression


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with tests, things that are none, and ways out of it."""
    outside = tmp_path_factory.mktemp("outside")
    (outside / "test_out.py").write_text("")
    root = tmp_path_factory.mktemp("project")
    for name in [
        *("tests/test_a.py", "tests/sub/test_b.py", "tests/sub/b_test.py", "tests/a b/test_c.py"),
        *("deploy.py", "README.rst", "conftest.py", "tests/__init__.py", "tests/check_it.py"),
        *(".venv/lib/test_v.py", "env/pyvenv.cfg", "env/lib/test_e.py", "node_modules/x/test_n.py"),
        *("@file", "-c", "evil.py", "cov/test_cov.py"),
    ]:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("def test_x(): pass\n")
    (root / "out").symlink_to(outside)
    (root / "test_out.py").symlink_to(outside / "test_out.py")
    (root / "test_venv").symlink_to(root / ".venv")
    (root / "test_loop.py").symlink_to(root / "test_loop.py")
    return root


@pytest.mark.parametrize(
    ("arguments", "applied"),
    [
        (["-x"], ["-x"]),
        (["--exitfirst", "-s"], ["--exitfirst", "-s"]),
        (["--maxfail", "3"], ["--maxfail=3"]),
        (["--maxfail=3"], ["--maxfail=3"]),
        (["-n", "auto"], ["-n", "auto"]),
        (["-n4"], ["-n", "4"]),
        (["--numprocesses=logical"], ["--numprocesses=logical"]),
        (["--dist", "loadfile"], ["--dist=loadfile"]),
        (["-k", "a and not (b or c[1])"], ["-k", "a and not (b or c[1])"]),
        (["-kname"], ["-k", "name"]),
        (["-k=name"], ["-k", "name"]),
        (["-xk", "name"], ["-x", "-k", "name"]),
        (["-m", "not slow"], ["-m", "not slow"]),
        (["-p", "no:randomly"], ["-p", "no:randomly"]),
        (["-pno:cacheprovider"], ["-p", "no:cacheprovider"]),
        (["--strict-markers", "--strict-config"], ["--strict-markers", "--strict-config"]),
        (["--runxfail", "--capture=no"], ["--runxfail", "--capture=no"]),
        (["--import-mode=importlib"], ["--import-mode=importlib"]),
        (["--ignore", "tests/sub"], ["--ignore=tests/sub"]),
        (["tests", "-x"], ["-x", "tests"]),
        (["--", "tests"], ["tests"]),
        (["."], ["."]),
        (["./tests/test_a.py"], ["./tests/test_a.py"]),
        (["tests\\sub\\test_b.py"], ["tests/sub/test_b.py"]),
        (["tests/a b/test_c.py"], ["tests/a b/test_c.py"]),
        (["tests/test_a.py::test_x"], ["tests/test_a.py::test_x"]),
        (["tests/test_a.py::TestA::test_x[a-1.5]"], ["tests/test_a.py::TestA::test_x[a-1.5]"]),
    ],
)
def test_what_the_grammar_knows_comes_back(
    arguments: list[str], applied: list[str], project: Path
) -> None:
    scope = applicable_scope(arguments, project)
    assert (scope.args, scope.not_applied) == (applied, [])


@pytest.mark.parametrize(
    "arguments",
    [
        ["-pevil"],
        ["-p", "evil"],
        ["-p", "no:"],
        ["-p", "no:bundle_probe"],
        ["-p", "no:../x"],
        ["@file"],
        ["--basetemp=/"],
        ["--basetemp", "tests"],
        ["-c", "evil.py"],
        ["--rootdir", "tests"],
        ["--confcutdir=tests"],
        ["-o", "python_files=*.py"],
        ["-opython_files=*.py"],
        ["-W", "error::evil.Warning"],
        ["--pyargs"],
        ["--doctest-modules"],
        ["--cov", "tests"],
        ["--cov=tests"],
        ["--deselect", "tests/test_a.py::test_x"],
        ["--junitxml", "tests/test_a.py"],
        ["--pdbcls=evil:Evil"],
        ["--maxfail=-1"],
        ["--maxfail=1e9"],
        ["--maxfail"],
        ["--exitfirst=1"],
        ["-n", "65"],
        ["-n", "999999999"],
        ["--dist=evil"],
        ["--capture=evil"],
        ["--ignore=../x"],
        ["--ignore"],
        ["-k", "-pevil"],
        ["-k", "__import__('os').system('id')"],
        ["-k", "a (b)"],
        ["-k", "a\nand b"],
        ["-k", ""],
        ["-k"],
        ["-m", "slow(reason='x')"],
        ["../x"],
        ["tests/../../outside"],
        ["tests/../tests"],
        ["/etc/passwd"],
        ["C:\\tests"],
        ["tests\0"],
        ["~"],
        ["-"],
        [""],
        ["no/such/test_a.py"],
        ["out"],
        ["out/test_out.py"],
        ["test_out.py"],
        ["test_loop.py"],
        ["test_venv"],
        ["test_venv/lib/test_v.py"],
        [".venv"],
        [".venv/lib/test_v.py"],
        ["env/lib/test_e.py"],
        ["node_modules/x"],
        ["deploy.py"],
        ["deploy.py::test_x"],
        ["README.rst"],
        ["conftest.py"],
        ["tests/__init__.py"],
        ["tests/check_it.py"],
        ["tests::test_x"],
        ["tests/test_a.py::"],
        ["tests/test_a.py::test_x["],
        ["tests/test_a.py::test_x[\x1b]2;title]"],
        ["tests/test_a.py::test_x & calc"],
    ],
)
def test_what_it_does_not_know_is_listed_and_does_not_come_back(
    arguments: list[str], project: Path
) -> None:
    scope = applicable_scope(arguments, project)
    assert scope.args == []
    assert "".join(scope.not_applied) == "".join(arguments)


def test_a_value_of_an_option_that_is_left_out_is_no_path(project: Path) -> None:
    arguments = ["--cov", "cov", "--runslow", "tests", "-c", "tests/test_a.py", "-vx"]
    scope = applicable_scope(arguments, project)
    assert scope.args == ["-x", "tests"]
    assert scope.not_applied == ["--cov", "cov", "--runslow", "-c", "tests/test_a.py", "-v"]


def test_a_project_may_name_its_test_files_otherwise(project: Path) -> None:
    scope = applicable_scope(["tests/check_it.py"], project, test_files=["check_*.py"])
    assert scope.args == ["tests/check_it.py"]


HOSTILE = """
-x -s -k -m -n -p -c -o -xk -kx -n4 -pevil -pno:x -p=no:x --maxfail --maxfail=2 --dist --dist=load
--dist=evil --ignore --ignore=tests --ignore=../x --basetemp=/ --rootdir -- - @file tests
tests/test_a.py tests/test_a.py::test_x tests/test_a.py::t[1] ../x /etc/passwd out .venv deploy.py
evil no:x no:bundle auto 4 1000 and or not ( ) a__b a(b) __import__('os')
"""

WORDS = st.one_of(
    st.text(max_size=12),
    st.sampled_from(HOSTILE.split()),
    st.builds("{}{}".format, st.sampled_from(["-k", "-m", "--ignore=", "tests/"]), st.text()),
    st.lists(st.sampled_from(["a", "not", "and", "or", "(", ")", "-b", "$c"])).map(" ".join),
)

COMES_BACK = re.compile(
    r"""-x|-s|--exitfirst|--runxfail|--strict-markers|--strict-config
    |--maxfail=[0-9]{1,6}
    |--numprocesses=(auto|logical|[0-9]{1,6})
    |--dist=(no|load|each|loadscope|loadfile|loadgroup|worksteal)
    |--capture=(fd|sys|no|tee-sys)
    |--import-mode=(prepend|append|importlib)
    |--ignore=(?P<ignored>[\w][^\0-\x1f:*?"<>|&^%]*)
    |(?P<path>[\w.+=,][\w.+=,\ /-]*)(::[\w:]+(\[[\w.+,/:=\ -]*\])?)?
    """,
    re.VERBOSE,
)


@settings(deadline=None)  # it asks the file system
@given(st.lists(WORDS, max_size=8))
@example(["-k", "-pevil"])
@example(["-xpevil", "-kx"])
@example(["--maxfail", "@file"])
def test_nothing_of_a_hostile_command_comes_back_but_words_of_the_grammar(
    project: Path, arguments: list[str]
) -> None:
    scope = applicable_scope(arguments, project)
    words = iter(scope.args)
    for word in words:
        if word in ("-k", "-m"):
            assert re.fullmatch(r"(?!-)[\w:+.\[\]/() -]+", next(words))
        elif word == "-n":
            assert re.fullmatch(r"auto|logical|[0-9]{1,6}", next(words))
        elif word == "-p":
            assert re.fullmatch(r"no:\w[\w.-]*", next(words))
        else:
            match = COMES_BACK.fullmatch(word)
            assert match, word
            path = match["path"] or match["ignored"]
            if path:
                real = Path(os.path.realpath(project / path))
                assert real.exists()
                assert real.is_relative_to(project.resolve())


@settings(deadline=None)  # the first import of pytest's parser counts
@given(st.lists(st.sampled_from(["a", "b[1]", "not", "and", "or", "(", ")", " "]), max_size=12))
def test_an_expression_of_the_grammar_is_one_that_pytest_takes(words: list[str]) -> None:
    from _pytest.mark.expression import Expression

    text = " ".join(words)
    try:
        Expression.compile(text)
        taken = bool(text.strip())
    except SyntaxError:
        taken = False
    assert is_expression(text) is taken


@pytest.mark.parametrize("text", ["(" * 21 + "a" + ")" * 21, "a" * 1001, " and ".join("a" * 300)])
def test_an_expression_is_short_and_shallow(text: str) -> None:
    assert not is_expression(text)


def test_the_longest_chain_of_negations_is_one_that_pytest_takes() -> None:
    from _pytest.mark.expression import Expression

    text = "not " * 249 + "a"
    assert is_expression(text)
    assert Expression.compile(text).evaluate(lambda *_args, **_kwargs: True) is False


def test_pytest_takes_what_comes_back(project: Path) -> None:
    arguments = [
        *("-pevil", "-xk", "test_x or nothing", "-m", "not slow", "--maxfail", "2", "-n", "0"),
        *("--dist=load", "-p", "no:doctest", "--capture=sys", "--import-mode", "importlib"),
        *("--ignore", "tests/sub", "--runxfail", "--strict-config", "-o", "addopts=-pevil"),
        *("tests", "deploy.py"),
    ]
    args = applicable_scope(arguments, project).args
    found = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "--collect-only", "-p", "no:cacheprovider", *args],
        cwd=project,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    ids = [word for word in found.stdout.splitlines() if "::" in word]
    assert sorted(ids) == ["tests/a b/test_c.py::test_x", "tests/test_a.py::test_x"]
