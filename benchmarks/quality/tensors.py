"""Each weight of a quantised folder against the base's: some rows of one in memory at a time.

Reads the two folders' safetensors and undoes the stored form: compressed-tensors' int-quantized,
float-quantized and pack-quantized (0.17; ``compressed_tensors/compressors`` defines them). What
bitsandbytes stores is not looked at here.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
from safetensors import safe_open

from benchmarks.quality import formulas

_WORD_BITS = 32
_ENTRIES_AT_ONCE = 4 << 20
"""About so many entries of a weight are looked at together."""
_WHOLE = (".weight_shape", ".weight_g_idx")
"""Tensors of a layer that have no row for each of the weight's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorError:
    """One quantised weight.

    Attributes:
        name: of the weight in the base model.
        relative_mse: squared error over squared size.
        num_weights: entries.
        num_bytes: stored for it, scales included.
    """

    name: str
    relative_mse: float
    num_weights: int
    num_bytes: int


class Folder:
    """The tensors of a model folder by name. Close it after use."""

    def __init__(self, path: Path) -> None:
        self._stack = ExitStack()
        self._files: dict[str, Any] = {}
        for file in sorted(path.glob("*.safetensors")):
            opened = self._stack.enter_context(safe_open(file, framework="pt"))
            self._files |= dict.fromkeys(opened.keys(), opened)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def names(self) -> list[str]:
        return sorted(self._files)

    def get(self, name: str) -> torch.Tensor:
        """Raises KeyError: there is no such tensor."""
        tensor: torch.Tensor = self._files[name].get_tensor(name)
        return tensor

    def has(self, name: str) -> bool:
        return name in self._files

    def rows(self, name: str, start: int, stop: int) -> torch.Tensor:
        """Raises KeyError: there is no such tensor."""
        tensor: torch.Tensor = self._files[name].get_slice(name)[start:stop]
        return tensor

    def num_bytes(self, name: str) -> int:
        """Raises KeyError: there is no such tensor."""
        part = self._files[name].get_slice(name)
        sizes = {"BF16": 2, "F16": 2, "F32": 4, "I32": 4, "I64": 8, "F64": 8}
        shape: list[int] = part.get_shape()
        return math.prod(shape) * sizes.get(part.get_dtype(), 1)

    def shape(self, name: str) -> list[int]:
        """Raises KeyError: there is no such tensor."""
        shape: list[int] = self._files[name].get_slice(name).get_shape()
        return shape


def errors(base: Path, quantised: Path) -> Iterator[TensorError]:
    """Every quantised weight of the folder, one after another.

    Raises:
        ValueError: a weight is stored in a way that is not known here, or the base has none of
            its name or shape.
    """
    with Folder(base) as full, Folder(quantised) as small:
        for name in small.names:
            if name.endswith(".weight_scale"):
                yield _error(full, small, name.removesuffix(".weight_scale"))


def _error(full: Folder, small: Folder, layer: str) -> TensorError:
    weight = f"{layer}.weight"
    original = _original(full, weight)
    rows, columns = full.shape(original)
    parts = {
        name.removeprefix(f"{layer}."): name
        for name in small.names
        if name.startswith(f"{layer}.weight")
    }
    words = small.shape(parts["weight_packed"])[1] if "weight_packed" in parts else columns
    zero = parts.get("weight_zero_point")
    # A packed weight's zero points are packed along its rows.
    per_word = columns // words if zero and small.shape(zero)[0] < rows else 1
    step = max(1, _ENTRIES_AT_ONCE // columns // _WORD_BITS) * _WORD_BITS
    error = total = 0.0
    for start in range(0, rows, step):
        values = full.rows(original, start, min(rows, start + step)).float()
        stored = {
            part: _part(small, name, start, len(values), per_word if name == zero else 1)
            for part, name in parts.items()
        }
        restored = dequantised(stored, values.shape)
        error += float((values - restored).square().sum(dtype=torch.float64))
        total += float(values.square().sum(dtype=torch.float64))
    return TensorError(
        name=weight,
        relative_mse=formulas.relative(error, total),
        num_weights=rows * columns,
        num_bytes=sum(small.num_bytes(name) for name in parts.values()),
    )


def _part(small: Folder, name: str, start: int, count: int, per_row: int) -> torch.Tensor:
    """The part of a stored tensor for some rows of the weight, of which each of its own rows holds
    ``per_row``; all of it where it has no row for each.
    """
    if name.endswith(_WHOLE) or small.shape(name)[0] == 1:
        return small.get(name)
    return small.rows(name, start // per_row, -(-(start + count) // per_row))


def num_weights(folder: Path) -> int:
    """Entries of all tensors of a folder that is not quantised."""
    with Folder(folder) as full:
        return sum(torch.Size(full.shape(name)).numel() for name in full.names)


def num_bytes(folder: Path) -> int:
    """Bytes of the folder's safetensors files."""
    return sum(file.stat().st_size for file in folder.glob("*.safetensors"))


def dequantised(stored: Mapping[str, torch.Tensor], shape: torch.Size) -> torch.Tensor:
    """The weight that a layer's stored tensors mean, float32.

    Args:
        stored: by their names after the layer's: ``weight`` or ``weight_packed``, then
            ``weight_scale`` and perhaps ``weight_zero_point``.
        shape: ``[out, in]``; a packed weight has as many bits as its words leave for an entry.

    Raises:
        ValueError: they are of another shape, or of a form that is not known here.
    """
    if "weight_g_idx" in stored:
        raise ValueError("weights reordered by activation (weight_g_idx) are not compared here")
    if "weight_packed" in stored:
        words = stored["weight_packed"]
        num_bits = _WORD_BITS * words.shape[-1] // shape[-1]
        integers = unpacked(words, num_bits, shape[-1]).float()
        zero = stored.get("weight_zero_point")
        points = None if zero is None else _unpacked_rows(zero, num_bits, shape[0]).float()
    elif "weight" in stored:
        integers = stored["weight"].float()
        zero = stored.get("weight_zero_point")
        points = None if zero is None else zero.float()
    else:
        raise ValueError(f"a quantised layer of {sorted(stored)}: it is not known how to read it")
    if integers.shape != shape:
        raise ValueError(
            f"a stored weight is {tuple(integers.shape)}, and the base's is {tuple(shape)}"
        )
    scale = _spread(stored["weight_scale"].float(), shape)
    return (integers if points is None else integers - _spread(points, shape)) * scale


def unpacked(words: torch.Tensor, num_bits: int, columns: int) -> torch.Tensor:
    """Signed integers ``[out, columns]`` of 32-bit words ``[out, ceil(columns / n)]``.

    Entry i of a word is at bit ``i * num_bits``, with ``2 ** (num_bits - 1)`` added.

    Raises:
        ValueError: it is not known how many bits an entry has.
    """
    if not 1 <= num_bits <= 16:
        raise ValueError(f"packed weights of {num_bits} bits")
    per_word = _WORD_BITS // num_bits
    shifts = torch.arange(per_word, dtype=torch.int32) * num_bits
    entries = (words[..., None] >> shifts) & ((1 << num_bits) - 1)
    return entries.flatten(-2)[..., :columns] - (1 << (num_bits - 1))


def _unpacked_rows(zero: torch.Tensor, num_bits: int, rows: int) -> torch.Tensor:
    """Zero points are packed along the rows when the weight is."""
    if zero.dtype != torch.int32:
        return zero
    return unpacked(zero.T.contiguous(), num_bits, rows).T


def _spread(scale: torch.Tensor, shape: torch.Size) -> torch.Tensor:
    """A scale per tensor, row or group, as one that multiplies the weight."""
    if scale.numel() == 1:
        return scale.reshape(1, 1)
    if scale.ndim == 1:
        scale = scale[:, None]
    if scale.shape[0] != shape[0] or shape[1] % scale.shape[1]:
        raise ValueError(f"scales of {tuple(scale.shape)} for a weight of {tuple(shape)}")
    return scale.repeat_interleave(shape[1] // scale.shape[1], dim=1)


def _original(full: Folder, weight: str) -> str:
    """The name of the base's weight; a tied head is its embedding.

    Raises:
        ValueError: the base has none of this name.
    """
    if full.has(weight):
        return weight
    if weight == "lm_head.weight" and full.has("model.embed_tokens.weight"):
        return "model.embed_tokens.weight"
    raise ValueError(f"the base model has no {weight}: is it what the other was made from?")
