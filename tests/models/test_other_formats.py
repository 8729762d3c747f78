"""Formats of other tools: known by name, and said alike by every command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from models import folder, other_formats
from models.__main__ import main
from models.errors import ModelRefusedError
from models.memory import shapes
from models.memory.fit import Place, Request
from models.memory.this_machine import Room
from models.memory.verdicts import verdicts
from models.refs import OtherScheme
from models.store import load_folder
from models.trust.manifest import Manifest
from quantize.__main__ import main as quantise
from tests.models.folders import safetensors, whole

BNB = {"quant_method": "bitsandbytes"}


@pytest.mark.parametrize(
    ("quantization", "scheme"),
    [
        ({"quant_method": "awq", "bits": 4}, OtherScheme.AWQ),
        ({"quant_method": "gptq", "bits": 4}, OtherScheme.GPTQ),
        ({"quant_method": "fp8", "activation_scheme": "dynamic"}, OtherScheme.FP8_TENSOR),
        ({"quant_method": "fp8", "weight_block_size": [128, 128]}, OtherScheme.FP8_BLOCK),
        ({"quant_method": "fbgemm_fp8"}, OtherScheme.FBGEMM_FP8),
        ({"quant_method": "modelopt", "quant_algo": "FP8"}, OtherScheme.MODELOPT_FP8),
        ({"quant_method": "mxfp4"}, OtherScheme.MXFP4),
        (BNB | {"load_in_8bit": True}, OtherScheme.BITSANDBYTES),  # its threshold is 6 then
        (BNB | {"load_in_4bit": True, "bnb_4bit_quant_type": "fp4"}, OtherScheme.BITSANDBYTES),
        (
            BNB
            | {
                "load_in_4bit": True,
                "bnb_4bit_quant_type": "nf4",
                "bnb_4bit_use_double_quant": True,
            },
            OtherScheme.BITSANDBYTES,
        ),
    ],
)
def test_what_another_tool_quantised_has_a_name(
    tmp_path: Path, quantization: dict[str, Any], scheme: OtherScheme
) -> None:
    path = whole(tmp_path / "m", quantization_config=quantization)
    assert folder.scheme_of(path) is scheme
    assert load_folder(path, name="m").scheme is scheme
    manifest = Manifest.build(path)
    manifest.write(path)
    assert Manifest.read(path).scheme is scheme


def bare(path: Path, *names: str, **config: Any) -> Path:
    path.mkdir()
    (path / "config.json").write_text(json.dumps({"model_type": "llama"} | config))
    (path / "tokenizer.json").write_text("{}")
    for name in names:
        (path / name).parent.mkdir(exist_ok=True)
        (path / name).write_bytes(safetensors() if name.endswith(".safetensors") else b"GGUF")
    return path


UNREADABLE = [
    (["model-Q4_K_M.gguf"], {}, "holds GGUF, which llama.cpp reads"),
    (["model.onnx"], {}, "holds an ONNX export"),
    (["onnx/model.onnx"], {}, "holds an ONNX export"),
    (["pytorch_model.bin"], {}, "holds PyTorch's pickles"),
    (["consolidated.00.pth"], {}, "holds PyTorch's pickles"),
    (["model.safetensors"], {"quantization_config": {"quant_method": "exl2"}}, "as EXL2"),
    (["model.safetensors"], {"quantization": {"group_size": 64, "bits": 4}}, "for MLX"),
]


@pytest.mark.parametrize(("names", "config", "line"), UNREADABLE, ids=[x[2] for x in UNREADABLE])
def test_every_command_says_the_same(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    names: list[str],
    config: dict[str, Any],
    line: str,
) -> None:
    path = bare(tmp_path / "m", *names, **config)
    with pytest.raises(ModelRefusedError, match=line) as refusal:  # as `serve` asks
        load_folder(path, name="m")
    for command in ("show", "fit", "verify"):
        assert main([command, str(path), "--data-dir", str(tmp_path)]) == 2
        assert str(refusal.value) in capsys.readouterr().err
    assert quantise([str(path), "--scheme", "int4", "--data-dir", str(tmp_path)]) == 2
    assert str(refusal.value) in capsys.readouterr().err


def test_a_file_of_gguf_is_known(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "model-Q4_K_M.gguf"
    path.write_bytes(b"GGUF")
    for command in ("show", "fit", "verify"):
        assert main([command, str(path), "--data-dir", str(tmp_path)]) == 2
        assert f"the model {path} is a file of GGUF" in capsys.readouterr().err
    assert quantise([str(path), "--scheme", "int4", "--data-dir", str(tmp_path)]) == 2
    assert "is a file of GGUF" in capsys.readouterr().err


def test_a_second_copy_beside_safetensors_is_for_the_policy(tmp_path: Path) -> None:
    path = whole(tmp_path / "m")
    (path / "pytorch_model.bin").write_bytes(b"")
    other_formats.require_readable(path)
    with pytest.raises(ModelRefusedError, match=r"pytorch_model.bin \(pickle\)"):
        load_folder(path, name="m")


@pytest.mark.parametrize("text", ["{", "[" * 100_000, "[]", '{"quantization_config": []}'])
def test_a_broken_config_is_for_others_to_name(tmp_path: Path, text: str) -> None:
    path = whole(tmp_path / "m")
    (path / "config.json").write_text(text)
    other_formats.require_readable(path)


def test_fit_takes_the_stored_bytes(tmp_path: Path) -> None:

    config = shapes.published()["qwen2.5-0.5b"]
    room = Room(place=Place.GPU, num_bytes=24 * 10**9)
    request = Request(config=config, weights_bytes=459_000_000)
    found = verdicts(request, OtherScheme.AWQ, room)
    assert found is not None
    assert found[OtherScheme.AWQ].weights_bytes == 459_000_000
    assert verdicts(Request(config=config), OtherScheme.AWQ, room) is None
