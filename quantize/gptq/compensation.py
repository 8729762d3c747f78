"""One matrix rounded column after column, later columns making up for the earlier ones' errors.

GPTQ (Frantar et al., ICLR 2023, algorithm 1). Of a layer's answers X W^T, rounding W to W' loses
tr((W - W') H (W - W')^T) with H = X^T X. Once a column is rounded, the columns that are left are
moved to where that is least: with U the upper Cholesky factor of H^-1,

    error_i = (w_i - w'_i) / U_ii        w_j -= error_i U_ij   for every j > i

within a group of columns one by one, and for those behind the group as one product. A group's scale
and zero point are chosen when it is reached, for its weights as they are then (choosing.py).

The last columns have nobody to make up for them, so those of the largest inputs come first: group
by group, and within a group, so that what is stored lies in its old order.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from quantize.errors import BadWeightsError
from quantize.formats.forms import Form
from quantize.gptq import choosing

DAMPING = 0.01
"""The share of the mean of H's diagonal that is added to it: inputs that the text never had must
count for something."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Factor:
    """The factor of a layer's inputs.

    Attributes:
        upper: U, of the columns in ``order``.
        order: int64 ``[num_in]``: which column comes when. Groups stay together.
    """

    upper: torch.Tensor
    order: torch.Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Rounded:
    """Some rows of a matrix.

    Attributes:
        integers: int8 ``[n, num_in]``, signed: what is stored less the middle of its range.
        scale: float32 ``[n, groups]``, as stored.
        zero: float32 ``[n, groups]``, in the range that is stored (0..15); None of symmetric forms.
    """

    integers: torch.Tensor
    scale: torch.Tensor
    zero: torch.Tensor | None


def factor(products: torch.Tensor, group_size: int | None) -> Factor:
    """The factor of H ``[num_in, num_in]``, which is changed.

    Raises:
        BadWeightsError: H is of no inputs that a layer can have.
    """
    if not bool(torch.isfinite(products.diagonal()).all()):
        raise BadWeightsError("its inputs hold NaN or infinity")
    order = _order(products.diagonal(), group_size or len(products))
    products = products[order][:, order]
    diagonal = products.diagonal()
    mean = float(diagonal.mean()) or 1.0
    for share in (DAMPING, 10 * DAMPING, 100 * DAMPING):
        diagonal += share * mean
        lower, fault = torch.linalg.cholesky_ex(products)
        if int(fault):
            continue
        upper, fault = torch.linalg.cholesky_ex(torch.cholesky_inverse(lower), upper=True)
        if not int(fault):
            return Factor(upper=upper, order=order)
    raise BadWeightsError("its inputs depend on each other too closely to be told apart")


def rounded(rows: torch.Tensor, by: Factor, form: Form, dtype: torch.dtype) -> Rounded:
    """Some rows of a matrix; rows do not depend on each other.

    Args:
        rows: float32 ``[n, num_in]``; not changed.
        by: of the layer's inputs.
        form: bits, group and symmetry; a group divides the columns.
        dtype: in which scales are stored.

    Raises:
        BadWeightsError: NaN or infinity among the weights.
    """
    num_in, upper = rows.shape[1], by.upper
    group = form.group_size or num_in
    columns = rows.T[by.order]  # a column's numbers lie together
    integers = torch.empty(num_in, len(rows), dtype=torch.int8)
    scales = torch.empty(num_in // group, len(rows))
    zeros = torch.empty_like(scales)
    # What an error in a column costs once the others have made up for it.
    cost = upper.diagonal().reciprocal().square_().unsqueeze(-1)
    middle = 0 if form.is_symmetric else 1 << (form.num_bits - 1)
    for begin in range(0, num_in, group):
        end = begin + group
        scale, zero = choosing.scale_and_zero(columns[begin:end], cost[begin:end], form, dtype)
        number = int(by.order[begin]) // group
        scales[number], zeros[number] = scale, zero
        errors = torch.empty_like(columns[begin:end])
        for i in range(begin, end):
            stored = choosing.integers(columns[i], scale, zero, form)
            integers[by.order[i]] = (stored - middle).to(torch.int8)
            error = torch.addcmul(columns[i], stored - zero, scale, value=-1)
            errors[i - begin] = error.div_(upper[i, i])
            columns[i + 1 : end].addr_(upper[i, i + 1 : end], error, alpha=-1)
        columns[end:].addmm_(upper[begin:end, end:].T, errors, alpha=-1)
    return Rounded(
        integers=integers.T.contiguous(),
        scale=scales.T.contiguous(),
        zero=None if form.is_symmetric else zeros.T.contiguous(),
    )


def _order(energy: torch.Tensor, group: int) -> torch.Tensor:
    """Groups by their inputs' energy, and columns within each group; the largest first."""
    grouped = energy.view(-1, group)
    within = grouped.argsort(dim=1, descending=True, stable=True)
    first = torch.arange(0, len(energy), group).unsqueeze(-1)
    among = grouped.sum(1).argsort(descending=True, stable=True)
    return (within + first)[among].flatten()
