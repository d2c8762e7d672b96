"""`bundle config`: the values in force, and where each came from."""

from __future__ import annotations

import json
import os
from typing import Annotated

import typer

from bundler.configuration import KEYS, load
from bundler.places import project_of, store_root
from bundler.store import current_directory
from bundler.terminal import Ui


def _key_lines() -> list[str]:
    lines = []
    for name, key in KEYS.items():
        lines += [f"  {name:12}  {key.help}", f"  {'':12}  Takes {key.kind.expected}."]
    return lines


EPILOG = "\n".join(["\b", "Keys:", *_key_lines()])
"""What the help ends with; `\\b` keeps its lines as they are."""


def command(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> int:
    """Show the values in force, and where each came from.

    Options win over variables of the environment (BUNDLE_KEEP_RUNS for keep_runs), those over
    [tool.bundle] in pyproject.toml, that over the user's file.

    Examples:

        bundle config

        BUNDLE_KEEP_RUNS=5 bundle config
    """
    ui: Ui = context.obj
    here = current_directory()
    store = store_root(os.environ, project_of(str(here)))
    told = [
        (name, store if name == "store" else value, origin)
        for name, value, origin in load(here, os.environ).explain()
    ]
    if as_json:
        document = {name: {"value": value, "from": origin} for name, value, origin in told}
        ui.result(json.dumps(document, indent=2, default=str))
        return 0
    width = max(len(name) for name, _, _ in told)
    shown = [_shown(value) for _, value, _ in told]
    column = max(map(len, shown))
    for (name, _, origin), value in zip(told, shown, strict=True):
        ui.result(f"{name:{width}}  {value:{column}}  {origin}")
    return 0


def _shown(value: object) -> str:
    if value is None:
        return "not set"
    plain = isinstance(value, bool | str | list | tuple)  # JSON writes these as TOML does
    return json.dumps(value, default=str) if plain else str(value)
