"""The scheduling policy of our own continuous batching. Pure: no torch, no threads, no clock.

Each step computes at most ``max_num_batched_tokens`` tokens:

1. every running sequence in decode gets its one token, so no prompt freezes a stream, and with it
   the tokens that a grammar has forced after it;
2. what is left goes to prompts, oldest first, in chunks;
3. then waiting sequences are admitted, first come first served, while slots and blocks last.

The KV cache is counted in blocks. A sequence takes the blocks of its prompt when it is admitted
and one more whenever it fills the last. When none is left, the latest arrival is preempted: its
blocks go, its tokens stay, and it is computed again later. So ``running`` followed by ``waiting``
is always in order of arrival, and the oldest sequence always advances: nothing starves.
Names and preemption by recomputation follow vLLM (Kwon et al. 2023, section 4.5).

Full blocks are kept for whoever begins with the same tokens (block_pool.py, ADR 0038). A sequence
is admitted with those that it finds, its first chunk begins behind them, and chunks end where
blocks do: a row of a prompt is computed in the same way whatever was cached before it.
"""

from __future__ import annotations

from collections import deque

from serve.engine.transformers.block_pool import BlockPool
from serve.engine.transformers.sequence import MOST_FORCED, Segment, SequenceState


class Scheduler:
    """Decides what the next step computes. Not thread-safe: the step thread owns it.

    Args:
        num_blocks: blocks in the KV cache.
        block_size: tokens per block.
        max_num_seqs: most sequences running at once.
        max_num_batched_tokens: most tokens per step; at least ``max_num_seqs``.
        is_repeatable: whether a sequence with a seed is computed in parts that depend on nothing
            but itself: what it generated one by one, and its prompt in chunks of one size unless
            it ``is_exact``.
        is_exact: whether a row of a prompt comes out the same in chunks of whatever size.
        max_logprob_tokens: most tokens in one chunk of a prompt whose logprobs are wanted.
        keeps_prefixes: keep blocks for prompts that begin alike.
    """

    def __init__(
        self,
        *,
        num_blocks: int,
        block_size: int,
        max_num_seqs: int,
        max_num_batched_tokens: int,
        is_repeatable: bool = False,
        is_exact: bool = False,
        max_logprob_tokens: int | None = None,
        keeps_prefixes: bool = False,
    ) -> None:
        if max_num_batched_tokens < max_num_seqs:
            raise ValueError("max_num_batched_tokens must be at least max_num_seqs")
        self.blocks = BlockPool(num_blocks, keeps=keeps_prefixes)
        self.block_size = block_size
        self.max_num_seqs = max_num_seqs
        self.max_num_batched_tokens = max_num_batched_tokens
        self._is_repeatable = is_repeatable
        self._max_logprob_tokens = max_logprob_tokens or max_num_batched_tokens
        # What is always left of a step: the oldest prompt never waits for a chunk of this size.
        self._chunk_size = max(1, max_num_batched_tokens - max_num_seqs)
        self._is_exact = is_exact and self._chunk_size >= block_size
        self.waiting: deque[SequenceState] = deque()
        self.running: list[SequenceState] = []
        self.num_preemptions = 0
        self.num_prefix_queries = 0
        self.num_prefix_hits = 0

    def submit(self, sequence: SequenceState) -> None:
        """Queue a sequence. Its prompt and completion must fit an empty cache."""
        self.waiting.append(sequence)

    def schedule(self) -> list[Segment]:
        """Plan one step; mutates queues and blocks. Empty only when there is nothing to run."""
        segments, budget = self._decodes()
        decoding = {segment.sequence for segment in segments}
        for sequence in self.running:
            num_tokens = 0 if sequence in decoding else self._chunk(sequence, budget)
            if num_tokens:
                segments.append(Segment(sequence, sequence.num_computed, num_tokens))
                budget -= num_tokens
        while self.waiting and len(self.running) < self.max_num_seqs:
            sequence = self.waiting[0]
            self._take_prefix(sequence)
            num_tokens = self._chunk(sequence, budget)
            if not num_tokens or self._awaits(sequence, segments) or not self._grow(sequence):
                self._release(sequence)
                break
            self.running.append(self.waiting.popleft())
            self._count_prefix(sequence)
            segments.append(Segment(sequence, sequence.num_computed, num_tokens))
            budget -= num_tokens
        return segments

    def advance(self, segments: list[Segment]) -> None:
        """Record that these segments are computed, and keep the blocks that they have filled."""
        for segment in segments:
            sequence = segment.sequence
            if sequence.num_exact == segment.start and not segment.is_decode:
                sequence.num_exact = segment.end
            sequence.num_computed = segment.end
            if self.blocks.keeps:
                self._keep_full(sequence, segment.start)

    def remove(self, sequence: SequenceState) -> None:
        """Forget a sequence that is finished or cancelled, wherever it is. Idempotent."""
        if sequence in self.running:
            self.running.remove(sequence)
        elif sequence in self.waiting:
            self.waiting.remove(sequence)
        self._release(sequence)

    def reset(self) -> list[SequenceState]:
        """Start anew after a step that failed, with every block free: what was running is
        forgotten, what is waiting keeps its place. Asks nothing of the state that it finds.

        Returns:
            The sequences that were running, oldest first.
        """
        dropped, self.running = self.running, []
        for sequence in (*dropped, *self.waiting):
            sequence.block_ids.clear()
            sequence.num_computed = sequence.num_exact = 0
        self.blocks.reset()
        return dropped

    def _decodes(self) -> tuple[list[Segment], int]:
        """A segment for each sequence in decode, and the tokens that are left of the step."""
        decoding = []
        # Victims come from the end, so those before `sequence` keep what they have been given.
        for sequence in tuple(self.running):
            if not sequence.is_decoding:
                continue
            while sequence.block_ids and not self._grow(sequence):
                self._preempt(self.running[-1])
            if sequence.block_ids:
                decoding.append(sequence)
        budget = self.max_num_batched_tokens - len(decoding)
        segments = []
        for sequence in decoding:
            num_forced = min(sequence.num_pending - 1, MOST_FORCED - 1, budget)
            segments.append(Segment(sequence, sequence.num_computed, 1 + num_forced))
            budget -= num_forced
        return segments, budget

    def _chunk(self, sequence: SequenceState, budget: int) -> int:
        """Tokens of a prefill that this step computes; 0 where it has to wait for the next."""
        chunk_size = self._chunk_size
        if sequence.prompt_logprobs is not None:
            chunk_size = min(chunk_size, self._max_logprob_tokens)
            budget = min(budget, self._max_logprob_tokens)
        done = sequence.num_computed
        num_left = sequence.num_prompt_tokens - done
        if not (self._is_repeatable and sequence.is_seeded):
            return self._to_block_end(done, sequence.num_pending, budget)
        if num_left <= 0:
            num_tokens = 1  # after a preemption what was generated is computed as it was before
        elif self._is_exact:
            return self._to_block_end(done, num_left, budget)
        else:
            num_tokens = min(chunk_size - done % chunk_size, num_left)
        return num_tokens if num_tokens <= budget else 0

    def _to_block_end(self, done: int, num_pending: int, budget: int) -> int:
        """Tokens of a chunk, up to the end of a block where it is not the last one.

        Args:
            done: tokens before it.
            num_pending: that could be in it.
            budget: that may be.
        """
        if num_pending <= budget:
            return num_pending
        end = done + budget
        num_tokens = end - end % self.block_size - done
        if num_tokens > 0:
            return num_tokens
        return 0 if self._chunk_size >= self.block_size else budget

    def _take_prefix(self, sequence: SequenceState) -> None:
        """Give a waiting sequence the kept blocks that it begins with, but for its last token.

        One whose prompt's logprobs are wanted gets none, for these are not kept; and one with a
        seed none that would come out otherwise in chunks of its own.
        """
        if not self._reads_prefixes(sequence):
            return
        num_blocks = (len(sequence.token_ids) - 1) // self.block_size
        keys = sequence.block_keys(num_blocks, self.block_size)
        found = self.blocks.find(keys, only_exact=sequence.needs_exact)
        self.blocks.hold(found)
        sequence.block_ids = found
        sequence.num_computed = len(found) * self.block_size
        num_exact = next(
            (at for at, block in enumerate(found) if not self.blocks.is_exact(block)), len(found)
        )
        sequence.num_exact = num_exact * self.block_size

    def _reads_prefixes(self, sequence: SequenceState) -> bool:
        if not self.blocks.keeps or sequence.prompt_logprobs is not None:
            return False
        return self._is_exact or not (self._is_repeatable and sequence.is_seeded)

    def _awaits(self, sequence: SequenceState, segments: list[Segment]) -> bool:
        """Whether the next block of a sequence is one that this step computes for another."""
        index = sequence.num_computed // self.block_size
        if not self._reads_prefixes(sequence):
            return False
        if (index + 1) * self.block_size >= len(sequence.token_ids):
            return False
        key = sequence.block_keys(index + 1, self.block_size)[index]
        for segment in segments:
            if segment.start // self.block_size <= index < segment.end // self.block_size:
                keys = segment.sequence.block_keys(index + 1, self.block_size)
                if keys[index] == key:
                    return True
        return False

    def _count_prefix(self, sequence: SequenceState) -> None:
        """Count what an admitted sequence found, when it is admitted for the first time."""
        if sequence.num_cached is not None:
            return
        sequence.num_cached = min(sequence.num_computed, sequence.num_prompt_tokens)
        self.blocks.count_use(sequence.block_ids[: sequence.num_computed // self.block_size])
        if self._reads_prefixes(sequence):
            self.num_prefix_queries += sequence.num_prompt_tokens
            self.num_prefix_hits += sequence.num_cached

    def _keep_full(self, sequence: SequenceState, start: int) -> None:
        """Keep the blocks of a sequence that were filled since ``start`` tokens were computed."""
        first, last = start // self.block_size, sequence.num_computed // self.block_size
        if first == last:
            return
        keys = sequence.block_keys(last, self.block_size)
        for index in range(first, last):
            is_exact = (index + 1) * self.block_size <= sequence.num_exact
            parent = keys[index - 1] if index else None
            block_id = sequence.block_ids[index]
            self.blocks.keep(block_id, keys[index], is_exact=is_exact, parent=parent)

    def _grow(self, sequence: SequenceState) -> bool:
        """Give the sequence blocks for all its tokens, or none at all."""
        needed = -(-len(sequence.token_ids) // self.block_size) - len(sequence.block_ids)
        taken = self.blocks.take(max(needed, 0))
        if taken is None:
            return False
        sequence.block_ids += taken
        return True

    def _preempt(self, sequence: SequenceState) -> None:
        self.running.remove(sequence)
        self._release(sequence)
        self.waiting.appendleft(sequence)
        self.num_preemptions += 1

    def _release(self, sequence: SequenceState) -> None:
        self.blocks.release(sequence.block_ids)
        sequence.block_ids = []
        sequence.num_computed = sequence.num_exact = 0
