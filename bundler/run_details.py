"""One run in detail: what `bundle show RUN` prints, a label before each line."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterable, Iterator

from bundler.about import (
    ci_words,
    count,
    count_words,
    damage,
    environment_of,
    place_words,
    seconds,
    status_sentence,
    status_style,
    time_words,
)
from bundler.blocks import Layout
from bundler.escapes import one_line
from bundler.look import Look, Style
from bundler.manifest import RunManifest
from bundler.recording import Recording
from bundler.results import Session
from bundler.seeds import show_seed


def run_lines(recording: Recording, look: Look) -> Iterator[str]:
    """Yield everything about a run as a whole, a label before each line."""
    layout = Layout(look)
    for label, text in _run_facts(recording, look):
        if text:
            style = _style_of(label, recording.manifest)
            yield layout.labelled(label, text, style)
    variables = environment_of(recording).get("variables")
    if isinstance(variables, dict) and variables:
        yield layout.heading("variables", Style.HEADING)
        yield from layout.body(one_line(f"{name}={value}") for name, value in variables.items())


def _style_of(label: str, manifest: RunManifest) -> Style:
    if label == "Redacted" and manifest.redaction and not manifest.redaction.on:
        return Style.FAILED
    return status_style(manifest) if label == "Status" else Style.HEADING


def _run_facts(recording: Recording, look: Look) -> Iterator[tuple[str, str]]:
    manifest, results = recording.manifest, recording.results
    took = manifest.duration_us
    yield "Run", look.run_id(manifest.run_id, digits=len(manifest.run_id))
    yield "Status", status_sentence(manifest, results)
    if not results.is_plain_command:
        yield "Result", count_words(recording, results.counts, look)
    yield "Deselected", f"{len(results.deselected):,}" if results.deselected else ""
    yield "Warnings", f"{len(results.warnings):,}" if results.warnings else ""
    after = f", took {seconds(took)}" if took is not None else ""
    yield "Started", time_words(manifest.created_at) + after
    yield "Seed", show_seed(manifest.seed) + (", imposed" if manifest.seed_imposed else "")
    yield "Rerun of", look.run_id(manifest.parent.run_id) if manifest.parent else ""
    yield "Command", one_line(shlex.join(manifest.command.argv))
    yield "Directory", one_line(manifest.command.cwd)
    yield "On", ", ".join(place_words(recording))
    for session in results.sessions:
        yield "Session", _session_words(session)
    yield "Git", _git_words(environment_of(recording).get("git"))
    yield "In", ci_words(manifest.ci or {})
    yield "At", one_line((manifest.ci or {}).get("url", ""))
    yield "Recorded by", _recorder_words(recording)
    yield "Log", _log_words(recording)
    yield "Redacted", _redaction_words(manifest)
    yield "Files", _files_words(recording)
    yield "Read from", one_line(recording.where)
    yield "Replayable", "; ".join(_obstacles(recording)) or "yes"


def _redaction_words(manifest: RunManifest) -> str:
    """Return which secrets were masked in a run, by rule, or that none were."""
    redaction = manifest.redaction
    if redaction is None:
        return ""
    if not redaction.on:
        return "NO: recorded with --no-redact, secrets are in it as they are"
    masked = Counter(redaction.masked) + Counter(redaction.masked_in_files)
    words = ", ".join(f"{rule} {times:,}" for rule, times in sorted(masked.items()))
    left = f"; left in packed files: {', '.join(redaction.left)}" if redaction.left else ""
    return one_line((words or "nothing had to be masked") + left)


def _session_words(session: Session) -> str:
    info = session.info
    words = [f"{info.get('runner', 'tests')} {info.get('runner_version', '')}".strip()]
    if isinstance(args := info.get("args"), list) and args:
        words.append(shlex.join(map(str, args)))
    if type(workers := info.get("workers")) is int and workers:
        words.append(count(workers, "worker"))
    words.append(f"capture {info.get('capture', 'unknown')}")
    if isinstance(plugins := info.get("plugins"), dict) and plugins:
        words.append(", ".join(f"{name} {version}" for name, version in plugins.items()))
    return one_line("; ".join(words))


def _git_words(git: object) -> str:
    if not isinstance(git, dict):
        return ""
    changed = "changed" if git.get("dirty") else ""
    known = (str(git.get("commit", ""))[:12], git.get("branch"), changed, git.get("remote"))
    return one_line(", ".join(str(word) for word in known if word))


def _recorder_words(recording: Recording) -> str:
    manifest = recording.manifest
    recorder = " ".join(manifest.recorder.get(key, "") for key in ("name", "version")).strip()
    version = f"format {manifest.format.major}.{manifest.format.minor}"
    return one_line(", ".join(filter(None, [recorder, version])))


def _log_words(recording: Recording) -> str:
    frames = recording.manifest.log.frames
    events = count(recording.results.events, "event")
    if not frames:
        return events
    packed, raw = (sum(sizes) for sizes in zip(*frames, strict=True))
    return f"{events}, {raw:,} bytes in {packed:,}"


def _files_words(recording: Recording) -> str:
    members = recording.manifest.members
    if not members:
        return ""
    return f"{count(len(members), 'file')}, {sum(member.size for member in members):,} bytes"


def _obstacles(recording: Recording) -> Iterable[str]:
    """What stands in the way of seeing the whole run again."""
    if recording.live:
        yield "as far as it is: still being recorded"
    elif not recording.results.events:
        yield "no: there is no event log"
    elif not recording.results.complete:
        yield "in part: the log does not end as a finished one does"
    yield from map(one_line, damage(recording))
