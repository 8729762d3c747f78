"""Products of a few or many rows with 8-bit weights: which one this machine has.

onednn
    Whole numbers, unsigned times signed bytes, where the processor multiplies tiles of them (AMX).
    Rows are shifted by 128 for it, which it takes out again exactly. Its weights are packed.
int_mm
    Whole numbers on a GPU, ``torch._int_mm`` (not verified on one).
stored
    Everywhere else, over weights as they lie on disk, in loops of our own (``stored_matrix.py``);
    where those are fast for a few rows only, tiles of float32 for many (``tiles.py``): sums of
    whole numbers are exact up to 2**24 there and rounded to 24 bits beyond.
"""

from __future__ import annotations

import functools
from typing import Protocol

import torch
from torch import nn

from serve.engine.batching import tiles
from serve.engine.batching.loops import stored_matrix

STEPS = float(stored_matrix.STEPS)
_TINY = 1e-10
"""Least size of a row: one of zeros stays one of zeros."""
SHIFT = 128


class IntegerProduct(Protocol):
    """uint8 ``[N, in]`` to ``[N, out]`` of the type asked for, or float32.

    Rows are whole numbers in [-127, 127], plus 128. Times weight, times scale, divided by 127.
    """

    def __call__(self, rows: torch.Tensor, dtype: torch.dtype) -> torch.Tensor: ...


class StoredProduct:
    """Rows to float32 ``[N, out]``: times weight, times scale.

    Args:
        weight: int8 ``[out, in]``; held as it is.
        scale: float32 ``[out]``.
        in_steps: W8A8: rows are rounded to 127 steps of their size. Else they are as they are, or
            off by 1/65,278 of their size.
    """

    def __init__(self, weight: torch.Tensor, scale: torch.Tensor, *, in_steps: bool) -> None:
        self._weight = weight.contiguous()
        self._scale = scale.contiguous()
        self.in_steps = in_steps
        self.matrix = stored_matrix.of_int8(self._weight, self._scale, in_steps=in_steps)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:  # [N, in], at least one row
        result = None if self.matrix is None else stored_matrix.multiply(self.matrix, x)
        if result is not None:
            return result
        if not self.in_steps:
            return self._many(x.float())
        largest = sizes(x)
        return self._many((x * (STEPS / largest)).round_()).mul_(largest.div_(STEPS))

    def _many(self, rows: torch.Tensor) -> torch.Tensor:
        num_out = len(self._weight)
        product = tiles.multiply(rows, num_out, lambda start, stop: self._weight[start:stop])
        return product.mul_(self._scale)


def sizes(x: torch.Tensor) -> torch.Tensor:
    """float32 ``[N, 1]``: the largest absolute value of each row, and at least something."""
    # Thirteen times as fast as the norm of infinity, which is not vectorised.
    return x.abs().amax(1, keepdim=True).float().clamp_(min=_TINY)


def make(
    weight: torch.Tensor, scale: torch.Tensor, *, in_steps: bool
) -> IntegerProduct | StoredProduct:
    """The fastest product of this machine over ``weight``, which may then be freed.

    Args:
        weight: int8 ``[out, in]``.
        scale: float32 ``[out]``.
        in_steps: as for ``StoredProduct``, which alone heeds it.
    """
    kind = kind_for(weight.device.type)
    if kind == "stored":
        return StoredProduct(weight, scale, in_steps=in_steps)
    return _onednn(weight, scale) if kind == "onednn" else _int_mm(weight, scale)


@functools.cache
def kind_for(device: str) -> str:
    """``onednn``, ``int_mm`` or ``stored``.

    Packed weights are worth it with AMX only: decoding reads them as they are stored. Some products
    cut off sums of pairs that do not fit 16 bits: what is not exact is not taken.
    """
    kind, candidate = ("onednn", _onednn) if device == "cpu" else ("int_mm", _int_mm)
    if device == "cpu" and not has_tiles_of_bytes():
        return "stored"
    source = torch.Generator().manual_seed(0)
    rows = torch.randint(0, 2, (24, 64), generator=source) * 254 - 127
    weight = torch.randint(0, 2, (32, 64), generator=source) * 254 - 127
    expected = (rows @ weight.T).double().div(STEPS)
    try:
        product = candidate(weight.to(torch.int8).to(device), torch.ones(32, device=device))
        actual = product((rows + SHIFT).to(device, torch.uint8), torch.float32).cpu().double()
    except (RuntimeError, AttributeError):
        return "stored"
    return kind if torch.allclose(actual, expected, rtol=1e-5) else "stored"


def has_tiles_of_bytes() -> bool:
    """Whether this processor has AMX."""
    return bool(torch.cpu._is_amx_tile_supported())  # noqa: SLF001


def _onednn(weight: torch.Tensor, scale: torch.Tensor) -> IntegerProduct:
    operators = torch.ops.onednn
    packed = operators.qlinear_prepack(weight, None)
    zeros = torch.zeros_like(scale, dtype=torch.int32)
    options: tuple[object, ...] = ("none", [], "")

    def multiply(rows: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        out = dtype if dtype is torch.bfloat16 else torch.float32
        result: torch.Tensor = operators.qlinear_pointwise(
            rows, 1 / STEPS, SHIFT, packed, scale, zeros, None, 1.0, 0, out, *options
        )
        return result

    return multiply


def _int_mm(weight: torch.Tensor, scale: torch.Tensor) -> IntegerProduct:
    stored = weight.contiguous()
    divided = scale / STEPS
    # cuBLAS takes no fewer than 17 rows, and numbers of them that 8 divides.
    least = 32 if weight.is_cuda else 1

    def multiply(rows: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        del dtype
        missing = max(least, -(-len(rows) // 8) * 8) - len(rows) if weight.is_cuda else 0
        signed = (rows ^ SHIFT).view(torch.int8)  # flips the top bit: less 128
        padded = nn.functional.pad(signed, (0, 0, 0, missing))
        return torch._int_mm(padded, stored.t())[: len(rows)].float().mul_(divided)  # noqa: SLF001

    return multiply
