"""Whether a model fits: what is counted is what is taken, and too little is said with numbers."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import pytest
import torch

from models.memory import host_memory
from models.refs import QuantScheme
from serve.engine import model_files
from serve.engine.settings import EngineSettings
from serve.engine.transformers.layers import bfloat16_linear, fused_linear
from serve.engine.transformers.loader import loading, served_dtypes, weight_memory
from serve.errors import StartupError
from tests.quantized_models import write_quantized
from tests.serve.engine.checkpoints import edit, load, refuse
from tests.tiny_models import write_tiny_model


def memory_needed(folder: Path, dtype: torch.dtype) -> int:
    checkpoint = model_files.read(folder)
    return weight_memory.resident_bytes(checkpoint.config, checkpoint.files, dtype=dtype)


@pytest.mark.parametrize("architecture", ["qwen2", "gemma2"])
@pytest.mark.parametrize("is_tied", [True, False])
def test_the_memory_asked_for_is_the_memory_taken(
    tmp_path: Path, architecture: str, is_tied: bool
) -> None:
    """To the byte; a tied output head is held once."""
    folder = write_tiny_model(
        tmp_path / "m", architecture, dtype="bfloat16", tie_word_embeddings=is_tied
    )
    model = load(folder)
    fused_linear.fuse(model)
    bfloat16_linear.install(model)
    assert memory_needed(folder, torch.bfloat16) == served_dtypes.resident_bytes(model)
    assert memory_needed(folder, torch.bfloat16) == model_files.read(folder).files.total_bytes
    assert memory_needed(folder, torch.float32) == 2 * model_files.read(folder).files.total_bytes


def test_a_kind_of_unknown_size_counts_as_its_files_do(folder: Path) -> None:
    edit(folder, model_type="nonesuch")
    files = model_files.read(folder).files
    assert memory_needed(folder, torch.float32) == files.total_bytes


def test_packed_weights_of_an_unknown_kind_are_held_as_their_files_are(
    folder: Path, tmp_path: Path
) -> None:
    packed = write_quantized(folder, tmp_path / "int4", QuantScheme.INT4)
    edit(packed, model_type="nonesuch")
    held = model_files.read(packed).files.total_bytes
    assert memory_needed(packed, torch.float32) == held


def test_too_little_memory_is_said_with_numbers(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host_memory, "available_bytes", lambda: 100_000)
    assert "0.0 GB are free" in refuse(folder, "Not enough memory")


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


def test_what_torch_keeps_of_a_gpu_counts_as_free(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: asked.append("empty"))

    def mem_get_info(device: torch.device) -> tuple[int, int]:
        asked.append(str(device))
        return 5, 9

    monkeypatch.setattr(torch.cuda, "mem_get_info", mem_get_info)
    assert weight_memory.free_bytes(torch.device("cuda", 1)) == 5
    assert asked == ["empty", "cuda:1"]


@pytest.mark.parametrize("is_enough", [True, False])
def test_the_largest_weight_has_to_fit_the_host_on_its_way_to_a_gpu(
    folder: Path, monkeypatch: pytest.MonkeyPatch, is_enough: bool
) -> None:
    """The embedding: 1,024 words of 128 numbers. The whole model is three times as large."""
    largest = 1024 * 128 * torch.float32.itemsize
    monkeypatch.setattr(host_memory, "available_bytes", lambda: largest - (not is_enough))
    monkeypatch.setattr(weight_memory, "free_bytes", lambda _: 10**12)
    with nullcontext() if is_enough else pytest.raises(StartupError, match="the largest weight of"):
        weight_memory.refuse(
            model_files.read(folder),
            EngineSettings(),
            dtype=torch.float32,
            device=torch.device("cuda"),
        )
