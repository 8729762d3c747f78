"""On a GPU only what is certain is refused, with what would fit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from serve.engine.gpus import Gpu
from serve.engine.settings import EngineSettings, VllmSettings
from serve.engine.vllm import gpu
from serve.errors import StartupError

GB = 10**9
CARD = Gpu(
    name="Card",
    capability=(9, 0),
    total_bytes=80 * GB,
    free_bytes=79 * GB,
    is_integrated=False,
)
T4 = replace(CARD, name="T4", capability=(7, 5))
PLAIN = VllmSettings()
MB_TOKENS = 10**6
"""Bytes of keys and values of a token: a thousand tokens are a GB."""


def refuse(
    *cards: Gpu,
    weights: int = 20 * GB,
    config: dict[str, Any] | None = None,
    vllm: VllmSettings = PLAIN,
    **asked: int,
) -> None:
    settings = EngineSettings(vllm=vllm, **asked)  # type: ignore[arg-type]
    gpu.refuse(
        config or {}, settings, weight_bytes=weights, per_token=MB_TOKENS, gpus=cards or (CARD,)
    )


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"max_model_len": 53_000},  # 73.6 GB less 20 GB
        {"kv_cache_tokens": 60_000},  # beyond the share as well
        {"vllm": VllmSettings(gpu_memory_utilization=0.98)},
        {"weights": 90 * GB, "vllm": VllmSettings(engine_args=("cpu_offload_gb=40",))},
        {"config": {"sliding_window": 512}, "max_model_len": 90_000},
        {"config": {"text_config": {"layer_types": ["chunked"]}}, "max_model_len": 90_000},
        {"vllm": VllmSettings(tensor_parallel_size=8, distributed_executor_backend="ray")},
    ],
    ids=str,
)
def test_what_may_fit_is_left_to_vllm(settings: dict[str, Any]) -> None:
    refuse(**settings)


def test_two_cards_hold_what_one_does_not() -> None:
    with pytest.raises(StartupError, match=r"weights are 90.0 GB, and of 1 GPUs .* 73.6 GB"):
        refuse(CARD, CARD, weights=90 * GB)
    refuse(CARD, CARD, weights=90 * GB, vllm=VllmSettings(tensor_parallel_size=2))


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"max_model_len": 54_000}, "--max-model-len 54000 .* at most 53600 tokens.*about 52526,"),
        ({"kv_cache_tokens": 60_001}, "--kv-cache-tokens 60001"),
        (
            {"kv_cache_tokens": 100, "max_model_len": 101},
            "--max-model-len 101 .* at most 100 tokens.*about 100,",
        ),
        (
            {"vllm": VllmSettings(tensor_parallel_size=2)},
            "ask for 2 GPUs, and this process may use 1.*CUDA_VISIBLE_DEVICES",
        ),
        ({"vllm": VllmSettings(gpu_memory_utilization=0.2)}, "weights are 20.0 GB"),
    ],
    ids=str,
)
def test_what_cannot_fit_is_refused_with_what_would(asked: dict[str, Any], message: str) -> None:
    with pytest.raises(StartupError, match=message):
        refuse(**asked)


@pytest.mark.parametrize(
    ("free", "advice"), [(40 * GB, "Take --gpu-memory-utilization 0.5,"), (0, r"Free memory of it")]
)
def test_a_card_that_others_use_is_said_with_the_share_that_is_free(free: int, advice: str) -> None:
    with pytest.raises(StartupError, match=f"0.92 of the memory of Card, 73.6 GB.*{advice}"):
        refuse(replace(CARD, free_bytes=free))
    refuse(replace(CARD, free_bytes=40 * GB), vllm=VllmSettings(gpu_memory_utilization=0.5))


def test_memory_that_the_host_shares_has_more_free_than_it_says() -> None:
    refuse(replace(CARD, free_bytes=GB, is_integrated=True))


def test_cards_that_could_not_be_asked_refuse_nothing() -> None:
    gpu.refuse({}, EngineSettings(max_model_len=10**9), weight_bytes=1, per_token=1, gpus=())


@pytest.mark.parametrize(
    ("stated", "cards", "dtype"),
    [
        ("bfloat16", (T4,), "float16"),
        ("bfloat16", (CARD, T4), "float16"),
        ("bfloat16", (CARD,), "bfloat16"),
        ("bfloat16", (), "bfloat16"),
        ("float32", (T4,), "float32"),
        ("auto", (T4,), "auto"),
    ],
)
def test_an_old_card_serves_float16(stated: str, cards: tuple[Gpu, ...], dtype: str) -> None:
    assert gpu.pick_dtype(stated, EngineSettings(), cards) == dtype


def test_bfloat16_asked_for_on_an_old_card_is_refused() -> None:
    with pytest.raises(StartupError, match=r"T4 has compute capability 7.5.*--dtype float16"):
        gpu.pick_dtype("bfloat16", EngineSettings(dtype="bfloat16"), (T4,))
