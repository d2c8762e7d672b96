"""What was measured of reliability, kept for `docs/reliability.md`."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

MEASURED = Path(__file__).parent / "fixtures" / "reliability"
UPDATE = "BUNDLE_UPDATE_RELIABILITY"
UPDATES = bool(os.environ.get(UPDATE))


def note(name: str, measured: dict[str, Any]) -> None:
    """Keep what was measured under a name, where this run was asked to."""
    if UPDATES:
        MEASURED.mkdir(exist_ok=True)
        text = json.dumps(measured, indent=1, sort_keys=True)
        (MEASURED / f"{name}.json").write_text(text + "\n", encoding="utf-8")


def noted(name: str) -> dict[str, Any]:
    """What was measured under a name."""
    found: dict[str, Any] = json.loads((MEASURED / f"{name}.json").read_text(encoding="utf-8"))
    return found
