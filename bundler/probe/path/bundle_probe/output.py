"""What a test printed: from the sections of its reports to TestOutput events, bounded."""

from __future__ import annotations

from binascii import b2a_base64

from .text import SECRETS, as_json

CHUNK_BYTES = 128 * 1024
"""JSON can make six bytes of one: such a chunk stays under a line's 1 MiB whatever is in it."""

PHASES = ("setup", "call", "teardown")


def place(title, when):
    """Return stream and phase of a section: `Captured stdout call`, or any title."""
    words = title.split(" ")
    if len(words) == 3 and words[0] == "Captured" and words[2] in PHASES:
        return words[1], words[2]
    return title, when


def pieces(content, room, _secrets=SECRETS):
    """Yield (JSON of `text` or `base64`, bytes omitted before) of at most `room` bytes, in chunks.

    Where there is more, its head and its tail are kept. It is masked first: a secret across the
    border of two chunks, or at the cut, is one secret.
    """
    try:
        raw, is_text = content.encode("utf-8"), True
    except UnicodeEncodeError:
        raw, is_text = content.encode("utf-8", "surrogatepass"), False
    raw = _secrets.masker.mask(raw, cut=False)
    omitted = max(0, len(raw) - room)
    if not omitted:
        yield from _chunks(raw, is_text, 0)
        return
    head = _boundary(raw, room // 2, is_text)
    tail = len(raw) - (room - room // 2)
    while is_text and tail < len(raw) and raw[tail] & 0xC0 == 0x80:
        tail += 1
    yield from _chunks(raw[:head], is_text, 0)
    yield from _chunks(raw[tail:], is_text, tail - head)


def size(content):
    """Return how many bytes of UTF-8 a text is."""
    return len(content) if content.isascii() else len(content.encode("utf-8", "surrogatepass"))


def without_known(sections, known):
    """Return the sections that are new: a report repeats those of the reports before it."""
    known = list(known)
    new = []
    for section in sections:
        if section in known:
            known.remove(section)
        else:
            new.append(section)
    return new


def has_all(sections, known):
    """Return whether all known sections are there."""
    return len(without_known(sections, known)) == len(sections) - len(known)


def _chunks(raw, is_text, omitted):
    begin = 0
    while begin < len(raw) or omitted:
        end = _boundary(raw, min(begin + CHUNK_BYTES, len(raw)), is_text)
        yield _field(raw[begin:end], is_text), omitted
        begin, omitted = end, 0


def _boundary(raw, index, is_text):
    """Move an index back to where a character begins."""
    while is_text and 0 < index < len(raw) and raw[index] & 0xC0 == 0x80:
        index -= 1
    return index


def _field(raw, is_text, _base64=b2a_base64):
    if is_text:
        return f'"text":{as_json(raw.decode("utf-8"))}'
    return f'"base64":"{_base64(raw, newline=False).decode("ascii")}"'
