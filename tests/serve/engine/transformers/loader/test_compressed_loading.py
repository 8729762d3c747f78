"""Forms that layers, head and embedding are stored in, and parts of them that are broken."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from models.refs import QuantScheme
from quantize.plan.tables import Width
from serve.engine.transformers.kernels import native
from serve.engine.transformers.layers.fused_linear import Part
from serve.engine.transformers.layers.packed_linear import PackedEmbedding, PackedLinear
from serve.engine.transformers.loader import loading, served_dtypes
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


FULL = {"head": Width.FULL, "embeddings": Width.FULL}


BY_ROW = (QuantScheme.INT8_WEIGHT_ONLY, QuantScheme.INT8_W8A8, QuantScheme.BNB_INT8)
"""Schemes for any number of columns."""


UP = "model.layers.0.mlp.up_proj"


def check(folder: Path, target: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Both ways of computing against the dequantised weights; the model as the loops have it."""
    reference = dequantised(folder, target)
    model = load(folder, dtype="float32")
    served_dtypes.check(model, loading.read_declared_scheme(loading.read_checkpoint(folder)))
    for length in (1, 70):
        assert distance(logits(model, length), logits(reference, length)) < ROUNDED
    with monkeypatch.context() as patched:
        patched.setattr(native, "is_available", lambda: False)
        plain = load(folder, dtype="float32")
        assert distance(logits(plain, 70), logits(reference, 70)) < EXACT
    return model


FORMS = {
    "int4 as it once was": (
        QuantScheme.INT4,
        FULL | {"group_size": 128, "is_symmetric": True, "sensitive": None},
        "W4A8",
    ),
    "int4 in groups of 64": (
        QuantScheme.INT4,
        FULL | {"group_size": 64, "sensitive": None},
        "W4A8",
    ),
    "more at 8 bits": (QuantScheme.INT4, {"sensitive": r"(down|v)_proj$"}, "W8A8 W4A8"),
    "siblings in one layer": (QuantScheme.INT4, {"sensitive": r"\.0\..*gate_"}, "W4A8 W8A8"),
    "int8 in groups of 128": (QuantScheme.INT8, FULL | {"group_size": 128}, "W8A8"),
    "a full embedding": (QuantScheme.INT8, {"embeddings": Width.FULL, "head": Width.EIGHT}, "W8A8"),
    "a head by rows": (QuantScheme.INT8_WEIGHT_ONLY, {"head": Width.EIGHT}, "W8A8"),
    "a head in bytes": (QuantScheme.INT8_W8A8, {"head": Width.EIGHT}, "W8A8"),
}


@pytest.mark.parametrize("name", FORMS)
def test_forms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    scheme, options, words = FORMS[name]
    source = write_tiny_model(tmp_path / "full")
    folder = write_quantized(source, tmp_path / "small", scheme, **options)
    model = check(folder, tmp_path / "again", monkeypatch)
    names = [f"int{word[1]} ({word})" for word in words.split()]
    assert served_dtypes.describe(model, torch.float32) == ", ".join([*names, "float32"])


@pytest.mark.parametrize("scheme", BY_ROW)
def test_columns_that_fill_no_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scheme: QuantScheme
) -> None:
    source = write_tiny_model(tmp_path / "full", intermediate_size=264, num_hidden_layers=1)
    folder = write_quantized(source, tmp_path / "small", scheme)
    model = check(folder, tmp_path / "again", monkeypatch)
    assert model.model.layers[0].mlp.down_proj.panels.num_in == 288


def test_what_groups_do_not_divide_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write_tiny_model(tmp_path / "full", intermediate_size=264, num_hidden_layers=1)
    folder = write_quantized(source, tmp_path / "small", QuantScheme.INT8)
    model = check(folder, tmp_path / "again", monkeypatch)
    assert type(model.model.layers[0].mlp.down_proj) is torch.nn.Linear


def test_siblings_that_are_stored_otherwise_stay_apart(
    int4: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "model.layers.0.self_attn.v_proj"
    words = torch.randint(-(2**31), 2**31 - 1, (64 + 8, 128), dtype=torch.int32)
    parts = {"weight_packed": words[:64, :16], "weight_zero_point": words[64:, :4]}
    parts["weight_scale"] = torch.rand(64, 4).bfloat16() * 0.03
    put(int4, {f"{name}.{part}": tensor.contiguous() for part, tensor in parts.items()})
    table = quantization(int4)
    for group in table["config_groups"].values():
        old, new = r"re:.*\.self_attn\.v_proj$", r"re:.*\.1\.self_attn\.v_proj$"
        group["targets"] = [new if target == old else target for target in group["targets"]]
    edit(int4, quantization_config=table)
    model = check(int4, tmp_path / "again", monkeypatch)
    first, second = (layer.self_attn for layer in model.model.layers)
    kept = [first.q_proj, first.k_proj, first.v_proj]
    assert [layer.stored_as for layer in kept] == ["int8", "int8", "int4"]
    assert isinstance(second.q_proj, Part)


# Head and embedding


def test_a_tied_models_table_is_held_once(folders: dict[str, Path]) -> None:
    stored = load_file(folders["int8"] / WEIGHTS)
    assert {"lm_head.weight_packed", "model.embed_tokens.weight_packed"} <= set(stored)
    model = load(folders["int8"])
    head, table = model.lm_head, model.model.embed_tokens
    assert isinstance(head, PackedLinear)
    assert isinstance(table, PackedEmbedding)
    assert head.panels is table.panels
    held = served_dtypes.held(model)
    assert held["PackedEmbedding"] == {"int8": 1024 * 128, "scales": 1024 * 2}
    layers = [layer for layer in model.modules() if isinstance(layer, PackedLinear)]
    weights = sum(layer.in_features * layer.out_features for layer in layers if layer is not head)
    assert held["PackedLinear"]["int8"] == weights


def test_an_untied_models_tables_are_two(
    int8: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(int8, {"lm_head.weight_scale": load_file(int8 / WEIGHTS)["lm_head.weight_scale"] * 2})
    model = check(int8, tmp_path / "again", monkeypatch)
    assert model.lm_head.panels is not model.model.embed_tokens.panels
    both = served_dtypes.num_parameters(model)
    assert both == served_dtypes.num_parameters(load(tmp_path / "again"))


def test_a_scaled_embedding(tmp_path: Path) -> None:
    """Gemma multiplies what it looks up by the root of its width, rounded to its type."""
    source = write_tiny_model(tmp_path / "full", "gemma3_text", dtype="bfloat16")
    folder = write_quantized(source, tmp_path / "small", QuantScheme.INT4)
    model = load(folder)
    own = dequantised(folder, tmp_path / "again").bfloat16().model.embed_tokens
    ids = torch.arange(64).view(2, 32)
    assert isinstance(model.model.embed_tokens, PackedEmbedding)
    assert torch.equal(model.model.embed_tokens(ids), own(ids))


# Parts that are broken, or not what config.json says


def words(*shape: int) -> torch.Tensor:
    return torch.zeros(*shape, dtype=torch.int32)


@pytest.mark.parametrize(
    ("part", "other", "match"),
    [
        ("weight_packed", None, f"missing, {UP}.weight_packed"),
        ("weight_packed", words(9, 16), r"up_proj.weight_packed is int32 of \[9, 16\], not"),
        ("weight_packed", words(256, 32), r"of \[256, 32\], not int32 of \[256, 16\]"),
        ("weight_packed", words(256, 16).long(), r"is int64 of .* not int32 of"),
        ("weight_scale", torch.ones(256), r"weight_scale is .* of \[256\], not .* of \[256, 4\]"),
        ("weight_scale", torch.ones(256, 2), r"of \[256, 2\], not .* of \[256, 4\] as config.json"),
        ("weight_scale", words(256, 4), "weight_scale is int32 of"),
        ("weight_zero_point", None, f"missing, {UP}.weight_zero_point"),
        ("weight_zero_point", words(256, 4), r"of \[256, 4\], not int32 of \[32, 4\]"),
        ("weight_zero_point", words(32, 4).char(), "weight_zero_point is int8 of"),
        ("g_idx", torch.zeros(3), f"1 weights have no place .* {UP}.g_idx"),
        ("weight_scale", None, f"missing, {UP}.weight,"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_parts_that_are_broken_are_named(
    int4: Path, part: str, other: torch.Tensor | None, match: str
) -> None:
    put(int4, {f"{UP}.{part}": other})
    refuse(int4, match)


def test_weights_in_bytes_that_are_broken_are_named(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(folders["int8-w8a8"], tmp_path / "copy"))
    whole = load_file(folder / WEIGHTS)

    def refused(match: str, **changes: torch.Tensor | None) -> None:
        put(folder, whole | {f"{UP}.{part}": tensor for part, tensor in changes.items()})
        refuse(folder, match)

    refused("missing, .*up_proj.weight", weight=None)
    refused("up_proj.weight is int8 of .*, not int8", weight=torch.zeros(9, 128).char())
    refused("up_proj.weight is float32", weight=torch.zeros(256, 128))
    refused("layers differ, first .*up_proj is bfloat16", weight_scale=None)


def test_a_layer_of_other_bits_than_promised(int4: Path) -> None:
    table = quantization(int4)
    del table["config_groups"]["group_1"]  # q, k and v of 8 bits
    edit(int4, quantization_config=table)
    refuse(int4, r"q_proj.weight_packed is int32 of .128, 32., not int32 of .128, 16.")


def test_layers_that_no_group_names(int8: Path) -> None:
    for targets, first in ((["re:.*mlp.*"], "self_attn.q_proj"), ([r"re:.*\d.*"], "lm_head")):
        table = quantization(int8)
        groups = table["config_groups"]
        groups["group_0"]["targets"] = targets
        groups["group_1"]["targets"] = ["re:.*embed_tokens$"]
        edit(int8, quantization_config=table)
        refuse(int8, f"{first} is stored quantised, and config.json does not say how")
