"""The plugin's own hook: there only in a process that is to record, or may be."""

from __future__ import annotations

import sys

import pytest

from . import activate, session, settings  # noqa: F401 (loaded before a test can patch anything)

_told = settings.take_from_environment()


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config):
    """Begin before anything else is configured, and leave no other trace."""
    try:
        _hide(config.pluginmanager)
        settings.leave_path()
    except Exception:
        # What cannot be hidden is seen; that is no reason to stop.
        pass
    activate(config, _told)


def _hide(manager):
    """Take this plugin out of the `plugins:` line of pytest's header."""
    this = sys.modules[__package__]
    known = manager._plugin_distinfo
    known[:] = [entry for entry in known if entry[0] is not this]
