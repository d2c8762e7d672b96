"""The recorded runs of a project, as a tree of reruns or as a document."""

from __future__ import annotations

import os
import time

from bundler import listing_cache, places
from bundler.look import Style
from bundler.tree import Line, Row, draw, text_lines

TYPE_CHECKING = False  # as in typing, whose import a short command can do without
if TYPE_CHECKING:
    from typing import Any

    from bundler.store import StoredRun
    from bundler.terminal import Ui


def show_runs(ui: Ui, *, seeds: bool = False, as_json: bool = False) -> int:
    """Show the runs of the project that this is called in; return the exit code."""
    if as_json:
        return _show_document(ui)
    project = places.project_of(places.current_directory())
    folder = places.project_folder(places.store_root(os.environ, project), project)
    rows = listing_cache.rows(folder, _read)
    lines = draw(rows, ascii_only=not ui.look.unicode)
    texts = text_lines(lines, time.localtime, with_seeds=seeds)
    below: list[Line | None] = [None] * (len(texts) - len(lines))
    told = zip(texts, [*lines, *below], strict=True)
    ui.stdout.write_lines(_highlighted(ui, text, line) for text, line in told)
    if not rows:
        ui.status(f"no run of {project} is stored; record one with `bundle run -- COMMAND`")
    return 0


def _highlighted(ui: Ui, text: str, line: Line | None) -> str:
    """The shortest unique prefix of the run's id stands out: that much has to be typed."""
    if line is None or not ui.look.colour:
        return text
    begin = len(line.graph)
    end = begin + line.unique
    return text[:begin] + ui.look.paint(Style.IDENTIFIER, text[begin:end]) + text[end:]


def _read(path: str, sequence: int, run_id: str) -> tuple[Row, bool]:
    """The row of a run, and whether it stays so: only a sealed run does."""
    from pathlib import Path

    from bundler.store import stored_run

    run = stored_run(Path(path), sequence, run_id)
    return _row(run), run.sealed


def _row(run: StoredRun) -> Row:
    manifest = run.manifest
    if manifest is None:
        return Row(run.run_id, run.sequence, status="damaged")
    return Row(
        run_id=run.run_id,
        sequence=run.sequence,
        parent_run_id=manifest.parent.run_id if manifest.parent else None,
        created_us=_created_us(manifest.created_at),
        duration_us=manifest.duration_us,
        size_bytes=run.size_bytes,
        status=run.status.state,
        counts=manifest.counts,
        seed=manifest.seed,
        live=run.live,
    )


def _created_us(text: str) -> int | None:
    """Return microseconds since 1970 of an RFC 3339 time, None where it is none."""
    from datetime import datetime

    try:
        return int(datetime.fromisoformat(text).timestamp() * 1_000_000)
    except (ValueError, OverflowError):
        return None


def _show_document(ui: Ui) -> int:
    import json

    from bundler.store import open_store

    ui.result(json.dumps([_document(run) for run in open_store().runs()], indent=2))
    return 0


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
