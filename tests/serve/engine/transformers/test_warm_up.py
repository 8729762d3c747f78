"""Before the engine serves: lengths that fit, and models whose attention it would get wrong."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from models.memory import fit, sizes
from models.memory.attention_shapes import attention_layers
from serve.engine.settings import EngineSettings
from serve.engine.transformers import warm_up
from serve.engine.transformers.engine import TransformersEngine
from serve.engine.transformers.kv_cache import BLOCK_SIZE
from serve.engine.transformers.layers import attention, compiled_attention
from serve.engine.transformers.layers.sizes import rounded
from serve.engine.transformers.sequence import Segment
from serve.engine.transformers.warm_up import choose_lengths
from serve.errors import StartupError
from tests.serve.engine.checkpoints import load, put, refuse
from tests.tiny_models import write_tiny_model


def lengths(free_bytes: int | None = 10**9, **settings: Any) -> tuple[int, int]:
    return choose_lengths(
        EngineSettings(**settings), model_max_len=2048, bytes_per_token=1000, free_bytes=free_bytes
    )


def test_cache_and_context_lengths() -> None:
    assert lengths(max_num_seqs=2) == (2048, 128)  # all that two sequences can need
    assert lengths(max_num_seqs=1000) == (2048, 12500)  # 40 % of what is free
    assert lengths(free_bytes=None, max_num_seqs=2) == (2048, 128)
    assert lengths(free_bytes=1_600_000) == (640, 20)  # less context than the model has
    assert lengths(kv_cache_tokens=1000) == (992, 31)  # whole blocks
    assert lengths(kv_cache_tokens=8192, max_model_len=100) == (100, 256)


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"max_model_len": 4096}, "the model's own 2048"),
        ({"kv_cache_tokens": 127}, "holds 96 tokens"),
        ({"kv_cache_tokens": 256, "max_model_len": 1024}, "holds 256 tokens"),
        ({"kv_cache_tokens": 10**7}, "10.0 GB; 1.0 GB are free"),
    ],
    ids=str,
)
def test_lengths_that_cannot_be(settings: dict[str, Any], match: str) -> None:
    with pytest.raises(StartupError, match=match):
        lengths(**settings)


def test_fit_and_the_engine_share_their_numbers(folder: Path) -> None:
    assert fit.CPU_KV_SHARE == warm_up._KV_SHARE
    assert fit.CPU_BLOCK == BLOCK_SIZE
    model = load(folder)
    bytes_per_token = sum(
        s.bytes_per_token(model.dtype) for s in warm_up.layer_shapes(model).values()
    )
    layers = attention_layers(json.loads((folder / "config.json").read_text()))
    assert sizes.kv_bytes_per_token(layers, item_bytes=4, has_latents=False) == bytes_per_token


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
    right = compiled_attention.attend
    wrong = {"scale": 0.5}
    monkeypatch.setattr(compiled_attention, "attend", lambda *a, **k: right(*a, **(k | wrong)))
    refuse(folder, "a way this engine does not support: logits differ")


def test_logits_that_are_no_numbers_are_said_to_be_none(folder: Path) -> None:
    weight = torch.full((256, 128), float("nan"))
    put(folder, {"model.layers.0.mlp.up_proj.weight": weight})
    refuse(folder, "own logits hold NaN or infinity in float32: a weight is damaged")


class Recorder:
    """A runner that records its chunks; each takes a while on a clock of its own."""

    def __init__(self, chunk_s: float = 0.0) -> None:
        self.chunks: list[tuple[int, int, int]] = []
        self._chunk_s = chunk_s

    def logits(self, segments: list[Segment]) -> None:
        (segment,) = segments
        blocks = segment.sequence.block_ids
        assert len(blocks) * BLOCK_SIZE >= segment.num_tokens
        self.chunks.append((segment.start, segment.num_tokens, max(blocks)))

    def clock(self) -> float:
        return self._chunk_s * len(self.chunks)


@pytest.mark.parametrize(("most", "num_sizes"), [(512, 16), (500, 16), (100, 7), (5, 1)])
def test_each_size_of_a_prompt_is_computed_once(most: int, num_sizes: int) -> None:
    runner = Recorder()
    warm_up.run_sizes(runner, most, clock=runner.clock)  # type: ignore[arg-type]
    lengths = [num for _, num, _ in runner.chunks]
    assert lengths == sorted({min(rounded(num), most) for num in range(1, most + 1)})
    assert len(lengths) == num_sizes
    assert {start for start, *_ in runner.chunks} == {0}
    assert max(block for *_, block in runner.chunks) == (most - 1) // BLOCK_SIZE


def test_a_slow_model_computes_the_short_sizes_alone() -> None:
    runner = Recorder(chunk_s=0.2)
    warm_up.run_sizes(runner, 512, clock=runner.clock)  # type: ignore[arg-type]
    assert [num for _, num, _ in runner.chunks] == [16, 32, 48]


def test_sizes_are_computed_before_the_engine_serves(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    monkeypatch.setattr(warm_up, "run_sizes", lambda _runner, most: asked.append(most))
    settings = EngineSettings(device="cpu", max_num_batched_tokens=64, max_num_seqs=2)
    engine = TransformersEngine.from_folder(folder, settings, lambda *_: None)
    asyncio.run(engine.close())
    assert asked == [64]
