"""Choosing the next token of every sequence of a step, vectorised over the rows.

Order, as vLLM and transformers apply them: repetition penalty, presence and frequency penalties,
logit bias, the sequence's mask, temperature, top_k, top_p (of what top_k left), min_p; then one
uniform draw per row from the sequence's own source and the inverse of the cumulative distribution.
So a row's token depends on its own logits and its own seed, never on which rows share the step.

Truncation needs the most likely tokens in order. Sorting a vocabulary of 150,000 per row costs
more than a small model's forward, so the rows are cut to their ``_PREFIX`` best first; a row whose
truncation reaches further (seen from the exact total probability) is sorted in full.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from serve.engine.protocol import SamplingParams, TokenLogprob
from serve.engine.transformers.scheduler import SequenceState

_PREFIX = 256


@dataclass(frozen=True, slots=True)
class Sampled:
    """One row's outcome."""

    token_id: int
    logprob: TokenLogprob | None


def sample(logits: torch.Tensor, sequences: Sequence[SequenceState]) -> list[Sampled]:
    """Choose one token per row.

    Args:
        logits: ``[B, V]``, any float type; overwritten.
        sequences: one per row; a sampled row draws once from its ``source``.
    """
    params = [sequence.request.sampling for sequence in sequences]
    raw = logits
    if any(map(_needs_floats, sequences)):
        raw = logits = logits.float()
    if any(map(_reshapes, sequences)) and any(row.num_logprobs is not None for row in params):
        logits = raw.clone()
    for index, sequence in enumerate(sequences):
        if _reshapes(sequence):
            _reshape(logits[index], sequence)
    # The first of equals, as argmax; but argmax over bfloat16 is six times slower.
    chosen = logits.max(-1).indices  # [B]
    drawn = [index for index, row in enumerate(params) if row.temperature > 0]
    if drawn:
        rows = torch.tensor(drawn, device=logits.device)
        chosen[rows] = _draw(logits[rows], [sequences[index] for index in drawn])
    token_ids: list[int] = chosen.tolist()
    logprobs = _logprobs(raw, token_ids, [row.num_logprobs for row in params])
    return [Sampled(*pair) for pair in zip(token_ids, logprobs, strict=True)]


def _reshapes(sequence: SequenceState) -> bool:
    params = sequence.request.sampling
    return bool(
        sequence.mask is not None
        or params.logit_bias
        or params.presence_penalty
        or params.frequency_penalty
        or params.repetition_penalty != 1
    )


def _needs_floats(sequence: SequenceState) -> bool:
    params = sequence.request.sampling
    return params.temperature > 0 or params.num_logprobs is not None or _reshapes(sequence)


def _reshape(row: torch.Tensor, sequence: SequenceState) -> None:
    """Apply penalties, bias and mask to one row ``[V]``, in place."""
    params = sequence.request.sampling
    if params.repetition_penalty != 1:
        seen = torch.unique(torch.tensor(sequence.token_ids, device=row.device))
        values = row[seen]
        penalty = params.repetition_penalty
        row[seen] = torch.where(values > 0, values / penalty, values * penalty)
    generated = sequence.token_ids[sequence.num_prompt_tokens :]
    if generated and (params.presence_penalty or params.frequency_penalty):
        seen, counts = torch.unique(torch.tensor(generated, device=row.device), return_counts=True)
        row[seen] -= params.presence_penalty + params.frequency_penalty * counts
    if params.logit_bias:
        biased = torch.tensor(list(params.logit_bias), device=row.device)
        row[biased] += torch.tensor(
            list(params.logit_bias.values()), dtype=row.dtype, device=row.device
        )
    if sequence.mask is not None:
        sequence.mask.apply(row)


def _draw(logits: torch.Tensor, sequences: Sequence[SequenceState]) -> torch.Tensor:
    """One token id per row ``[S]``. logits: [S, V] float32, overwritten."""
    params = [sequence.request.sampling for sequence in sequences]
    device = logits.device
    uniforms = torch.tensor([s.source.random() for s in sequences], dtype=torch.float64)
    temperatures = torch.tensor([row.temperature for row in params], device=device)
    # Centred first, so that no temperature however small overflows: the best is always 0.
    logits = (logits - logits.amax(-1, keepdim=True)) / temperatures[:, None]
    token_ids = torch.empty(len(params), dtype=torch.int64, device=device)
    whole = [i for i, row in enumerate(params) if not _truncates(row)]
    if whole:
        rows = torch.tensor(whole, device=device)
        token_ids[rows] = _invert(logits[rows].exp(), uniforms[whole].to(device))
    cut = [i for i, row in enumerate(params) if _truncates(row)]
    if cut:
        rows = torch.tensor(cut, device=device)
        token_ids[rows] = _draw_truncated(
            logits[rows], [params[i] for i in cut], uniforms[cut].to(device)
        )
    return token_ids


def _truncates(params: SamplingParams) -> bool:
    return params.top_k > 0 or params.top_p < 1 or params.min_p > 0


def _draw_truncated(
    logits: torch.Tensor, params: Sequence[SamplingParams], uniforms: torch.Tensor
) -> torch.Tensor:
    """Rows with top_k, top_p or min_p. logits: [S, V] float32, best 0 -> [S]."""
    totals = logits.exp().sum(-1, dtype=torch.float64)  # [S]
    width = min(_PREFIX, logits.shape[-1])
    values, ids = logits.topk(width)  # [S, width], best first
    kept, is_complete = _truncate(values, totals, params, logits.shape[-1])
    positions = _invert(kept, uniforms)  # [S]
    token_ids = ids.gather(-1, positions[:, None])[:, 0]
    for index in (~is_complete).nonzero()[:, 0].tolist():
        values, ids = logits[index : index + 1].sort(-1, descending=True)
        row = slice(index, index + 1)
        kept, _ = _truncate(values, totals[row], [params[index]], logits.shape[-1])
        token_ids[index] = ids[0, _invert(kept, uniforms[row])[0]]
    return token_ids


def _truncate(
    values: torch.Tensor, totals: torch.Tensor, params: Sequence[SamplingParams], vocab_size: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Weights of the tokens that survive, and whether none beyond ``values`` would.

    Args:
        values: ``[S, W]`` scaled logits, best first, best 0.
        totals: ``[S]`` sum of exp over the whole vocabulary.
    """
    width, device = values.shape[-1], values.device
    top_k = torch.tensor([row.top_k or vocab_size for row in params], device=device)
    top_p = torch.tensor([row.top_p for row in params], dtype=torch.float64, device=device)
    floor = torch.tensor(
        [math.log(row.min_p) if row.min_p > 0 else -math.inf for row in params], device=device
    )
    weights = values.exp().double()  # [S, W]
    ranks = torch.arange(width, device=device)
    weights = weights.masked_fill(ranks >= top_k[:, None], 0)
    sums = weights.cumsum(-1)  # [S, W]
    # top_p is of what top_k left.
    mass = torch.where(top_k <= width, sums[:, -1], totals)
    target = torch.where(top_p < 1, top_p * mass, math.inf)  # [S]
    before = sums - weights
    # A token is kept while those before it have not reached the target; the first one always is.
    kept = (before < target[:, None]) & (values >= floor[:, None])
    is_complete = (top_k <= width) | (
        # Without top_k (one beyond `values` always needs the full sort, for top_p's mass).
        (top_k >= vocab_size) & ((sums[:, -1] >= target) | (values[:, -1] < floor))
    )
    return weights * kept, is_complete


def _invert(weights: torch.Tensor, uniforms: torch.Tensor) -> torch.Tensor:
    """The index at which the cumulative weight passes ``uniform`` of the total, per row.

    Args:
        weights: ``[S, W]``, not negative; each row has a positive one.
        uniforms: ``[S]`` in [0, 1).
    """
    sums = weights.cumsum(-1, dtype=torch.float64)
    total = sums[:, -1:].contiguous()
    index = torch.searchsorted(sums, uniforms[:, None] * total, right=True)  # [S, 1]
    # Rounding can put the point on the total itself: then the last index with weight is meant.
    last = torch.searchsorted(sums, total)
    # The clamp is for rows of NaN, which must not name a token that does not exist.
    return torch.minimum(index, last)[:, 0].clamp(max=weights.shape[-1] - 1)


def _logprobs(
    raw: torch.Tensor, token_ids: Sequence[int], num_logprobs: Sequence[int | None]
) -> list[TokenLogprob | None]:
    """Logprobs of the model's own distribution, None for rows that want none.

    Args:
        raw: ``[B, V]``; float32 where any row wants some.
        token_ids: the chosen tokens.
        num_logprobs: for each row, how many of the most likely tokens are wanted beside it.
    """
    results: list[TokenLogprob | None] = [None] * len(num_logprobs)
    indices = [index for index, count in enumerate(num_logprobs) if count is not None]
    if not indices:
        return results
    rows = torch.tensor(indices, device=raw.device)
    logprobs = raw[rows].log_softmax(-1)  # [R, V]
    chosen = torch.tensor([token_ids[index] for index in indices], device=raw.device)
    chosen_logprobs: list[float] = logprobs.gather(-1, chosen[:, None])[:, 0].tolist()
    values, ids = logprobs.topk(max(1, *(num_logprobs[index] or 0 for index in indices), 1))
    for row, index in enumerate(indices):
        count = num_logprobs[index] or 0
        top = zip(ids[row, :count].tolist(), values[row, :count].tolist(), strict=True)
        results[index] = TokenLogprob(token_ids[index], chosen_logprobs[row], tuple(top))
    return results
