"""``min_tokens``, ``allowed_token_ids`` and ``bad_words``: ids that may not come."""

from __future__ import annotations

import math

import torch

from serve.engine.bad_words import completing
from serve.engine.transformers.sampled_row import SampledRow


def has_any(sequence: SampledRow) -> bool:
    """Whether one of the rules may change the sequence's next row."""
    params = sequence.request.sampling
    return bool(
        params.allowed_token_ids is not None
        or params.bad_words
        or sequence.num_generated < params.min_tokens
    )


def apply(row: torch.Tensor, sequence: SampledRow) -> None:
    """Set the logits ``[V]`` of tokens that may not come to -inf, in place.

    Args:
        row: after the grammar. What ends the sequence is kept where nothing else is left.
    """
    params = sequence.request.sampling
    if params.allowed_token_ids is not None:
        allowed = _indices(params.allowed_token_ids | sequence.stop_token_ids, row)
        kept = row[allowed]
        row.fill_(-math.inf)
        row[allowed] = kept
    if params.bad_words:
        generated = sequence.token_ids[sequence.num_prompt_tokens :]
        row[_indices(completing(generated, params.bad_words), row)] = -math.inf
    if sequence.num_generated < params.min_tokens and sequence.stop_token_ids:
        stops = _indices(sequence.stop_token_ids, row)
        kept = row[stops]
        row[stops] = -math.inf
        if row.max() == -math.inf:
            row[stops] = kept


def _indices(token_ids: frozenset[int] | set[int], row: torch.Tensor) -> torch.Tensor:
    return torch.tensor(sorted(token_ids), dtype=torch.int64, device=row.device)
