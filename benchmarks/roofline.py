"""The limits of this machine, measured, and the needs of a forward, from config.json alone.

Measured, never looked up: the same buffer sizes, threads and library that the engines use. Memory
bandwidth is the best of a few kernels that read far more than the caches hold; the matrix rate is
the best of a few number types, so that a share of it says what the machine could still give.

Not a profiler: a share near 1 says that the machine is the limit, a small one does not say why.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from models.errors import UnknownShapeError
from models.memory import families, shapes, sizes
from models.memory.shapes import ModelShape
from models.refs import QuantScheme
from models.stored_config import stated_dtype

_READ_BYTES = 1 << 28  # of each of two operands; caches hold less than a fifth of it
_SMALLEST, _MATRIX, _GPU_MATRIX = 256, 2048, 8192
_GPU_READ_BYTES = 1 << 30  # a card's caches hold up to a fifth of 2**28
_WARM_UPS = 3  # on a GPU: libraries load their kernels, and clocks rise
_SECONDS = 0.5  # for each kernel
_FLOATS = ("bfloat16", "float16", "float32")


@dataclass(frozen=True, slots=True, kw_only=True)
class Roofline:
    """The machine's two limits.

    Attributes:
        device: ``cpu`` or ``cuda``.
        threads: that measured; 0 on a GPU.
        bytes_s: memory bandwidth when reading.
        flops_s: best matrix rate over ``flops_s_by_dtype``; an int8 product counts its operations.
        kernel: that read fastest.
    """

    device: str
    threads: int
    bytes_s: float
    kernel: str
    flops_s_by_dtype: Mapping[str, float]

    @property
    def flops_s(self) -> float:
        return max(self.flops_s_by_dtype.values())

    @property
    def dtype(self) -> str:
        """Floating-point type with the fastest products; the shortest one where two are alike."""
        rates = {name: rate for name, rate in self.flops_s_by_dtype.items() if name in _FLOATS}
        fast = [name for name in _FLOATS if rates.get(name, 0.0) > max(rates.values()) / 2]
        return fast[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class StepCost:
    """Bytes and operations of one forward of one model.

    Attributes:
        weight_bytes: that a step reads: matrices as stored, scales, head, norms. The embedding is
            a look-up of a row, and is not among them; a tied one is, as the head.
        kv_token_bytes: keys and values of one token over all layers.
        matrix_parameters: that a token is multiplied with, the head apart.
        head_parameters: of the output head; once per sequence in a prefill.
        attention_flops: of one token that looks back on one other: 4 * heads * head size * layers.
    """

    weight_bytes: int
    kv_token_bytes: int
    matrix_parameters: int
    head_parameters: int
    attention_flops: int

    def decode_bytes(self, batch: int, context: float) -> float:
        """Bytes of a step that gives each of ``batch`` sequences of ``context`` tokens one more."""
        return self.weight_bytes + batch * context * self.kv_token_bytes

    def decode_flops(self, batch: int, context: float) -> float:
        matrices = 2 * (self.matrix_parameters + self.head_parameters)
        return batch * (matrices + context * self.attention_flops)

    def prefill_flops(self, num_tokens: int) -> float:
        """Operations of a prompt: token i looks back on i, and the head sees the last one alone."""
        pairs = num_tokens * (num_tokens + 1) / 2
        return (
            2 * self.matrix_parameters * num_tokens
            + 2 * self.head_parameters
            + pairs * self.attention_flops
        )


def cost_of(folder: Path, scheme: QuantScheme, dtype: str = "auto") -> StepCost | None:
    """The step of a folder's model; None where its configuration does not tell."""
    config = json.loads((folder / "config.json").read_bytes())
    try:
        return step_cost(config, scheme, dtype)
    except UnknownShapeError:
        return None


def step_cost(config: Mapping[str, Any], scheme: QuantScheme, dtype: str = "auto") -> StepCost:
    """The step of the model that a config.json describes, its matrices stored as the scheme says.

    Which weights of a mixture of experts a step reads hangs on the tokens, so these are refused.

    Args:
        config: of the model.
        scheme: of its matrices.
        dtype: of what is not quantised, and of the KV cache; ``auto`` is the checkpoint's.

    Raises:
        UnknownShapeError: a family that is not known, a mixture of experts or latent attention.
    """
    shape = shapes.read(config)
    if families.FAMILIES[shape.family].experts or families.FAMILIES[shape.family].mla:
        raise UnknownShapeError(f"what a step of a {shape.family} model reads is not known")
    stored = stated_dtype(config) if dtype == "auto" else dtype
    item_bytes = sizes.DTYPE_BYTES.get(stored or "", 2)
    matrices = sum(sizes.linear_bytes(linear, scheme, item_bytes) for linear in shape.linears)
    return StepCost(
        weight_bytes=matrices + (_head(shape) + shape.rest) * item_bytes,
        kv_token_bytes=sizes.kv_bytes_per_token(shape.layers, item_bytes=item_bytes),
        matrix_parameters=sum(linear.num_parameters for linear in shape.linears),
        head_parameters=_head(shape),
        attention_flops=sum(
            2 * shape.num_heads * (layer.key_dim + layer.value_dim) for layer in shape.layers
        ),
    )


def _head(shape: ModelShape) -> int:
    return shape.embedding if shape.is_tied else shape.head


def measure(device: str = "cpu") -> Roofline:
    """This machine's limits, in about five seconds. Nothing else should run meanwhile.

    Args:
        device: ``cpu`` or ``cuda``.
    """
    kernel, bytes_s = _bandwidth(device)
    rates = {name: _matrix_rate(device, name) for name in (*_FLOATS, "int8")}
    return Roofline(
        device=device,
        threads=torch.get_num_threads() if device == "cpu" else 0,
        bytes_s=bytes_s,
        kernel=kernel,
        flops_s_by_dtype={name: rate for name, rate in rates.items() if rate is not None},
    )


def _bandwidth(device: str) -> tuple[str, float]:
    """The kernel that read fastest, and its bytes per second."""
    size = _operand_bytes(device)
    count = size // 4
    one = torch.ones(count, device=device)
    other = torch.ones(count, device=device)
    matrix, vector = one.view(-1, 1 << 12), torch.ones(1 << 12, device=device)
    kernels: dict[str, tuple[Callable[[], object], int]] = {
        "dot": (lambda: torch.dot(one, other), 2 * size),
        "sum": (one.sum, size),
        "matrix-vector": (lambda: torch.mv(matrix, vector), size),
    }
    rates = {name: read / _best_s(run, device) for name, (run, read) in kernels.items()}
    best = max(rates, key=lambda name: rates[name])
    return best, rates[best]


def _operand_bytes(device: str) -> int:
    """Bytes of each of two operands; less on a card that has little free."""
    if device != "cuda":
        return _READ_BYTES
    free_bytes = int(torch.cuda.mem_get_info()[0])
    return max(1 << 20, min(_GPU_READ_BYTES, free_bytes // 4 >> 20 << 20))


def _matrix_rate(device: str, dtype: str) -> float | None:
    """Operations per second of a square product; None where torch has none on this device."""

    def product(size: int) -> Callable[[], object]:
        if dtype == "int8":
            whole = torch.ones(size, size, dtype=torch.int8, device=device)
            return lambda: torch._int_mm(whole, whole)  # noqa: SLF001 - torch's only one
        left = torch.randn(size, size, device=device).to(getattr(torch, dtype))
        right = torch.randn(size, size, device=device).to(getattr(torch, dtype))
        return lambda: left @ right

    size, largest = _SMALLEST, _GPU_MATRIX if device == "cuda" else _MATRIX
    try:
        seconds = _best_s(product(size), device)
        # Where a type has no fast product, a large one would take minutes and say the same.
        while size < largest and seconds * 8 < _SECONDS:
            size *= 2
            seconds = _best_s(product(size), device)
    except RuntimeError:
        return None
    return 2.0 * size**3 / seconds


def _best_s(run: Callable[[], object], device: str) -> float:
    """Least seconds of a run: the first do not count, then at least two and ``_SECONDS``."""
    for _ in range(_WARM_UPS if device == "cuda" else 1):
        run()
    measured = _gpu_s if device == "cuda" else _cpu_s
    times_s: list[float] = []
    while len(times_s) < 2 or sum(times_s) < _SECONDS:
        times_s.append(measured(run))
    return min(times_s)


def _cpu_s(run: Callable[[], object]) -> float:
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def _gpu_s(run: Callable[[], object]) -> float:
    """Seconds by the card's own clock: the host's would count the launch and the wait as well."""
    event: Any = torch.cuda.Event  # has no types
    begin, end = event(enable_timing=True), event(enable_timing=True)
    torch.cuda.synchronize()
    begin.record()
    run()
    end.record()
    end.synchronize()
    return float(begin.elapsed_time(end)) / 1000
