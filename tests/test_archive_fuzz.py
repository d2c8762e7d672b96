"""Any small change to an archive: its members are read as they were, or our error is raised."""

from __future__ import annotations

import pytest
from full_size import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from zip_builder import DEFLATE, ZSTD, Made, build, folder, streamed, zip64_extra

from bundler.archive import open_zip
from bundler.errors import UnreadableRecording

CONTENT = b"some content, some content " * 3
WIDE = {"packed": 0xFFFFFFFF, "size": 0xFFFFFFFF, "extra": zip64_extra(len(CONTENT), len(CONTENT))}
ARCHIVES = [
    build(
        Made("manifest.json", b"{}"),
        folder("sub/"),
        streamed("sub/b", CONTENT),
        Made("c", CONTENT, DEFLATE),
        Made("d", CONTENT, ZSTD),
        comment=b"hello",
    ),
    build(Made("a", CONTENT, local=WIDE, central=WIDE), streamed("b", b"", wide=True), zip64=b""),
    build(streamed("run.zip", build(Made("a", CONTENT, DEFLATE), Made("b")))),
]


def read(raw: bytes) -> dict[str, bytes]:
    with open_zip(raw, where="x.zip") as members:
        return dict(members)


def holds(changed: bytes, original: bytes) -> bool:
    """Whether a changed archive is refused by one of our errors, or reads as before."""
    try:
        return read(changed) == read(original)
    except UnreadableRecording:
        return True


@pytest.mark.parametrize("original", ARCHIVES)
def test_every_cut_and_every_missing_byte_is_seen(original: bytes) -> None:
    for at in range(len(original)):
        assert holds(original[:at], original)
        assert holds(original[at + 1 :], original)
        assert holds(original[:at] + original[at + 1 :], original)


@pytest.mark.parametrize("original", ARCHIVES)
def test_every_flipped_byte_is_seen_or_means_nothing(original: bytes) -> None:
    for at in range(len(original)):
        for mask in (0x01, 0x80, 0xFF, 0x20, original[at]):
            changed = bytearray(original)
            changed[at] ^= mask
            assert holds(bytes(changed), original), (at, mask)


@settings(deadline=None, max_examples=examples(500))
@given(
    st.sampled_from(ARCHIVES),
    st.lists(
        st.tuples(st.integers(0, 2000), st.integers(0, 4), st.binary(max_size=8)),
        min_size=1,
        max_size=4,
    ),
)
def test_any_few_changes_are_seen_or_mean_nothing(
    original: bytes, changes: list[tuple[int, int, bytes]]
) -> None:
    changed = original
    for at, gone, put in changes:
        at %= len(original)
        changed = changed[:at] + put + changed[at + gone :]
    assert holds(changed, original)


@settings(deadline=None, max_examples=examples(300))
@given(st.binary(max_size=200), st.binary(max_size=60), st.sampled_from(ARCHIVES))
def test_any_bytes_at_all_raise_nothing_but_our_errors(
    head: bytes, tail: bytes, original: bytes
) -> None:
    for raw in (head, b"PK\3\4" + head, head + original[-22:], head + b"PK\5\6" + tail):
        try:
            read(raw)
        except UnreadableRecording:
            continue
