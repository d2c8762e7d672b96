"""What a process is told, by its environment, of the recording that it runs under."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from bundler.probe.writer.bundle_directory import BASE_VARIABLES
from bundler.recorder import Recorder
from bundler.redaction import UNMASKED
from bundler.seeds import hash_seed
from bundler.test_bundles import FOLDER

SELECTION = "selection.json"
"""The document of a bundle that says which tests the probe selects."""

SEED_VARIABLES = ("TEST_RANDOM_SEED", "PROPTEST_RNG_SEED", "MADSIM_TEST_SEED", "ASUPERSYNC_SEED")
"""What other runners take their seed from; set only where a seed is imposed."""


def child_variables(
    recorder: Recorder, env: Mapping[str, str], *, fix_hash: bool
) -> dict[str, str]:
    """Return what a child process is given beside its environment."""
    manifest = recorder.live.manifest
    fixes = fix_hash and "PYTHONHASHSEED" not in env
    hashing = {"PYTHONHASHSEED": str(hash_seed(manifest.seed))} if fixes else {}
    imposed = {name: str(manifest.seed) for name in SEED_VARIABLES if name not in env}
    unmasked = {} if recorder.request.redact else {UNMASKED: "1"}
    return {
        **unmasked,
        "BUNDLE_RUN_ID": manifest.run_id,
        "BUNDLE_RUN_SEED": manifest.seed_hex,
        **hashing,
        **(imposed if manifest.seed_imposed else {}),
        **_artifact_variables(recorder, env),
    }


def _artifact_variables(recorder: Recorder, env: Mapping[str, str]) -> dict[str, str]:
    """Return where a suite finds the place for its artifacts: in the bundle of this run.

    What a user set stays; what a recording around this one set does not.
    """
    around = env.get("BUNDLE_RUN_ID")
    place = str((recorder.live.directory / FOLDER).absolute())
    theirs = {name for name in BASE_VARIABLES if env.get(name, "").strip()}
    ours = {name for name in theirs if around and around in env[name]}
    return {name: place for name in BASE_VARIABLES if name not in theirs - ours}


def probe_settings(recorder: Recorder, probe_path: Path) -> str:
    """Return the value of BUNDLE_PROBE: what the probe in the test process needs to know."""
    live = recorder.live
    selection = live.directory / SELECTION
    return json.dumps(
        {
            "v": 1,
            "run_id": live.manifest.run_id,
            "directory": str(live.directory),
            "log": str(live.log),
            "t0_ns": live.started_ns,
            "seed_hex": live.manifest.seed_hex,
            "path": str(probe_path),
            "output_limit": recorder.request.output_limit,
            "selection": str(selection) if selection.exists() else None,
            "impose": live.manifest.seed_imposed,
            "watch_entropy": recorder.request.watch_entropy,
            "redact": recorder.request.redact,
        }
    )
