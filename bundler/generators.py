"""What a recording kept of the random generators, for a rerun or a reproduction to set again.

A bundle is a stranger's data: a state that is not of the form of `schemas/event.v1.json`, or whose
numbers are not all there, is passed over, so that the probe is never handed one that it refuses.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
import zlib
from collections.abc import Container
from typing import Any

from bundler.events import decode_line
from bundler.recording import Recording

STATE_BYTES = 625 * 4
LAST_POSITION = 624
_NUMBER = re.compile("-?[0-9]{1,20}")
_SEEDS = {
    "randomly": re.compile("[0-9]{1,20}"),
    "random_order": re.compile(r"[\w.-]{1,64}"),
    **dict.fromkeys(("jest", "vitest", "rspec"), _NUMBER),
}
"""The plugins and runners whose seeds are given back, and the forms that these may have."""


def kept_states(
    recording: Recording, wanted: Container[str] | None = None
) -> dict[str, dict[str, Any]]:
    """Return the states with which the last bad attempt of each test started, or of each wanted."""
    found: dict[str, dict[str, Any]] = {}
    for line in recording.log.lines():
        if line.problem or b'"GeneratorState"' not in line.content:
            continue
        try:
            event = decode_line(line.content)
            states = _checked(event.payload().get("states"))
        except ValueError:
            continue
        if event.event != "GeneratorState" or event.test_id is None:
            continue
        if wanted is None or event.test_id in wanted:
            found[event.test_id] = states
    return found


def _checked(states: object) -> dict[str, Any]:
    """Return the states with only what is known here. Raises ValueError where they are none."""
    if not isinstance(states, dict):
        raise ValueError("generator states that are no object")
    known = {"random": _random, "numpy": _numpy}
    return {name: check(states[name]) for name, check in known.items() if name in states}


def random_seeds(recording: Recording) -> dict[str, str]:
    """Return the seeds by which plugins shuffled, where every session of the run had the same."""
    infos = [session.info.get("random_seeds") for session in recording.results.sessions]
    found = {}
    for name, form in _SEEDS.items():
        seeds = {_seed_in(info, name, form) for info in infos}
        if len(seeds) == 1 and (seed := seeds.pop()) is not None:
            found[name] = seed
    return found


def _seed_in(info: object, name: str, form: re.Pattern[str]) -> str | None:
    seed = info.get(name) if isinstance(info, dict) else None
    return seed if isinstance(seed, str) and form.fullmatch(seed) else None


def _random(part: object) -> dict[str, Any]:
    if not isinstance(part, dict) or part.get("version") != 3:
        raise ValueError("a state of random that is not of version 3")
    gauss = part.get("gauss_next")
    return {
        "version": 3,
        "state": _twister(part.get("state")),
        "gauss_next": None if gauss is None else _number(gauss),
    }


def _numpy(part: object) -> dict[str, Any]:
    if not isinstance(part, dict) or part.get("bit_generator") != "MT19937":
        raise ValueError("a state of another generator of numpy")
    if part.get("has_gauss") not in (0, 1):
        raise ValueError("has_gauss is neither 0 nor 1")
    return {
        "bit_generator": "MT19937",
        "state": _twister(part.get("state")),
        "has_gauss": int(part["has_gauss"]),
        "gauss": _number(part.get("gauss")),
    }


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{value!r} where a number stands")
    return float(value)


def _twister(text: object) -> str:
    if not isinstance(text, str):
        raise ValueError("a state that is no text")
    try:
        packed = base64.b64decode(text, validate=True)
        raw = zlib.decompressobj().decompress(packed, STATE_BYTES + 1)
    except (binascii.Error, zlib.error) as error:
        raise ValueError(f"a state that cannot be unpacked: {error}") from None
    if len(raw) != STATE_BYTES or int.from_bytes(raw[-4:], "little") > LAST_POSITION:
        raise ValueError(f"a state of {len(raw)} bytes")
    return text
