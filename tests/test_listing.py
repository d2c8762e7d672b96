"""Listing is asked for most, so it pays for nothing but itself, and says what it always said."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from builders import a_manifest
from command_line import Place, place

from bundler.errors import BundleError
from bundler.manifest import encode_document, parse_manifest, parse_own, to_document

DOCUMENT = to_document(a_manifest())


@pytest.fixture
def here(tmp_path: Path) -> Place:
    made = place(tmp_path)
    made.bundle("run", "--", sys.executable, "-c", "")
    return made


def test_listing_again_loads_no_parser_no_reader_and_no_manifest(here: Place) -> None:
    here.bundle("list")
    code = "import sys; from bundler.cli import run; run(['list']); print(*sys.modules)"
    loaded = here.run([sys.executable, "-c", code]).stdout.split()
    assert "bundler.listing" in loaded
    unneeded = {"typer", "rich", "zstandard", "filelock", "subprocess", "bundler.bundle"}
    unneeded |= {"msgspec", "dataclasses", "typing", "pathlib", "bundler.store"}
    assert sorted(unneeded & set(loaded)) == []


def test_listing_is_the_same_with_and_without_the_parser(here: Place) -> None:
    code = "import os, sys; from bundler.terminal import Ui; from bundler.words import obey; "
    code += "ui = Ui.from_environment(os.environ, None, sys.stdout, sys.stderr); "
    code += "obey(['list'], ui); ui.close()"
    parsed = subprocess.run(
        [sys.executable, "-c", code],
        cwd=here.project,
        env=here.environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert here.bundle("list").stdout == parsed.stdout != ""


@pytest.mark.parametrize(
    "raw",
    [
        encode_document(DOCUMENT),
        encode_document({**DOCUMENT, "format": {"major": 1, "minor": 9}, "later": [1]}),
        encode_document({**DOCUMENT, "format": {"major": 2, "minor": 0}}),
        encode_document({**DOCUMENT, "seed": 1 << 64}),
        encode_document({**DOCUMENT, "seed": -1}),
        encode_document({**DOCUMENT, "seed": True}),
        encode_document({**DOCUMENT, "seed": 1.5}),
        encode_document({**DOCUMENT, "counts": {"passed": "many"}}),
        encode_document({key: DOCUMENT[key] for key in DOCUMENT if key != "format"}),
        b"",
        b"[]",
        b"\xff",
        b'{"format": ',
        b"[" * 100_000,
        json.dumps(DOCUMENT).encode("utf-16"),
    ],
)
def test_the_quick_way_to_read_a_manifest_agrees_with_the_strict_one(raw: bytes) -> None:
    def outcome(parse: object) -> object:
        try:
            found = parse(raw)  # type: ignore[operator]
        except BundleError as error:
            return type(error), error.message
        return found[0] if isinstance(found, tuple) else found

    assert outcome(parse_own) == outcome(parse_manifest)
