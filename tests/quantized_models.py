"""Quantised model folders for tests: made by quantize/, and the same model in full numbers.

folder = write_quantized(source, tmp_path / "int8", QuantScheme.INT8)
dequantised = write_dequantised(folder, tmp_path / "full")
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from models import store
from models.progress import Progress, Silent
from models.refs import QuantScheme
from quantize.formats.packing import unpack
from quantize.plan.scheme_plan import QuantOptions
from quantize.write.run import Quantisation


def write_quantized(source: Path, target: Path, scheme: QuantScheme, **options: object) -> Path:
    """Quantise a folder; returns ``target``."""
    Quantisation(
        source=store.load_folder(source, name="source"),
        options=QuantOptions(scheme=scheme, **options),
        target=target,
        data_dir=target.parent,
        progress=Progress(Silent()),
    ).run()
    return target


MARKS = (".weight_scale", ".weight.absmax", ".SCB")
"""What a quantised layer alone has."""


def write_dequantised(folder: Path, target: Path) -> Path:
    """The same numbers in float32 without a ``quantization_config``; returns ``target``."""
    shutil.copytree(folder, target, ignore=shutil.ignore_patterns("manifest.json"))
    config = json.loads((target / "config.json").read_text())
    config.pop("quantization_config")
    (target / "config.json").write_text(json.dumps(config | {"dtype": "float32"}))
    stored = load_file(target / "model.safetensors")
    layers = {name.removesuffix(mark) for name in stored for mark in MARKS if name.endswith(mark)}
    full = {
        name: tensor.float()
        for name, tensor in stored.items()
        if name.endswith(".bias") or not name.startswith(tuple(f"{layer}." for layer in layers))
    }
    for layer in layers:
        parts = {
            name.removeprefix(f"{layer}."): tensor
            for name, tensor in stored.items()
            if name.startswith(f"{layer}.")
        }
        full[f"{layer}.weight"] = _dequantised(parts)
    save_file(full, target / "model.safetensors", metadata={"format": "pt"})
    return target


def _dequantised(parts: dict[str, torch.Tensor]) -> torch.Tensor:
    """A layer's weight, without the code that is tested with it."""
    if "weight.absmax" in parts:
        packed = parts["weight"].flatten()
        levels = torch.stack((packed >> 4, packed & 15), -1).flatten().int()
        numbers = parts["weight.quant_map"][levels].view(-1, 64) * parts["weight.absmax"][:, None]
        state = bytes(parts["weight.quant_state.bitsandbytes__nf4"].tolist())
        return numbers.view(json.loads(state)["shape"])
    if "SCB" in parts:
        return parts["weight"].float() * (parts["SCB"][:, None] / 127)
    scale = parts["weight_scale"].float()
    if "weight" in parts:
        integers = parts["weight"].float()
    else:
        packed = parts["weight_packed"]
        num_bits = 32 * packed.shape[1] // int(parts["weight_shape"][1])
        integers = unpack(packed, num_bits).float()
    columns = integers.shape[1] // scale.shape[1]
    if "weight_zero_point" in parts:
        words = parts["weight_zero_point"]
        zeros = torch.stack([(words >> (4 * row)) & 15 for row in range(8)], 1).flatten(0, 1)
        integers = integers + 8 - zeros.float().repeat_interleave(columns, 1)
    return integers * scale.repeat_interleave(columns, 1)
