"""bitsandbytes' 4-bit numbers (nf4), and the one place that imports the library.

Where the processor has products of bfloat16, bitsandbytes asks at its import for the package
``kernels``, which would fetch machine code from a hub and run it. It is told that there is none.
"""

from __future__ import annotations

import functools
import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

import torch


def quantise(rows: torch.Tensor, block: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """float32 ``[n, num_in]`` as nf4.

    Returns:
        uint8 ``[n * num_in / 2, 1]``, two weights in a byte; the largest absolute value of each
        ``block`` weights, float32; and the sixteen levels.
    """
    packed, state = functional().quantize_4bit(rows, blocksize=block, quant_type="nf4")
    return packed, state.absmax, state.code


def dequantise(
    packed: torch.Tensor,
    largest: torch.Tensor,
    shape: tuple[int, int],
    block: int,
    dtype: torch.dtype,
) -> torch.Tensor:
    """The weights that ``quantise`` stored, or whole rows of it, as ``shape`` of ``dtype``.

    The levels are those of ``levels``, whatever is stored beside the weights.
    """
    state = functional().QuantState(
        absmax=largest,
        shape=torch.Size(shape),
        code=levels(packed.device),
        blocksize=block,
        quant_type="nf4",
        dtype=dtype,
    )
    weights: torch.Tensor = functional().dequantize_4bit(packed.reshape(-1, 1), state)
    return weights


@functools.cache
def levels(device: torch.device) -> torch.Tensor:
    """The sixteen numbers in [-1, 1] that four bits stand for."""
    sixteen: torch.Tensor = functional().get_4bit_type("nf4", device=device)
    return sixteen


@functools.cache
def functional() -> ModuleType:
    """``bitsandbytes.functional``; importing it takes a second, for who asks for it."""
    with _importing, _without_kernels():
        from bitsandbytes import functional as module  # noqa: PLC0415 - see above
    return module


_importing = threading.Lock()
"""Several workers may be the first to ask."""


@contextmanager
def _without_kernels() -> Iterator[None]:
    """``import kernels`` fails within, and bitsandbytes' complaint of it is not logged."""
    log = logging.getLogger("bitsandbytes.backends.cpu.ops")
    installed = sys.modules.get("kernels")
    was_disabled, log.disabled = log.disabled, True
    sys.modules["kernels"] = None  # type: ignore[assignment]  # what import takes for "missing"
    try:
        yield
    finally:
        log.disabled = was_disabled
        del sys.modules["kernels"]
        if installed is not None:
            sys.modules["kernels"] = installed
