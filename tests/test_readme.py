"""The README is true: its sessions run as shown, its commands are those there are."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from own_environment import SHUFFLING, own_environment
from package_sources import lay_source

from bundler.commands import COMMANDS

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")

SCRUBBERS = [
    (re.compile(r"PYTHONHASHSEED=\d+"), "HASH"),
    (re.compile(r" \(\d+\.\d s\)|; about \d+ s more"), ""),
    (re.compile(r"(Applied from the recording: ).*"), r"\1APPLIED"),
    (re.compile(r"(matters little: )\d+ differences?"), r"\1SOME"),
    (re.compile(r"\b[0-9a-f]{16}\b"), "SEED"),
    (re.compile(r"\b[0-9a-f]{8}\b"), "RUN"),
    (re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC"), "TIME"),
    (re.compile(r"\[ +\d+\.\d+s\]"), "[DURATION]"),
    (re.compile(r"\d+\.\d+s"), "DURATION"),
    (re.compile(r"(rootdir: ).*"), r"\1ROOT"),
    (re.compile(r"^(platform|plugins|configfile).*\n", re.MULTILINE), ""),
    (re.compile(r"( +On ).*"), r"\1MACHINE"),
    (re.compile(r"^=+ (.*?) =+$", re.MULTILINE), r"== \1 =="),
]


def sessions(name: str) -> list[list[tuple[str, str]]]:
    """The console sessions of this name: their commands, each with what the README shows of it."""
    form = rf"<!-- session: {name} -->\n```console\n(.*?)```\n<!-- end -->"
    blocks = re.findall(form, README, re.DOTALL)
    return [
        [
            (command, shown)
            for command, shown in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n?)*)", block, re.MULTILINE)
        ]
        for block in blocks
    ]


def scrubbed(text: str) -> str:
    for pattern, put in SCRUBBERS:
        text = pattern.sub(put, text)
    return text.strip()


def environment(place: Path, python: str) -> dict[str, str]:
    """What the commands of a session get: `bundle`, and `pytest` and `python` of an environment."""
    place.mkdir()
    commands = {
        "bundle": f'"{sys.executable}" -m bundler',
        "pytest": f'"{python}" -m pytest',
        "python": f'"{python}"',
    }
    for name, command in commands.items():
        script = place / name
        script.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
        script.chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{place}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "PYTHONDONTWRITEBYTECODE": "1",
        "COLUMNS": "80",
        "VIRTUAL_ENV": str(Path(python).parent.parent),
    }
    for name in ("PYTEST_ADDOPTS", "CI", "GITHUB_ACTIONS", "FORCE_COLOR"):
        environment.pop(name, None)
    return environment


def run(session: list[tuple[str, str]], place: Path, environment: dict[str, str]) -> None:
    """Run the commands of a session; each has to show what the README shows."""
    for command, shown in session:
        ran = subprocess.run(
            ["sh", "-c", command],
            cwd=place,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        assert scrubbed(ran.stdout.decode()) == scrubbed(shown), command


def test_the_sessions_run_as_they_are_shown(tmp_path: Path) -> None:
    given = environment(tmp_path / "bin", sys.executable)
    first, second, third = sessions("shop")
    project, elsewhere = tmp_path / "project", tmp_path / "laptop"
    for place in (project, elsewhere):
        shutil.copytree(ROOT / "examples" / "shop", place / "shop")
        (place / "pyproject.toml").write_text("")
    run(first, project, given)
    shutil.move(project / "ci.zip", elsewhere / "ci.zip")
    run(second, elsewhere, given)
    basket = elsewhere / "shop" / "basket.py"
    basket.write_text(basket.read_text().replace("discount / 100", "min(discount, 100) / 100"))
    run(third, elsewhere, given)


@pytest.mark.slow
def test_the_session_with_a_real_project_runs_as_it_is_shown(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    python = own_environment(tmp_path_factory, SHUFFLING)
    given = environment(tmp_path / "bin", str(python))
    in_ci, here = sessions("six")
    for place in (tmp_path / "project", tmp_path / "laptop"):
        lay_source("six", "1.17.0", place)
    run(in_ci, tmp_path / "project", given)
    shutil.move(tmp_path / "project" / "ci.zip", tmp_path / "laptop" / "ci.zip")
    run(here, tmp_path / "laptop", given)


def test_every_command_is_in_the_table_and_the_other_way_round() -> None:
    named = re.findall(r"^\| `bundle (\w+)", README, re.MULTILINE)
    assert named == list(COMMANDS)


def test_every_relative_link_leads_somewhere() -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", README)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="the line is for a POSIX shell")
def test_the_line_to_try_it_works_in_a_clone(tmp_path: Path) -> None:
    [line] = re.findall(r"<!-- try -->\n```sh\n(.*)\n```", README)
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", str(ROOT), str(clone)], check=True)
    environment = {**os.environ, "BUNDLE_STORE": str(tmp_path / "store")}
    environment.pop("VIRTUAL_ENV", None)
    environment.pop("PYTHONPATH", None)
    ran = subprocess.run(
        ["sh", "-c", line], cwd=clone, env=environment, capture_output=True, timeout=300
    )
    shown = ran.stdout.decode()
    assert ran.returncode == 0, ran.stderr.decode()
    assert "1 failed, 4 passed, 1 skipped" in shown
    assert "FAIL" in shown.partition("Replaying run")[2]
