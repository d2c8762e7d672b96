"""The locale that Python sets for itself is none of the command's business."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from command_line import place

from bundler.runners.process.locale_coercion import undone

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="nothing tells what was given")


@LINUX
@pytest.mark.parametrize("given", [{}, {"LC_CTYPE": "C.UTF-8"}, {"LC_ALL": "C"}, {"LANG": "C"}])
def test_the_command_has_the_locale_it_was_given(tmp_path: Path, given: dict[str, str]) -> None:
    here = place(tmp_path)
    printed = [sys.executable, "-c", "print(end=open('/proc/self/environ').read())"]
    plain = here.run(printed, **given)
    recorded = here.bundle("run", "--", *printed, **given)

    def locale(text: str) -> set[str]:
        return {one for one in text.split("\0") if one.startswith(("LC_", "LANG="))}

    assert locale(recorded.stdout) == locale(plain.stdout) == {f"{k}={v}" for k, v in given.items()}


def test_where_nothing_tells_what_was_given_the_locale_stays(tmp_path: Path) -> None:
    env = {"LC_CTYPE": "C.UTF-8", "HOME": "/"}
    assert undone(env, tmp_path / "none") == env
    (tmp_path / "given").write_bytes(b"HOME=/\0")
    assert undone(env, tmp_path / "given") == {"HOME": "/"}
    (tmp_path / "given").write_bytes(b"")
    assert undone(env, tmp_path / "given") == {"HOME": "/"}
