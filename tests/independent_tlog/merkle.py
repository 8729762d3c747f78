"""Merkle trees as RFC 6962, section 2.1 defines them, word by word: recursive, and not fast."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from tests.independent_tlog.notes import Refused


def leaf_hash(entry: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def root_of(hashes: Sequence[bytes]) -> bytes:
    """MTH over hashes of leaves, or of equal subtrees."""
    if not hashes:
        return hashlib.sha256(b"").digest()
    if len(hashes) == 1:
        return hashes[0]
    split = _split(len(hashes))
    return node_hash(root_of(hashes[:split]), root_of(hashes[split:]))


def root_by_inclusion(leaf: bytes, index: int, size: int, path: Sequence[bytes]) -> bytes:
    """The root that PATH(index, D[size]) leads to.

    Raises:
        Refused: the path is too short or too long.
    """
    if not 0 <= index < size:
        raise Refused("no such leaf")
    if size == 1:
        if path:
            raise Refused("the path is too long")
        return leaf
    if not path:
        raise Refused("the path is too short")
    split, (*inner, last) = _split(size), path
    if index < split:
        return node_hash(root_by_inclusion(leaf, index, split, inner), last)
    return node_hash(last, root_by_inclusion(leaf, index - split, size - split, inner))


def roots_by_consistency(
    old_size: int, old_root: bytes, size: int, proof: Sequence[bytes], *, is_whole: bool = True
) -> tuple[bytes, bytes]:
    """The old root and the new one that PROOF(old_size, D[size]) leads to.

    Raises:
        Refused: the proof is too short or too long.
    """
    if not 0 < old_size <= size:
        raise Refused("there is no proof between these sizes")
    if old_size == size:
        if len(proof) != (0 if is_whole else 1):
            raise Refused("the proof has a wrong length")
        found = old_root if is_whole else proof[0]
        return found, found
    if not proof:
        raise Refused("the proof is too short")
    split, (*inner, last) = _split(size), proof
    if old_size <= split:
        old, new = roots_by_consistency(old_size, old_root, split, inner, is_whole=is_whole)
        return old, node_hash(new, last)
    old, new = roots_by_consistency(old_size - split, old_root, size - split, inner, is_whole=False)
    return node_hash(last, old), node_hash(last, new)


def _split(size: int) -> int:
    """The largest power of two below a size."""
    return 1 << (size - 1).bit_length() - 1
