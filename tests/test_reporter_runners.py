"""The runners with a reporter of ours: which commands are theirs, and what becomes of the words."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from command_line import place as new_place

from bundler import runners
from bundler.results import Results
from bundler.runners import Invocation, javascript, jest, node_test, rspec, unittest, vitest
from bundler.runners.report import VARIABLE, Chosen

COMMANDS = {
    "jest": [
        "jest --ci",
        "npx jest",
        "npx --no-install jest@29",
        "npx -p jest jest a b",
        "yarn jest",
        "pnpm exec jest",
        "npm exec -- jest",
        "node_modules/.bin/jest",
        "node --experimental-vm-modules node_modules/jest/bin/jest.js",
        "env CI=1 npx jest",
        "cross-env NODE_OPTIONS=x jest",
    ],
    "vitest": [
        "vitest run",
        "npx vitest run",
        "node node_modules/vitest/vitest.mjs run",
        "bunx vitest",
    ],
    "node:test": ["node --test", "/usr/bin/node --import ./x.mjs --test test/", "node --test a.js"],
    "rspec": ["rspec", "bin/rspec spec/a_spec.rb", "bundle exec rspec -fd", "bundler exec rspec"],
    "unittest": ["python -m unittest", "python3.12 -W error -bm unittest discover -s tests"],
    "": [
        "npm test",
        "npm run jest",
        "npx",
        "node jest.js",
        "node a.js --test",
        "npx eslint jest",
        "yarn test",
        "bundle exec rake",
        "python -m unittestx",
        "python unittest.py",
        "env A=b",
    ],
}


@pytest.mark.parametrize(
    ("command", "name"), [(one, name) for name, several in COMMANDS.items() for one in several]
)
def test_a_runner_is_told_by_its_command(command: str, name: str) -> None:
    runner = runners.runner_of(command.split())
    assert (runner.NAME if runner else "") == name


def words_of(
    runner: ModuleType,
    command: str,
    place: Path,
    chosen: Mapping[str, Any] | None = None,
    **environment: str,
) -> list[str] | None:
    """The words that start a command, its reporter named by its file alone; None: left alone."""
    return started(runner, command.split(), place, chosen, environment)[0]


def started(
    runner: ModuleType,
    argv: Sequence[str],
    place: Path,
    chosen: Mapping[str, Any] | None,
    environment: Mapping[str, str],
) -> tuple[list[str] | None, dict[str, Any]]:
    path = place / "selection.json"
    if chosen is not None:
        path.write_text(json.dumps(chosen))
    told = {"selection": str(path) if chosen is not None else None}
    env = {**environment, "BUNDLE_PROBE": json.dumps(told)}
    with runner.inside(Invocation(argv, env, place, lambda event: None)) as inside:
        if inside is None:
            return None, {}
        report = json.loads(inside.env[VARIABLE])
        words = [re.sub(r"(?:/[^/= ]+)+/reporters/", "", word) for word in inside.argv]
        if "choice" in report:
            report["choice"] = json.loads(Path(report["choice"]).read_text())
        return words, report


CHOSEN = {
    "deselect": ["a.js::x (1)", "a.js::y", "b.js::x (1)", "b.js::z"],
    "order": ["a.js::wrong"],
    "random_seeds": {"jest": -5, "vitest": 7, "rspec": 9},
}


@pytest.mark.parametrize("words", ["--watch", "--watchAll", "--listTests", "--version", "--init"])
def test_what_runs_no_tests_or_watches_is_left_alone(tmp_path: Path, words: str) -> None:
    assert words_of(jest, f"jest {words}", tmp_path) is None


@pytest.mark.parametrize(
    "words", ["vitest watch", "vitest --watch", "vitest bench", "vitest list", "vitest run --ui"]
)
def test_vitest_that_watches_is_left_alone(tmp_path: Path, words: str) -> None:
    assert words_of(vitest, words, tmp_path, CI="1") is None


def test_vitest_runs_once_where_nobody_can_watch(tmp_path: Path) -> None:
    assert words_of(vitest, "vitest", tmp_path, CI="1") is not None
    assert words_of(vitest, "vitest --run", tmp_path) is not None


@pytest.mark.parametrize(
    ("runner", "command"),
    [
        (rspec, "rspec --dry-run"),
        (rspec, "rspec --bisect=verbose"),
        (node_test, "node --test --watch"),
        (unittest, "python -I -m unittest"),
        (unittest, "python -E -m unittest"),
    ],
)
def test_what_cannot_be_seen_runs_as_it_is(
    tmp_path: Path, runner: ModuleType, command: str
) -> None:
    assert words_of(runner, command, tmp_path) is None


def test_our_reporter_stands_after_those_there_are(tmp_path: Path) -> None:
    assert words_of(jest, "npx jest a.js -- b", tmp_path) == [
        *("npx", "jest", "a.js", "--reporters=default", "--reporters=jest.cjs", "--", "b"),
    ]
    assert words_of(jest, "jest --reporters=x", tmp_path) == [
        *("jest", "--reporters=x", "--reporters=jest.cjs"),
    ]
    assert words_of(vitest, "vitest run", tmp_path, GITHUB_ACTIONS="true") == [
        *("vitest", "run", "--reporter=default", "--reporter=github-actions"),
        "--reporter=vitest.mjs",
    ]
    assert words_of(rspec, "bundle exec rspec -fd", tmp_path) == [
        *("bundle", "exec", "rspec", "-r", "rspec.rb", "-fd"),
    ]
    assert words_of(unittest, "python -Wa -m unittest -b", tmp_path) == [
        *("python", "-Wa", "-m", "bundle_unittest", "-b"),
    ]


@pytest.mark.parametrize(
    ("version", "given", "shown"),
    [
        ("v20.1.0", "", "--test-reporter=tap --test-reporter-destination=stdout"),
        ("v24.1.0", "", "--test-reporter=spec --test-reporter-destination=stdout"),
        ("v20.1.0", "--test-reporter=dot", "--test-reporter-destination=stdout"),
        ("v20.1.0", "--test-reporter dot --test-reporter-destination x", ""),
    ],
)
def test_node_is_told_what_it_would_have_shown(
    tmp_path: Path, version: str, given: str, shown: str
) -> None:
    node = tmp_path / "node"
    node.write_text(f"#!/bin/sh\necho {version}\n")
    node.chmod(0o755)
    before = [str(node), "--test", *given.split()]
    words = words_of(node_test, " ".join([*before, "a.js"]), tmp_path)
    assert words is not None
    nowhere = words.pop(-2)
    assert words == [*before, *shown.split(), "--test-reporter=node_test.mjs", "a.js"]
    assert re.fullmatch(r"--test-reporter-destination=/.*/nowhere", nowhere)


def test_a_configuration_that_names_reporters_is_asked_what_it_makes_of_them(
    tmp_path: Path,
) -> None:
    (tmp_path / "jest.config.js").write_text("module.exports = { reporters: ['default'] };")
    shown = {"globalConfig": {"reporters": [["default", {}], ["/a/b.js", {"x": 1}], ["/c.js", {}]]}}
    tool = tmp_path / "jest"
    tool.write_text(f"#!/bin/sh\n[ \"$2\" = --showConfig ] && echo '{json.dumps(shown)}'\n")
    tool.chmod(0o755)
    words = words_of(jest, f"{tool} --ci", tmp_path)
    assert words is not None
    default, handed, plain, _ours = words[2:]
    assert (default, plain) == ("--reporters=default", "--reporters=/c.js")
    assert handed.endswith(".mjs")

    tool.write_text("#!/bin/sh\nexit 1\n")
    assert words_of(jest, f"{tool} --ci", tmp_path) is None


@pytest.mark.parametrize("configuration", ["reporters: ['junit']", "...mergeConfig(base)"])
def test_vitest_s_reporter_makes_the_configured_ones(tmp_path: Path, configuration: str) -> None:
    (tmp_path / "vite.config.ts").write_text(f"export default {{ test: {{ {configuration} }} }}")
    words, report = started(vitest, ["vitest", "run"], tmp_path, None, {})
    assert words == ["vitest", "run", "--reporter=vitest.mjs"]
    assert report["configured"] is True


def test_a_rerun_leaves_out_files_and_names_that_have_passed(tmp_path: Path) -> None:
    words, report = started(jest, ["jest", "--ci"], tmp_path, CHOSEN, {})
    assert words is not None
    assert words[2:5] == [
        "--seed=-5",
        "--filter=jest_filter.cjs",
        r"--testNamePattern=^(?! ?(?:x \(1\)|y)$)",
    ]
    choice = {"out": ["b.js"], "only": None, "pattern": r"^(?! ?(?:x \(1\)|y)$)"}
    assert report["choice"] == choice
    _, report = started(vitest, ["vitest", "run"], tmp_path, CHOSEN, {})
    choice["pattern"] = r"^(?! ?(?:x(?: >)? \(1\)|y)$)"
    assert (report["choice"], report["seed"]) == (choice, 7)


@pytest.mark.parametrize("own", ["-t own", "-town", "-t=own", "--testNamePattern=own"])
def test_the_user_s_own_pattern_still_holds(tmp_path: Path, own: str) -> None:
    words = words_of(jest, f"jest {own} --seed=3", tmp_path, CHOSEN)
    assert words is not None
    assert words[1:4] == [
        "--seed=3",
        "--filter=jest_filter.cjs",
        r"--testNamePattern=(?=[\s\S]*(?:own))^(?! ?(?:x \(1\)|y)$)",
    ]


def test_a_name_that_a_pattern_cannot_tell_from_a_wanted_one_is_not_left_out() -> None:
    chosen = Chosen(frozenset({"a::Same", "a::other"}), None, ("a::same",))
    assert javascript.choice(chosen).pattern == "^(?! ?(?:other)$)"


def test_what_alone_is_to_run() -> None:
    only = javascript.choice(Chosen(only=frozenset({"a::x|y", "b::z"})))
    assert (only.only, only.pattern) == (("a", "b"), r"^ ?(?:x\|y|z)$")
    assert javascript.choice(Chosen(only=frozenset({"a", "b::z"}))).pattern == ""


def test_a_pattern_that_no_system_takes_is_left_out(tmp_path: Path) -> None:
    chosen = {"deselect": [f"a::{n} {'x' * 1000}" for n in range(200)], "order": ["a::wrong"]}
    words = words_of(jest, "jest", tmp_path, chosen)
    assert words is not None
    assert not any(word.startswith("--testNamePattern") for word in words)


def test_node_runs_the_files_again_and_says_so() -> None:
    ids = ["t/a.js::x", "t/a.js::y", "t/b.js", "../out.js::x", "-rf::x", "/abs.js::x"]
    selection = node_test.select(["node", "--test", "--import", "x", "t/"], ids, Results())
    assert selection is not None
    assert selection.commands == (("node", "--test", "--import", "x", "t/a.js", "t/b.js"),)
    assert selection.refused == ("../out.js::x", "-rf::x", "/abs.js::x")
    assert "files" in selection.inexact


@pytest.mark.parametrize(
    ("runner", "command", "expected"),
    [
        (jest, "npx jest -- a", "npx jest --seed=2147483647 -- a"),
        (jest, "jest --seed=4", "jest --seed=4"),
        (vitest, "vitest run", "vitest run --sequence.seed=9007199254740991"),
        (rspec, "rspec spec", "rspec spec --seed 65535"),
        (rspec, "rspec --order rand", "rspec --order rand --seed 65535"),
        (rspec, "rspec --order defined", "rspec --order defined"),
        (unittest, "python -m unittest", "python -m unittest"),
        (node_test, "node --test", "node --test"),
    ],
)
def test_a_seed_that_is_imposed(runner: ModuleType, command: str, expected: str) -> None:
    words, environment = runner.seeded(command.split(), {"A": "b"}, (1 << 64) - 1)
    assert (words, environment) == (expected.split(), {"A": "b"})


def test_rspec_is_given_its_seed_back(tmp_path: Path) -> None:
    words = words_of(rspec, "rspec --order rand", tmp_path, CHOSEN)
    assert words == ["rspec", "-r", "rspec.rb", "--order", "rand", "--seed", "9"]


def test_ruby_s_bundle_is_found_behind_ours(tmp_path: Path) -> None:
    for folder, interpreter in (("ours", "/usr/bin/python3"), ("rubys", "/usr/bin/env ruby")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "bundle").write_text(f"#!{interpreter}\n")
    path = f"{tmp_path / 'ours'}:{tmp_path / 'rubys'}"
    words = words_of(rspec, "bundle exec rspec", tmp_path, PATH=path)
    assert words is not None
    assert words[0] == str(tmp_path / "rubys" / "bundle")


@pytest.mark.parametrize(
    ("script", "command", "expected"),
    [
        ("jest --ci -t 'a b'", "npm test", "npx jest --ci -t a b"),
        ("vitest run", "npm run unit", None),
        ("vitest run", "npm -s t", "npx vitest run"),
        ("node --test", "yarn test", "node --test"),
        ("tsc && jest", "npm test", None),
        ("jest", "npm install", None),
        ("jest", "make test", None),
    ],
)
def test_what_npm_starts_is_named(
    tmp_path: Path, script: str, command: str, expected: str | None
) -> None:
    (tmp_path / "package.json").write_text(json.dumps({"scripts": {"test": script}}))
    found = javascript.script_of(command.split(), tmp_path)
    assert (None if found is None else " ".join(found)) == expected


def test_a_run_that_told_of_no_test_says_what_to_do(tmp_path: Path) -> None:
    place = new_place(tmp_path)
    place.file("package.json", '{"scripts": {"test": "jest --ci"}}')
    for name in ("npm", "jest"):
        place.file(name, "#!/bin/sh\nexit 0\n").chmod(0o755)
    ended = place.bundle("run", "--", "./npm", "test")
    assert "`bundle run -- npx jest --ci` records each of its tests" in ended.stderr
    ended = place.bundle("run", "--", "./jest", "--watch")
    assert "jest told of no test: it watches" in ended.stderr
