"""The values in force: which source wins, what is refused, and what a broken file cannot break."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import get_args, get_type_hints

import hypothesis
import pytest
from hypothesis import strategies as st

from bundler.configuration import (
    KEYS,
    Configuration,
    find_user_file,
    load,
    load_leniently,
    nearest_pyproject,
    variable,
)
from bundler.errors import UsageError
from bundler.runner_tables import RunnerTable


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "project").mkdir()
    return tmp_path / "project"


def write_project(project: Path, text: str) -> Path:
    path = project / "pyproject.toml"
    path.write_text(f"[tool.bundle]\n{text}\n", encoding="utf-8")
    return path


def write_user(project: Path, text: str) -> Path:
    path = project.parent / "config.toml"
    path.write_text(text, encoding="utf-8")
    return path


def given(project: Path, **env: str) -> dict[str, str]:
    """An environment in which the user's file is `config.toml` beside the project, if there."""
    return {"BUNDLE_CONFIG": str(project.parent / "config.toml"), **env}


def problem(project: Path, options: Mapping[str, object] | None = None, **env: str) -> UsageError:
    with pytest.raises(UsageError) as raised:
        load(project, given(project, **env), options)
    assert raised.value.exit_code == 2
    return raised.value


def test_where_nothing_is_written_the_defaults_are_in_force(project: Path) -> None:
    values = load(project, given(project))
    assert values == Configuration()
    assert (values.keep_runs, values.keep_bytes, values.keep_days) == (100, 10**9, 30)
    assert {origin for _, _, origin in values.explain()} == {"default"}


def test_each_source_wins_over_the_one_before(project: Path) -> None:
    sources: list[tuple[str, object]] = []

    def in_force(**more: object) -> None:
        env = given(project, BUNDLE_KEEP_RUNS=str(more.get("env", "")))
        values = load(project, env, {"keep_runs": more.get("option")})
        origin = {name: where for name, _, where in values.explain()}["keep_runs"]
        sources.append((origin, values.keep_runs))

    in_force()
    user = write_user(project, "keep_runs = 1")
    in_force()
    pyproject = write_project(project, "keep_runs = 2")
    in_force()
    in_force(env=3)
    in_force(env=3, option=4)
    assert sources == [
        ("default", 100),
        (str(user), 1),
        (f"{pyproject} [tool.bundle]", 2),
        ("BUNDLE_KEEP_RUNS", 3),
        ("--keep-runs", 4),
    ]


def test_what_was_not_given_overrides_nothing(project: Path) -> None:
    write_project(project, "seed = 7\nrecord = false")
    values = load(project, given(project, BUNDLE_SEED="", SEED="8"), {"seed": None, "record": None})
    assert (values.seed, values.record) == (7, False)


def test_the_nearest_pyproject_is_read_and_no_other(project: Path) -> None:
    write_project(project, "seed = 7")
    inner = project / "a" / "b"
    inner.mkdir(parents=True)
    assert load(inner, given(project)).seed == 7
    (project / "a" / "pyproject.toml").write_text("[project]\nname = 'a'\n")
    assert load(inner, given(project)).seed is None
    assert nearest_pyproject(inner) == project / "a" / "pyproject.toml"


@pytest.mark.parametrize(
    ("line", "name", "value"),
    [
        (
            "command = \"python -m pytest -k 'a b'\"",
            "command",
            ("python", "-m", "pytest", "-k", "a b"),
        ),
        ('command = ["pytest", "-x"]', "command", ("pytest", "-x")),
        ("record = false", "record", False),
        ("seed = 7", "seed", 7),
        ("seed = 18446744073709551615", "seed", 2**64 - 1),
        ("seed = 1234567890123456", "seed", 1234567890123456),
        ('seed = "1234567890123456"', "seed", 0x1234567890123456),
        ('seed = "0xdeadbeef"', "seed", 0xDEADBEEF),
        ("hash_seed = false", "hash_seed", False),
        ("output_limit = 1000", "output_limit", 1000),
        ('output_limit = "unlimited"', "output_limit", None),
        ('keep_bytes = "1GB"', "keep_bytes", 10**9),
        ('keep_bytes = "1.5 MiB"', "keep_bytes", 3 << 19),
        ('keep_bytes = "250k"', "keep_bytes", 250_000),
        ('keep_bytes = "7"', "keep_bytes", 7),
        ("keep_runs = 0", "keep_runs", 0),
        ('keep_runs = "unlimited"', "keep_runs", None),
        ("keep_days = 0.5", "keep_days", 0.5),
        ("keep_days = 7", "keep_days", 7),
        ('color = "never"', "color", "never"),
    ],
)
def test_what_a_key_takes_in_a_file(project: Path, line: str, name: str, value: object) -> None:
    write_project(project, line)
    assert getattr(load(project, given(project)), name) == value


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("command", "pytest -x", ("pytest", "-x")),
        ("record", "no", False),
        ("record", "TRUE", True),
        ("hash_seed", "0", False),
        ("seed", "7", 7),
        ("keep_runs", "5", 5),
        ("keep_runs", "unlimited", None),
        ("keep_days", "0.5", 0.5),
        ("keep_bytes", "2 TB", 2 * 10**12),
        ("pager", "less -R", "less -R"),
    ],
)
def test_what_a_variable_and_an_option_take(
    project: Path, name: str, text: str, value: object
) -> None:
    assert getattr(load(project, given(project, **{variable(name): text})), name) == value
    assert getattr(load(project, given(project), {name: text}), name) == value


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("store = 5", "store is 5, not a path"),
        ('store = ""', "store is '', not a path"),
        ('store = "a\\u0000b"', "store is 'a\\x00b', not a path"),
        ("command = []", "command is [], not a list of words, or one line of them"),
        ("command = ['pytest', 1]", "command is ['pytest', 1], not a list"),
        ('command = "pytest \'"', "not a list of words"),
        ("record = 1", "record is 1, not true or false"),
        ('record = "yes"', "record is 'yes', not true or false"),
        ("seed = true", "seed is True, not an unsigned 64-bit number"),
        ("seed = 7.0", "seed is 7.0, not an unsigned 64-bit number"),
        ("seed = 18446744073709551616", "not an unsigned 64-bit number"),
        ("seed = -1", "seed is -1, not an unsigned 64-bit number"),
        ('keep_runs = "5"', "keep_runs is '5', not a whole number from 0, or \"unlimited\""),
        ("keep_runs = 5.5", "keep_runs is 5.5, not a whole number"),
        ("keep_runs = -1", "keep_runs is -1, not a whole number"),
        ("keep_runs = false", "keep_runs is False, not a whole number"),
        ("keep_days = nan", "keep_days is nan, not a number of days"),
        ("keep_days = inf", "keep_days is inf, not a number of days"),
        ('keep_bytes = "1 lot"', "keep_bytes is '1 lot', not a number of bytes"),
        ('keep_bytes = "1.2.3 GB"', "keep_bytes is '1.2.3 GB', not a number of bytes"),
        (f"keep_bytes = '{'9' * 400}'", "not a number of bytes"),
        ('command = ["a\\u0000b"]', "command is ['a\\x00b'], not a list of words"),
        ('color = "green"', "color is 'green', not auto, always or never"),
        ("color = ['auto']", "color is ['auto'], not auto, always or never"),
        (f"color = '{'x' * 99}'", f"color is '{'x' * 56}..., not"),
    ],
)
def test_a_value_of_another_kind_is_an_error_that_says_what_was_expected(
    project: Path, line: str, message: str
) -> None:
    path = write_project(project, line)
    error = problem(project)
    assert message in error.message
    assert error.message.startswith(f"{path} ")
    assert error.hint


@pytest.mark.parametrize(
    ("name", "text"),
    [("record", "maybe"), ("seed", "x"), ("keep_runs", "5.5"), ("pager", "\x1b"), ("pager", " ")],
)
def test_a_variable_or_an_option_of_another_kind_is_an_error_that_names_it(
    project: Path, name: str, text: str
) -> None:
    in_env = problem(project, None, **{variable(name): text})
    assert in_env.message.startswith(f"{variable(name)} is {text!r}, not ")
    as_option = problem(project, options={name: text})
    assert as_option.message.startswith(f"--{name.replace('_', '-')} is ")


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("kep_runs", "keep_runs"),
        ("keep-bytes", "keep_bytes"),
        ("KEEP-RUNS", "keep_runs"),
        ("colour", "color"),
        ("runner", "runners"),
    ],
)
def test_a_misspelt_key_is_an_error_that_suggests_the_right_one(
    project: Path, name: str, meant: str
) -> None:
    path = write_project(project, f"{name} = 1")
    error = problem(project)
    assert error.message == f"{path} [tool.bundle] {name} is not a key"
    assert error.hint == f"Did you mean {meant}?"


def test_a_key_like_no_other_is_told_what_keys_there_are(project: Path) -> None:
    user = write_user(project, "xyzzy = 1")
    error = problem(project)
    assert error.message == f"{user} xyzzy is not a key"
    assert all(name in error.hint for name in KEYS)


def test_the_tables_of_runners_stand_side_by_side(project: Path) -> None:
    user = write_user(
        project, '[runners.mocha]\ncommand = "npx mocha"\n[runners.nose]\ncommand = "old"\n'
    )
    path = write_project(
        project,
        '[tool.bundle.runners.nose]\ncommand = "nose"\nselect = ["--only={tests}"]\n'
        'seed = "--seed {seed}"\nresults = ["--xml", "{results}"]',
    )
    values = load(project, given(project))
    assert values.runners == {
        "mocha": RunnerTable(("npx", "mocha")),
        "nose": RunnerTable(
            ("nose",), ("--only={tests}",), ("--seed", "{seed}"), ("--xml", "{results}")
        ),
    }
    assert values.explain()[-2:] == [
        ("runners.mocha", {"command": ["npx", "mocha"]}, str(user)),
        ("runners.nose", values.runners["nose"].told(), f"{path} [tool.bundle]"),
    ]


@pytest.mark.parametrize(
    ("text", "said", "hint"),
    [
        ('comand = "nose"', "comand is not a key", "Did you mean command?"),
        ('command = "nose"\nids = "x"', "ids is not a key", "There are command, select, seed"),
        ("command = 5", "command is 5, not a list of words", "Write a list of texts"),
        ('command = "nose"\nselect = "{test}"', "has {test}, which is not", "Did you mean tests?"),
        ('command = "nose {seed}"', "has {seed}, which is not", "Leave it out."),
        ('command = "nose"\nselect = "-k"', "does not say where the tests go", "Write {tests}"),
        ('select = "{tests}"', "has no command", "Write the words"),
    ],
)
def test_a_table_that_says_something_else_is_an_error_that_suggests(
    project: Path, text: str, said: str, hint: str
) -> None:
    path = write_project(project, f"[tool.bundle.runners.nose]\n{text}")
    error = problem(project)
    assert error.message.startswith(f"{path} [tool.bundle] runners.nose")
    assert said in error.message
    assert hint in error.hint


@pytest.mark.parametrize("text", ["runners = 5", "runners = {nose = 5}"])
def test_runners_that_are_no_tables_are_an_error(project: Path, text: str) -> None:
    write_project(project, text)
    assert problem(project).message.endswith("[tool.bundle] runners is not a table of tables")


def test_a_pager_is_the_users_to_choose_and_not_the_projects(project: Path) -> None:
    write_user(project, 'pager = "less"')
    assert load(project, given(project)).pager == "less"
    path = write_project(project, 'pager = "sh -c evil"')
    error = problem(project)
    assert error.message == f"{path} [tool.bundle] pager is not for a project to set"
    assert load_leniently(project, given(project))[0].pager == "less"


def test_a_path_is_relative_to_what_names_it(project: Path) -> None:
    inner = project / "inner"
    inner.mkdir()
    write_project(project, 'store = "../runs"')
    assert load(inner, given(project)).store == project.parent / "runs"
    assert load(inner, given(project, BUNDLE_STORE="runs")).store == inner / "runs"
    write_user(project, 'store = "mine"')
    assert load(project.parent, given(project)).store == project.parent / "mine"
    assert load(inner, given(project, BUNDLE_STORE=str(project))).store == project


def test_a_tilde_is_the_home_of_the_environment_that_was_given(project: Path) -> None:
    name = "USERPROFILE" if os.name == "nt" else "HOME"
    write_project(project, 'store = "~/runs"')
    home = project.parent / "home"
    assert load(project, given(project, **{name: str(home)})).store == home / "runs"
    assert "store is '~/runs', not a path" in problem(project).message
    write_project(project, 'store = "~other"')
    assert load(project, given(project, **{name: str(home)})).store == project / "~other"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[tool.bundle", "is not valid TOML: "),
        (b"x = '\xff'", "is not valid TOML: "),
        (b"x = " + b"[" * 100_000, "is not valid TOML: nested too deeply"),
        (b"tool = 5", "tool is not a table"),
        (b"[tool]\nbundle = 5", "bundle is not a table"),
    ],
)
def test_a_broken_file_is_one_clear_error(project: Path, content: bytes, message: str) -> None:
    path = project / "pyproject.toml"
    path.write_bytes(content)
    error = problem(project)
    assert error.message.startswith(f"{path} ")
    assert message in error.message


def test_a_file_that_cannot_be_read_is_one_clear_error(project: Path) -> None:
    error = problem(project, BUNDLE_CONFIG=str(project))
    assert error.message.startswith(f"{project} cannot be read: ")


def test_leniently_what_is_right_is_in_force_and_what_is_wrong_is_told(project: Path) -> None:
    user = write_user(project, "keep_runs =")
    path = write_project(project, "kep_runs = 1\nkeep_days = 3\nseed = true\noutput_limit = 9")
    values, problems = load_leniently(
        project, given(project, BUNDLE_KEEP_DAYS="many", BUNDLE_RECORD="no")
    )
    assert (values.keep_days, values.output_limit, values.record) == (3, 9, False)
    assert (values.keep_runs, values.seed) == (100, None)
    assert [one.message.partition(": ")[0] for one in problems] == [
        f"{user} is not valid TOML",
        f"{path} [tool.bundle] kep_runs is not a key",
        f"{path} [tool.bundle] seed is True, not an unsigned 64-bit number",
        "BUNDLE_KEEP_DAYS is 'many', not a number of days, or \"unlimited\"",
    ]


@hypothesis.settings(deadline=None)
@hypothesis.given(
    st.binary(max_size=40), st.dictionaries(st.sampled_from([*map(variable, KEYS)]), st.text())
)
def test_leniently_nothing_at_all_fails(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, env: dict[str, str]
) -> None:
    project = tmp_path_factory.mktemp("project")
    (project / "pyproject.toml").write_bytes(b"[tool.bundle]\n" + content)
    user = project / "config.toml"
    user.write_bytes(content)
    values, problems = load_leniently(project, {**env, "BUNDLE_CONFIG": str(user)})
    assert isinstance(values, Configuration)
    assert all(isinstance(one, UsageError) for one in problems)


def test_every_default_is_of_the_type_that_its_field_says() -> None:
    hints = get_type_hints(Configuration)
    for name in KEYS:
        types = get_args(hints[name]) or (hints[name],)
        default = getattr(Configuration(), name)
        assert default is None or isinstance(default, types) or types[0] is float
    assert set(hints) - set(KEYS) == {"runners", "origins"}


def test_every_key_says_what_it_is_for() -> None:
    for key in KEYS.values():
        assert key.help[0].isupper()
        assert key.help.endswith(".")


def test_the_users_file_is_where_the_environment_says(tmp_path: Path) -> None:
    xdg = {"XDG_CONFIG_HOME": str(tmp_path)}
    if os.name != "nt":
        assert find_user_file(xdg) == tmp_path / "bundle" / "config.toml"
    assert find_user_file({**xdg, "BUNDLE_CONFIG": "/my/file.toml"}) == Path("/my/file.toml")
    found = find_user_file({"XDG_CONFIG_HOME": "not/absolute"})
    assert found is not None
    assert found.is_absolute()
    assert found.parts[-2:] == ("bundle", "config.toml")
