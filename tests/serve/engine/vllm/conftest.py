from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from serve.engine.protocol import Engine
from serve.environment import harden_environment
from tests.serve.engine.vllm.living import Keeper


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def keeper(tiny_qwen2: Path) -> AsyncIterator[Keeper]:
    harden_environment()
    keeper = Keeper(tiny_qwen2)
    yield keeper
    await keeper.close()


@pytest_asyncio.fixture(loop_scope="module")
async def engine(keeper: Keeper) -> Engine:
    return await keeper.engine()
