"""The scheduling policy of our own continuous batching. Pure: no torch, no threads, no clock.

Each step computes at most ``max_num_batched_tokens`` tokens:

1. every running sequence in decode gets its one token, so no prompt freezes a stream;
2. what is left goes to prompts, oldest first, in chunks;
3. then waiting sequences are admitted, first come first served, while slots and blocks last.

The KV cache is counted in blocks. A sequence takes the blocks of its prompt when it is admitted
and one more whenever it fills the last. When none is left, the latest arrival is preempted: its
blocks go, its tokens stay, and it is computed again later. So ``running`` followed by ``waiting``
is always in order of arrival, and the oldest sequence always advances: nothing starves.
Names and preemption by recomputation follow vLLM (Kwon et al. 2023, section 4.5).
"""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass, field

from serve.engine.protocol import EngineRequest
from serve.engine.transformers.logits_mask import LogitsMask
from serve.timeline import FinishReason

_SEEDS = 1 << 64


def source_of(seed: int | None) -> random.Random:
    """The randomness of a seed; fresh where there is none.

    Python's generator takes a seed's magnitude, so that -7 and 7 would be one: those below zero
    have numbers of their own here, beyond all that 64 bits can say.
    """
    return random.Random(seed if seed is None or seed >= 0 else _SEEDS - seed)


@dataclass(slots=True, eq=False, kw_only=True)
class SequenceState:
    """One sequence in the engine: its tokens, and how far they are computed.

    Mutable; owned by the step thread once submitted. Compared and hashed by identity.

    Attributes:
        request: as the engine was given it.
        stop_token_ids: every token that ends the sequence, the model's own included.
        token_ids: the prompt, then what was generated.
        num_computed: leading tokens whose keys and values are in the KV cache.
        block_ids: blocks of the KV cache that hold them, in order.
        mask: what holds the completion to a language; None where every token may follow.
        source: this sequence's randomness: one draw per sampled token, whatever else is in the
            batch, and kept when the sequence is preempted.
    """

    request: EngineRequest
    stop_token_ids: frozenset[int]
    token_ids: list[int] = field(init=False)
    num_prompt_tokens: int = field(init=False)
    num_computed: int = 0
    block_ids: list[int] = field(default_factory=list)
    mask: LogitsMask | None = None
    source: random.Random = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.token_ids = list(self.request.prompt_token_ids)
        self.num_prompt_tokens = len(self.token_ids)
        self.source = source_of(self.request.sampling.seed)

    def append(self, token_id: int) -> None:
        """Add a token that was chosen; the mask goes on past it.

        Once for each token, in order: one that is computed again after a preemption is not added
        again.
        """
        self.token_ids.append(token_id)
        if self.mask is not None:
            self.mask.accept(token_id)

    @property
    def num_pending(self) -> int:
        """Tokens still to be computed before the next one can be sampled: 1 in decode."""
        return len(self.token_ids) - self.num_computed

    @property
    def is_seeded(self) -> bool:
        """Whether the same tokens are to come again whatever else is in the batch."""
        return self.request.sampling.seed is not None

    @property
    def num_generated(self) -> int:
        return len(self.token_ids) - self.num_prompt_tokens

    @property
    def finish_reason(self) -> FinishReason | None:
        """The reason why the sequence is over, by its last token; None while it is not."""
        if self.num_generated == 0:
            return None
        if self.token_ids[-1] in self.stop_token_ids:
            return "stop"
        return "length" if self.num_generated >= self.request.sampling.max_tokens else None


@dataclass(frozen=True, slots=True)
class Segment:
    """Tokens ``start .. start + num_tokens`` of a sequence, to be computed in this step."""

    sequence: SequenceState
    start: int
    num_tokens: int

    @property
    def end(self) -> int:
        return self.start + self.num_tokens

    @property
    def samples(self) -> bool:
        """Whether the sequence's next token comes out of this step."""
        return self.end == len(self.sequence.token_ids)


class Scheduler:
    """Decides what the next step computes. Not thread-safe: the step thread owns it.

    Args:
        num_blocks: blocks in the KV cache.
        block_size: tokens per block.
        max_num_seqs: most sequences running at once.
        max_num_batched_tokens: most tokens per step; at least ``max_num_seqs``.
        is_repeatable: whether a sequence with a seed is computed in parts that depend on nothing
            but itself: its prompt in chunks of one size, what it generated one by one.
    """

    def __init__(
        self,
        *,
        num_blocks: int,
        block_size: int,
        max_num_seqs: int,
        max_num_batched_tokens: int,
        is_repeatable: bool = False,
    ) -> None:
        if max_num_batched_tokens < max_num_seqs:
            raise ValueError("max_num_batched_tokens must be at least max_num_seqs")
        self.num_blocks = num_blocks
        self.block_size = block_size
        self.max_num_seqs = max_num_seqs
        self.max_num_batched_tokens = max_num_batched_tokens
        self._is_repeatable = is_repeatable
        # What is always left of a step: the oldest prompt never waits for a chunk of this size.
        self._chunk_size = max(1, max_num_batched_tokens - max_num_seqs)
        self.waiting: deque[SequenceState] = deque()
        self.running: list[SequenceState] = []
        self.num_preemptions = 0
        self._free = _all_free(num_blocks)

    @property
    def num_free_blocks(self) -> int:
        return len(self._free)

    def submit(self, sequence: SequenceState) -> None:
        """Queue a sequence. Its prompt and completion must fit an empty cache."""
        self.waiting.append(sequence)

    def schedule(self) -> list[Segment]:
        """Plan one step; mutates queues and blocks. Empty only when there is nothing to run."""
        segments = self._decodes()
        budget = self.max_num_batched_tokens - len(segments)
        for sequence in self.running:
            num_tokens = self._chunk(sequence, budget) if sequence.num_pending > 1 else 0
            if num_tokens:
                segments.append(Segment(sequence, sequence.num_computed, num_tokens))
                budget -= num_tokens
        while self.waiting and len(self.running) < self.max_num_seqs:
            sequence = self.waiting[0]
            num_tokens = self._chunk(sequence, budget)
            if not num_tokens or not self._grow(sequence):
                break
            self.running.append(self.waiting.popleft())
            segments.append(Segment(sequence, 0, num_tokens))
            budget -= num_tokens
        return segments

    def advance(self, segments: list[Segment]) -> None:
        """Record that these segments are computed."""
        for segment in segments:
            segment.sequence.num_computed = segment.end

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
            sequence.num_computed = 0
        self._free = _all_free(self.num_blocks)
        return dropped

    def _decodes(self) -> list[Segment]:
        segments = []
        # Victims come from the end, so those before `sequence` keep what they have been given.
        for sequence in tuple(self.running):
            if sequence.num_pending != 1:
                continue
            while sequence.block_ids and not self._grow(sequence):
                self._preempt(self.running[-1])
            if sequence.block_ids:
                segments.append(Segment(sequence, sequence.num_computed, 1))
        return segments

    def _chunk(self, sequence: SequenceState, budget: int) -> int:
        """Tokens of a prefill that this step computes; 0 where it has to wait for the next."""
        if not (self._is_repeatable and sequence.is_seeded):
            return min(sequence.num_pending, budget)
        done = sequence.num_computed
        num_left = sequence.num_prompt_tokens - done
        # After a preemption what was generated is computed as it was before: one by one.
        num_tokens = (
            min(self._chunk_size - done % self._chunk_size, num_left) if num_left > 0 else 1
        )
        return num_tokens if num_tokens <= budget else 0

    def _grow(self, sequence: SequenceState) -> bool:
        """Give the sequence blocks for all its tokens, or none at all."""
        needed = -(-len(sequence.token_ids) // self.block_size) - len(sequence.block_ids)
        if needed > len(self._free):
            return False
        for _ in range(needed):
            sequence.block_ids.append(self._free.pop())
        return True

    def _preempt(self, sequence: SequenceState) -> None:
        self.running.remove(sequence)
        self._release(sequence)
        sequence.num_computed = 0
        self.waiting.appendleft(sequence)
        self.num_preemptions += 1

    def _release(self, sequence: SequenceState) -> None:
        self._free.extend(reversed(sequence.block_ids))
        sequence.block_ids.clear()


def _all_free(num_blocks: int) -> list[int]:
    """Taken from the end: low ids first, so a cache that is never full is never all touched."""
    return list(range(num_blocks - 1, -1, -1))
