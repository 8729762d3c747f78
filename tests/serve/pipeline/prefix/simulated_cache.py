"""The fake engine with the bookkeeping of a prefix cache: blocks by a chain of salt and tokens."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace

from serve.engine.fake import FakeEngine
from serve.engine.protocol import EngineInfo, EngineLoad, EngineRequest, TokenChunk
from serve.engine.settings import EngineSettings


class CachingEngine:
    """An ``Engine``. It takes whole blocks, and never the prompt's last token.

    Args:
        capacity: blocks that it keeps; the least recently used go first.
    """

    def __init__(
        self, settings: EngineSettings, *, block_size: int = 16, capacity: int = 4096
    ) -> None:
        self._engine = FakeEngine(settings)
        self._capacity = capacity
        self._blocks: OrderedDict[int, None] = OrderedDict()
        self.info: EngineInfo = replace(
            self._engine.info,
            capabilities=self._engine.info.capabilities | {"prefix_cache"},
            cache_block_size=block_size,
        )

    def load(self) -> EngineLoad:
        return self._engine.load()

    async def check_health(self) -> None:
        await self._engine.check_health()

    async def close(self) -> None:
        await self._engine.close()

    def forget(self, num_blocks: int | None = None) -> None:
        """Drop the newest blocks, or all."""
        for _ in range(len(self._blocks) if num_blocks is None else num_blocks):
            self._blocks.popitem()

    async def stream(self, request: EngineRequest) -> AsyncGenerator[TokenChunk, None]:
        prompt = list(request.prompt_token_ids)
        keys = self._keys(request, prompt)
        usable = keys[: (len(prompt) - 1) // self.info.cache_block_size]
        num_cached = 0
        if request.sampling.num_prompt_logprobs is None:
            num_cached = next(
                (n for n, key in enumerate(usable) if key not in self._blocks), len(usable)
            )
        self._keep(keys)
        cached = num_cached * self.info.cache_block_size
        generated: list[int] = []
        try:
            async with aclosing(self._engine.stream(request)) as chunks:
                async for chunk in chunks:
                    generated += chunk.token_ids
                    yield replace(chunk, cached_tokens=cached)
        finally:
            self._keep(self._keys(request, [*prompt, *generated[:-1]]))

    def _keep(self, keys: Sequence[int]) -> None:
        for key in keys:
            self._blocks[key] = None
            self._blocks.move_to_end(key)
        while len(self._blocks) > self._capacity:
            self._blocks.popitem(last=False)

    def _keys(self, request: EngineRequest, token_ids: Sequence[int]) -> list[int]:
        size, keys = self.info.cache_block_size, []
        parent = hash((request.cache_salt, request.adapter))
        for at in range(0, len(token_ids) - size + 1, size):
            parent = hash((parent, tuple(token_ids[at : at + size])))
            keys.append(parent)
        return keys
