"""compressed-tensors' own reading of what is written: the same numbers as ours, layer by layer."""

from __future__ import annotations

import json

import pytest
import torch
from compressed_tensors.compressors import PackedQuantizationCompressor
from compressed_tensors.quantization import QuantizationConfig
from compressed_tensors.utils import match_targets
from safetensors.torch import load_file

from models.refs import QuantScheme
from models.store import DEMO_WEIGHTS
from quantize import registry
from quantize.formats.forms import TORCH
from quantize.protocol import SchemeOptions
from tests.quantize.write.test_run import run


@pytest.mark.parametrize("scheme", [QuantScheme.INT8, QuantScheme.INT4])
def test_every_layer_is_read_as_it_was_written(tmp_path, scheme):
    made = run(DEMO_WEIGHTS, tmp_path / "x", scheme)
    assert made.report is not None
    layers = made.report.plan.layers
    assert {layer.part for layer in layers} == {"layers", "head", "embedding"}
    stored = load_file(made.path / "model.safetensors")
    table = json.loads((made.path / "config.json").read_text())["quantization_config"]
    config = QuantizationConfig.model_validate(table)
    by_target = {
        target: group for group in config.config_groups.values() for target in group.targets
    }
    quantizer = registry.quantizer(scheme, SchemeOptions())
    for layer in layers:
        parts = {
            name.removeprefix(f"{layer.name}."): tensor
            for name, tensor in stored.items()
            if name.rpartition(".")[0] == layer.name and ".weight_" in name
        }
        targets = match_targets(layer.name, torch.nn.Linear(1, 1), by_target)
        group = by_target[targets[0]]
        assert group.weights.num_bits == layer.form.num_bits
        assert group.weights.group_size == layer.form.group_size
        theirs = PackedQuantizationCompressor.decompress(parts, group)["weight"]
        ours = quantizer.dequantise(parts, layer).to(TORCH[layer.dtype])
        assert theirs.dtype is ours.dtype
        assert torch.equal(theirs, ours), layer.name
