"""Arguments that depend on the device: who sizes the KV cache, and how it is shared by ranks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from models.memory import host_cpus, host_memory
from serve.engine import gpus
from serve.engine.gpus import Gpu
from serve.engine.settings import EngineSettings, VllmSettings
from serve.engine.vllm import platform
from serve.engine.vllm.platform import platform_arguments
from serve.errors import StartupError

GB = 10**9
CONFIG: dict[str, Any] = {
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "hidden_size": 128,
    "max_position_embeddings": 2048,
    "dtype": "float32",
}
PER_TOKEN = 2 * 2 * 2 * 32 * 4


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """A machine of 8 CPUs and 20 GB; what is set for vLLM's processes."""
    variables: dict[str, str] = {}

    def remember(values: Mapping[str, str]) -> None:
        variables.update(values)

    monkeypatch.setattr(gpus, "visible", lambda: ())
    monkeypatch.setattr(host_memory, "available_bytes", lambda: 20 * GB)
    monkeypatch.setattr(host_cpus, "usable_cpus", lambda: 8)
    monkeypatch.setattr(host_cpus, "cpu_quota", lambda: 3.5)
    monkeypatch.setattr(platform, "set_engine_environment", remember)
    monkeypatch.delenv("VLLM_CPU_KVCACHE_SPACE", raising=False)
    return variables


def arguments(kind: str, settings: EngineSettings | None = None) -> dict[str, Any]:
    return platform_arguments(kind, CONFIG, settings or EngineSettings(), GB)


@pytest.mark.parametrize(("kind", "device"), [("cpu", "cuda"), ("cuda", "cpu"), ("", "cuda")])
def test_a_device_that_the_installed_vllm_does_not_run_on(kind: str, device: Any) -> None:
    runs_on = kind or "nothing"
    with pytest.raises(StartupError, match=f"--device {device}: .* runs on {runs_on} here.*auto"):
        arguments(kind, EngineSettings(device=device))


def test_a_gpus_cache_is_vllms_to_size_unless_something_is_asked_for() -> None:
    fits = {"max_model_len": -1}  # vLLM's word for as long as its cache holds
    assert arguments("cuda") == fits
    assert arguments("cuda", EngineSettings(max_model_len=100)) == {}
    share = VllmSettings(gpu_memory_utilization=0.5)
    assert arguments("cuda", EngineSettings(vllm=share)) == fits | {"gpu_memory_utilization": 0.5}


def test_tokens_asked_for_are_bytes_of_each_rank() -> None:
    ranks = VllmSettings(tensor_parallel_size=2, pipeline_parallel_size=3)
    for kind in ("cuda", "cpu"):
        settings = EngineSettings(kv_cache_tokens=6000, vllm=ranks)
        assert arguments(kind, settings)["kv_cache_memory_bytes"] == 1000 * PER_TOKEN


def test_a_model_of_unknown_layers_on_a_gpu_is_left_to_vllm() -> None:
    settings = EngineSettings(kv_cache_tokens=6000)
    assert platform_arguments("cuda", {"d_model": 64}, settings, GB) == {"max_model_len": -1}


@pytest.mark.parametrize(
    ("asked", "seqs", "tokens"),
    [
        ({}, 32, 512),
        ({"max_num_seqs": 900}, 900, 900),
        ({"max_num_batched_tokens": 16}, 16, 16),
        ({"max_num_seqs": 4, "max_num_batched_tokens": 8}, 4, 8),
    ],
)
def test_a_cpus_step_has_our_own_sizes(asked: dict[str, int], seqs: int, tokens: int) -> None:
    planned = arguments("cpu", EngineSettings(**asked))  # type: ignore[arg-type]
    assert (planned["max_num_seqs"], planned["max_num_batched_tokens"]) == (seqs, tokens)


def test_a_cpus_cache_and_threads_are_planned(environment: dict[str, str]) -> None:
    planned = arguments("cpu", EngineSettings(max_num_seqs=2, max_model_len=512))
    assert planned["kv_cache_memory_bytes"] >= 2 * 512 * PER_TOKEN
    assert planned["max_model_len"] == 512
    assert environment["OMP_NUM_THREADS"] == "3"


def test_a_length_that_is_the_models_own_is_not_passed_on() -> None:
    assert "max_model_len" not in arguments("cpu", EngineSettings(max_num_seqs=1))


def test_cards_are_asked_for_what_does_not_fit_them(monkeypatch: pytest.MonkeyPatch) -> None:
    old = Gpu(
        name="T4",
        capability=(7, 5),
        total_bytes=16 * GB,
        free_bytes=15 * GB,
        is_integrated=False,
    )
    monkeypatch.setattr(gpus, "visible", lambda: (old,))
    bfloat16 = CONFIG | {"dtype": "bfloat16"}
    assert platform_arguments("cuda", bfloat16, EngineSettings(), GB)["dtype"] == "float16"
    with pytest.raises(StartupError, match=r"weights are 20\.0 GB"):
        platform_arguments("cuda", bfloat16, EngineSettings(), 20 * GB)
