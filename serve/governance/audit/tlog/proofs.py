"""Inclusion and consistency proofs: made as RFC 6962 section 2.1 says, checked as RFC 9162 does."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from serve.governance.audit.tlog.hashing import EMPTY_ROOT, node_hash

ReadHash = Callable[[int, int], bytes]
"""Takes level and index in the binary tree: the hash over entries ``index << level`` and on."""


def root_at(size: int, read: ReadHash) -> bytes:
    """The root of the tree that the first so many entries are."""
    return _subtree(0, size, read) if size else EMPTY_ROOT


def inclusion_proof(index: int, size: int, read: ReadHash) -> list[bytes]:
    """The hashes that lead from an entry to the root of a tree, the leaf's sibling first.

    Raises:
        ValueError: the tree has no such entry.
    """
    if not 0 <= index < size:
        raise ValueError(f"a tree of {size} entries has no entry {index}")
    proof: list[bytes] = []
    start, end = 0, size
    while end - start > 1:
        middle = start + _left_half(end - start)
        if index < middle:
            proof.append(_subtree(middle, end, read))
            end = middle
        else:
            proof.append(_subtree(start, middle, read))
            start = middle
    return proof[::-1]


def consistency_proof(old_size: int, new_size: int, read: ReadHash) -> list[bytes]:
    """The hashes that show a tree to begin with an older one.

    There are none where the older tree is empty or the same.

    Raises:
        ValueError: the older tree is larger.
    """
    if not 0 <= old_size <= new_size:
        raise ValueError(f"a tree of {new_size} entries cannot begin with one of {old_size}")
    if old_size in (0, new_size):
        return []
    proof: list[bytes] = []
    start, end = 0, new_size
    while old_size < end:
        middle = start + _left_half(end - start)
        if old_size <= middle:
            proof.append(_subtree(middle, end, read))
            end = middle
        else:
            proof.append(_subtree(start, middle, read))
            start = middle
    if start:
        proof.append(_subtree(start, end, read))
    return proof[::-1]


def is_included(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> bool:
    """Whether the proof leads from this leaf hash to this root (RFC 9162, section 2.1.3.2)."""
    if not 0 <= index < size:
        return False
    node, last, found = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            return False
        if node % 2 or node == last:
            found = node_hash(sibling, found)
            while node % 2 == 0 and node:
                node, last = node >> 1, last >> 1
        else:
            found = node_hash(found, sibling)
        node, last = node >> 1, last >> 1
    return last == 0 and found == root


def is_consistent(
    old_size: int, old_root: bytes, new_size: int, new_root: bytes, proof: Sequence[bytes]
) -> bool:
    """Whether the proof shows the new tree to begin with the old (RFC 9162, section 2.1.4.2)."""
    if not 0 <= old_size <= new_size:
        return False
    if old_size == new_size:
        return not proof and old_root == new_root
    if old_size == 0:
        return not proof and old_root == EMPTY_ROOT
    path = list(proof)
    if old_size & (old_size - 1) == 0:
        path.insert(0, old_root)
    if not path:
        return False
    node, last = old_size - 1, new_size - 1
    while node % 2:
        node, last = node >> 1, last >> 1
    old = new = path[0]
    for sibling in path[1:]:
        if last == 0:
            return False
        if node % 2 or node == last:
            old, new = node_hash(sibling, old), node_hash(sibling, new)
            while node % 2 == 0 and node:
                node, last = node >> 1, last >> 1
        else:
            new = node_hash(new, sibling)
        node, last = node >> 1, last >> 1
    return last == 0 and old == old_root and new == new_root


def _left_half(num: int) -> int:
    """The largest power of two below ``num``, which is at least 2."""
    return 1 << (num - 1).bit_length() - 1


def _subtree(start: int, end: int, read: ReadHash) -> bytes:
    num = end - start
    if num & (num - 1) == 0:
        level = num.bit_length() - 1
        return read(level, start >> level)
    middle = start + _left_half(num)
    return node_hash(_subtree(start, middle, read), _subtree(middle, end, read))
