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
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from serve.engine.protocol import EngineRequest, TokenLogprob
from serve.engine.transformers.logits_mask import LogitsMask
from serve.timeline import FinishReason

_SEEDS = 1 << 64

GREEDY_BELOW = 1e-5
"""Temperatures below it are greedy, as in vLLM: two logits that differ at all would differ by more
than a draw can tell, and those that float32 takes for 0 would make NaN of the best."""

MOST_FORCED = 32
"""Generated tokens of a sequence that one step computes together. More are left for the next."""


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
        prompt_logprobs: one for each token of the prompt that is computed, and None for the first;
            None where the request wants none.
        num_forced: of the last tokens, how many were added without being sampled.
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
    num_forced: int = 0
    prompt_logprobs: list[TokenLogprob | None] | None = field(init=False, default=None)
    source: random.Random = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.token_ids = list(self.request.prompt_token_ids)
        self.num_prompt_tokens = len(self.token_ids)
        if self.request.sampling.num_prompt_logprobs is not None:
            self.prompt_logprobs = [None]
        self.source = source_of(self.request.sampling.seed)

    def append(self, token_id: int, *, is_forced: bool = False) -> None:
        """Add a token that was chosen, or forced; the mask goes on past it.

        Once for each token, in order: one that is computed again after a preemption is not added
        again.
        """
        self.token_ids.append(token_id)
        self.num_forced = self.num_forced + 1 if is_forced else 0
        if is_forced and self.request.sampling.temperature >= GREEDY_BELOW:
            self.source.random()  # as if it had been sampled: what follows draws the same
        if self.mask is not None:
            self.mask.accept(token_id)

    def forced(self) -> Sequence[int]:
        """Tokens that follow and need no sampling, for the mask leaves no others.

        None where the client wants logprobs, which only a forward can say, or has rules of its own
        for tokens, which may leave none.
        """
        params = self.request.sampling
        if (
            self.mask is None
            or params.num_logprobs is not None
            or params.allowed_token_ids is not None
            or params.bad_words
        ):
            return ()
        return self.mask.forced()

    @property
    def is_decoding(self) -> bool:
        """Whether only the last token that was sampled is pending, and those forced after it."""
        return 1 <= self.num_pending <= 1 + self.num_forced

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
    def is_decode(self) -> bool:
        """Whether it is one token, or a few that were generated: the last one and those forced."""
        sequence = self.sequence
        num_last = 1 + sequence.num_forced
        return self.num_tokens == 1 or (
            self.num_tokens <= MOST_FORCED and self.start >= len(sequence.token_ids) - num_last
        )

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
        max_logprob_tokens: most tokens in one chunk of a prompt whose logprobs are wanted.
    """

    def __init__(
        self,
        *,
        num_blocks: int,
        block_size: int,
        max_num_seqs: int,
        max_num_batched_tokens: int,
        is_repeatable: bool = False,
        max_logprob_tokens: int | None = None,
    ) -> None:
        if max_num_batched_tokens < max_num_seqs:
            raise ValueError("max_num_batched_tokens must be at least max_num_seqs")
        self.num_blocks = num_blocks
        self.block_size = block_size
        self.max_num_seqs = max_num_seqs
        self.max_num_batched_tokens = max_num_batched_tokens
        self._is_repeatable = is_repeatable
        self._max_logprob_tokens = max_logprob_tokens or max_num_batched_tokens
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
        segments, budget = self._decodes()
        decoding = {segment.sequence for segment in segments}
        for sequence in self.running:
            num_tokens = 0 if sequence in decoding else self._chunk(sequence, budget)
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
        if not (self._is_repeatable and sequence.is_seeded):
            return min(sequence.num_pending, budget)
        done = sequence.num_computed
        num_left = sequence.num_prompt_tokens - done
        # After a preemption what was generated is computed as it was before: one by one.
        num_tokens = min(chunk_size - done % chunk_size, num_left) if num_left > 0 else 1
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
