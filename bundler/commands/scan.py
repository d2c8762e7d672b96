"""`bundle scan`: does it hold secrets."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from dataclasses import asdict
from typing import Annotated

import typer

from bundler.escapes import one_line
from bundler.redaction import masker_of
from bundler.scanning import Finding, scan, scan_stream
from bundler.store import directory_of
from bundler.terminal import Ui


def command(
    context: typer.Context,
    run: Annotated[
        str,
        typer.Argument(metavar="[RUN]", help="latest, a prefix of a run id, any path, or -."),
    ] = "latest",
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> int:
    """Look for secrets in a run, or in any file, directory or archive.

    Found are the values of this environment's variables whose names look secret, and what looks
    like a token, a private key, or a password in a URL; also inside what is compressed. A secret
    itself is never shown. Exits 1 where there is one. A clean scan is a good sign and no proof.

    Examples:

        bundle scan

        bundle scan run.zip && upload run.zip

        bundle scan target/test-artifacts --json
    """
    ui: Ui = context.obj
    findings = 0
    documents = []
    for finding in _findings(run):
        findings += 1
        if as_json:
            documents.append(asdict(finding))
        else:
            ui.result(_sentence(finding))
    if as_json:
        ui.result(json.dumps(documents, indent=2))
    name = "standard input" if run == "-" else run
    found = f"{findings} secret{'s' * (findings != 1)}" if findings else "no secrets found"
    ui.status(f"{one_line(name)}: {found}")
    return 1 if findings else 0


def _findings(run: str) -> Iterator[Finding]:
    masker = masker_of(os.environ)
    if run == "-":
        return scan_stream(sys.stdin.buffer, "-", masker, where="standard input")
    return scan(directory_of(run), masker)


def _sentence(finding: Finding) -> str:
    size = f" ({finding.size} bytes)" if finding.size else ""
    place = f":{finding.line}: byte {finding.offset}" if finding.line else ""
    return one_line(f"{finding.member}{place}: {_words(finding.rule)}{size}")


def _words(rule: str) -> str:
    if rule.startswith("$"):
        return f"the value of {rule[1:]}"
    return {
        "private-key": "a private key",
        "url": "a password in a URL",
        "jwt": "a JSON Web Token",
    }.get(rule, f"a token of {rule}")
