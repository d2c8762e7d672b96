"""Carrying a reproduction out: one execution after the other, recorded into a store of its own.

Each trial of the ladder (`bundler.repro`) is one execution of the test command, started as a rerun
is (`bundler.rerun_start`: never by a stranger's own words), with the recorded run's root seed, hash
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
from bundler.child_variables import SELECTION, child_variables, probe_settings
from bundler.environment_difference import Taken
from bundler.errors import BundleError
from bundler.generators import random_seeds
from bundler.manifest import encode_document
from bundler.recorder import Recorded, Request
from bundler.recording import Recording
from bundler.repro import (
    BudgetSpent,
    Chance,
    Climb,
    Conclusion,
    ReproVerdict,
    Rung,
    Seen,
    Sight,
    Trial,
    ladder,
)
from bundler.repro_progress import progress_lines
from bundler.rerun_start import Start
from bundler.runners import pytest as pytest_runner
from bundler.seeds import component_seed, hash_seed
from bundler.sighting import Original, aliases, look
from bundler.store import Store
from bundler.terminal import Ui

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
    stopped: bool = False

    @property
    def is_pytest(self) -> bool:
        """Whether words can be added to the command."""
        return pytest_runner.recognises(self.kit.start.argv)

    def typical_s(self) -> float:
        """The median time of an execution so far, in seconds."""
        known = sorted(self.durations_us)
        return known[len(known) // 2] / 1e6 if known else 0.0


def reproduce(bench: Bench, original: Original, deadline_s: float, repeat: int) -> Conclusion:
    """Climb the ladder for one failure until there is a verdict or the clock says `deadline_s`.

    Ctrl-C ends it with what is known until then, and `bench.stopped` says so.
    """
    if _is_late(bench, deadline_s):  # of many failures, most: nothing is made for them
        return Conclusion(original.test_id, ReproVerdict.COULD_NOT_RUN, None, budget_spent=True)
    bench.ui.status(f"bundle: {original.test_id}")
    climb = ladder(original.target, repeat, chances(bench, original))
    trial, before = next(climb), None
    while True:
        try:
            if _is_late(bench, deadline_s):
                trial = climb.throw(BudgetSpent())
            sight = execute(bench, original, trial, deadline_s)
            for line in progress_lines(before, trial, sight, bench.typical_s()):
                bench.ui.status(f"bundle:   {line}")
            before = trial
            trial = climb.send(sight)
        except StopIteration as end:
            conclusion: Conclusion = end.value
            return conclusion
        except KeyboardInterrupt:
            bench.stopped = True
            return _concluded(climb)


def _is_late(bench: Bench, deadline_s: float) -> bool:
    return time.monotonic() + bench.typical_s() / 2 > deadline_s


def _concluded(climb: Climb) -> Conclusion:
    try:
        climb.throw(BudgetSpent())
    except StopIteration as end:
        conclusion: Conclusion = end.value
        return conclusion
    raise AssertionError("the ladder went on without time")


def chances(bench: Bench, original: Original) -> Iterator[Chance]:
    """Yield what executions of a failure are given of the recorded run and could do without."""
    kit = bench.kit
    drew = original.test_id in bench.states or kit.parent.manifest.seed_imposed
    if drew or random_seeds(kit.parent):
        yield Chance.NUMBERS
    if hash_seed_of(bench) is not None:
        yield Chance.HASHES
    if _without_hash_seed(kit.taken.over(kit.env)) != _without_hash_seed(kit.env):
        yield Chance.PLACE


def hash_seed_of(bench: Bench) -> str | None:
    """Return the PYTHONHASHSEED that the executions have, or None where it is left to chance."""
    given = bench.kit.taken.sets.get("PYTHONHASHSEED")
    if given is not None:
        return None if given == "random" else given
    return str(hash_seed(bench.kit.parent.manifest.seed)) if bench.fix_hash else None


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
    env = _environment(bench, trial)
    try:
        recording = recorder.begin(request, kit.store, env, _documents(bench, original, trial))
    except (OSError, BundleError) as error:
        return None, f"it could not be recorded: {error}"
    child = {**env, **child_variables(recording, env, fix_hash=bench.fix_hash)}
    child = pytest_runner.environment(child, probe_settings(recording, probe.PATH))
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
        seed=_other_seed(bench) if Chance.NUMBERS in trial.without else manifest.seed,
        seed_imposed=manifest.seed_imposed,
        runner="pytest" if bench.is_pytest else "command",
        parent=manifest.run_id,
        added=len(argv) - len(kit.start.argv),
    )


def _environment(bench: Bench, trial: Trial) -> dict[str, str]:
    kit = bench.kit
    env = dict(kit.env) if Chance.PLACE in trial.without else kit.taken.over(kit.env)
    if not trial.without:
        return env
    env = _without_hash_seed(env)
    fixed = hash_seed_of(bench)
    if Chance.HASHES in trial.without:
        return {**env, "PYTHONHASHSEED": str(hash_seed(_other_seed(bench)))}
    return env if fixed is None else {**env, "PYTHONHASHSEED": fixed}


def _without_hash_seed(env: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in env.items() if name != "PYTHONHASHSEED"}


def _other_seed(bench: Bench) -> int:
    return component_seed(bench.kit.parent.manifest.seed, "other")


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
    if Chance.NUMBERS in trial.without and "randomly" in bench.shuffling:
        return [*words, *bench.more, f"--randomly-seed={hash_seed(_other_seed(bench))}"]
    return [*words, *bench.more]


def _documents(bench: Bench, original: Original, trial: Trial) -> dict[str, bytes]:
    wanted = list(trial.before)
    if trial.rung not in (Rung.FULL, Rung.COLLECTION):
        wanted.append(original.test_id)
    kept = [one for one in wanted if one in bench.states]
    states = {alias: bench.states[one] for one in kept for alias in aliases(one)}
    ids = [alias for one in wanted for alias in aliases(one)]
    document: dict[str, Any] = {"version": 1, "deselect": [], "only": ids, "order": ids}
    if Chance.NUMBERS not in trial.without:
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
    if "randomly" in here and "plugins" in first and "randomly" not in wanted:
        # It was not there: it would reseed what was set as recorded.
        more.append("--randomly-dont-reset-seed")
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
