"""The prefix cache of sequences: what each takes from it, and leaves there (ADR 0038).

Pure: it knows sequences and a pool of blocks, no tensors. The scheduler calls it.
"""

from __future__ import annotations

from collections.abc import Sequence

from serve.engine.protocol import PrefixCacheLoad
from serve.engine.transformers.block_pool import BlockPool
from serve.engine.transformers.sequence import Segment, SequenceState


class PrefixCache:
    """Full blocks of ``blocks``, found by what led to them.

    Args:
        blocks: of the KV cache; of one that keeps none nothing is ever found.
        block_size: tokens per block.
        seeds_read: whether a sequence with a seed may take what others have computed: its numbers
            are the same then.
    """

    def __init__(self, blocks: BlockPool, block_size: int, *, seeds_read: bool) -> None:
        self._blocks = blocks
        self._block_size = block_size
        self._seeds_read = seeds_read
        self._num_queries = 0
        self._num_hits = 0

    def load(self) -> PrefixCacheLoad | None:
        """Figures of what is held and was asked for; None where nothing is kept."""
        if not self._blocks.keeps:
            return None
        return PrefixCacheLoad(
            num_queries=self._num_queries,
            num_hits=self._num_hits,
            num_evictions=self._blocks.num_evictions,
            num_blocks=self._blocks.num_kept,
        )

    def lend(self, sequence: SequenceState) -> None:
        """Give a waiting sequence the kept blocks that it begins with, but for its last token.

        One whose prompt's logprobs are wanted gets none, for these are not kept; and one with a
        seed none that would come out otherwise in chunks of its own.
        """
        if not self._reads(sequence):
            return
        keys = sequence.block_keys(self._most_blocks(sequence), self._block_size)
        found = self._blocks.find(keys, only_exact=sequence.needs_exact)
        self._blocks.hold(found)
        sequence.block_ids = found
        sequence.num_kept_blocks = len(found)
        sequence.num_computed = len(found) * self._block_size
        num_exact = next(
            (at for at, block in enumerate(found) if not self._blocks.is_exact(block)), len(found)
        )
        sequence.num_exact = num_exact * self._block_size

    def awaits(self, sequence: SequenceState, segments: Sequence[Segment]) -> bool:
        """Whether the next block of a sequence is one that this step computes for another."""
        index = sequence.num_computed // self._block_size
        if index >= self._most_blocks(sequence) or not self._reads(sequence):
            return False
        key = sequence.block_keys(index + 1, self._block_size)[index]
        for segment in segments:
            first, last = (at // self._block_size for at in (segment.start, segment.known_end))
            if first <= index < last:
                keys = segment.sequence.block_keys(index + 1, self._block_size)
                if keys[index] == key:
                    return True
        return False

    def count(self, sequence: SequenceState) -> None:
        """Count what an admitted sequence found, when it is admitted for the first time."""
        if sequence.num_cached is not None:
            return
        sequence.num_cached = min(sequence.num_computed, sequence.num_prompt_tokens)
        self._blocks.count_use(sequence.block_ids[: sequence.num_computed // self._block_size])
        if self._reads(sequence):
            self._num_queries += sequence.num_prompt_tokens
            self._num_hits += sequence.num_cached

    def keep_full(self, sequence: SequenceState) -> None:
        """Keep the blocks of a sequence that were filled since the last call."""
        first, last = sequence.num_kept_blocks, sequence.num_computed // self._block_size
        if not self._blocks.keeps or first >= last:
            return
        keys = sequence.block_keys(last, self._block_size)
        for index in range(first, last):
            is_exact = (index + 1) * self._block_size <= sequence.num_exact
            parent = keys[index - 1] if index else None
            block_id = sequence.block_ids[index]
            self._blocks.keep(block_id, keys[index], is_exact=is_exact, parent=parent)
        sequence.num_kept_blocks = last

    def _most_blocks(self, sequence: SequenceState) -> int:
        """Blocks that a sequence may take: all but its last token's.

        Of one that needs exact numbers none that its answer reaches into, which comes back after a
        preemption: a prompt of the same tokens has computed these otherwise than it had.
        """
        num_tokens = len(sequence.token_ids) - 1
        if sequence.needs_exact:
            num_tokens = min(num_tokens, sequence.num_prompt_tokens)
        return num_tokens // self._block_size

    def _reads(self, sequence: SequenceState) -> bool:
        if not self._blocks.keeps or sequence.prompt_logprobs is not None:
            return False
        return self._seeds_read or not sequence.is_seeded
