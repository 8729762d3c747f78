"""Checkpoints in the transformers engine: loaded, asked, changed and refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from serve.engine.registry import build
from serve.engine.settings import EngineSettings
from serve.engine.transformers.loader import loading
from serve.errors import StartupError
from tests.contracts.engine import prompt_of
from tests.quantized_models import write_dequantised

WEIGHTS = "model.safetensors"


def load(folder: Path, **settings: Any) -> Any:
    checkpoint = loading.read_checkpoint(folder)
    model, _ = loading.load_model(
        checkpoint,
        loading.read_config(checkpoint),
        settings=EngineSettings(**settings),
        device=torch.device("cpu"),
        progress=lambda *_: None,
    )
    return model


def dequantised(folder: Path, target: Path) -> Any:
    """The same model by transformers, in float32."""
    return AutoModelForCausalLM.from_pretrained(
        write_dequantised(folder, target), attn_implementation="eager"
    ).eval()


def logits(model: Any, length: int) -> torch.Tensor:
    with torch.inference_mode():
        return model(torch.tensor([prompt_of(length)]), use_cache=False).logits[0].double()


def distance(actual: torch.Tensor, expected: torch.Tensor) -> float:
    return float((actual - expected).norm() / expected.norm())


def refuse(folder: Path, match: str, **settings: Any) -> str:
    """See the transformers engine refuse a folder; returns the message, which names no path."""
    with pytest.raises(StartupError, match=match) as refusal:
        build("transformers", folder, EngineSettings(**settings), lambda *_: None)
    assert str(folder.parent) not in str(refusal.value)
    return str(refusal.value)


def edit(folder: Path, **changes: Any) -> None:
    """Change config.json."""
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def quantization(folder: Path) -> Any:
    return json.loads((folder / "config.json").read_text())["quantization_config"]


def put(folder: Path, tensors: dict[str, torch.Tensor | None]) -> None:
    """Change the weights; None takes one away."""
    changed = load_file(folder / WEIGHTS) | tensors
    save_file({name: part for name, part in changed.items() if part is not None}, folder / WEIGHTS)
