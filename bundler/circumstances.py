"""In what the executions of a reproduction differ from the recording, and where a test's part."""

from __future__ import annotations

import contextlib
import itertools
import re
import subprocess
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from bundler import bundle
from bundler.about import environment_of
from bundler.divergence import Parting, first_parting, steps
from bundler.environment_difference import (
    Difference,
    differences,
    marked_applied,
    moment_difference,
    ranked,
)
from bundler.errors import BundleError
from bundler.own_events import course
from bundler.repro import Sight
from bundler.reproduction import Bench, Kit
from bundler.sighting import Original

_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


def environment_differences(
    bench: Bench, originals: list[Original], sources: list[Difference]
) -> list[Difference]:
    """Return where the executions differ from the recording, ranked for these failures."""
    recorded = environment_of(bench.kit.parent)
    text = "\n".join(original.text for original in originals)
    found = [*sources, *(differences(recorded, bench.here, text) if bench.here else ())]
    now = datetime.now(UTC).isoformat(timespec="seconds")
    found += moment_difference(bench.kit.parent.manifest.created_at, now, text)
    return ranked(marked_applied(found, {**bench.kit.taken.sets, **_applied_words(bench)}))


def file_differences(bench: Bench, originals: Iterable[Original]) -> Iterator[Difference]:
    """Say of the failing tests' own files whether each is what it was at the recorded commit."""
    files = dict.fromkeys(original.test_id.partition("::")[0] for original in originals)
    return itertools.chain.from_iterable(_file_difference(bench, file) for file in files)


def _file_difference(bench: Bench, file: str) -> Iterator[Difference]:
    """Say whether a file is what it was at the recorded commit."""
    git = environment_of(bench.kit.parent).get("git")
    commit = git.get("commit") if isinstance(git, dict) else None
    if bench.root is None:
        return
    if not (bench.root / file).exists():
        yield Difference(f"file {file}", "there", "absent", 95)
        return
    if not isinstance(commit, str) or _COMMIT.fullmatch(commit) is None:
        return
    words = ["git", "diff", "--quiet", "--no-ext-diff", "--no-textconv", commit, "--", file]
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        done = subprocess.run(
            words, cwd=bench.root, env={**bench.kit.env}, capture_output=True, timeout=5
        )
        if done.returncode == 1:
            yield Difference(f"file {file}", f"as at {commit[:12]}", "changed since", 95)


def parting_of(kit: Kit, original: Original, sight: Sight | None) -> Parting | None:
    """Return where the recorded execution of a test and another one part."""
    if sight is None or sight.where is None or original.past is None:
        return None
    test_id = original.test_id
    recorded = steps(course(kit.parent, test_id), test_id, original.attempt)
    try:
        again = bundle.read_directory(Path(sight.where))
    except BundleError:
        return None
    return first_parting(recorded, steps(course(again, test_id), test_id))


def _applied_words(bench: Bench) -> dict[str, str]:
    taken = bench.kit.taken
    applied = dict.fromkeys(taken.removes, "")
    if "TZ" in taken.sets:
        applied["time zone"] = taken.sets["TZ"]
    if taken.sets.keys() & {"LANG", "LC_ALL", "LC_CTYPE", "PYTHONUTF8"}:
        applied |= dict.fromkeys(("locale ctype", "locale encoding", "locale utf8_mode"), "")
    if bench.hash_seed_known:
        applied["order of hashes"] = applied["PYTHONHASHSEED"] = ""
    return applied
