"""Quantised checkpoints as models: their logits, and what does not fit the configuration."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from models.refs import QuantScheme
from serve.engine.settings import EngineSettings
from serve.engine.transformers.kernels import native
from serve.engine.transformers.loader import loading, served_dtypes
from serve.engine.transformers.loader.stored_scheme import RUNS
from tests.quantized_models import write_quantized
from tests.serve.engine.checkpoints import (
    WEIGHTS,
    dequantised,
    distance,
    edit,
    load,
    logits,
    put,
    quantization,
    refuse,
)
from tests.tiny_models import write_tiny_model

EXACT, ROUNDED = 1e-5, 0.07
"""Relative distances of logits from the dequantised forward, and where activations are rounded."""


@pytest.mark.parametrize("scheme", RUNS)
@pytest.mark.parametrize("architecture", ["qwen2", "gemma3_text", "phi3"])
def test_logits_are_those_of_the_dequantised_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scheme: QuantScheme, architecture: str
) -> None:
    source = write_tiny_model(tmp_path / "full", architecture)
    folder = write_quantized(source, tmp_path / "small", scheme)
    reference = dequantised(folder, tmp_path / "again")
    expected = {length: logits(reference, length) for length in (1, 8, 300)}
    bound = EXACT if scheme is QuantScheme.NF4 else ROUNDED
    for has_loops in (True, False):
        monkeypatch.setattr(native, "is_available", lambda has_loops=has_loops: has_loops)
        model = load(folder, dtype="float32")
        for length, known in expected.items():
            assert distance(logits(model, length), known) < (bound if has_loops else EXACT)


@pytest.mark.parametrize("scheme", ["int8", "int8-weight-only", "bnb-int8"])
def test_logits_are_near_those_in_bfloat16(folders: dict[str, Path], scheme: str) -> None:
    """Bounds for noise of this size as weights; a trained model's are in docs/quality.md."""
    full, small = load(folders["none"]), load(folders[scheme])
    assert distance(logits(small, 64), logits(full, 64)) < 0.1


def test_a_head_that_is_tied_to_a_quantised_embedding(int8: Path) -> None:
    parts = ("weight_packed", "weight_scale", "weight_shape")
    put(int8, {f"lm_head.{part}": None for part in parts})
    refuse(int8, "1 weights are missing, lm_head.weight")
    edit(int8, tie_word_embeddings=True)
    refuse(int8, "its embedding is stored quantised and its output head is not stored")


def test_a_plain_weight_of_another_shape_is_named(int8: Path) -> None:
    put(int8, {"model.norm.weight": torch.ones(3).bfloat16()})
    refuse(int8, r"model\.norm\.weight is \[3\], not \[128\] as config\.json says")


def test_bytes_are_reported_up_to_the_last(folders: dict[str, Path]) -> None:
    steps: list[tuple[str, int, int]] = []
    checkpoint = loading.read_checkpoint(folders["int8"])
    loading.load_model(
        checkpoint,
        loading.read_config(checkpoint),
        settings=EngineSettings(),
        device=torch.device("cpu"),
        progress=lambda *step: steps.append(step),
    )
    assert {phase for phase, _, _ in steps} == {"load_weights"}
    assert [done for _, done, _ in steps] == sorted(done for _, done, _ in steps)
    assert steps[-1][1] == steps[-1][2] == checkpoint.files.total_bytes
    assert len(steps) > 8  # as it goes, not at the end alone


def test_parts_are_read_under_the_names_that_the_checkpoint_has(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    """A base model is saved without its prefix, and quantised by the names that it has."""
    kept = write_quantized(folders["none"], tmp_path / "kept", QuantScheme.INT8, ignore=r"\.0\.")
    bare = Path(shutil.copytree(kept, tmp_path / "bare"))
    (bare / "manifest.json").unlink()
    stored = load_file(bare / WEIGHTS)
    save_file({name.removeprefix("model."): part for name, part in stored.items()}, bare / WEIGHTS)
    table = quantization(bare)
    table["ignore"] = [name.removeprefix("model.") for name in table["ignore"]]
    edit(bare, quantization_config=table)
    checkpoint = loading.read_checkpoint(bare)
    model, declared = loading.load_model(
        checkpoint,
        loading.read_config(checkpoint),
        settings=EngineSettings(),
        device=torch.device("cpu"),
        progress=lambda *_: None,
    )
    served_dtypes.check(model, declared)
    assert torch.equal(logits(model, 9), logits(load(kept), 9))


def test_what_lies_beside_a_quantised_model_is_told_and_a_layers_part_refused(
    int8: Path, caplog: pytest.LogCaptureFixture
) -> None:
    put(int8, {"tower.fc.weight": torch.ones(4, 4)})
    with caplog.at_level(logging.WARNING):
        load(int8)
    assert "no place" in caplog.text
    put(int8, {"model.layers.2.mlp.up_proj.weight_packed": torch.ones(4, 4)})
    refuse(int8, r"1 weights have no place .*layers\.2\.")


def test_left_overs_that_transformers_knows_are_passed_over(
    int8: Path, caplog: pytest.LogCaptureFixture
) -> None:
    put(int8, {"model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(16)})
    with caplog.at_level(logging.WARNING):
        load(int8)
    assert "no place" not in caplog.text


def test_a_size_that_is_not_the_packed_one_is_said_in_plain_types(int8: Path) -> None:
    edit(int8, intermediate_size=512)
    said = refuse(int8, r"is int32 of \[.*\], not int32 of \[.* as config\.json says\. Correct")
    assert "torch" not in said
