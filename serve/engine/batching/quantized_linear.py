"""Linear layers that keep the integers of a quantised checkpoint, and multiply with them.

::

    int8 (W8A8)             x = m/127 · q, q integers in [-127, 127], m the largest |x| of the row
                            y = m/127 · s · (q @ w) + bias;  the sum over integers is exact
    int8-weight-only        x = m/127 · (q + r/254), both integers in [-127, 127], so that x is off
    (W8A16)                 by at most m/64,516; two rows of the same product instead of one
    int4 (W4A16)            y = x @ ((w - 8) · s), s per group of inputs; see int4_linear.py

Rows are quantised each by itself, so a token's result does not depend on what else is in the step.
The products are oneDNN's for unsigned times signed bytes (VNNI), which ``torch.compile`` emits for
quantised linears too; rows are shifted by 128 for it, which it takes out again exactly. For signed
bytes it has no fast product without AMX. Where it is missing, ``torch._int_mm`` is taken, which is
also the path on a GPU (not verified on one). The scheme is that of LLM.int8() without its outliers
(Dettmers et al. 2022, section 2.1), and of vLLM's CutlassScaledMM.
"""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping

import torch
from torch import nn

from serve.errors import StartupError

_STEPS = 127.0
_SECOND_STEPS = 254.0
_TINY = 1e-10
"""Least size of a row: one of zeros stays one of zeros."""

_SHIFT = 128
_CHUNK = 32
"""Rows quantised at a time, so that what is computed on the way stays in the cache."""

Product = Callable[[torch.Tensor, torch.dtype], torch.Tensor]


class QuantizedLinear(nn.Module, ABC):
    """Stands in for an ``nn.Linear``. It has no ``weight``: the stored one may be opaque."""

    def __init__(self, in_features: int, out_features: int, bias: nn.Parameter | None) -> None:
        super().__init__()
        self.in_features = in_features
        self.out_features = out_features
        self.bias = bias

    def forward(self, x: torch.Tensor) -> torch.Tensor:  # [..., in] -> [..., out]
        if not x.numel():
            return x.new_zeros(*x.shape[:-1], self.out_features)
        return self.multiply(x.reshape(-1, self.in_features)).view(*x.shape[:-1], self.out_features)

    @abstractmethod
    def multiply(self, x: torch.Tensor) -> torch.Tensor:
        """``[N, in]`` to ``[N, out]``, N at least 1."""

    @property
    @abstractmethod
    def scheme(self) -> str:
        """What is computed, in a word: ``int8 (W8A8)``."""

    @abstractmethod
    def stored_bytes(self) -> Mapping[str, int]:
        """Bytes in memory by type; those of a bias are not among them."""


class Int8Linear(QuantizedLinear):
    """Weights of 8 bits, a scale per output. See the module's docstring.

    Args:
        weight: int8 ``[out, in]``; copied into the layout of the product.
        scale: ``[out]`` or ``[out, 1]``.
        bias: ``[out]`` or None.
        quantizes_input: W8A8; else W8A16.
    """

    def __init__(
        self,
        weight: torch.Tensor,
        scale: torch.Tensor,
        bias: nn.Parameter | None,
        *,
        quantizes_input: bool,
    ) -> None:
        super().__init__(weight.shape[1], weight.shape[0], bias)
        self.quantizes_input = quantizes_input
        self._scale_bytes = 4 * self.out_features
        self._product = int8_product(weight, scale.flatten().float())

    def multiply(self, x: torch.Tensor) -> torch.Tensor:
        num = len(x)
        largest = x.new_empty(num, 1, dtype=torch.float32)
        rows = x.new_empty(num if self.quantizes_input else 2 * num, x.shape[1], dtype=torch.uint8)
        for start in range(0, num, _CHUNK):
            part = slice(start, min(start + _CHUNK, num))
            largest[part] = size = _sizes(x[part])
            scaled = x[part] * (_STEPS / size)
            if self.quantizes_input:
                rows[part] = scaled.round_().add_(_SHIFT)
            else:
                first = scaled.round()
                second = scaled.sub_(first).mul_(_SECOND_STEPS).round_()
                rows[part] = first.add_(_SHIFT)
                rows[num + part.start : num + part.stop] = second.add_(_SHIFT)
        result = self._product(rows, x.dtype if self.quantizes_input else torch.float32)
        if not self.quantizes_input:
            result = result[:num].add_(result[num:], alpha=1 / _SECOND_STEPS)
        result = result.mul_(largest)
        if self.bias is not None:
            result = result.add_(self.bias)
        return result.to(x.dtype)

    @property
    def scheme(self) -> str:
        return "int8 (W8A8)" if self.quantizes_input else "int8 (W8A16)"

    def stored_bytes(self) -> Mapping[str, int]:
        return {"int8": self.in_features * self.out_features, "float32": self._scale_bytes}


def _sizes(x: torch.Tensor) -> torch.Tensor:
    """float32 ``[N, 1]``: the largest absolute value of each row."""
    # Thirteen times as fast as the norm of infinity, which is not vectorised.
    return x.abs().amax(1, keepdim=True).float().clamp_(min=_TINY)


def int8_product(weight: torch.Tensor, scale: torch.Tensor) -> Product:
    """The fastest exact product of this machine over ``weight``, which may then be freed.

    Args:
        weight: int8 ``[out, in]``.
        scale: float32 ``[out]``.

    Returns:
        Whole numbers in [-127, 127], plus 128, as uint8 ``[N, in]``, to ``[N, out]`` of the type
        asked for (float32 where it has no such): times weight, times scale, divided by 127.

    Raises:
        StartupError: this processor has none.
    """
    kind = exact_kind(weight.device.type)
    if kind == "onednn":
        return _onednn(weight, scale)
    if kind == "int_mm":
        return _int_mm(weight, scale)
    raise StartupError(
        "This processor or this torch has no exact product of 8-bit integers. Serve the model "
        "without --quant, or take --quant int4."
    )


@functools.cache
def exact_kind(device: str) -> str | None:
    """``onednn``, ``int_mm``, or None where neither multiplies exactly.

    Processors without VNNI add pairs of products in 16 bits, and cut off what does not fit.
    """
    source = torch.Generator().manual_seed(0)
    rows = torch.randint(0, 2, (24, 64), generator=source) * 254 - 127
    weight = torch.randint(0, 2, (32, 64), generator=source) * 254 - 127
    expected = (rows @ weight.T).double().div(_STEPS)
    for kind, make in (("onednn", _onednn), ("int_mm", _int_mm)):
        if kind == "onednn" and device != "cpu":
            continue
        try:
            product = make(weight.to(torch.int8).to(device), torch.ones(32, device=device))
            actual = product((rows + _SHIFT).to(device, torch.uint8), torch.float32).cpu().double()
        except (RuntimeError, AttributeError, NotImplementedError):
            continue
        if torch.allclose(actual, expected, rtol=1e-5):
            return kind
    return None


def _onednn(weight: torch.Tensor, scale: torch.Tensor) -> Product:
    operators = torch.ops.onednn
    packed = operators.qlinear_prepack(weight, None)
    zeros = torch.zeros_like(scale, dtype=torch.int32)
    options: tuple[object, ...] = ("none", [], "")

    def multiply(rows: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        out = dtype if dtype is torch.bfloat16 else torch.float32
        result: torch.Tensor = operators.qlinear_pointwise(
            rows, 1 / _STEPS, _SHIFT, packed, scale, zeros, None, 1.0, 0, out, *options
        )
        return result

    return multiply


def _int_mm(weight: torch.Tensor, scale: torch.Tensor) -> Product:
    stored = weight.contiguous()
    divided = scale / _STEPS
    # cuBLAS takes no fewer than 17 rows, and numbers of them that 8 divides.
    least = 32 if weight.is_cuda else 1

    def multiply(rows: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        del dtype
        missing = max(least, -(-len(rows) // 8) * 8) - len(rows) if weight.is_cuda else 0
        signed = (rows ^ _SHIFT).view(torch.int8)  # flips the top bit: less 128
        padded = nn.functional.pad(signed, (0, 0, 0, missing))
        return torch._int_mm(padded, stored.t())[: len(rows)].float().mul_(divided)  # noqa: SLF001

    return multiply
