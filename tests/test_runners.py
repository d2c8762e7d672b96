"""The four answers of every runner, and what each puts on a command line: pure decisions."""

from __future__ import annotations

from pathlib import Path

import pytest
from builders import a_log, a_test, line, results_of
from tools import PROGRAMS, REQUIRED, missing

from bundler import runners
from bundler.results import Results, TestResult
from bundler.runner_tables import RunnerTable
from bundler.runners import cargo_test, configured, go_test, gradle, maven, nextest
from bundler.runners import pytest as pytest_runner

NOTHING = Results()


def commands(selection: runners.Selection | None) -> list[str]:
    assert selection is not None
    return [" ".join(words) for words in selection.commands]


def seen(*test_ids: str) -> Results:
    return results_of(a_log(*(a_test(one) for one in test_ids)))


def test_what_is_required_is_here() -> None:
    asked = REQUIRED & PROGRAMS.keys()
    assert [f"{tool}: {' '.join(missing(tool))}" for tool in sorted(asked) if missing(tool)] == []


# Every runner


@pytest.mark.parametrize("name", runners.RUNNERS)
def test_every_runner_has_the_four_answers(name: str) -> None:
    runner = runners.named(name)
    for member in ("recognises", "inside", "select", "seeded", "file_of", "own_id"):
        assert callable(getattr(runner, member))
    assert runner.NOT_KEPT or (runner.KEEPS_ORDER and runner.KEEPS_VALUES)
    assert runner.COMMAND == () or runner.recognises(runner.COMMAND) or name == "pytest"
    assert runners.called(runner.NAME) is runner


@pytest.mark.parametrize("name", ["nextest", "go_test", "cargo_test", "maven", "gradle"])
def test_nothing_asked_for_is_no_command(name: str) -> None:
    runner = runners.named(name)
    selection = runner.select(runner.COMMAND, [], NOTHING)
    assert selection is not None
    assert selection.commands == ()


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("pytest -x", "pytest"),
        ("python3 -m pytest", "pytest"),
        ("go test ./...", "go test"),
        ("/usr/local/go/bin/go -C sub test", "go test"),
        ("cargo test -p x", "cargo test"),
        ("cargo +nightly t", "cargo test"),
        ("cargo --offline test", "cargo test"),
        ("cargo nextest run", "nextest"),
        ("mvn -q verify", "Maven"),
        ("./mvnw test", "Maven"),
        ("./gradlew test", "Gradle"),
        ("go build", None),
        ("go vet test", None),
        ("cargo build test", None),
        ("make test", None),
        ("", None),
    ],
)
def test_a_runner_is_told_by_its_command(command: str, name: str | None) -> None:
    runner = runners.runner_of(command.split())
    assert (None if runner is None else runner.NAME) == name


# go test


@pytest.mark.parametrize(
    ("names", "flags"),
    [
        (["TestA"], ["-run=^TestA$"]),
        (["TestA", "TestB"], ["-run=^(TestA|TestB)$"]),
        (["TestA", "TestA/x"], ["-run=^TestA$/^x$"]),
        (["TestA/x", "TestA/y"], ["-run=^TestA$/^(x|y)$"]),
        (["TestA/x", "TestB"], ["-run=^TestA$/^x$", "-run=^TestB$"]),
        (["TestA/b/c"], ["-run=^TestA$/^b$/^c$"]),
        (["TestA/1+1=2_(yes)", "TestA/é#01"], [r"-run=^TestA$/^(1\+1\=2_\(yes\)|é\#01)$"]),
        (["BenchmarkX"], ["-run=^$ -bench=^BenchmarkX$"]),
        (["TestA", ""], [""]),
    ],
)
def test_go_runs_exactly_the_tests_that_are_named(names: list[str], flags: list[str]) -> None:
    assert [" ".join(one) for one in go_test.patterns(names)] == flags


def test_go_is_given_a_package_each_and_the_words_that_do_not_select() -> None:
    words = [
        "go",
        "test",
        "-race",
        "-run",
        "Old",
        "-tags=a",
        "./...",
        "-timeout",
        "5s",
        "-args",
        "-mine",
    ]
    asked = ["example.com/a::TestX", "example.com/b", "example.com/a::TestY"]
    assert commands(go_test.select(words, asked, NOTHING)) == [
        "go test -race -tags=a -timeout=5s -run=^(TestX|TestY)$ example.com/a -args -mine",
        "go test -race -tags=a -timeout=5s example.com/b -args -mine",
    ]


def test_go_shuffles_a_package_by_the_seed_that_was_recorded_of_it() -> None:
    told = line("SessionStarted", session="00000001", runner="go test", suite="a", shuffle_seed=42)
    results = results_of(a_log(told))
    asked = ["a::TestX", "b::TestX"]
    assert commands(go_test.select(["go", "test", "-shuffle=on", "./..."], asked, results)) == [
        "go test -run=^TestX$ -shuffle=42 a",
        "go test -shuffle=on -run=^TestX$ b",
    ]
    assert commands(go_test.select(["go", "test"], ["a::TestX"], results)) == [
        "go test -run=^TestX$ a"
    ]


def test_go_is_given_a_seed_where_it_shuffles() -> None:
    argv, _ = go_test.seeded(["go", "test", "-shuffle", "on", "./..."], {}, (1 << 64) - 1)
    assert argv == ["go", "test", f"-shuffle={(1 << 63) - 1}", "./..."]
    assert go_test.seeded(["go", "test"], {}, 7)[0] == ["go", "test"]


@pytest.mark.parametrize("package", ["-exec=evil", "../x", "a/../../b", "@file", "a b", ""])
def test_go_refuses_what_is_no_package(package: str) -> None:
    selection = go_test.select(["go", "test"], [f"{package}::TestX"], NOTHING)
    assert (selection.commands, selection.refused) == ((), (f"{package}::TestX",))


def test_go_takes_a_hostile_name_for_text() -> None:
    [command] = go_test.select(["go", "test"], ["a::TestX$(id) -exec=evil/.*"], NOTHING).commands
    assert command[2:] == (r"-run=^TestX\$\(id\)\ \-exec\=evil$/^\.\*$", "a")


# cargo test


def test_cargo_is_given_a_binary_each_with_exact_names() -> None:
    words = [
        "cargo",
        "test",
        "--offline",
        "--lib",
        "-q",
        "filter",
        "--",
        "--test-threads=1",
        "--skip",
        "x",
    ]
    asked = ["one tests::a", "one tests::b", "one::it c", "one::bin/tool d"]
    assert commands(cargo_test.select(words, asked, seen("one tests::ok"))) == [
        "cargo test --offline -q --lib -- --test-threads=1 --exact tests::a tests::b",
        "cargo test --offline -q --test it -- --test-threads=1 --exact c",
        "cargo test --offline -q --bin tool -- --test-threads=1 --exact d",
    ]


def test_cargo_is_given_the_package_where_there_are_several() -> None:
    words = ["cargo", "test", "--workspace", "--exclude", "three"]
    assert commands(cargo_test.select(words, ["one::it c"], seen("one::it c", "two::it c"))) == [
        "cargo test -p one --test it -- --exact c"
    ]


def test_cargo_cannot_select_a_documentation_test_exactly_and_says_so() -> None:
    asked = ["one::doc/one src/lib.rs - add (line 5)", "one::doc/one src/lib.rs - (line 1)"]
    selection = cargo_test.select(["cargo", "test"], asked, NOTHING)
    assert commands(selection) == ["cargo test --doc -- add src/lib.rs"]
    assert "others of it run too" in selection.inexact


def test_cargo_runs_the_whole_binary_that_could_not_be_built_or_ended_early() -> None:
    asked = ["one", "one::it"]
    assert commands(cargo_test.select(["cargo", "test"], asked, NOTHING)) == [
        "cargo test",
        "cargo test --test it",
    ]


@pytest.mark.parametrize(
    "test_id", ["-p evil", "one::--config x", "one::bin/../x y", "one --list", "--lib x"]
)
def test_cargo_refuses_what_could_be_an_option(test_id: str) -> None:
    selection = cargo_test.select(["cargo", "test"], [test_id], NOTHING)
    assert (selection.commands, selection.refused) == ((), (test_id,))


# nextest, Maven, Gradle


def test_nextest_is_given_a_filter_of_exact_names() -> None:
    asked = ["one::it a::b", "one c"]
    assert commands(nextest.select(["cargo", "nextest", "run", "--release"], asked, NOTHING)) == [
        "cargo nextest run --release -E (binary_id(=one::it) & test(=a::b))"
        " | (binary_id(=one) & test(=c))"
    ]
    assert nextest.select(["cargo", "nextest", "run", "-R", "x.zip"], asked, NOTHING) is None


def test_maven_is_given_classes_and_methods() -> None:
    asked = ["a.B::x", "a.B::y(int)[1]", "a.C::[1] shown", "a.D$E::z{int}[2]", "a.B::x"]
    [command] = commands(maven.select(["mvn", "-q", "-Dtest=Old", "verify"], asked, NOTHING))
    assert command.split()[:4] == ["mvn", "-q", "verify", "-Dtest=a.B#x+y,a.C,a.D$E#z"]


@pytest.mark.parametrize("test_id", ["-Dx::y", "a b::y", "!a.B::x", "a.B,c.*::x", "::x"])
def test_maven_refuses_what_is_no_class(test_id: str) -> None:
    selection = maven.select(["mvn", "test"], [test_id], NOTHING)
    assert (selection.commands, selection.refused) == ((), (test_id,))


def test_gradle_is_given_tests_behind_its_task() -> None:
    words = ["./gradlew", ":app:test", "--tests", "Old", "--info"]
    assert commands(gradle.select(words, ["a.B::x()", "a.C::[1] shown"], NOTHING)) == [
        "./gradlew :app:test --tests a.B.x --tests a.C.* --info"
    ]
    assert gradle.select(["gradle", "build"], ["a.B::x"], NOTHING) is None


# A project's own


def runner_of(argv: str, **table: tuple[str, ...]) -> runners.Runner:
    tables = {"mine": RunnerTable(("ctest", "--dir", "b"), **table)}
    found = configured.choose(argv.split(), tables)
    assert found is not None
    return found


def test_a_table_names_the_commands_that_begin_as_it_says() -> None:
    tables = {"mine": RunnerTable(("go", "test"))}
    found = configured.choose(["go", "test", "./..."], tables)
    assert found is not None and found.NAME == "mine"
    found = configured.choose(["go", "vet"], tables)
    assert found is None


def test_tests_is_the_word_that_it_stands_in_for_each_test() -> None:
    runner = runner_of("ctest --dir b -V", select=("--only={tests}", "--quiet"))
    selection = runner.select(["ctest", "--dir", "b", "-V"], ["a b", "; rm -rf /"], NOTHING)
    assert selection is not None
    assert selection.commands == (
        ("ctest", "--dir", "b", "-V", "--only=a b", "--only=; rm -rf /", "--quiet"),
    )


def test_a_test_that_begins_like_an_option_is_refused_where_it_would_be_a_word() -> None:
    runner = runner_of("ctest --dir b", select=("-R", "{tests}"))
    selection = runner.select(["ctest", "--dir", "b"], ["--evil", "x"], NOTHING)
    assert selection is not None
    assert (selection.commands[0][-2:], selection.refused) == (("-R", "x"), ("--evil",))


def test_a_file_of_tests_has_a_line_each() -> None:
    runner = runner_of("ctest --dir b", select=("--from", "{tests_file}"))
    selection = runner.select(["ctest", "--dir", "b"], ["x y", "a\nb", "--z"], NOTHING)
    assert selection is not None
    assert (selection.lines, selection.refused) == (("x y", "--z"), ("a\nb",))


def test_a_table_says_how_the_seed_is_given() -> None:
    runner = runner_of("ctest --dir b", seed=("--random", "{seed}"))
    assert runner.seeded(["ctest", "--dir", "b"], {}, 7)[0][-2:] == ["--random", "7"]


def test_a_pattern_for_junit_goes_along_with_the_runner_that_is_known() -> None:
    found = configured.choose(["gradle", "test"], {}, ["out/*.xml"])
    assert found is not None
    assert found.NAME == "Gradle"
    found = configured.choose(["make", "check"], {}, ["out/*.xml"])
    assert found is not None
    assert (found.NAME, found.select(["make", "check"], ["a::b"], NOTHING)) == ("junit", None)


# Names that a report of JUnit XML has


def of_junit(test_id: str) -> TestResult:
    return TestResult("00000001", test_id, 1)


def test_a_report_s_classes_are_pytest_s_files_as_far_as_there_are_such_files(
    tmp_path: Path,
) -> None:
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_a.py").write_text("")
    for told, own in [
        ("tests.test_a::test_x", "tests/test_a.py::test_x"),
        ("tests.test_a.TestY::test_x[a::b.c]", "tests/test_a.py::TestY::test_x[a::b.c]"),
        ("tests.test_b::test_x", "tests.test_b::test_x"),
        ("tests/test_a.py::test_x", "tests/test_a.py::test_x"),
    ]:
        assert pytest_runner.own_id(of_junit(told), "", tmp_path) == own


def test_a_report_s_names_are_those_of_go_and_of_cargo() -> None:
    told = of_junit("example.com/shop/cart::TestTable/two_words")
    assert go_test.own_id(told, "", Path()) == told.test_id
    assert cargo_test.own_id(of_junit("one::tests::a"), "", Path()) == "one tests::a"
    assert nextest.own_id(of_junit("one::it tests::a"), "", Path()) == "one::it tests::a"
