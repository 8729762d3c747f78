"""Which engine is taken, with the reason, and which settings it refuses."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from serve.config import Config
from serve.engine import registry
from serve.engine.registry import build, choose
from serve.engine.settings import EngineSettings, TransformersSettings, VllmSettings
from serve.errors import StartupError
from serve.setting_names import flag_of


def test_choosing_an_engine() -> None:
    assert choose("auto")[0] == "transformers"
    assert choose("fake") == ("fake", "asked for")
    with pytest.raises(StartupError, match="unknown"):
        choose("nonesuch")
    with pytest.raises(StartupError, match="needs a model folder"):
        build("transformers", None, EngineSettings(), lambda *_: None)


@pytest.mark.parametrize(
    ("vllm", "flag"),
    [
        (VllmSettings(tensor_parallel_size=2), "--tensor-parallel-size"),
        (VllmSettings(engine_args=("seed=1",)), "--engine-arg"),
        (VllmSettings(stall_timeout_s=9), "--engine-stall-timeout"),
    ],
)
def test_other_engines_refuse_them(vllm: VllmSettings, flag: str) -> None:
    with pytest.raises(StartupError, match=f"{flag} is for the vLLM engine.*fake"):
        registry.build("fake", None, EngineSettings(vllm=vllm), lambda *_: None)


@pytest.mark.parametrize("engine", ["fake", "vllm"])
@pytest.mark.parametrize(
    ("own", "flag"),
    [
        (TransformersSettings(prompt_lookup=False), "--prompt-lookup"),
        (TransformersSettings(num_speculative_tokens=4), "--num-speculative-tokens"),
        (TransformersSettings(prefix_cache_dir=Path("/cache")), "--prefix-cache-dir"),
    ],
)
def test_other_engines_than_transformers_refuse_its_own(
    engine: str, own: TransformersSettings, flag: str
) -> None:
    with pytest.raises(StartupError, match=f"{flag} is for the transformers engine.*{engine}"):
        registry.build(engine, None, EngineSettings(transformers=own), lambda *_: None)


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


@pytest.mark.parametrize("name", ["transformers", "fake"])
def test_other_engines_refuse_adapters(name: str, tmp_path: Path) -> None:
    given = EngineSettings(vllm=VllmSettings(adapters=(("clerk", tmp_path),)))
    with pytest.raises(StartupError, match=r"--lora is for the vLLM engine.*--engine vllm"):
        build(name, tmp_path, given, lambda *_: None)


def test_auto_takes_vllm_for_adapters(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose("auto", "cpu", with_adapters=True) == (
        "vllm",
        "the one that serves adapters (--lora)",
    )
    monkeypatch.setattr("serve.engine.registry._is_installed", lambda _: False)
    with pytest.raises(StartupError, match="not installed"):
        choose("auto", "cpu", with_adapters=True)


def test_every_setting_of_one_engine_is_refused_under_the_name_of_a_flag() -> None:
    flags = {flag_of(name) for name in Config.model_fields}
    for field in (*fields(VllmSettings), *fields(TransformersSettings)):
        if field.name == "logits_processors":  # for measuring; no flag fills it
            continue
        assert flag_of(registry._FLAGS.get(field.name, field.name)) in flags


def test_the_engines_are_those_of_the_setting() -> None:
    assert registry.ENGINES == ("vllm", "transformers", "fake")
    assert set(registry.ENGINES) >= registry.SUPERVISED
