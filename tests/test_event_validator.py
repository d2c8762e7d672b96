"""The validator of one event's name agrees with the whole schema."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from bundler.schema import event_validator, schema, validator

EXAMPLES: list[dict[str, Any]] = schema("event.v1")["examples"]
NAMES = [rule["if"]["properties"]["event"]["const"] for rule in schema("event.v1")["allOf"]]


def variants() -> list[dict[str, Any]]:
    """Every example, under every event's name, and with each of its fields gone or of no use."""
    found = []
    for example in EXAMPLES:
        found += [{**example, "event": name} for name in [*NAMES, "OfATest"]]
        found += [{key: example[key] for key in example if key != gone} for gone in example]
        for field in example["data"]:
            changed = copy.deepcopy(example)
            changed["data"][field] = {"no": "use"}
            found.append(changed)
    return [one for one in found if "event" in one]


def problems(check: Any, document: dict[str, Any]) -> list[str]:
    return sorted({error.message for error in check.iter_errors(document)})


def test_there_are_examples() -> None:
    assert len(variants()) > 50


@pytest.mark.parametrize("number", range(len(variants())))
def test_one_event_s_validator_agrees_with_the_whole_schema(number: int) -> None:
    document = variants()[number]
    assert problems(event_validator(document["event"]), document) == problems(
        validator("event.v1"), document
    )


def test_the_events_of_tests_share_one() -> None:
    assert event_validator("OfATest") is event_validator("OfAnother")


def test_only_the_rule_of_the_event_is_left() -> None:
    for name in NAMES:
        assert len(event_validator(name).schema["allOf"]) == 1  # type: ignore[index]
