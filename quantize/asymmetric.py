"""Scales and zero points of groups of 4-bit weights: from their range, or of least squared error.

As scales.py, with a zero point beside the scale: ``weight = (q - zero) * scale``, both of them in
0..15. A group whose weights lie to one side of 0 then has all its levels there.
"""

from __future__ import annotations

import torch

from quantize.scales import checked_range, stored

LEVELS = 15

Chosen = tuple[torch.Tensor, torch.Tensor]
"""Scales and zero points, float32 ``[..., 1]``; scales as they are stored, above 0."""


def from_range(weights: torch.Tensor, dtype: torch.dtype) -> Chosen:
    """The levels from the least weight to the largest, 0 among them.

    Args:
        weights: float32 ``[..., n]``.
        dtype: in which scales are stored.

    Raises:
        BadWeightsError: NaN or infinity.
    """
    least, most = checked_range(weights)
    return _spanning(least.clamp(max=0), most.clamp(min=0), dtype)


def searched(weights: torch.Tensor, dtype: torch.dtype) -> Chosen:
    """Those of least squared error, as the head of this module says."""
    least, most = checked_range(weights)
    least, most = least.clamp(max=0), most.clamp(min=0)
    best = _spanning(least, most, dtype)
    error = _error(weights, *best)
    for step in range(1, 9):
        clipping = 1 - 0.04 * step
        candidate = _spanning(least * clipping, most * clipping, dtype)
        best, error = _better(weights, candidate, best, error)
    for _ in range(3):
        values = integers_raised(weights, *best) - best[1]
        power = (values * values).sum(-1, keepdim=True)
        fitted = (weights * values).sum(-1, keepdim=True) / power.clamp_(min=1.0)
        scale = stored(torch.where(fitted > 0, fitted, best[0]), dtype)
        best, error = _better(weights, (scale, best[1]), best, error)
    return best


def integers(weights: torch.Tensor, scale: torch.Tensor, zero: torch.Tensor) -> torch.Tensor:
    """int8 in -8..7: what is stored, less 8, as packing.py takes it."""
    return integers_raised(weights, scale, zero).sub_(8).to(torch.int8)


def integers_raised(weights: torch.Tensor, scale: torch.Tensor, zero: torch.Tensor) -> torch.Tensor:
    """float32 in 0..15."""
    return (weights / scale).round_().add_(zero).clamp_(0, LEVELS)


def _spanning(least: torch.Tensor, most: torch.Tensor, dtype: torch.dtype) -> Chosen:
    span = most - least
    scale = stored(span / LEVELS, dtype).masked_fill_(span == 0, 1.0)
    zero = (-least / scale).round_().clamp_(0, LEVELS)
    return scale, zero


def _error(weights: torch.Tensor, scale: torch.Tensor, zero: torch.Tensor) -> torch.Tensor:
    difference = integers_raised(weights, scale, zero).sub_(zero).mul_(scale).sub_(weights)
    return difference.mul_(difference).sum(-1, keepdim=True)


def _better(
    weights: torch.Tensor, candidate: Chosen, best: Chosen, least: torch.Tensor
) -> tuple[Chosen, torch.Tensor]:
    error = _error(weights, *candidate)
    is_better = error < least
    chosen = (
        torch.where(is_better, candidate[0], best[0]),
        torch.where(is_better, candidate[1], best[1]),
    )
    return chosen, torch.where(is_better, error, least)
