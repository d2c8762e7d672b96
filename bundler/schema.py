"""The contract as JSON Schema: load a schema, and what holds documents to it.

`fits` and `event_fits` say whether a document is as it should be; only where it is not, a
`validator` says why, at fifty times the cost. Both say the same of every document.

The files are written by hand (draft 2020-12). In a checkout they lie in `schemas/` beside the
package; a wheel has them in `bundler/schemas/`. A test holds them to the code.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bundler.compiled_schema import Check, compiled

if TYPE_CHECKING:
    from jsonschema.protocols import Validator

NAMES = ("event.v1", "manifest.v1", "summary.v1", "environment.v1", "repro-manifest.v1")
_HERE = Path(__file__).parent


@cache
def schema(name: str) -> dict[str, Any]:
    """Return the schema of that name, one of NAMES. Callers share it and leave it as it is."""
    document: dict[str, Any] = json.loads(path(name).read_bytes())
    return document


def path(name: str) -> Path:
    """Return the file of the schema of that name. Raises FileNotFoundError where there is none."""
    for folder in (_HERE / "schemas", _HERE.parent / "schemas"):
        file = folder / f"{name}.json"
        if file.is_file():
            return file
    raise FileNotFoundError(f"schema {name!r} is not part of this installation")


@cache
def fits(name: str) -> Check:
    """Return whether a document fits the schema of that name, as a function of the document."""
    return compiled(schema(name))


def event_fits(event: str) -> Check:
    """Return whether an event of that name fits `event.v1`, as a function of the event."""
    return _event_fits(event if event in _events_with_rules() else "")


@cache
def validator(name: str) -> Validator:
    """Return a validator for the schema of that name.

    It is stricter than JSON Schema in one point: `1.0` is not an integer, as in every reader here.
    """
    return _validator(schema(name))


def event_validator(event: str) -> Validator:
    """Return a validator for events of that name alone; it agrees with that of `event.v1`.

    The rules of the other events, which the schema tries on every line, are left out.
    """
    return _event_validator(event if event in _events_with_rules() else "")


@cache
def _events_with_rules() -> frozenset[str]:
    properties = (rule.get("if", {}).get("properties", {}) for rule in schema("event.v1")["allOf"])
    return frozenset(one["event"]["const"] for one in properties if "event" in one)


@cache
def _event_validator(event: str) -> Validator:
    return _validator(_event_schema(event))


@cache
def _event_fits(event: str) -> Check:
    return compiled(_event_schema(event))


def _event_schema(event: str) -> dict[str, Any]:
    """The schema without the rules of other events."""
    whole = schema("event.v1")
    rules = [_rule_for(event, rule) for rule in whole["allOf"]]
    return {**whole, "allOf": [rule for rule in rules if rule is not True]}


def _rule_for(event: str, rule: dict[str, Any]) -> dict[str, Any] | bool:
    asked = rule.get("if", {})
    name = asked.get("properties", {}).get("event", {}).get("const")
    if name is None or asked != {"properties": {"event": {"const": name}}} or "else" in rule:
        return rule
    return rule["then"] if name == event else True


def _validator(document: dict[str, Any]) -> Validator:
    from jsonschema import Draft202012Validator, validators

    strict = Draft202012Validator.TYPE_CHECKER.redefine("integer", _is_integer)
    extend: Any = validators.extend  # untyped in its stubs
    made: Validator = extend(Draft202012Validator, type_checker=strict)(document)
    return made


def _is_integer(_checker: object, instance: object) -> bool:
    return isinstance(instance, int) and not isinstance(instance, bool)
