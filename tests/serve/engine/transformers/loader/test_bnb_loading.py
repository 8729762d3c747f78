"""Layers of a bitsandbytes checkpoint: what is read of each, and parts that are broken."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from models.refs import QuantScheme
from serve.engine.transformers.layers.quantized_linear import QuantizedLinear
from serve.engine.transformers.loader import bnb_loading
from serve.engine.transformers.loader.stored_scheme import DeclaredScheme
from serve.engine.transformers.loader.stored_tensors import Tensors
from serve.errors import StartupError
from tests.serve.engine.checkpoints import WEIGHTS, put, refuse


@pytest.mark.parametrize(
    ("scheme", "part", "other", "match"),
    [
        ("nf4", "weight", torch.zeros(5, 1).byte(), "weight is uint8 of 5 numbers"),
        ("nf4", "weight.absmax", torch.zeros(512).half(), "absmax is float16"),
        ("nf4", "weight.quant_map", torch.zeros(16), "other levels than nf4"),
        ("nf4", "weight.quant_state.bitsandbytes__nf4", torch.zeros(3).byte(), "quant_type None"),
        ("bnb-int8", "weight", torch.zeros(9, 128).char(), "weight is int8 of .9, 128."),
        ("bnb-int8", "SCB", torch.zeros(9), "SCB is float32 of 9 numbers, not"),
        ("bnb-int8", "weight_format", torch.tensor(1).byte(), "not 0: row by row"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_parts_of_bitsandbytes_that_are_broken_are_named(
    folders: dict[str, Path], tmp_path: Path, *, scheme: str, part: str, other: Any, match: str
) -> None:
    folder = Path(shutil.copytree(folders[scheme], tmp_path / "copy"))
    put(folder, {f"model.layers.0.mlp.up_proj.{part}": other})
    refuse(folder, f"up_proj.*{match}")


class Holder(nn.Module):
    def __init__(self, num_in: int, num_out: int, *, bias: bool) -> None:
        super().__init__()
        self.proj = nn.Linear(num_in, num_out, bias=bias)


def installed(folder: Path, scheme: QuantScheme, num_in: int, **parts: torch.Tensor) -> Holder:
    """A module of one layer with these parts in it."""
    has_bias = "bias" in parts
    save_file({f"proj.{name}": part for name, part in parts.items()}, folder / WEIGHTS)
    model = Holder(num_in, 3, bias=has_bias)
    bnb_loading.install(
        model,
        ["proj"],
        Tensors(folder, [WEIGHTS]),
        DeclaredScheme(scheme=scheme),
        dtype=torch.float32,
        device=torch.device("cpu"),
    )
    return model


@pytest.mark.parametrize("has_bias", [True, False])
def test_an_int8_row_is_its_integers_times_its_scale_over_127(
    tmp_path: Path, has_bias: bool
) -> None:
    weight = torch.randint(-127, 128, (3, 64), dtype=torch.int8)
    scale = torch.tensor([0.5, 127.0, 3.0])
    bias = torch.tensor([1.0, -2.0, 0.25])
    parts = {"weight": weight, "SCB": scale, "weight_format": torch.tensor(0).byte()}
    if has_bias:
        parts["bias"] = bias.half()
    layer = installed(tmp_path, QuantScheme.BNB_INT8, 64, **parts).proj
    # Rows with one input each are rounded to 8 bits without loss.
    expected = (weight * scale[:, None] / 127).T + (bias if has_bias else 0)
    torch.testing.assert_close(layer(torch.eye(64)), expected, rtol=1e-5, atol=1e-5)
    assert isinstance(layer, QuantizedLinear)
    assert (layer.in_features, layer.out_features, layer.stored_as) == (64, 3, "int8")


def test_rows_that_are_no_whole_blocks_of_nf4_are_refused(tmp_path: Path) -> None:
    parts = {name: torch.zeros(1) for name in bnb_loading.PARTS[QuantScheme.NF4]}
    with pytest.raises(StartupError, match=r"proj\.weight has rows of 40, which are no whole"):
        installed(tmp_path, QuantScheme.NF4, 40, **parts)
