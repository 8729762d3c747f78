"""One sequence on its way through an engine of ours: its tokens, and how far it got."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from serve.engine.protocol import EngineRequest
from serve.timeline import FinishReason


@dataclass(slots=True, eq=False, kw_only=True)
class SequenceState:
    """Mutable, owned by the step thread once submitted. Compared and hashed by identity.

    Attributes:
        request: what was asked.
        stop_token_ids: every token that ends the sequence, the model's own included.
        token_ids: the prompt, then what was generated.
        num_computed: leading tokens whose keys and values are in the KV cache.
        block_ids: blocks of the KV cache that hold them, in order.
        source: this sequence's randomness: one draw per sampled token, whatever else is in the
            batch, and kept when the sequence is preempted.
    """

    request: EngineRequest
    stop_token_ids: frozenset[int]
    token_ids: list[int] = field(init=False)
    num_prompt_tokens: int = field(init=False)
    num_computed: int = 0
    block_ids: list[int] = field(default_factory=list)
    source: random.Random = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.token_ids = list(self.request.prompt_token_ids)
        self.num_prompt_tokens = len(self.token_ids)
        self.source = random.Random(self.request.sampling.seed)

    @property
    def num_pending(self) -> int:
        """Tokens still to be computed before the next one can be sampled: 1 in decode."""
        return len(self.token_ids) - self.num_computed

    @property
    def num_generated(self) -> int:
        return len(self.token_ids) - self.num_prompt_tokens

    @property
    def finish_reason(self) -> FinishReason | None:
        """Why the sequence is over, judged by its last generated token; None while it is not."""
        if self.num_generated == 0:
            return None
        if self.token_ids[-1] in self.stop_token_ids:
            return "stop"
        return "length" if self.num_generated >= self.request.sampling.max_tokens else None
