"""Floating-point weights as they are stored, and products with them: what the loops are told.

For a few rows reading the weights is what takes time: each is read once for all of them, in torch's
own pool (``float_kernels.py``, and ``bfloat16_kernels.py`` where the processor sums products of
such). Stored integers are in panels (``panels.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from serve.engine.transformers.kernels import native

Kind = Literal["bfloat16", "float32"]
FEW_ROWS = 8
"""Up to so many rows each thread makes its own whole numbers of them; docs/lab-notes.md."""
_LANES = 16
"""As in ``vector_dot.py``, which is imported with Numba only."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Matrix:
    """Weights ``[out, in]`` on the CPU, contiguous.

    Attributes:
        kind: of what is stored.
        weight: floats ``[out, in]``.
        num_in: inputs.
    """

    kind: Kind
    weight: torch.Tensor
    num_in: int

    @property
    def num_out(self) -> int:
        return len(self.weight)

    @property
    def kernel(self) -> native.Kernel:
        if self.kind == "bfloat16" and native.has_bfloat16_products():
            from serve.engine.transformers.kernels import bfloat16_dot, bfloat16_kernels  # noqa: PLC0415 - Numba

            return bfloat16_kernels.product(bfloat16_dot.width_for(2 * self.num_in))
        from serve.engine.transformers.kernels import float_kernels  # noqa: PLC0415 - Numba

        return float_kernels.product(self.kind)

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
        sizes = (num_rows, self.num_in, self.num_out, 0, 0, int(adds))
        tensors = (self.weight, None, bias, rows, out, scratch.whole, scratch.sums)
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
        self.sums = torch.empty(threads, native.SUMS)


def multiply(matrix: Matrix, x: torch.Tensor) -> torch.Tensor | None:
    """float32 ``[N, out]`` of rows ``[N, in]``; None where these are too many for the loops."""
    if len(x) > FEW_ROWS:
        return None
    rows = x.float().contiguous()
    result = rows.new_empty(len(rows), matrix.num_out)
    scratch = Scratch(len(rows), matrix.num_in)
    arguments = matrix.arguments(rows=rows, out=result, scratch=scratch, num_rows=len(rows))
    native.run(matrix.kernel, *arguments)
    return result


def of_linear(linear: nn.Linear) -> Matrix | None:
    """The weights of a plain layer; None where the loops do not take them, or cannot be had."""
    weight = linear.weight
    num_in = weight.shape[1]
    kind: Kind | None = {torch.bfloat16: "bfloat16", torch.float32: "float32"}.get(weight.dtype)  # type: ignore[assignment]
    if kind is None or num_in % _LANES or not weight.is_contiguous() or not _is_native(weight):
        return None
    return Matrix(kind=kind, weight=weight.detach(), num_in=num_in)


def _is_native(weight: torch.Tensor) -> bool:
    return weight.device.type == "cpu" and native.is_available()
