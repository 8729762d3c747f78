"""The words of the safetensors format for number types, and torch's."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import torch

TORCH: Mapping[str, torch.dtype] = MappingProxyType(
    {
        "F32": torch.float32,
        "F16": torch.float16,
        "BF16": torch.bfloat16,
        "I64": torch.int64,
        "I32": torch.int32,
        "I8": torch.int8,
        "U8": torch.uint8,
        "F8_E4M3": torch.float8_e4m3fn,
    }
)
FLOATS = ("F32", "F16", "BF16")
"""Types of weights that can be quantised."""


def bytes_of(dtype: str) -> int:
    """Of one number."""
    return TORCH[dtype].itemsize
