"""Blocks of the KV cache: which are free, which sequences hold, and which are kept for others.

::

             take                    release, no holder left
    free ───────────▶ held ─────────────────────────────────▶ free        without a key
                       ▲  │ keep(key): full, and its content known
                       │  ▼
                       │ held, kept ──────────────────────────▶ idle      with a key
                       └── take_kept (a hit) ──────────────────── │
    free ◀──────────── evicted, least recently used first ────────┘

Pure: no torch, no threads, no clock. What a key stands for is prefix_hash.py's.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(slots=True)
class KeptBlock:
    """A full block whose content others may read.

    Attributes:
        key: of its content.
        parent: the key of the block that it follows; None of a first one.
        is_exact: whether its content is what a prefill makes of its tokens. What a decode has
            written is equal but for rounding.
        num_uses: sequences that have found it.
    """

    block_id: int
    key: bytes
    parent: bytes | None
    is_exact: bool
    num_uses: int


class BlockPool:
    """Not thread-safe: the step thread owns it.

    Args:
        num_blocks: that there are; ids are below it.
        keeps: keep full blocks after their sequences end.
    """

    def __init__(self, num_blocks: int, *, keeps: bool = False) -> None:
        self.num_blocks = num_blocks
        self.keeps = keeps
        self.num_evictions = 0
        self._free: list[int] = []
        self._holders: dict[int, int] = {}  # of the blocks that are held, by how many
        self._kept: dict[bytes, KeptBlock] = {}
        self._keys: dict[int, bytes] = {}  # of the blocks that are kept
        self._idle: OrderedDict[int, None] = OrderedDict()  # kept and not held, oldest use first
        self.reset()

    @property
    def num_available(self) -> int:
        """Blocks that ``take`` can give, those included that are kept for nobody in particular."""
        return len(self._free) + len(self._idle)

    @property
    def num_kept(self) -> int:
        """Blocks whose content is known, held or not."""
        return len(self._kept)

    def reset(self) -> None:
        """Free every block and forget what they hold. Asks nothing of the state that it finds."""
        # Taken from the end: low ids first, so a cache that is never full is never all touched.
        self._free = list(range(self.num_blocks - 1, -1, -1))
        self._holders = {}
        self._kept = {}
        self._keys = {}
        self._idle = OrderedDict()

    def take(self, count: int) -> list[int] | None:
        """Blocks of no known content for one holder; None, and nothing taken, if there are fewer.

        Kept blocks that nobody holds are given up when no others are left.
        """
        if count > self.num_available:
            return None
        taken = []
        for _ in range(count):
            if self._free:
                block_id = self._free.pop()
            else:
                block_id, _ = self._idle.popitem(last=False)
                self._forget(block_id)
                self.num_evictions += 1
            self._holders[block_id] = 1
            taken.append(block_id)
        return taken

    def find(self, keys: Iterable[bytes], *, only_exact: bool = False) -> list[int]:
        """The kept blocks of the first of these keys, up to the first that is missing."""
        found = []
        for key in keys:
            kept = self._kept.get(key)
            if kept is None or (only_exact and not kept.is_exact):
                break
            found.append(kept.block_id)
        return found

    def is_exact(self, block_id: int) -> bool:
        """Whether a block is kept, and its content what a prefill makes of its tokens."""
        key = self._keys.get(block_id)
        return key is not None and self._kept[key].is_exact

    def hold(self, block_ids: Sequence[int]) -> None:
        """Add a holder to kept blocks, as ``find`` gave them."""
        for block_id in block_ids:
            self._idle.pop(block_id, None)
            self._holders[block_id] = self._holders.get(block_id, 0) + 1

    def count_use(self, block_ids: Sequence[int]) -> None:
        """Count a sequence that found these blocks and runs: they are the warmer for it."""
        for block_id in block_ids:
            self._kept[self._keys[block_id]].num_uses += 1

    def keep(
        self,
        block_id: int,
        key: bytes,
        *,
        is_exact: bool,
        parent: bytes | None = None,
        num_uses: int = 0,
    ) -> None:
        """Name a held block that is full, so that others find it, now and when it is not held.

        Of two blocks of one key the first stays, unless only the second is exact.

        Args:
            parent: the key of the block that it follows; None of a first one.
            num_uses: that are known of it already.
        """
        if not self.keeps or block_id in self._keys:
            return
        known = self._kept.get(key)
        if known is not None:
            if known.is_exact or not is_exact:
                return
            del self._keys[known.block_id]
            if known.block_id in self._idle:
                del self._idle[known.block_id]
                self._free.append(known.block_id)
            num_uses = known.num_uses
        self._kept[key] = KeptBlock(block_id, key, parent, is_exact, num_uses)
        self._keys[block_id] = key

    def release(self, block_ids: Sequence[int]) -> None:
        """Give up one holder's blocks, in the order of the sequence.

        The last one is the first that is given to others: without those before it, it is of no use.
        """
        for block_id in reversed(block_ids):
            holders = self._holders[block_id] - 1
            if holders:
                self._holders[block_id] = holders
                continue
            del self._holders[block_id]
            if block_id in self._keys:
                self._idle[block_id] = None
            else:
                self._free.append(block_id)

    def hottest_first(self) -> list[KeptBlock]:
        """Kept blocks by how often they were found, then by their last use; parents go first.

        Those behind a block that is gone are left out: nobody could find them.
        """
        age = {block_id: at for at, block_id in enumerate(self._idle)}

        def heat(kept: KeptBlock) -> tuple[int, int]:
            return kept.num_uses, age.get(kept.block_id, len(age))

        ordered: dict[bytes, KeptBlock] = {}
        lost: set[bytes] = set()
        for kept in sorted(self._kept.values(), key=heat, reverse=True):
            chain: list[KeptBlock] = []
            key: bytes | None = kept.key
            while key is not None and key not in ordered:
                found = None if key in lost else self._kept.get(key)
                if found is None:
                    lost.update(one.key for one in chain)
                    chain = []
                    break
                chain.append(found)
                key = found.parent
            ordered.update((one.key, one) for one in reversed(chain))
        return list(ordered.values())

    def _forget(self, block_id: int) -> None:
        del self._kept[self._keys.pop(block_id)]
