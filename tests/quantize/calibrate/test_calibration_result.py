"""What the store accepts of what a calibrating tool wrote.

The real one is llmcompressor 0.14, which cannot be installed beside the engines; here a folder is
written as it writes one: its tensors by our own quantiser, its table word for word as it came out
of a run. tests/quantize/calibrate/test_recipe.py runs the real one where its environment is.
"""

from __future__ import annotations

import json
import re
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from models import store
from models.refs import Artifact, QuantScheme
from models.staging import staged
from models.trust.manifest import QUANTISED_FROM, Manifest
from models.trust.verify import verify
from quantize import ensure
from quantize.calibrate import __main__ as command
from quantize.calibrate import calibration_result
from quantize.plan.choices import Choice
from quantize.plan.scheme_plan import SchemePlan
from quantize.plan.tables import Width
from serve.engine.registry import build
from serve.engine.settings import EngineSettings
from tests.contracts.engine import request, tokens
from tests.quantized_models import write_quantized
from tests.tiny_models import write_tiny_model

WEIGHTS = {
    "actorder": "static",
    "block_structure": None,
    "dynamic": False,
    "group_size": 128,
    "num_bits": 4,
    "observer": "minmax",
    "observer_kwargs": {},
    "scale_dtype": None,
    "strategy": "group",
    "symmetric": True,
    "type": "int",
    "zp_dtype": None,
}
TABLE = {
    "config_groups": {
        "group_0": {
            "format": "pack-quantized",
            "input_activations": None,
            "output_activations": None,
            "targets": ["Linear"],
            "weights": WEIGHTS,
        }
    },
    "format": "pack-quantized",
    "global_compression_ratio": None,
    "ignore": ["lm_head"],
    "kv_cache_scheme": None,
    "quant_method": "compressed-tensors",
    "quantization_status": "compressed",
    "sparsity_config": {},
    "transform_config": {},
    "version": "0.19.0",
}


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    folder = tmp_path_factory.mktemp("full") / "tiny"
    return store.load_folder(write_tiny_model(folder, dtype="bfloat16"), name="tiny")


@pytest.fixture
def plan(full: Artifact) -> SchemePlan:
    return command.plan_of(full, options())


@pytest.fixture
def written(full: Artifact, tmp_path: Path) -> Path:
    quant = {"group_size": 128, "is_symmetric": True, "sensitive": None}
    quant |= {"head": Width.FULL, "embeddings": Width.FULL}
    made = write_quantized(full.path, tmp_path / "own", QuantScheme.INT4, **quant)
    folder = tmp_path / "written"
    folder.mkdir()
    (made / "model.safetensors").rename(folder / "model.safetensors")
    config = json.loads((made / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"quantization_config": TABLE}))
    (folder / "recipe.yaml").write_text("default_stage: {}\n")
    return folder


def options(**changes: Any) -> Namespace:
    return Namespace(**{"scheme": "int4", "method": "gptq", "tp": 1, "ignore": None} | changes)


async def test_it_becomes_the_artifact_that_quant_finds(
    tmp_path: Path, full: Artifact, plan: SchemePlan, written: Path
) -> None:
    source = Manifest.build(full.path)
    data_dir = tmp_path / "data"
    with staged(data_dir / "models", "tiny--int4") as staging:
        made = calibration_result.take(
            written,
            staging,
            plan=plan,
            full=full.path,
            manifest=source,
            tools={QUANTISED_FROM: source.digest},
        )
        path = staging.commit()
    assert verify(path).is_ok
    assert Manifest.read(path).digest == made.digest
    found = ensure.find("tiny", Choice(scheme=QuantScheme.INT4), data_dir, full=full.path)
    assert found.artifact is not None
    assert {file.path for file in made.files} == {
        path.name for path in full.path.iterdir() if path.is_file()
    }  # nothing of the tool's but its weights
    engine = build("transformers", path, EngineSettings(), lambda *_: None)
    assert engine.info.dtype.startswith("int4 (W4A")
    assert len(await tokens(engine, request(max_tokens=3))) == 3
    await engine.close()


async def test_the_engine_serves_the_tool_s_own_folder(
    full: Artifact, plan: SchemePlan, written: Path
) -> None:
    """Placed by hand: the order in which GPTQ went through columns does not move them."""
    for path in full.path.iterdir():
        if not (written / path.name).exists():
            (written / path.name).write_bytes(path.read_bytes())
    engine = build("transformers", written, EngineSettings(), lambda *_: None)
    assert engine.info.dtype.startswith("int4 (W4A")
    await engine.close()


def change_weights(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


NAME = "model.layers.1.mlp.up_proj"


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda t: t.pop(f"{NAME}.weight_scale"), f"{NAME}.weight_scale is absent, not BF16"),
        (lambda t: t.update(extra=torch.zeros(3)), r"extra is F32 of \[3\], not absent"),
        (lambda t: t.update({f"{NAME}.weight_g_idx": torch.zeros(128).int()}), "weight_g_idx is"),
        (
            lambda t: t.update({f"{NAME}.weight_scale": t[f"{NAME}.weight_scale"].float()}),
            f"{NAME}.weight_scale is F32 .* not BF16",
        ),
    ],
    ids=["absent", "extra", "g_idx", "type"],
)
def test_other_tensors_than_planned_are_refused(
    plan: SchemePlan, written: Path, change: Any, match: str
) -> None:
    assert calibration_result.fault_of(written, plan) is None
    change_weights(written, change)
    assert re.search(match, calibration_result.fault_of(written, plan) or "")


@pytest.mark.parametrize(
    "changes",
    [{"symmetric": False}, {"actorder": "group"}, {"num_bits": 8}, {"group_size": 64}],
    ids=str,
)
def test_numbers_of_another_meaning_are_refused(
    plan: SchemePlan, written: Path, changes: dict[str, Any]
) -> None:
    config = json.loads((written / "config.json").read_text())
    config["quantization_config"]["config_groups"]["group_0"]["weights"] = WEIGHTS | changes
    (written / "config.json").write_text(json.dumps(config))
    assert "its weights are" in (calibration_result.fault_of(written, plan) or "")
