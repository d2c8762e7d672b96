"""Record what a test says of itself: its events, phases, assertions and files, under its seed.

    from bundler.testing import TestContext, TestHarness

    def test_cancel_drain():
        context = TestContext.from_environment("cancel_drain", subsystem="scheduler")
        with TestHarness(context) as bundle:
            with bundle.phase("setup"):
                random.seed(context.component_seed("workers"))
                bundle.log("TaskSpawn", "worker started", category="task", task_id=3)
            with bundle.phase("exercise"):
                bundle.check("losers drained", 4, drain())
            bundle.attach(b"...", "frame.png")

leaves `{base}/cancel_drain/{seed:016x}/` with

    events.ndjson            what it logged, line by line as it happened
    summary.json             phases as a tree, assertions, counts
    manifest.json            the repro manifest: seed, verdict, how to see it again
    environment.json         where it ran
    failed_assertions.json   if any failed
    frame.png                what was attached

`{base}` is `BUNDLE_ARTIFACTS_DIR` (`bundle run` sets it: what is written there is in the bundle of
the run), else `ASUPERSYNC_TEST_ARTIFACTS_DIR`, else `target/test-artifacts`. asupersync's own tools
read all of it: names, types and order of fields are theirs.

It needs neither pytest nor `bundle run`, and nothing but the standard library. Times are
microseconds where they are named `_us`, milliseconds where they are named `_ms`. Errors are those
of `bundler.errors`, and OSError; recording itself never raises in a test. Secrets of the
environment are masked in all of it before it is written (`SECURITY.md`).
"""

from __future__ import annotations

import os

from bundler.probe.writer.event_log import LEVELS, parse_level
from bundler.probe.writer.masking import Masking
from bundler.redaction import masker_of_this_process
from bundler.testing.artifacts import write_artifact_bundle
from bundler.testing.context import TestContext
from bundler.testing.coverage_matrix import (
    AggregatedReport,
    CoverageMatrixRow,
    TestReportAggregator,
    TestSummaryBrief,
)
from bundler.testing.environment import EnvironmentMetadata, Port
from bundler.testing.harness import ChecksFailed, TestHarness
from bundler.testing.ndjson import NdjsonEvent, NdjsonLogger, read_events
from bundler.testing.paths import (
    artifact_base_dir,
    artifact_bundle_dir,
    ndjson_file_name,
    replay_target_slug,
    safe_bundle_dir,
    safe_file_name,
    trace_file_name,
)
from bundler.testing.phase_view import phase_tree
from bundler.testing.repro_manifest import (
    ContractError,
    ReproManifest,
    default_trace_fingerprint,
    normalize_string_ids,
)
from bundler.testing.summary import AssertionRecord, EventStats, PhaseNode, TestSummary

Masking.masker = masker_of_this_process(os.environ)

__all__ = [
    "LEVELS",
    "AggregatedReport",
    "AssertionRecord",
    "ChecksFailed",
    "ContractError",
    "CoverageMatrixRow",
    "EnvironmentMetadata",
    "EventStats",
    "NdjsonEvent",
    "NdjsonLogger",
    "PhaseNode",
    "Port",
    "ReproManifest",
    "TestContext",
    "TestHarness",
    "TestReportAggregator",
    "TestSummary",
    "TestSummaryBrief",
    "artifact_base_dir",
    "artifact_bundle_dir",
    "default_trace_fingerprint",
    "ndjson_file_name",
    "normalize_string_ids",
    "parse_level",
    "phase_tree",
    "read_events",
    "replay_target_slug",
    "safe_bundle_dir",
    "safe_file_name",
    "trace_file_name",
    "write_artifact_bundle",
]
