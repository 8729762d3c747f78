"""RFC 6962's definitions written down as they stand, over whole lists: slow, and beyond doubt."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence


def sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def split(num: int) -> int:
    """The largest power of two smaller than ``num``."""
    k = 1
    while k * 2 < num:
        k *= 2
    return k


def tree_hash(entries: Sequence[bytes]) -> bytes:
    """MTH of section 2.1."""
    if not entries:
        return sha256(b"")
    if len(entries) == 1:
        return sha256(b"\x00" + entries[0])
    k = split(len(entries))
    return sha256(b"\x01" + tree_hash(entries[:k]) + tree_hash(entries[k:]))


def path(m: int, entries: Sequence[bytes]) -> list[bytes]:
    """PATH of section 2.1.1."""
    if len(entries) == 1:
        return []
    k = split(len(entries))
    if m < k:
        return [*path(m, entries[:k]), tree_hash(entries[k:])]
    return [*path(m - k, entries[k:]), tree_hash(entries[:k])]


def proof(m: int, entries: Sequence[bytes]) -> list[bytes]:
    """PROOF of section 2.1.2, for m below the number of entries."""
    return subproof(m, entries, True)


def subproof(m: int, entries: Sequence[bytes], is_known: bool) -> list[bytes]:
    if m == len(entries):
        return [] if is_known else [tree_hash(entries)]
    k = split(len(entries))
    if m <= k:
        return [*subproof(m, entries[:k], is_known), tree_hash(entries[k:])]
    return [*subproof(m - k, entries[k:], False), tree_hash(entries[:k])]


def some_entries(num: int) -> list[bytes]:
    return [f"entry {number}".encode() * (number % 3) for number in range(num)]
