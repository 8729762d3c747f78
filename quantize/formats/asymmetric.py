"""Scales and zero points of groups of 4-bit weights: from their range, or of least squared error.

As scales.py, with a zero point beside the scale: ``weight = (q - zero) * scale``, both of them in
0..15. A group whose weights lie to one side of 0 then has all its levels there.

The search tries a grid of spans around the middle of a group, wider than its weights and narrower;
then it alternates once: integers for the best, and for these integers scale and zero point of least
squares (a line through the weights over their integers; the zero point is rounded, so the scale is
fitted to it once more). On real weights in groups of 32 that is a tenth below plain rounding in
squared error; trying every zero point with 70 spans gets another half of a hundredth.
"""

from __future__ import annotations

import torch

from quantize.formats.scales import checked_range, stored

LEVELS = 15
SPANS = tuple(1.12 - 0.04 * step for step in range(10))
"""Widths that the 16 levels reach over, in distances of a group's least and largest weight."""

_LEAST_POWER = 0.5
"""Below this all integers of a group are equal, and no line can be drawn."""

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
    for factor in SPANS:
        best, error = _better(weights, _centred(least, most, factor, dtype), best, error)
    best, error = _better(weights, _fitted(weights, best, dtype), best, error)
    scale = _fitted_scale(weights, best, best[1], dtype)
    return _better(weights, (scale, best[1]), best, error)[0]


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


def _centred(least: torch.Tensor, most: torch.Tensor, factor: float, dtype: torch.dtype) -> Chosen:
    span = most - least
    scale = stored(span * (factor / LEVELS), dtype).masked_fill_(span == 0, 1.0)
    zero = LEVELS / 2 - (least + most) / (2 * scale)
    return scale, zero.round_().clamp_(0, LEVELS)


def _fitted(weights: torch.Tensor, chosen: Chosen, dtype: torch.dtype) -> Chosen:
    """Scale and zero point of least squares for the integers that ``chosen`` gives."""
    values = integers_raised(weights, *chosen)
    centre, mean = values.mean(-1, keepdim=True), weights.mean(-1, keepdim=True)
    values = values.sub_(centre)
    power = (values * values).sum(-1, keepdim=True)
    slope = (weights * values).sum(-1, keepdim=True) / power.clamp(min=_LEAST_POWER)
    slope = torch.where((slope > 0) & (power >= _LEAST_POWER), slope, chosen[0])
    zero = (centre - mean / slope).round_().clamp_(0, LEVELS)
    return _fitted_scale(weights, chosen, zero, dtype), zero


def _fitted_scale(
    weights: torch.Tensor, chosen: Chosen, zero: torch.Tensor, dtype: torch.dtype
) -> torch.Tensor:
    """The scale of least squares for the integers that ``chosen`` gives, about this zero point."""
    values = integers_raised(weights, *chosen).sub_(zero)
    power = (values * values).sum(-1, keepdim=True)
    fitted = (weights * values).sum(-1, keepdim=True) / power.clamp_(min=1.0)
    return stored(torch.where(fitted > 0, fitted, chosen[0]), dtype)


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
