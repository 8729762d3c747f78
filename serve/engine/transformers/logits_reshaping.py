"""Penalties, bias, mask and token rules: what changes a row of logits before a token is drawn."""

from __future__ import annotations

import math

import torch

from serve.engine.protocol import SamplingParams
from serve.engine.transformers import token_rules
from serve.engine.transformers.sampled_row import SampledRow

_MOST = 1e6
"""Penalties and biases up to here, and repetition penalties down to its inverse, keep every logit
within float32. Others are computed in float64."""
_LEAST_PENALTY = 1e-250
"""A repetition penalty below it would leave float64 too. It orders tokens as this one does."""


def reshape(row: torch.Tensor, sequence: SampledRow) -> None:
    """Apply penalties, bias, mask and token rules to one row ``[V]`` of float32, in place.

    Where a parameter is so extreme that logits would leave float32, the row is also shifted so
    that its best is 0: the order stays, and so do all differences that a float32 can say.

    Raises:
        Exception: whatever the mask does.
    """
    params = sequence.request.sampling
    if not _is_extreme(params):
        _penalise(row, sequence)
        _forbid(row, sequence)
        return
    wide = row.double()
    _penalise(wide, sequence)
    most = torch.finfo(torch.float32).max
    visible = wide.clamp(-most, most).float()
    _forbid(visible, sequence)
    wide.masked_fill_(visible == -math.inf, -math.inf)
    best = wide.max()
    row.copy_(wide - best if bool(best.isfinite()) else wide)


def _forbid(row: torch.Tensor, sequence: SampledRow) -> None:
    """Set what may not come to -inf. The grammar is first: ``min_tokens`` yields to it."""
    if sequence.mask is not None:
        sequence.mask.apply(row)
    token_rules.apply(row, sequence)


def has_rules(sequence: SampledRow) -> bool:
    """Whether the request has penalties, a bias or rules for tokens: all but the mask."""
    params = sequence.request.sampling
    return bool(
        params.logit_bias
        or params.presence_penalty
        or params.frequency_penalty
        or params.repetition_penalty != 1
        or token_rules.has_any(sequence)
    )


def _is_extreme(params: SamplingParams) -> bool:
    return not (
        1 / _MOST <= params.repetition_penalty <= _MOST
        and abs(params.presence_penalty) <= _MOST
        and abs(params.frequency_penalty) <= _MOST
        and all(abs(bias) <= _MOST for bias in params.logit_bias.values())
    )


def _penalise(row: torch.Tensor, sequence: SampledRow) -> None:
    params = sequence.request.sampling
    if params.repetition_penalty != 1:
        seen = torch.unique(torch.tensor(sequence.token_ids, device=row.device))
        values = row[seen]
        penalty = max(params.repetition_penalty, _LEAST_PENALTY)
        row[seen] = torch.where(values > 0, values / penalty, values * penalty)
    generated = sequence.token_ids[sequence.num_prompt_tokens :]
    if generated and (params.presence_penalty or params.frequency_penalty):
        seen, counts = torch.unique(torch.tensor(generated, device=row.device), return_counts=True)
        row[seen] -= params.presence_penalty + params.frequency_penalty * counts.to(row.dtype)
    if params.logit_bias:
        biased = torch.tensor(list(params.logit_bias), device=row.device)
        row[biased] += torch.tensor(
            list(params.logit_bias.values()), dtype=row.dtype, device=row.device
        )
