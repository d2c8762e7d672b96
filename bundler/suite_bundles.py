"""The test bundles that a suite wrote by itself, as tests of its run.

A suite that has a harness of its own (asupersync's, or `bundler.testing` in any program) writes a
bundle for each of its tests. Where no runner that is known told of the same tests, these bundles
are what is known of them: each becomes a test of the run. What a test logged stays in its bundle;
the log of the run has its start, its end, and what lies beside.
"""

from __future__ import annotations

import io
from collections.abc import Collection, Iterator

from bundler.archive import Members
from bundler.formats.asupersync_bundles import FORMAT, find_bundles, load
from bundler.formats.asupersync_events import BundleTranslation
from bundler.limits import Budget, Limits
from bundler.recording import Recording
from bundler.translation import Translation

_CHUNK = 256 * 1024


def recorded(
    members: Members, folder: str, known: Collection[str], *, started_at: str, seed: int
) -> Recording | None:
    """Return the tests of the bundles below a folder of a run bundle, or None where there are none.

    Those with an id that is `known` already are left out. `started_at` and `seed` are the run's.
    Raises UnreadableRecording.
    """
    inside = _below(members, f"{folder}/")
    bundles = list(find_bundles(inside))
    for bundle in bundles:
        load(bundle, inside)
    bundles = [bundle for bundle in bundles if bundle.test_id not in known]
    if not bundles:
        return None
    translation = Translation(io.BytesIO(), where=members.where, format=FORMAT, runner=FORMAT)
    translation.run_started(started_at=started_at, seed=seed)
    session = translation.session_started(FORMAT)
    tests = BundleTranslation(translation, inside, session, own_events=False)
    for bundle in bundles:
        tests.take(bundle)
    translation.session_finished(session, ts_us=tests.last_us)
    recording = translation.finished(duration_us=tests.last_us)
    recording.problems = [problem for bundle in bundles for problem in bundle.problems]
    recording.files = {}  # they are in the run bundle as it is
    return recording


def _below(members: Members, prefix: str) -> Members:
    sizes = {name: members.size(name) for name in members if name.startswith(prefix)}
    return Members(
        sizes, lambda name: _chunks(members, name), where=members.where, budget=Budget(Limits())
    )


def _chunks(members: Members, name: str) -> Iterator[bytes]:
    with members.open(name) as file:
        while chunk := file.read(_CHUNK):
            yield chunk
