"""Kinds of models that are refused, weights that are not whole, lengths, types and devices."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, GPT2Config, Phi3Config, Qwen2Config

from models.refs import QuantScheme
from models.rules import safetensors_header
from serve.engine.settings import EngineSettings
from serve.engine.transformers import loaded_model
from serve.engine.transformers.loader import loading
from serve.errors import StartupError
from tests.quantized_models import write_quantized
from tests.serve.engine.checkpoints import distance, edit, load, logits, put, refuse


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"auto_map": {"AutoModelForCausalLM": "evil.Model"}}, "auto_map"),
        (
            {"quantization_config": {"quant_method": "gptq"}},
            "its weights are gptq, which vLLM alone reads",
        ),
        ({"model_type": "t5", "architectures": ["T5"]}, "encoder-decoder"),
        ({"model_type": "mamba"}, "cannot read its config.json .mamba.: .*layer_types"),
        ({"model_type": "bloom"}, "cannot be replaced"),
        ({"model_type": "nonesuch"}, "knows no model of the kind 'nonesuch'"),
        ({"model_type": "vit"}, "no causal language model"),
        ({"layer_types": ["linear_attention", "full_attention"]}, "linear_attention"),
        (
            {"rope_parameters": {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4}},
            "dynamic RoPE",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_kinds_it_does_not_run(folder: Path, changes: dict[str, Any], match: str) -> None:
    edit(folder, **changes)
    refuse(folder, match)


def test_no_model_folder(tmp_path: Path) -> None:
    refuse(tmp_path / "nothing", "config.json")


def test_missing_weights_are_not_made_up(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    refuse(folder, "1 weights are missing.*up_proj")


def test_weights_of_another_shape(folder: Path) -> None:
    edit(folder, intermediate_size=128)
    refuse(folder, r"mlp.down_proj.weight is stored as \[128, 256\], .* describes \[128, 128\]")


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"rms_norm_eps": "1e-6"}, "rms_norm_eps is '1e-6' in .*, which is no number"),
        ({"layer_types": ["full_attention"]}, r"\(2\) must be equal .* `layer_types` \(1\)"),
        ({"num_key_value_heads": 0}, "num_key_value_heads is 0 in .*, which is no whole number"),
        ({"hidden_act": "wow"}, "hidden_act is 'wow' in .*, which transformers does not know"),
        ({"rope_scaling": {"rope_type": "wavy", "factor": 2.0}}, "rope_type is 'wavy' in .* knows"),
        ({"rope_scaling": {"rope_type": "yarn", "factor": "4"}}, "the factor '4', which is no"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_key_that_no_model_can_be_built_with_is_named(
    folder: Path, changes: dict[str, Any], match: str
) -> None:
    edit(folder, **changes)
    refuse(folder, match)


def test_a_window_of_no_tokens_is_refused(folder: Path) -> None:
    kinds = ["sliding_attention"] * 2
    edit(folder, use_sliding_window=True, sliding_window=0, max_window_layers=0, layer_types=kinds)
    refuse(folder, "sliding_window is 0 in its config.json")


def test_a_size_of_heads_that_is_null_is_as_if_not_given(folder: Path) -> None:
    edit(folder, head_dim=None)
    assert load(folder).config.num_attention_heads == 4


def test_the_models_own_length_is_that_before_longrope_changes_its_frequencies() -> None:
    assert loading.model_max_len(Qwen2Config(max_position_embeddings=2048)) == 2048
    factors = [1.0] * 48
    rope = {"rope_type": "longrope", "short_factor": factors, "long_factor": factors}
    config = Phi3Config(
        max_position_embeddings=131072,
        original_max_position_embeddings=4096,
        rope_parameters=rope | {"rope_theta": 1e4, "original_max_position_embeddings": 4096},
    )
    assert loading.model_max_len(config) == 4096


@pytest.mark.parametrize(
    ("dtype", "stored", "expected"),
    [
        ("auto", "bfloat16", torch.bfloat16),
        ("auto", None, torch.float32),
        ("auto", "float64", torch.float32),
        ("float16", "bfloat16", torch.float16),
    ],
)
def test_the_type_is_the_one_asked_for_else_the_checkpoints(
    dtype: str, stored: str | None, expected: torch.dtype
) -> None:
    assert loading.pick_dtype(dtype, Qwen2Config(dtype=stored)) is expected


def test_a_gpu_that_is_not_there_cannot_be_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert loading.pick_device("auto").type == "cpu"
    with pytest.raises(StartupError, match=r"--device cuda: no GPU .*--device cpu or auto"):
        loading.pick_device("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert loading.pick_device("auto").type == "cuda"
    assert loading.pick_device("cpu").type == "cpu"


@pytest.mark.parametrize("stated", [None, "float32"])
def test_what_is_stored_says_the_type_of_the_numbers(
    folders: Any, tmp_path: Path, stated: Any
) -> None:
    folder = Path(shutil.copytree(folders["none"], tmp_path / "copy"))
    edit(folder, dtype=stated)
    assert load(folder).dtype is torch.bfloat16
    assert load(folder, dtype="float32").dtype is torch.float32


def test_a_head_of_its_own_answers_though_config_json_ties_it(folder: Path) -> None:
    own = torch.randn(1024, 128)
    put(folder, {"lm_head.weight": own})
    assert torch.equal(load(folder).get_output_embeddings().weight, own)


@pytest.mark.parametrize("scheme", [QuantScheme.INT8, QuantScheme.INT8_W8A8])
def test_a_head_of_its_own_stays_one_when_it_is_quantised(
    folder: Path, tmp_path: Path, scheme: QuantScheme
) -> None:
    own = torch.randn(1024, 128)
    put(folder, {"lm_head.weight": own})
    quantised = write_quantized(folder, tmp_path / "quantised", scheme)
    head = load(quantised).get_output_embeddings()
    assert distance(head(torch.eye(128)).double(), own.T.double()) < 0.02


def test_yarn_lengthens_the_context(folder: Path) -> None:
    edit(
        folder,
        max_position_embeddings=256,
        rope_parameters={"rope_type": "yarn", "factor": 4.0, "rope_theta": 1e4},
    )
    assert loading.model_max_len(loading.read_config(loading.read_checkpoint(folder))) == 1024


def test_headers_are_read_once_in_a_start(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    tensors = safetensors_header.tensors

    def counted(path: Path, *budget: Any) -> Any:
        read.append(path.name)
        return tensors(path, *budget)

    monkeypatch.setattr(safetensors_header, "tensors", counted)
    loaded_model.load(folder, EngineSettings(), lambda *_: None)
    assert read == ["model.safetensors"]


def test_a_checkpoint_that_does_not_fit_is_refused_before_a_weight_is_read(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading.AutoModelForCausalLM, "from_pretrained", None)
    edit(folder, num_hidden_layers=1, layer_types=["full_attention"])
    refuse(folder, r"layers\.1\..*weight is stored, .* has no such weight there")


def test_what_lies_beside_the_model_is_told(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    put(folder, {"tower.fc.weight": torch.ones(4, 4)})
    with caplog.at_level(logging.WARNING):
        load(folder)
    (record,) = [record for record in caplog.records if "no place" in record.message]
    assert (record.count, record.first) == (1, "tower.fc.weight")  # type: ignore[attr-defined]


@pytest.mark.parametrize("odd", [{"return_dict": False}, {"pad_token_id": 5000}], ids=str)
def test_what_is_for_other_programs_changes_no_answer(
    folder: Path, tiny_qwen2: Path, odd: dict[str, Any]
) -> None:
    edit(folder, **odd)
    assert torch.equal(logits(load(folder), 9), logits(load(tiny_qwen2), 9))


def test_weights_beside_the_models_own_are_no_part_of_it(folder: Path) -> None:
    save_file({"x.weight": torch.ones(9, 9).half()}, folder / "consolidated.safetensors")
    assert load(folder).dtype is torch.float32


def test_a_length_by_the_familys_own_name(tmp_path: Path) -> None:
    sizes = {"vocab_size": 64, "n_embd": 32, "n_layer": 1, "n_head": 1, "n_positions": 128}
    AutoModelForCausalLM.from_config(GPT2Config(**sizes)).save_pretrained(tmp_path)
    assert loading.model_max_len(loading.read_config(loading.read_checkpoint(tmp_path))) == 128
