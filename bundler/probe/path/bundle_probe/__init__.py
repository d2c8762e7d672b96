"""Records a pytest run from inside: a plugin that stands alone.

It does nothing unless `BUNDLE_PROBE` is set or somebody calls `activate`. Switched on, it writes
events to the log of the run and changes nothing else: no output, no exit code, no outcome.

    entry.py      the hook by which it begins
    settings.py   what it was told, and taking that out of the environment again
    masking/      secrets: which they are, and putting marks in their place
    text.py       masking, JSON, cutting, seeds
    log.py        the log: one descriptor, one write a line, disarmed by its first failure
    recorder.py   what the hooks share: log, session, seeds, an event to a line
    session.py    one session: its start, its warnings, its end
    packages.py   what is installed, cheaply
    collection.py what could not be collected, and what was left out
    attempts.py   one test: its start, its end
    output.py     what a test printed, in pieces
    generators.py the states of the random generators: taken, kept, set again
    subtests.py   which reports are of subtests, and their names
    seeding.py    seeding every test, where a seed is imposed
    entropy.py    watching what no seed reaches, where the user asked for it
    fixtures.py   seeded values for whoever asks
    test_bundle.py  the fixture `bundle`: what a test says of itself
    failures.py   from pytest's reports to failures and reasons
    workers.py    xdist: the controller's part, and a worker's
    selection.py  which tests run, and in which order, where a rerun says so
"""

from __future__ import annotations

import os

_active = False


def is_active() -> bool:
    """Whether this process records, or has recorded."""
    return _active


def activate(config, settings=None):
    """Begin to record the session of `config`; once in a process, later calls do nothing.

    `settings` is what BUNDLE_PROBE would hold, as JSON or as a dict. In an xdist worker the
    controller's settings are taken and `settings` is not looked at. Raises pytest.UsageError
    where a selection file cannot be read: that is all that may stop a run.
    """
    if _active:
        return
    from . import session

    try:
        _begin(config, settings)
    except session.REFUSAL:
        raise
    except Exception as error:
        # A defect of ours, of whatever kind, is one line and no recording.
        session.say_not_recording(error)


def _begin(config, settings):
    global _active
    from . import session, workers

    worker = workers.input_of(config)
    if worker is None and (settings is None or hasattr(config, "workerinput")):
        return
    _active = True
    if worker is None:
        session.begin(config, settings)
    else:
        workers.begin(config, worker)


def offer_fixtures(config, root_seed):
    """Register the fixtures where nothing is recorded; a test that fails shows its root seed."""
    from . import fixtures

    fixtures.register(config.pluginmanager, root_seed, told=True)


if "BUNDLE_PROBE" in os.environ or "PYTEST_XDIST_WORKER" in os.environ:
    from .entry import pytest_cmdline_main  # noqa: F401
