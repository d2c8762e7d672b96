"""Carrying a reproduction out: one execution after the other, recorded into a store of its own.

Each trial of the ladder (`bundler.repro`) is one execution of the test command, started as a rerun
is (`bundler.rerunning`: never by a stranger's own words), with the recorded run's root seed, hash
seed, time zone and locale, and a `selection.json` that names the tests. An execution sees neither
the terminal nor the project's pytest cache, and is ended when its time is over.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bundler import bundle, environment, probe, recorder
from bundler.about import environment_of
from bundler.divergence import Parting, first_parting, steps
from bundler.environment_difference import (
    Difference,
    Taken,
    differences,
    marked_applied,
    moment_difference,
    ranked,
)
from bundler.errors import BundleError
from bundler.manifest import encode_document
from bundler.recorder import SELECTION, Recorded, Request
from bundler.recording import Recording
from bundler.repro import BudgetSpent, Conclusion, Rung, Seen, Sight, Trial, ladder
from bundler.rerunning import Start
from bundler.runners import pytest as pytest_runner
from bundler.seeds import hash_seed
from bundler.sighting import Original, aliases, look
from bundler.status import Ending
from bundler.store import Store
from bundler.terminal import Ui

OUTPUT_KEPT = 1 << 20
LAST_WORDS = 400
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


@dataclass(frozen=True)
class Kit:
    """What every execution of a reproduction is made of."""

    parent: Recording
    start: Start
    store: Store
    scratch: Path
    env: Mapping[str, str]
    taken: Taken


@dataclass
class Bench:
    """Where executions happen; it learns from the first one what the suite needs here."""

    kit: Kit
    ui: Ui
    states: Mapping[str, Any]
    more: tuple[str, ...] = ()
    fix_hash: bool = True
    hash_seed_known: bool | None = None
    here: dict[str, Any] = field(default_factory=dict)
    root: Path | None = None
    durations_us: list[int] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    executions: int = 0

    @property
    def is_pytest(self) -> bool:
        """Whether words can be added to the command."""
        return pytest_runner.recognises(self.kit.start.argv)

    def typical_s(self) -> float:
        """The median time of an execution so far, in seconds."""
        known = sorted(self.durations_us)
        return known[len(known) // 2] / 1e6 if known else 0.0


def reproduce(bench: Bench, original: Original, deadline_s: float, repeat: int) -> Conclusion:
    """Climb the ladder for one failure until there is a verdict or the clock says `deadline_s`."""
    climb = ladder(original.target, repeat)
    trial = next(climb)
    while True:
        try:
            if time.monotonic() + bench.typical_s() / 2 > deadline_s:
                trial = climb.throw(BudgetSpent())
            sight = execute(bench, original, trial, deadline_s)
            _say(bench, trial, sight)
            trial = climb.send(sight)
        except StopIteration as end:
            conclusion: Conclusion = end.value
            return conclusion


def execute(bench: Bench, original: Original, trial: Trial, deadline_s: float) -> Sight:
    """Execute one trial, again where the first execution shows that the suite needs more words."""
    recorded, why = _execute(bench, original, trial, deadline_s)
    if recorded is not None and not bench.here and recorded.results.sessions:
        # The recorder describes what it gave the execution; compared is this machine as it is.
        described = environment_of(bundle.read_directory(recorded.directory))
        bench.here = {**described, **environment.collect(bench.kit.env, bench.kit.start.cwd)}
        bench.here["sessions"] = described.get("sessions", [])
        bench.root = Path(str(recorded.results.sessions[0].info.get("rootdir", "")))
        if _learn(bench, recorded):
            recorded, why = _execute(bench, original, trial, deadline_s)
    if recorded is None:
        return Sight(Seen.NOTHING, why)
    seen, words = look(recorded.results, recorded.manifest.status, original)
    if why and seen is not Seen.SAME:
        seen, words = Seen.NOTHING, why
    elif seen is Seen.NOTHING and not recorded.results.sessions:
        words = f"{words}; {_last_words(recorded)}"
    if (
        trial.rung is not Rung.FULL
        and trial.before
        and _has_workers(recorded)
        and seen
        not in (
            Seen.NOTHING,
            Seen.GONE,
        )
    ):
        seen, words = Seen.NOTHING, "its command spreads the tests over xdist workers"
    duration = recorded.manifest.duration_us or 0
    bench.durations_us.append(duration)
    return Sight(seen, words, str(recorded.directory), duration)


def kept_states(parent: Recording, attempts: Mapping[str, int | None]) -> dict[str, Any]:
    """Return the generator states that a run kept of its tests; of these attempts where named."""
    found: dict[str, Any] = {}
    for _, event in parent.events():
        if event.event != "GeneratorState" or event.test_id is None:
            continue
        with contextlib.suppress(ValueError, KeyError):
            data = event.payload()
            wanted = attempts.get(event.test_id)
            if event.test_id not in found or data.get("attempt") == wanted:
                found[event.test_id] = data["states"]
    return found


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


def file_difference(bench: Bench, original: Original) -> Iterator[Difference]:
    """Say whether the failing test's own file is what it was at the recorded commit."""
    git = environment_of(bench.kit.parent).get("git")
    commit = git.get("commit") if isinstance(git, dict) else None
    file = original.target.test_id.partition("::")[0]
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
    if sight is None or sight.where is None or original.target.collection:
        return None
    test_id = original.target.test_id
    recorded = steps((e for _, e in kit.parent.events()), test_id, original.attempt)
    try:
        again = bundle.read_directory(Path(sight.where))
    except BundleError:
        return None
    return first_parting(recorded, steps((e for _, e in again.events()), test_id))


def _execute(
    bench: Bench, original: Original, trial: Trial, deadline_s: float
) -> tuple[Recorded | None, str]:
    """Execute once; return what was recorded, and why it says nothing, if so."""
    kit = bench.kit
    bench.executions += 1
    request = _request(bench, trial)
    env = kit.taken.over(kit.env)
    try:
        recording = recorder.begin(request, kit.store, env, _documents(bench, original, trial))
    except (OSError, BundleError) as error:
        return None, f"it could not be recorded: {error}"
    child = {**env, **recorder.child_variables(recording, env, fix_hash=bench.fix_hash)}
    child = pytest_runner.environment(child, recorder.probe_settings(recording, probe.PATH))
    recording.start_describing()
    limit_s = max(0.5, deadline_s - time.monotonic())
    argv = pytest_runner.command(request.argv, child)
    ending, output, late = _run(argv, child, request.cwd, kit.scratch, limit_s)
    recording.output("stdout", output)
    recorded = recording.finish(ending)
    if recorded is None:
        return None, f"it could not be recorded: {recording.problem}"
    return recorded, "it was ended when its time was over" if late else ""


def _request(bench: Bench, trial: Trial) -> Request:
    kit, manifest = bench.kit, bench.kit.parent.manifest
    argv = [*kit.start.argv, *_words(bench, trial)]
    return Request(
        argv=argv,
        cwd=kit.start.cwd,
        seed=manifest.seed,
        seed_imposed=manifest.seed_imposed,
        runner="pytest" if bench.is_pytest else "command",
        parent=manifest.run_id,
        added=len(argv) - len(kit.start.argv),
    )


def _words(bench: Bench, trial: Trial) -> list[str]:
    """What is added to a pytest command: a cache of its own; off the full run, no early end."""
    if not bench.is_pytest:
        return []
    cached = not any("no:cacheprovider" in word for word in bench.kit.start.argv)
    words = ["-o", f"cache_dir={bench.kit.scratch / 'pytest_cache'}"] if cached else []
    if trial.rung is Rung.FULL:
        return [*words, *(word for word in bench.more if word != "-n0")]
    if trial.rung is not Rung.COLLECTION:
        words += ["--maxfail=0", "--continue-on-collection-errors"]
    return [*words, *bench.more]


def _documents(bench: Bench, original: Original, trial: Trial) -> dict[str, bytes]:
    wanted = list(trial.before)
    if trial.rung not in (Rung.FULL, Rung.COLLECTION):
        wanted.append(original.target.test_id)
    kept = [one for one in wanted if one in bench.states]
    states = {alias: bench.states[one] for one in kept for alias in aliases(one)}
    ids = [alias for one in wanted for alias in aliases(one)]
    document: dict[str, Any] = {"version": 1, "deselect": [], "only": ids, "order": ids}
    if states:
        document["restore"] = states
    return {SELECTION: encode_document(document)}


def _learn(bench: Bench, recorded: Recorded) -> bool:
    """Take from the first execution what the suite needs here; True if it has to be repeated."""
    info = recorded.results.sessions[0].info
    theirs = bench.kit.parent.results.sessions
    first = theirs[0].info if theirs else {}
    again = _learn_hashing(bench, first, info)
    if not bench.is_pytest:
        return again
    more = ["-n0"] if info.get("workers") else []
    seeds = first.get("random_seeds")
    here = info.get("random_seeds")
    if isinstance(seeds, dict) and isinstance(here, dict):
        for name, option in (
            ("randomly", "--randomly-seed"),
            ("random_order", "--random-order-seed"),
        ):
            value = str(seeds.get(name, ""))
            if name in here and value.isascii() and value.isdecimal() and here[name] != value:
                more.append(f"{option}={value}")
    bench.more = tuple(more)
    return again or bool(more)


def _learn_hashing(bench: Bench, first: Mapping[str, Any], info: Mapping[str, Any]) -> bool:
    """See by the hash probe whether the recorded order of hashes is in force; True if not."""
    mine, theirs = first.get("hash_probe"), info.get("hash_probe")
    pythons = [str(one.get("python", "")).split(".")[:2] for one in (first, info)]
    if mine is None or theirs is None or pythons[0] != pythons[1]:
        return False
    bench.hash_seed_known = mine == theirs
    given = bench.kit.taken.sets.get("PYTHONHASHSEED")
    if bench.hash_seed_known or given not in (None, "random"):
        return False
    bench.fix_hash = False
    bench.notes.append("the recorded run's hash seed was not fixed, so it is not known")
    return True


def _run(
    argv: list[str], env: Mapping[str, str], cwd: Path, scratch: Path, limit_s: float
) -> tuple[Ending, bytes, bool]:
    """Run a command out of sight; return how it ended, its last output, and whether we ended it."""
    with (scratch / "output").open("w+b") as output:
        try:
            process = subprocess.Popen(
                argv,
                env=dict(env),
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=os.name != "nt",
            )
        except OSError as error:
            return Ending(127, started=False, error=f"{argv[0]}: {error.strerror}"), b"", False
        late = False
        try:
            process.wait(timeout=limit_s)
        except subprocess.TimeoutExpired:
            late = True
        finally:
            _end(process)
        code = process.wait()
        size = output.seek(0, os.SEEK_END)
        output.seek(max(0, size - OUTPUT_KEPT))
        return Ending(*_as_ending(code)), output.read(), late


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process and what it started, if it still runs."""
    if process.poll() is not None:
        return
    if sys.platform == "win32":
        process.kill()
    else:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def _as_ending(code: int) -> tuple[int | None, int | None]:
    return (None, -code) if code < 0 else (code, None)


def _last_words(recorded: Recorded) -> str:
    recording = bundle.read_directory(recorded.directory)
    offsets = recorded.results.run_output_offsets[-1:]
    text = b"".join(one.content for one in recording.outputs(offsets)).decode("utf-8", "replace")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " / ".join(lines[-3:])[-LAST_WORDS:]


def _has_workers(recorded: Recorded) -> bool:
    return any(session.info.get("workers") for session in recorded.results.sessions)


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


def hash_seed_of(bench: Bench) -> str | None:
    """Return the PYTHONHASHSEED that the executions have, or None where it is left to chance."""
    given = bench.kit.taken.sets.get("PYTHONHASHSEED")
    if given is not None:
        return None if given == "random" else given
    return str(hash_seed(bench.kit.parent.manifest.seed)) if bench.fix_hash else None


def _say(bench: Bench, trial: Trial, sight: Sight) -> None:
    words = {
        Seen.SAME: "the same failure",
        Seen.DIFFERENT: "another failure",
        Seen.PASSED: "no failure",
        Seen.NOTHING: "nothing to see",
        Seen.GONE: "not there",
    }[sight.seen]
    what = {
        Rung.COLLECTION: "collection",
        Rung.ALONE: "alone",
        Rung.FILE: f"after {len(trial.before)} of its file",
        Rung.WORKER: f"after {len(trial.before)} of its worker",
        Rung.FULL: "the full run",
    }[trial.rung]
    left_s = trial.left * bench.typical_s()
    more = f"; about {left_s:.0f} s more" if left_s >= 1 else ""
    bench.ui.status(f"bundle:   {what}: {words} ({sight.duration_us / 1e6:.1f} s){more}")
