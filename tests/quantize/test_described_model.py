"""Stored tensors without a place in the model: left-overs are told, a lost bias is refused."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import pytest
import torch

from tests.serve.engine.checkpoints import load, put, refuse

BIAS = "model.layers.1.self_attn.o_proj.bias"


def test_a_bias_that_config_json_leaves_out_is_refused(folder: Path) -> None:
    put(folder, {BIAS: torch.ones(128)})
    refuse(folder, f"{BIAS} is stored, and config.json describes that layer without it")


def test_a_bias_of_zeros_changes_nothing_and_is_told(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    put(folder, {BIAS: torch.zeros(128)})
    with caplog.at_level(logging.WARNING):
        load(folder)
    (record,) = [record for record in caplog.records if "no place" in record.message]
    assert (record.count, record.first) == (1, BIAS)  # type: ignore[attr-defined]


def test_layers_beyond_those_of_config_json_are_told(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    put(folder, {"model.layers.2.mlp.up_proj.weight": torch.ones(4, 4)})
    with caplog.at_level(logging.WARNING):
        load(folder)
    assert "no place" in caplog.text


def test_known_left_overs_are_passed_over_quantised_or_not(
    folder: Path, folders: dict[str, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    buffer = {"model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(16)}
    quantised = Path(shutil.copytree(folders["int8"], tmp_path / "int8"))
    for model in (folder, quantised):
        put(model, dict(buffer))
        with caplog.at_level(logging.WARNING):
            load(model)
    assert "no place" not in caplog.text
