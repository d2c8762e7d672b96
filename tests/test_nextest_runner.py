"""cargo-nextest under recording: how it is recognised, what it is given, what never comes back."""

from __future__ import annotations

import json
import tomllib
import zipfile
from pathlib import Path

import pytest
from command_line import place

from bundler.runners import Invocation, nextest
from bundler.store import open_path

FIXTURES = Path(__file__).parent / "fixtures" / "nextest"


def invocation(command: str, **env: str) -> Invocation:
    """A start of a command that says nothing on its way."""
    return Invocation(command.split(), env, Path(), tell=lambda _event: None)


@pytest.mark.parametrize(
    "command",
    ["cargo nextest run", "cargo +nightly nextest r -p x", "/bin/cargo-nextest nextest run"],
)
def test_nextest_is_told_by_its_command(command: str) -> None:
    assert nextest.recognises(command.split())


@pytest.mark.parametrize("command", ["", "cargo test", "cargo nextest list", "make nextest run"])
def test_another_command_is_not_nextest(command: str) -> None:
    assert not nextest.recognises(command.split())


def test_recording_is_switched_on_in_a_copy_of_the_user_s_configuration(tmp_path: Path) -> None:
    own = tmp_path / "nextest" / "config.toml"
    own.parent.mkdir()
    own.write_text(
        'ui.theme = "größe"\n[record]\nmax-records = 7\nenabled = false\n'
        "[[overrides]]\nsince = 1979-05-27T07:32:00Z\nrates = [1.5, true]\n"
    )
    with nextest.inside(invocation("cargo nextest run", XDG_CONFIG_HOME=str(tmp_path))) as inside:
        assert inside is not None
        config = Path(inside.env["NEXTEST_USER_CONFIG_FILE"])
        text = config.read_text(encoding="utf-8")
    before, after = tomllib.loads(own.read_text()), tomllib.loads(text)
    changed = {"record": {"max-records": 7, "enabled": True}, "experimental": {"record": True}}
    assert after == before | changed
    assert not config.parent.exists()


@pytest.mark.parametrize(
    "command",
    [
        "make test",
        "cargo nextest run -R latest",
        "cargo nextest run --rerun=1f",
        "cargo nextest run -Rlatest",
        "cargo nextest run --user-config-file x",
    ],
)
def test_what_cannot_be_recorded_from_inside_runs_as_it_is(command: str) -> None:
    with nextest.inside(invocation(command)) as inside:
        assert inside is None


def test_a_rerun_of_an_archive_is_recorded_from_inside(tmp_path: Path) -> None:
    command = " ".join(nextest.rerun_command(tmp_path / "x.zip"))
    with nextest.inside(invocation(command)) as inside:
        assert inside is not None
        assert inside.recording() is None


@pytest.mark.parametrize(
    ("words", "refused"),
    [
        ("-p weather --features a,b/c --release --target x86_64-unknown-linux-gnu", []),
        ("--config build.rustc-wrapper='/x'", ["--config", "build.rustc-wrapper='/x'"]),
        ("--target ../evil.json", ["--target ../evil.json"]),
        ("--target evil.json", ["--target evil.json"]),
        ("--features=--config", ["--features=--config"]),
        ("-p", ["-p"]),
        ("--manifest-path x/Cargo.toml", ["--manifest-path", "x/Cargo.toml"]),
        ("--release=yes", ["--release=yes"]),
        ("-Zunstable", ["-Zunstable"]),
    ],
)
def test_only_words_that_choose_what_is_built_come_back(words: str, refused: list[str]) -> None:
    assert nextest.refused_words(words.split()) == refused


def test_a_recording_keeps_what_nextest_needs_to_rerun_it(tmp_path: Path) -> None:
    stored = open_path(FIXTURES / "store" / "750a018d-4f74-4e85-912b-bc050d2f1921")
    assert nextest.has_archive(stored)
    nextest.write_archive(stored, tmp_path / "x.zip")
    again = open_path(tmp_path / "x.zip")
    assert again.manifest.run_id == stored.manifest.run_id
    assert again.results.counts == stored.results.counts


def test_an_order_that_nextest_does_not_know_is_said_to_have_no_effect(tmp_path: Path) -> None:
    here = place(tmp_path)
    cargo = here.file("bin/cargo", "#!/bin/sh\n")
    cargo.chmod(0o755)
    for order in ("full", "worker"):
        words = ["rerun", "--order", order, str(FIXTURES / "weather.zip")]
        done = here.bundle(*words, PATH=f"{cargo.parent}:/bin:/usr/bin")
        assert f"--order {order} has no effect: nextest runs tests in an order" in done.stderr


def hostile(tmp_path: Path, words: list[str]) -> Path:
    path = tmp_path / "hostile.zip"
    with zipfile.ZipFile(FIXTURES / "weather.zip") as original, zipfile.ZipFile(path, "w") as made:
        for name in original.namelist():
            content = original.read(name)
            if name == "manifest.json":
                document = json.loads(content)
                document["run"]["build-scope-args"] = words
                content = json.dumps(document).encode()
            made.writestr(name, content)
    return path


def test_a_stranger_s_words_for_the_build_are_refused_before_anything_runs(tmp_path: Path) -> None:
    here = place(tmp_path)
    ran = tmp_path / "ran"
    cargo = here.file("bin/cargo", f"#!/bin/sh\ntouch {ran}\n")
    cargo.chmod(0o755)
    path = hostile(tmp_path, ["--config", f"build.rustc-wrapper='{cargo}'"])
    done = here.bundle("rerun", str(path), PATH=str(cargo.parent))
    assert (done.code, ran.exists()) == (2, False)
    assert "the recorded build was given words that do not come back: --config" in done.stderr
    here.bundle("rerun", str(FIXTURES / "weather.zip"), PATH=f"{cargo.parent}:/bin:/usr/bin")
    assert ran.exists()
