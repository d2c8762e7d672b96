"""The files that the tests of a run left, masked where they lie, before the bundle is sealed.

A text gets marks, JSON stays JSON, and a binary file keeps its size: there a secret becomes stars.
A name that holds a secret is changed. What is packed (zip, gzip, zstd) cannot be masked without
being made anew; `bundler.scanning` looks inside.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from bundler import atomic
from bundler.directory_reader import open_regular
from bundler.redaction import Masker, Stream

_CHUNK = 1 << 20
_HEAD = 8 * 1024
_WHOLE_DOCUMENT = 16 << 20
_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9._-]+")


def mask_files(directory: Path, masker: Masker, ours: frozenset[str]) -> Counter[str]:
    """Mask every file below a directory but `ours`, and return how often each rule struck.

    Raises OSError.
    """
    counts: Counter[str] = Counter()
    for path in list(files_below(directory, ours)):
        counts += mask_file(path, masker)
    return counts


def mask_names(directory: Path, masker: Masker, ours: frozenset[str]) -> int:
    """Rename every file and directory whose name holds a secret; return how many these were.

    Raises OSError.
    """
    renamed = 0
    for path in sorted(directory.rglob("*"), key=lambda one: -len(one.parts)):
        masked = masker.text(path.name)
        if masked != path.name and path.relative_to(directory).as_posix() not in ours:
            path.rename(_free(path.with_name(_NOT_IN_A_NAME.sub("_", masked).strip("_"))))
            renamed += 1
    return renamed


def files_below(directory: Path, ours: frozenset[str]) -> Iterator[Path]:
    """Yield the regular files below a directory but `ours`, which are names relative to it."""
    for path in sorted(directory.rglob("*")):
        name = path.relative_to(directory).as_posix()
        if path.is_file() and not path.is_symlink() and name not in ours:
            yield path


def mask_file(path: Path, masker: Masker) -> Counter[str]:
    """Mask one file, if there is anything to mask, and return how often each rule struck."""
    with _opened(path) as file:
        is_binary = b"\0" in file.read(_HEAD)
        file.seek(0)
        stream = masker.stream()
        for _ in _fed(stream, file):
            pass
        found = Counter(rule for _, _, _, rule in stream.found)
        if not found:
            return found
        file.seek(0)
        with atomic.replacing(path) as target:
            if _is_document(path) and not is_binary:
                target.writelines(_lines(file, path, masker))
            else:
                target.writelines(_fed(masker.stream(same_size=is_binary), file))
    return found


def _fed(stream: Stream, file: IO[bytes]) -> Iterator[bytes]:
    while chunk := file.read(_CHUNK):
        yield stream.feed(chunk)
    yield stream.flush()


def _is_document(path: Path) -> bool:
    if path.suffix in (".ndjson", ".jsonl"):
        return True
    return path.suffix == ".json" and path.stat().st_size <= _WHOLE_DOCUMENT


def _lines(file: IO[bytes], path: Path, masker: Masker) -> Iterator[bytes]:
    """JSON is masked value by value, so that it stays JSON."""
    if path.suffix == ".json":
        yield masker.line(file.read())
        return
    while line := file.readline(_WHOLE_DOCUMENT):
        yield masker.line(line)


def _opened(path: Path) -> IO[bytes]:
    return open(open_regular(path, path.name), "rb")  # noqa: PTH123 - it is a descriptor


def _free(path: Path) -> Path:
    number, chosen = 1, path
    while chosen.exists():
        number += 1
        chosen = path.with_name(f"{path.stem}-{number}{path.suffix}")
    return chosen
