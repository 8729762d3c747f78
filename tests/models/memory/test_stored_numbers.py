"""Packed weights count as what they stand for, in every format, and as the shape would count."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from models import stored_config
from models.memory import shapes, stored_numbers
from models.refs import QuantScheme
from models.rules import safetensors_header
from models.rules.safetensors_header import DTYPE_BITS, TensorEntry
from tests.quantized_models import write_quantized
from tests.tiny_models import write_tiny_model

OUT, IN = 64, 256
NORM = 10


@pytest.fixture(scope="module")
def full(tmp_path_factory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("full") / "m", dtype="bfloat16")


@pytest.mark.parametrize("scheme", list(QuantScheme), ids=str)
def test_each_scheme_of_ours_counts_as_its_shape_does(
    tmp_path: Path, full: Path, scheme: QuantScheme
) -> None:
    folder = full
    if scheme is not QuantScheme.NONE:
        folder = write_quantized(full, tmp_path / "q", scheme)
    plain = json.loads((folder / "config.json").read_text())
    tensors = safetensors_header.tensors(folder / "model.safetensors")
    config = stored_config.settle(folder, plain).config
    expected = shapes.read(config).num_parameters
    assert stored_numbers.count(config, tensors) == expected
    assert stored_numbers.of_model(config, {}) == expected
    assert stored_numbers.of_model({**config, "model_type": "nonesuch"}, tensors) == expected


def tensors(**layer: tuple[Any, ...]) -> dict[str, TensorEntry]:
    """One layer of ``OUT`` times ``IN`` and a norm, from types and shapes of its parts."""
    parts = {f"m.l.0.proj.{name.replace('__', '.')}": part for name, part in layer.items()}
    parts["m.norm.weight"] = ("BF16", NORM)
    return {
        name: TensorEntry(dtype, shape, 0, bits_of(dtype, shape) // 8)
        for name, (dtype, *shape) in parts.items()
    }


def bits_of(dtype: str, shape: list[int]) -> int:
    total = DTYPE_BITS[dtype]
    for size in shape:
        total *= size
    return total


GROUP = {"targets": ["Linear"], "weights": {"num_bits": 4}}
NVFP4 = {"targets": ["Linear"], "weights": {"num_bits": 4, "type": "float"}}
SCALE = ("BF16", OUT, IN // 32)
FORMATS = {
    "pack-quantized": (
        {"config_groups": {"a": GROUP}},
        {"weight_packed": ("I32", OUT, IN // 8), "weight_scale": SCALE, "weight_shape": ("I64", 2)},
    ),
    "a layer of other bits": (
        {
            "config_groups": {
                "a": GROUP,
                "b": {"targets": [r"re:.*\.proj$"], "weights": {"num_bits": 8}},
            }
        },
        {"weight_packed": ("I32", OUT, IN // 4), "weight_scale": SCALE},
    ),
    "nvfp4": (
        {"config_groups": {"a": NVFP4}},
        {
            "weight_packed": ("U8", OUT, IN // 2),
            "weight_scale": ("F8_E4M3", OUT, IN // 16),
            "weight_global_scale": ("F32", 1),
            "input_global_scale": ("F32", 1),
        },
    ),
    "gptq": (
        {"quant_method": "gptq", "bits": 4},
        {
            "qweight": ("I32", IN // 8, OUT),
            "qzeros": ("I32", IN // 32, OUT // 8),
            "scales": ("F16", IN // 32, OUT),
            "g_idx": ("I32", IN),
        },
    ),
    "gptq of 3 bits, and a layer of 8": (
        {"quant_method": "gptq", "bits": 3, "dynamic": {"+:.*proj": {"bits": 8}}},
        {
            "qweight": ("I32", IN // 4, OUT),
            "qzeros": ("I32", IN // 32, OUT // 4),
            "scales": ("F16", IN // 32, OUT),
        },
    ),
    "gptq without zero points": (
        {"quant_method": "gptq", "bits": 8},
        {"qweight": ("I32", IN // 4, OUT), "scales": ("F16", IN // 32, OUT)},
    ),
    "awq": (
        {"quant_method": "awq", "w_bit": 4},
        {
            "qweight": ("I32", IN, OUT // 8),
            "qzeros": ("I32", IN // 32, OUT // 8),
            "scales": ("F16", IN // 32, OUT),
        },
    ),
    "nf4 in bfloat16 words": (
        {"quant_method": "bitsandbytes", "load_in_4bit": True},
        {
            "weight": ("BF16", OUT * IN // 4, 1),
            "weight__absmax": ("U8", OUT * IN // 64),
            "weight__nested_absmax": ("F32", 1),
            "weight__quant_map": ("F32", 16),
            "weight__quant_state__bitsandbytes__nf4": ("U8", 80),
        },
    ),
    "modelopt": (
        {"quant_method": "modelopt", "quant_algo": "NVFP4"},
        {
            "weight": ("U8", OUT, IN // 2),
            "weight_scale": ("F8_E4M3", OUT, IN // 16),
            "weight_scale_2": ("F32",),
            "input_scale": ("F32",),
        },
    ),
    "mxfp4": (
        {"quant_method": "mxfp4"},
        {
            "up_blocks": ("U8", 2, OUT // 2, IN // 32, 16),
            "up_scales": ("U8", 2, OUT // 2, IN // 32),
        },
    ),
    "fp8 in blocks": (
        {"quant_method": "fp8"},
        {"weight": ("F8_E4M3", OUT, IN), "weight_scale_inv": ("F32", 1, 2)},
    ),
}


@pytest.mark.parametrize("name", FORMATS)
def test_formats_of_others(name: str) -> None:
    table, layer = FORMATS[name]
    config = {"model_type": "nonesuch", "quantization_config": table}
    assert stored_numbers.count(config, tensors(**layer)) == OUT * IN + NORM


@pytest.mark.parametrize(
    "table",
    [
        {"bits": 0},
        {"bits": True},
        {"bits": "4"},
        {"config_groups": []},
        {"config_groups": {"a": 1, "b": {"weights": 1}, "c": {"weights": {"num_bits": -1}}}},
        {"config_groups": {"a": {"targets": ["re:(", 1], "weights": {"num_bits": 32}}}},
    ],
    ids=str,
)
def test_where_nothing_tells_the_bits_words_are_counted(table: dict[str, Any]) -> None:
    config = {"quantization_config": table}
    found = stored_numbers.count(config, tensors(weight_packed=("I32", OUT, IN // 8)))
    assert found == OUT * IN // 8 + NORM


def test_what_lies_beside_packed_weights_counts_in_a_model_that_has_none() -> None:
    assert stored_numbers.count({}, tensors(scales=("F32", 7))) == 7 + NORM


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"tie_word_embeddings": True}, 8),
        ({"tie_word_embeddings": False}, 16),
        ({"text_config": {"tie_word_embeddings": True}}, 8),
    ],
    ids=str,
)
def test_a_head_that_is_the_embedding_counts_once(config: dict[str, Any], expected: int) -> None:
    both = ("model.embed_tokens.weight", "lm_head.weight")
    assert stored_numbers.count(config, dict.fromkeys(both, TensorEntry("F32", (2, 4)))) == expected
