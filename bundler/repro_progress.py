"""What is told of a reproduction while it goes on, a line an execution or less."""

from __future__ import annotations

from collections.abc import Iterator

from bundler.repro import Chance, Rung, Seen, Sight, Trial

LONG_S = 5.0
"""From here on every execution is told of: somebody waits for it."""

_SEEN = {
    Seen.SAME: "the same failure",
    Seen.DIFFERENT: "another failure",
    Seen.PASSED: "no failure",
    Seen.NOTHING: "could not be executed",
    Seen.GONE: "not there",
}


def progress_lines(
    before: Trial | None, trial: Trial, sight: Sight, typical_s: float
) -> Iterator[str]:
    """Yield what is told of an execution; `before` is the one before it, `typical_s` seconds long.

    While the tests that a failure takes are looked for, only a smaller set that shows it is told.
    """
    seconds = sight.duration_us / 1e6
    left_s = trial.left * typical_s
    more = f"; about {left_s:.0f} s more" if left_s >= 1 else ""
    if not trial.bisecting:
        yield f"{_what(trial)}: {_SEEN[sight.seen]} ({seconds:.1f} s){more}"
    elif seconds >= LONG_S:
        yield f"{_some(trial)}: {_SEEN[sight.seen]} ({seconds:.1f} s){more}"
    elif before == trial and sight.seen is Seen.SAME:
        yield f"{_some(trial)}: the same failure{more}"


def chance_words(chance: Chance) -> str:
    """Return a chance in words for people."""
    return chance.value.replace("_", " ")


def _what(trial: Trial) -> str:
    if trial.without:
        names = ", ".join(chance_words(one) for one in Chance if one in trial.without)
        return f"alone, without the recorded {names}"
    return {
        Rung.COLLECTION: "collection",
        Rung.ALONE: "alone",
        Rung.FILE: f"after {len(trial.before)} of its file",
        Rung.WORKER: f"after {len(trial.before)} of its worker",
        Rung.FULL: "the full run",
    }[trial.rung]


def _some(trial: Trial) -> str:
    return f"after {len(trial.before)} of them"
