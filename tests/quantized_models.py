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
from quantize.packing import unpack
from quantize.plan import Wish
from quantize.run import Quantisation


def write_quantized(source: Path, target: Path, scheme: QuantScheme, **wish: object) -> Path:
    """Quantise a folder; returns ``target``."""
    Quantisation(
        source=store.load_folder(source, name="source"),
        wish=Wish(scheme=scheme, **wish),
        target=target,
        data_dir=target.parent,
        progress=Progress(Silent()),
    ).run()
    return target


def write_dequantised(folder: Path, target: Path) -> Path:
    """The same numbers in float32 without a ``quantization_config``; returns ``target``."""
    shutil.copytree(folder, target, ignore=shutil.ignore_patterns("manifest.json"))
    config = json.loads((target / "config.json").read_text())
    num_bits = config.pop("quantization_config")["config_groups"]["group_0"]["weights"]["num_bits"]
    (target / "config.json").write_text(json.dumps(config | {"dtype": "float32"}))
    stored = load_file(target / "model.safetensors")
    full = {}
    for name, tensor in stored.items():
        layer = name.removesuffix(".weight_packed").removesuffix(".weight")
        if name.endswith((".weight_scale", ".weight_shape")):
            continue
        if name.endswith(".weight_packed") or f"{layer}.weight_scale" in stored:
            scale = stored[f"{layer}.weight_scale"].float()
            integers = tensor if tensor.dtype is torch.int8 else unpack(tensor, num_bits)
            each = integers.shape[1] // scale.shape[1]
            full[f"{layer}.weight"] = integers.float() * scale.repeat_interleave(each, 1)
        else:
            full[name] = tensor.float()
    save_file(full, target / "model.safetensors", metadata={"format": "pt"})
    return target
