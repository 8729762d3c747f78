"""Memory and threads for vLLM on a CPU: what is asked for, what fits, and what a container has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from serve.engine.settings import EngineSettings, VllmSettings
from serve.engine.vllm.cpu import (
    BLOCK_TOKENS,
    CpuPlan,
    bytes_per_token,
    plan,
    read_config,
)
from serve.environment import cpu_kv_cache_bytes
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


def planned(settings: EngineSettings | None = None, **given: Any) -> CpuPlan:
    machine: dict[str, Any] = {
        "weight_bytes": GB,
        "free_bytes": 20 * GB,
        "asked_bytes": None,
        "cpus": 8,
        "quota": None,
    }
    return plan(CONFIG, settings or EngineSettings(), **(machine | given))


@pytest.mark.parametrize(
    ("config", "settings", "expected"),
    [
        (CONFIG, EngineSettings(), PER_TOKEN),
        (CONFIG, EngineSettings(dtype="bfloat16"), PER_TOKEN // 2),
        (CONFIG, EngineSettings(vllm=VllmSettings(kv_cache_dtype="fp8")), PER_TOKEN // 4),
        (CONFIG | {"head_dim": 64}, EngineSettings(), PER_TOKEN * 2),
        (CONFIG | {"num_key_value_heads": None}, EngineSettings(), PER_TOKEN * 2),
        ({"text_config": CONFIG}, EngineSettings(), PER_TOKEN),
        ({"d_model": 64}, EngineSettings(), None),
    ],
)
def test_bytes_of_a_token(
    config: dict[str, Any], settings: EngineSettings, expected: int | None
) -> None:
    assert bytes_per_token(config, settings) == expected


def test_all_sequences_at_full_length_where_there_is_room() -> None:
    sized = planned(EngineSettings(max_num_seqs=4, max_model_len=512))
    assert sized.kv_cache_bytes >= 4 * 512 * PER_TOKEN
    assert sized.kv_cache_bytes < 5 * (512 + 2 * BLOCK_TOKENS) * PER_TOKEN
    assert "full length" in sized.reasons[0]


def test_a_share_of_what_is_free_otherwise() -> None:
    sized = planned(EngineSettings(max_num_seqs=4096), free_bytes=4 * GB)
    assert 0 < sized.kv_cache_bytes < 2 * GB
    assert "free 4.0 GB" in sized.reasons[0]
    more = planned(
        EngineSettings(max_num_seqs=4096, vllm=VllmSettings(gpu_memory_utilization=0.9)),
        free_bytes=4 * GB,
    )
    assert more.kv_cache_bytes > sized.kv_cache_bytes


def test_a_small_cache_shortens_the_context() -> None:
    sized = planned(EngineSettings(kv_cache_tokens=1024))
    assert sized.kv_cache_bytes == 1024 * PER_TOKEN
    assert sized.max_model_len == 1024 - BLOCK_TOKENS  # vLLM keeps one block empty


def test_but_not_one_that_was_asked_for() -> None:
    with pytest.raises(StartupError, match="may have 2000"):
        planned(EngineSettings(kv_cache_tokens=1024, max_model_len=2000))


def test_more_than_there_is_is_refused() -> None:
    with pytest.raises(StartupError, match="--kv-cache-tokens"):
        planned(EngineSettings(kv_cache_tokens=10**9))
    with pytest.raises(StartupError, match="would hold 0 tokens"):
        planned(free_bytes=GB)


def test_vllms_own_variable_wins() -> None:
    sized = planned(EngineSettings(kv_cache_tokens=1024), asked_bytes=1 << 30)
    assert sized.kv_cache_bytes == 1 << 30
    assert "VLLM_CPU_KVCACHE_SPACE" in sized.reasons[0]


def test_that_variable_is_whole_gib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VLLM_CPU_KVCACHE_SPACE", raising=False)
    assert cpu_kv_cache_bytes() is None
    monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", "2")
    assert cpu_kv_cache_bytes() == 2 << 30
    monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", "0.5")
    with pytest.raises(StartupError, match="whole GiB"):
        cpu_kv_cache_bytes()


def test_threads_are_pinned_unless_time_is_short() -> None:
    assert planned().environment == {}
    short = planned(quota=2.5)
    assert short.environment == {"VLLM_CPU_OMP_THREADS_BIND": "nobind", "OMP_NUM_THREADS": "2"}
    assert "2.5 of 8" in short.reasons[1]
    assert planned(quota=0.5).environment["OMP_NUM_THREADS"] == "1"


def test_code_in_the_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match="no readable config"):
        read_config(tmp_path)
    (tmp_path / "config.json").write_text('{"auto_map": {}}')
    with pytest.raises(StartupError, match="auto_map"):
        read_config(tmp_path)
