"""The part of a sequence that choosing its next token reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from serve.engine.protocol import EngineRequest
from serve.engine.transformers.logits_mask import RowMask


class SampledRow(Protocol):
    """The text that a row of logits follows: a sequence, or one with some guesses behind it."""

    @property
    def request(self) -> EngineRequest: ...
    @property
    def stop_token_ids(self) -> frozenset[int]: ...
    @property
    def token_ids(self) -> Sequence[int]: ...
    @property
    def num_prompt_tokens(self) -> int: ...
    @property
    def num_generated(self) -> int: ...
    @property
    def mask(self) -> RowMask | None: ...
    @property
    def is_greedy(self) -> bool:
        """Whether the best token is taken, and nothing drawn."""
        ...

    def draw(self) -> float:
        """The draw of this row's token, in [0, 1); 0 where it is greedy."""
        ...
