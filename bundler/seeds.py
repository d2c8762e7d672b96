"""Seeds: parse one, show one, derive one from another.

Derivation is FNV-1a 64 (http://www.isthe.com/chongo/tech/comp/fnv/) over the root seed as eight
little-endian bytes, then a tag:

    component seed   NAME             as UTF-8
    scenario seed    "scenario:NAME"  as UTF-8
    entropy seed     the index        as eight little-endian bytes

A test's seed is the scenario seed of its test id; every attempt of the test has the same.
"""

from __future__ import annotations

import re

from bundler.errors import UsageError

OFFSET = 0xCBF29CE484222325
PRIME = 0x100000001B3
MASK = 0xFFFFFFFFFFFFFFFF
_HEX = re.compile(r"[0-9a-f]{16}")


def fnv1a(data: bytes, start: int = OFFSET) -> int:
    """Return the FNV-1a 64 hash of `data`, continued from `start`."""
    value = start
    for byte in data:
        value = ((value ^ byte) * PRIME) & MASK
    return value


def component_seed(root: int, name: str) -> int:
    """Return the seed of the component `name` under the root seed `root` (both u64)."""
    return fnv1a(name.encode("utf-8", "surrogatepass"), _rooted(root))


def scenario_seed(root: int, name: str) -> int:
    """Return the seed of the scenario `name`; a test's seed is that of its test id."""
    return fnv1a(b"scenario:" + name.encode("utf-8", "surrogatepass"), _rooted(root))


def entropy_seed(root: int, index: int) -> int:
    """Return the seed of the `index`-th (u64) source of entropy."""
    return fnv1a(index.to_bytes(8, "little"), _rooted(root))


def _rooted(root: int) -> int:
    return fnv1a(root.to_bytes(8, "little"))


def hash_seed(root: int) -> int:
    """Return the PYTHONHASHSEED of a root seed: its low 32 bits.

    Zero would switch hash randomisation off altogether; it is a valid value and is kept.
    """
    return root & 0xFFFFFFFF


def random_seed() -> int:
    """Return a fresh root seed from the operating system."""
    import secrets  # which loads hashlib: whoever only shows a seed does without

    return secrets.randbits(64)


def show_seed(seed: int) -> str:
    """Return the 16 hex digits by which people see a seed."""
    return f"{seed:016x}"


def exact_seed(seed: object, seed_hex: object) -> object:
    """Return a seed as the hex beside it says it, where a program rounded it to a double."""
    if type(seed) is not int or not isinstance(seed_hex, str) or not _HEX.fullmatch(seed_hex):
        return seed
    exact = int(seed_hex, 16)
    return exact if seed < 1 << 65 and float(seed) == float(exact) else seed


def parse_seed(text: str) -> int:
    """Return the u64 that a person wrote: decimal, `0x` hex, or exactly 16 hex digits.

    Raises UsageError where it is none of these or outside u64.
    """
    word = text.strip().lower().replace("_", "")
    try:
        value = int(word, 16) if len(word) == 16 or word.startswith("0x") else int(word, 10)
    except ValueError:
        value = -1
    if not 0 <= value <= MASK or word.startswith(("+", "-")):
        raise UsageError(
            f"seed {text!r} is not an unsigned 64-bit number",
            hint="Give it in decimal, as 0x and hex digits, or as the 16 hex digits shown.",
        )
    return value
