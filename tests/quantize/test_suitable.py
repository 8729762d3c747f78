"""What can be quantised: the command refuses what an engine would, in the same words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from models.errors import ModelRefusedError
from quantize import suitable
from quantize.__main__ import main
from quantize.errors import UnsuitableModelError
from serve.engine.registry import build
from serve.engine.settings import EngineSettings
from serve.errors import StartupError
from tests.quantize.models import rewrite


def edit(folder: Path, **changes: Any) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"intermediate_size": 512},
        {"num_hidden_layers": 1, "layer_types": ["full_attention"]},
        {"tie_word_embeddings": False},
        {"rope_parameters": {"rope_type": "linear", "factor": 0}},
        {"model_type": None},
    ],
    ids=str,
)
def test_a_folder_that_is_not_served_is_not_quantised(
    full: Path, capsys: pytest.CaptureFixture[str], changes: dict[str, Any]
) -> None:
    edit(full, **changes)
    with pytest.raises(StartupError) as refusal:
        build("transformers", full, EngineSettings(), lambda *_: None)
    out = str(full.parent / "made")
    assert main([str(full), "--scheme", "int8", "--out", out, "--dry-run"]) == 2
    assert capsys.readouterr().err == f"error: {refusal.value}\n"


def test_the_tensors_come_with_the_configuration_that_they_settle(full: Path) -> None:
    rewrite(full, lambda stored: stored.update({"lm_head.weight": torch.ones(1024, 128)}))
    tensors, config = suitable.model_of(full)
    assert "lm_head.weight" in {tensor.name for tensor in tensors}
    assert config["tie_word_embeddings"] is False


def test_what_is_quantised_already_is_said_before_all_else(full: Path) -> None:
    edit(full, quantization_config={"quant_method": "gptq"}, hidden_size=1)
    with pytest.raises(UnsuitableModelError, match="quantised already"):
        suitable.model_of(full)


def test_whole_numbers_without_a_scale_are_refused(full: Path) -> None:
    name = "model.layers.0.mlp.up_proj.weight"
    rewrite(full, lambda stored: stored.update({name: stored[name].to(torch.int8)}))
    with pytest.raises(ModelRefusedError, match=f"{name} is stored quantised, as I8"):
        suitable.model_of(full)
