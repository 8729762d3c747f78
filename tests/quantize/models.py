"""Copies of the demo model to change."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import torch
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
