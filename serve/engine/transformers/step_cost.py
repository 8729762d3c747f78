"""Cost of a prompt's chunk in time, by its tokens and by what they see. Pure: no clock, no torch.

A chunk beside running streams is a gap in each of them. How long a forward takes hangs on the
machine and the model, and grows with the tokens before the chunk, which all of its own attend to.
So it is measured once, before the engine serves (``measured_cost.py``), and the scheduler is given
this value (ADR 0039).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

LEAST_CHUNK, MOST_CHUNK = 64, 512
"""Bounds of a chunk, whatever was measured: whole blocks of the KV cache, and sizes that products
have anyway (``layers/sizes.py``). Fewer tokens cost nearly as much, more gain nothing."""
CHUNK_S = 0.2
"""Seconds that chunks beside running streams shall take of a step. With the streams' own tokens a
gap stays below a quarter of a second."""

_LEAST_SHARE = 0.25
"""Of a chunk's cost, that which grows with its tokens, at the least: a measurement that something
disturbed does not say that tokens cost nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepCost:
    """Seconds of a forward: ``base_s + tokens * (token_s + seen_s * seen)``.

    Attributes:
        base_s: of any forward; mostly reading the weights.
        token_s: of each token.
        seen_s: of each token that one of them attends to.
    """

    base_s: float
    token_s: float
    seen_s: float

    @classmethod
    def fitted(
        cls, *, few_s: float, many_s: float, far_s: float, num_many: int, num_past: int
    ) -> Self:
        """The cost that explains three forwards.

        Args:
            few_s: seconds of ``LEAST_CHUNK`` tokens that begin a prompt.
            many_s: of ``num_many`` that begin one; more than ``LEAST_CHUNK``.
            far_s: of ``LEAST_CHUNK`` tokens after ``num_past`` others.
        """
        seen_s = max(0.0, far_s - few_s) / (LEAST_CHUNK * num_past)
        few_s = max(0.0, few_s - seen_s * LEAST_CHUNK * LEAST_CHUNK / 2)
        many_s = max(0.0, many_s - seen_s * num_many * num_many / 2)
        most_s = few_s / LEAST_CHUNK
        token_s = (many_s - few_s) / (num_many - LEAST_CHUNK)
        token_s = min(max(token_s, _LEAST_SHARE * most_s), most_s)
        return cls(base_s=few_s - LEAST_CHUNK * token_s, token_s=token_s, seen_s=seen_s)

    def seconds(self, num_tokens: int, past: int) -> float:
        """Seconds of a chunk of so many tokens after ``past`` others."""
        seen = past + num_tokens / 2
        return self.base_s + num_tokens * (self.token_s + self.seen_s * seen)

    def most_tokens(self, past: int, most_s: float) -> int:
        """The largest chunk after ``past`` tokens that takes no longer; 0 where none does.

        Returns:
            A multiple of ``LEAST_CHUNK``, no more than ``MOST_CHUNK``.
        """
        sizes = range(MOST_CHUNK, 0, -LEAST_CHUNK)
        return next((size for size in sizes if self.seconds(size, past) <= most_s), 0)

    @property
    def first_chunk(self) -> int:
        """Tokens of a new prompt that a step computes beside running streams."""
        return max(self.most_tokens(0, CHUNK_S), LEAST_CHUNK)
