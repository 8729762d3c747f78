"""Weights as they are stored, and products with them: what the compiled loops are told.

For a few rows reading the weights is what takes time: each is read once for all of them, in torch's
own pool (``kernels.py``). Where the processor sums products of bytes (VNNI), integers have loops
that are fast for many rows too (``block_kernels.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from serve.engine.batching.loops import native

Kind = Literal["int8", "int4", "bfloat16", "float32"]
STEPS = 127
"""Of W8A8's rows, on each side of zero."""
FEW_ROWS = 8
"""Up to so many rows each thread makes its own whole numbers of them; docs/lab-notes.md."""
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
        if native.has_block_products(self.kind):
            from serve.engine.batching.loops import block_kernels  # noqa: PLC0415 - Numba

            return block_kernels.product(*self._block_form)
        from serve.engine.batching.loops import kernels  # noqa: PLC0415 - Numba

        return kernels.product(self.kind)

    @property
    def takes_many(self) -> bool:
        """Whether no other product of many rows is faster."""
        return self.kind != "bfloat16" and native.has_block_products(self.kind)

    @property
    def _block_form(self) -> tuple[Literal[16, 8, 4], int, int]:
        """Bits, planes and width of a product of blocks."""
        from serve.engine.batching.loops import block_dot  # noqa: PLC0415 - Numba

        bits = native.BITS[self.kind]
        planes = 1 if bits == 16 or self.levels == STEPS else 2
        return bits, planes, block_dot.width_for(self.num_in * bits // 8 // self.groups)

    def arguments(
        self,
        *,
        rows: torch.Tensor,
        out: torch.Tensor,
        scratch: Scratch,
        bias: torch.Tensor | None = None,
        adds: bool = False,
        num_rows: int = 0,
        counter: int = 0,
    ) -> Sequence[int]:
        """For the kernel; all float32 and contiguous. The tensors have to live on."""
        sizes = (num_rows, self.num_in, self.num_out, self.groups, self.levels, int(adds))
        tensors = (self.weight, self.scale, bias, rows, out, scratch.whole, scratch.sums)
        addresses = (0 if tensor is None else tensor.data_ptr() for tensor in tensors)
        return (*sizes, *addresses, counter, int(scratch.is_shared))


class Scratch:
    """What threads write on the way to a product of up to ``num_rows`` rows.

    Args:
        is_shared: the threads make the rows' whole numbers together, as is faster for many.
    """

    def __init__(self, num_rows: int, num_in: int, *, is_shared: bool = False) -> None:
        self.is_shared = is_shared
        threads = torch.get_num_threads()
        own = 1 if is_shared else threads
        self.whole = torch.empty(own, num_rows, native.row_bytes(num_in), dtype=torch.uint8)
        self.sums = torch.empty(threads, native.own_sums(num_rows))


def multiply(matrix: Matrix, x: torch.Tensor) -> torch.Tensor | None:
    """float32 ``[N, out]`` of rows ``[N, in]``; None where these are too many for the loops."""
    is_many = len(x) > FEW_ROWS
    if is_many and not matrix.takes_many:
        return None
    rows = x.float().contiguous()
    result = rows.new_empty(len(rows), matrix.num_out)
    scratch = Scratch(len(rows), matrix.num_in, is_shared=is_many)
    arguments = matrix.arguments(rows=rows, out=result, scratch=scratch, num_rows=len(rows))
    native.run(matrix.kernel, *arguments)
    return result


def of_int8(weight: torch.Tensor, scale: torch.Tensor, *, in_steps: bool) -> Matrix | None:
    """None where the loop does not take it, or cannot be had.

    Args:
        weight: int8 ``[out, in]``.
        scale: float32 ``[out]``.
        in_steps: rows are rounded to W8A8's steps; else to 1/65,278 of their size.
    """
    num_in = weight.shape[1]
    if not _is_native(weight):
        return None
    groups = _groups_of(num_in, num_in if native.has_block_products("int8") else _LARGEST_GROUP)
    if groups is None:
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
