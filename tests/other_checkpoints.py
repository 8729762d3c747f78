"""Checkpoints as AutoAWQ and GPTQModel write them, and the same model in full numbers, for tests.

write(source, tmp_path / "awq", awq); write_full(source, tmp_path / "full", awq)
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

GROUP = 64
_PLAIN, _AWQ = (0, 1, 2, 3, 4, 5, 6, 7), (0, 2, 4, 6, 1, 3, 5, 7)
_WEIGHTS = "model.safetensors"

Parts = Mapping[str, torch.Tensor]
Rounding = Callable[[torch.Tensor], tuple[Parts, torch.Tensor]]
"""What is stored of a matrix ``[out, in]``, and the numbers that it stands for."""

CONFIGS: Mapping[str, Mapping[str, Any]] = {
    "awq": {
        "quant_method": "awq",
        "bits": 4,
        "group_size": GROUP,
        "zero_point": True,
        "version": "gemm",
        "modules_to_not_convert": None,
    },
    "gptq": {
        "quant_method": "gptq",
        "bits": 4,
        "group_size": GROUP,
        "desc_act": False,
        "sym": True,
        "lm_head": False,
    },
}


def write(source: Path, target: Path, method: str, **changes: Any) -> Path:
    """The model of ``source`` as the tool of this name stores it; returns ``target``."""
    _write(source, target, method, lambda name, parts, _: _named(name, parts))
    config = json.loads((target / "config.json").read_text())
    config["quantization_config"] = {**CONFIGS[method], **changes}
    (target / "config.json").write_text(json.dumps(config))
    return target


def write_full(source: Path, target: Path, method: str) -> Path:
    """The same model with the numbers that ``write`` stored, in float32; returns ``target``."""
    _write(source, target, method, lambda name, _, numbers: {name: numbers})
    config = json.loads((target / "config.json").read_text()) | {"dtype": "float32"}
    (target / "config.json").write_text(json.dumps(config))
    tensors = {name: one.float() for name, one in load_file(target / _WEIGHTS).items()}
    save_file(tensors, target / _WEIGHTS, metadata={"format": "pt"})
    return target


def _write(
    source: Path,
    target: Path,
    method: str,
    stored: Callable[[str, Parts, torch.Tensor], Mapping[str, torch.Tensor]],
) -> None:
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("manifest.json"))
    written: dict[str, torch.Tensor] = {}
    for name, weight in load_file(source / _WEIGHTS).items():
        if name.endswith("_proj.weight"):
            written |= stored(name, *_ROUNDINGS[method](weight.float()))
        else:
            written[name] = weight
    save_file(written, target / _WEIGHTS, metadata={"format": "pt"})


def _named(name: str, parts: Parts) -> dict[str, torch.Tensor]:
    return {name.removesuffix("weight") + part: one.contiguous() for part, one in parts.items()}


def awq(weight: torch.Tensor) -> tuple[Parts, torch.Tensor]:
    """Zero points, inputs by packed outputs in AutoAWQ's order."""
    groups = weight.view(len(weight), -1, GROUP)
    low, high = groups.amin(-1).clamp(max=0), groups.amax(-1).clamp(min=0)
    scale = _short((high - low) / 15)
    zero = (-low / scale).round().clamp(0, 15)
    levels = ((groups / scale[..., None]).round() + zero[..., None]).clamp(0, 15)
    numbers = ((levels - zero[..., None]) * scale[..., None]).view_as(weight)
    parts = {
        "qweight": _packed(levels.view_as(weight).T, _AWQ),
        "qzeros": _packed(zero.T, _AWQ),
        "scales": scale.T.half(),
    }
    return parts, numbers


def gptq(weight: torch.Tensor) -> tuple[Parts, torch.Tensor]:
    """Symmetric, packed inputs by outputs; zero points of 8 are written as 7."""
    groups = weight.view(len(weight), -1, GROUP)
    scale = _short(groups.abs().amax(-1) / 7)
    levels = ((groups / scale[..., None]).round() + 8).clamp(0, 15)
    numbers = ((levels - 8) * scale[..., None]).view_as(weight)
    parts = {
        "qweight": _packed(levels.view_as(weight), _PLAIN).T,
        "qzeros": _packed(torch.full_like(scale.T, 7), _PLAIN),
        "scales": scale.T.half(),
        "g_idx": torch.arange(weight.shape[1], dtype=torch.int32) // GROUP,
    }
    return parts, numbers


def _short(scale: torch.Tensor) -> torch.Tensor:
    """A number that float16 and bfloat16 both have: vLLM keeps scales in the model's type."""
    return scale.clamp(min=1e-3).bfloat16().float()


def _packed(levels: torch.Tensor, order: tuple[int, ...]) -> torch.Tensor:
    """int32 words of eight neighbours in a row."""
    neighbours = levels.long().reshape(len(levels), -1, 8)[:, :, list(order)]
    words = (neighbours << (4 * torch.arange(8))).sum(-1)
    return torch.where(words >= 1 << 31, words - (1 << 32), words).int()


_ROUNDINGS: Mapping[str, Rounding] = {"awq": awq, "gptq": gptq}
