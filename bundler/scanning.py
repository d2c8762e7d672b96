"""Where secrets stand in a file, a directory, an archive or a recording: `bundle scan`.

Everything is read through the gate, a piece at a time. What is compressed is looked into: gzip,
bzip2, xz, zstd, an archive inside an archive, a compressed `.trace`. The log of a run bundle is
read as one text for each stream, so a secret that stands in two pieces of output is found as well.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from bundler import archive, bundle
from bundler.archive import Members
from bundler.errors import DamagedRecording, NotARecording, UnreadableRecording
from bundler.events import decode_line, text_bytes
from bundler.formats.trace_frames import MAGIC, Cut, Frames, Input
from bundler.limits import Limits
from bundler.masked_log import OUTPUTS, MaskedOutputs
from bundler.opening import compression_of, rejoined, unpacked
from bundler.recording import Recording
from bundler.redaction import Masker, counted
from bundler.zip_records import looks_like_zip

_CHUNK = 1 << 20
_HEAD = 4096
_DEEPEST = 3


@dataclass(frozen=True, slots=True)
class Finding:
    """One secret: in which member, at which byte and line of it, and by which rule.

    `size` is how many bytes it has, 0 where that is not known: it is in pieces, or encoded.
    """

    member: str
    offset: int
    line: int
    rule: str
    size: int


def scan(path: Path, masker: Masker) -> Iterator[Finding]:
    """Yield every secret in a file, a directory or an archive.

    Raises UnreadableRecording where the gate refuses it, OSError.
    """
    if path.is_dir():
        yield from _in_members(archive.open_directory(path), masker, "")
        return
    with path.open("rb") as file:
        yield from scan_stream(file, path.name, masker, where=str(path))


def is_packed(path: Path) -> bool:
    """Whether a file is compressed, or an archive."""
    with path.open("rb") as file:
        head = file.read(_HEAD)
    return looks_like_zip(head) or compression_of(head) is not None or head.startswith(MAGIC)


def scan_stream(
    stream: IO[bytes], name: str, masker: Masker, *, where: str, depth: int = 0
) -> Iterator[Finding]:
    """Yield every secret in a stream; what is packed in it is unpacked, but not for ever."""
    head = stream.read(_HEAD)
    whole = rejoined(head, stream)
    if depth < _DEEPEST and (looks_like_zip(head) or compression_of(head)):
        with archive.spool(whole, Limits(), where=where) as file:
            try:
                yield from _in_packed(file, head, name, masker, where, depth)
            except (NotARecording, DamagedRecording):
                if not depth:
                    raise
                file.seek(0)  # it only begins like one, or is broken
                yield from _in_bytes(file, name, masker)
    elif head.startswith(MAGIC):
        yield from _in_trace(whole, name, masker)
    else:
        yield from _in_bytes(whole, name, masker)


def _in_packed(
    file: IO[bytes], head: bytes, name: str, masker: Masker, where: str, depth: int
) -> Iterator[Finding]:
    kind = compression_of(head)
    if kind is None:
        members = archive.open_zip(file, where=where)
        yield from _in_members(members, masker, name if depth else "", depth + 1)
        return
    with unpacked(kind, file, Limits(), where, []) as content:
        yield from scan_stream(content, name, masker, where=where, depth=depth + 1)


def _in_members(members: Members, masker: Masker, prefix: str, depth: int = 1) -> Iterator[Finding]:
    logs: tuple[str, ...] = ()
    if bundle.MANIFEST in members and not prefix:
        try:
            recording = bundle.from_members(members, where=members.where)
        except UnreadableRecording:
            pass  # no run bundle, or a broken one: its files are looked at one by one
        else:
            logs = (bundle.LOG, bundle.SEALED_LOG)
            yield from _in_log(recording, masker)
    for name in members:
        shown = f"{prefix}/{name}" if prefix else name
        for rule in _rules_in(name.encode("utf-8", "surrogateescape"), masker):
            yield Finding(masker.text(shown), 0, 0, rule, 0)
        if name not in logs:
            with members.open(name) as stream:
                where = f"{members.where}: {name}"
                safe = masker.text(shown)
                yield from scan_stream(stream, safe, masker, where=where, depth=depth)


def _rules_in(data: bytes, masker: Masker) -> list[str]:
    return [rule for _, _, rule in masker.find(data)]


def _in_log(recording: Recording, masker: Masker) -> Iterator[Finding]:
    """Look at a log as the texts that it holds; offsets are of the log as it is uncompressed."""
    outputs = MaskedOutputs(masker, recording.events())
    for number, line in enumerate(recording.log.lines(), start=1):
        output = _marked_anew(line.content, line.offset, outputs)
        if output is not None:
            for rule in output.elements():
                yield Finding(bundle.LOG, line.offset, number, rule, 0)
            continue
        for begin, end, rule in masker.find(line.content):
            yield Finding(bundle.LOG, line.offset + begin, number, rule, end - begin)


def _marked_anew(line: bytes, offset: int, outputs: MaskedOutputs) -> Counter[str] | None:
    """The marks that masking leaves in a piece of output; None where the line is none."""
    try:
        event = decode_line(line)
        if event.event not in OUTPUTS:
            return None
        data = event.payload()
        content = outputs.content(offset, event, data)
        return Counter(counted(content)) - Counter(counted(text_bytes(data)))
    except ValueError:
        return None


def _in_bytes(stream: IO[bytes], name: str, masker: Masker) -> Iterator[Finding]:
    masked = masker.stream()
    while chunk := stream.read(_CHUNK):
        masked.feed(chunk)
        yield from _taken(masked.found, name)
    masked.flush()
    yield from _taken(masked.found, name)


def _taken(found: list[tuple[int, int, int, str]], name: str) -> Iterator[Finding]:
    for offset, line, size, rule in found:
        yield Finding(name, offset, line, rule, size)
    found.clear()


def _in_trace(stream: IO[bytes], name: str, masker: Masker) -> Iterator[Finding]:
    frames = Frames(Input(stream))
    try:
        described = frames.header().metadata
        for rule in _rules_in(repr(described).encode("utf-8", "backslashreplace"), masker):
            yield Finding(name, 0, 0, rule, 0)
        for offset, content in frames:
            for begin, end, rule in masker.find(content):
                yield Finding(name, offset, 0, rule, end - begin)
    except (Cut, UnreadableRecording):
        return  # what is behind cannot be read by anybody
