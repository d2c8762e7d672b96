"""Put the bundle of a test on disk: the documents that say what it was and did, and its files."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from bundler.probe.writer.file_names import ENVIRONMENT, EVENTS, FAILED_ASSERTIONS, SUMMARY
from bundler.probe.writer.json_text import pretty
from bundler.probe.writer.masking import Masking
from bundler.probe.writer.whole_file import write_whole
from bundler.testing.environment import EnvironmentMetadata
from bundler.testing.ndjson import NdjsonEvent
from bundler.testing.paths import artifact_base_dir, safe_bundle_dir
from bundler.testing.repro_manifest import ReproManifest
from bundler.testing.summary import AssertionRecord, TestSummary


def write_artifact_bundle(
    manifest: ReproManifest,
    *,
    base: Path | None = None,
    events: Iterable[NdjsonEvent] | None = None,
    summary: TestSummary | None = None,
    environment: EnvironmentMetadata | None = None,
    failed_assertions: Iterable[AssertionRecord] = (),
) -> Path:
    """Write the bundle of a test that is over, and return its directory.

    It lies in `base` (else `artifact_base_dir()`), under the scenario id and the seed of the
    manifest, or under a safe name where the id is none. The manifest is written last. Raises
    ContractError where it breaks its contract, OSError.

        >>> manifest = ReproManifest.from_context(context, passed=True)      # doctest: +SKIP
        >>> write_artifact_bundle(manifest, events=logger.events())          # doctest: +SKIP
        PosixPath('target/test-artifacts/cancel_drain/00000000deadbeef')
    """
    manifest.validate()
    where = safe_bundle_dir(base or artifact_base_dir(), manifest.scenario_id, manifest.seed)
    where.mkdir(parents=True, exist_ok=True)
    if events is not None:
        _write_events(where / EVENTS, events)
    if summary is not None:
        write_whole(str(where / SUMMARY), summary.to_json())
    if environment is not None:
        write_whole(str(where / ENVIRONMENT), environment.to_json())
    if failed := [one for one in failed_assertions if not one.passed]:
        write_whole(str(where / FAILED_ASSERTIONS), _failed_assertions_document(failed))
    manifest.write(where)
    return where


def _failed_assertions_document(failed: Iterable[AssertionRecord]) -> bytes:
    """Return failed_assertions.json in bytes."""
    return pretty([one.to_document() for one in failed])


def _write_events(path: Path, events: Iterable[NdjsonEvent]) -> None:
    with path.open("wb") as file:
        file.writelines(Masking.masker.line(event.to_line()) for event in events)
