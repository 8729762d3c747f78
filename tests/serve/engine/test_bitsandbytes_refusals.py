"""Checkpoints of bitsandbytes that the transformers engine refuses, and what they leave alone."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from serve.engine.transformers.loader.stored_scheme import promise_of
from tests.serve.engine.checkpoints import edit, put, quantization, refuse


@pytest.mark.parametrize(
    ("scheme", "changes", "match"),
    [
        ("nf4", {"bnb_4bit_use_double_quant": True}, "scales are quantised too"),
        ("bnb-int8", {"llm_int8_threshold": 6.0}, "outliers would be computed in 16 bits"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_bitsandbytes_would_compute_otherwise(
    folders: dict[str, Path], tmp_path: Path, scheme: str, changes: dict[str, Any], match: str
) -> None:
    folder = Path(shutil.copytree(folders[scheme], tmp_path / "copy"))
    edit(folder, quantization_config=quantization(folder) | changes)
    refuse(folder, f"{match}.*python -m quantize --scheme {scheme}")


@pytest.mark.parametrize(
    ("scheme", "part", "other", "match"),
    [
        ("nf4", "weight", torch.zeros(5, 1).byte(), "weight is torch.uint8 of 5 numbers"),
        ("nf4", "weight.absmax", torch.zeros(512).half(), "absmax is torch.float16"),
        ("nf4", "weight.quant_map", torch.zeros(16), "other levels than nf4"),
        ("nf4", "weight.quant_state.bitsandbytes__nf4", torch.zeros(3).byte(), "quant_type None"),
        ("bnb-int8", "weight", torch.zeros(9, 128).char(), "weight is torch.int8 of .9, 128."),
        ("bnb-int8", "SCB", torch.zeros(9), "SCB is torch.float32 of 9 numbers, not"),
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


def test_modules_that_bitsandbytes_skips_are_ignored_wherever_they_are(
    folders: dict[str, Path],
) -> None:
    config = json.loads((folders["nf4"] / "config.json").read_text())
    table = config["quantization_config"]
    for skipped, ignored in ((["mlp"], {"model.layers.0.mlp.up_proj"}), (None, {"lm_head"})):
        promise = promise_of(
            folders["nf4"],
            config | {"quantization_config": table | {"llm_int8_skip_modules": skipped}},
        )
        assert promise is not None
        names = {"lm_head", "model.layers.0.mlp.up_proj", "model.layers.0.mlp2.up_proj"}
        assert {name for name in names if not promise.covers(name)} == ignored
