"""The format of a file of saved blocks: records of one size, each sealed with AES-256-GCM.

::

    header   magic · identity · salt · key id · bytes of a block's keys and values
    record   of block 0:  key · parent's number · uses · exact? · keys and values │ tag
    record   of block 1:  …
    end      number of records │ tag

The nonce of record n is n, under a key that is this file's alone (its salt is random), and the
header is authenticated with each of them: a record of another file, at another place, cut or
changed does not open. The end has a nonce of its own kind: a file without it is not whole. Parents
come before their children. Numbers are little-endian and have a bound before anything is done with
them; there is no count to trust, for the file's size is the count.
"""

from __future__ import annotations

import secrets
import struct
from dataclasses import dataclass
from typing import BinaryIO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from serve.engine.transformers.prefix_store.store_secret import KEY_ID_BYTES, StoreSecret

MAGIC = b"imprefx1"
_SALT_BYTES = 32
_HEADER = struct.Struct(f"<8s32s{_SALT_BYTES}s{KEY_ID_BYTES}sQ")
_RECORD = struct.Struct("<32sIIB23x")
_NONCE = struct.Struct("<QI")
_END = struct.Struct("<Q")
_TAG_BYTES = 16
_BLOCK, _LAST = 0, 1
_NO_PARENT = _MOST_USES = 0xFFFFFFFF

HEAD_BYTES = _RECORD.size
"""Of a record, before its keys and values."""


class UnusableFileError(Exception):
    """A file that cannot be taken; the message says why, as the end of a sentence."""


@dataclass(frozen=True, slots=True)
class BlockHead:
    """Facts of a block beside its keys and values.

    Attributes:
        key: see prefix_hash.py; 32 bytes.
        parent: number of the record that the block follows, below its own; None of a first block.
        num_uses: sequences that found it.
        is_exact: see block_pool.py.
    """

    key: bytes
    parent: int | None
    num_uses: int
    is_exact: bool


def record_bytes(block_bytes: int) -> int:
    """Bytes that a block takes in the file."""
    return HEAD_BYTES + block_bytes + _TAG_BYTES


def most_blocks(max_bytes: int, block_bytes: int) -> int:
    """Blocks that a file of at most ``max_bytes`` holds."""
    rest = max_bytes - _HEADER.size - _END.size - _TAG_BYTES
    return max(0, rest // record_bytes(block_bytes))


class SealedWriter:
    """Writes a file from its beginning to its end.

    Args:
        file: empty, open for writing.
        identity: of what the blocks were computed with; 32 bytes.
        block_bytes: of one block's keys and values.

    Attributes:
        record: the next record in the clear. The caller fills it from ``HEAD_BYTES`` on.
    """

    def __init__(
        self, file: BinaryIO, secret: StoreSecret, *, identity: bytes, block_bytes: int
    ) -> None:
        salt = secrets.token_bytes(_SALT_BYTES)
        self.record = bytearray(HEAD_BYTES + block_bytes)
        self._file = file
        self._cipher = AESGCM(secret.file_key(salt))
        self._header = _HEADER.pack(MAGIC, identity, salt, secret.key_id, block_bytes)
        self._num_blocks = 0
        file.write(self._header)

    def put(self, head: BlockHead) -> None:
        """Seal the record and write it. Raises OSError."""
        parent = _NO_PARENT if head.parent is None else head.parent
        uses = min(head.num_uses, _MOST_USES)
        _RECORD.pack_into(self.record, 0, head.key, parent, uses, head.is_exact)
        nonce = _NONCE.pack(self._num_blocks, _BLOCK)
        self._file.write(self._cipher.encrypt(nonce, self.record, self._header))
        self._num_blocks += 1

    def finish(self) -> None:
        """Write the end, after which the file is whole. Raises OSError."""
        nonce = _NONCE.pack(self._num_blocks, _LAST)
        self._file.write(self._cipher.encrypt(nonce, _END.pack(self._num_blocks), self._header))


class SealedReader:
    """Reads the records of a file in turn.

    Args:
        file: open for reading, at its beginning.
        size: of the file, in bytes.
        identity: that it must have.
        block_bytes: that a block must have.

    Attributes:
        num_blocks: that the file has, by its size.
        record: the last record that was read; keys and values are from ``HEAD_BYTES`` on.

    Raises:
        UnusableFileError: it is no file of this kind, identity and secret, or is not whole.
    """

    def __init__(
        self,
        file: BinaryIO,
        size: int,
        secret: StoreSecret,
        *,
        identity: bytes,
        block_bytes: int,
    ) -> None:
        header = file.read(_HEADER.size)
        if len(header) != _HEADER.size or not header.startswith(MAGIC):
            raise UnusableFileError("is no file of saved prefixes")
        _, theirs, salt, key_id, their_bytes = _HEADER.unpack(header)
        if theirs != identity or their_bytes != block_bytes:
            raise UnusableFileError("is of another model, type, machine or version")
        if key_id != secret.key_id:
            raise UnusableFileError("was written under another key")
        num_bytes = size - _HEADER.size - _END.size - _TAG_BYTES
        self.num_blocks, rest = divmod(num_bytes, record_bytes(block_bytes))
        if rest or self.num_blocks < 0:
            raise UnusableFileError("is not whole")
        self.record = bytearray(HEAD_BYTES + block_bytes)
        self._file = file
        self._header = header
        self._cipher = AESGCM(secret.file_key(salt))
        self._num_read = 0
        self._check_end()

    def next(self) -> BlockHead:
        """Read a record. As many are there as ``num_blocks``.

        Raises:
            UnusableFileError: it is damaged.
            OSError: it cannot be read.
        """
        sealed_bytes = len(self.record) + _TAG_BYTES
        self.record[:] = self._opened(sealed_bytes, _NONCE.pack(self._num_read, _BLOCK))
        key, parent, uses, is_exact = _RECORD.unpack_from(self.record)
        if parent != _NO_PARENT and parent >= self._num_read:
            raise UnusableFileError("has a block before the one that it follows")
        self._num_read += 1
        return BlockHead(key, None if parent == _NO_PARENT else parent, uses, bool(is_exact))

    def _check_end(self) -> None:
        begin = self._file.tell()
        self._file.seek(begin + self.num_blocks * (len(self.record) + _TAG_BYTES))
        self._opened(_END.size + _TAG_BYTES, _NONCE.pack(self.num_blocks, _LAST))
        self._file.seek(begin)

    def _opened(self, num_bytes: int, nonce: bytes) -> bytes:
        sealed = self._file.read(num_bytes)
        if len(sealed) != num_bytes:
            raise UnusableFileError("is not whole")
        try:
            return self._cipher.decrypt(nonce, sealed, self._header)
        except InvalidTag:
            raise UnusableFileError("is damaged, or not whole") from None
