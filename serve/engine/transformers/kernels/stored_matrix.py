"""Stored weights as a kernel reads them, and products of a few rows with floating-point ones.

For a few rows reading the weights is what takes time: each is read once for all of them, in torch's
own pool (``float_kernels.py``, and ``bfloat16_kernels.py`` where the processor sums products of
bfloat16). Stored integers are in panels (``panels.py``).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from serve.engine.transformers.kernels import native, registry
from serve.engine.transformers.kernels.arguments import ProductArguments
from serve.engine.transformers.kernels.layout import BLOCK, LANES, FloatKind
from serve.engine.transformers.kernels.native import Kernel, Scratch

FEW_ROWS = 8
"""Up to so many rows each thread prepares all of them for itself; docs/lab-notes.md."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Matrix:
    """Weights ``[out, in]`` on the CPU, contiguous.

    Attributes:
        weight: as its kernel reads it.
        scale: the bytes of integers' scales and zero points; None for floats.
        num_out: outputs.
        num_in: inputs.
        groups: equal parts of the inputs that share a scale; 0 for floats.
    """

    weight: torch.Tensor
    scale: torch.Tensor | None = None
    num_out: int
    num_in: int
    groups: int = 0

    def arguments(
        self,
        *,
        rows: torch.Tensor,
        out: torch.Tensor,
        scratch: Scratch,
        bias: torch.Tensor | None = None,
        adds: bool = False,
        num_rows: int = 0,
    ) -> ProductArguments:
        """The kernel's arguments.

        Args:
            rows: float32 ``[N, in]``, contiguous, as all of these; they have to live on.
            out: float32 ``[N, out]``.
            scratch: of at least so many rows and inputs.
            bias: float32 ``[out]``.
            adds: whether to add to what is in ``out``.
            num_rows: N; 0 where a ``CallSequence`` fills it in.
        """
        return ProductArguments(
            num_rows=num_rows,
            num_in=self.num_in,
            num_out=self.num_out,
            groups=self.groups,
            blocks=self.num_in // BLOCK // self.groups if self.groups else 0,
            adds=int(adds),
            weight=self.weight.data_ptr(),
            scale=0 if self.scale is None else self.scale.data_ptr(),
            bias=0 if bias is None else bias.data_ptr(),
            rows=rows.data_ptr(),
            out=out.data_ptr(),
            prepared=scratch.prepared.data_ptr(),
            sums=scratch.sums.data_ptr(),
            counter=0,
            is_shared=int(scratch.is_shared),
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FloatMatrix(Matrix):
    """Floats ``[out, in]``, and the kernel that multiplies a few rows with them fastest."""

    kernel: Kernel


def product(
    matrix: Matrix, kernel: Kernel, x: torch.Tensor, *, is_shared: bool = False
) -> torch.Tensor:
    """float32 ``[N, out]`` of rows ``[N, in]``.

    Args:
        matrix: the weights.
        kernel: for them.
        x: rows of any type.
        is_shared: the threads prepare the rows together, which a kernel for panels can.
    """
    rows = x.float().contiguous()
    out = rows.new_empty(len(rows), matrix.num_out)
    scratch = Scratch(len(rows), matrix.num_in, is_shared=is_shared)
    native.run(kernel, matrix.arguments(rows=rows, out=out, scratch=scratch, num_rows=len(rows)))
    return out


def multiply(matrix: FloatMatrix, x: torch.Tensor) -> torch.Tensor | None:
    """float32 ``[N, out]`` of rows ``[N, in]``; None where these are too many for the loops."""
    return product(matrix, matrix.kernel, x) if len(x) <= FEW_ROWS else None


def of_linear(linear: nn.Linear) -> FloatMatrix | None:
    """The weights of a plain layer; None where the loops do not take them, or cannot be had."""
    weight = linear.weight.detach()
    num_out, num_in = weight.shape
    kinds: dict[torch.dtype, FloatKind] = {torch.bfloat16: "bfloat16", torch.float32: "float32"}
    if weight.dtype not in kinds or num_in % LANES or not weight.is_contiguous():
        return None
    if weight.device.type != "cpu" or not native.is_available():
        return None
    kernel = registry.float_product(kinds[weight.dtype], num_in)
    return FloatMatrix(weight=weight, num_out=num_out, num_in=num_in, kernel=kernel)
