r"""What the tests of a nextest recording printed: `out/` in its store.zip, decoded.

    out/<digest>-stdout  -stderr  -combined     a zstd frame with the dictionary of its end
    meta/stdout.dict  meta/stderr.dict          combined streams take that of stdout

Equal outputs are one member. Of an output over nextest's `max-output-size` (10 MB) head and tail
are kept, and between them stands `\n\n... [truncated N bytes] ...\n\n`; the log has the size that
it had. An attempt names its streams in `output.output {kind: split, stdout, stderr}` or `{kind:
combined, output}`, each `{status: full | truncated | empty, file-name?, original-size?}`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from bundler.archive import Members
from bundler.errors import DamagedRecording
from bundler.limits import in_force, over

_CHUNK = 128 * 1024
_CUT = re.compile(rb"\n\n\.\.\. \[truncated [0-9]{1,19} bytes\] \.\.\.\n\n")
_STREAMS = ("stdout", "stderr", "output")


class Piece(NamedTuple):
    """A piece of an output: its stream, its bytes, and how many nextest cut out before it."""

    stream: str
    content: bytes
    omitted_bytes: int


class Outputs:
    """The outputs of one run; `store` is None where store.zip cannot be read.

    `missing` says of each output that could not be read why.
    """

    def __init__(self, store: Members | None) -> None:
        self.missing: list[str] = []
        self._store = store
        self._limits = in_force()
        self._left = self._limits.total_bytes
        self._decompressors: dict[str, Any] = {}

    def of(self, output: object) -> Iterator[Piece]:
        """Yield what an attempt or a script printed; `output` is what the log says of it.

        Raises HostileRecording where all outputs together are over the limit `total_bytes`: a log
        may name one output a million times.
        """
        inner = output.get("output", output) if isinstance(output, dict) else None
        if self._store is None or not isinstance(inner, dict):
            return
        for stream in _STREAMS:
            one = inner.get(stream)
            if isinstance(one, dict) and isinstance(one.get("file-name"), str):
                yield from self._pieces(stream, one["file-name"], one.get("original-size"))

    def _pieces(self, stream: str, file_name: str, whole_size: object) -> Iterator[Piece]:
        try:
            chunks = self._decoded(file_name)
            if type(whole_size) is int:
                for content, omitted in _around_the_cut(chunks, whole_size):
                    yield Piece(stream, content, omitted)
                return
            for chunk in chunks:
                yield Piece(stream, chunk, 0)
        except DamagedRecording as error:
            self.missing.append(error.message)

    def _decoded(self, file_name: str) -> Iterator[bytes]:
        assert self._store is not None
        name = f"out/{file_name}"
        if name not in self._store:
            raise DamagedRecording(f"{self._store.where}: {name!r:.200} is missing")
        import zstandard

        decompressor = self._decompressor(file_name)
        try:
            with decompressor.stream_reader(self._store[name]) as reader:
                while chunk := reader.read(_CHUNK):
                    self._claim(len(chunk))
                    yield chunk
        except zstandard.ZstdError as error:
            raise DamagedRecording(f"{self._store.where}: {name} is damaged: {error}") from None

    def _decompressor(self, file_name: str) -> Any:
        dictionary = "stderr.dict" if file_name.endswith("-stderr") else "stdout.dict"
        if dictionary not in self._decompressors:
            import zstandard

            content = self._store.get(f"meta/{dictionary}", b"") if self._store else b""
            self._decompressors[dictionary] = zstandard.ZstdDecompressor(
                dict_data=zstandard.ZstdCompressionDict(content) if content else None,
                max_window_size=self._limits.window_bytes,
            )
        return self._decompressors[dictionary]

    def _claim(self, count: int) -> None:
        self._left -= count
        if self._left < 0:
            what = f"{self._store.where if self._store else ''}: the outputs of all tests"
            raise over("total_bytes", self._limits.total_bytes, what)


def _around_the_cut(chunks: Iterable[bytes], whole_size: int) -> Iterator[tuple[bytes, int]]:
    """Yield head and tail of an output that nextest cut, each with what is missing before it."""
    content = b"".join(chunks)
    middle = len(content) // 2
    # A test may have printed such a line too; nextest's own stands in the middle.
    cuts = sorted(_CUT.finditer(content), key=lambda one: abs(one.start() - middle))
    if not cuts:
        yield content, 0
        return
    head, tail = content[: cuts[0].start()], content[cuts[0].end() :]
    yield head, 0
    yield tail, max(0, whole_size - len(head) - len(tail))
