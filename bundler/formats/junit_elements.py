"""A JUnit XML document as a row of pieces, whoever wrote it, in bounded memory.

    Suite begins, its properties and output, its cases one by one, suites inside it, suite ends

A stranger's document is refused (HostileRecording) where it has a document type: nothing in JUnit
needs one, and entities, external ones too, are declared there. So it is where it is nested too
deep, or one tag goes on without end. Of the text of a case only so much is kept, and what is not is
counted. A document that is not well-formed ends where it is not: what stands before counts. Control
characters that XML forbids, which tools write all the same, are read as `?`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO
from xml.parsers import expat

from bundler.errors import HostileRecording

MAX_DEPTH = 64
MAX_TAG_BYTES = 4 << 20
MAX_CASE_CHARACTERS = 16 << 20
MAX_CASE_ELEMENTS = 20_000

_CHUNK = 128 * 1024
_WIDE = (b"\xff\xfe", b"\xfe\xff")
_FORBIDDEN = bytes(set(range(32)) - {9, 10, 13})
_VISIBLE = bytes.maketrans(_FORBIDDEN, b"?" * len(_FORBIDDEN))


@dataclass(slots=True)
class Element:
    """One element inside a suite or a case; `omitted` is how many characters were not kept."""

    tag: str
    attributes: dict[str, str]
    children: list[Element] = field(default_factory=list)
    pieces: list[str] = field(default_factory=list)
    omitted: int = 0

    @property
    def text(self) -> str:
        """The characters directly in it."""
        return "".join(self.pieces)

    def get(self, name: str) -> str:
        """An attribute, empty where it is not there."""
        return self.attributes.get(name, "")


@dataclass(frozen=True, slots=True)
class SuiteBegins:
    """A `testsuites` or `testsuite` begins."""

    tag: str
    attributes: dict[str, str]


@dataclass(frozen=True, slots=True)
class SuiteEnds:
    """The innermost suite ends."""


@dataclass(frozen=True, slots=True)
class Whole:
    """An element of a suite, whole: a `testcase`, `properties`, `system-out` …"""

    element: Element


@dataclass(frozen=True, slots=True)
class Broken:
    """Here the document stops to be one; `element` is what it stops in the middle of, if any."""

    why: str
    element: Element | None


Piece = SuiteBegins | SuiteEnds | Whole | Broken


def pieces(source: IO[bytes], where: str) -> Iterator[Piece]:
    """Yield the pieces of a document in order. Raises HostileRecording."""
    reading = _Reading(where)
    parser = _parser(reading)
    fed = 0
    is_wide: bool | None = None  # UTF-16: its bytes are not characters
    try:
        while chunk := source.read(_CHUNK):
            is_wide = b"\0" in chunk[:4] or chunk[:2] in _WIDE if is_wide is None else is_wide
            parser.Parse(chunk if is_wide else chunk.translate(_VISIBLE), False)
            fed += len(chunk)
            if fed - max(0, parser.CurrentByteIndex) > MAX_TAG_BYTES:
                raise HostileRecording(f"{where} has a tag of more than {MAX_TAG_BYTES} bytes")
            yield from reading.taken()
        parser.Parse(b"", True)
        yield from reading.taken()
    except (expat.ExpatError, LookupError, ValueError) as error:
        yield from reading.taken()
        yield Broken(_why(error), reading.open[0] if reading.open else None)


def _why(error: Exception) -> str:
    """What the parser met; of an encoding that Python has not, or of several bytes, Python says."""
    if isinstance(error, expat.ExpatError):
        return f"{expat.ErrorString(error.code)} in line {error.lineno}"
    return str(error)


def _parser(reading: _Reading) -> expat.XMLParserType:
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.buffer_size = 64 * 1024
    parser.StartDoctypeDeclHandler = reading.doctype
    parser.StartElementHandler = reading.begin
    parser.EndElementHandler = reading.end
    parser.CharacterDataHandler = reading.characters
    return parser


class _Reading:
    """The handlers: `open` are the elements from the suite's child on, the suites are not in it."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.open: list[Element] = []
        self._done: list[Piece] = []
        self._suites = 0
        self._elements = 0
        self._characters = 0

    def taken(self) -> list[Piece]:
        done, self._done = self._done, []
        return done

    def doctype(self, *_: object) -> None:
        raise HostileRecording(f"{self.where} declares a document type, which no report needs")

    def begin(self, name: str, attributes: dict[str, str]) -> None:
        tag = name.rpartition(":")[2]
        if len(self.open) + self._suites >= MAX_DEPTH:
            raise HostileRecording(f"{self.where} is nested over {MAX_DEPTH} levels")
        if not self.open and tag in ("testsuites", "testsuite"):
            self._suites += 1
            self._done.append(SuiteBegins(tag, attributes))
            return
        element = Element(tag, attributes)
        self._elements = self._elements + 1 if self.open else 0
        if self.open and self._elements <= MAX_CASE_ELEMENTS:
            self.open[-1].children.append(element)
        self.open.append(element)

    def end(self, name: str) -> None:
        if not self.open:
            self._suites -= 1
            self._done.append(SuiteEnds())
            return
        element = self.open.pop()
        if not self.open:
            self._characters = 0
            self._done.append(Whole(element))

    def characters(self, text: str) -> None:
        if not self.open:
            return
        element = self.open[-1]
        room = MAX_CASE_CHARACTERS - self._characters
        if len(text) > room or self._elements > MAX_CASE_ELEMENTS:
            element.omitted += len(text)
            return
        self._characters += len(text)
        element.pieces.append(text)
