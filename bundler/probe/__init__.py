"""The probe: what records inside the test process, and where it lies.

`path/` holds the plugin `bundle_probe` and its entry point, and nothing else. It works in two ways:

- A wrapper puts `PATH` first on a child's PYTHONPATH and its settings into `BUNDLE_PROBE`.
- A pytest plugin of this package calls `load().activate(config, settings)`, in the xdist workers
  too.

The probe is the standard library and pytest; it imports nothing of `bundler`, and `bundler` imports
nothing of it but through `load` and, for what the two mask alike, `load_masking`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

PATH = Path(__file__).parent / "path"
"""The folder for the head of PYTHONPATH."""


def load() -> Any:
    """Return the plugin's module under its own name, so that a process has one of it at most."""
    return _load("bundle_probe", PATH / "bundle_probe")


def load_masking() -> Any:
    """Return what masks secrets, without the plugin around it, which needs pytest."""
    return _load("bundle_probe_masking", PATH / "bundle_probe" / "masking")


def _load(name: str, folder: Path) -> Any:
    module = sys.modules.get(name)
    if module is not None:
        return module
    import importlib.util

    spec = importlib.util.spec_from_file_location(
        name, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    if spec is None or spec.loader is None:
        raise ImportError(f"{name} is missing from this installation")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
