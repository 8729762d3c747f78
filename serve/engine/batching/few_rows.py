"""Products of a few rows, over weights as they are stored: what the compiled loops are told.

Where reading the weights is what takes time, each is read once for all rows, in torch's own pool
(``kernels.py``). A ``Matrix`` is what a layer's weights are for them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from serve.engine.batching import native

Kind = Literal["int8", "int4", "bfloat16", "float32"]
STEPS = 127
"""Of W8A8's rows, on each side of zero."""
_LARGEST_GROUP = 256
"""8-bit weights whose sum of products with 16-bit rows fits into 32 bits."""
_LANES = 16
"""As in ``vector_dot.py``, which is imported with Numba only."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Matrix:
    """Weights ``[out, in]`` on the CPU, contiguous.

    Attributes:
        kind: of what is stored.
        weight: int8 or floats ``[out, in]``, or uint8 ``[out, in/2]``, low bits the even input.
        scale: float32, ``[out]`` for int8, ``[out, groups]`` for int4.
        num_in: inputs.
        groups: equal parts of them.
        levels: whole numbers on each side of zero that a row is rounded to; of floats not used.
    """

    kind: Kind
    weight: torch.Tensor
    scale: torch.Tensor | None
    num_in: int
    groups: int = 1
    levels: int = native.MOST_LEVELS

    @property
    def num_out(self) -> int:
        return len(self.weight)

    @property
    def kernel(self) -> native.Kernel:
        from serve.engine.batching import kernels  # noqa: PLC0415 - Numba is loaded when it is needed

        return kernels.product(self.kind)

    def arguments(
        self,
        *,
        rows: torch.Tensor,
        out: torch.Tensor,
        scratch: Scratch,
        bias: torch.Tensor | None = None,
        adds: bool = False,
        num_rows: int = 0,
    ) -> Iterable[int]:
        """For ``kernels.product``; all float32 and contiguous. The tensors have to live on."""
        sizes = (num_rows, self.num_in, self.num_out, self.groups, self.levels, int(adds))
        tensors = (self.weight, self.scale, bias, rows, out, scratch.whole, scratch.sums)
        return (*sizes, *(0 if tensor is None else tensor.data_ptr() for tensor in tensors))


class Scratch:
    """What threads write on the way to a product of up to ``num_rows`` rows."""

    def __init__(self, num_rows: int, num_in: int) -> None:
        threads = torch.get_num_threads()
        self.whole = torch.empty(threads, num_rows, num_in, dtype=torch.int16)
        self.sums = torch.empty(threads, native.own_sums(num_rows))


def multiply(matrix: Matrix, x: torch.Tensor) -> torch.Tensor:
    """float32 ``[N, out]`` of rows ``[N, in]``."""
    rows = x.float().contiguous()
    result = rows.new_empty(len(rows), matrix.num_out)
    scratch = Scratch(len(rows), matrix.num_in)
    arguments = matrix.arguments(rows=rows, out=result, scratch=scratch, num_rows=len(rows))
    native.run(matrix.kernel, *arguments)
    return result


def of_int8(weight: torch.Tensor, scale: torch.Tensor, *, in_steps: bool) -> Matrix | None:
    """None where the loop does not take it, or cannot be had.

    Args:
        weight: int8 ``[out, in]``.
        scale: float32 ``[out]``.
        in_steps: rows are rounded to W8A8's steps; else to 1/65,534 of their size.
    """
    num_in = weight.shape[1]
    groups = _groups_of(num_in, _LARGEST_GROUP)
    if groups is None or not _is_native(weight):
        return None
    levels = STEPS if in_steps else native.MOST_LEVELS
    return Matrix(
        kind="int8", weight=weight, scale=scale, num_in=num_in, groups=groups, levels=levels
    )


def of_int4(weight: torch.Tensor, scale: torch.Tensor) -> Matrix | None:
    """The same of uint8 ``[out, in/2]`` with scales ``[out, groups]``."""
    num_in, groups = 2 * weight.shape[1], scale.shape[1]
    if num_in // groups % (2 * _LANES) or not _is_native(weight):
        return None
    return Matrix(kind="int4", weight=weight, scale=scale, num_in=num_in, groups=groups)


def of_linear(linear: nn.Linear) -> Matrix | None:
    """The same of a plain layer."""
    weight = linear.weight
    num_in = weight.shape[1]
    kind: Kind | None = {torch.bfloat16: "bfloat16", torch.float32: "float32"}.get(weight.dtype)  # type: ignore[assignment]
    if kind is None or num_in % _LANES or not weight.is_contiguous() or not _is_native(weight):
        return None
    return Matrix(kind=kind, weight=weight.detach(), scale=None, num_in=num_in)


def _is_native(weight: torch.Tensor) -> bool:
    return weight.device.type == "cpu" and native.is_available()


def _groups_of(num_in: int, largest: int) -> int | None:
    """The least number of equal groups of at most ``largest``, a multiple of 16; or None."""
    for groups in range(-(-num_in // largest), num_in // _LANES + 1):
        if num_in % (groups * _LANES) == 0:
            return groups
    return None
