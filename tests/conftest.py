"""What every test stands on: a store of its own, and an environment that nobody switched on."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from full_size import FULL, examples
from hypothesis import HealthCheck, settings

# No property here is about time, and a busy machine is as slow as it is.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("full", settings.get_profile("untimed"), max_examples=examples(100))
settings.load_profile("full" if FULL else "untimed")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell starts so what it starts in the background; tests of Ctrl-C are not to depend on it.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def own_store(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test reads or writes the store of whoever runs it, nor is it recorded by accident."""
    for name in list(os.environ):
        if name.startswith(("BUNDLE_", "ASUPERSYNC_")):
            monkeypatch.delenv(name)
    root = tmp_path_factory.mktemp("store")
    monkeypatch.setenv("BUNDLE_STORE", str(root))
    monkeypatch.setenv("BUNDLE_CONFIG", os.devnull)
    return root
