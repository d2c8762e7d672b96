"""The recorded runs of a project, as a tree of reruns or as a document."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from bundler.look import Style
from bundler.store import StoredRun, open_store
from bundler.terminal import Ui
from bundler.tree import Line, Row, draw, text_lines


def show_runs(ui: Ui, *, seeds: bool = False, as_json: bool = False) -> int:
    """Show the runs of the project that this is called in; return the exit code."""
    store = open_store()
    runs = store.runs()
    if as_json:
        ui.result(json.dumps([_document(run) for run in runs], indent=2))
        return 0
    lines = draw([_row(run) for run in runs], ascii_only=not ui.look.unicode)
    texts = text_lines(lines, datetime.now().astimezone().tzinfo or UTC, with_seeds=seeds)
    below: list[Line | None] = [None] * (len(texts) - len(lines))
    told = zip(texts, [*lines, *below], strict=True)
    ui.stdout.write_lines(_highlighted(ui, text, line) for text, line in told)
    if not runs:
        ui.status(f"no run of {store.project} is stored; record one with `bundle run -- COMMAND`")
    return 0


def _highlighted(ui: Ui, text: str, line: Line | None) -> str:
    """The shortest unique prefix of the run's id stands out: that much has to be typed."""
    if line is None or not ui.look.colour:
        return text
    begin = len(line.graph)
    end = begin + line.unique
    return text[:begin] + ui.look.paint(Style.IDENTIFIER, text[begin:end]) + text[end:]


def _row(run: StoredRun) -> Row:
    manifest = run.manifest
    if manifest is None:
        return Row(run.run_id, run.sequence, status="damaged")
    return Row(
        run_id=run.run_id,
        sequence=run.sequence,
        parent_run_id=manifest.parent.run_id if manifest.parent else None,
        created_us=created_us(manifest.created_at),
        duration_us=manifest.duration_us,
        size_bytes=run.size_bytes,
        status=run.status.state,
        counts=manifest.counts,
        seed=manifest.seed,
        live=run.live,
    )


def created_us(text: str) -> int | None:
    """Return microseconds since 1970 of an RFC 3339 time, None where it is none."""
    try:
        return int(datetime.fromisoformat(text).timestamp() * 1_000_000)
    except (ValueError, OverflowError):
        return None


def _document(run: StoredRun) -> dict[str, Any]:
    manifest = run.manifest
    status = run.status
    document: dict[str, Any] = {
        "run_id": run.run_id,
        "sequence": run.sequence,
        "path": str(run.path),
        "status": status.state,
        "live": run.live,
        "size_bytes": run.size_bytes,
    }
    if status.reason:
        document["reason"] = status.reason
    if manifest is None:
        return document
    return document | {
        "parent_run_id": manifest.parent.run_id if manifest.parent else None,
        "created_at": manifest.created_at,
        "duration_us": manifest.duration_us,
        "counts": manifest.counts,
        "seed": manifest.seed,
        "seed_hex": manifest.seed_hex,
        "exit_code": status.exit_code,
        "command": manifest.command.argv,
    }
