"""Delta debugging: a smallest part of a list that still shows what the whole shows.

After Zeller and Hildebrandt, "Simplifying and Isolating Failure-Inducing Input", 2002.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence


def ddmin(items: Sequence[str]) -> Generator[tuple[str, ...], bool, tuple[str, ...]]:
    """Yield sets to try, be sent whether each still shows it, and return a smallest that does.

    The whole is known to show it, and the empty set not to. The order is kept.
    """
    current, parts = tuple(items), 2
    while len(current) > 1:
        chunks = _split(current, parts)
        smaller = yield from _first_that_shows(chunks)
        if smaller is not None:
            current, parts = smaller, 2
            continue
        without = [_minus(current, chunk) for chunk in chunks] if parts > 2 else []
        smaller = yield from _first_that_shows(without)
        if smaller is not None:
            current, parts = smaller, max(parts - 1, 2)
        elif parts >= len(current):
            break
        else:
            parts = min(len(current), parts * 2)
    return current


def _split(items: tuple[str, ...], parts: int) -> list[tuple[str, ...]]:
    size, more = divmod(len(items), parts)
    chunks, start = [], 0
    for part in range(parts):
        end = start + size + (part < more)
        chunks.append(items[start:end])
        start = end
    return chunks


def _minus(items: tuple[str, ...], out: tuple[str, ...]) -> tuple[str, ...]:
    left_out = set(out)
    return tuple(one for one in items if one not in left_out)


def _first_that_shows(
    candidates: Sequence[tuple[str, ...]],
) -> Generator[tuple[str, ...], bool, tuple[str, ...] | None]:
    for candidate in candidates:
        if (yield candidate):
            return candidate
    return None
