"""Copies of the demo model to change."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import torch
from compressed_tensors.compressors.pack_quantized.helpers import unpack_from_int32
from safetensors.torch import load_file, save_file

from models.store import DEMO_WEIGHTS


def copy_of_demo(folder: Path) -> Path:
    """Without its manifest, which would no longer agree."""
    shutil.copytree(DEMO_WEIGHTS, folder, ignore=shutil.ignore_patterns("manifest.json"))
    return folder


def rewrite(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    """Change the weights in place."""
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def dequantised(folder: Path) -> dict[str, torch.Tensor]:
    """Float32 weights by their full names, by compressed-tensors' own unpacking."""
    tensors = load_file(folder / "model.safetensors")
    made = {}
    for name in [name for name in tensors if name.endswith(".weight_scale")]:
        module = name.removesuffix(".weight_scale")
        scale = tensors[name].float()
        if f"{module}.weight" in tensors:
            values = tensors[f"{module}.weight"].float()
        else:
            packed = tensors[f"{module}.weight_packed"]
            shape = torch.Size(tensors[f"{module}.weight_shape"].tolist())
            num_bits = 32 * packed.shape[1] // shape[1]
            values = unpack_from_int32(packed, num_bits, shape).float()
        columns = values.shape[1] // scale.shape[1]
        if f"{module}.weight_zero_point" in tensors:
            zeros = unpack_from_int32(
                tensors[f"{module}.weight_zero_point"], num_bits, scale.shape, packed_dim=0
            )
            values = values - zeros.float().repeat_interleave(columns, dim=1)
        made[f"{module}.weight"] = values * scale.repeat_interleave(columns, dim=1)
    return made
