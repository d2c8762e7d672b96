"""What masking costs by the byte, for many kinds of output and of secrets.

    python benchmarks/masking_texts.py [--kilobytes 400]

Every text is masked with no secret in the environment, 30, 300 and 1,000, as a test's output is:
the best of three in nanoseconds of processor time a byte. The last texts are made to be slow.
"""

from __future__ import annotations

import argparse
import base64
import random
import string
import time
import uuid
from collections.abc import Callable, Iterator

from bundler import probe
from bundler.redaction import Masker

CHANCE = random.Random(7)
ALNUM = string.ascii_letters + string.digits
WORDS = ["INFO", "worker", "connection", "request", "status", "path", "None", "error", "retry"]
OTHERS = ["correct", "horse", "battery", "staple", "purple", "monkey", "wizard", "garden"]
COUNTS = (0, 30, 300, 1000)


def secrets(count: int) -> list[str]:
    """Tokens, UUIDs, words, numbers, keys that begin alike, addresses with a password."""
    kinds: list[Callable[[], str]] = [
        lambda: row(CHANCE.randint(20, 40)),
        lambda: str(uuid.UUID(int=CHANCE.getrandbits(128))),
        lambda: "".join(CHANCE.choices(OTHERS, k=2)) + str(CHANCE.randrange(1000)),
        lambda: f"{CHANCE.randrange(10**8):08}",
        lambda: f"sk_live_{row(24)}",
        lambda: f"postgres://app:{row(CHANCE.randint(8, 24))}@db.production.example:5432/app",
        lambda: row(12),
    ]
    return [kinds[number % len(kinds)]() for number in range(count)]


def row(size: int) -> str:
    """So many letters and digits."""
    return "".join(CHANCE.choices(ALNUM, k=size))


def texts(size: int) -> Iterator[tuple[str, bytes]]:
    """Kinds of output, each of so many bytes."""
    lines: dict[str, Callable[[int], str]] = {
        "a log": lambda n: (
            f"2026-11-22 06:{n % 60:02} {' '.join(CHANCE.choices(WORDS, k=9))} {n:#x}"
        ),
        "pytest": lambda n: f"tests/unit/test_module_{n % 40}.py::TestOfThings::test_it_{n} PASSED",
        "compiler": lambda n: (
            f"/src/lib/Transforms/Loop{n % 9}.cpp:{n}:8: warning: comparison of "
            "integers of different signs: 'std::vector<std::basic_string<char>>::size_type'"
        ),
        "UUIDs": lambda n: f"request {uuid.UUID(int=CHANCE.getrandbits(128))} took {n} ms",
        "colour": lambda n: f"\x1b[32mPASSED\x1b[0m test_{n} \x1b[1;31mE   assert\x1b[0m {n}",
        "Cyrillic": lambda n: f"строка журнала номер {n}, соединение закрыто",
        "hex dump": lambda n: f"{n * 16:08x}: {CHANCE.randbytes(16).hex(' ', 2)}",
        "hashes": lambda n: CHANCE.randbytes(32).hex(),
        "base64": lambda n: base64.b64encode(CHANCE.randbytes(57)).decode(),
        "a letter a line": lambda n: "x",
        "dots": lambda n: "." * 200,
        "@": lambda n: "@" * 200,
        "eyJ, no end": lambda n: "eyJ" * 100 + "-" * (n < 1000),
        "keys, no end": lambda n: "-----BEGIN PRIVATE " + "KEY-----",
        "URLs": lambda n: "postgres://app:word@db.production.example:5432/app",
    }
    for name, line in lines.items():
        count = size // len(line(0).encode()) + 1
        yield name, "\n".join(map(line, range(count))).encode()[:size]
    yield "random bytes", CHANCE.randbytes(size)


def nanoseconds(masker: Masker, text: bytes) -> float:
    """The best of three, by the byte."""
    taken = []
    for _ in range(3):
        began = time.process_time_ns()
        masker.mask(text)
        taken.append(time.process_time_ns() - began)
    return min(taken) / len(text)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kilobytes", type=int, default=400)
    options = parser.parse_args()
    masking = probe.load_masking()
    maskers = []
    for count in COUNTS:
        values = {value: f"$NAME_{number}" for number, value in enumerate(secrets(count))}
        began = time.process_time_ns()
        maskers.append(masking.Masker(values))
        print(f"{count} secrets: ready in {(time.process_time_ns() - began) / 1e6:.2f} ms")
    print(f"{'ns a byte':16}", *(f"{count:7}" for count in COUNTS))
    for name, text in texts(options.kilobytes * 1000):
        print(f"{name:16}", *(f"{nanoseconds(one, text):7.1f}" for one in maskers), flush=True)


if __name__ == "__main__":
    main()
