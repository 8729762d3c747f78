"""Files of sealed records: what was written comes back, and nothing else does."""

from __future__ import annotations

import io
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve.engine.transformers.prefix_store import sealed_file
from serve.engine.transformers.prefix_store.sealed_file import (
    HEAD_BYTES,
    BlockHead,
    SealedReader,
    SealedWriter,
    UnusableFileError,
)
from serve.engine.transformers.prefix_store.store_secret import StoreSecret

SECRET, OTHER_SECRET = StoreSecret(b"s" * 32), StoreSecret(b"t" * 32)
IDENTITY, OTHER_IDENTITY = b"i" * 32, b"j" * 32
BLOCK_BYTES = 40
BLOCKS = [
    (BlockHead(bytes([index]) * 32, index - 1 if index else None, 5 - index, index % 2 == 0), body)
    for index, body in enumerate([b"plain text " * 3 + b"of keys"] * 3)
]


def written(blocks: list[tuple[BlockHead, bytes]] = BLOCKS) -> bytes:
    file = io.BytesIO()
    writer = SealedWriter(file, SECRET, identity=IDENTITY, block_bytes=BLOCK_BYTES)
    for head, body in blocks:
        writer.record[HEAD_BYTES:] = body
        writer.put(head)
    writer.finish()
    return file.getvalue()


def read(
    content: bytes,
    *,
    secret: StoreSecret = SECRET,
    identity: bytes = IDENTITY,
    block_bytes: int = BLOCK_BYTES,
) -> list[tuple[BlockHead, bytes]]:
    file = io.BytesIO(content)
    reader = SealedReader(file, len(content), secret, identity=identity, block_bytes=block_bytes)
    return [(reader.next(), bytes(reader.record[HEAD_BYTES:])) for _ in range(reader.num_blocks)]


FILE = written()


def test_what_was_written_comes_back() -> None:
    assert read(FILE) == BLOCKS
    assert read(written([])) == []


def test_a_bound_of_bytes_is_a_number_of_blocks() -> None:
    for count in range(4):
        size = len(written(BLOCKS[:count]))
        assert sealed_file.most_blocks(size, BLOCK_BYTES) == count
        assert sealed_file.most_blocks(size - 1, BLOCK_BYTES) == max(0, count - 1)


def test_nothing_of_a_block_is_in_the_file() -> None:
    for head, body in BLOCKS:
        assert head.key not in FILE
        assert body[:16] not in FILE
    assert written() != FILE  # another salt, another key


def test_a_file_of_another_key_identity_or_size_is_refused() -> None:
    with pytest.raises(UnusableFileError, match="under another key"):
        read(FILE, secret=OTHER_SECRET)
    with pytest.raises(UnusableFileError, match="another model"):
        read(FILE, identity=OTHER_IDENTITY)
    with pytest.raises(UnusableFileError, match="another model"):
        read(FILE, block_bytes=BLOCK_BYTES + 1)
    with pytest.raises(UnusableFileError, match="no file of saved prefixes"):
        read(b"{}" * 200)


def test_a_file_that_is_cut_anywhere_is_refused() -> None:
    for size in range(len(FILE)):
        with pytest.raises(UnusableFileError):
            read(FILE[:size])
    with pytest.raises(UnusableFileError):
        read(FILE + b"\0")


@given(at=st.integers(0, len(FILE) - 1), flip=st.integers(1, 255))
def test_a_byte_that_is_changed_is_found(at: int, flip: int) -> None:
    damaged = bytearray(FILE)
    damaged[at] ^= flip
    with pytest.raises(UnusableFileError):
        read(bytes(damaged))


def test_records_cannot_change_places_nor_files() -> None:
    size = sealed_file.record_bytes(BLOCK_BYTES)
    begin = len(written([])) - 24
    first, second = FILE[begin : begin + size], FILE[begin + size : begin + 2 * size]
    swapped = FILE[:begin] + second + first + FILE[begin + 2 * size :]
    dropped = FILE[:begin] + FILE[begin + size :]
    mixed = FILE[:begin] + written()[begin : begin + size] + FILE[begin + size :]
    for content in (swapped, dropped, mixed):
        with pytest.raises(UnusableFileError, match="damaged"):
            read(content)


@pytest.mark.parametrize("parent", [1, 2, 7, 0xFFFFFFFE])
def test_a_block_before_its_parent_is_refused(parent: int) -> None:
    """Such a file is not ours, but sealed under our key."""
    head, body = BLOCKS[1]
    wrong = BlockHead(head.key, parent, 0, is_exact=True)
    with pytest.raises(UnusableFileError, match="before the one"):
        read(written([BLOCKS[0], (wrong, body)]))


def test_uses_beyond_their_field_are_the_most_that_it_holds() -> None:
    head, body = BLOCKS[0]
    [(found, _)] = read(written([(BlockHead(head.key, None, 1 << 40, is_exact=True), body)]))
    assert found.num_uses == struct.unpack("<I", b"\xff" * 4)[0]
