"""What the files of a test are called: the names that the format has, and names safe to write.

The first four functions name, and only that: they give the same as asupersync's, for any text.
Whatever is written to disk goes through `safe_bundle_dir` and `safe_file_name`: a test id may be
`../x`, `CON`, or 300 characters long, and ids that differ in case only may meet on a file system
that ignores it. A name that is safe as it stands stays as it is; any other becomes a readable part
and a digest of the whole (`bundler.names.slug`), so no two ids share a directory, and each is found
again by its real id.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from bundler.names import MAX_NAME, slug
from bundler.seeds import show_seed

DEFAULT_BASE = "target/test-artifacts"
BASE_VARIABLES = ("BUNDLE_ARTIFACTS_DIR", "ASUPERSYNC_TEST_ARTIFACTS_DIR")

_PLAIN = re.compile(r"[a-z0-9_][a-z0-9._-]*")
_SLUGGED = re.compile(r"(?:.*-)?[0-9a-f]{16}(?:\..*)?")
_RESERVED = re.compile(r"(?:con|prn|aux|nul|com[0-9]|lpt[0-9])(?:\..*)?")
_EXTENSION = re.compile(r"\.[A-Za-z0-9]{1,8}")
_NOT_SLUG = re.compile(r"[^a-z0-9]+")


def artifact_base_dir() -> Path:
    """Return where tests put their bundles.

    `BUNDLE_ARTIFACTS_DIR` (which `bundle run` sets), else `ASUPERSYNC_TEST_ARTIFACTS_DIR`, else
    `target/test-artifacts` below the working directory.
    """
    for name in BASE_VARIABLES:
        value = os.environ.get(name, "")
        if value.strip():
            return Path(value)
    return Path(DEFAULT_BASE)


def artifact_bundle_dir(base: Path | str, test_id: str, seed: int) -> Path:
    """Return `{base}/{test_id}/{seed:016x}`. It names: to write there, use `safe_bundle_dir`."""
    return Path(base) / test_id / show_seed(seed)


def trace_file_name(subsystem: str, scenario: str, seed: int) -> str:
    """Return `{subsystem}_{scenario}_{seed:016x}.trace`. It names: see `safe_file_name`.

    >>> trace_file_name("scheduler", "cancel_drain", 0xDEADBEEF)
    'scheduler_cancel_drain_00000000deadbeef.trace'
    """
    return f"{subsystem}_{scenario}_{show_seed(seed)}.trace"


def ndjson_file_name(subsystem: str, scenario: str, seed: int) -> str:
    """Return `{subsystem}_{scenario}_{seed:016x}.ndjson`. It names: see `safe_file_name`."""
    return f"{subsystem}_{scenario}_{show_seed(seed)}.ndjson"


def replay_target_slug(scenario_id: str) -> str:
    """Return the name of a build directory for a scenario: `a-z 0-9 _`, or `scenario`."""
    ascii_lower = "".join(one.lower() if one.isascii() else "_" for one in scenario_id)
    return _NOT_SLUG.sub("_", ascii_lower).strip("_") or "scenario"


def safe_bundle_dir(base: Path | str, test_id: str, seed: int) -> Path:
    """Return the directory of a test's bundle: where it is written, and where it is found again."""
    name = test_id if _is_plain(test_id) else slug(test_id)
    return Path(base) / name / show_seed(seed)


def safe_file_name(name: str) -> str:
    """Return a name under which a file can be written anywhere: as it is, or with a digest.

    >>> safe_file_name("frame_1.png")
    'frame_1.png'
    >>> safe_file_name("../Frame.png")
    'Frame-0df651a596efa7be.png'
    """
    if _is_plain(name):
        return name
    extension = os.path.splitext(name)[1]  # noqa: PTH122 - Path would read ../ as a path
    if not _EXTENSION.fullmatch(extension) or extension.lower() == ".tmp":
        return slug(name)
    readable, _, digest = slug(name).rpartition("-")
    stem = readable.removesuffix(extension).rstrip("-.")
    return f"{stem or '_'}-{digest}{extension}"


def _is_plain(name: str) -> bool:
    """Whether a name is safe, and can be told from every name that has a digest."""
    return (
        _PLAIN.fullmatch(name) is not None
        and len(name) <= MAX_NAME
        and not name.endswith((".", ".tmp"))
        and name != "run.lock"
        and not _RESERVED.fullmatch(name)
        and not _SLUGGED.fullmatch(name)
    )
