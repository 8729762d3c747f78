"""Scales of groups of weights: from the largest weight, or searched for least squared error.

Both work on ``[..., n]`` float32, one scale for the last dimension, and give scales that are
already rounded to the type that they are stored in: the integers are then chosen for the numbers
that an engine will multiply with, not for better ones that it never sees.

The search is data-free. For each group it tries a grid of clippings of the largest weight and keeps
the one of least squared error, as the MSE-optimal clipping of Banner et al. (ACIQ, NeurIPS 2019)
and Sakr et al. (OCTAV, ICML 2022) do, by a grid instead of their distribution or fixed point. Then
it alternates: integers for the scale, and for these integers the scale of least squares,
``<w, q> / <q, q>`` (Lloyd's algorithm with levels in a fixed ratio). Plain rounding is the first
candidate, so the result is never worse by this measure.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from quantize.errors import BadWeightsError

Round = Callable[[torch.Tensor], torch.Tensor]
"""Weights in units of their scale → the nearest values that can be stored, as float32."""

GRID = tuple(1.0 - 0.04 * step for step in range(11))
"""Clippings that are tried; below 0.6 none was ever best for groups of 32 or more."""
REFINEMENTS = 2
# A float16 scale below this has so few bits left that rounding it would clip the largest weight.
_LEAST = {torch.float16: 2.0**-17}


def from_largest(weights: torch.Tensor, levels: float, dtype: torch.dtype) -> torch.Tensor:
    """Round-to-nearest: the largest weight becomes ``levels``.

    Returns:
        float32 ``[..., 1]``, above 0; 1 where all weights are 0.

    Raises:
        BadWeightsError: NaN or infinity.
    """
    least, most = checked_range(weights)
    largest = torch.maximum(-least, most)
    return stored(largest / levels, dtype).masked_fill_(largest == 0, 1.0)


def checked_range(weights: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The least and the largest of each group, ``[..., 1]``.

    Raises:
        BadWeightsError: NaN or infinity.
    """
    least, most = torch.aminmax(weights, dim=-1, keepdim=True)
    if not (torch.isfinite(least).all() and torch.isfinite(most).all()):
        raise BadWeightsError("it holds NaN or infinity")
    return least, most


def searched(
    weights: torch.Tensor, levels: float, dtype: torch.dtype, round_: Round
) -> torch.Tensor:
    """The scale of least squared error, as the head of this module says. Same result as above."""
    first = from_largest(weights, levels, dtype)
    best, least = first, _error(weights, first, round_)
    for clipping in GRID[1:]:
        best, least = _better(weights, stored(first * clipping, dtype), round_, best, least)
    for _ in range(REFINEMENTS):
        values = round_(weights / best)
        power = (values * values).sum(-1, keepdim=True)
        fitted = (weights * values).sum(-1, keepdim=True) / power.clamp_(min=1.0)
        candidate = torch.where(fitted > 0, fitted, best)
        best, least = _better(weights, stored(candidate, dtype), round_, best, least)
    return best


def _better(
    weights: torch.Tensor,
    candidate: torch.Tensor,
    round_: Round,
    best: torch.Tensor,
    least: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    error = _error(weights, candidate, round_)
    is_better = error < least
    return torch.where(is_better, candidate, best), torch.where(is_better, error, least)


def _error(weights: torch.Tensor, scale: torch.Tensor, round_: Round) -> torch.Tensor:
    difference = round_(weights / scale).mul_(scale).sub_(weights)
    return difference.mul_(difference).sum(-1, keepdim=True)


def stored(scale: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """The scale as it will be read again: rounded to ``dtype``, never 0."""
    least = _LEAST.get(dtype, torch.finfo(dtype).tiny)
    return scale.clamp(min=least).to(dtype).to(torch.float32)
