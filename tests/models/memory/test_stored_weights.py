"""Bytes of stored weights: all of them, and as our own engine holds them."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file

from models import weight_headers
from models.memory import stored_weights


def test_a_copied_head_counts_once_and_zero_points_twice(tmp_path: Path) -> None:
    table, other = torch.arange(64, dtype=torch.int32), torch.ones(64, dtype=torch.int32)
    tensors = {
        "model.embed_tokens.weight_packed": table,
        "lm_head.weight_packed": table.clone(),
        "model.layers.0.mlp.up_proj.weight_zero_point": torch.zeros(4, dtype=torch.int32),
    }
    save_file(tensors, tmp_path / "model.safetensors")
    read = weight_headers.read(tmp_path)
    assert stored_weights.total_bytes(read) == 2 * 256 + 16
    assert stored_weights.own_bytes(read) == 256 + 2 * 16
    save_file(tensors | {"lm_head.weight_packed": other}, tmp_path / "model.safetensors")
    assert stored_weights.own_bytes(weight_headers.read(tmp_path)) == 2 * 256 + 2 * 16
    del tensors["lm_head.weight_packed"]
    save_file(tensors, tmp_path / "model.safetensors")
    assert stored_weights.own_bytes(weight_headers.read(tmp_path)) == 256 + 2 * 16
