"""What is taken out of command lines and URLs before anything is written."""

from __future__ import annotations

import pytest

from bundler.redaction import (
    OFF,
    OPTION,
    UNMASKED,
    counted,
    holds_masked_option,
    masked_command,
    masker_of_this_process,
    redact_argv,
    redact_words,
    restored,
    strip_userinfo,
)


@pytest.mark.parametrize(
    ("text", "stripped"),
    [
        ("https://me:word@host/x.git", "https://host/x.git"),
        ("https://x-access-token@host:8443/x", "https://host:8443/x"),
        ("postgres://me:p@ss@db/x and ftp://a@b", "postgres://db/x and ftp://b"),
        ("--index-url=https://u:p@host/simple", "--index-url=https://host/simple"),
        ("ssh://git@host/x", "ssh://host/x"),
        ("git@host:group/x.git", "git@host:group/x.git"),
        ("https://host/@scope/x", "https://host/@scope/x"),
        ("https://host?mail=a@b", "https://host?mail=a@b"),
        ("", ""),
    ],
)
def test_user_info_is_stripped_from_every_url(text: str, stripped: str) -> None:
    assert strip_userinfo(text) == stripped


@pytest.mark.parametrize(
    ("argv", "redacted"),
    [
        ("pytest --api-token=abc tests", "pytest --api-token=*** tests"),
        ("pytest --api-token abc tests", "pytest --api-token *** tests"),
        ("tool -password abc --verbose", "tool -password *** --verbose"),
        ("tool --authtoken abc", "tool --authtoken ***"),
        ("tool --API_KEY abc", "tool --API_KEY ***"),
        ("tool --private-key=k --access.key k", "tool --private-key=*** --access.key ***"),
        ("env GITHUB_TOKEN=abc DB_PASSWD=x pytest", "env GITHUB_TOKEN=*** DB_PASSWD=*** pytest"),
        ("java -Dauth.token=abc", "java -Dauth.token=***"),
        ("tool --url https://u:p@h/x", "tool --url https://***@h/x"),
        ("pip install git+ssh://git@host/x", "pip install git+ssh://git@host/x"),
        ("tool --token ***$API_TOKEN***", "tool --token ***$API_TOKEN***"),
        ("API_TOKEN=***$API_TOKEN*** tool", "API_TOKEN=***$API_TOKEN*** tool"),
    ],
)
def test_the_values_of_secret_looking_options_are_masked(argv: str, redacted: str) -> None:
    assert redact_argv(argv.split()) == redacted.split()


@pytest.mark.parametrize(
    "argv",
    [
        "pytest -x -n 4 --maxfail=2 tests",
        "pytest --session-timeout 60 -p no:randomly",
        "pytest --tokenizer fast --author me --no-auth tests",
        "pytest --token -x",
        "pytest tests/test_a.py::test_x[token=abc]",
        "pytest -k token --token=",
    ],
)
def test_everything_else_is_kept_so_that_it_can_be_run_again(argv: str) -> None:
    assert redact_argv(argv.split()) == argv.split()


def test_the_script_of_a_shell_is_masked_word_by_word() -> None:
    script = "cd x\n  TOKEN=abc  tool --password 'a b'  --url https://u:p@h/ # don't"
    assert redact_argv(["sh", "-c", script]) == [
        "sh",
        "-c",
        "cd x\n  TOKEN=***  tool --password ***  --url https://***@h/ # don't",
    ]


def test_a_value_with_white_space_is_masked_as_a_whole() -> None:
    assert redact_argv(["tool", "--secret", "a b", "API_TOKEN=a b"]) == [
        "tool",
        "--secret",
        "***",
        "API_TOKEN=***",
    ]


def test_words_in_one_text_keep_the_space_between_them() -> None:
    assert redact_words("  -x \t--token  abc ") == "  -x \t--token  *** "


def test_a_long_text_is_redacted_in_reasonable_time() -> None:
    assert redact_words("'" * 99_999).startswith("''")
    assert strip_userinfo("://" * 99_999).startswith("://")
    assert strip_userinfo("a" * 999_999) == "a" * 999_999


HERE = {"API_TOKEN": "kX7-canary_9QzR4mW2"}


def test_what_stands_in_a_variable_is_marked_and_can_be_put_back() -> None:
    argv = ["tool", "--api-token", "kX7-canary_9QzR4mW2", "--url=http://h/kX7-canary_9QzR4mW2/x"]
    recorded, _ = masked_command(argv, HERE)
    assert recorded == [
        "tool",
        "--api-token",
        "***$API_TOKEN***",
        "--url=http://h/***$API_TOKEN***/x",
    ]
    assert restored(recorded, HERE) == (argv, None)
    assert restored(recorded, {})[1] == "***$API_TOKEN***"


@pytest.mark.parametrize(
    "word", ["***", "--token=***", "https://***@host/x", "sh -c 'x --token ***'", "***option***"]
)
def test_what_is_lost_is_named(word: str) -> None:
    assert restored(["tool", word], HERE)[1] == word


@pytest.mark.parametrize("word", ["tests/***/x", "a***b", "**", "-k x**y"])
def test_stars_of_the_user_s_own_are_no_marks(word: str) -> None:
    assert restored(["tool", word], HERE) == (["tool", word], None)


def test_the_value_of_an_option_is_masked_wherever_else_it_stands() -> None:
    argv = ["tool", "--token", "only-in-the-command", "--log=only-in-the-command.log"]
    recorded, masker = masked_command(argv, {})
    assert recorded == ["tool", "--token", "***", "--log=***option***.log"]
    assert masker.text("said only-in-the-command") == "said ***option***"


SECRETS = {"API_TOKEN": "s3cretvalue99", "DB_PASSWORD": "0ther-value-77", "HOME": "/x"}


def test_a_recorded_command_gets_the_values_of_variables_back() -> None:
    argv = ["pytest", "-k", "as3cretvalue99b", "0ther-value-77s3cretvalue99", "plain"]
    masked, masker = masked_command(argv, SECRETS)
    assert masked == [
        "pytest",
        "-k",
        "a***$API_TOKEN***b",
        "***$DB_PASSWORD******$API_TOKEN***",
        "plain",
    ]
    assert masker.text("x s3cretvalue99") == "x ***$API_TOKEN***"
    assert restored(masked, SECRETS) == (argv, None)


def test_the_first_value_that_is_not_known_is_told_and_the_others_come_back() -> None:
    known = {"API_TOKEN": "s3cretvalue99"}
    words = ["***$API_TOKEN***", "***$DB_PASSWORD***", "--token=***", "***$API_TOKEN***"]
    assert restored(words, known) == (
        ["s3cretvalue99", "***$DB_PASSWORD***", "--token=***", "s3cretvalue99"],
        "***$DB_PASSWORD***",
    )
    assert restored(["plain"], {}) == (["plain"], None)
    assert restored(["a", "--token=***"], {})[1] == "--token=***"


@pytest.mark.parametrize("word", ["***", "--token=***", "a '***' b", "http://***@h/", 'x="***"'])
def test_a_word_whose_value_is_lost_is_known(word: str) -> None:
    assert holds_masked_option(word)


@pytest.mark.parametrize("word", ["", "****", "a***b", "http://u@h", "***$API_TOKEN***", "2**3"])
def test_another_word_holds_no_lost_value(word: str) -> None:
    assert not holds_masked_option(word)


def test_the_value_of_an_option_is_masked_elsewhere_too() -> None:
    masked, masker = masked_command(["run", "--token", "abcdefgh12"], {})
    assert masked == ["run", "--token", "***"]
    assert masker.text("said abcdefgh12") == f"said ***{OPTION}***"
    assert OPTION == "option"


def test_what_is_not_to_be_masked_is_not() -> None:
    masked = masker_of_this_process(SECRETS)
    assert masked.text("s3cretvalue99") == "***$API_TOKEN***"
    assert masker_of_this_process({**SECRETS, UNMASKED: "1"}) is OFF
    assert UNMASKED == "BUNDLE_NO_REDACT"
    assert counted(b"a ***$API_TOKEN*** b ***$API_TOKEN***") == {"$API_TOKEN": 2}
