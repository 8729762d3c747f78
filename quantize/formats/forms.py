"""The form of a matrix: number types, bits and groups, and the tensors that it is stored as."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
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
"""The safetensors format's words for number types, and torch's."""
FLOATS = ("F32", "F16", "BF16")
"""Types of weights that can be quantised."""
ROW_UNIT = 8
"""Matrices are cut at multiples of so many rows: zero points of 8 rows lie in one word."""


def bytes_of(dtype: str) -> int:
    """The bytes of one number of a safetensors type."""
    return TORCH[dtype].itemsize


class Part(StrEnum):
    """The part of a model that a matrix belongs to."""

    LAYERS = "layers"
    HEAD = "head"
    EMBEDDING = "embedding"


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """The way in which the numbers of one matrix are stored.

    Attributes:
        num_bits: of a number.
        group_size: columns that share a scale; None where a whole row does.
        is_symmetric: 0 lies in the middle; else each group has a zero point.
    """

    num_bits: int = 8
    group_size: int | None = None
    is_symmetric: bool = True


BY_ROW = Form()
"""8 bits, a scale for each row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Linear:
    """A matrix that is to be quantised.

    Attributes:
        name: of the module: ``model.layers.0.mlp.up_proj``.
        num_out: rows.
        num_in: columns.
        dtype: of its numbers, in safetensors' word; scales have it too.
        part: an embedding is a matrix too: looked up by rows, and stored like the others.
        form: what it becomes; the plan sets it to what the quantizer says.
    """

    name: str
    num_out: int
    num_in: int
    dtype: str
    part: Part = Part.LAYERS
    form: Form = BY_ROW

    @property
    def num_weights(self) -> int:
        return self.num_out * self.num_in


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredTensor:
    """One of the tensors that a quantised matrix is stored as.

    Attributes:
        suffix: behind the module's name: ``weight_scale``.
        dtype: safetensors' word.
        is_by_row: the first dimension is the matrix's rows, or so many of them together; else it is
            small and written whole.
    """

    suffix: str
    dtype: str
    shape: tuple[int, ...]
    is_by_row: bool = True

    @property
    def num_bytes(self) -> int:
        return math.prod(self.shape) * bytes_of(self.dtype)
