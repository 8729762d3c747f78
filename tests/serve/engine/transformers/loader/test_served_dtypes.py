"""What is in memory, to the byte, and starts that end because it is not what was declared."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from models.refs import QuantScheme
from serve.engine import model_files
from serve.engine.transformers.layers.packed_linear import PackedEmbedding
from serve.engine.transformers.layers.quantized_linear import QuantizedLinear
from serve.engine.transformers.loader import compressed_loading, served_dtypes
from serve.engine.transformers.loader.stored_scheme import RUNS
from tests.serve.engine.checkpoints import WEIGHTS, edit, load, put, quantization, refuse

WITH_TABLES = (QuantScheme.INT8, QuantScheme.INT4)
"""Schemes that take head and embedding, too."""


Q = "model.layers.0.self_attn.q_proj"


TABLE = "model.embed_tokens"


@pytest.mark.parametrize("scheme", RUNS)
def test_no_weight_is_held_twice_and_the_bytes_are_told(
    folders: dict[str, Path], scheme: QuantScheme
) -> None:
    model = load(folders[scheme])
    held = served_dtypes.held(model)
    layers = [module for module in model.modules() if isinstance(module, QuantizedLinear)]
    is_fused = scheme not in (QuantScheme.NF4, QuantScheme.BNB_INT8)
    has_tables = scheme in WITH_TABLES
    # q, k and v are one, gate and up too
    assert len(layers) == 2 * (4 if is_fused else 7) + has_tables
    weights: Counter[str] = Counter()
    for layer in layers[: len(layers) - has_tables]:
        weights[layer.stored_as] += layer.in_features * layer.out_features
    assert set(weights) == ({"int4", "int8"} if scheme == "int4" else {layers[0].stored_as})
    for stored, num in weights.items():
        assert held[type(layers[0]).__name__][stored] == (num if stored == "int8" else num // 2)
    assert "Linear" not in held
    tensors = load_file(folders[scheme] / WEIGHTS)
    twice = sum(part.nbytes for name, part in tensors.items() if name.startswith("lm_head."))
    assert bool(twice) is has_tables
    files = model_files.read(folders[scheme]).files.total_bytes - twice
    texts = 4_000  # shapes, levels and what else is read once and not kept
    zeros = 5_000  # of 4 bits on disk, in a byte each
    assert files - texts <= served_dtypes.resident_bytes(model) <= files + zeros
    assert not any(p.dtype is torch.bfloat16 and p.ndim == 2 for p in layers[0].parameters())
    assert served_dtypes.num_parameters(load(folders["none"])) == (
        served_dtypes.num_parameters(model)
    )
    assert isinstance(model.model.embed_tokens, PackedEmbedding) is has_tables


# What config.json declares and is not there


@pytest.mark.parametrize(
    ("width", "match"),
    [
        (("in_features", 256), r"2 layers differ, first .*down_proj is bfloat16, not int8"),
        (("out_features", 512), r"4 layers differ, first .*gate_proj is bfloat16, not int8"),
    ],
    ids=["a layer", "layers that are one"],
)
def test_layers_that_are_not_what_was_promised_end_the_start(
    int8: Path, monkeypatch: pytest.MonkeyPatch, width: tuple[str, int], match: str
) -> None:
    real = compressed_loading._layer

    def decompressing(*arguments: Any) -> Any:
        layer = real(*arguments)
        if getattr(layer, width[0]) != width[1]:
            return layer
        return torch.nn.Linear(layer.in_features, layer.out_features, bias=False).bfloat16()

    monkeypatch.setattr(compressed_loading, "_layer", decompressing)
    refuse(int8, rf"not what config.json says \(int8\): {match}")


def test_a_quantised_layer_that_should_be_plain(int8: Path) -> None:
    edit(int8, quantization_config=quantization(int8) | {"ignore": [Q]})
    refuse(int8, "q_proj is int8, not as stored")
    edit(int8, quantization_config=quantization(int8) | {"ignore": ["re:.*embed"]})
    refuse(int8, "1 layers differ, first model.embed_tokens is quantised, not as stored")


def test_a_promise_that_no_layer_keeps(folders: dict[str, Path], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(folders["none"], tmp_path / "copy"))
    edit(folder, quantization_config=quantization(folders["int8"]))
    refuse(folder, "layers differ, first .*q_proj is bfloat16, not int8")
    edit(folder, quantization_config=quantization(folders["int8"]) | {"ignore": ["re:.*"]})
    refuse(folder, "no layer is quantised")


def test_an_embedding_that_is_not_quantised(int8: Path) -> None:
    parts = {f"{TABLE}.{part}": None for part in ("weight_packed", "weight_scale", "weight_shape")}
    put(int8, parts | {f"{TABLE}.weight": torch.randn(1024, 128).bfloat16()})
    refuse(int8, "1 layers differ, first model.embed_tokens is bfloat16, not quantised")
