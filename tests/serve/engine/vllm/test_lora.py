"""LoRA adapters on the real vLLM: on one engine for all tests that leave it alive."""

from __future__ import annotations

import asyncio
import random
import typing
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import pytest_asyncio

from serve.engine import model_files
from serve.engine.protocol import Engine
from serve.engine.registry import build
from serve.engine.settings import EngineSettings, VllmSettings
from serve.engine.vllm import lora
from serve.environment import harden_environment
from serve.errors import InvalidRequest, StartupError
from tests.adapters import merge, write_adapter
from tests.contracts.engine import collect, prompt_of, request, tokens

pytest.importorskip("vllm", reason="vLLM is not installed")
pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.filterwarnings("ignore"),  # of vLLM's own imports
]

PLAIN = EngineSettings(max_num_seqs=12, max_model_len=512)
SIZES = (1, 7, 130, 300)
BLOCK_TOKENS = 128
Answers = dict[tuple[str | None, int], list[int]]


@pytest.fixture(scope="module")
def adapters(tiny_qwen2: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("adapters")
    return {
        "clerk": write_adapter(folder / "clerk", tiny_qwen2, seed=1),
        "poet": write_adapter(
            folder / "poet", tiny_qwen2, seed=2, r=12, rank_pattern={"q_proj": 3}, use_rslora=True
        ),
    }


def settings(adapters: dict[str, Path], **vllm: Any) -> EngineSettings:
    return replace(
        PLAIN,
        vllm=VllmSettings(enforce_eager=True, adapters=tuple(adapters.items()), **vllm),
    )


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine(tiny_qwen2: Path, adapters: dict[str, Path]) -> AsyncIterator[Engine]:
    harden_environment()
    engine = await asyncio.to_thread(build, "vllm", tiny_qwen2, settings(adapters), lambda *_: None)
    yield engine
    await engine.close()


async def answer(engine: Engine, adapter: str | None, size: int) -> list[int]:
    engine_request = replace(request(prompt_of(size, size), max_tokens=32), adapter=adapter)
    return await tokens(engine, engine_request)


@pytest.fixture(scope="module")
def expected(
    tiny_qwen2: Path, adapters: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Answers:
    """What models with the adapters in their weights say, by transformers: no LoRA in there."""
    folder = tmp_path_factory.mktemp("merged")
    models: dict[str | None, Path] = {None: tiny_qwen2}
    models |= {name: merge(tiny_qwen2, path, folder / name) for name, path in adapters.items()}

    async def all_of(model: Path) -> list[list[int]]:
        other = build("transformers", model, PLAIN, lambda *_: None)
        try:
            return [await answer(other, None, size) for size in SIZES]
        finally:
            await other.close()

    return {
        (name, size): token_ids
        for name, model in models.items()
        for size, token_ids in zip(SIZES, asyncio.run(all_of(model)), strict=True)
    }


async def test_alone_each_is_its_merged_model(engine: Engine, expected: Answers) -> None:
    assert engine.info.adapters == ("clerk", "poet")
    assert len({tuple(token_ids) for token_ids in expected.values()}) == len(expected)
    for (name, size), want in expected.items():
        assert await answer(engine, name, size) == want, (name, size)


@pytest.mark.parametrize("seed", range(3))
async def test_in_one_batch_they_do_not_mix(engine: Engine, expected: Answers, seed: int) -> None:
    """The plain model among them: vLLM's CPU kernels would give it the last adapter's weights."""
    keys = list(expected)
    random.Random(seed).shuffle(keys)
    token_ids = await asyncio.gather(*(answer(engine, name, size) for name, size in keys))
    assert dict(zip(keys, token_ids, strict=True)) == expected


async def test_a_prefix_is_never_shared_between_adapters(engine: Engine) -> None:
    prompt = prompt_of(3 * BLOCK_TOKENS + 5, seed=99)

    async def cached(adapter: str | None) -> int:
        engine_request = replace(request(prompt, max_tokens=2), adapter=adapter, cache_salt="same")
        return (await collect(engine, engine_request))[0].cached_tokens

    for name in (None, "clerk", "poet"):
        assert await cached(name) == 0, name
    for name in (None, "clerk", "poet"):
        assert await cached(name) == 3 * BLOCK_TOKENS, name


async def test_an_unknown_adapter_is_refused(engine: Engine) -> None:
    with pytest.raises(InvalidRequest, match="there are: clerk, poet"):
        await answer(engine, "nobody", 3)


def test_ranks_are_those_of_vllm() -> None:
    from vllm.config.lora import MaxLoRARanks

    assert typing.get_args(MaxLoRARanks) == lora.RANKS


async def test_what_only_vllm_notices_fails_the_start(
    tiny_qwen2: Path, adapters: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rank is too high for the places that were made: our own check is made blind to it."""
    monkeypatch.setattr(lora, "_max_rank", lambda *_: 8)
    with pytest.raises(StartupError, match=r"--lora poet: .*rank"):
        await asyncio.to_thread(build, "vllm", tiny_qwen2, settings(adapters), lambda *_: None)


async def test_an_engine_that_dies_over_an_adapter_is_not_waited_for() -> None:
    """A stand-in for ``AsyncLLM``: the real one cannot be made to die in that moment."""

    class Dying:
        def __init__(self) -> None:
            resources = SimpleNamespace(engine_dead=False, output_queue_task=None)
            self.engine_core = SimpleNamespace(resources=resources, outputs_queue=None)

        async def add_lora(self, _request: object) -> bool:
            self.engine_core.resources.engine_dead = True
            return await asyncio.Future()

    fault = await lora.preload(Dying(), [SimpleNamespace(lora_name="clerk")])
    assert fault == "--lora clerk: the engine died while it loaded the adapter"


def plan_of(
    model: Path, adapters: dict[str, Path], device: str = "cpu", **vllm: Any
) -> lora.LoraPlan:
    return lora.plan(model_files.read(model), settings(adapters, **vllm).vllm, device)


def test_places_are_made_for_what_is_there(tiny_qwen2: Path, adapters: dict[str, Path]) -> None:
    assert plan_of(tiny_qwen2, {}).arguments == {}
    on_gpu = {"enable_lora": True, "max_loras": 2, "max_cpu_loras": 2, "max_lora_rank": 16}
    assert plan_of(tiny_qwen2, adapters, "cuda").arguments == on_gpu
    on_cpu = plan_of(tiny_qwen2, adapters).arguments
    assert on_cpu == on_gpu | {"max_loras": 3, "max_cpu_loras": 3}
    many = {f"a{number}": adapters["clerk"] for number in range(11)}
    assert plan_of(tiny_qwen2, many, "cuda").arguments["max_loras"] == lora.MAX_SLOTS
    assert plan_of(tiny_qwen2, many, "cuda").arguments["max_cpu_loras"] == 11
    on_each = 2 * (128 + 128) + 2 * (128 + 64) + 3 * (128 + 256)  # q o, k v, gate up down
    layers = 2 * on_each + 1024 + 128  # and the embedding
    assert plan_of(tiny_qwen2, adapters).num_bytes == 3 * 16 * 4 * layers
    few = plan_of(tiny_qwen2, adapters, "cuda", max_loras=1, max_lora_rank=30).arguments
    assert (few["max_loras"], few["max_lora_rank"]) == (1, 32)


def test_bounds_that_are_too_low_are_refused(tiny_qwen2: Path, adapters: dict[str, Path]) -> None:
    with pytest.raises(StartupError, match="--max-loras is 1 and there are 2"):
        plan_of(tiny_qwen2, adapters, max_loras=1)
    with pytest.raises(StartupError, match="poet has rank 12"):
        plan_of(tiny_qwen2, adapters, max_lora_rank=8)


def test_an_adapter_of_another_model_is_named_with_its_tensor(
    tiny_qwen2: Path, tmp_path: Path
) -> None:
    from tests.tiny_models import write_tiny_model

    deeper = write_tiny_model(tmp_path / "deeper", num_hidden_layers=3)
    wider = write_tiny_model(tmp_path / "wider", intermediate_size=320)
    for other, match in (
        (deeper, r"layers\.2\..*does not have"),
        (wider, r"gate_proj\.lora_A.* 320 outputs; .* is 256 x 128"),
    ):
        stranger = write_adapter(tmp_path / f"of-{other.name}", other)
        with pytest.raises(StartupError, match=rf"--lora stranger: .*{match}"):
            plan_of(tiny_qwen2, {"stranger": stranger})
