"""Questions to vLLM's core before the server's event loop runs. No vLLM in here."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from serve.engine.vllm import lora

_ANSWER_S = 120.0


async def grammar_fault(llm: Any) -> str | None:
    """The reason why the core can hold no completion to a grammar, or None.

    Args:
        llm: vLLM's ``AsyncLLM``, which has served nothing yet.
    """
    return await _answer(llm, llm.engine_core.call_utility_async("grammar_fault"))


async def _answer(llm: Any, question: Coroutine[Any, Any, str | None]) -> str | None:
    """The answer, or why there is none. Takes back what vLLM bound to this event loop."""
    asking = asyncio.create_task(question)
    client = llm.engine_core
    remaining_s = _ANSWER_S
    while not asking.done() and remaining_s > 0 and not client.resources.engine_dead:
        await asyncio.wait({asking}, timeout=lora.POLL_S)
        remaining_s -= lora.POLL_S
    if not asking.done():
        asking.cancel()
        result: str | None = "vLLM's core does not answer"
    elif (error := asking.exception()) is not None:  # a bare Exception, by vLLM's design
        result = f"vLLM's core cannot answer: {str(error)[:800]}"
    else:
        result = asking.result()
    await lora.unbind(client)
    return result
