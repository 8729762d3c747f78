"""The transformers engine keeps the contract, chunked, preempted and short of memory."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from serve.engine.protocol import Engine
from serve.engine.registry import build
from serve.engine.settings import EngineSettings
from serve.errors import EngineDeadError
from tests.contracts.engine import EngineContract, Kill

VARIANTS = {
    "roomy": EngineSettings(max_num_seqs=8, max_model_len=512),
    # Eight sequences share the cache of one and a half: preemption all the time.
    "tight": EngineSettings(
        max_num_seqs=8, max_model_len=512, kv_cache_tokens=768, max_num_batched_tokens=16
    ),
}


@pytest.fixture(scope="module")
def engines() -> Iterator[dict[str, Engine]]:
    engines: dict[str, Engine] = {}
    yield engines
    for engine in engines.values():
        asyncio.run(engine.close())


class TestTransformersContract(EngineContract):
    @pytest.fixture(params=VARIANTS)
    async def engine(
        self,
        request: pytest.FixtureRequest,
        tiny_qwen2: Path,
        engines: dict[str, Engine],
    ) -> Engine:
        name: str = request.param
        try:
            await engines[name].check_health()
        except (KeyError, EngineDeadError):  # the first test, or one that killed it
            engines[name] = build("transformers", tiny_qwen2, VARIANTS[name], lambda *_: None)
        return engines[name]

    @pytest.fixture
    def kill(self) -> Kill:
        def break_the_step(engine: Engine) -> None:
            engine._steps._step = None  # type: ignore[attr-defined]

        return break_the_step
