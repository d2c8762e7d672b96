"""`pytest --bundle`: record without the wrapper, where seedbundle is installed beside pytest.

Silent unless asked, but for the fixtures `bundle_seed`, `bundle_rng` and `bundle_numpy_rng`, which
are there with or without a recording. What only a parent process sees (a signal, what is printed
outside a test) is not in such a bundle; `bundle run -- pytest` records that too.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from bundler.recorder import Recorder

BEFORE: pytest.StashKey[dict[str, str | None]] = pytest.StashKey()
RECORDER: pytest.StashKey[Recorder] = pytest.StashKey()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--bundle`, `--bundle-seed` and `--bundle-no-redact`."""
    group = parser.getgroup("bundle", "recording with bundle")
    group.addoption("--bundle", action="store_true", help="record this run into the store")
    group.addoption(
        "--bundle-no-redact", action="store_true", help="leave secrets in the recording (unsafe)"
    )
    group.addoption("--bundle-seed", metavar="N", help="the root seed, imposed (with --bundle)")


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    """Begin to record where it was asked for; an xdist worker joins its controller.

    `bundle run` has begun by now. Where nobody records, there are the fixtures all the same.
    """
    from bundler import probe

    plugin = probe.load()
    if config.getoption("bundle"):
        if hasattr(config, "workerinput"):
            plugin.activate(config)
        elif not plugin.is_active():
            _begin(config)
    if not plugin.is_active():
        _offer_fixtures(config)


def _offer_fixtures(config: pytest.Config) -> None:
    """Nothing records: give the fixtures a seed, that of BUNDLE_SEED or one made here."""
    import os

    from bundler import probe
    from bundler.errors import BundleError
    from bundler.seeds import parse_seed, random_seed

    chosen = os.environ.get("BUNDLE_SEED")
    try:
        seed = parse_seed(chosen) if chosen else random_seed()
    except BundleError as error:
        raise pytest.UsageError(f"BUNDLE_SEED: {error.message}") from None
    probe.load().offer_fixtures(config, seed)


def _begin(config: pytest.Config) -> None:
    import os

    from bundler import probe, recorder
    from bundler.child_variables import child_variables, probe_settings
    from bundler.errors import BundleError
    from bundler.seeds import parse_seed, random_seed
    from bundler.store import open_store

    chosen = config.getoption("bundle_seed") or os.environ.get("BUNDLE_SEED")
    try:
        request = recorder.Request(
            argv=["pytest", *map(str, config.invocation_params.args)],
            cwd=Path(config.invocation_params.dir),
            seed=parse_seed(chosen) if chosen else random_seed(),
            runner="pytest",
            seed_imposed=chosen is not None,
            redact=not config.getoption("bundle_no_redact"),
        )
        recording = recorder.begin(request, open_store(), os.environ, {})
    except BundleError as error:
        raise pytest.UsageError(error.message) from None
    except OSError as error:
        sys.stderr.write(f"bundle: not recording: {error.strerror}\n")
        return
    if not request.redact:
        sys.stderr.write(f"bundle: {recorder.NOT_REDACTED}\n")
    config.stash[RECORDER] = recording
    variables = child_variables(recording, os.environ, fix_hash=False)
    config.stash[BEFORE] = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    recording.start_describing()
    probe.load().activate(config, probe_settings(recording, probe.PATH))


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """Finish the bundle, after the probe has written its last event."""
    recording = config.stash.get(RECORDER, None)
    if recording is None:
        return
    from bundler.status import Ending

    _give_back(config.stash[BEFORE])

    exit_code = getattr(config, "_bundle_exit_status", None)
    recorded = recording.finish(Ending(exit_code))
    if recorded is None:
        sys.stderr.write(f"bundle: the recording is incomplete: {recording.problem}\n")
        return
    for remark in recording.remarks:
        sys.stderr.write(f"bundle: {remark}\n")
    short = recorded.manifest.run_id[:8]
    seed = recorded.manifest.seed_hex
    sys.stderr.write(f"bundle: run {short}, seed {seed}; `bundle replay {short}`\n")


def _give_back(before: dict[str, str | None]) -> None:
    import os

    for name, value in before.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Remember how pytest ends: nobody else sees it."""
    session.config._bundle_exit_status = int(exitstatus)  # type: ignore[attr-defined]
