"""What loads, what is refused before a weight is read, and what the self-check refuses."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from models.memory import fit, host_memory, shapes, sizes
from serve.engine import model_files
from serve.engine.registry import build, choose
from serve.engine.settings import EngineSettings
from serve.engine.transformers import warm_up
from serve.engine.transformers.kv_cache import BLOCK_SIZE
from serve.engine.transformers.layers import attention, bfloat16_linear, fused_linear
from serve.engine.transformers.loader import loading, served_dtypes, weight_memory
from serve.engine.transformers.warm_up import choose_lengths
from serve.errors import StartupError
from tests.contracts.engine import request, tokens
from tests.tiny_models import write_tiny_model


@pytest.fixture
def folder(tiny_qwen2: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_qwen2, tmp_path / "copy"))


def refuse(folder: Path, match: str, **settings: Any) -> str:
    with pytest.raises(StartupError, match=match) as refusal:
        build("transformers", folder, EngineSettings(**settings), lambda *_: None)
    assert str(folder.parent) not in str(refusal.value)
    return str(refusal.value)


def edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"auto_map": {"AutoModelForCausalLM": "evil.Model"}}, "auto_map"),
        ({"quantization_config": {"quant_method": "gptq"}}, "quantised with gptq"),
        ({"model_type": "t5", "architectures": ["T5"]}, "encoder-decoder"),
        ({"model_type": "mamba"}, "cannot run"),
        ({"model_type": "bloom"}, "cannot be replaced"),
        ({"model_type": "nonesuch"}, "cannot read"),
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
    edit(folder / "config.json", **changes)
    refuse(folder, match)


def test_no_model_folder(tmp_path: Path) -> None:
    refuse(tmp_path / "nothing", "config.json")


def test_only_safetensors(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    refuse(folder, "safetensors only")


def test_a_truncated_file(folder: Path) -> None:
    whole = (folder / "model.safetensors").read_bytes()
    for size in (0, 5, 100, len(whole) - 1):
        (folder / "model.safetensors").write_bytes(whole[:size])
        refuse(folder, "cut short")


def test_missing_weights_are_not_made_up(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    refuse(folder, "1 weights are missing.*up_proj")


def test_weights_of_another_shape(folder: Path) -> None:
    edit(folder / "config.json", intermediate_size=128)
    refuse(folder, "weights")


def test_too_little_memory_is_said_with_numbers(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host_memory, "available_bytes", lambda: 100_000)
    assert "0.0 GB are free" in refuse(folder, "Not enough memory")


def test_sinks_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_tiny_model(tmp_path / "gpt", "qwen2", num_hidden_layers=1)
    probe = attention._probe_attention

    def with_sinks(*args: Any, **kwargs: Any) -> Any:
        return probe(*args, **kwargs, s_aux=torch.zeros(4))

    monkeypatch.setattr(attention, "_probe_attention", with_sinks)
    refuse(folder, "s_aux")


def test_the_self_check_finds_wrong_arithmetic(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = attention._attend
    monkeypatch.setattr(attention, "_attend", lambda *a, **k: right(*a, **(k | {"scaling": 0.5})))
    refuse(folder, "a way this engine does not support: logits differ")


async def test_half_precision_is_served(tmp_path: Path) -> None:
    folder = write_tiny_model(tmp_path / "half", dtype="bfloat16")
    engine = build("transformers", folder, EngineSettings(max_num_seqs=4), lambda *_: None)
    assert engine.info.dtype == "bfloat16"
    assert engine.info.weight_bytes >= 2 * engine.info.num_parameters
    assert len(await tokens(engine, request(max_tokens=5))) == 5
    await engine.close()


def test_progress_names_its_phases(tiny_qwen2: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    build("transformers", tiny_qwen2, EngineSettings(), lambda *step: seen.append(step))
    assert list(dict.fromkeys(phase for phase, _, _ in seen)) == [
        "import",
        "load_weights",
        "allocate_kv",
        "warm_up",
    ]
    for phase in {phase for phase, _, _ in seen}:
        done = [count for name, count, _ in seen if name == phase]
        assert done == sorted(done)
        assert done[-1] == next(total for name, _, total in reversed(seen) if name == phase)


@pytest.mark.parametrize(
    ("generation", "config", "expected"),
    [(7, 2, {7}), ([7, 8], 2, {7, 8}), (None, 3, {3}), (None, [3, 4], {3, 4}), (None, None, set())],
)
def test_end_of_sequence_ids(
    folder: Path, generation: Any, config: Any, expected: set[int]
) -> None:
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": generation}))
    edit(folder / "config.json", eos_token_id=config)
    assert model_files.eos_token_ids(folder, loading.read_config(folder)) == expected


def lengths(free_bytes: int | None = 10**9, **settings: Any) -> tuple[int, int]:
    return choose_lengths(
        EngineSettings(**settings), model_max_len=2048, bytes_per_token=1000, free_bytes=free_bytes
    )


def test_cache_and_context_lengths() -> None:
    assert lengths(max_num_seqs=2) == (2048, 64)  # all that two sequences can need
    assert lengths(max_num_seqs=1000) == (2048, 6250)  # 40 % of what is free
    assert lengths(free_bytes=None, max_num_seqs=2) == (2048, 64)
    assert lengths(free_bytes=1_600_000) == (640, 10)  # less context than the model has
    assert lengths(kv_cache_tokens=1000) == (960, 15)  # whole blocks
    assert lengths(kv_cache_tokens=8192, max_model_len=100) == (100, 128)


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"max_model_len": 4096}, "the model's own 2048"),
        ({"kv_cache_tokens": 63}, "holds 0 tokens"),
        ({"kv_cache_tokens": 256, "max_model_len": 1024}, "holds 256 tokens"),
        ({"kv_cache_tokens": 10**7}, "10.0 GB; 1.0 GB are free"),
    ],
    ids=str,
)
def test_lengths_that_cannot_be(settings: dict[str, Any], match: str) -> None:
    with pytest.raises(StartupError, match=match):
        lengths(**settings)


def test_choosing_an_engine() -> None:
    assert choose("auto")[0] == "transformers"
    assert choose("fake") == ("fake", "asked for")
    with pytest.raises(StartupError, match="unknown"):
        choose("nonesuch")
    with pytest.raises(StartupError, match="needs a model folder"):
        build("transformers", None, EngineSettings(), lambda *_: None)


def memory_needed(folder: Path, dtype: torch.dtype) -> int:
    plain = json.loads((folder / "config.json").read_text())
    return weight_memory.resident_bytes(plain, model_files.weight_files(folder), dtype=dtype)


@pytest.mark.parametrize("architecture", ["qwen2", "gemma2"])
@pytest.mark.parametrize("is_tied", [True, False])
def test_the_memory_asked_for_is_the_memory_taken(
    tmp_path: Path, architecture: str, is_tied: bool
) -> None:
    """To the byte; a tied output head is held once."""
    folder = write_tiny_model(
        tmp_path / "m", architecture, dtype="bfloat16", tie_word_embeddings=is_tied
    )
    model = loading.load_model(
        folder,
        loading.read_config(folder),
        settings=EngineSettings(),
        device=torch.device("cpu"),
        progress=lambda *_: None,
    )
    fused_linear.fuse(model)
    bfloat16_linear.install(model)
    assert memory_needed(folder, torch.bfloat16) == served_dtypes.resident_bytes(model)
    assert memory_needed(folder, torch.bfloat16) == model_files.weight_files(folder).total_bytes
    assert memory_needed(folder, torch.float32) == 2 * model_files.weight_files(folder).total_bytes


def test_a_kind_of_unknown_size_counts_as_its_files_do(folder: Path) -> None:
    edit(folder / "config.json", model_type="nonesuch")
    files = model_files.weight_files(folder)
    assert memory_needed(folder, torch.float32) == files.total_bytes


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"kv_cache_tokens": 10**6}, "--kv-cache-tokens 1000000 needs a KV cache of 1.0 GB"),
        ({"max_model_len": 2000}, "--max-model-len 2000 needs a KV cache of 0.0 GB"),
    ],
    ids=str,
)
def test_a_cache_that_cannot_fit_is_refused_before_a_weight_is_read(
    folder: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, int], match: str
) -> None:
    """1,024 bytes a token in this model: 2 layers, 2 heads, 32 numbers, float32, key and value."""
    monkeypatch.setattr(host_memory, "available_bytes", lambda: 5_000_000)
    monkeypatch.setattr(loading.AutoModelForCausalLM, "from_pretrained", None)
    refuse(folder, match, **settings)


def test_fit_and_the_engine_share_their_numbers(folder: Path) -> None:
    assert fit.CPU_KV_SHARE == warm_up._KV_SHARE
    assert fit.CPU_BLOCK == BLOCK_SIZE
    model = loading.load_model(
        folder,
        loading.read_config(folder),
        settings=EngineSettings(),
        device=torch.device("cpu"),
        progress=lambda *_: None,
    )
    taken = sum(s.bytes_per_token(model.dtype) for s in warm_up.layer_shapes(model).values())
    layers = shapes.attention_layers(json.loads((folder / "config.json").read_text()))
    assert sizes.kv_bytes_per_token(layers, item_bytes=4, has_latents=False) == taken
