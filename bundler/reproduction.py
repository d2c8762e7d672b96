"""Carrying a reproduction out: one execution after the other, recorded into a store of its own.

Each trial of the ladder (`bundler.repro`) is one execution of the test command, started as a rerun
is (`bundler.rerunning`: never by a stranger's own words), with the recorded run's root seed, hash
seed, time zone and locale, and a `selection.json` that names the tests. An execution sees neither
the terminal nor the project's pytest cache, and is ended when its time is over.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bundler import bundle, environment, probe, recorder, unseen
from bundler.about import environment_of
from bundler.environment_difference import Taken
from bundler.errors import BundleError
from bundler.generators import random_seeds
from bundler.manifest import encode_document
from bundler.recorder import SELECTION, Recorded, Request
from bundler.recording import Recording
from bundler.repro import BudgetSpent, Conclusion, Rung, Seen, Sight, Trial, ladder
from bundler.rerunning import Start
from bundler.runners import pytest as pytest_runner
from bundler.sighting import Original, aliases, look
from bundler.store import Store
from bundler.terminal import Ui

LONG_S = 5.0
"""From here on every execution is told of: somebody waits for it."""
LAST_WORDS = 400
SEED_OPTIONS = {"randomly": "--randomly-seed", "random_order": "--random-order-seed"}


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
    shuffling: frozenset[str] = frozenset()
    fix_hash: bool = True
    hash_seed_known: bool | None = None
    here: dict[str, Any] = field(default_factory=dict)
    root: Path | None = None
    durations_us: list[int] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

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
    trial, before = next(climb), None
    while True:
        try:
            if time.monotonic() + bench.typical_s() / 2 > deadline_s:
                trial = climb.throw(BudgetSpent())
            sight = execute(bench, original, trial, deadline_s)
            for line in progress(bench, before, trial, sight):
                bench.ui.status(f"bundle:   {line}")
            before = trial
            trial = climb.send(sight)
        except StopIteration as end:
            conclusion: Conclusion = end.value
            return conclusion


def progress(bench: Bench, before: Trial | None, trial: Trial, sight: Sight) -> Iterator[str]:
    """Yield what is told of an execution while it goes on.

    While the tests that a failure takes are looked for, only a smaller set that shows it is told.
    """
    seconds = sight.duration_us / 1e6
    left_s = trial.left * bench.typical_s()
    more = f"; about {left_s:.0f} s more" if left_s >= 1 else ""
    if not trial.bisecting:
        yield f"{_what(trial)}: {_SEEN[sight.seen]} ({seconds:.1f} s){more}"
    elif seconds >= LONG_S:
        yield f"{_some(trial)}: {_SEEN[sight.seen]} ({seconds:.1f} s){more}"
    elif before == trial and sight.seen is Seen.SAME:
        yield f"{_some(trial)}: the same failure{more}"


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
    spread = trial.before and trial.rung is not Rung.FULL and _has_workers(recorded)
    if spread and seen not in (Seen.NOTHING, Seen.GONE):
        seen, words = Seen.NOTHING, "its command spreads the tests over xdist workers"
    duration = recorded.manifest.duration_us or 0
    bench.durations_us.append(duration)
    return Sight(seen, words, str(recorded.directory), duration)


def _execute(
    bench: Bench, original: Original, trial: Trial, deadline_s: float
) -> tuple[Recorded | None, str]:
    """Execute once; return what was recorded, and why it says nothing, if so."""
    kit = bench.kit
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
    ended = unseen.run(argv, child, request.cwd, kit.scratch / "output", limit_s)
    recording.output("stdout", ended.output)
    recorded = recording.finish(ended.ending)
    if recorded is None:
        return None, f"it could not be recorded: {recording.problem}"
    return recorded, "it was ended when its time was over" if ended.late else ""


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
    more = {"restore": states, "random_seeds": random_seeds(bench.kit.parent)}
    document |= {name: value for name, value in more.items() if value}
    return {SELECTION: encode_document(document)}


def _learn(bench: Bench, recorded: Recorded) -> bool:
    """Take from the first execution what the suite needs here; True if it has to be repeated."""
    info = recorded.results.sessions[0].info
    theirs = bench.kit.parent.results.sessions
    first = theirs[0].info if theirs else {}
    again = _learn_hashing(bench, first, info)
    if not bench.is_pytest:
        return again
    here = info.get("random_seeds")
    here = here if isinstance(here, dict) else {}
    bench.shuffling = frozenset(here) & SEED_OPTIONS.keys()
    wanted = random_seeds(bench.kit.parent)
    # The probe gives the seeds back, but not where the project's own configuration names one.
    other = [one for one in sorted(bench.shuffling & wanted.keys()) if here[one] != wanted[one]]
    more = ["-n0"] if info.get("workers") else []
    bench.more = (*more, *(f"{SEED_OPTIONS[one]}={wanted[one]}" for one in other))
    return again or bool(bench.more)


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


def _last_words(recorded: Recorded) -> str:
    recording = bundle.read_directory(recorded.directory)
    offsets = recorded.results.run_output_offsets[-1:]
    text = b"".join(one.content for one in recording.outputs(offsets)).decode("utf-8", "replace")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " / ".join(lines[-3:])[-LAST_WORDS:]


def _has_workers(recorded: Recorded) -> bool:
    return any(session.info.get("workers") for session in recorded.results.sessions)


_SEEN = {
    Seen.SAME: "the same failure",
    Seen.DIFFERENT: "another failure",
    Seen.PASSED: "no failure",
    Seen.NOTHING: "nothing to see",
    Seen.GONE: "not there",
}


def _what(trial: Trial) -> str:
    return {
        Rung.COLLECTION: "collection",
        Rung.ALONE: "alone",
        Rung.FILE: f"after {len(trial.before)} of its file",
        Rung.WORKER: f"after {len(trial.before)} of its worker",
        Rung.FULL: "the full run",
    }[trial.rung]


def _some(trial: Trial) -> str:
    return f"after {len(trial.before)} of them"
