"""CTRF's own schema: it is in the npm package `ctrf`, and nowhere here.

`BUNDLE_TEST_CTRF_SCHEMA` names the file; else npm fetches the package once.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import jsonschema

PACKAGE = "ctrf@0.3.0"
INSIDE = "package/dist/ctrf-schema-0.0.json"
NAMED = os.environ.get("BUNDLE_TEST_CTRF_SCHEMA", "")


def validator(folder: Path) -> Any | None:
    """A validator of CTRF documents; None where the schema is not to be had."""
    if NAMED:
        return validator_of(Path(NAMED).read_bytes())
    npm = shutil.which("npm")
    if npm and not list(folder.glob("*.tgz")):
        fetch = [npm, "pack", "--silent", PACKAGE, "--pack-destination", str(folder)]
        with contextlib.suppress(subprocess.TimeoutExpired):
            subprocess.run(fetch, cwd=folder, capture_output=True, timeout=180)
    for package in folder.glob("*.tgz"):
        with tarfile.open(package) as archive:
            member = archive.extractfile(INSIDE)
            assert member is not None
            return validator_of(member.read())
    return None


def validator_of(schema: bytes) -> Any:
    """A validator for a schema, formats included."""
    return jsonschema.Draft7Validator(json.loads(schema), format_checker=jsonschema.FormatChecker())
