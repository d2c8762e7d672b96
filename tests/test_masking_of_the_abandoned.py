"""What tests left where the recorder was killed: masked by whoever seals it, as well as can be."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from canary import SECRETS, holds, leaks
from command_line import BUNDLE, Place, place

from bundler import bundle
from bundler.manifest import Redaction
from bundler.store import Store

pytestmark = pytest.mark.skipif(os.name == "nt", reason="kills its parent")

PYTEST = (*BUNDLE[:1], "-m", "pytest", "-q", "-p", "no:cacheprovider")
SUITE = """
import json, os, pathlib, signal

def test_leaves_secrets_and_kills_the_recorder():
    secret = os.environ["API_TOKEN"]
    place = pathlib.Path(os.environ["BUNDLE_ARTIFACTS_DIR"])
    (place / "deep").mkdir(parents=True)
    (place / "deep" / "text.txt").write_text("see " + secret + "\\n")
    (place / "document.json").write_text(json.dumps({secret: [secret]}))
    (place / "binary.bin").write_bytes(b"\\0" + secret.encode())
    (place / ("named " + secret + ".txt")).write_text("x")
    (place / ("kX7:" + secret + "?")).write_text("made safe otherwise")
    os.kill(os.getppid(), signal.SIGKILL)
    os._exit(0)
"""


@pytest.fixture
def abandoned(tmp_path: Path) -> Place:
    here = place(tmp_path)
    here.file("test_it.py", SUITE)
    here.bundle("run", "--", *PYTEST, **SECRETS)
    run = Store(here.store, here.project).find("latest").path
    assert (run / bundle.LOG).exists()
    assert len([leak for leak in leaks(here.store) if "/tests/" in leak]) >= 5
    return here


def redaction(here: Place) -> Redaction:
    found = here.latest().manifest.redaction
    assert found is not None
    return found


def test_a_repair_masks_it_as_the_end_of_the_run_would_have(abandoned: Place) -> None:
    ended = abandoned.bundle("verify", "--repair", **SECRETS)
    assert ended.code == 0, ended.stdout + ended.stderr
    assert leaks(abandoned.store) == []
    assert redaction(abandoned).masked_in_files["$API_TOKEN"] == 4
    assert not holds((ended.stdout + ended.stderr).encode())
    assert "masked with the secrets of this environment" in ended.stderr
    assert abandoned.bundle("verify").code == 0


def test_a_repair_that_is_repeated_keeps_the_counts(abandoned: Place) -> None:
    abandoned.bundle("verify", "--repair", **SECRETS)
    first = redaction(abandoned)
    ended = abandoned.bundle("verify", "--repair", **SECRETS)
    assert redaction(abandoned) == first
    assert "masked with" not in ended.stderr


def test_who_does_not_know_the_secret_cannot_mask_it_and_scan_finds_it(abandoned: Place) -> None:
    ended = abandoned.bundle("verify", "--repair")
    assert "masked with the secrets of this environment" in ended.stderr
    assert [leak for leak in leaks(abandoned.store) if "text.txt" in leak]
    found = abandoned.bundle("scan", **SECRETS)
    assert found.code == 1
    assert "text.txt:1: byte 4: the value of API_TOKEN" in found.stdout


def test_where_masking_was_off_a_repair_changes_no_file(tmp_path: Path) -> None:
    here = place(tmp_path)
    here.file("test_it.py", SUITE)
    here.bundle("run", "--no-redact", "--", *PYTEST, **SECRETS)
    ended = here.bundle("verify", "--repair", **SECRETS)
    assert "masked with" not in ended.stderr
    assert [leak for leak in leaks(here.store) if "text.txt" in leak]
