"""Divergence: where a log stops being the one that was cosigned.

How exactly that can be said depends on what the witness kept:

    a copy of the leaf hashes     the first entry that is another one
    trees cosigned before         the entries between two of them, one of which is another one
    the last checkpoint alone     that something before its size is another one
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain, islice

from serve.governance.audit.log.errors import LogDamaged
from serve.governance.audit.log.folder import LogFolder
from serve.governance.audit.tlog.hashing import HASH_BYTES, leaf_hash
from serve.governance.audit.tlog.tiles import HEIGHT, WIDTH, entries_in
from serve.governance.audit.witness.leaf_copy import LeafCopy
from serve.governance.audit.witness.state import Held


@dataclass(frozen=True, slots=True, kw_only=True)
class Divergence:
    """The entries of which at least the first one that differs is one.

    Attributes:
        first, last: indices; the same where the entry is known.
        held: the tree that was cosigned and that the log no longer has.
        is_missing: the log ends there.
    """

    first: int
    last: int
    held: Held
    is_missing: bool = False

    def __str__(self) -> str:
        if self.is_missing:
            return (
                f"entry {self.first} is missing: the log ends before it, and {self.held.size} "
                f"entries were cosigned on {_day(self.held)}"
            )
        if self.first == self.last:
            return (
                f"entry {self.first} is not the entry that was cosigned on or before "
                f"{_day(self.held)}; those before it are"
            )
        before = f"; those before {self.first} are as they were" if self.first else ""
        return (
            f"one of entries {self.first} to {self.last} is not what was cosigned on or before "
            f"{_day(self.held)}{before}"
        )


def by_copy(log: LogFolder, copy: LeafCopy, held: Held) -> Divergence | None:
    """The first entry that is not in the witness's copy; None where all of them are.

    Entries that were pruned are passed over: nobody has them any more.
    """
    index = 0
    for kept, found in zip(copy.leaves(), _leaves(log, held.size), strict=False):
        if found is not None and kept != found:
            return Divergence(first=index, last=index, held=held)
        index += 1
    if index < held.size:
        is_missing = index >= log.size
        return Divergence(first=index, last=index, held=held, is_missing=is_missing)
    return None


def by_history(log: LogFolder, history: Iterable[Held], held: Held) -> Divergence | None:
    """The entries between the last tree that the log still has and the first that it has not."""
    first = 0
    for tree in chain(history, [held]):
        if tree.size > held.size:
            continue
        if tree.size > log.size:
            return Divergence(first=log.size, last=tree.size - 1, held=tree, is_missing=True)
        try:
            is_same = log.root_at(tree.size) == tree.root
        except LogDamaged:
            continue  # pruned, or missing, which `audit verify` tells of
        if not is_same:
            return Divergence(first=first, last=max(first, tree.size - 1), held=tree)
        first = max(first, tree.size)
    return None


def _leaves(log: LogFolder, end: int) -> Iterator[bytes | None]:
    """Leaf hashes computed from the entries; from the tile where the entries are gone, or None.

    It ends where the log does, or before the first entry that cannot be read.
    """
    end = min(end, log.size)
    for number in range(-(-end // WIDTH)):
        num = min(WIDTH, end - (number << HEIGHT))
        content = log.files.bundle(number, log.size)
        if content is not None:
            num_left = num
            for entry in islice(_read(content), num):
                num_left -= 1
                yield leaf_hash(entry)
            if num_left:
                return
            continue
        try:
            tile = log.files.hashes(0, number, log.size)
        except LogDamaged:
            yield from [None] * num
            continue
        yield from (tile[at : at + HASH_BYTES] for at in range(0, num * HASH_BYTES, HASH_BYTES))


def _read(bundle: bytes) -> Iterator[bytes]:
    """Entries of a bundle, up to the first that is cut."""
    with contextlib.suppress(ValueError):
        yield from entries_in(bundle)


def _day(held: Held) -> str:
    at = datetime.fromtimestamp(held.time_s, UTC).isoformat(timespec="seconds")
    return at.replace("+00:00", "Z")
