"""vLLM's arguments are ours to make: safe ones, and only those that the installed vLLM has."""

from __future__ import annotations

from pathlib import Path

import pytest

from serve.engine.settings import EngineSettings, VllmSettings
from serve.engine.vllm.arguments import FIXED, OWN_FLAGS, base_arguments, extra_arguments
from serve.errors import StartupError

KNOWN = frozenset({"block_size", "seed", "compilation_config", "stream_interval", "_private", "x"})


def extra(*given: str) -> dict[str, object]:
    return extra_arguments(EngineSettings(vllm=VllmSettings(engine_args=given)), KNOWN)


def test_what_is_unsafe_by_default_is_fixed() -> None:
    arguments = base_arguments(Path("model"), EngineSettings())
    assert arguments["trust_remote_code"] is False
    assert arguments["load_format"] == "safetensors"
    assert arguments["config_format"] == "hf"  # never params.json
    assert arguments["enable_log_requests"] is False
    assert arguments["skip_tokenizer_init"] is True
    assert arguments["generation_config"] == "vllm"


def test_settings_go_through_under_vllms_names() -> None:
    vllm = VllmSettings(
        tensor_parallel_size=2,
        pipeline_parallel_size=3,
        kv_cache_dtype="fp8",
        enforce_eager=True,
    )
    arguments = base_arguments(
        Path("m"),
        EngineSettings(
            max_num_seqs=900,
            max_num_batched_tokens=512,
            enable_prefix_caching=False,
            vllm=vllm,
        ),
    )
    assert arguments["tensor_parallel_size"] == 2
    assert arguments["pipeline_parallel_size"] == 3
    assert arguments["enable_prefix_caching"] is False
    assert arguments["kv_cache_dtype"] == "fp8"
    assert arguments["enforce_eager"] is True
    assert arguments["max_num_batched_tokens"] == 900  # at least one for each sequence


SIZES = ("max_num_seqs", "max_num_batched_tokens")


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ((None, None), {}),
        ((64, None), {"max_num_seqs": 64}),
        ((None, 4096), {"max_num_batched_tokens": 4096}),
        ((2048, None), {"max_num_seqs": 2048}),
        ((4096, None), {"max_num_seqs": 4096, "max_num_batched_tokens": 8192}),
        ((64, 4096), {"max_num_seqs": 64, "max_num_batched_tokens": 4096}),
    ],
)
def test_sizes_of_a_step_are_vllms_unless_asked_for(
    asked: tuple[int | None, int | None], expected: dict[str, int]
) -> None:
    settings = EngineSettings(max_num_seqs=asked[0], max_num_batched_tokens=asked[1])
    arguments = base_arguments(Path("m"), settings)
    assert {name: arguments[name] for name in SIZES if name in arguments} == expected


def test_workers_are_on_this_machine_unless_ray_is_asked_for() -> None:
    spread = VllmSettings(pipeline_parallel_size=2, distributed_executor_backend="ray")
    name = "distributed_executor_backend"
    assert name not in base_arguments(Path("m"), EngineSettings())
    assert base_arguments(Path("m"), EngineSettings(vllm=spread))[name] == "ray"
    with pytest.raises(StartupError, match="use --distributed-executor-backend"):
        extra(f"{name}=ray")


def test_values_are_json_or_text() -> None:
    assert extra("block_size=64", "--seed=7", 'compilation-config={"mode": 0}', "x=a=b") == {
        "block_size": 64,
        "seed": 7,
        "compilation_config": {"mode": 0},
        "x": "a=b",
    }


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("blok_size=64",), "Did you mean block_size"),
        (("block_size",), "NAME=VALUE"),
        (("_private=1",), "no such engine argument"),
        (("max_model_len=9",), "--max-model-len"),
        (("trust_remote_code=true",), "no code from a model's folder"),
        (("load-format=auto",), "safetensors only"),
        (('structured_outputs_config={"backend": "auto"}',), "as the other engine"),
        (("reasoning-parser=qwen3",), "text stays above"),
        (("data_parallel_address=1.2.3.4",), "on this machine"),
        (("seed=1", "seed=2"), "given twice"),
    ],
)
def test_others_are_refused_with_the_reason(given: tuple[str, ...], message: str) -> None:
    with pytest.raises(StartupError, match=message):
        extra(*given)


def test_every_flag_named_is_a_flag() -> None:
    from serve.config import Config
    from serve.setting_names import flag_of

    assert set(OWN_FLAGS.values()) <= {flag_of(name) for name in Config.model_fields}
    assert not set(OWN_FLAGS) & set(FIXED)
