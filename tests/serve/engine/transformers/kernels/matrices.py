"""Random matrices in panels, with the weights that they mean, and what a product of them is."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from serve.engine.transformers.kernels import native, panels
from serve.engine.transformers.kernels.native import Scratch
from serve.engine.transformers.kernels.panels import BLOCK, Panels
from serve.engine.transformers.kernels.stored_matrix import FEW_ROWS

LEAST = 1e-10
"""What a block of zeros counts as its largest number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """How a matrix is stored; ``group`` 0 is a whole row."""

    bits: int
    group: int = 32
    has_zeros: bool = False
    scale: torch.dtype = torch.bfloat16


KINDS = {
    "8 bits": Kind(bits=8),
    "8 bits, groups of 128": Kind(bits=8, group=128),
    "8 bits, rows, float32": Kind(bits=8, group=0, scale=torch.float32),
    "4 bits with zero points": Kind(bits=4, has_zeros=True),
    "4 bits with zero points, groups of 64, float32": Kind(
        bits=4, group=64, has_zeros=True, scale=torch.float32
    ),
    "4 bits": Kind(bits=4, group=128),
    "4 bits, rows, float32": Kind(bits=4, group=0, scale=torch.float32),
    "4 bits, float16": Kind(bits=4, group=64, scale=torch.float16),
}
EXACT = 2e-6
"""Sums of floats in another order; those of integers are exact."""


def matrix(
    kind: Kind, num_out: int, num_in: int, *, seed: int = 0, is_full: bool = False
) -> tuple[Panels, torch.Tensor]:
    """The panels, and their weights in float64 ``[out, in]``.

    Args:
        is_full: every weight is the least that can be stored.
    """
    numbers = torch.Generator().manual_seed(seed)
    group = kind.group or num_in
    groups = (num_out, num_in // group)
    stored = torch.randint(
        0, 1 if is_full else 1 << kind.bits, (num_out, num_in), generator=numbers
    ).to(torch.uint8)
    scale = (torch.rand(groups, generator=numbers) * 0.01 + 0.001).to(kind.scale)
    zeros = torch.randint(0, 16, groups, generator=numbers).to(torch.uint8)
    if kind.bits == 8:
        stored_in_panels = panels.of_int8(stored, scale)
    else:
        stored_in_panels = panels.of_int4(stored, scale, zeros if kind.has_zeros else None)
    zero = zeros.double() if kind.has_zeros else torch.tensor(float(1 << (kind.bits - 1))).double()
    less = zero.expand(groups).repeat_interleave(group, 1)
    return stored_in_panels, (stored.double() - less) * scale.double().repeat_interleave(group, 1)


def bits_of(number: float) -> int:
    """A float32 as kernels are handed it."""
    return int(torch.tensor(number, dtype=torch.float32).view(torch.int32))


def rows_of(num: int, num_in: int) -> torch.Tensor:
    """With one number that is a thousand times as large, which costs its own block only."""
    x = torch.randn(num, num_in)
    x[0, 0] = 1000
    return x


def rounded(x: torch.Tensor) -> torch.Tensor:
    """float64: rows as the loops round them, to 127 steps of each block of 32."""
    blocks = x.float().view(len(x), -1, BLOCK)
    largest = blocks.abs().amax(-1, keepdim=True).clamp(min=LEAST)
    whole = (blocks * (torch.tensor(127.0) / largest)).round()
    return (whole.double() * (largest / 127).double()).view(x.shape)


def distance(actual: torch.Tensor, expected: torch.Tensor) -> float:
    """The distance, as a share of the expected one's size."""
    return float((actual.double() - expected).norm() / expected.norm())


def run(
    kernel: native.Kernel,
    weight: Panels,
    x: torch.Tensor,
    *,
    bias: torch.Tensor | None = None,
    to: torch.Tensor | None = None,
    is_shared: bool | None = None,
) -> torch.Tensor:
    """A product by this kernel, plus bias, plus what is there already."""
    out = torch.empty(len(x), weight.num_out) if to is None else to.clone()
    shared = len(x) > FEW_ROWS if is_shared is None else is_shared
    scratch = Scratch(len(x), weight.num_in, is_shared=shared)
    arguments = weight.arguments(
        rows=x, out=out, scratch=scratch, bias=bias, adds=to is not None, num_rows=len(x)
    )
    native.run(kernel, arguments)
    return out
