"""vLLM's arguments are ours to make: safe ones, and only those that the installed vLLM has."""

from __future__ import annotations

from pathlib import Path

import pytest

from serve.engine import registry
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
    assert arguments["enable_log_requests"] is False
    assert arguments["skip_tokenizer_init"] is True
    assert arguments["generation_config"] == "vllm"


def test_settings_go_through_under_vllms_names() -> None:
    vllm = VllmSettings(
        tensor_parallel_size=2,
        pipeline_parallel_size=3,
        enable_prefix_caching=False,
        kv_cache_dtype="fp8",
        enforce_eager=True,
    )
    arguments = base_arguments(
        Path("m"), EngineSettings(max_num_seqs=900, max_num_batched_tokens=512, vllm=vllm)
    )
    assert arguments["tensor_parallel_size"] == 2
    assert arguments["pipeline_parallel_size"] == 3
    assert arguments["enable_prefix_caching"] is False
    assert arguments["kv_cache_dtype"] == "fp8"
    assert arguments["enforce_eager"] is True
    assert arguments["max_num_batched_tokens"] == 900  # at least one for each sequence


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
        (("data_parallel_address=1.2.3.4",), "on this machine"),
        (("seed=1", "seed=2"), "given twice"),
    ],
)
def test_others_are_refused_with_the_reason(given: tuple[str, ...], message: str) -> None:
    with pytest.raises(StartupError, match=message):
        extra(*given)


def test_every_flag_named_is_a_flag() -> None:
    from serve.config import Config, flag_of

    assert set(OWN_FLAGS.values()) <= {flag_of(name) for name in Config.model_fields}
    assert not set(OWN_FLAGS) & set(FIXED)


@pytest.mark.parametrize(
    ("vllm", "flag"),
    [
        (VllmSettings(tensor_parallel_size=2), "--tensor-parallel-size"),
        (VllmSettings(engine_args=("seed=1",)), "--engine-arg"),
        (VllmSettings(stall_timeout_s=9), "--engine-stall-timeout"),
        (VllmSettings(enable_prefix_caching=True), "--enable-prefix-caching"),
    ],
)
def test_other_engines_refuse_them(vllm: VllmSettings, flag: str) -> None:
    with pytest.raises(StartupError, match=f"{flag} is for the vLLM engine.*fake"):
        registry.build("fake", None, EngineSettings(vllm=vllm), lambda *_: None)


@pytest.mark.parametrize(
    ("machine", "name", "reason"),
    [
        ({"has_gpu": True}, "transformers", "not installed"),
        ({"is_installed": True, "is_cpu_build": True}, "transformers", "no GPU"),
        ({"is_installed": True}, "transformers", "no GPU"),
        ({"is_installed": True, "has_gpu": True, "is_cpu_build": True}, "transformers", "for CPUs"),
        ({"is_installed": True, "has_gpu": True}, "vllm", "GPU"),
    ],
)
def test_auto_says_which_and_why(
    monkeypatch: pytest.MonkeyPatch, machine: dict[str, bool], name: str, reason: str
) -> None:
    for fact in ("is_installed", "has_gpu", "is_cpu_build"):
        answer = machine.get(fact, False)
        monkeypatch.setattr(registry, f"_{fact}", lambda *_, answer=answer: answer)
    chosen, why = registry.choose("auto")
    assert chosen == name
    assert reason in why


def test_asking_for_what_is_not_installed_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(registry, "_is_installed", lambda _package: False)
    with pytest.raises(StartupError, match="not installed"):
        registry.build("vllm", tmp_path, EngineSettings(), lambda *_: None)
