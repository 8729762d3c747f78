"""Tiny model folders for tests: whole ones, written by hand, without torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from models.trust.manifest import Manifest


def safetensors(num_bytes: int = 8, **header: Any) -> bytes:
    """A valid safetensors file of one uint8 tensor; ``header`` adds or replaces entries."""
    tensors = {"t": {"dtype": "U8", "shape": [num_bytes], "data_offsets": [0, num_bytes]}} | header
    raw = json.dumps(tensors).encode()
    return len(raw).to_bytes(8, "little") + raw + bytes(num_bytes)


def whole(path: Path, **config: Any) -> Path:
    """A folder that is whole and allowed."""
    path.mkdir(parents=True)
    (path / "config.json").write_text(json.dumps({"model_type": "qwen2"} | config))
    (path / "model.safetensors").write_bytes(safetensors())
    (path / "tokenizer.json").write_text("{}")
    return path


def listed(path: Path) -> Path:
    """A whole one with a folder inside, and a manifest."""
    whole(path)
    (path / "model.safetensors").write_bytes(safetensors(5000))
    (path / "sub").mkdir()
    (path / "sub" / "template.jinja").write_text("{{ x }}")
    Manifest.build(path).write(path)
    return path
