"""The probe: what records inside the test process, and where it lies.

`path/` holds the plugin `bundle_probe` and its entry point, and nothing else. It works in two ways:

- A wrapper puts `PATH` first on a child's PYTHONPATH and its settings into `BUNDLE_PROBE`.
- A pytest plugin of this package calls `load().activate(config, settings)`, in the xdist workers
  too.

The probe is the standard library and pytest; it imports nothing of `bundler`, and `bundler` imports
nothing of it but through `load`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

PATH = Path(__file__).parent / "path"
"""The folder for the head of PYTHONPATH."""


def load() -> Any:
    """Return the plugin's module under its own name, so that a process has one of it at most."""
    module = sys.modules.get("bundle_probe")
    if module is not None:
        return module
    import importlib.util

    folder = PATH / "bundle_probe"
    spec = importlib.util.spec_from_file_location(
        "bundle_probe", folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    if spec is None or spec.loader is None:
        raise ImportError("bundle_probe is missing from this installation")
    module = importlib.util.module_from_spec(spec)
    sys.modules["bundle_probe"] = module
    spec.loader.exec_module(module)
    return module
