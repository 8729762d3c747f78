"""Scale and zero point of a group of columns, for every row: of least squared error, each column's
counted by what it costs.

As quantize/formats/scales.py and asymmetric.py choose them without a text, but for the weights of
columns and the layout: here a column's numbers lie together, ``[columns, rows]``.
"""

from __future__ import annotations

import torch

from quantize.errors import BadWeightsError
from quantize.formats.forms import Form
from quantize.formats.scales import stored

Chosen = tuple[torch.Tensor, torch.Tensor]
"""Scale and zero, float32 ``[rows]``; zero is 0 of symmetric forms."""

_CLIPPINGS = tuple(1 - 0.04 * step for step in range(11))
"""Shares of the range of a group's weights that are tried."""
_REFINEMENTS = 3


def integers(
    values: torch.Tensor, scale: torch.Tensor, zero: torch.Tensor, form: Form
) -> torch.Tensor:
    """The nearest that can be stored, float32, with the zero point in it."""
    least, most = _range(form)
    return (values / scale).round_().add_(zero).clamp_(least, most)


def scale_and_zero(
    columns: torch.Tensor, cost: torch.Tensor, form: Form, dtype: torch.dtype
) -> Chosen:
    """Those of least error. Eight bits take the range as it is: there is nothing to win.

    Args:
        columns: float32 ``[columns, rows]``.
        cost: ``[columns, 1]``, above 0.
        form: bits and symmetry.
        dtype: in which scales are stored.

    Raises:
        BadWeightsError: NaN or infinity.
    """
    least, most = columns.amin(0).clamp_(max=0), columns.amax(0).clamp_(min=0)
    if not bool(torch.isfinite(most - least).all()):
        raise BadWeightsError("it holds NaN or infinity")
    best = _spanning(least, most, form, dtype)
    if form.num_bits == 8:
        return best
    error = _error(columns, cost, best, form)
    for clipping in _CLIPPINGS[1:]:
        candidate = _spanning(least * clipping, most * clipping, form, dtype)
        best, error = _better(best, error, candidate, _error(columns, cost, candidate, form))
    for _ in range(_REFINEMENTS):
        steps = integers(columns, *best, form).sub_(best[1])
        weighted = steps * cost
        fitted = (columns * weighted).sum(0) / (steps * weighted).sum(0).clamp_(min=1e-12)
        scale = stored(torch.where(fitted > 0, fitted, best[0]), dtype)
        candidate = scale, best[1]
        best, error = _better(best, error, candidate, _error(columns, cost, candidate, form))
    return best


def _range(form: Form) -> tuple[int, int]:
    """The least and the largest integer; of 8 bits -128 is left out, as packed weights do."""
    half = 1 << (form.num_bits - 1)
    if not form.is_symmetric:
        return 0, 2 * half - 1
    return -half + (form.num_bits == 8), half - 1


def _spanning(least: torch.Tensor, most: torch.Tensor, form: Form, dtype: torch.dtype) -> Chosen:
    if form.is_symmetric:
        largest = torch.maximum(-least, most)
        levels = 127.0 if form.num_bits == 8 else 7.5
        scale = stored(largest / levels, dtype).masked_fill_(largest == 0, 1.0)
        return scale, torch.zeros_like(scale)
    span, levels = most - least, (1 << form.num_bits) - 1.0
    scale = stored(span / levels, dtype).masked_fill_(span == 0, 1.0)
    return scale, (-least / scale).round_().clamp_(0, levels)


def _error(columns: torch.Tensor, cost: torch.Tensor, chosen: Chosen, form: Form) -> torch.Tensor:
    values = integers(columns, *chosen, form).sub_(chosen[1]).mul_(chosen[0])
    return values.sub_(columns).square_().mul_(cost).sum(0)


def _better(
    best: Chosen, least: torch.Tensor, candidate: Chosen, error: torch.Tensor
) -> tuple[Chosen, torch.Tensor]:
    is_better = error < least
    chosen = (
        torch.where(is_better, candidate[0], best[0]),
        torch.where(is_better, candidate[1], best[1]),
    )
    return chosen, torch.where(is_better, error, least)
