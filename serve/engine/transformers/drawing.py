"""Drawing a token of each row's distribution, cut as its request says.

Truncation needs the most likely tokens in order. Sorting a vocabulary of 150,000 per row costs
more than a small model's forward, so the rows are cut to their ``_PREFIX`` best first; a row whose
truncation reaches further (seen from the exact total probability) is sorted in full.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from serve.engine.protocol import SamplingParams

_PREFIX = 256
_MOST_TEMPERATURE = 1e30


def draw(
    logits: torch.Tensor, params: Sequence[SamplingParams], draws: Sequence[float]
) -> torch.Tensor:
    """One token id per row ``[S]``. logits: [S, V] float32; draws: S numbers in [0, 1)."""
    device = logits.device
    uniforms = torch.tensor(draws, dtype=torch.float64)
    temperatures = torch.tensor(
        [min(row.temperature, _MOST_TEMPERATURE) for row in params], device=device
    )
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
    top_k = torch.tensor(
        [min(row.top_k or vocab_size, vocab_size) for row in params], device=device
    )
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
    kept[:, 0] = True  # even of a target that is 0
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
