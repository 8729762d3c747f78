"""A vLLM engine that the tests of a module share, and another one after it was killed."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, cast

from serve.engine.protocol import Engine
from serve.engine.registry import build
from serve.engine.settings import EngineSettings, VllmSettings
from serve.errors import EngineDeadError

SETTINGS = EngineSettings(max_num_seqs=8, max_model_len=512, vllm=VllmSettings(enforce_eager=True))


class Keeper:
    """The engine that is alive; another one after a test that killed it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._engine: Engine | None = None
        self.phases: list[tuple[str, int, int]] = []

    async def engine(self) -> Engine:
        if self._engine is not None:
            try:
                await self._engine.check_health()
            except EngineDeadError:
                await self.close()
        if self._engine is None:
            self._engine = await asyncio.to_thread(
                build, "vllm", self._folder, SETTINGS, lambda *at: self.phases.append(at)
            )
        return self._engine

    async def close(self) -> None:
        if self._engine is not None:
            await self._engine.close()
            self._engine = None


def engine_core(engine: Engine) -> int:
    """The process that schedules."""
    return cast("Any", engine)._processes[0].pid


async def until_dead(engine: Engine) -> None:
    while True:
        await engine.check_health()
        await asyncio.sleep(0.01)
