"""The files that tests left in the bundle of a run that has ended: made safe, masked, and said."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import msgspec

from bundler import dropped_files
from bundler.errors import UnreadableRecording
from bundler.events import as_text
from bundler.live_bundle import LiveBundle
from bundler.manifest import Redaction
from bundler.masked_files import files_below, mask_files, mask_names
from bundler.test_bundles import FOLDER

MOST_CHANGES = 1000
MOST_SHOWN = 3


def settle(
    live: LiveBundle, ours: frozenset[str], remark: Callable[[str], None], *, redact: bool
) -> None:
    """Make safe and mask what was left; `ours` are the members that the recorder wrote itself.

    What had to be changed is a `remark` and stands in the log, the masks in the manifest. Raises
    OSError.
    """
    names = _mask_names(live, ours, remark) if redact else 0
    _make_safe(live, remark)
    if redact:
        _mask_contents(live, ours, names)


def _mask_names(live: LiveBundle, ours: frozenset[str], remark: Callable[[str], None]) -> int:
    """Mask the names of what was left, before they are made safe in another way."""
    try:
        return mask_names(live.directory, live.masker, ours)
    except OSError:
        _make_safe(live, remark)  # a tree that is too deep for any path has to go first
        return mask_names(live.directory, live.masker, ours)


def _make_safe(live: LiveBundle, remark: Callable[[str], None]) -> None:
    try:
        changes = dropped_files.make_safe(live.directory / FOLDER)
    except OSError as error:
        changes = [dropped_files.Change(FOLDER, f"cannot be looked at: {error.strerror}")]
    if changes:
        words = _changed(changes)
        remark(words)
        told = [{"name": as_text(one.name), "why": one.why} for one in changes[:MOST_CHANGES]]
        live.warn("ArtifactsChanged", words, artifacts=told)


def _changed(changes: Sequence[dropped_files.Change]) -> str:
    more = len(changes) - MOST_SHOWN
    count = "1 file" if len(changes) == 1 else f"{len(changes)} files"
    shown = "; ".join(map(str, changes[:MOST_SHOWN])) + (f"; {more} more" if more > 0 else "")
    return f"{count} that the tests left had to be renamed or removed: {shown}"


def _mask_contents(live: LiveBundle, ours: frozenset[str], names: int) -> None:
    """Mask what stands in the files; where something packed holds a secret, say so."""
    if not names and next(files_below(live.directory, ours), None) is None:
        return
    from bundler.scanning import is_packed, scan

    counts = mask_files(live.directory, live.masker, ours)
    counts += Counter(name=names)
    left = []
    for path in files_below(live.directory, ours):
        name = path.relative_to(live.directory).as_posix()
        try:
            if is_packed(path) and next(scan(path, live.masker), None):
                left.append(name)
        except UnreadableRecording as error:  # the gate refuses what tests are free to make
            words = live.masker.text(f"{name} is not searched for secrets: {error}")
            live.warn("NotSearched", words)
    for name in left:
        live.warn("SecretLeft", f"{name} is packed and holds a secret, which is not masked")
    redaction = Redaction(masked_in_files=dict(sorted(counts.items())), left=left)
    live.manifest = msgspec.structs.replace(live.manifest, redaction=redaction)
