"""The rounding of a layer's inputs before engines multiply: none, or to 8 bits.

The scale is the largest absolute value over 127, for each block of columns of each token; a row's
own scale is a block as long as the row. Where engines differ it is the coarser way that counts: the
transformers engine on a CPU rounds in blocks of 32 for all stored integers, vLLM by token for W8A8.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch

from models.refs import QuantScheme

Rounding = Callable[[torch.Tensor], torch.Tensor]
"""float32 ``[n, columns]`` → the same, rounded; the argument is not changed."""

BLOCK = 32
_ROWS = 128
"""Rounded at a time: intermediate results of all would be as large as the activations."""


def of_scheme(scheme: QuantScheme) -> Rounding | None:
    """The rounding of a quantised layer's inputs; None where they are as they come."""
    return _BY_SCHEME.get(scheme)


def in_blocks(values: torch.Tensor) -> torch.Tensor:
    """8 bits, a scale for each 32 columns."""
    return _rounded(values, BLOCK)


def by_token(values: torch.Tensor) -> torch.Tensor:
    """8 bits, a scale for each row."""
    return _rounded(values, values.shape[1])


def floats_by_token(values: torch.Tensor) -> torch.Tensor:
    """8-bit floats (e4m3), a scale for each row: the largest becomes 448."""
    scale = values.abs().amax(-1, keepdim=True).clamp_min_(1e-12) / 448
    return (values / scale).to(torch.float8_e4m3fn).float().mul_(scale)


def _rounded(values: torch.Tensor, block: int) -> torch.Tensor:
    num_rows, columns = values.shape
    if columns % block:
        return _rounded(torch.nn.functional.pad(values, (0, -columns % block)), block)[:, :columns]
    rounded = torch.empty_like(values)
    for begin in range(0, num_rows, _ROWS):
        block_rows = values[begin : begin + _ROWS].reshape(-1, columns // block, block)
        scale = block_rows.abs().amax(-1, keepdim=True).clamp_min_(1e-30).div_(127)
        rounded[begin : begin + _ROWS] = (block_rows / scale).round_().mul_(scale).view(-1, columns)
    return rounded


_BY_SCHEME: Mapping[QuantScheme, Rounding] = {
    QuantScheme.INT8: in_blocks,
    QuantScheme.INT8_WEIGHT_ONLY: in_blocks,
    QuantScheme.INT4: in_blocks,
    QuantScheme.INT8_W8A8: by_token,
    QuantScheme.BNB_INT8: by_token,
    QuantScheme.FP8: floats_by_token,
}
