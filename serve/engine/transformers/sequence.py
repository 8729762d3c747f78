"""One sequence in the engine: its tokens, its randomness, and how far it is computed."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from serve.engine.protocol import EngineRequest, TokenLogprob
from serve.engine.transformers import prefix_hash
from serve.engine.transformers.draft import NO_DRAFT, Draft
from serve.engine.transformers.logits_mask import LogitsMask
from serve.engine.transformers.prompt_lookup import PromptLookup
from serve.timeline import FinishReason

_SEEDS = 1 << 64

GREEDY_BELOW = 1e-5
"""Temperatures below it are greedy, as in vLLM: two logits that differ at all would differ by more
than a draw can tell, and those that float32 takes for 0 would make NaN of the best."""

MOST_FORCED = 32
"""Generated tokens of a sequence that one step computes together, guesses included. More are left
for the next."""


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
        num_exact: of those, how many are what a prefill makes of the tokens: up to the first that a
            decode has computed, whose rounding is another.
        num_cached: tokens of the prompt that were found in the KV cache; None until it is admitted.
        block_ids: blocks of the KV cache that hold them, in order.
        num_kept_blocks: of these, how many were offered to the prefix cache.
        mask: what holds the completion to a language; None where every token may follow.
        prompt_logprobs: one for each token of the prompt that is computed, and None for the first;
            None where the request wants none.
        num_forced: of the last tokens, how many were added without being sampled.
        source: this sequence's randomness: one draw per sampled token, whatever else is in the
            batch, and kept when the sequence is preempted.
        lookup: what guesses its next tokens; None where nothing does.
    """

    request: EngineRequest
    stop_token_ids: frozenset[int]
    token_ids: list[int] = field(init=False)
    num_prompt_tokens: int = field(init=False)
    num_computed: int = 0
    num_exact: int = 0
    num_cached: int | None = None
    block_ids: list[int] = field(default_factory=list)
    num_kept_blocks: int = 0
    mask: LogitsMask | None = None
    num_forced: int = 0
    prompt_logprobs: list[TokenLogprob | None] | None = field(init=False, default=None)
    source: random.Random = field(init=False, repr=False)
    lookup: PromptLookup | None = None
    _block_keys: list[bytes] = field(init=False, repr=False, default_factory=list)

    def __post_init__(self) -> None:
        self.token_ids = list(self.request.prompt_token_ids)
        self.num_prompt_tokens = len(self.token_ids)
        if self.request.sampling.num_prompt_logprobs is not None:
            self.prompt_logprobs = [None]
        self.source = source_of(self.request.sampling.seed)

    def forget_blocks(self) -> None:
        """Begin anew: nothing is computed, and no block is held."""
        self.block_ids = []
        self.num_computed = self.num_exact = self.num_kept_blocks = 0

    def block_keys(self, count: int, block_size: int) -> Sequence[bytes]:
        """Keys of the first ``count`` blocks, all of them full of tokens that are known."""
        keys = self._block_keys
        while len(keys) < count:
            parent = (
                keys[-1]
                if keys
                else prefix_hash.root_key(self.request.cache_salt, self.request.adapter)
            )
            start = len(keys) * block_size
            keys.append(prefix_hash.chained(parent, self.token_ids[start : start + block_size]))
        return keys[:count]

    def append(self, token_id: int, *, is_forced: bool = False, is_computed: bool = False) -> None:
        """Add a token that was chosen, or forced; the mask goes on past it.

        Once for each token, in order: one that is computed again after a preemption is not added
        again.

        Args:
            is_computed: it was guessed, so that the step has computed it, too.
        """
        self.token_ids.append(token_id)
        self.num_forced = self.num_forced + 1 if is_forced else 0
        self.num_computed += is_computed
        if is_forced:
            self.draw()  # as if it had been sampled: what follows draws the same
        if self.mask is not None:
            self.mask.accept(token_id)

    def draw(self) -> float:
        """The draw of the next token; 0 and none where the best one is taken."""
        return 0.0 if self.is_greedy else self.source.random()

    def guesses(self, most: int, num_running: int) -> Draft:
        """Guesses of what follows its tokens, to be computed with the last one of them.

        Args:
            most: of them.
            num_running: sequences that are decoded in this step.
        """
        params = self.request.sampling
        # What the last token of all would say is never wanted.
        most = min(most, params.max_tokens - self.num_generated - 1)
        if self.lookup is None or most <= 0:
            return NO_DRAFT
        token_ids = self.lookup.guesses(self.token_ids, most, num_running)
        for index, token_id in enumerate(token_ids):
            if token_id in self.stop_token_ids:
                token_ids = token_ids[:index]
                break
        if self.mask is None or not token_ids:
            return Draft(tuple(token_ids))
        masks = self.mask.ahead(token_ids)
        return Draft(tuple(token_ids[: len(masks)]), tuple(masks))

    def learn(self, num_guesses: int, num_right: int) -> None:
        """Take in how many of the last step's guesses were right."""
        if self.lookup is not None:
            self.lookup.learn(num_guesses, num_right)

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
        return self.num_generated > 0 and 1 <= self.num_pending <= 1 + self.num_forced

    @property
    def num_pending(self) -> int:
        """Tokens still to be computed before the next one can be sampled: 1 in decode."""
        return len(self.token_ids) - self.num_computed

    @property
    def is_seeded(self) -> bool:
        """Whether the same tokens are to come again whatever else is in the batch."""
        return self.request.sampling.seed is not None

    @property
    def needs_exact(self) -> bool:
        """Whether its numbers are to be the same whether or not a part of it was cached."""
        return self.is_seeded or self.request.sampling.num_logprobs is not None

    @property
    def is_greedy(self) -> bool:
        """Whether the best token is taken, and nothing drawn."""
        return self.request.sampling.temperature < GREEDY_BELOW

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
    """Tokens ``start .. start + num_tokens`` of a sequence, to be computed in this step.

    Attributes:
        draft: the last ones of them, which are guesses: they follow the sequence's own.
    """

    sequence: SequenceState
    start: int
    num_tokens: int
    draft: Draft = NO_DRAFT

    @property
    def end(self) -> int:
        return self.start + self.num_tokens

    @property
    def known_end(self) -> int:
        """The end of those that are no guesses."""
        return self.end - len(self.draft)

    @property
    def token_ids(self) -> list[int]:
        return [*self.sequence.token_ids[self.start : self.end], *self.draft.token_ids]

    @property
    def is_decode(self) -> bool:
        """Whether it is one token that was generated, or a few: the last, those forced, guesses.

        The last token of a prompt is none of them, even where it is alone: it is computed as the
        others of its prompt are, however many of those were cached.
        """
        sequence = self.sequence
        if self.start < sequence.num_prompt_tokens:
            return False
        num_last = 1 + sequence.num_forced
        return self.num_tokens == 1 or (
            self.num_tokens <= MOST_FORCED and self.start >= len(sequence.token_ids) - num_last
        )

    @property
    def samples(self) -> bool:
        """Whether the sequence's next token comes out of this step."""
        return self.known_end == len(self.sequence.token_ids)
