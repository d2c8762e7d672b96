"""Data outlives code: every bundle that an earlier version wrote is read, whole and the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from bundler import bundle
from bundler.manifest import FORMAT_MAJOR, FORMAT_MINOR
from bundler.verification import verify

BUNDLES = Path(__file__).parent / "golden" / "bundles"

COUNTS = {
    "1.0": {"passed": 4, "failed": 1, "skipped": 1},
    "1.1": {"passed": 4, "failed": 1, "skipped": 1},
    "1.2": {"passed": 4, "failed": 1, "skipped": 1},
}


def test_every_format_version_has_its_bundle() -> None:
    assert {path.stem for path in BUNDLES.glob("*.zip")} == set(COUNTS)
    assert f"{FORMAT_MAJOR}.{FORMAT_MINOR}" in COUNTS


@pytest.mark.parametrize("version", COUNTS)
def test_a_bundle_of_an_earlier_version_is_read_whole(version: str) -> None:
    recording = bundle.read(BUNDLES / f"{version}.zip")
    assert verify(recording) == []
    assert recording.results.counts == COUNTS[version] == recording.manifest.counts
    assert recording.manifest.seed == 0xDEADBEEF
    assert {test.worker for test in recording.results.tests} == {"gw0", "gw1"}
    [failed] = [test for test in recording.results.tests if test.verdict == "failed"]
    assert failed.test_id == "shop/test_basket.py::test_a_shop_never_pays_its_customers"
    assert failed.attempts[0].failures[0].message.startswith("assert -3.25 >= 0")


def test_what_was_masked_is_told_from_1_1_on() -> None:
    assert bundle.read(BUNDLES / "1.0.zip").manifest.redaction is None
    for version in ("1.1", "1.2"):
        redaction = bundle.read(BUNDLES / f"{version}.zip").manifest.redaction
        assert redaction is not None
        assert (redaction.on, redaction.masked) == (True, {"$SHOP_PASSWORD": 2})


@pytest.mark.parametrize("version", COUNTS)
def test_seeds_of_events_are_told_in_hex_from_1_2_on(version: str) -> None:
    events = [event for _, event in bundle.read(BUNDLES / f"{version}.zip").events()]
    seeds = [one.seed for one in events if one.seed is not None]
    hexes = [one.seed_hex for one in events if one.seed_hex is not None]
    assert len(seeds) > 15
    assert hexes == ([] if version in ("1.0", "1.1") else [f"{seed:016x}" for seed in seeds])
