"""Large prompts, few at a time: each is rendered on a thread, and takes 200 MB for a megabyte.

Threads share the interpreter's lock with the event loop, so many of them hold it up as well. A
small prompt waits for none of this.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any, Final

from serve.pipeline.events import ChatPrompt, FillPrompt, Prompt, TextPrompt
from serve.pipeline.render import INLINE_CHARS, Renderer

MAX_AT_ONCE: Final = 2


class LargePrompts:
    """Renders prompts, at most MAX_AT_ONCE large ones at the same time, in the order of asking."""

    def __init__(self) -> None:
        self._places = asyncio.Semaphore(MAX_AT_ONCE)

    async def render(
        self, renderer: Renderer, prompt: Prompt, owner: str | None = None
    ) -> list[int]:
        """The same as ``renderer.render``, when there is a place.

        Raises:
            RequestError: as that does.
        """
        if not _is_large(prompt):
            return await renderer.render(prompt, owner)
        async with self._places:
            return await renderer.render(prompt, owner)


def _is_large(prompt: Prompt) -> bool:
    if isinstance(prompt, TextPrompt):
        return len(prompt.text) > INLINE_CHARS
    if isinstance(prompt, FillPrompt):
        return len(prompt.prefix) + len(prompt.suffix) > INLINE_CHARS
    if not isinstance(prompt, ChatPrompt):
        return False
    num_chars = 0
    for text in _strings((prompt.messages, prompt.tools)):
        num_chars += len(text)
        if num_chars > INLINE_CHARS:
            return True
    return False


def _strings(value: Any) -> Iterator[str]:
    """The strings of a JSON value, without its names."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _strings(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _strings(item)
