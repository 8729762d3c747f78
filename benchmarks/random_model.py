"""A model of any published shape with random weights, for speed alone: its text is noise.

Written tensor by tensor from the shape in models/memory/shapes.toml and transformers' own list of
weights, so that any family that both know can be made. The tokenizer is the demo model's, filled up
with made-up words, so that every token id of the shape is a text and can be streamed.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModelForCausalLM

from models import store
from models.errors import ModelNotFoundError
from models.memory.shapes import published
from models.refs import Artifact
from models.trust.manifest import Manifest

PREFIX = "random:"
_DEVIATION = 0.02  # what most checkpoints are initialised with
_END, _PAD = 2, 0  # the demo model's


def make(alias: str, data_dir: Path) -> Artifact:
    """The model in the store of ``data_dir``, made where it is not there yet.

    Args:
        alias: of the catalog, such as ``qwen2-0.5b``; or what it is called after the family, such
            as ``0.5b`` for that one.
        data_dir: the store is ``<data_dir>/models``.

    Raises:
        ModelNotFoundError: no such shape is known.
        OSError: it cannot be written.
    """
    shapes = published()
    name = alias if alias in shapes else f"qwen2-{alias}"
    if name not in shapes:
        raise ModelNotFoundError(
            f"{PREFIX}{alias}: no such shape is known. There are {', '.join(shapes)}."
        )
    place = store.DirectoryStore(data_dir)
    own = f"random-{name}"
    if not place.path_of(own).is_dir():
        place.root.mkdir(parents=True, exist_ok=True)
        with place.stage(own) as staging:
            staging.discard()
            staging.tree.mkdir(parents=True)
            write(staging.tree, dict(shapes[name]))
            Manifest.build(staging.tree).write(staging.tree)
            staging.commit()
    return place.find(own)


def write(folder: Path, shape: dict[str, Any], *, seed: int = 0) -> None:
    """Configuration, weights and tokenizer of a model into a folder that is there."""
    config = shape | {"eos_token_id": _END, "pad_token_id": _PAD}
    (folder / "config.json").write_text(json.dumps(config, indent=1), "utf-8")
    ends = {"eos_token_id": _END, "pad_token_id": _PAD}
    (folder / "generation_config.json").write_text(json.dumps(ends), "utf-8")
    dtype = getattr(torch, str(shape.get("dtype", "bfloat16")))
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(folder))
    source = torch.Generator().manual_seed(seed)
    weights: dict[str, torch.Tensor] = {}
    for name, like in model.named_parameters():  # a tied head is not named twice
        if like.dim() == 1:
            fill = torch.zeros if name.endswith(".bias") else torch.ones
            weights[name] = fill(like.shape, dtype=dtype)
        else:
            weight = torch.empty(like.shape, dtype=dtype)
            weights[name] = weight.normal_(0, _DEVIATION, generator=source)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    _write_tokenizer(folder, int(shape["vocab_size"]), int(shape["max_position_embeddings"]))


def _write_tokenizer(folder: Path, vocab_size: int, context: int) -> None:
    demo = store.DEMO_WEIGHTS
    tokenizer = json.loads((demo / "tokenizer.json").read_text("utf-8"))
    vocabulary = tokenizer["model"]["vocab"]
    used_ids = {*vocabulary.values(), *(token["id"] for token in tokenizer["added_tokens"])}
    for token_id in range(vocab_size):
        if token_id not in used_ids:
            vocabulary[f"\u0120w{token_id}"] = token_id  # byte-level BPE writes a space as U+0120
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer), "utf-8")
    settings = json.loads((demo / "tokenizer_config.json").read_text("utf-8"))
    settings["model_max_length"] = context
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), "utf-8")
    template = (demo / "chat_template.jinja").read_text("utf-8")
    (folder / "chat_template.jinja").write_text(template, "utf-8")
