"""A linear layer that keeps 4-bit weights: W4A16, a scale per group of inputs.

On a CPU the weights lie as ``torch.ops.aten._weight_int4pack_mm_for_cpu`` reads them (tinygemm's
layout), which wins while few rows share the reading of the weights. For many rows a tile of columns
is unpacked to the rows' own type and multiplied as usual, tile by tile, so nothing is held twice.
Elsewhere (on a GPU, or for shapes that the operator has no layout for) the weights stay as they
are on disk, and every product unpacks tiles; that is not verified on a GPU, and not fast.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping

import torch
from torch import nn

from serve.engine.batching.quantized_linear import QuantizedLinear

MANY_ROWS = 256
"""From so many rows on, tiles are unpacked; docs/lab-notes.md has the measurement."""
_TILE = 512
_BLOCK = 64
_GROUPS = (256, 128, 64, 32)
_OFFSET = 8
"""What is stored for a weight of zero."""


class Int4Linear(QuantizedLinear):
    """See the module's docstring.

    Args:
        packed: int32 ``[out, in/8]``, eight weights a word, the lowest bits first.
        scale: ``[out, in/group]``.
        bias: ``[out]`` or None.
        dtype: of the scales: that of the rows to come.
    """

    def __init__(
        self,
        packed: torch.Tensor,
        scale: torch.Tensor,
        bias: nn.Parameter | None,
        *,
        dtype: torch.dtype,
    ) -> None:
        super().__init__(packed.shape[1] * 8, packed.shape[0], bias)
        group = operator_group(self.in_features, self.in_features // scale.shape[1])
        self.is_packed = (
            packed.device.type == "cpu"
            and group is not None
            and self.out_features % _BLOCK == 0
            and has_known_layout()
        )
        if self.is_packed and group is not None:
            repeats = self.in_features // group // scale.shape[1]
            columns = scale.to(dtype).repeat_interleave(repeats, 1).t()  # [in/group, out]
            self._weight = pack(unpack(packed))
            self._scale = torch.stack((columns, torch.zeros_like(columns)), -1).contiguous()
            self._group = group
        else:
            self._weight = packed.contiguous()
            self._scale = scale.to(dtype).t().contiguous()
            self._group = self.in_features // scale.shape[1]

    def multiply(self, x: torch.Tensor) -> torch.Tensor:
        if self.is_packed and len(x) < MANY_ROWS:
            result: torch.Tensor = torch.ops.aten._weight_int4pack_mm_for_cpu(  # noqa: SLF001
                x.contiguous(), self._weight, self._group, self._scale
            )
        else:
            result = x.new_empty(len(x), self.out_features)
            for start in range(0, self.out_features, _TILE):
                tile = self.tile(start, min(start + _TILE, self.out_features))
                result[:, start : start + _TILE] = x @ tile
        return result if self.bias is None else result.add_(self.bias)

    def tile(self, start: int, stop: int) -> torch.Tensor:
        """``[in, stop - start]``: these columns, unpacked. On a block's bounds where packed."""
        if self.is_packed:
            levels = unpack_blocks(self._weight[start:stop], self._scale.dtype)
            scale = self._scale[:, start:stop, 0]
        else:
            levels = unpack(self._weight[start:stop]).to(self._scale.dtype).sub_(_OFFSET).t()
            scale = self._scale[:, start:stop]
        grouped = levels.reshape(-1, self._group, stop - start)
        return grouped.mul_(scale[:, None]).view(self.in_features, stop - start)

    @property
    def scheme(self) -> str:
        return "int4 (W4A16)"

    def stored_bytes(self) -> Mapping[str, int]:
        name = str(self._scale.dtype).removeprefix("torch.")
        return {"int4": self._weight.nbytes, name: self._scale.nbytes}


def operator_group(in_features: int, group: int) -> int | None:
    """The largest size that the operator knows and that divides ``group``; None without one."""
    return next((size for size in _GROUPS if group % size == 0 and in_features % size == 0), None)


def unpack(packed: torch.Tensor) -> torch.Tensor:
    """int32 ``[out, in/8]`` to uint8 ``[out, in]`` in [0, 15]."""
    bytes_ = packed.contiguous().view(torch.uint8)
    return torch.stack((bytes_ & 15, bytes_ >> 4), -1).flatten(1)


def pack(levels: torch.Tensor) -> torch.Tensor:
    """uint8 ``[out, in]`` in [0, 15] to the operator's layout."""
    packed: torch.Tensor = torch.ops.aten._convert_weight_to_int4pack_for_cpu(  # noqa: SLF001
        levels.int(), 1
    )
    return packed


def unpack_blocks(packed: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """The operator's layout of whole blocks to ``[in, out]`` of ``dtype``, in [-8, 7].

    A block is 64 outputs: for each input 32 bytes, low bits the first 32 outputs, high the others.
    """
    num_out, num_in = packed.shape[0], packed.shape[1] * 2
    blocks = packed.view(num_out // _BLOCK, num_in, _BLOCK // 2).transpose(0, 1)
    result = torch.empty(num_in, num_out // _BLOCK, 2, _BLOCK // 2, dtype=dtype)
    result[:, :, 0] = blocks & 15
    result[:, :, 1] = blocks >> 4
    return result.sub_(_OFFSET).view(num_in, num_out)


@functools.cache
def has_known_layout() -> bool:
    """Whether the operator is there and lays weights out as ``unpack_blocks`` reads them.

    The layout differs between processors: the operator chooses it for their vector registers.
    """
    levels = torch.randint(0, 16, (2 * _BLOCK, 32), generator=torch.Generator().manual_seed(0))
    try:
        packed = pack(levels.to(torch.uint8))
    except (RuntimeError, AttributeError, NotImplementedError):
        return False
    return torch.equal(unpack_blocks(packed, torch.float32) + _OFFSET, levels.float().t())
