"""What is masked, where it may stand, and what is left alone."""

from __future__ import annotations

import base64
import importlib
import itertools
import json
import random
import re
import string
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bundler import probe
from bundler.redaction import OFF, Masker, counted, masker_of

SECRET = "kX7-canary_9QzR4mW2"
ODD = "k \"X\\7é&<%/+='z"
HERE = {"API_TOKEN": SECRET, "DB_PASSWORD": ODD}
MARK = b"***$API_TOKEN***"


@pytest.fixture
def masker() -> Masker:
    return masker_of(HERE)


def ways(secret: str) -> list[bytes]:
    """A secret as it may be written."""
    raw = secret.encode()
    texts = [
        secret,
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        json.dumps(json.dumps(secret))[3:-3],
        repr(secret)[1:-1],
        repr(repr(secret))[2:-2],
        json.dumps(repr(repr(secret)))[3:-3],
        secret.encode("unicode_escape").decode(),
        quote(secret),
        quote(secret, safe=""),
        quote_plus(secret),
        re.sub("%..", lambda escape: escape[0].lower(), quote(secret)),
    ]
    return [one.encode() for one in texts] + [base64.b64encode(raw), base64.urlsafe_b64encode(raw)]


@pytest.mark.parametrize("secret", [SECRET, ODD])
def test_a_value_is_masked_however_it_is_written(masker: Masker, secret: str) -> None:
    for written in ways(secret):
        assert written[2:-4] not in masker.mask(b"before " + written + b" after")


@pytest.mark.parametrize("before", [b"", b"u", b"us", b"user:", b"\xff\xfe"])
def test_a_value_is_masked_inside_base64_whatever_stands_before_it(
    masker: Masker, before: bytes
) -> None:
    masked = masker.mask(base64.b64encode(before + SECRET.encode() + b" and more"))
    inner = base64.b64encode(bytes(len(before) % 3) + SECRET.encode())[4:-4]
    assert inner not in masked
    assert MARK in masked


@pytest.mark.parametrize(
    "around", ["", "é", "🔑", "\n", "x", "=", "'", "/", "\\n", "\x1b[31m", "\r\n", "\0"]
)
def test_what_stands_around_a_value_is_kept(masker: Masker, around: str) -> None:
    text = f"{around}{SECRET}{around}".encode()
    assert masker.mask(text) == text.replace(SECRET.encode(), MARK)


def test_colour_inside_a_value_does_not_hide_it(masker: Masker) -> None:
    coloured = f"\x1b[1mtoken {SECRET[:5]}\x1b[31m{SECRET[5:]}\x1b[0m end".encode()
    assert masker.mask(coloured) == b"\x1b[1mtoken ***$API_TOKEN***\x1b[31m\x1b[0m end"


@pytest.mark.parametrize(
    ("shown", "masked"),
    [
        ("assert 'kX7-canar...zR4mW2' == ''", "assert '***$API_TOKEN***...***$API_TOKEN***' == ''"),
        ("assert 'kX7-ca…", "assert '***$API_TOKEN***…"),
        ("assert 'kX7-c... and 4mW2", "assert 'kX7-c... and 4mW2"),
        ("canary...and more", "canary...and more"),
    ],
)
def test_what_a_runner_has_left_of_a_value_is_masked(
    masker: Masker, shown: str, masked: str
) -> None:
    assert masker.mask(shown.encode()) == masked.encode()


def test_where_two_values_overlap_nothing_of_either_is_left() -> None:
    masker = masker_of({"A_TOKEN": "abcdefghij", "B_TOKEN": "ghijklmnop"})
    assert masker.mask(b"<abcdefghijklmnop>") == b"<***$A_TOKEN***>"


def test_the_longer_of_two_values_is_masked_whole() -> None:
    masker = masker_of({"A_TOKEN": "abcdefgh", "B_TOKEN": "abcdefgh-and-more"})
    assert b"more" not in masker.mask(b"abcdefgh-and-more")


def test_a_value_of_several_lines_is_masked_line_by_line() -> None:
    masker = masker_of({"DEPLOY_KEY": "first-line-of-it\nsecond-line-of-it\n"})
    shown = b"E   first-line-of-it\r\nE   second-line-of-it\r\n"
    assert masker.mask(shown) == b"E   ***$DEPLOY_KEY***\r\nE   ***$DEPLOY_KEY***\r\n"


@pytest.mark.parametrize(
    "name",
    [
        "GITHUB_TOKEN",
        "MY_SECRET",
        "DB_PASSWORD",
        "DB_PASS",
        "PGPASSWORD",
        "MYSQL_PWD",
        "GOOGLE_CREDENTIALS",
        "APIKEY",
        "STRIPE_API_KEY",
        "PRIVATE_THING",
        "AUTH_HEADER",
        "HTTP_AUTHORIZATION",
        "SESSION_COOKIE",
        "SENTRY_DSN",
        "AWS_SECRET_ACCESS_KEY",
        "GITLAB_PAT",
    ],
)
def test_a_variable_is_secret_by_its_name(name: str) -> None:
    assert masker_of({name: "a-value-of-it"}).mask(b"a-value-of-it") == b"***$%s***" % name.encode()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SOME_PATH", "a-value-of-it"),
        ("KEYBOARD", "a-value-of-it"),
        ("GIT_AUTHOR_NAME", "Ada Lovelace"),
        ("TOKENIZERS_PARALLELISM", "sometimes"),
        ("XDG_SESSION_TYPE", "wayland-session"),
        ("API_TOKEN", "seven77"),
        ("USE_SESSION_AUTH", "required"),
        ("POSTGRES_PASSWORD", "postgres"),
        ("AUTH_URL", "https://ci.example/login"),
        ("SSH_AUTH_SOCK", __file__),
        ("TOKEN_NAME", "OTHER_NAME"),
        ("AUTH_USER", "somebody"),
    ],
)
def test_what_is_harmless_is_left_alone(name: str, value: str) -> None:
    environment = {name: value, "USER": "somebody", "OTHER_NAME": "x"}
    text = f"<{value}>".encode()
    assert masker_of(environment).mask(text) == text


def token(*parts: str) -> bytes:
    """A token that looks real; in parts, so that no scanner takes this file for a leak."""
    return "".join(parts).encode()


BODY = "A1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6Q7r8"
SHAPES = {
    "github": token("gh", "p_", BODY),
    "gitlab": token("gl", "pat-", BODY[:20]),
    "slack": token("xo", "xb-", "123456789012-123456789012-", BODY[:24]),
    "aws": token("AK", "IA", "ABCDEFGHIJKLMNOP"),
    "google": token("AI", "za", BODY[:35]),
    "stripe": token("sk_", "live_", BODY[:24]),
    "pypi": token("py", "pi-", BODY, BODY),
    "jwt": token("ey", "JhbGciOiJIUzI1NiJ9", ".eyJzdWIiOiIxIn0.", BODY),
    "private-key": token("-----BEGIN RSA PRI", "VATE KEY-----\n", f"{BODY}\n{BODY}\n")
    + token("-----END RSA PRI", "VATE KEY-----"),
    "url": b"me:word",
}


@pytest.mark.parametrize("rule", SHAPES)
def test_what_looks_like_a_secret_is_masked_whoever_it_belongs_to(rule: str) -> None:
    secret = b"postgres://me:word@host/x" if rule == "url" else SHAPES[rule]
    masked = masker_of({}).mask(b"say " + secret + b" again")
    assert masked == b"say " + secret.replace(SHAPES[rule], b"***%s***" % rule.encode()) + b" again"
    assert counted(masked) == {rule: 1}


def test_a_private_key_that_is_cut_is_masked_as_far_as_it_goes() -> None:
    key = SHAPES["private-key"].partition(b"\n-----END")[0]
    assert masker_of({}).mask(key + b"\nand then") == b"***private-key***\nand then"


def test_a_private_key_on_one_line_of_json_is_masked() -> None:
    line = json.dumps({"key": SHAPES["private-key"].decode()}).encode()
    assert json.loads(masker_of({}).line(line)) == {"key": "***private-key***"}


@pytest.mark.parametrize(
    "text",
    [
        b"tests/test_import_order.py::test_every_module_has_its_place_and_every_place_its_module",
        b"https://host:8080/path?mail=a@b and me@host",
        b"-----BEGIN CERTIFICATE-----",
        b"0123456789abcdef0123456789abcdef01234567",
        b"the word PRIVATE KEY alone",
        b"eyJust a word",
    ],
)
def test_ordinary_text_is_the_same_object_afterwards(masker: Masker, text: bytes) -> None:
    assert masker.mask(text) is text


def test_a_line_of_json_stays_json_wherever_the_value_begins() -> None:
    masker = masker_of({"API_TOKEN": "n-and-this-is-it"})
    line = json.dumps({"text": "x\n-and-this-is-it", "n": 2**63}).encode() + b"\n"
    assert json.loads(masker.line(line)) == json.loads(line)
    line = json.dumps({"text": "x\nn-and-this-is-it", "n-and-this-is-it": 1}).encode() + b"\n"
    assert json.loads(masker.line(line)) == {"text": "x\n***$API_TOKEN***", "***$API_TOKEN***": 1}


def test_a_chunk_in_base64_is_opened_masked_and_closed(masker: Masker) -> None:
    chunk = base64.b64encode(b"\xff" + SECRET.encode()).decode()
    line = masker.line(json.dumps({"data": {"base64": chunk}}).encode())
    assert base64.b64decode(json.loads(line)["data"]["base64"]) == b"\xff" + MARK


def test_a_value_that_is_no_text_cannot_break_a_text() -> None:
    value = (b"\xa9" + "é".encode() * 8 + b"\xc3").decode("utf-8", "surrogateescape")
    assert "***$API_TOKEN***" in masker_of({"API_TOKEN": value}).text("é" * 10)


def test_whatever_a_value_is_made_of_it_can_be_a_secret() -> None:
    for value in ("\ud800" * 9, "\udc80\ud83e" * 5, "\0" * 9, "\n" * 20, " " * 20, "'\"\\" * 9):
        masker = masker_of({"API_TOKEN": value}, ["tool", f"--token={value}"])
        masker.text(f"<{value}> ... {value[:7]}...")
        masker.mask(b"...")


def test_a_binary_file_keeps_its_size(masker: Masker) -> None:
    masked = masker.mask(b"\0\1" + SECRET.encode() + b"\2", same_size=True)
    assert masked == b"\0\1" + b"*" * len(SECRET) + b"\2"


def test_masking_twice_is_masking_once(masker: Masker) -> None:
    once = masker.mask(b" ".join([*ways(SECRET), *ways(ODD), *SHAPES.values()]))
    assert masker.mask(once) == once


def test_off_masks_nothing() -> None:
    assert OFF.mask(SHAPES["github"]) == SHAPES["github"]
    stream = OFF.stream()
    assert stream.feed(SHAPES["github"]) == SHAPES["github"]


# --- in pieces ---------------------------------------------------------------------------------


@pytest.mark.parametrize("secret", [SECRET.encode(), ODD.encode(), *SHAPES.values()])
def test_a_secret_split_anywhere_is_masked(masker: Masker, secret: bytes) -> None:
    whole = b"see https://" + secret + b"@host and " + secret + b"\nend\n"
    for at in range(len(whole)):
        assert in_pieces(masker, [whole[:at], whole[at:]]) == masker.mask(whole)


def test_a_secret_that_comes_byte_by_byte_is_masked(masker: Masker) -> None:
    whole = b"\n".join([SECRET.encode(), *SHAPES.values(), b"\x1b[31mred", b"end"])
    assert in_pieces(masker, [bytes([byte]) for byte in whole]) == masker.mask(whole)


def test_colour_between_the_pieces_does_not_hide_it(masker: Masker) -> None:
    whole = f"a {SECRET[:5]}\x1b[31m{SECRET[5:]}\x1b[0m\n".encode()
    for at in range(len(whole)):
        assert SECRET[5:].encode() not in in_pieces(masker, [whole[:at], whole[at:]])


def test_what_cannot_be_the_beginning_of_a_secret_is_not_held_back(masker: Masker) -> None:
    stream = masker.stream()
    assert stream.feed(b"tests/test_a.py ....") == b"tests/test_a.py ...."


def test_not_much_is_held_back_for_ever(masker: Masker) -> None:
    stream = masker.stream()
    endless = b"-----BEGIN PRIVATE KEY-----\n" + b"not base64! " * 10_000
    assert len(stream.feed(endless)) > 64_000


@given(st.data())
def test_pieces_give_what_the_whole_gives(data: st.DataObject) -> None:
    masker = masker_of(HERE)
    part = st.sampled_from([SECRET[:9], SECRET[9:], SECRET, "a", "://", "@", "é", " ", "eyJ", "\n"])
    whole = "".join(data.draw(st.lists(part, max_size=20))).encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=6)))
    pieces = [whole[a:b] for a, b in itertools.pairwise([0, *cuts, len(whole)])]
    assert SECRET.encode() not in in_pieces(masker, pieces)
    assert in_pieces(masker, pieces) == masker.mask(whole)


def in_pieces(masker: Masker, pieces: list[bytes]) -> bytes:
    stream = masker.stream()
    return b"".join([*map(stream.feed, pieces), stream.flush()])


# --- many values -------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 5, 40, 300])
def test_however_many_values_there_are_each_is_found_at_every_place(count: int) -> None:
    chance = random.Random(count)
    alphabet = string.ascii_letters + string.digits + "-_+/%"
    values = {
        f"V{n}_TOKEN": "".join(chance.choices(alphabet, k=chance.randint(8, 60)))
        for n in range(count)
    }
    masker = masker_of(values)
    for value in values.values():
        before = "".join(chance.choices(string.ascii_lowercase + "   ", k=chance.randint(0, 40)))
        assert value.encode() not in masker.mask(f"{before}{value}{before}".encode())


def test_where_secrets_cannot_be_masked_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    probe.load()
    recorder: Any = importlib.import_module("bundle_probe.recorder")
    settings: Any = importlib.import_module("bundle_probe.settings")

    def refuse(*_: object) -> None:
        raise RuntimeError("no masking")

    monkeypatch.setattr(recorder.text.SECRETS, "learn", refuse)
    log = tmp_path / "events.ndjson"
    log.touch()
    told = settings.Settings(str(log), 0, 7, 1000, None)
    config = SimpleNamespace(rootpath=tmp_path, invocation_params=SimpleNamespace(args=()))
    one = recorder.Recorder(told, config)
    one.log.open_or_disarm()
    one.event("Warning", "log", "words", {})
    assert one.log.problem == "RuntimeError: no masking"
    assert log.read_bytes() == b""
