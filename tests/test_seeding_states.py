"""A generator's state, however taken, written as JSON and read again, is the same state."""

from __future__ import annotations

import base64
import importlib
import json
import random
import sys
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bundler import probe
from bundler.schema import schema, validator

probe.load()
generators: Any = importlib.import_module("bundle_probe.generators")

WAYS = {"memory": generators.memory_of, "getstate": lambda generator: None}
ways = pytest.mark.parametrize("memory_of", WAYS.values(), ids=WAYS)


def drawn(generator: random.Random) -> list[float]:
    """What a generator gives next, of both kinds that have a state."""
    return [draw() for draw in (generator.random, lambda: generator.gauss(0, 1)) for _ in range(3)]


@ways
@given(seed=st.integers(0, 2**64), draws=st.integers(0, 1300), gauss=st.integers(0, 3))
def test_what_is_taken_and_set_again_gives_the_same_numbers(
    memory_of: Callable[[object], Any], seed: int, draws: int, gauss: int
) -> None:
    generator = random.Random(seed)
    for _ in range(draws):
        generator.getrandbits(32)
    for _ in range(gauss):
        generator.gauss(0, 1)
    before = generator.getstate()
    taking = generators.Generators(generator, memory_of)
    states = taking.take()
    assert generator.getstate() == before
    expected = drawn(generator)
    taking.set(states)
    assert drawn(generator) == expected

    document = json.loads(taking.document(states))
    generators.Generators(generator).set(generators.parsed(document))
    assert generator.getstate() == before
    assert drawn(generator) == expected


def test_both_ways_write_the_same() -> None:
    generator = random.Random(7)
    generator.gauss(0, 1)
    documents = {way: written(generator, way) for way in WAYS}
    assert documents["memory"] == documents["getstate"]


@pytest.mark.skipif(sys.implementation.name != "cpython", reason="another layout")
def test_here_the_numbers_are_read_where_they_lie() -> None:
    assert generators.memory_of(random.Random(1)) is not None


class Longer(random.Random):
    """A generator whose own words are not those in its memory."""

    def getstate(self) -> Any:
        version, words, gauss = super().getstate()
        return version, (words[0] ^ 1, *words[1:]), gauss


@pytest.mark.parametrize("other", [Longer(1), random.SystemRandom(), object(), "words"])
def test_another_layout_is_seen_before_it_is_relied_on(other: object) -> None:
    assert generators.memory_of(other) is None


def test_a_generator_without_its_usual_layout_is_asked() -> None:
    generator = Longer(1)
    _version, words, _gauss = generators.Generators(generator).take_random()
    assert words == generator.getstate()[1]


def test_so_many_states_are_written_and_no_more() -> None:
    taking = generators.Generators(random.Random(1))
    states = taking.take_random(), None
    written = [taking.document(states) for _ in range(generators.MOST_KEPT + 2)]
    assert [one is None for one in written[-3:]] == [False, True, True]


def test_a_document_fits_its_schema() -> None:
    definition = {**schema("event.v1"), "$ref": "#/$defs/generator_states"}
    definition = {key: definition[key] for key in ("$defs", "$ref", "$schema")}
    kind: Any = type(validator("event.v1"))
    kind(definition).validate(json.loads(written(random.Random(1), "memory")))
    assert not kind(definition).is_valid({"random": {"version": 2, "state": "", "gauss_next": 1}})


GOOD = json.loads(generators.Generators(random.Random(1), WAYS["getstate"]).document(
    (random.Random(1).getstate(), None)
))["random"]  # fmt: skip
BOMB = base64.b64encode(zlib.compress(bytes(1 << 20))).decode()


@pytest.mark.parametrize(
    "document",
    [
        [],
        {"random": []},
        {"random": {}},
        {"random": GOOD | {"version": 2}},
        {"random": GOOD | {"state": ""}},
        {"random": GOOD | {"state": "AAAA"}},
        {"random": GOOD | {"state": 7}},
        {"random": GOOD | {"state": BOMB}},
        {"random": GOOD | {"gauss_next": "1"}},
        {"random": GOOD | {"gauss_next": True}},
        {"numpy": {**GOOD, "bit_generator": "PCG64", "has_gauss": 0, "gauss": 0.0}},
        {"numpy": {**GOOD, "bit_generator": "MT19937", "has_gauss": [], "gauss": 0.0}},
    ],
    ids=repr,
)
def test_what_is_no_state_is_refused(document: Any) -> None:
    with pytest.raises(ValueError):
        generators.parsed(document)


def written(generator: random.Random, way: str) -> str:
    """The document of a generator's state, taken in one of the two ways."""
    taking = generators.Generators(generator, WAYS[way])
    document: str = taking.document((taking.take_random(), None))
    return document
