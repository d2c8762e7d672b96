"""What the files of a test are called: the names that the format has, and names safe to write.

The first four functions name, and only that: they give the same as asupersync's, for any text.
Whatever is written to disk goes through `safe_bundle_dir` and `safe_file_name`: a test id may be
`../x`, `CON`, or 300 characters long, and ids that differ in case only may meet on a file system
that ignores it. A name that is safe as it stands stays as it is; any other becomes a readable part
and a digest of the whole (`bundler.names.slug`), so no two ids share a directory, and each is found
again by its real id.
"""

from __future__ import annotations

import re
from pathlib import Path

from bundler.probe.writer.bundle_directory import base_in_environment
from bundler.probe.writer.file_names import safe_file_name, safe_folder_name, trace_file_name
from bundler.seeds import show_seed

__all__ = [
    "DEFAULT_BASE",
    "artifact_base_dir",
    "artifact_bundle_dir",
    "ndjson_file_name",
    "replay_target_slug",
    "safe_bundle_dir",
    "safe_file_name",
    "trace_file_name",
]

DEFAULT_BASE = "target/test-artifacts"

_NOT_SLUG = re.compile(r"[^a-z0-9]+")


def artifact_base_dir() -> Path:
    """Return where tests put their bundles.

    `BUNDLE_ARTIFACTS_DIR` (which `bundle run` sets), else `ASUPERSYNC_TEST_ARTIFACTS_DIR`, else
    `target/test-artifacts` below the working directory.
    """
    return Path(base_in_environment() or DEFAULT_BASE)


def artifact_bundle_dir(base: Path | str, test_id: str, seed: int) -> Path:
    """Return `{base}/{test_id}/{seed:016x}`. It names: to write there, use `safe_bundle_dir`."""
    return Path(base) / test_id / show_seed(seed)


def ndjson_file_name(subsystem: str, scenario: str, seed: int) -> str:
    """Return `{subsystem}_{scenario}_{seed:016x}.ndjson`. It names: see `safe_file_name`."""
    return f"{subsystem}_{scenario}_{show_seed(seed)}.ndjson"


def replay_target_slug(scenario_id: str) -> str:
    """Return the name of a build directory for a scenario: `a-z 0-9 _`, or `scenario`."""
    ascii_lower = "".join(one.lower() if one.isascii() else "_" for one in scenario_id)
    return _NOT_SLUG.sub("_", ascii_lower).strip("_") or "scenario"


def safe_bundle_dir(base: Path | str, test_id: str, seed: int) -> Path:
    """Return the directory of a test's bundle: where it is written, and where it is found again."""
    return Path(base) / safe_folder_name(test_id) / show_seed(seed)
