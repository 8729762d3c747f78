"""vLLM keeps the contract, on one engine for all tests that leave it alive."""

from __future__ import annotations

import asyncio
import os
import signal
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import pytest_asyncio
from tokenizers import Tokenizer

from models.memory import fit
from serve.engine.protocol import Engine
from serve.engine.registry import build
from serve.engine.settings import EngineSettings, VllmSettings
from serve.engine.vllm.processes import shared_memory
from serve.errors import (
    EngineDeadError,
    InvalidRequest,
    StartupError,
)
from tests.contracts.engine import EngineContract, Kill, collect, prompt_of, request, tokens
from tests.serve.engine.vllm.living import SETTINGS, Keeper, engine_core, until_dead

pytest.importorskip("vllm", reason="vLLM is not installed")
from vllm.engine import arg_utils
from vllm.usage.usage_lib import UsageContext

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.filterwarnings("ignore"),  # of vLLM's own imports
]

BLOCK_TOKENS = 128


class TestVllmContract(EngineContract):
    @pytest_asyncio.fixture(loop_scope="module")
    async def engine(self, keeper: Keeper) -> Engine:  # type: ignore[override]
        return await keeper.engine()

    @pytest.fixture(autouse=True)
    def tokenizer(self, tiny_qwen2: Path) -> None:
        self._tokenizer = Tokenizer.from_file(str(tiny_qwen2 / "tokenizer.json"))

    def text_of(self, engine: Engine, token_ids: list[int]) -> str:
        text: str = self._tokenizer.decode(token_ids, skip_special_tokens=False)
        return text

    @pytest.fixture
    def kill(self) -> Kill:
        return lambda engine: os.kill(engine_core(engine), signal.SIGKILL)


async def test_what_it_is(engine: Engine, keeper: Keeper) -> None:
    info = engine.info
    assert (info.name, info.device, info.dtype) == ("vllm", "cpu", "float32")
    assert (info.max_model_len, info.vocab_size) == (512, 1024)
    assert info.kv_cache_tokens >= 8 * 512
    assert info.num_parameters > 0
    assert "prefix_cache" in info.capabilities
    names = [phase for phase, _, _ in keeper.phases]
    assert list(dict.fromkeys(names))[:4] == ["import", "load_weights", "allocate_kv", "warm_up"]
    assert ("import", 1, 1) in keeper.phases


@pytest.mark.parametrize("gib", [24, 69, 70, 159, 160])
async def test_models_fit_reckons_with_vllms_own_steps(
    gib: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the installed vLLM takes on a card of this memory, which nobody has here."""
    card = SimpleNamespace(
        get_device_total_memory=lambda: gib << 30,
        get_device_name=lambda: "a card",
        is_tpu=lambda: False,
        is_cpu=lambda: False,
    )
    monkeypatch.setattr(arg_utils, "current_platform", card)
    both = arg_utils.EngineArgs.get_batch_defaults(1)
    assert fit.gpu_step(gib << 30) == tuple(each[UsageContext.OPENAI_API_SERVER] for each in both)


async def test_greedy_tokens_are_the_transformers_engines(engine: Engine, tiny_qwen2: Path) -> None:
    other = build("transformers", tiny_qwen2, replace(SETTINGS, vllm=VllmSettings()), lambda *_: 0)
    try:
        for size in (1, 7, 130, 300):
            requests = [request(prompt_of(size, size), max_tokens=48) for _ in range(2)]
            assert await tokens(engine, requests[0]) == await tokens(other, requests[1])
    finally:
        await other.close()


async def test_prefixes_are_shared_under_one_salt_only(engine: Engine) -> None:
    prompt = prompt_of(3 * BLOCK_TOKENS + 5, seed=99)

    async def cached(salt: str | None) -> int:
        engine_request = replace(request(prompt, max_tokens=2), cache_salt=salt)
        return (await collect(engine, engine_request))[0].cached_tokens

    assert await cached("a") == 0
    assert await cached("a") == 3 * BLOCK_TOKENS
    assert await cached("b") == 0
    assert await cached(None) == 0
    assert await cached("b") == 3 * BLOCK_TOKENS


async def test_the_edges_of_sampling(engine: Engine) -> None:
    greedy = await tokens(engine, request())
    for sampling in (
        {"temperature": 1e-9},
        {"temperature": 1.0, "top_k": 1},
        {"temperature": 1.0, "min_p": 1.0},
        {"temperature": 1.0, "top_p": 1e-9},
        {"temperature": 1.0, "top_k": 10**9, "min_p": 1.0},
    ):
        assert await tokens(engine, request(**sampling)) == greedy
    forced = await tokens(engine, request(logit_bias={5: 100.0}, max_tokens=3))
    assert forced == [5, 5, 5]
    for seed in (-1, 2**63 - 1, -(2**63) + 1):
        requests = [request(temperature=1.5, seed=seed, max_tokens=20) for _ in range(2)]
        first, second = [await tokens(engine, one) for one in requests]
        assert first == second
    varied = await tokens(
        engine,
        request(max_tokens=30, frequency_penalty=2.0, presence_penalty=2.0, repetition_penalty=2.0),
    )
    assert len(set(varied)) > len(set(await tokens(engine, request(max_tokens=30))))


async def test_logprobs_are_of_the_models_own_distribution(engine: Engine) -> None:
    plain = (await collect(engine, request(num_logprobs=3, max_tokens=1)))[0].logprobs
    bent = (
        await collect(
            engine,
            request(num_logprobs=3, max_tokens=1, logit_bias={5: 100.0}, temperature=2.0, seed=1),
        )
    )[0].logprobs
    assert plain is not None
    assert bent is not None
    assert bent[0].token_id == 5
    assert dict(bent[0].top) == pytest.approx(dict(plain[0].top))
    assert bent[0].logprob < plain[0].logprob


async def test_what_vllm_refuses_is_the_clients_error(engine: Engine) -> None:
    with pytest.raises(InvalidRequest):
        await collect(engine, request(stop_token_ids=frozenset({engine.info.vocab_size})))
    await engine.check_health()


async def test_a_stopped_engine_is_noticed_and_leaves_nothing(
    engine: Engine, keeper: Keeper
) -> None:
    known = cast("Any", engine)
    left = set(known._shared_memory)
    assert left
    assert shared_memory(known._processes) == left
    assert meeting_places()
    stream = engine.stream(request(max_tokens=400))
    await anext(stream)
    known._heartbeat._stall_timeout_s = 0.2
    os.kill(engine_core(engine), signal.SIGSTOP)
    with pytest.raises(EngineDeadError, match="hung"):
        await asyncio.wait_for(until_dead(engine), 30)
    await keeper.close()
    with pytest.raises(EngineDeadError, match="hung"):
        async for _ in stream:
            pass
    assert [process for process in known._processes if process.is_alive()] == []
    assert [file for file in left if file.exists()] == []
    assert meeting_places() == []


def meeting_places() -> list[Path]:
    """Files by which vLLM's workers find each other."""
    from serve.engine.vllm import engine  # its import is vLLM's

    return list(Path(engine._own_folder()).glob("vllm_dist_*"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (EngineSettings(device="cuda"), "--device cuda"),
        (EngineSettings(vllm=VllmSettings(engine_args=("blok_size=1",))), "block_size"),
        (EngineSettings(vllm=VllmSettings(engine_args=("block_size=x",))), "cannot run"),
        (EngineSettings(max_model_len=10**5), "cannot run"),
    ],
)
async def test_what_cannot_start_says_why(
    tiny_qwen2: Path, settings: EngineSettings, message: str
) -> None:
    with pytest.raises(StartupError, match=message):
        await asyncio.to_thread(build, "vllm", tiny_qwen2, settings, lambda *_: None)
