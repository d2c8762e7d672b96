"""What a reproduction found, as lines for people and as an object of JSON."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from bundler.about import count
from bundler.circumstances import parting_of
from bundler.divergence import Parting, parting_lines
from bundler.environment_difference import COSMETIC, Difference
from bundler.escapes import one_line
from bundler.generators import random_seeds
from bundler.look import Look, Style
from bundler.repro import Conclusion, ReproVerdict, Rung, Seen, plain_line
from bundler.repro_progress import chance_words
from bundler.reproduction import SEED_OPTIONS, Bench, hash_seed_of
from bundler.seeds import show_seed
from bundler.sighting import Original, aliases

MOST_DIFFERENCES = 12
MOST_IDS = 20
MOST_WORDS = 160

_STYLES = {
    ReproVerdict.REPRODUCED: Style.FAILED,
    ReproVerdict.ORDER_DEPENDENT: Style.FAILED,
    ReproVerdict.FLAKY: Style.FLAKY,
    ReproVerdict.FAILS_DIFFERENTLY: Style.WARNING,
    ReproVerdict.NOT_REPRODUCED: Style.PASSED,
    ReproVerdict.COULD_NOT_RUN: Style.WARNING,
}
_ON_RUNG = {
    None: "",
    Rung.COLLECTION: "at collection",
    Rung.ALONE: "alone",
    Rung.FILE: "after the tests of its file",
    Rung.WORKER: "after what its worker had run",
    Rung.FULL: "in the full run",
}


@dataclass(frozen=True)
class Report:
    """What was found for each failure, and where the executions differ from the recording."""

    bench: Bench
    concluded: list[tuple[Original, Conclusion]]
    differences: list[Difference]


def document(report: Report) -> dict[str, Any]:
    """Return the report as an object of JSON."""
    kit = report.bench.kit
    manifest = kit.parent.manifest
    return {
        "run_id": manifest.run_id,
        "seed": manifest.seed,
        "seed_hex": show_seed(manifest.seed),
        "started_by": kit.start.origin,
        "not_applied": [*kit.start.not_applied, *kit.taken.refused],
        "applied": kit.taken.sets,
        "hash_seed": hash_seed_of(report.bench),
        "notes": report.bench.notes,
        "stopped": report.bench.stopped,
        "environment": [one.to_document() for one in report.differences],
        "tests": [_document(report, *one) for one in report.concluded],
    }


def lines(report: Report, look: Look) -> Iterator[str]:
    """Yield the report as lines of text: each verdict, then what differs, then what was applied."""
    untried = [original for original, conclusion in report.concluded if not conclusion.tried]
    for original, conclusion in report.concluded:
        if conclusion.tried or len(untried) == 1:
            yield from _lines(report, original, conclusion, look)
    if len(untried) > 1:
        yield from _untried_lines(untried, look)
    yield from _environment_lines(report, look)


def plain_command(report: Report, conclusion: Conclusion) -> str:
    """Return what somebody without this tool types to see the same."""
    bench, test_id = report.bench, conclusion.test_id
    variables = {}
    if (seed := hash_seed_of(bench)) is not None:
        variables["PYTHONHASHSEED"] = seed
    different = {one.what for one in report.differences}
    if "time zone" in different and "TZ" in bench.kit.taken.sets:
        variables["TZ"] = bench.kit.taken.sets["TZ"]
    if conclusion.verdict is ReproVerdict.ORDER_DEPENDENT:
        ids = [*conclusion.polluters, test_id]
    elif conclusion.rung in (Rung.FILE, Rung.WORKER):
        ids = [*_before(conclusion), test_id]
    else:
        ids = [test_id]
    if conclusion.rung is Rung.FULL:
        argv = bench.kit.start.argv[_arguments_at(bench) :]
        return plain_line([], variables, [*argv, *_shuffled_alike(bench, argv)])
    words = [*bench.more, *_not_shuffled(bench)]
    return plain_line([_from_here(bench, one) for one in ids], variables, dict.fromkeys(words))


def _shuffled_alike(bench: Bench, argv: Sequence[str]) -> list[str]:
    """What makes the plugins that shuffle do so as they did in the recorded run."""
    seeds = random_seeds(bench.kit.parent)
    named = {word.partition("=")[0] for word in argv}
    names = sorted(bench.shuffling & seeds.keys())
    options = {SEED_OPTIONS[name]: seeds[name] for name in names}
    return [f"{option}={seed}" for option, seed in options.items() if option not in named]


def _not_shuffled(bench: Bench) -> list[str]:
    """What keeps plugins from putting tests that are named into another order."""
    words = []
    if "randomly" in bench.shuffling:
        seed = random_seeds(bench.kit.parent).get("randomly")
        words += [f"--randomly-seed={seed}"] if seed else []
        words.append("--randomly-dont-reorganize")
    # Where the command alone had switched it on, the plain line does not.
    on_command = any(word.startswith("--random-order") for word in bench.kit.start.argv)
    if "random_order" in bench.shuffling and not on_command:
        words.append("--random-order-bucket=none")
    return words


def _from_here(bench: Bench, test_id: str) -> str:
    """An id as pytest takes it in the directory of the command: ids begin at the root directory."""
    name, cwd = aliases(test_id)[-1], bench.kit.start.cwd
    if bench.root is None or bench.root.resolve() == cwd.resolve():
        return name
    return f"{os.path.relpath(bench.root, cwd)}/{name}"


def _arguments_at(bench: Bench) -> int:
    from bundler.runners.pytest import arguments_start

    argv = bench.kit.start.argv
    at = arguments_start(argv)
    return len(argv) if at is None else at


def _before(conclusion: Conclusion) -> tuple[str, ...]:
    on_rung = [trial.before for trial, _ in conclusion.tried if trial.rung is conclusion.rung]
    return on_rung[0] if on_rung else ()


def _sentence(conclusion: Conclusion) -> str:
    same, of = conclusion.same_of
    where = _ON_RUNG[conclusion.rung]
    match conclusion.verdict:
        case ReproVerdict.REPRODUCED:
            return f"the same failure {where}, {same} of {of}"
        case ReproVerdict.FLAKY:
            return f"the same failure {where} in {same} of {of} executions"
        case ReproVerdict.ORDER_DEPENDENT:
            return _after_others(conclusion)
        case ReproVerdict.FAILS_DIFFERENTLY:
            return f"it fails {where}, but not as recorded{_how_often(conclusion)}:"
        case ReproVerdict.NOT_REPRODUCED:
            return f"no failure in {_executions(conclusion)}"
        case ReproVerdict.COULD_NOT_RUN:
            sight = conclusion.last(Seen.NOTHING, Seen.GONE)
            if conclusion.ran:
                return f"no failure in {_executions(conclusion)}, and no time for the others"
            return sight.why if sight else "there was no time to execute it"


def _how_often(conclusion: Conclusion) -> str:
    """In how many executions of its rung it failed in another way, where it also passed there."""
    seen = [s.seen for t, s in conclusion.ran if t.rung is conclusion.rung and t.counts]
    failed = seen.count(Seen.DIFFERENT)
    return f", in {failed} of {len(seen)} executions" if failed < len(seen) else ""


def _executions(conclusion: Conclusion) -> str:
    return count(len(conclusion.ran), "execution")


def _after_others(conclusion: Conclusion) -> str:
    tests = count(len(conclusion.polluters), "other test")
    after = [sight.seen for trial, sight in conclusion.ran if trial.before == conclusion.polluters]
    alone = [sight.seen for trial, sight in conclusion.ran if not trial.before]
    words = f"the same failure after {tests}, {after.count(Seen.SAME)} of {len(after)}"
    words += f"; never alone, {alone.count(Seen.SAME)} of {len(alone)}"
    return f"{words}:" if conclusion.minimal else f"{words} (a smaller set may do):"


def _untried_lines(untried: list[Original], look: Look) -> Iterator[str]:
    """The failures for which there was no time, together: a broken environment has thousands."""
    word = look.paint(_STYLES[ReproVerdict.COULD_NOT_RUN], "COULD NOT RUN")
    yield f"{word}  {len(untried):,} failures"
    yield "  there was no time to execute them; name one of them, or raise --budget:"
    yield from _listed([original.test_id for original in untried])
    yield ""


def _listed(test_ids: Sequence[str]) -> Iterator[str]:
    for one in test_ids[:MOST_IDS]:
        yield f"    {one_line(one)}"
    if len(test_ids) > MOST_IDS:
        yield f"    and {len(test_ids) - MOST_IDS:,} more"


def _lines(report: Report, original: Original, conclusion: Conclusion, look: Look) -> Iterator[str]:
    word = conclusion.verdict.value.replace("_", " ").upper()
    name = one_line(original.test_id)
    yield f"{look.paint(_STYLES[conclusion.verdict], word)}  {name}"
    yield f"  {one_line(_sentence(conclusion))}"
    yield from _listed(conclusion.polluters)
    for chance in conclusion.takes:
        passed, of = conclusion.without(chance)
        what = chance_words(chance)
        yield f"  it takes the recorded {what}: otherwise it passed, {passed} of {of}"
    yield f"  recorded:  {_clipped(original.words)}"
    sight = conclusion.last(Seen.DIFFERENT)
    if sight is not None:
        yield f"  here:      {_clipped(sight.why)}"
    yield from _rungs_without_answer(conclusion)
    if conclusion.budget_spent:
        why = "it was stopped" if report.bench.stopped else "the budget (--budget) was spent"
        yield f"  {why} before everything was tried"
    parting = _parting(report, original, conclusion)
    if parting is not None and not _parts_at_the_end(parting):
        yield "  where the executions part:"
        yield from (f"  {one_line(line)}" for line in parting_lines(parting, "recorded", "here"))
    yield f"  without bundle:  {one_line(plain_command(report, conclusion))}"
    yield ""


def _clipped(words: str) -> str:
    shown = one_line(words)
    return shown if len(shown) <= MOST_WORDS else f"{shown[: MOST_WORDS - 1]}…"


def _rungs_without_answer(conclusion: Conclusion) -> Iterator[str]:
    if conclusion.verdict is ReproVerdict.COULD_NOT_RUN:
        return
    told = {
        (trial.rung, sight.why)
        for trial, sight in conclusion.tried
        if sight.seen in (Seen.NOTHING, Seen.GONE)
    }
    for rung, why in sorted(told):
        yield f"  could not be executed {_ON_RUNG[rung]}: {one_line(why)}"


def _parting(report: Report, original: Original, conclusion: Conclusion) -> Parting | None:
    """Only where something else happened is there a place to look for."""
    if conclusion.verdict is ReproVerdict.REPRODUCED:
        return None
    sight = conclusion.last(Seen.DIFFERENT, Seen.PASSED)
    return parting_of(report.bench.kit, original, sight)


def _parts_at_the_end(parting: Parting) -> bool:
    """Whether all that differs is how the test ended, which was said."""
    return all(side and side[0].event == "TestFinished" for side in (parting.left, parting.right))


def _environment_lines(report: Report, look: Look) -> Iterator[str]:
    shown = [one for one in report.differences if one.weight >= COSMETIC and not one.applied]
    small = [one for one in report.differences if one.weight < COSMETIC]
    applied = [one for one in report.differences if one.applied and one.weight >= COSMETIC]
    if shown:
        yield look.paint(Style.STRONG, "What differs from the recording, the likeliest first:")
    for one in itertools.islice(shown, MOST_DIFFERENCES):
        yield f"  {one_line(f'{one.what}: recorded {one.recorded}, here {one.here}')}"
    rest = max(0, len(shown) - MOST_DIFFERENCES) + len(small)
    if rest and shown:
        yield f"  and {rest} more that {'matters' if rest == 1 else 'matter'} less (--json)"
    elif rest:
        little = count(rest, "difference")
        yield f"What differs from the recording matters little: {little}, listed by --json."
    taken = report.bench.kit.taken
    words = [f"{name}={value}" for name, value in taken.sets.items()]
    seed = hash_seed_of(report.bench)
    if seed is not None and "PYTHONHASHSEED" not in taken.sets:
        words.append(f"PYTHONHASHSEED={seed}")
    manifest = report.bench.kit.parent.manifest
    words.append(f"seed {show_seed(manifest.seed)}")
    yield f"Applied from the recording: {one_line(', '.join(words))}"
    for one in applied:
        yield f"  {one_line(f'{one.what}: {one.recorded}, here {one.here} otherwise')}"
    refused = [*report.bench.kit.start.not_applied, *taken.refused]
    if refused:
        yield f"Not applied: {one_line(' '.join(refused[:MOST_IDS]))}"
    if report.bench.states:
        yield "The random generators were set as recorded; pytest alone does not do that."
    for note in report.bench.notes:
        yield f"Note: {note}"


def _document(report: Report, original: Original, conclusion: Conclusion) -> dict[str, Any]:
    same, of = conclusion.same_of
    differs = conclusion.last(Seen.DIFFERENT)
    nothing = conclusion.last(Seen.NOTHING, Seen.GONE)
    parting = _parting(report, original, conclusion)
    return {
        "test_id": original.test_id,
        "verdict": conclusion.verdict.value,
        "rung": conclusion.rung.value if conclusion.rung else None,
        "polluters": list(conclusion.polluters),
        "takes": [chance.value for chance in conclusion.takes],
        "minimal": conclusion.minimal,
        "runs": len(conclusion.tried),
        "same": same,
        "of": of,
        "budget_spent": conclusion.budget_spent,
        "recorded": original.words,
        "here": differs.why if differs else None,
        "could_not_run": nothing.why if nothing else None,
        "states_restored": original.test_id in report.bench.states,
        "plain_command": plain_command(report, conclusion),
        "parting": parting.to_document() if parting else None,
        "executions": [
            {
                "rung": trial.rung.value,
                "before": len(trial.before),
                "bisecting": trial.bisecting,
                "without": sorted(chance.value for chance in trial.without),
                "seen": sight.seen.value,
                "why": sight.why,
                "duration_us": sight.duration_us,
            }
            for trial, sight in conclusion.tried
        ],
    }
