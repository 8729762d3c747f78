"""Each weight of a quantised folder against the base's: one tensor in memory at a time.

Reads the two folders' safetensors and undoes the stored form: compressed-tensors' int-quantized,
float-quantized and pack-quantized (0.17; ``compressed_tensors/compressors`` defines them). What
bitsandbytes stores is not looked at here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
from safetensors import safe_open

from benchmarks.quality.formulas import relative_mse

_WORD_BITS = 32


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
    bits = _num_bits(quantised)
    with Folder(base) as full, Folder(quantised) as small:
        for name in small.names:
            if not name.endswith(".weight_scale"):
                continue
            layer = name.removesuffix(".weight_scale")
            weight = f"{layer}.weight"
            original = _original(full, weight)
            stored = _stored(small, layer)
            found = dequantised(stored, bits, torch.Size(original.shape))
            yield TensorError(
                name=weight,
                relative_mse=relative_mse(original, found),
                num_weights=original.numel(),
                num_bytes=sum(tensor.nbytes for tensor in stored.values()),
            )


def num_weights(folder: Path) -> int:
    """Entries of all tensors of a folder that is not quantised."""
    with Folder(folder) as full:
        return sum(torch.Size(full.shape(name)).numel() for name in full.names)


def num_bytes(folder: Path) -> int:
    """Bytes of the folder's safetensors files."""
    return sum(file.stat().st_size for file in folder.glob("*.safetensors"))


def dequantised(
    stored: Mapping[str, torch.Tensor], num_bits: int, shape: torch.Size
) -> torch.Tensor:
    """The weight that a layer's stored tensors mean, float32.

    Args:
        stored: by their names after the layer's: ``weight`` or ``weight_packed``, then
            ``weight_scale`` and perhaps ``weight_zero_point``.
        num_bits: of a packed weight's entries.
        shape: ``[out, in]``.

    Raises:
        ValueError: they are of another shape, or of a form that is not known here.
    """
    if "weight_g_idx" in stored:
        raise ValueError("weights reordered by activation (weight_g_idx) are not compared here")
    if "weight_packed" in stored:
        integers = unpacked(stored["weight_packed"], num_bits, shape[-1]).float()
        zero = stored.get("weight_zero_point")
        points = None if zero is None else _unpacked_rows(zero, num_bits, shape[0]).float()
    elif "weight" in stored:
        integers = stored["weight"].float()
        zero = stored.get("weight_zero_point")
        points = None if zero is None else zero.float()
    else:
        raise ValueError(f"a quantised layer of {sorted(stored)}: it is not known how to read it")
    if integers.shape != shape:
        raise ValueError(f"a weight of {tuple(integers.shape)} stands for one of {tuple(shape)}")
    scale = _spread(stored["weight_scale"].float(), shape)
    return (integers if points is None else integers - _spread(points, shape)) * scale


def unpacked(words: torch.Tensor, num_bits: int, columns: int) -> torch.Tensor:
    """Signed integers ``[out, columns]`` of 32-bit words ``[out, ceil(columns / n)]``.

    Entry i of a word is at bit ``i * num_bits``, with ``2 ** (num_bits - 1)`` added.

    Raises:
        ValueError: it is not known how many bits an entry has.
    """
    if not 1 <= num_bits <= 16:
        raise ValueError(f"packed weights, and config.json says {num_bits} bits")
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


def _stored(small: Folder, layer: str) -> dict[str, torch.Tensor]:
    """Every tensor that belongs to the layer's weight."""
    return {
        name.removeprefix(f"{layer}."): small.get(name)
        for name in small.names
        if name.startswith(f"{layer}.weight")
    }


def _original(full: Folder, weight: str) -> torch.Tensor:
    """The base's weight; a tied head is its embedding.

    Raises:
        ValueError: the base has none of this name.
    """
    if full.has(weight):
        return full.get(weight)
    if weight == "lm_head.weight" and full.has("model.embed_tokens.weight"):
        return full.get("model.embed_tokens.weight")
    raise ValueError(f"the base model has no {weight}: is it what the other was made from?")


def _num_bits(folder: Path) -> int:
    config = json.loads((folder / "config.json").read_bytes())
    groups = config.get("quantization_config", {}).get("config_groups", {})
    bits = {group["weights"]["num_bits"] for group in groups.values()}
    if len(bits) > 1:
        raise ValueError(f"weights of {sorted(bits)} bits in one model are not compared here")
    return int(bits.pop()) if bits else 0
