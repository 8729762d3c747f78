"""LoRA adapters for tests: folders as PEFT writes them, and models with one merged into them."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

LAYERS = ("self_attn.q_proj", "self_attn.v_proj", "self_attn.o_proj", "mlp.gate_proj")
"""Of both kinds that vLLM treats apart: those that it packs with others, and those alone."""

CONFIG: dict[str, Any] = {
    "peft_type": "LORA",
    "task_type": "CAUSAL_LM",
    "base_model_name_or_path": "/somewhere/else",
    "r": 4,
    "lora_alpha": 8,
    "lora_dropout": 0.05,
    "bias": "none",
    "target_modules": ["q_proj", "v_proj", "o_proj", "gate_proj"],
    "modules_to_save": None,
    "use_dora": False,
    "init_lora_weights": True,
    "rank_pattern": {},
}


def write_adapter(
    folder: Path, model: Path, *, seed: int = 0, layers: tuple[str, ...] = LAYERS, **config: Any
) -> Path:
    """Write an adapter of random A and B for every layer of ``model`` that ends as named.

    Args:
        config: overrides of adapter_config.json.
    """
    import torch
    from safetensors.torch import load_file, save_file

    settings = CONFIG | config
    source = torch.Generator().manual_seed(seed)
    tensors = {}
    for name, weight in load_file(model / "model.safetensors").items():
        layer = name.removesuffix(".weight")
        if layer.endswith(layers):
            rank = rank_of(layer, settings)
            for side, shape in (
                ("A", (rank, weight.shape[1])),
                ("B", (weight.shape[0], rank)),
            ):
                key = f"base_model.model.{layer}.lora_{side}.weight"
                tensors[key] = torch.randn(shape, generator=source) * 0.2
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text(json.dumps(settings))
    return folder


def merge(model: Path, adapter: Path, folder: Path) -> Path:
    """The model with the adapter in its weights: W + scale * B A."""
    from safetensors.torch import load_file, save_file

    settings = json.loads((adapter / "adapter_config.json").read_text())
    shutil.copytree(model, folder)
    weights = load_file(model / "model.safetensors")
    pairs = load_file(adapter / "adapter_model.safetensors")
    for name, a in pairs.items():
        if ".lora_A." in name:
            layer = name.removeprefix("base_model.model.").removesuffix(".lora_A.weight")
            rank = a.shape[0]
            scale = settings["lora_alpha"] / (
                math.sqrt(rank) if settings.get("use_rslora") else rank
            )
            weights[f"{layer}.weight"] += scale * (pairs[name.replace("lora_A", "lora_B")] @ a)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def rank_of(layer: str, settings: Mapping[str, Any]) -> int:
    for name, rank in settings["rank_pattern"].items():
        if layer.endswith(name):
            return int(rank)
    return int(settings["r"])
