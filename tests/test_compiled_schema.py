"""The compiled schemas say of every document what jsonschema, the reference, says of it."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bundler.compiled_schema import compiled
from bundler.schema import NAMES, event_fits, event_validator, fits, schema, validator

EVENTS = [rule["if"]["properties"]["event"]["const"] for rule in schema("event.v1")["allOf"]]
ODD: list[Any] = [None, True, False, 0, 1, 3, -1, 1.0, 0.5, 2**64 - 1, 2**64, "", "x", "passed"]
ODD += ["5e551011", "deadbeefdeadbeef", "2026-01-02T03:04:05Z", "YQ==", "x\n", "\N{PILE OF POO}"]
ODD += [[], ["a"], ["a", "a"], ["b", "a"], [1, 1], [["n", "v"]], [["n"]], [["n", "v", 1]], [[0, 1]]]
ODD += [{}, {"x": 1}, {"x": "y"}, {"passed": 1}, {"passed": -1}, {"phase": "call", "line": 0}]
ODD += [{"major": 1, "minor": 1}, {"major": 1}, {"random": {"version": 3}}]


def places(value: Any) -> Iterator[tuple[str | int, ...]]:
    """The way to every value inside a value, and to the value itself."""
    yield ()
    inside: Any = value.items() if isinstance(value, dict) else ()
    for key, one in enumerate(value) if isinstance(value, list) else inside:
        yield from ((key, *way) for way in places(one))


def changed(document: Any, way: tuple[str | int, ...], *value: Any) -> Any:
    """The document with another value at the end of the way, or with none."""
    if not way:
        return value[0] if value else {}
    document = copy.deepcopy(document)
    here = document
    for step in way[:-1]:
        here = here[step]
    if value:
        here[way[-1]] = value[0]
    else:
        del here[way[-1]]
    return document


def variants(name: str) -> Iterator[Any]:
    for example in schema(name)["examples"]:
        yield example
        for way in places(example):
            yield changed(example, way)
            yield from (changed(example, way, odd) for odd in ODD)
        for field in schema(name)["properties"]:
            yield from ({**example, field: odd} for odd in ODD)


@pytest.mark.parametrize("name", NAMES)
def test_a_compiled_schema_says_what_the_reference_says(name: str) -> None:
    said = set()
    for document in variants(name):
        verdict = validator(name).is_valid(document)
        assert fits(name)(document) is verdict, document
        said.add(verdict)
    assert said == {True, False}


@pytest.mark.parametrize("event", [*EVENTS, "OfATest"])
def test_the_compiled_schema_of_an_event_says_what_the_reference_says(event: str) -> None:
    rule = schema("event.v1")["$defs"].get(event, {"properties": {}})
    fields = {name: value for name, value in samples().items() if name in rule["properties"]}
    line = {"v": 1, "ts_us": 0, "level": "INFO", "event": event, "message": "", "test_id": "t"}
    for category in ("run", "test", "output", "artifact", "log"):
        whole = {**line, "category": category, "data": fields}
        variants = [whole, *(changed(whole, way) for way in places(whole))]
        variants += [changed(whole, ("data", name), odd) for name in fields for odd in ODD]
        for document in variants:
            verdict = event_validator(event).is_valid(document)
            assert event_fits(event)(document) is verdict, document


def samples() -> dict[str, Any]:
    """A value that fits for each field of an event's data that the examples of the schema have."""
    examples = schema("event.v1")["examples"]
    found = {name: value for one in examples for name, value in one["data"].items()}
    found |= {
        "occurrence": 1,
        "worker": "gw0",
        "reason": "r",
        "file": "f",
        "line": 1,
        "base64": "YQ==",
    }
    found |= {"name": "n", "path": "p", "media_type": "text/plain", "size": 1, "signal": "SIGKILL"}
    found |= {"runner": "pytest", "plugins": {"x": "1"}, "properties": [["n", "v"]], "warning": "W"}
    found |= {"selected": ["a"], "deselected": ["b"], "source": "os.urandom", "message": "m"}
    twister = {"version": 3, "state": "YQ==", "gauss_next": None}
    return found | {"states": {"random": twister}, "hash_probe": "0123456789abcdef", "workers": 2}


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 3) | st.floats(0, 3) | st.sampled_from("abc"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner),
    max_leaves=6,
)
LEAVES: dict[str, Any] = {
    "type": st.sampled_from(["integer", "number", "string", "boolean", "null", "array", "object"]),
    "const": st.sampled_from([0, 1, "a"]),
    "enum": st.lists(st.sampled_from([0, 1, "a", "b"]), min_size=1, unique=True),
    "pattern": st.sampled_from(["^a", "b$", "^[ab]$"]),
    "minimum": st.integers(-1, 2),
    "maximum": st.integers(-1, 2),
    "minLength": st.integers(0, 2),
    "minItems": st.integers(0, 2),
    "maxItems": st.integers(0, 2),
    "required": st.lists(st.sampled_from("abc"), unique=True),
    "dependentRequired": st.dictionaries(
        st.sampled_from("abc"), st.lists(st.sampled_from("abc"), unique=True)
    ),
}


def nested(inner: Any) -> Any:
    rows = st.lists(inner, min_size=1, max_size=3)
    keywords = dict.fromkeys(("allOf", "anyOf", "oneOf", "prefixItems"), rows)
    one = dict.fromkeys(("not", "if", "then", "else", "items", "propertyNames"), inner)
    more = {"additionalProperties": inner}
    more |= {"properties": st.dictionaries(st.sampled_from("abc"), inner, max_size=3)}
    return st.fixed_dictionaries({}, optional=keywords | one | more)


SCHEMAS = st.recursive(st.fixed_dictionaries({}, optional=LEAVES), nested, max_leaves=6)


@settings(max_examples=100, deadline=None)
@given(SCHEMAS, st.lists(VALUES, min_size=5, max_size=5))
def test_any_schema_of_these_keywords_means_what_it_means_to_the_reference(
    document: dict[str, Any], values: list[Any]
) -> None:
    from bundler.schema import _validator

    check, reference = compiled(document), _validator(document)
    for value in values:
        assert check(value) is reference.is_valid(value), value


@pytest.mark.parametrize("rule", [{"const": 1}, {"enum": [0, 1]}, {"const": "1"}])
@pytest.mark.parametrize("value", [True, False, 1, 0, 1.0, 2, "1"])
def test_true_is_not_one(rule: dict[str, Any], value: Any) -> None:
    from bundler.schema import _validator

    assert compiled(rule)(value) is _validator(rule).is_valid(value)


@pytest.mark.parametrize(
    "unknown", [{"contains": {}}, {"format": "uri"}, {"const": [1]}, {"uniqueItems": True}]
)
def test_what_cannot_be_compiled_is_refused(unknown: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"compiled|neither"):
        compiled({"properties": {"a": {"items": unknown}}})
