"""Weights out of their stored forms: by our own schemes, and by compressed-tensors itself."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from benchmarks.quality import tensors
from models.refs import QuantScheme
from quantize.formats.forms import Linear
from quantize.protocol import SchemeOptions
from quantize.registry import quantizer

SCHEMES = (QuantScheme.INT8, QuantScheme.INT8_WEIGHT_ONLY, QuantScheme.INT4, QuantScheme.FP8)
LINEAR = Linear(name="m.q_proj", num_out=24, num_in=256, dtype="BF16")
LARGEST_ERROR = {
    QuantScheme.INT8: 2e-4,
    QuantScheme.INT8_WEIGHT_ONLY: 2e-4,
    QuantScheme.FP8: 2e-3,
    QuantScheme.INT4: 2e-2,
}


def weight(seed: int = 0) -> torch.Tensor:
    source = torch.Generator().manual_seed(seed)
    return torch.randn(LINEAR.num_out, LINEAR.num_in, generator=source).bfloat16()


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_folder_of_each_scheme_is_compared_with_its_base(tmp_path, scheme):
    made = quantizer(scheme, SchemeOptions())
    layer = replace(LINEAR, form=made.form_of(LINEAR))
    full = {"m.q_proj.weight": weight(), "m.norm.weight": torch.ones(4)}
    parts = made.quantise(full["m.q_proj.weight"].float(), layer)
    shape = {} if "weight_packed" not in parts else {"weight_shape": torch.tensor([24, 256])}
    small = {f"m.q_proj.{suffix}": part for suffix, part in (parts | shape).items()}
    base = folder(tmp_path / "base", full, {})
    config = {"quantization_config": made.config([layer], [])}
    quantised = folder(tmp_path / "small", small | {"m.norm.weight": torch.ones(4)}, config)
    (found,) = tensors.errors(base, quantised)
    assert (found.name, found.num_weights) == ("m.q_proj.weight", 24 * 256)
    assert 0 < found.relative_mse < LARGEST_ERROR[scheme]
    assert found.num_bytes == sum(part.nbytes for part in small.values())
    # What the scheme itself says it stored.
    wanted = made.dequantise(parts, layer)
    ours = tensors.dequantised(parts, torch.Size((24, 256)))
    assert torch.equal(ours, wanted)


@given(st.sampled_from([4, 8]), st.integers(1, 5), st.integers(1, 40), st.integers(0, 9999))
def test_words_are_unpacked_as_compressed_tensors_packs_them(num_bits, rows, columns, seed):
    from compressed_tensors.compressors.pack_quantized.helpers import pack_to_int32

    half = 1 << (num_bits - 1)
    source = torch.Generator().manual_seed(seed)
    integers = torch.randint(-half, half, (rows, columns), generator=source).to(torch.int8)
    words = pack_to_int32(integers, num_bits)
    assert torch.equal(tensors.unpacked(words, num_bits, columns), integers)


def test_zero_points_are_taken_off():
    stored = {
        "weight": torch.tensor([[3, 5]], dtype=torch.int8),
        "weight_scale": torch.tensor([[0.5]]),
        "weight_zero_point": torch.tensor([[1]], dtype=torch.int8),
    }
    assert tensors.dequantised(stored, torch.Size((1, 2))).tolist() == [[1.0, 2.0]]


@pytest.mark.parametrize(
    "stored",
    [
        {"weight_scale": torch.ones(1)},
        {"weight": torch.ones(2, 3), "weight_scale": torch.ones(2, 1)},
        {"weight": torch.ones(2, 4), "weight_scale": torch.ones(3, 1)},
        {"weight": torch.ones(2, 4), "weight_scale": torch.ones(2, 3)},
        {"weight_packed": torch.ones(2, 3).int(), "weight_scale": torch.ones(1)},
        {"weight": torch.ones(2, 4), "weight_scale": torch.ones(1), "weight_g_idx": torch.ones(4)},
    ],
)
def test_what_cannot_be_read_is_refused(stored):
    with pytest.raises(ValueError):
        tensors.dequantised(stored, torch.Size((2, 4)))


def test_a_model_of_another_base_is_refused(tmp_path):
    small = {"m.x.weight": torch.ones(2, 2), "m.x.weight_scale": torch.ones(2, 1)}
    base = folder(tmp_path / "base", {"other.weight": torch.ones(2, 2)}, {})
    quantised = folder(tmp_path / "small", small, {})
    with pytest.raises(ValueError, match=r"no m\.x\.weight"):
        list(tensors.errors(base, quantised))


def test_a_tied_head_is_compared_with_the_embedding(tmp_path):
    base = folder(tmp_path / "base", {"model.embed_tokens.weight": torch.ones(2, 2)}, {})
    small = {"lm_head.weight": torch.ones(2, 2), "lm_head.weight_scale": torch.full((2, 1), 2.0)}
    (found,) = tensors.errors(base, folder(tmp_path / "small", small, {}))
    assert found.relative_mse == 1


def test_sizes(tmp_path):
    base = folder(tmp_path / "base", {"a": torch.ones(2, 3), "b": torch.ones(4)}, {})
    assert tensors.num_weights(base) == 10
    assert tensors.num_bytes(base) == (base / "model.safetensors").stat().st_size


def folder(path: Path, content: dict[str, torch.Tensor], config: dict[str, object]) -> Path:
    path.mkdir()
    save_file(content, path / "model.safetensors")
    (path / "config.json").write_text(json.dumps(config))
    return path
