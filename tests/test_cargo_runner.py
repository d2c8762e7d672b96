"""`bundle run -- cargo test`: the real cargo, what it shows, what is recorded, and reruns."""

from __future__ import annotations

import io
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from command_line import Place, place
from tools import needs

from bundler.events import Event
from bundler.results import Results, fold
from bundler.runners.cargo_output import CargoOutput
from bundler.translation import Translation

SUITE = Path(__file__).parent / "fixtures" / "cargo-test"
CARGO = ("cargo", "test", "--offline")
CHANGING = r"\([0-9]+\) panicked|finished in [0-9.]+s|in [0-9.]+s$|-[0-9a-f]{16}|^ +Compiling .*\n"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The crates, built once."""
    folder = tmp_path_factory.mktemp("cargo") / "built"
    shutil.copytree(SUITE, folder)
    here = Place(folder, folder.parent / "store")
    assert here.run([*CARGO, "--workspace", "--no-run"], **RUST).code == 0
    return folder


RUST = {"RUST_BACKTRACE": "0"}


@pytest.fixture
def weather(built: Path, tmp_path: Path) -> Place:
    here = place(tmp_path)
    shutil.copytree(built, here.project, dirs_exist_ok=True, symlinks=True)
    return here


def scrubbed(text: str) -> list[str]:
    text = re.sub(
        r"^note: run with `RUST_BACKTRACE.*\n", "", text, flags=re.MULTILINE
    )  # the first has it
    text = re.sub(CHANGING, "…", text, flags=re.MULTILINE)
    lines = [one for one in text.splitlines() if not one.startswith("bundle: ")]
    return sorted(lines)  # tests end in any order


@pytest.mark.slow
@needs("cargo")
def test_what_is_shown_is_what_cargo_shows_and_every_test_is_recorded(weather: Place) -> None:
    command = [*CARGO, "--workspace", "--no-fail-fast"]
    plain = weather.run(command, **RUST)
    ours = weather.bundle("run", "--", *command, **RUST)
    assert ours.code == plain.code == 101
    assert scrubbed(ours.stdout) == scrubbed(plain.stdout)
    assert scrubbed(ours.stderr) == scrubbed(plain.stderr)
    docs = "weather::doc/weather weather/src/lib.rs -"
    assert weather.verdicts() == {
        "sky-high tests::blue": "passed",
        "sky-high::bin/sky-high of_main": "passed",
        "sky-high::it shared": "passed",
        "weather tests::bad": "failed",
        "weather tests::does_not_panic": "failed",
        "weather tests::fine": "passed",
        "weather tests::ignored": "skipped",
        "weather tests::ignored_why": "skipped",
        "weather tests::panics": "passed",
        "weather tests::panics_wrong": "failed",
        "weather tests::returns_err": "failed",
        "weather::it fails": "failed",
        "weather::it shared": "passed",
        "weather::own": "passed",
        f"{docs} add (line 5)": "passed",
        f"{docs} add (line 9)": "passed",
        f"{docs} add (line 13)": "passed",
        f"{docs} add (line 17)": "passed",
        f"{docs} wrong (line 23)": "failed",
    }
    [bad] = weather.latest().results.with_id("weather tests::bad")
    [failure] = bad.attempts[0].failures
    assert failure.message.startswith("assertion `left == right` failed: sums")
    outputs = weather.latest().outputs(bad.attempts[0].output_offsets)
    assert b"".join(one.content for one in outputs).startswith(b"said before\nand err\n")


@pytest.mark.slow
@needs("cargo")
def test_a_rerun_runs_what_did_not_pass_until_green(weather: Place) -> None:
    weather.bundle("run", "--", *CARGO, "--workspace", "--no-fail-fast", **RUST)
    library = weather.project / "weather" / "src" / "lib.rs"
    text = library.read_text()
    for wrong, right in [
        ("add(1, 1), 3", "add(1, 1), 2"),
        ("does_not_panic() {}", "does_not_panic() { panic!() }"),
        ('panic!("wrong words")', 'panic!("right words")'),
        ('Err("an error".into())', "Ok(())"),
    ]:
        assert wrong in text
        text = text.replace(wrong, right)
    library.write_text(text)
    test = weather.project / "weather" / "tests" / "it.rs"
    test.write_text(test.read_text().replace('"/no/such"', 'file!().replace("weather/", "")'))
    ended = weather.bundle("rerun", **RUST)
    assert "which run together is not kept" in ended.stderr
    assert ended.code == 0, ended.stderr + ended.stdout
    assert "nothing is outstanding" in ended.stderr
    assert set(weather.verdicts().values()) == {"passed"}
    assert len(weather.verdicts()) == 6


@pytest.mark.slow
@needs("cargo")
def test_what_cannot_be_compiled_is_outstanding(weather: Place) -> None:
    test = weather.project / "weather" / "tests" / "it.rs"
    good = test.read_text()
    test.write_text(good + "fn broken() { undefined() }\n")
    ended = weather.bundle("run", "--", *CARGO, "-p", "weather", "--test", "it", **RUST)
    assert ended.code == 101
    results = weather.latest().results
    assert [one.node_id for one in results.collection] == ["weather::it"]
    assert "error[E0425]" in results.collection[0].failures[0].message
    assert weather.latest().manifest.status.state == "collection_failed"
    test.write_text(good.replace('std::fs::read("/no/such").unwrap();', ""))
    ended = weather.bundle("rerun", **RUST)
    assert (ended.code, len(weather.verdicts())) == (0, 2)


@pytest.mark.slow
@needs("nextest")
def test_a_report_of_nextest_is_rerun_by_a_filter_of_exact_names(weather: Place) -> None:
    case = "<testcase classname='{}' name='{}'>{}</testcase>"
    inner = case.format("sky-high::it", "shared", "<failure/>") + case.format(
        "sky-high", "tests::blue", ""
    )
    root = "<testsuites name='nextest-run' uuid='0a1b2c3d-0000-4000-8000-000000000000'>"
    weather.file("results.xml", f"{root}<testsuite name='s'>{inner}</testsuite></testsuites>")
    command = ["cargo", "nextest", "run", "--offline", "-p", "sky-high"]
    ended = weather.bundle("rerun", "results.xml", "--", *command)
    assert ended.code == 0, ended.stderr
    ran = {test.test_id for test in weather.latest().results.tests if test.attempts}
    assert ran - {"sky-high tests::blue", "sky-high::bin/sky-high of_main"} == {
        "sky-high::it shared"
    }


# What is read, line by line


Said = str | tuple[str, str] | dict[str, Any]


def read(*lines: Said, artifacts: Sequence[dict[str, Any]] = ()) -> Results:
    """Read lines of stdout, others as (stream, line), and artifacts."""
    told: list[Event] = []
    output = CargoOutput(
        Translation(io.BytesIO(), where="memory", format="cargo", tell=told.append), "cargo test"
    )
    for one in artifacts:
        output.artifact(one)
    for line in lines:
        if isinstance(line, dict):
            output.artifact(line)
            continue
        stream, text = ("stdout", line) if isinstance(line, str) else line
        output.note(stream, text.encode())
    output.end()
    return fold(enumerate(told))


def running(stem: str) -> tuple[str, str]:
    return ("stderr", f"     Running tests/{stem}.rs (target/debug/deps/{stem}-0123456789abcdef)")


def artifact(name: str, kind: str = "test") -> dict[str, Any]:
    return {
        "reason": "compiler-artifact",
        "package_id": "path+file:///p/weather#0.1.0",
        "manifest_path": "/no/such/Cargo.toml",
        "target": {"kind": [kind], "name": name},
        "profile": {"test": True},
        "executable": f"/p/target/debug/deps/{name}-0123456789abcdef",
    }


def verdicts(results: Results) -> dict[str, str]:
    return {test.test_id: test.verdict.value for test in results.tests}


BLOCK = ("running 1 test", "test x ... ok", "test result: ok. 1 passed; 0 failed; 0 ignored;")


def test_the_kth_binary_that_runs_is_the_kth_that_was_announced() -> None:
    both = [artifact("a"), artifact("b")]
    ahead = read(running("a"), running("b"), *BLOCK, *BLOCK, artifacts=both)
    behind = read(*BLOCK, *BLOCK, running("a"), running("b"), artifacts=both)
    assert (
        verdicts(ahead) == verdicts(behind) == {"weather::a x": "passed", "weather::b x": "passed"}
    )


def test_a_binary_may_be_announced_before_cargo_tells_which_it_is() -> None:
    assert verdicts(read(running("a"), artifact("a"), *BLOCK)) == {"weather::a x": "passed"}


def test_in_one_stream_a_binary_that_says_nothing_is_one_test() -> None:
    a, b = (("terminal", running(one)[1]) for one in "ab")
    block = [("terminal", one) for one in BLOCK]
    results = read(a, b, *block, artifacts=[artifact("a"), artifact("b")])
    assert verdicts(results) == {"weather::b x": "passed", "weather::a": "passed"}


def test_a_binary_that_says_nothing_failed_where_cargo_says_so() -> None:
    failed = ("stderr", "error: test failed, to rerun pass `-p weather --test a`")
    assert verdicts(read(running("a"), failed, artifacts=[artifact("a")])) == {
        "weather::a": "failed"
    }


def test_a_binary_that_ends_in_the_middle_is_not_forgotten() -> None:
    results = read(
        running("a"),
        "running 3 tests",
        "test x ... ok",
        "test y ... ",
        ("stderr", "  process didn't exit successfully: `/p/a` (signal: 6, SIGABRT: abort)"),
        artifacts=[artifact("a")],
    )
    assert verdicts(results) == {"weather::a x": "passed", "weather::a y": "crashed"}
    [problem] = results.collection
    assert problem.failures[0].message == "signal: 6, SIGABRT: abort after 2 of 3 tests"


NOT_COMPILED = "error: could not compile `weather` (lib test) due to 1 previous error"


@pytest.mark.parametrize("stream", ["stdout", "stderr", "terminal"])
def test_what_cannot_be_compiled_is_told_on_whichever_stream(stream: str) -> None:
    results = read((stream, "error[E0308]: mismatched types"), (stream, NOT_COMPILED))
    [problem] = results.collection
    assert (problem.node_id, problem.failures[0].message) == (
        "weather",
        "error[E0308]: mismatched types",
    )


@pytest.mark.parametrize("before", [[running("a")], []])
def test_a_test_that_prints_what_cargo_says_of_its_compiler_deceives_nobody(
    before: list[Said],
) -> None:
    results = read(
        *before,
        "running 1 test",
        NOT_COMPILED,
        *BLOCK[1:],
        artifacts=[artifact("a")],
    )
    assert (list(verdicts(results).values()), results.collection) == (["passed"], [])


def test_one_at_a_time_what_a_test_prints_is_its_own() -> None:
    results = read(
        running("a"),
        "running 2 tests",
        "test x ... hello",
        "there",
        "ok",
        "test y ... ok",
        "test result: ok. 2 passed; 0 failed;",
        artifacts=[artifact("a")],
    )
    assert verdicts(results) == {"weather::a x": "passed", "weather::a y": "passed"}
    assert len(results.with_id("weather::a x")[0].attempts[0].output_offsets) == 2


def test_a_test_that_prints_what_looks_like_a_result_deceives_nobody() -> None:
    results = read(
        running("a"),
        "running 1 test",
        "test x ... FAILED",
        "failures:",
        "---- x stdout ----",
        "test y ... ok",
        "failures are many",
        "",
        "failures:",
        "    x",
        "test result: FAILED. 0 passed; 1 failed;",
        artifacts=[artifact("a")],
    )
    assert verdicts(results) == {"weather::a x": "failed"}


def test_quiet_names_what_failed_and_counts_the_others() -> None:
    results = read(
        "running 8 tests",
        "tests::bad --- FAILED",
        ".ii. 5/8",
        "failures:",
        "---- tests::bad stdout ----",
        "said",
        "failures:",
        "    tests::bad",
        "test result: FAILED. 5 passed; 1 failed; 2 ignored;",
    )
    assert verdicts(results) == {"tests::bad": "failed"}
    assert "5 tests passed of which only the number is told" in results.warnings[0]["message"]


@pytest.mark.parametrize("reset", ["\x1b(B\x1b[m", "\x1b[m\x0f", "\x1b[0m"])
def test_colours_and_progress_are_no_part_of_a_name(reset: str) -> None:
    styled = "   Building [==> ] 1/2: a\r\x1b[K\x1b[1m\x1b[92m     Running\x1b[0m tests/a.rs "
    styled += "(t/debug/deps/a-0123456789abcdef)\r"
    results = read(
        ("terminal", styled),
        ("terminal", "running 1 test\r"),
        ("terminal", f"test x ... \x1b[32mok{reset}\r"),
        ("terminal", f"test result: \x1b[32mok{reset}. 1 passed;"),
        artifacts=[artifact("a")],
    )
    assert verdicts(results) == {"weather::a x": "passed"}
