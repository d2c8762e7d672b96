"""asupersync: the test bundles in an artifacts directory, or in an archive of one, read as one run.

`bundler.formats.asupersync_bundles` has the four layouts in which they are found. Every bundle is
one test; bundles that share a test id (a suite runs it under many seeds, and writes it in several
layouts) are its occurrences. The recording keeps the original files by their names, so nothing is
lost. The seed of the run is the one that all tests share, else 0, its time that of the oldest
trace.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import IO

from bundler.archive import Members
from bundler.errors import NotARecording, UnreadableRecording
from bundler.formats.asupersync_bundles import (
    DOCUMENTS,
    FORMAT,
    TestBundle,
    find_bundles,
    is_run_bundle,
    is_seed,
    load,
)
from bundler.formats.asupersync_events import BundleTranslation
from bundler.formats.trace_frames import Cut, Frames, Input
from bundler.limits import Budget, in_force
from bundler.names import path_problem
from bundler.recording import Recording
from bundler.times import UNKNOWN_TIME, rfc3339
from bundler.translation import Translation

NAME = "asupersync's test bundles"

_FOLDER = "test/"
_CHUNK = 256 * 1024
_LARGE = 256 * 1024
"""A bundle over so many bytes is read twice rather than kept: there may be many."""


def recognises(head: bytes) -> bool:
    """Never: test bundles are a directory, or an archive of one."""
    return False


def recognises_members(members: Members) -> bool:
    """Whether there is a test bundle among these, and they are no run bundle of our own."""
    return next(find_bundles(members), None) is not None and not is_run_bundle(members)


def read(source: IO[bytes] | Members, *, where: str) -> Recording:
    """Read every test bundle in a directory or an archive.

    Raises NotARecording where there is none. What is wrong with one bundle is named in the
    recording's problems; the others are read all the same.
    """
    members = _in_place(source) if isinstance(source, Members) else None
    bundles = list(find_bundles(members)) if members is not None else []
    if members is None or not bundles:
        raise NotARecording(f"{where} holds no test bundle of asupersync")
    for bundle in bundles:
        load(bundle, members)
        if sum(map(members.size, bundle.names)) > _LARGE:
            bundle.forget()
    translation = Translation(source, where=where, format=FORMAT, runner=FORMAT, files=members)
    translation.source["layout"] = sorted({bundle.layout for bundle in bundles})
    translation.run_started(started_at=_started_at(bundles, members), seed=_common_seed(bundles))
    session = translation.session_started(FORMAT)
    tests = BundleTranslation(translation, members, session)
    for bundle in bundles:
        if bundle.forgotten:
            load(bundle, members)
        tests.take(bundle)
        bundle.forget()
    translation.session_finished(session, ts_us=tests.last_us)
    translation.problems += [problem for bundle in bundles for problem in bundle.problems]
    return translation.finished(duration_us=tests.last_us)


def _in_place(members: Members) -> Members:
    """The members under names whose folders are those of the tests."""
    if DOCUMENTS.isdisjoint(members):
        return _without_wrapper(members)
    # A test bundle that stands alone, as if in a folder: a run bundle has files of such names.
    folder = _folder_of(Path(members.where))
    return _renamed(members, {f"{folder}{name}": name for name in members})


def _without_wrapper(members: Members) -> Members:
    """An archive of one folder that is no test, without it; the gate leaves one without files."""
    tops = {name.partition("/")[0] for name in members}
    below = {name.split("/")[1] for name in members if "/" in name}
    if len(tops) != 1 or any(map(is_seed, tops | below)) or Path(members.where).is_dir():
        return members
    return _renamed(members, {name.partition("/")[2]: name for name in members})


def _renamed(members: Members, names: dict[str, str]) -> Members:
    """The same members, each under another name."""
    sizes = {name: members.size(known) for name, known in names.items()}
    return Members(
        sizes,
        lambda name: _chunks(members, names[name]),
        where=members.where,
        budget=Budget(in_force()),
    )


def _folder_of(path: Path) -> str:
    """What a directory is called, which may say the test and its seed; of an archive nothing."""
    if not path.is_dir():
        return _FOLDER
    *above, name = path.resolve().parts
    with_test = above[-1:] if above and is_seed(name) else []
    return "".join(f"{part}/" for part in [*with_test, name] if not path_problem(part)) or _FOLDER


def _chunks(members: Members, name: str) -> Iterator[bytes]:
    with members.open(name) as file:
        while chunk := file.read(_CHUNK):
            yield chunk


def _common_seed(bundles: list[TestBundle]) -> int | None:
    seeds = {bundle.seed for bundle in bundles}
    return seeds.pop() if len(seeds) == 1 else None


def _started_at(bundles: list[TestBundle], members: Members) -> str:
    traces = [name for one in bundles for name in one.files if name.endswith(".trace")]
    times = [time for name in traces if (time := _recorded_at(members, name))]
    return rfc3339(min(times) // 1000) if times else UNKNOWN_TIME


def _recorded_at(members: Members, name: str) -> int:
    """Nanoseconds since 1970, 0 where the trace does not say it."""
    try:
        with members.open(name) as file:
            return Frames(Input(file)).header().metadata.recorded_at
    except (UnreadableRecording, Cut):
        return 0
