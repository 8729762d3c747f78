"""The scheduling policy of our own continuous batching. Pure: no torch, no threads, no clock.

Each step computes at most ``max_num_batched_tokens`` tokens:

1. every running sequence in decode gets its one token, so no prompt freezes a stream, and with it
   the tokens that a grammar has forced after it, and guesses of the next ones (prompt_lookup.py);
2. what is left goes to prompts, oldest first, in chunks; beside decodes they take no longer than
   ``step_cost.CHUNK_S``, where the cost of a chunk is known;
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

import math
from collections import deque
from dataclasses import replace

from serve.engine.transformers.block_pool import BlockPool
from serve.engine.transformers.prefix_cache import PrefixCache
from serve.engine.transformers.sequence import MOST_FORCED, Segment, SequenceState
from serve.engine.transformers.step_cost import CHUNK_S, LEAST_CHUNK, StepCost

MOST_SHARED = 8
"""Guesses of a step of a few sequences: one that guesses makes the others' step longer, too."""


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
        cost: of chunks; None bounds them by ``max_num_batched_tokens`` alone.
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
        cost: StepCost | None = None,
    ) -> None:
        if max_num_batched_tokens < max_num_seqs:
            raise ValueError("max_num_batched_tokens must be at least max_num_seqs")
        self.blocks = BlockPool(num_blocks, keeps=keeps_prefixes)
        self.block_size = block_size
        self.max_num_seqs = max_num_seqs
        self.max_num_batched_tokens = max_num_batched_tokens
        self._is_repeatable = is_repeatable
        # A block at the least: chunks end where blocks do.
        self._max_logprob_tokens = max(max_logprob_tokens or max_num_batched_tokens, block_size)
        # What is always left of a step: the oldest prompt never waits for a chunk of this size.
        self._chunk_size = max(1, max_num_batched_tokens - max_num_seqs)
        if cost is not None:  # and the same at the next start, where another cost is measured
            self._chunk_size = min(self._chunk_size, LEAST_CHUNK)
        self._is_exact = is_exact and self._chunk_size >= block_size
        seeds_read = self._is_exact or not is_repeatable
        self.prefixes = PrefixCache(self.blocks, block_size, seeds_read=seeds_read)
        self._cost = cost
        self._left_s = math.inf  # of this step, for chunks
        self.waiting: deque[SequenceState] = deque()
        self.running: list[SequenceState] = []
        self.num_preemptions = 0

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
            self.prefixes.lend(sequence)
            num_tokens = self._chunk(sequence, budget)
            is_early = not num_tokens or self.prefixes.awaits(sequence, segments)
            if is_early or not self._grow(sequence):
                self._release(sequence)
                break
            self.running.append(self.waiting.popleft())
            self.prefixes.count(sequence)
            segments.append(Segment(sequence, sequence.num_computed, num_tokens))
            budget -= num_tokens
        return segments

    def advance(self, segments: list[Segment]) -> None:
        """Record that these segments are computed, and keep the blocks that they have filled.

        Guesses count when they are appended.
        """
        for segment in segments:
            sequence = segment.sequence
            if sequence.num_exact == segment.start and not segment.is_decode:
                sequence.num_exact = segment.end
            sequence.num_computed = segment.known_end
            self.prefixes.keep_full(sequence)

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
            sequence.forget_blocks()
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
        self._left_s = CHUNK_S if segments else math.inf
        return self._with_drafts(segments, budget)

    def _with_drafts(self, segments: list[Segment], budget: int) -> tuple[list[Segment], int]:
        """The decodes with guesses after them, and what these leave of the step.

        Guesses take what nobody else needs: they leave prompts a chunk, every running sequence a
        free block, and a step is not made much longer by guesses for some of its sequences.
        """
        if not any(segment.sequence.lookup for segment in segments):
            return segments, budget
        num_running = len(segments)
        has_prompts = bool(self.waiting) or num_running < len(self.running)
        spare = budget - (min(self._chunk_size, budget) if has_prompts else 0)
        if num_running > 1:
            spare = min(spare, max(num_running, MOST_SHARED))
        for index, segment in enumerate(segments):
            most = min(spare, MOST_FORCED - segment.num_tokens)
            if not segment.samples or most <= 0:
                continue
            draft = segment.sequence.guesses(most, num_running)
            draft = draft.first(self._room_after(segment, len(draft)))
            if draft:
                num_tokens = segment.num_tokens + len(draft)
                segments[index] = replace(segment, num_tokens=num_tokens, draft=draft)
                spare -= len(draft)
                budget -= len(draft)
        return segments, budget

    def _room_after(self, segment: Segment, wanted: int) -> int:
        """Tokens up to ``wanted`` that have a slot; with one block more, where it is not missed."""
        sequence = segment.sequence
        room = len(sequence.block_ids) * self.block_size - segment.end
        if room < wanted and self.blocks.num_available > len(self.running):
            sequence.block_ids += self.blocks.take(1) or ()
            room += self.block_size
        return min(room, wanted)

    def _chunk(self, sequence: SequenceState, budget: int) -> int:
        """Tokens of a prefill that this step computes; 0 where it has to wait for the next."""
        if self._cost is None:
            return self._bounded_chunk(sequence, budget)
        past = sequence.num_computed
        num_tokens = self._bounded_chunk(sequence, self._in_time(self._cost, past, budget))
        if num_tokens:
            self._left_s -= self._cost.seconds(num_tokens, past)
        return num_tokens

    def _in_time(self, cost: StepCost, past: int, budget: int) -> int:
        """Tokens of a step that a chunk may have beside decodes; the first chunk has some."""
        if self._left_s == math.inf:
            return budget
        least = LEAST_CHUNK if self._left_s == CHUNK_S else 0
        most = max(cost.most_tokens(past, self._left_s), least)
        # A chunk ends with a block, unless the step holds less than one.
        return min(most, budget // LEAST_CHUNK * LEAST_CHUNK or budget)

    def _bounded_chunk(self, sequence: SequenceState, budget: int) -> int:
        """Tokens of a prefill, at most ``budget``."""
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
        self.prefixes.keep_full(sequence)  # guesses that were right may have filled one more
        self.blocks.release(sequence.block_ids)
        sequence.forget_blocks()
