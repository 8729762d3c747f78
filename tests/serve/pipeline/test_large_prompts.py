"""Large prompts: two at a time, while small ones go past them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from serve.pipeline.events import ChatPrompt, FillPrompt, Prompt, TextPrompt, TokensPrompt
from serve.pipeline.large_prompts import MAX_AT_ONCE, LargePrompts
from serve.pipeline.render import INLINE_CHARS


class SlowRenderer:
    """Renders when the gate is open, and knows how many wait there."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.inside = 0
        self.most = 0

    async def render(self, _prompt: Prompt, _owner: str | None = None) -> list[int]:
        self.inside += 1
        self.most = max(self.most, self.inside)
        try:
            await self.gate.wait()
        finally:
            self.inside -= 1
        return [0]


def talk(*contents: Any) -> ChatPrompt:
    return ChatPrompt(messages=tuple({"role": "user", "content": c} for c in contents))


LARGE = "x" * (INLINE_CHARS + 1)


@pytest.mark.parametrize(
    ("prompt", "most"),
    [
        (TextPrompt(LARGE), MAX_AT_ONCE),
        (talk(LARGE), MAX_AT_ONCE),
        (talk(*["x" * 100] * 200), MAX_AT_ONCE),
        (talk([{"type": "text", "text": LARGE}]), MAX_AT_ONCE),
        (ChatPrompt(messages=(), tools=({"function": {"description": LARGE}},)), MAX_AT_ONCE),
        (FillPrompt("x", LARGE), MAX_AT_ONCE),
        (FillPrompt("x", "y"), 6),
        (TextPrompt("x" * INLINE_CHARS), 6),
        (talk("x" * 1000), 6),
        (TokensPrompt((1,) * 100_000), 6),
    ],
)
async def test_few_large_ones_are_rendered_at_once(prompt: Prompt, most: int) -> None:
    renderer, prompts = SlowRenderer(), LargePrompts()
    tasks = [
        asyncio.create_task(prompts.render(renderer, prompt))  # type: ignore[arg-type]
        for _ in range(6)
    ]
    for _ in range(5):
        await asyncio.sleep(0)
    assert renderer.inside == most
    renderer.gate.set()
    assert await asyncio.gather(*tasks) == [[0]] * 6
    assert renderer.most == most


async def test_who_leaves_gives_its_place_up() -> None:
    renderer, prompts = SlowRenderer(), LargePrompts()
    tasks = [
        asyncio.create_task(prompts.render(renderer, TextPrompt(LARGE)))  # type: ignore[arg-type]
        for _ in range(MAX_AT_ONCE + 1)
    ]
    await asyncio.sleep(0)
    tasks[0].cancel()
    for _ in range(3):
        await asyncio.sleep(0)
    assert renderer.most == MAX_AT_ONCE
    renderer.gate.set()
    ended = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(end) for end in ended] == [asyncio.CancelledError, list, list]
