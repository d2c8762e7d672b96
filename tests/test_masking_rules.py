"""The rules of masking one by one: every word, every prefix, every boundary."""

from __future__ import annotations

import base64
import importlib
import itertools
import json
import random
import re
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bundler import probe
from bundler.redaction import Masker, counted, masker_of, redact_argv, redact_words

masking: Any = probe.load_masking()


def part(name: str) -> Any:
    return importlib.import_module(f"{masking.__name__}.{name}")


runs, fragments, needles = part("runs"), part("fragments"), part("needles")
beginnings, pairs, windows = part("beginnings"), part("pairs"), part("windows")
shapes, secret_values = part("shapes"), part("secret_values")
command_words, masker_module = part("command_words"), part("masker")

SECRET = "kX7-canary_9QzR4mW2"
MARK = b"***$API_TOKEN***"
BODY = "A1B2C3D4E5F6G7H8I9J0K1L2M3N4O5P6Q7R8S9T0U1V2W3X4Y5Z6"


@pytest.fixture
def masker() -> Masker:
    return masker_of({"API_TOKEN": SECRET})


# --- runs --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (b"", []),
        (b"x" * 19, []),
        (b"x" * 20, [(0, 20)]),
        (b" " + b"-" * 21 + b" ", [(1, 22)]),
        (b"a" * 20 + b"." + b"Z" * 19 + b"." + b"_" * 20, [(0, 20), (41, 61)]),
        (runs.CHARACTERS, [(0, 64)]),
        ("é".encode() * 30, []),
    ],
)
def test_a_run_is_twenty_letters_or_more(text: bytes, found: list[tuple[int, int]]) -> None:
    assert runs.stretches(text) == found


def test_a_run_can_be_asked_for_by_length() -> None:
    assert runs.stretches(b"a" * 15, 15) == [(0, 15)]
    assert runs.stretches(b"a" * 15, 16) == []


@pytest.mark.parametrize("gap", [1, 100, 256, 257, 5000])
@pytest.mark.parametrize("count", [1, 9, 10, 300])
def test_where_runs_are_many_and_near_a_stretch_holds_several(gap: int, count: int) -> None:
    text = (b"x" * 20 + b" " * gap) * count
    found = runs.stretches(text)
    rows = [match.span() for match in re.finditer(rb"x+", text)]
    assert found[:8] == rows[:8]
    assert len(found) == (min(count, 9) if gap <= 256 else count)
    held = [one for one in rows if any(begin <= one[0] < one[1] <= end for begin, end in found)]
    assert held == rows
    assert all(a[1] <= b[0] for a, b in itertools.pairwise(found))


def test_no_stretch_cuts_a_run() -> None:
    text = b" ".join(b"x" * (20 + number * 97 % 900) for number in range(200))
    for begin, end in runs.stretches(text):
        assert text[:begin].endswith(b" ") or not begin
        assert text[end : end + 1] in (b" ", b"")


@pytest.mark.parametrize(
    ("text", "longest"),
    [
        (b"x" * 14, None),
        (b"x" * 15, (0, 15)),
        (b"x" * 15 + b" " + b"y" * 16 + b" " + b"z" * 15, (16, 32)),
    ],
)
def test_the_longest_run_of_fifteen_or_more(text: bytes, longest: object) -> None:
    assert runs.longest(text) == longest


# --- values, wherever they stand ---------------------------------------------------------------


@pytest.mark.parametrize("size", [*range(8, 25), 34, 44])
@pytest.mark.parametrize("others", [0, 120])
def test_a_value_is_found_at_every_place(size: int, others: int) -> None:
    chance = random.Random(size)
    more = {bytes(chance.choices(b"ABC /+", k=8 + n % 6)): f"r{n}" for n in range(others)}
    for gap in (b"", b"= "):
        value = (gap + b"qwertyuiopasdfghjklz" * 3)[: size - 1] + b"#"
        one = needles.Needles({**more, value: "rule"})
        for before in range(17):
            text = b"." * before + value + b"." * (before % 5)
            for after in (b"", b" " * 300, b"." * 5000):
                found = one.find(text + after, runs.stretches(text + after, one.run))
                assert found == [(before, before + size, "rule")]
        text = b"%s%s.%s" % (value, value, value)
        places = sorted(one.find(text, runs.stretches(text, one.run)))
        assert sorted(set(places)) == [(at, at + size, "rule") for at in (0, size, size * 2 + 1)]


def test_many_values_of_eleven_bytes_are_found_at_every_place() -> None:
    one = needles.Needles({b"some %05d!" % n: "rule" for n in range(60)})
    for before in (*range(17), 250, 251, 252, 253, 9000):
        text = b"." * before + b"some 00042!"
        assert set(one.find(text, [])) == {(before, before + 11, "rule")}


def test_a_value_is_found_across_the_border_of_any_block() -> None:
    value = b"A-value-of-16b-Q"
    everywhere, in_runs = windows.Windows(4, 4), windows.Windows(8, 8)
    everywhere.add(value, 0, 16)
    in_runs.add(value, 0, 16)
    for before in range(1000, 2100):
        text = b" " * before + value + b" " * 900
        place = (before, before + 16)
        assert set(everywhere.find(text, 0, len(text))) == {place}
        assert set(in_runs.find(text, 3, len(text))) == {place}


def test_values_of_one_size_that_begin_alike_are_looked_at_once() -> None:
    many = windows.Windows(8, 8)
    for number in range(1000):
        many.add(b"sk_live_and_so_on_%05d" % number, 0, 18)
    assert len(many.find(b"x" * 96 + b"sk_live_and_so_on_here", 0, 118)) < 3


def test_what_would_go_beyond_the_end_is_not_found() -> None:
    one = needles.Needles({b"first-value#": "r", b"first-val": "s"})
    assert set(one.find(b"a first-val", [])) == {(2, 11, "s")}


def test_a_pair_is_found_at_every_place_and_odd_bytes_are_left_out() -> None:
    both = pairs.Pairs(4, [b"kX7-canary"])
    for before in range(9):
        text = b"." * before + b"kX7-canary" + b"." * (before % 3)
        assert both.find(text, 0, len(text)) == [(before, before + 10)]
        assert both.find(text, before, len(text)) == [(before, before + 10)]
        assert both.find(text, before + 1, len(text)) == []


def test_a_pair_that_is_half_a_character_of_utf_16_is_found_all_the_same() -> None:
    value = "سطر السجل".encode()
    one = pairs.Pairs(4, [value])
    for before in range(5):
        text = b"." * before + value + b"\xd8\xdf" * before
        assert (before, before + len(value)) in one.find(text, 0, len(text))


@pytest.mark.parametrize(
    ("value", "rarest"),
    [
        (b"the QZ and", b"QZ"),  # never in ordinary words
        (b"e zq", b"zq"),  # seldom
        (b"11a1", b"a1"),  # a digit beside a letter is a fourth as frequent
        (b"efe0", b"e0"),
        (b"a1QZ", b"QZ"),
    ],
)
def test_a_value_is_looked_for_by_its_rarest_pair(value: bytes, rarest: bytes) -> None:
    assert pairs.characters(rarest) in pairs.Pairs(2, [value])._table()


def test_more_than_one_pair_in_thirty_two_and_as_many_again_are_too_many() -> None:
    one = pairs.Pairs(2, [b"QZQ"])
    assert len(one.find(b"QZ" * 33, 0, 66)) == 33
    assert one.find(b"QZ" * 34, 0, 68) is None
    assert pairs.Pairs(2, []).find(b"QZ" * 34, 0, 68) == []


def test_a_text_that_has_too_many_pairs_is_looked_at_otherwise() -> None:
    values = [b"%08d" % number for number in range(0, 99_999_999, 999_983)]
    one = needles.Needles(dict.fromkeys(values, "rule"))
    text = b"".join(b"%016d" % (number * 7_654_321) for number in range(3000)) + values[50]
    assert one._pairs.find(text, 0, len(text)) is None
    assert (len(text) - 8, len(text), "rule") in one.find(text, [])


def test_the_shortest_run_of_all_values_is_looked_for() -> None:
    assert needles.Needles({}).run == 20
    assert needles.Needles({b"a" * 30: "r"}).run == 20
    assert needles.Needles({b"a" * 30: "r", b"b" * 16: "r"}).run == 16


def test_the_beginning_of_a_value_at_the_end_is_told() -> None:
    one = beginnings.Beginnings([b"first-value", b"forth"])
    for size in range(1, 11):
        assert one.partial(b"see " + b"first-value"[:size]) == 4
        assert one.partial(b"first-value"[:size]) == 0
    assert one.partial(b"") == 0
    assert one.partial(b"see first-value") == 15
    assert one.partial(b"f see") == 5
    assert one.partial(b"for forf") == 7
    assert one.partial(b"first-val\n") == 10
    assert one.partial(b"\nfirst-val") == 1


# --- beside an ellipsis ------------------------------------------------------------------------

VALUE = "abcdefgh-ijklmnop"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("abcdef...", [(0, 6)]),
        ("bcdef...", []),
        ("abcde...", []),
        ("xabcdefg...", [(1, 8)]),
        ("abcdefgh-ijklmnop...", [(0, 17)]),
        ("bcdefgh...", []),
        ("ABCdefgh-i...", []),
        ("...klmnop", [(3, 9)]),
        ("....klmnop", [(4, 10)]),
        ("...klmnopq", [(3, 9)]),
        ("...klmno", []),
        ("...lmnop", []),
        ("...ijklmno", []),
        ("...abcdefgh-ijklmnop", [(3, 20)]),
        ("abcdef…klmnop", [(0, 6), (9, 15)]),
        ("abcdef\n[… 3 …]\nklmnop", [(0, 6), (19, 25)]),
        ("abcdef... abcdefg...", [(0, 6), (10, 17)]),
        ("abcdef", []),
        ("… abcdef... ", [(4, 10)]),
    ],
)
def test_six_characters_beside_an_ellipsis_are_a_part(
    text: str, found: list[tuple[int, int]]
) -> None:
    one = fragments.Fragments({VALUE: "rule"})
    for _ in range(2):
        seen = sorted(set(one.find(text.encode())))
        assert seen == [(*place, "rule") for place in found]


@pytest.mark.parametrize("dots", [3, 4, 13, 14, 15, 16, 17, 100])
def test_of_a_row_of_dots_its_ends_count(dots: int) -> None:
    one = fragments.Fragments({VALUE: "rule", "x......y": "dotted"})
    found = set(one.find(b"abcdef" + b"." * dots + b"klmnop"))
    assert {(0, 6, "rule"), (6 + dots, 12 + dots, "rule")} <= found
    assert one.find(b"x......y" + b"." * dots)


def test_dots_that_belong_to_a_value_are_its_own() -> None:
    one = fragments.Fragments({"abc.....": "begins", ".....xyz": "ends"})
    found = set(one.find(b"abc" + b"." * 50 + b"xyz"))
    assert {(0, 8, "begins"), (48, 56, "ends")} <= found


def test_no_part_goes_beyond_the_text() -> None:
    one = fragments.Fragments({"aaaaaaaaaa": "rule"})
    assert {end for _, end, _ in one.find(b"...aaaaaaa")} == {9, 10}
    assert {begin for begin, _, _ in one.find(b"aaaaaaa...")} == {0, 1}


def test_a_part_that_many_values_share_is_found_by_one_look() -> None:
    shared = {f"sk_live_{number:05}": f"${number}" for number in range(5000)}
    one = fragments.Fragments(shared)
    beside = one._beside(b"sk_live_...", 8, 11)
    assert [place[:2] for place in beside] == [(0, 8)]


def test_without_values_nothing_is_a_part() -> None:
    assert fragments.Fragments({}).find(b"abcdef...") == []


def test_each_part_has_the_rule_of_its_value() -> None:
    one = fragments.Fragments({"abcdef-one": "1", "abcdef-two": "2"})
    assert set(one.find(b"abcdef-o... ...ef-two")) == {(0, 8, "1"), (15, 21, "2")}


# --- the names and values of variables ---------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "is_secret"),
    [
        *((name, True) for name in (
            "TOKEN", "SECRET", "PASSW", "PASSPHRASE", "CREDENTIAL", "APIKEY", "API_KEY", "PRIVATE",
            "AUTH", "AUTHORIZE", "COOKIE", "SESSION", "DSN", "PASS", "X_DSN_Y", "X_PASS", "X_KEY",
            "X_KEY_Y", "X_PAT", "X_PWD", "x_key", "X_TOKEN",
        )),
        *((name, False) for name in (
            "TOKENIZER", "AUTHOR", "KEY", "PAT", "PWD", "X_KEYS", "PASSES", "COMPASS", "DSNS",
            "MONKEY", "XDG_SESSION_ID", "DBUS_SESSION_BUS_ADDRESS", "DESKTOP_SESSION", "GDMSESSION",
            "SESSION_MANAGER", "XAUTHORITY",
        )),
    ],
)  # fmt: skip
def test_a_name_says_whether_its_value_is_secret(name: str, is_secret: bool) -> None:
    assert secret_values.is_secret_name(name) is is_secret
    expected = {"some value": f"${name}"} if is_secret else {}
    assert masking.secrets_of({name: "some value"}) == expected


@pytest.mark.parametrize(
    "word",
    [
        "disabled",
        "optional",
        "required",
        "anonymous",
        "password",
        "username",
        "postgres",
        "changeme",
        "Required",
    ],
)
def test_a_word_that_everybody_tries_hides_nothing(word: str) -> None:
    assert masking.secrets_of({"API_TOKEN": word}) == {}
    assert masking.secrets_of({"API_TOKEN": word + "1"}) == {word + "1": "$API_TOKEN"}


@pytest.mark.parametrize(
    "name",
    [
        "USER",
        "LOGNAME",
        "USERNAME",
        "HOME",
        "USERPROFILE",
        "HOSTNAME",
        "COMPUTERNAME",
        "PWD",
        "SHELL",
        "TMPDIR",
        "TEMP",
        "LANG",
        "TERM",
        "PATH",
    ],
)
def test_who_and_where_somebody_is_stays(name: str) -> None:
    assert masking.secrets_of({"API_TOKEN": "somebody", name: "somebody"}) == {}
    assert masking.secrets_of({"API_TOKEN": "somebody", "X" + name: "somebody"}) != {}


def test_a_value_has_eight_characters() -> None:
    assert masking.secrets_of({"API_TOKEN": "1234567"}) == {}
    assert masking.secrets_of({"API_TOKEN": "12345678"}) == {"12345678": "$API_TOKEN"}
    assert masker_of({"API_TOKEN": "12345678"}).mask(b"12345678") == MARK


@pytest.mark.parametrize(
    ("name", "value", "is_secret"),
    [
        ("AUTH_URL", "https://ci.example/x", False),
        ("AUTH_URI", "http://ci.example/x", False),
        ("AUTH_LINK", "https://ci.example/x", True),
        ("AUTH_URL", "https://me:word@ci.example/x", True),
        ("AUTH_URL", "ftp-something", True),
        ("AUTH_SOCK", __file__, False),
        ("AUTH_SOCK", __file__ + "-not-there", True),
    ],
)
def test_an_address_is_no_secret(name: str, value: str, is_secret: bool) -> None:
    assert (value in masking.secrets_of({name: value})) is is_secret


def test_a_file_is_one_by_its_whole_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "some-file").touch()
    monkeypatch.chdir(tmp_path)
    assert masking.secrets_of({"API_TOKEN": "some-file"}) == {"some-file": "$API_TOKEN"}


def test_of_two_names_of_a_value_the_first_is_the_rule() -> None:
    environment = {"B_TOKEN": "the-value", "A_TOKEN": "the-value", "C_TOKEN": "the-value"}
    assert masking.secrets_of(environment) == {"the-value": "$A_TOKEN"}
    assert masking.secrets_of(environment, ["--token=the-value", "--pat=other-value"]) == {
        "the-value": "$A_TOKEN",
        "other-value": "option",
    }


def test_a_rule_is_a_dollar_and_a_name_that_is_not_long() -> None:
    assert masking.rule_of("a.b-C_1") == "$a_b_C_1"
    assert masking.rule_of("é" * 200) == "$" + "_" * 100


@pytest.mark.parametrize("size", [2047, 2048, 2049, 2055, 2056, 5000])
def test_a_long_value_is_a_secret_piece_by_piece(size: int) -> None:
    value = ("0123456789abcdef" * 400)[:size]
    pieces = [value[:2048], value[2048:4096], value[4096:]]
    forms = secret_values.forms(value)
    for piece in pieces:
        assert (piece.encode() in forms) is (len(piece) >= 8)
    assert max(len(one) for one in forms if one.isalnum()) <= 2048 * 4 // 3


def test_the_forms_of_a_plain_value() -> None:
    assert secret_values.forms("abcd~.-_") == {
        b"abcd~.-_", b"YWJjZH4uLV", b"FiY2R+Li1f", b"FiY2R-Li1f", b"hYmNkfi4tX",
    }  # fmt: skip


@pytest.mark.parametrize(
    "written",
    [
        "k 'X7\"é&</+", "k%20%27X7%22%C3%A9%26%3C%2F%2B", "k%20%27X7%22%c3%a9%26%3c/%2b",
        "k+%27X7%22%C3%A9%26%3C%2F%2B", "k &#x27;X7&quot;é&amp;&lt;/+", "k 'X7\"é&amp;&lt;/+",
        "k 'X7\\\"\\u00e9&</+", "k 'X7\\\"é&</+", "k \\'X7\"é&</+", "k 'X7\"\\xe9&</+",
        "k \\'X7\"\\xc3\\xa9&</+", "k 'X7\\\\\\\"\\\\u00e9&</+",
    ],
)  # fmt: skip
def test_the_forms_of_a_value_with_signs(written: str) -> None:
    assert written.encode() in secret_values.forms("k 'X7\"é&</+")


def test_a_value_is_shown_as_it_is_and_as_its_repr() -> None:
    assert secret_values.shown_forms("it's\t\"so\"") == {
        b"it's\t\"so\"", b"it's\\t\"so\"", b"it\\'s\\t\"so\"",
    }  # fmt: skip


# --- tokens ------------------------------------------------------------------------------------

TOKENS = [
    *(("github", f"gh{c}_", 36) for c in "pousr"),
    ("github", "github" + "_pat_", 36),
    *(
        ("gitlab", f"gl{w}-", 20)
        for w in ["pat", "ptt", "dt", "rt", "cbt", "soat", "ft", "agent", "imt", "oas"]
    ),
    *(("slack", f"xox{c}-", 15) for c in "abeoprs"),
    ("slack", "xapp" + "-1-", 13),
    ("aws", "AK" + "IA", 16),
    ("aws", "AS" + "IA", 16),
    ("google", "AI" + "za", 35),
    ("google", "GOC" + "SPX-", 24),
    *(("stripe", f"{c}k_{w}_", 16) for c in "sr" for w in ("live", "test")),
    ("stripe", "wh" + "sec_", 24),
    ("pypi", "py" + "pi-", 50),
]


@pytest.mark.parametrize(("rule", "prefix", "size"), TOKENS)
def test_a_token_has_its_prefix_and_its_length(rule: str, prefix: str, size: int) -> None:
    shape = masker_of({})
    assert shape.mask(f"<{prefix}{BODY[:size]}>".encode()) == f"<***{rule}***>".encode()
    short = f"<{prefix}{BODY[: size - 1]}>".encode()
    assert shape.mask(short) is short
    other = f"<{prefix[:-1]}#{BODY[:size]}>".encode()
    assert shape.mask(other) is other
    twice = f"--------------------{prefix}{BODY[:size]}.{prefix}{BODY[:size]}".encode()
    assert counted(shape.mask(twice)) == {rule: 2}


@pytest.mark.parametrize("prefix", [*(one[1] for one in TOKENS), "eyJ", "://", "-----BEGIN "])
def test_what_begins_a_token_is_held_back(prefix: str) -> None:
    for size in range(1, len(prefix) + 1):
        assert shapes.partial(b"see " + prefix[:size].encode()) == 4
    assert shapes.partial(f"see {prefix}{BODY[:5]}".encode()) == 4


def test_a_web_token_has_three_to_five_parts() -> None:
    shape = masker_of({})
    head = "ey" + "JhbGciOiJIUzI1NiJ9"
    for text, masked in [
        (f"{head}.ab", f"{head}.ab"),
        (f"{head}.ab.cd", "***jwt***"),
        (f"{head}.a.b.c.d", "***jwt***"),
        (f"{head}.a.b.c.d.e", "***jwt***.e"),
    ]:
        assert shape.mask(text.encode()) == masked.encode()
    assert shapes.partial(f"see {head}.".encode()) == 4
    assert shapes.partial(f"see {head} ".encode()) == len(head) + 5


@pytest.mark.parametrize(("size", "before", "is_one"), [
    (14, "abc", True), (14, "ab", False), (13, "abcdefgh", False), (17, "", True), (16, "", False),
])  # fmt: skip
def test_the_head_of_a_web_token_has_17_characters_in_a_row_of_20(
    size: int, before: str, is_one: bool
) -> None:
    token = f"{'ey' + 'J'}{BODY[:size]}.ab.cd"
    masked = masker_of({}).mask(f"<{before}{token}>".encode()).decode()
    assert masked == (f"<{before}***jwt***>" if is_one else f"<{before}{token}>")


def test_a_second_web_token_right_after_the_first_is_one() -> None:
    token = f"{'ey' + 'J'}{BODY[:20]}.ab.cd.ef.gh"
    assert masker_of({}).mask(f"{token}.{token}".encode()) == b"***jwt***.***jwt***"


BEGIN, END = "-----BEGIN " + "PRIVATE KEY-----", "-----END " + "PRIVATE KEY-----"


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        (f"a {BEGIN}\nxx\n{END} b", "a ***private-key*** b"),
        (f"{BEGIN}\nxx\n{END}{BEGIN}\nyy\n{END}", "***private-key***" * 2),
        (f"{BEGIN}\n{BODY[:16]}", "***private-key***"),
        (f"{BEGIN}\n{BODY[:15]}", f"***private-key***\n{BODY[:15]}"),
        (f"{BEGIN}\\n{BODY[:16]}\\n{BODY} b", "***private-key*** b"),
        (BEGIN.replace("-----B", "----B"), BEGIN.replace("-----B", "----B")),
        (f"PRIVATE KEY {BODY} {BEGIN}", f"PRIVATE KEY {BODY} ***private-key***"),
        (
            BEGIN.replace(" PRI", " " + "A" * 28 + " PRI"),
            "***private-key***",
        ),
        (
            BEGIN.replace(" PRI", " " + "A" * 29 + " PRI"),
            BEGIN.replace(" PRI", " " + "A" * 29 + " PRI"),
        ),
        (f"{BEGIN.replace('KEY', 'KEY BLOCK')}\n{BODY}", "***private-key***"),
    ],
)
def test_a_private_key_goes_from_its_first_line_to_its_last(text: str, masked: str) -> None:
    # nothing is looked for where no row of letters stands
    assert masker_of({}).mask(f"{BODY} {text}".encode()) == f"{BODY} {masked}".encode()


def test_a_private_key_is_not_looked_for_for_ever() -> None:
    lines = "! \n" * (8 * 1024)
    text = f"{BODY} {BEGIN}{lines}{END}".encode()
    assert masker_of({}).mask(text).startswith(BODY.encode() + b" ***private-key***! \n")
    assert masker_of({}).find(f"{BODY} {BEGIN}{lines[:24000]}{END}".encode()) == [
        (len(BODY) + 1, len(BODY) + 1 + len(BEGIN) + 24000 + len(END), "private-key")
    ]


@pytest.mark.parametrize(
    ("text", "held"),
    [
        (f"a {BEGIN}", 2),
        (f"a {BEGIN}\nabc ", 2),
        (f"a {BEGIN}\nabc\n{END} ", None),
        ("a -----BEGIN CERT", 2),
        ("a -----BEGIN " + "x " * 24, 2),
        ("a -----BEGIN " + "x " * 24 + ".", None),
        ("a https://me:wo", 7),
        ("a https://me:word@", 7),
        ("a https://host/", None),
        ("://", 0),
        ("a file:///", None),
        ("a -----BEGIN " + "A" * 38 + "PRIVATE KEY", 2),
        ("a -----BEGIN " + "A" * 39 + "PRIVATE KEY", None),
    ],
)
def test_what_may_be_the_beginning_of_something_is_told(text: str, held: int | None) -> None:
    assert shapes.partial(text.encode()) == (len(text) if held is None else held)


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("://me:word@h", "://***url***@h"),
        ("x://me:word@h y://a:b@c", "x://***url***@h y://***url***@c"),
        ("://:word@h", "://***url***@h"),
        ("://me@h", "://me@h"),
        ("://me:@h", "://me:@h"),
        ("://me:***@h", "://me:***@h"),
        ("://me:a/b@h", "://me:a/b@h"),
        ("@ a:b@c ://me:word@h", "@ a:b@c ://***url***@h"),
        ("a:b@c", "a:b@c"),
        ("x@://a:b@h", "x@://***url***@h"),
        ("://a@b@c ://:@w@h", "://a@b@c ://***url***@h"),
        (f"://m:{'w' * 507}@h", "://***url***@h"),
        (f"://m:{'w' * 508}@h", f"://m:{'w' * 508}@h"),
    ],
)
def test_the_user_info_of_a_url_has_a_password(text: str, masked: str) -> None:
    assert masker_of({}).mask(text.encode()) == masked.encode()


# --- words of a command ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "apikey",
        "auth",
        "authorization",
        "bearer",
        "cookie",
        "cookies",
        "credential",
        "credentials",
        "dsn",
        "pat",
        "pwd",
        "api-key",
        "access-key",
        "private-key",
        "token",
        "secret",
        "passw",
        "my_token",
        "mypassword",
        "API.KEY",
    ],
)
def test_an_option_is_secret_by_its_name(name: str) -> None:
    assert redact_argv([f"--{name}", "some", "word"]) == [f"--{name}", "***", "word"]
    assert redact_argv([f"-x-{name}=some"]) == [f"-x-{name}=***"]
    assert command_words.secrets_of_argv([f"--{name}", "some-value"]) == {"some-value": "option"}
    for other in (f"--no-{name}", f"--x{name[0]}zz"):
        assert redact_argv([other, "some"]) == [other, "some"]


@pytest.mark.parametrize(
    "words",
    [
        ["--tokenizer", "some"], ["--session-timeout", "60"], ["--private", "x"], ["--key", "x"],
        ["--token", "-x"], ["--token", ""], ["--token="], ["token", "some"], ["---token", "x"],
        ["--token", "--verbose", "x"], ["--token", "***$API_TOKEN***"], ["--author", "x"],
        ["--keyboard-access", "x"], ["--api", "--key", "x"],
    ],
)  # fmt: skip
def test_other_words_stay(words: list[str]) -> None:
    assert redact_argv(words) == words
    assert [one for one in command_words.secrets_of_argv(words) if "*" not in one] == []


def test_words_inside_a_word_are_words_too() -> None:
    script = "run --token 'a b c d e' --x=1 && API_TOKEN=\"x y z 1 2\" go  it"
    masked = "run --token *** --x=1 && API_TOKEN=*** go  it"
    assert redact_argv(["sh", "-c", script]) == ["sh", "-c", masked]
    assert redact_words(script) == masked
    assert set(command_words.secrets_of_argv(["sh", "-c", script])) == {"a b c d e", "x y z 1 2"}
    assert redact_words("it's --pat x ") == "it's --pat *** "


def test_a_short_value_of_an_option_is_masked_there_alone() -> None:
    assert command_words.secrets_of_argv(["--token", "1234567"]) == {}
    assert command_words.secrets_of_argv(["--token=12345678"]) == {"12345678": "option"}


def test_user_info_is_masked_in_words_and_git_stays() -> None:
    assert redact_argv(["x://me@h/y", "ssh://git@h/y"]) == ["x://***@h/y", "ssh://git@h/y"]
    assert redact_words("x://me@h/y ssh://git@h/y") == "x://***@h/y ssh://git@h/y"


# --- what is done with them --------------------------------------------------------------------


def test_marks_are_counted_by_their_rule() -> None:
    text = b"***$A_TOKEN*** ***option*** ***jwt*** ***url*** ***$A_TOKEN*** ***word*** ***$a-b***"
    assert counted(text) == {"$A_TOKEN": 2, "option": 1, "jwt": 1, "url": 1}


def test_shapes_can_be_left_out() -> None:
    token = f"see ghp{'_'}{BODY[:36]}"
    one = masker_module.Masker({SECRET: "$X"}, by_shape=False)
    assert one.mask(f"{token} {SECRET}".encode()) == f"{token} ***$X***".encode()
    assert one.secrets == {SECRET: "$X"}
    assert one.partial(token.encode()) == len(token)
    assert masker_module.Masker({}).text(token) == "see ***github***"
    nothing = masker_module.OFF
    assert nothing.find(SECRET.encode()) == []
    assert nothing.text(token) == token
    assert nothing.partial(token[:8].encode()) == 8


def test_a_part_beside_an_ellipsis_need_not_count() -> None:
    one = masker_module.Masker({VALUE: "$X"})
    assert one.find(b"abcdef...") == [(0, 6, "$X")]
    assert one.find(b"abcdef...", cut=False) == []
    assert one.mask(b"abcdef...") == b"***$X***..."
    assert one.mask(b"abcdef...", cut=False) == b"abcdef..."


def test_a_text_is_masked_from_eight_characters_on() -> None:
    one = masker_of({"API_TOKEN": "12345678"})
    assert one.text("12345678") == MARK.decode()
    text = "no secret here"
    assert one.text(text) is text
    assert one.text("\ud800 12345678") == "\ud800 " + MARK.decode()


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("://:w@", "://***url***@"),
        ("kX7-ca…", "***$API_TOKEN***…"),
        ("…zR4mW2", "…***$API_TOKEN***"),
        ("🔑🔒", "***$KEY***"),
        ("éééé", "***$PASSWORD***"),
    ],
)
def test_a_shorter_text_is_masked_where_there_is_something_in_it(text: str, masked: str) -> None:
    # what a locale without UTF-8 makes of an environment: a character a byte
    values = {"🔑🔒": "$KEY", "éééé": "$PASSWORD"}
    escaped = {one.encode().decode("ascii", "surrogateescape"): r for one, r in values.items()}
    one = masker_module.Masker({SECRET: "$API_TOKEN", **escaped})
    assert one.text(text) == masked


@given(st.text("…é@:/.\x1b[m" + SECRET, max_size=9))
def test_a_text_is_masked_as_its_bytes_are(text: str) -> None:
    one = masker_of({"API_TOKEN": SECRET, "A_TOKEN": "kX7-cana", "B_TOKEN": "éééééééé"})
    assert one.text(text) == one.mask(text.encode()).decode()


def test_a_value_is_masked_in_all_its_parts(masker: Masker) -> None:
    mark = MARK.decode()
    value = {SECRET: [SECRET, 1, None, True], "t": (SECRET, {"u": SECRET})}
    assert masker.value(value) == {mark: [mark, 1, None, True], "t": [mark, {"u": mark}]}
    plain = base64.b64encode(b"nothing in it").decode()
    assert masker.value({"base64": plain}) == {"base64": plain}
    assert masker.value({"base64": f"?{SECRET}"}) == {"base64": f"?{mark}"}
    assert masker.value({"base64": [SECRET]}) == {"base64": [mark]}
    assert masker.value({"base64": f"abc {SECRET}"}) == {"base64": f"abc {mark}"}
    inside = base64.b64encode(SECRET.encode()).decode()
    marked = base64.b64encode(MARK).decode()
    assert masker.value({"base64": inside}) == {"base64": marked}


def test_a_line_keeps_its_end_or_has_none(masker: Masker) -> None:
    line = json.dumps({"a": SECRET, "b": 1}).encode()
    assert masker.line(line) == b'{"a":"***$API_TOKEN***","b":1}'
    assert masker.line(line + b"\n") == b'{"a":"***$API_TOKEN***","b":1}\n'
    assert masker.line(b"{} x\n") == b"{} x\n"
    assert masker.line(f"no json {SECRET}\n".encode()) == b"no json " + MARK + b"\n"
    assert masker.line(f'{{"n": NaN, "a": "{SECRET}"}}'.encode()) == (
        b'{"n": NaN, "a": "' + MARK + b'"}'
    )


def test_a_line_that_would_be_too_long_keeps_its_size() -> None:
    one = masker_of({"A_LONG_NAME_OF_A_TOKEN": "12345678"})
    for over in (0, 1):
        grown = len("***$A_LONG_NAME_OF_A_TOKEN***") - 8
        size = (1 << 20) - 1 - grown + over
        line = b'{"a":"12345678' + b"!" * (size - 16) + b'"}'
        assert len(line) == size
        masked = one.line(line)
        assert len(masked) == (size if over else (1 << 20) - 1)
        assert b"12345678" not in masked


def test_a_line_that_is_too_long_already_may_grow() -> None:
    one = masker_of({"A_LONG_NAME_OF_A_TOKEN": "12345678"})
    line = b'{"a":"12345678' + b"!" * (1 << 20) + b'"}'
    assert b"***$A_LONG_NAME_OF_A_TOKEN***" in one.line(line)


def test_what_overlaps_is_one_and_what_touches_is_two() -> None:
    one = masker_of({"A_TOKEN": "abcdefgh", "B_TOKEN": "ijklmnop", "C_TOKEN": "opqrstuv"})
    assert one.find(b"abcdefghijklmnop") == [(0, 8, "$A_TOKEN"), (8, 16, "$B_TOKEN")]
    assert one.find(b"ijklmnopqrstuv") == [(0, 14, "$B_TOKEN")]
    assert one.mask(b"abcdefghijklmnop") == b"***$A_TOKEN******$B_TOKEN***"


def test_a_variable_names_what_overlaps_a_shape() -> None:
    one = masker_of({"A_TOKEN": BODY[10:30]})
    assert one.mask(f"ghp{'_'}{BODY[:40]}.".encode()) == b"***$A_TOKEN***."


@pytest.mark.parametrize(
    "part",
    [
        "eyJ", "eyJ" * 50 + ".a ", "://x:@", "@", ".", "…", "sk_live_", "sk_live_ ", "AKIA", "a",
        f"{BEGIN}\n", BEGIN + "\\" * 200, "\x1b[", "\x1b[31m", "aaaaaaaaaaaaaa ", "sk_liv...", "\\",
        "*", "postgres://app:word@db.production.example/app ",
    ],
)  # fmt: skip
def test_no_text_takes_time_by_its_square(part: str) -> None:
    values = ["a" * 30, "*" * 8, *(f"sk_live_{number:0{9 + number % 20}}" for number in range(300))]
    values += [f"postgres://app:{number:010}@db.production.example/app" for number in range(300)]
    one = masker_of({f"V{number}_TOKEN": value for number, value in enumerate(values)})
    text = (part * (100_000 // len(part))).encode()
    stream = one.stream()
    began = time.process_time()
    one.mask(text)
    for at in range(0, len(text), 8192):
        stream.feed(text[at : at + 8192])
    assert time.process_time() - began < 2  # by its square it would be minutes


def test_a_place_counts_the_colour_before_it(masker: Masker) -> None:
    text = f"\x1b[1m\x1b[2mab\x1b[0m {SECRET[:4]}\x1b[3m{SECRET[4:]}\x1b[0m x {SECRET}".encode()
    begin = text.index(SECRET[:4].encode())
    end = begin + len(SECRET) + 4
    last = text.rindex(SECRET.encode())
    assert masker.find(text) == [
        (begin, end, "$API_TOKEN"),
        (last, last + len(SECRET), "$API_TOKEN"),
    ]
    plain = f"{SECRET}\x1b[0m".encode()
    assert masker.find(plain) == [(0, len(SECRET), "$API_TOKEN")]


# --- in pieces ---------------------------------------------------------------------------------


def test_a_stream_tells_where_it_found_what(masker: Masker) -> None:
    stream = masker.stream()
    pieces = [f"one\ntwo {SECRET}\n{SECRET[:4]}", f"{SECRET[4:]} x\n\n", f"y {SECRET}"]
    written = b"".join([*(stream.feed(one.encode()) for one in pieces), stream.flush()])
    whole = "".join(pieces).encode()
    assert written == whole.replace(SECRET.encode(), MARK)
    places = [8, 28, 28 + 19 + 6]
    assert [whole[at:].startswith(SECRET.encode()) for at in places] == [True] * 3
    assert stream.found == [
        (at, line, 19, "$API_TOKEN") for at, line in zip(places, (2, 3, 5), strict=True)
    ]
    assert stream.flush() == b""


def test_a_stream_can_keep_the_size(masker: Masker) -> None:
    stream = masker.stream(same_size=True)
    text = f"a {SECRET} b ".encode()
    assert stream.feed(text) + stream.flush() == b"a " + b"*" * 19 + b" b "


@pytest.mark.parametrize(
    ("text", "held"),
    [
        ("see kX7-", 4),
        ("see k\x1b[31mX7-", 4),
        ("see \x1b[31mk\x1b[0mX7-\x1b", 9),
        ("see \x1b[3", 4),
        ("see \x1b[3.", 8),
        ("see .", 5),
        ("\x1b[31m...", 8),
        ("", 0),
    ],
)
def test_a_stream_holds_back_what_may_begin_a_value(masker: Any, text: str, held: int) -> None:
    assert masker.partial(text.encode()) == held
    far = "word " * 20_000
    assert masker.partial((far + text).encode()) == len(far) + held


def test_however_much_comes_at_once_its_end_is_held_back(masker: Masker) -> None:
    stream = masker.stream()
    much = b"! " * 32 * 1024
    assert stream.feed(much + SECRET[:5].encode()) == much
    assert stream.feed(SECRET[5:].encode() + b".") + stream.flush() == MARK + b"."


def test_what_is_held_back_is_32_kibibytes_at_most(masker: Masker) -> None:
    for size, is_held in ((32 * 1024, True), (32 * 1024 + 1, False)):
        text = (f"{BEGIN}\n".encode() + b"! " * 32 * 1024)[:size]
        stream = masker.stream()
        assert (stream.feed(text) == b"") is is_held
